//! As much of protobuf as kad's messages need, to look into them and to write them by hand.

/// The fields of a protobuf message that are left. It ends where they do, or are none.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

/// What is in a field.
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, rest) = varint(self.0)?;
        let (value, rest) = match tag & 7 {
            0 => varint(rest).map(|(number, rest)| (Value::Number(number), rest))?,
            1 => rest.split_at_checked(8).map(|(_, rest)| (Value::Fixed, rest))?,
            2 => {
                let (length, rest) = varint(rest)?;
                let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                (Value::Bytes(bytes), rest)
            }
            5 => rest.split_at_checked(4).map(|(_, rest)| (Value::Fixed, rest))?,
            _ => return None,
        };
        self.0 = rest;
        Some((tag >> 3, value))
    }
}

/// A number in protobuf's and multistream-select's way of writing it, and what is behind it.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f).checked_shl(7 * u32::try_from(place).ok()?)?;
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(place + 1..)?));
        }
    }
    None
}

/// A length as it is written before what has it.
pub fn length_of(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A field that holds bytes.
pub fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], length_of(bytes.len()), bytes.to_vec()].concat()
}
