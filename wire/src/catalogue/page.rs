//! A page of a tree: a branch that names pages, or a leaf.
//!
//! In CBOR a map of one entry. What is in a leaf is in ascending order, and so are the leaves of a tree.

use certs::bytes::{byte_buf, optional_byte_buf};
use certs::{AccountId, NodeId, UnixMillis, UserName};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::ByteBuf;

use crate::cbor::{self, CborError};
use crate::hash::{ContentHash, TreeHash};
use crate::limits;

/// What the leaves of a tree hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TreeKind {
    /// Records of one node, by the bytes of their names.
    Records,
    /// Contents, by their bytes.
    Held,
    /// Members, by the bytes of their nodes.
    Members,
    /// Ended memberships, by the bytes of their nodes.
    Revoked,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum CataloguePage {
    /// Pages, at least two: a branch.
    Pages(Hashes<TreeHash>),
    /// Records with their receipts.
    Records(RecordsLeaf),
    /// Contents.
    Held(Hashes<ContentHash>),
    /// Members.
    Members(Vec<MemberEntry>),
    /// Memberships that ended before their time.
    Revoked(Vec<Revoked>),
}

/// Records, and the index certificates that their receipts name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordsLeaf {
    /// The certificates, by their bytes, each once.
    #[serde(deserialize_with = "byte_bufs", serialize_with = "serialize_byte_bufs")]
    pub certificates: Vec<ByteBuf>,
    /// The records.
    pub records: Vec<CatalogueRecord>,
}

/// A record in a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueRecord {
    /// The signed record.
    #[serde(deserialize_with = "byte_buf")]
    pub record: ByteBuf,
    /// The index's receipt for it, once there is one.
    #[serde(deserialize_with = "optional_byte_buf")]
    pub receipt: Option<ByteBuf>,
}

/// A member as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberEntry {
    /// The node.
    pub node: NodeId,
    /// Its account.
    pub account: AccountId,
    /// The account's user name.
    pub user: UserName,
    /// The serial of its last membership.
    pub serial: u64,
}

/// A membership that ended before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// The node.
    pub node: NodeId,
    /// The highest serial that is ended.
    pub serial: u64,
    /// Since when.
    pub since: UnixMillis,
}

/// Hashes one after the other, in CBOR one byte string.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hashes<T>(pub Vec<T>);

/// A hash of 32 bytes.
pub trait Hash32: Sized + Copy {
    /// Its bytes.
    fn bytes(&self) -> &[u8; 32];
    /// From its bytes.
    fn from_array(bytes: [u8; 32]) -> Self;
}

macro_rules! hash32 {
    ($($name:ident),*) => {$(
        impl Hash32 for $name {
            fn bytes(&self) -> &[u8; 32] {
                self.as_bytes()
            }

            fn from_array(bytes: [u8; 32]) -> Self {
                Self::from_bytes(bytes)
            }
        }
    )*};
}

hash32!(TreeHash, ContentHash);

impl<T: Hash32> Serialize for Hashes<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|hash| *hash.bytes()).collect();
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de, T: Hash32> Deserialize<'de> for Hashes<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = byte_buf(deserializer)?;
        let (hashes, rest) = bytes.as_chunks::<32>();
        match rest {
            [] => Ok(Self(hashes.iter().map(|hash| T::from_array(*hash)).collect())),
            _ => Err(serde::de::Error::custom("hashes are 32 bytes each")),
        }
    }
}

/// Byte strings, each of them no array.
fn byte_bufs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ByteBuf>, D::Error> {
    #[derive(Deserialize)]
    struct Strict(#[serde(deserialize_with = "byte_buf")] ByteBuf);
    Ok(Vec::<Strict>::deserialize(deserializer)?.into_iter().map(|strict| strict.0).collect())
}

fn serialize_byte_bufs<S: Serializer>(bufs: &[ByteBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(bufs)
}

impl CataloguePage {
    /// Encodes it.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes one, of its one encoding, and checks what can be checked without its neighbours.
    ///
    /// # Errors
    /// See [`CborError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let page: Self = cbor::decode_one_encoding(bytes, limits::TREE_PAGE_BYTES)?;
        match page.is_filled() {
            true => Ok(page),
            false => Err(CborError::Schema("a page with too little in it".to_owned())),
        }
    }

    /// What its tree holds, where it is a leaf.
    pub const fn leaf(&self) -> Option<TreeKind> {
        match self {
            Self::Pages(_) => None,
            Self::Records(_) => Some(TreeKind::Records),
            Self::Held(_) => Some(TreeKind::Held),
            Self::Members(_) => Some(TreeKind::Members),
            Self::Revoked(_) => Some(TreeKind::Revoked),
        }
    }

    /// Items of a leaf; 0 for a branch.
    pub fn items(&self) -> usize {
        match self {
            Self::Pages(_) => 0,
            Self::Records(leaf) => leaf.records.len(),
            Self::Held(hashes) => hashes.0.len(),
            Self::Members(members) => members.len(),
            Self::Revoked(revoked) => revoked.len(),
        }
    }

    /// A branch of one page, or a leaf of nothing, would let a tree be larger than what is in it.
    fn is_filled(&self) -> bool {
        match self {
            Self::Pages(pages) => pages.0.len() >= 2,
            leaf => leaf.items() > 0,
        }
    }
}
