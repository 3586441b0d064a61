//! R: what this node publishes, and what it holds.

use certs::bytes::optional_byte_buf;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{RecordBundle, Reserved, at_most, bounded, exactly_one, unsupported};
use crate::error::ErrorBody;
use crate::hash::{ContentHash, Digest, RecordHash};
use crate::limits;
use crate::name::ResourceName;

/// R: exactly one of the four is present.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Register {
    /// The first R of a connection: is the index up to date?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<RegisterStart>,
    /// Records that this node publishes, at most 128.
    #[serde(
        default,
        deserialize_with = "bounded::request_if_any::<{ limits::BATCH_RECORDS }, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub records: Option<Vec<RecordBundle>>,
    /// Contents that this node holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Holds>,
    /// Reserved: somebody else's verifying records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recover: Option<Reserved>,
}

/// What the sender publishes and holds, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterStart {
    /// Larger than in every earlier start of this node: max(unix ms, last + 1).
    pub seq: u64,
    /// [`records_digest`] of the records that this node publishes, tombstones included.
    pub records: Digest,
    /// [`holdings_digest`] of what this node holds.
    pub holdings: Digest,
}

/// Contents that the sender holds. They are added to those known, or, in the last one of a generation, take their place:
/// what was not named in this generation is then forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// The `seq` of the start that this belongs to.
    pub generation: u64,
    /// The contents, at most 4,096.
    #[serde(deserialize_with = "bounded::request::<{ limits::BATCH_HOLDINGS }, _, _>")]
    pub contents: Vec<Held>,
    /// Whether the generation is complete with this one. `false` for what is added later.
    pub last: bool,
}

/// One content that a node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Held {
    /// The content.
    pub content: ContentHash,
    /// Whether it has all of it.
    pub whole: bool,
}

/// The A of R and of D: `want_*` answer a start, the outcomes answer records in their order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Registered {
    /// To a start: the records differ; take the list (L with `node`) and send the differences.
    #[serde(default)]
    pub want_records: bool,
    /// To a start: the holdings differ; send all of them.
    #[serde(default)]
    pub want_holdings: bool,
    /// To records: one outcome each.
    #[serde(default, deserialize_with = "bounded::answer::<{ limits::BATCH_RECORDS }, _, _>")]
    pub outcomes: Vec<Outcome>,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which of the five.
    pub outcome: OutcomeKind,
    /// The index's receipt for the record that now stands, unless refused.
    #[serde(default, deserialize_with = "optional_byte_buf", skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ByteBuf>,
    /// The index certificate that the receipt names, where that is another than the one of the index's `hello`.
    #[serde(default, deserialize_with = "optional_byte_buf", skip_serializing_if = "Option::is_none")]
    pub certificate: Option<ByteBuf>,
    /// The record that stands, where that is another than the one sent: always with `superseded`, and with `unchanged`
    /// where another record has the same content.
    #[serde(default, deserialize_with = "optional_byte_buf", skip_serializing_if = "Option::is_none")]
    pub winner: Option<ByteBuf>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeKind {
    /// There was no entry of this owner and name, or only a tombstone.
    Created,
    /// It takes the place of the one before.
    Updated,
    /// The entry has this content already.
    Unchanged,
    /// A higher record stands.
    Superseded,
    /// It breaks a rule; see the error.
    Refused,
}

impl OutcomeKind {
    /// Its word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Superseded => "superseded",
            Self::Refused => "refused",
        }
    }
}

impl Register {
    /// Checks that one alternative is present and within its bounds.
    ///
    /// # Errors
    /// The E to answer.
    pub fn check(&self) -> Result<(), ErrorBody> {
        if self.recover.is_some() {
            return Err(unsupported("recover"));
        }
        let present = [self.start.is_some(), self.records.is_some(), self.holds.is_some()];
        exactly_one(&present, "start, records and holds")?;
        at_most("records", self.records.as_ref().map_or(0, Vec::len), limits::BATCH_RECORDS)?;
        let contents = self.holds.as_ref().map_or(0, |holds| holds.contents.len());
        at_most("contents", contents, limits::BATCH_HOLDINGS)
    }
}

/// BLAKE3 over (length of the name as 2 bytes big-endian, name, record hash) for each record, by the bytes of the names.
/// The caller gives them in that order.
pub fn records_digest<'a>(records: impl IntoIterator<Item = (&'a ResourceName, RecordHash)>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for (name, hash) in records {
        let length = u16::try_from(name.as_str().len()).expect("a name has at most 255 bytes");
        hasher.update(&length.to_be_bytes());
        hasher.update(name.as_str().as_bytes());
        hasher.update(hash.as_bytes());
    }
    Digest::from_bytes(*hasher.finalize().as_bytes())
}

/// BLAKE3 over (content hash, 1 byte: 1 if whole, else 0) for each content, by the bytes of the hashes. The caller
/// gives them in that order, each once.
pub fn holdings_digest(holdings: impl IntoIterator<Item = Held>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for held in holdings {
        hasher.update(held.content.as_bytes());
        hasher.update(&[u8::from(held.whole)]);
    }
    Digest::from_bytes(*hasher.finalize().as_bytes())
}
