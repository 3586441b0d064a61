//! Arrays of a fixed count of numbers.

use std::fmt;

use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

/// Decodes an array of exactly `N` numbers. The CBOR decoder alone would take a byte string for one.
pub(crate) fn array<'de, const N: usize, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<[u32; N], D::Error> {
    deserializer.deserialize_any(NumbersVisitor)
}

struct NumbersVisitor<const N: usize>;

impl<'de, const N: usize> Visitor<'de> for NumbersVisitor<N> {
    type Value = [u32; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of {N} numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<[u32; N], A::Error> {
        let mut numbers = [0; N];
        for (index, number) in numbers.iter_mut().enumerate() {
            *number = array.next_element()?.ok_or_else(|| A::Error::invalid_length(index, &self))?;
        }
        match array.next_element::<IgnoredAny>()? {
            None => Ok(numbers),
            Some(_) => Err(A::Error::invalid_length(N + 1, &self)),
        }
    }
}
