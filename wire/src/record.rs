//! Records: what a node publishes about one resource, signed.

use certs::{
    AccountId, NetworkId, NodeId, PublicKey, Signed, SignedError, Statement, UnixNanos, UserName,
    unknown_format,
};
use serde::de::value::{Error as WordError, StrDeserializer};
use serde::de::{self, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::cbor;
use crate::error::{ErrorBody, ErrorCode};
use crate::hash::{ContentHash, RecordHash, RootHash};
use crate::limits;
use crate::name::ResourceName;

/// How long a tombstone is kept: 15 months of 30.4375 days.
pub const TOMBSTONE_RETENTION_MS: u64 = 39_447_000_000;

/// A record with its signature checked.
pub type SignedRecord = Signed<Record>;

/// One version of one resource, as its publishing node signs it. PROTOCOL.md, "Records".
///
/// A resource is (account, name). Nobody replaces a higher record by a lower one: see [`Record::rank`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// 0.
    pub format: u8,
    /// The network.
    pub network: NetworkId,
    /// The account that owns the resource.
    pub account: AccountId,
    /// The account's user name.
    pub user: UserName,
    /// The node that publishes this; it signs the record.
    pub node: NodeId,
    /// The resource's name.
    pub name: ResourceName,
    /// What it is.
    pub kind: Kind,
    /// From 1 upwards; each new content, and each tombstone, is one more.
    pub version: u64,
    /// Counts changes of visibility alone within one version, from 0 upwards.
    pub revision: u64,
    /// The record that this one was built on; `None` only for version 1, revision 0.
    pub prev: Option<RecordHash>,
    /// Size of the content in bytes; 0 for a tombstone.
    pub size: u64,
    /// When the content was last modified, by the publisher's file system.
    pub mtime: UnixNanos,
    /// When this was published, by the publisher's clock.
    pub published: UnixNanos,
    /// The content; `None` only for a tombstone.
    pub content: Option<ContentHash>,
    /// The root of the publisher's manifest of it; `None` only for a tombstone.
    pub root: Option<RootHash>,
    /// Who may see it.
    pub visibility: Visibility,
    /// Optional additions by name; who does not know one ignores it. Empty in this version.
    pub extensions: std::collections::BTreeMap<String, Extension>,
}

/// The value of an extension that need not be understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Extension {
    /// A truth value.
    Bool(bool),
    /// A number.
    Unsigned(u64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(serde_bytes::ByteBuf),
}

impl<'de> Deserialize<'de> for Extension {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExtensionVisitor)
    }
}

struct ExtensionVisitor;

impl Visitor<'_> for ExtensionVisitor {
    type Value = Extension;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a truth value, a number from 0 upwards, text or bytes")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Extension, E> {
        Ok(Extension::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Extension, E> {
        Ok(Extension::Unsigned(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Extension, E> {
        Ok(Extension::Text(value.to_owned()))
    }

    fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<Extension, E> {
        Ok(Extension::Bytes(serde_bytes::ByteBuf::from(value)))
    }

    fn visit_byte_buf<E: de::Error>(self, value: Vec<u8>) -> Result<Extension, E> {
        Ok(Extension::Bytes(value.into()))
    }
}

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One file.
    File,
    /// A folder with all that is in it.
    Folder,
    /// Nothing more: the tombstone of a resource that its owner took back.
    Gone,
}

impl Kind {
    /// Its word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Gone => "gone",
        }
    }
}

/// Who may see a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Every member of the network.
    Members,
}

/// The place of a record in the total order of the records of one resource: version, then revision, then mtime (not
/// after `published`), then hash. The same at the index, at replicas and at subscribers; never equal for two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordRank {
    version: u64,
    revision: u64,
    mtime: UnixNanos,
    hash: RecordHash,
}

impl RecordRank {
    /// The record's version.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The record's hash.
    pub const fn hash(&self) -> RecordHash {
        self.hash
    }

    /// In 56 bytes, for a database.
    pub fn to_bytes(&self) -> [u8; 56] {
        let mut bytes = [0; 56];
        bytes[..8].copy_from_slice(&self.version.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.revision.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.mtime.0.to_be_bytes());
        bytes[24..].copy_from_slice(self.hash.as_bytes());
        bytes
    }

    /// What [`RecordRank::to_bytes`] made.
    pub fn from_bytes(bytes: &[u8; 56]) -> Self {
        let number = |at: usize| <[u8; 8]>::try_from(&bytes[at..at + 8]).expect("8 bytes");
        Self {
            version: u64::from_be_bytes(number(0)),
            revision: u64::from_be_bytes(number(8)),
            mtime: UnixNanos(i64::from_be_bytes(number(16))),
            hash: RecordHash::from_slice(&bytes[24..]).expect("32 bytes"),
        }
    }
}

impl Record {
    /// The place in the total order of a record with this hash.
    pub fn rank(&self, hash: RecordHash) -> RecordRank {
        let mtime = self.mtime.min(self.published);
        RecordRank { version: self.version, revision: self.revision, mtime, hash }
    }

    /// Whether it is a tombstone.
    pub fn is_gone(&self) -> bool {
        self.kind == Kind::Gone
    }

    /// The tombstone that takes this record's resource back.
    pub fn tombstone(&self, hash: RecordHash, node: NodeId, now: UnixNanos) -> Self {
        Self {
            node,
            kind: Kind::Gone,
            version: self.version + 1,
            revision: 0,
            prev: Some(hash),
            size: 0,
            mtime: now,
            published: now,
            content: None,
            root: None,
            extensions: Default::default(),
            ..self.clone()
        }
    }
}

/// The hash by which a signed record is named.
pub fn record_hash(record: &SignedRecord) -> RecordHash {
    RecordHash::from_bytes(*record.hash())
}

impl Statement for Record {
    const CONTEXT: &'static str = "p2p-node/0 record";
    const MAX_BYTES: usize = limits::RECORD_BYTES;

    fn check(&self, signer: &PublicKey) -> Result<(), String> {
        let broken = |rule: &str| Err(rule.to_owned());
        if self.format != 0 {
            return Err(format!("a record of an unknown format, {}", self.format));
        }
        if self.node != *signer {
            return broken("a record is signed by the node that it names");
        }
        if self.version == 0 || self.version > limits::VERSION {
            return broken("versions are numbers from 1 to 2^53");
        }
        if self.revision > limits::VERSION {
            return broken("revisions are numbers up to 2^53");
        }
        if (self.version, self.revision) == (1, 0) {
            if self.prev.is_some() || self.is_gone() {
                return broken("the first record of a resource is built on none, and is no tombstone");
            }
        } else if self.prev.is_none() {
            return broken("a record of a later version names the one before it");
        }
        if self.is_gone() != self.content.is_none() || self.is_gone() != self.root.is_none() {
            return broken("a tombstone has no content and no manifest root, any other record has both");
        }
        if self.is_gone() && (self.revision != 0 || self.size != 0 || self.mtime != self.published) {
            return broken("a tombstone has revision 0 and size 0, and was modified when it was published");
        }
        if self.size > limits::CONTENT_BYTES {
            return broken("the size is over 2^53 bytes");
        }
        Ok(())
    }

    fn unknown(payload: &[u8]) -> Option<String> {
        #[derive(Deserialize)]
        struct Words {
            kind: String,
            visibility: String,
        }
        fn known<'de, T: Deserialize<'de>>(word: &'de str) -> bool {
            let word: StrDeserializer<'de, WordError> = word.into_deserializer();
            T::deserialize(word).is_ok()
        }
        if let Some(format) = unknown_format(payload) {
            return Some(format);
        }
        let Words { kind, visibility } = cbor::decode(payload, payload.len()).ok()?;
        match (known::<Kind>(&kind), known::<Visibility>(&visibility)) {
            (false, _) => Some(format!("kind {kind:?}")),
            (_, false) => Some(format!("visibility {visibility:?}")),
            _ => None,
        }
    }
}

/// What to answer to bytes that should be a record and are not: `unsupported` for what a later version may know, else
/// `bad-record`.
pub fn record_refusal(error: &SignedError) -> ErrorBody {
    let code = match error {
        SignedError::Unknown(_) | SignedError::Critical(_) => ErrorCode::Unsupported,
        _ => ErrorCode::BadRecord,
    };
    ErrorBody::new(code, error.to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use certs::SecretKey;

    pub(crate) fn record(version: u64, mtime: i64, node: &SecretKey) -> Record {
        Record {
            format: 0,
            network: SecretKey::from_seed([1; 32]).public(),
            account: AccountId::from_bytes([5; 16]),
            user: "alice".parse().expect("a name"),
            node: node.public(),
            name: "report.pdf".parse().expect("a name"),
            kind: Kind::File,
            version,
            revision: 0,
            prev: (version > 1).then(|| RecordHash::from_bytes([8; 32])),
            size: 5,
            mtime: UnixNanos(mtime),
            published: UnixNanos(1000),
            content: Some(ContentHash::of(b"hello")),
            root: Some(RootHash::of(b"root")),
            visibility: Visibility::Members,
            extensions: Default::default(),
        }
    }

    #[test]
    fn order_is_version_revision_clipped_mtime_hash() {
        let key = SecretKey::from_seed([2; 32]);
        let (low, high) = (RecordHash::from_bytes([0; 32]), RecordHash::from_bytes([1; 32]));
        let rank =
            |version, revision, mtime, hash| Record { revision, ..record(version, mtime, &key) }.rank(hash);
        assert!(rank(2, 0, 0, low) > rank(1, 9, 999, high));
        assert!(rank(1, 1, 0, low) > rank(1, 0, 999, high));
        assert!(rank(1, 0, 2, low) > rank(1, 0, 1, high));
        assert!(rank(1, 0, 1, high) > rank(1, 0, 1, low));
        assert_eq!(rank(1, 0, 5000, low), rank(1, 0, 1000, low), "an mtime in the future does not win");
    }

    #[test]
    fn rules_that_types_cannot_say() {
        let key = SecretKey::from_seed([2; 32]);
        let good = record(1, 1, &key);
        let hash = record_hash(&Signed::sign(&key, good.clone()));
        assert_eq!(good.check(&key.public()), Ok(()));
        assert_eq!(good.tombstone(hash, key.public(), UnixNanos(2)).check(&key.public()), Ok(()));
        let other = SecretKey::from_seed([3; 32]).public();
        assert!(good.check(&other).is_err());
        for bad in [
            Record { format: 1, ..good.clone() },
            Record { version: 0, ..good.clone() },
            Record { version: u64::MAX, ..good.clone() },
            Record { version: 2, ..good.clone() },
            Record { revision: 1, ..good.clone() },
            Record { prev: Some(hash), ..good.clone() },
            Record { version: 1, prev: None, ..good.tombstone(hash, key.public(), UnixNanos(2)) },
            Record { content: None, ..good.clone() },
            Record { root: None, ..good.clone() },
            Record { kind: Kind::Gone, ..good.clone() },
            Record { mtime: UnixNanos(1), ..good.tombstone(hash, key.public(), UnixNanos(2)) },
            Record { size: u64::MAX, ..good.clone() },
        ] {
            assert!(bad.check(&key.public()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn reserved_and_later_words_are_told_from_bad_ones() {
        let key = SecretKey::from_seed([2; 32]);
        let bytes = cbor::encode(&record(1, 1, &key));
        assert_eq!(Record::unknown(&bytes), None);
        let with = |word: &[u8], other: &[u8]| {
            let at = bytes.windows(word.len()).position(|window| window == word).expect("in it");
            let mut changed = bytes.clone();
            changed.splice(at..at + word.len(), other.iter().copied());
            Record::unknown(&changed)
        };
        assert_eq!(with(b"\x67members", b"\x66listed").as_deref(), Some("visibility \"listed\""));
        assert_eq!(with(b"\x64file", b"\x64pipe").as_deref(), Some("kind \"pipe\""));
        assert_eq!(with(b"\x66format\x00", b"\x66format\x07").as_deref(), Some("format 7"));
        let refusal = record_refusal(&SignedError::Unknown("format 7".to_owned()));
        assert_eq!(refusal.code, ErrorCode::Unsupported);
        assert_eq!(record_refusal(&SignedError::Signature).code, ErrorCode::BadRecord);
    }

    #[test]
    fn extensions_keep_their_type() {
        let values = [
            Extension::Bool(true),
            Extension::Unsigned(u64::MAX),
            Extension::Text("text".to_owned()),
            Extension::Bytes(serde_bytes::ByteBuf::from(*b"text")),
            Extension::Bytes(serde_bytes::ByteBuf::from([0xff; 5000])),
        ];
        for value in values {
            assert_eq!(cbor::decode::<Extension>(&cbor::encode(&value), 9999), Ok(value));
        }
        for other in [&[0x20_u8][..], &[0xf6], &[0x80], &[0x81, 0], &[0xa0]] {
            assert!(cbor::decode::<Extension>(other, 9).is_err(), "{other:?}");
        }
    }
}
