//! The part of CBOR (RFC 8949) that the protocol uses, checked before anything is decoded.
//!
//! Accepted are integers, byte strings, text strings, arrays, maps, `true`, `false` and `null`; every length and
//! number in its shortest form, definite lengths only, no tag, no float, map keys that are integers or text strings
//! and occur once, at most [`MAX_DEPTH`] levels, and nothing after the item.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// How deep arrays and maps may nest: the outermost is level 1. PROTOCOL.md, "Framing".
pub const MAX_DEPTH: usize = 16;

/// Why bytes are not what the protocol takes for CBOR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// More bytes than this kind of object may have.
    #[error("{actual} bytes, where at most {limit} are allowed")]
    TooLarge {
        /// How many there are.
        actual: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The item ends before its length says so.
    #[error("ends in the middle of an item")]
    Truncated,
    /// Something follows the item.
    #[error("{0} bytes follow the item")]
    Trailing(usize),
    /// A form that the protocol does not use.
    #[error("{0} at byte {1}")]
    Refused(&'static str, usize),
    /// What it says has another encoding: a key is missing where `null` stands for nothing, or keys are in another order.
    #[error("not in its one encoding")]
    OtherEncoding,
    /// Well formed, and not what was expected.
    #[error("{0}")]
    Schema(String),
}

/// Encodes a value. Field order is declaration order.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes)
        .expect("writing to memory does not fail, and the protocol's types all serialize");
    bytes
}

/// Checks the bytes and decodes them.
///
/// # Errors
/// [`CborError::TooLarge`] above `limit` bytes, before anything is read; otherwise what [`check`] refuses, or
/// [`CborError::Schema`] where the item is not a `T`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, CborError> {
    if bytes.len() > limit {
        return Err(CborError::TooLarge { actual: bytes.len(), limit });
    }
    check(bytes)?;
    let mut rest = bytes;
    // One level of ours can be several of the decoder's (newtypes, options, enums).
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, 4 * MAX_DEPTH)
        .map_err(|error| CborError::Schema(schema_text(error)))?;
    // The decoder leaves the end of an array that is too long for its type, and the value in a map of one entry that it
    // takes for a word; it then reads on in the wrong place, and does not come to the end.
    match rest {
        [] => Ok(value),
        _ => Err(CborError::Schema("more elements than expected".to_owned())),
    }
}

/// Decodes the encoding that [`encode`] makes of a value, and refuses every other one: for what is signed or named by
/// its hash.
///
/// # Errors
/// As [`decode`]; another encoding is [`CborError::OtherEncoding`].
pub fn decode_one_encoding<T: DeserializeOwned + Serialize>(
    bytes: &[u8],
    limit: usize,
) -> Result<T, CborError> {
    let value = decode(bytes, limit)?;
    match encode(&value) == bytes {
        true => Ok(value),
        false => Err(CborError::OtherEncoding),
    }
}

/// Checks that the bytes are one item of the accepted part of CBOR and nothing else.
///
/// Costs O(n log n) time, and memory for the keys of the maps that are open.
///
/// # Errors
/// Every kind of [`CborError`] but `TooLarge` and `Schema`.
pub fn check(bytes: &[u8]) -> Result<(), CborError> {
    let mut reader = Reader::new(bytes);
    reader.item(1)?;
    match bytes.len() - reader.at {
        0 => Ok(()),
        rest => Err(CborError::Trailing(rest)),
    }
}

/// Decodes hex of either case; `None` where it is not that.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
}

fn schema_text(error: ciborium::de::Error<std::io::Error>) -> String {
    match error {
        ciborium::de::Error::Semantic(_, text) => text,
        ciborium::de::Error::RecursionLimitExceeded => "nested too deep".to_owned(),
        ciborium::de::Error::Syntax(at) => format!("not valid at byte {at}"),
        ciborium::de::Error::Io(_) => "ends in the middle of an item".to_owned(),
    }
}

/// Major types (RFC 8949, section 3.1).
#[expect(missing_docs, reason = "the names are the RFC's")]
pub mod major {
    pub const UNSIGNED: u8 = 0;
    pub const NEGATIVE: u8 = 1;
    pub const BYTES: u8 = 2;
    pub const TEXT: u8 = 3;
    pub const ARRAY: u8 = 4;
    pub const MAP: u8 = 5;
    pub const SIMPLE: u8 = 7;
}

/// Reads heads and contents one by one, for what is too much to be decoded in the general way. Of each only the accepted
/// part of CBOR is read; what follows what is the caller's business.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// At the beginning.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Whether nothing is left.
    pub const fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn item(&mut self, depth: usize) -> Result<(), CborError> {
        let start = self.at;
        let (major, argument) = self.head()?;
        match major {
            0 | 1 => Ok(()),
            2 => self.take(argument).map(drop),
            3 => {
                let text = self.take(argument)?;
                match std::str::from_utf8(text) {
                    Ok(_) => Ok(()),
                    Err(_) => Err(CborError::Refused("text that is not UTF-8", start)),
                }
            }
            4 | 5 if depth > MAX_DEPTH => Err(CborError::Refused("nested too deep", start)),
            4 => (0..argument).try_for_each(|_| self.item(depth + 1)),
            5 => self.map(argument, depth),
            6 => Err(CborError::Refused("a tag", start)),
            _ => Ok(()),
        }
    }

    fn map(&mut self, entries: u64, depth: usize) -> Result<(), CborError> {
        let mut keys: Vec<&'a [u8]> = Vec::new();
        for _ in 0..entries {
            let start = self.at;
            if !matches!(self.peek()? >> 5, 0 | 1 | 3) {
                return Err(CborError::Refused("a key that is neither text nor integer", start));
            }
            self.item(depth + 1)?;
            keys.push(&self.bytes[start..self.at]);
            self.item(depth + 1)?;
        }
        keys.sort_unstable();
        match keys.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Err(CborError::Refused("a key that occurs twice before", self.at)),
            false => Ok(()),
        }
    }

    /// The argument of a head of this [major type](major); `None` where anything else comes.
    pub fn argument(&mut self, expected: u8) -> Option<u64> {
        let (major, argument) = self.head().ok()?;
        (major == expected).then_some(argument)
    }

    /// An integer; `None` where anything else comes, or one that has no room.
    pub fn integer(&mut self) -> Option<i64> {
        match self.head().ok()? {
            (major::UNSIGNED, value) => i64::try_from(value).ok(),
            (major::NEGATIVE, value) => Some(-1 - i64::try_from(value).ok()?),
            _ => None,
        }
    }

    /// A string of bytes; `None` where anything else comes.
    pub fn byte_string(&mut self) -> Option<&'a [u8]> {
        let length = self.argument(major::BYTES)?;
        self.take(length).ok()
    }

    /// The major type and the argument (RFC 8949, section 3), the shortest form enforced. `false`, `true` and `null` are
    /// major type 7 with the argument 20 to 22.
    ///
    /// # Errors
    /// [`CborError::Truncated`] and [`CborError::Refused`].
    pub fn head(&mut self) -> Result<(u8, u64), CborError> {
        let start = self.at;
        let first = self.peek()?;
        self.at += 1;
        let (major, info) = (first >> 5, first & 0x1f);
        if major == 7 {
            return match info {
                20..=22 => Ok((7, info.into())),
                25..=27 => Err(CborError::Refused("a float", start)),
                _ => Err(CborError::Refused("a simple value", start)),
            };
        }
        let width = match info {
            0..=23 => return Ok((major, u64::from(info))),
            24..=27 => 1_u64 << (info - 24),
            31 => return Err(CborError::Refused("an indefinite length", start)),
            _ => return Err(CborError::Refused("a reserved length", start)),
        };
        let argument = self.take(width)?.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        let least = match width {
            1 => 24,
            2 => 1 << 8,
            4 => 1 << 16,
            _ => 1 << 32,
        };
        if argument < least {
            return Err(CborError::Refused("a number that is not in its shortest form", start));
        }
        Ok((major, argument))
    }

    fn peek(&self) -> Result<u8, CborError> {
        self.bytes.get(self.at).copied().ok_or(CborError::Truncated)
    }

    /// The next bytes.
    ///
    /// # Errors
    /// [`CborError::Truncated`]; nothing is taken then.
    pub fn take(&mut self, length: u64) -> Result<&'a [u8], CborError> {
        let length = usize::try_from(length).map_err(|_| CborError::Truncated)?;
        let end = self.at.checked_add(length).ok_or(CborError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(CborError::Truncated)?;
        self.at = end;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(hex: &str) -> &'static str {
        match check(&unhex(hex).expect("hex")) {
            Err(CborError::Refused(why, _)) => why,
            other => panic!("{hex}: {other:?}"),
        }
    }

    #[test]
    fn accepts_the_plain_part() {
        for hex in [
            "00",
            "20",
            "1818",
            "3903e7",
            "40",
            "4101",
            "60",
            "6161",
            "80",
            "8101",
            "a0",
            "a1616100",
            "f4",
            "f5",
            "f6",
            "a2010203f6",
            "1b0000000100000000",
        ] {
            assert_eq!(check(&unhex(hex).expect("hex")), Ok(()), "{hex}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        assert_eq!(refused("c100"), "a tag");
        assert_eq!(refused("f93c00"), "a float");
        assert_eq!(refused("f7"), "a simple value");
        assert_eq!(refused("9fff"), "an indefinite length");
        assert_eq!(refused("5f4101ff"), "an indefinite length");
        assert_eq!(refused("1c"), "a reserved length");
        assert_eq!(refused("1817"), "a number that is not in its shortest form");
        assert_eq!(refused("190001"), "a number that is not in its shortest form");
        assert_eq!(refused("590001aa"), "a number that is not in its shortest form");
        assert_eq!(refused("61ff"), "text that is not UTF-8");
        assert_eq!(refused("a2616100616101"), "a key that occurs twice before");
        assert_eq!(refused("a1f400"), "a key that is neither text nor integer");
        assert_eq!(check(&[]), Err(CborError::Truncated));
        assert_eq!(check(&[0x41]), Err(CborError::Truncated));
        assert_eq!(check(&[0x5b, 255, 255, 255, 255, 255, 255, 255, 255]), Err(CborError::Truncated));
        assert_eq!(check(&[0x9b, 255, 255, 255, 255, 255, 255, 255, 255]), Err(CborError::Truncated));
        assert_eq!(check(&[0, 0]), Err(CborError::Trailing(1)));
    }

    #[test]
    fn only_the_whole_item_is_decoded() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Word {
            One,
        }
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Pair(u32, u32);
        fn decoded<T: DeserializeOwned>(hex: &str) -> Result<T, CborError> {
            decode(&unhex(hex).expect("hex"), 99)
        }
        assert_eq!(decoded("636f6e65"), Ok(Word::One));
        assert!(decoded::<Word>("a1636f6e6500").is_err(), "a map in place of a word");
        assert_eq!(decoded("820102"), Ok(Pair(1, 2)));
        assert!(decoded::<Pair>("83010203").is_err(), "three in place of two");
        assert!(decoded::<Vec<Pair>>("828301020381820304").is_err());
    }

    #[test]
    fn byte_strings_are_byte_strings() {
        let decoded = |bytes: &[u8]| decode::<crate::AccountId>(bytes, 99).ok();
        let with = |head: u8| [vec![head], vec![7; 16]].concat();
        assert_eq!(decoded(&with(0x50)), Some(crate::AccountId::from_bytes([7; 16])));
        assert_eq!(decoded(&with(0x90)), None, "an array");
        assert_eq!(decoded(&with(0x70)), None, "text");
        assert_eq!(decoded(&with(0x50)[..16]), None);
        assert_eq!(decoded(&[&[0x51], [7; 17].as_slice()].concat()), None);
    }

    #[test]
    fn one_encoding() {
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
        struct Two {
            b: u8,
            a: Option<u8>,
        }
        let decoded = |hex: &str| decode_one_encoding::<Two>(&unhex(hex).expect("hex"), 99);
        assert_eq!(decoded("a26162016161f6"), Ok(Two { b: 1, a: None }));
        assert_eq!(decoded("a1616201"), Err(CborError::OtherEncoding), "null is left out");
        assert_eq!(decoded("a26161f6616201"), Err(CborError::OtherEncoding), "another order");
        assert_eq!(decoded("a3616201616102616300"), Err(CborError::OtherEncoding), "one key more");
    }

    #[test]
    fn depth_is_capped() {
        let nested = |levels: usize| [vec![0x81; levels], vec![0]].concat();
        assert_eq!(check(&nested(MAX_DEPTH)), Ok(()));
        assert!(matches!(check(&nested(MAX_DEPTH + 1)), Err(CborError::Refused("nested too deep", _))));
        assert!(check(&vec![0x81; 1 << 20]).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = check(&bytes);
            let _ = decode::<std::collections::BTreeMap<String, u64>>(&bytes, 256);
        }

        #[test]
        fn what_we_write_is_accepted(map: std::collections::BTreeMap<String, (i64, Option<bool>, Vec<u64>)>) {
            let bytes = encode(&map);
            prop_assert_eq!(check(&bytes), Ok(()));
            prop_assert_eq!(decode(&bytes, bytes.len()), Ok(map));
        }
    }
}
