//! Ids: public keys of nodes and networks, and the random ids of accounts.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{LazyLock, Mutex, PoisonError};

use data_encoding::Encoding;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An Ed25519 public key (RFC 8032) that is known to be a point of the curve and not of small order.
///
/// 32 bytes on the wire; prints as 52 characters of lower-case base32 without padding (RFC 4648).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// A node: its public key. The same key makes the node's TLS certificate.
pub type NodeId = PublicKey;

/// A network: the public key of its root.
pub type NetworkId = PublicKey;

/// Why a text or a byte string is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not base32, or not of the right length.
    #[error("an id is {expected} characters of a-z and 2-7")]
    Text {
        /// How many characters it should have.
        expected: usize,
    },
    /// 32 bytes that are no usable Ed25519 key.
    #[error("the bytes are no valid Ed25519 public key")]
    Key,
}

impl PublicKey {
    /// How many bytes it has.
    pub const LENGTH: usize = 32;

    /// From its 32 bytes.
    ///
    /// # Errors
    /// [`IdError::Key`] if they are no point of the curve, not its one canonical encoding (two ids would be one key), or
    /// a point of small order (a key that any signature fits).
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, IdError> {
        checked(&bytes).map(|_| Self(bytes)).ok_or(IdError::Key)
    }

    /// From a slice.
    ///
    /// # Errors
    /// [`IdError::Key`] also where it has another length than 32.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, IdError> {
        Self::from_bytes(bytes.try_into().map_err(|_| IdError::Key)?)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first characters of its text, for people who compare two ids at a glance; not for identification.
    pub fn short(&self) -> String {
        self.to_string().chars().take(10).collect()
    }

    pub(crate) const fn from_checked(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn verifying_key(&self) -> Option<VerifyingKey> {
        checked(&self.0)
    }
}

/// Keys that are remembered in all, some 250 bytes each: those of a network of a thousand nodes and their accounts.
const REMEMBERED: usize = 4096;
/// Parts with a lock each.
const PARTS: usize = 16;

type Keys = HashMap<[u8; 32], VerifyingKey>;

/// What is said of a network names the same keys over and over, and a check costs as much as half a signature's.
static CHECKED: LazyLock<[Mutex<Keys>; PARTS]> = LazyLock::new(Default::default);

/// The key of these bytes, if they are one as [`PublicKey::from_bytes`] has it.
fn checked(bytes: &[u8; 32]) -> Option<VerifyingKey> {
    let part = &CHECKED[usize::from(bytes[0]) % PARTS];
    let remembered = || part.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(key) = remembered().get(bytes) {
        return Some(*key);
    }
    let key = VerifyingKey::from_bytes(bytes).ok()?;
    if key.is_weak() || key.to_edwards().compress().to_bytes() != *bytes {
        return None;
    }
    let mut remembered = remembered();
    if remembered.len() >= REMEMBERED / PARTS {
        remembered.clear();
    }
    remembered.insert(*bytes, key);
    Some(key)
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base32().encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bytes = base32()
            .decode(text.as_bytes())
            .ok()
            .filter(|bytes| bytes.len() == Self::LENGTH)
            .ok_or(IdError::Text { expected: 52 })?;
        Self::from_slice(&bytes)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = crate::bytes::byte_array(deserializer)?;
        Self::from_bytes(bytes).map_err(serde::de::Error::custom)
    }
}

crate::byte_string!(
    /// An account: 16 random bytes, given once and never again, so that a user name that is freed and taken again
    /// inherits nothing.
    AccountId,
    16
);

impl AccountId {
    /// A new one.
    ///
    /// # Errors
    /// Where the system has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; Self::LENGTH];
        getrandom::fill(&mut bytes)?;
        Ok(Self::from_bytes(bytes))
    }
}

/// Lower-case base32 of RFC 4648 without padding.
fn base32() -> &'static Encoding {
    use std::sync::OnceLock;
    static ENCODING: OnceLock<Encoding> = OnceLock::new();
    ENCODING.get_or_init(|| {
        let mut specification = data_encoding::Specification::new();
        specification.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
        specification.encoding().expect("32 distinct ASCII symbols make an encoding")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn text_round_trips() {
        let id = SecretKey::from_seed([7; 32]).public();
        let text = id.to_string();
        assert_eq!(text.len(), 52);
        assert_eq!(text.parse::<PublicKey>(), Ok(id));
        assert_eq!(text.to_uppercase().parse::<PublicKey>(), Err(IdError::Text { expected: 52 }));
        assert_eq!(text[1..].parse::<PublicKey>(), Err(IdError::Text { expected: 52 }));
    }

    #[test]
    fn keys_of_small_order_are_no_ids() {
        let mut identity_point = [0; 32];
        identity_point[0] = 1;
        assert_eq!(PublicKey::from_bytes(identity_point), Err(IdError::Key));
        assert_eq!(PublicKey::from_bytes([0; 32]), Err(IdError::Key));
        assert_eq!(PublicKey::from_bytes([0xff; 32]), Err(IdError::Key));
    }
}
