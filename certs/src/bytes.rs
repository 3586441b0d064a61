//! Byte strings: a macro for those of a fixed size that have a meaning of their own, and decoding that takes nothing else
//! for one.
//!
//! The CBOR decoder alone would take an array of small integers for a byte string: one value would have two encodings, of
//! which other implementations refuse one.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_bytes::ByteBuf;

/// Decodes a byte string of exactly `N` bytes.
///
/// # Errors
/// The decoder's, for anything else.
pub fn byte_array<'de, const N: usize, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; N], D::Error> {
    deserializer.deserialize_bytes(ArrayVisitor)
}

/// Decodes a byte string of any length. For `#[serde(deserialize_with)]`.
///
/// # Errors
/// The decoder's, for anything else.
pub fn byte_buf<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteBuf, D::Error> {
    deserializer.deserialize_byte_buf(BufVisitor)
}

/// Decodes a byte string or `null`. For `#[serde(deserialize_with)]`, with `default` where it may be absent.
///
/// # Errors
/// The decoder's, for anything else.
pub fn optional_byte_buf<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ByteBuf>, D::Error> {
    struct Strict(ByteBuf);

    impl<'de> Deserialize<'de> for Strict {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            byte_buf(deserializer).map(Self)
        }
    }

    Ok(Option::<Strict>::deserialize(deserializer)?.map(|strict| strict.0))
}

struct ArrayVisitor<const N: usize>;

impl<const N: usize> Visitor<'_> for ArrayVisitor<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a byte string of {N} bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<[u8; N], E> {
        bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}

struct BufVisitor;

impl Visitor<'_> for BufVisitor {
    type Value = ByteBuf;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte string")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<ByteBuf, E> {
        Ok(ByteBuf::from(bytes))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<ByteBuf, E> {
        Ok(ByteBuf::from(bytes))
    }
}

/// Defines a newtype over `[u8; N]` that is a CBOR byte string of exactly that length on the wire, and prints as
/// lower-case hex.
#[macro_export]
macro_rules! byte_string {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// How many bytes it has.
            pub const LENGTH: usize = $length;

            /// From its bytes.
            pub const fn from_bytes(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }

            /// From a slice, or `None` if that has another length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// From lower- or upper-case hex, or `None` if it is not exactly that.
            pub fn from_hex(text: &str) -> Option<Self> {
                let bytes = $crate::cbor::unhex(text)?;
                Self::from_slice(&bytes)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::bytes::byte_array(deserializer).map(Self)
            }
        }
    };
}
