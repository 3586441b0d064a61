//! `statements`: two members bring one another up to date about catalogues, presence and the list of members.

use certs::bytes::optional_byte_buf;
use certs::{NodeId, UnixMillis};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{at_most, bounded, exactly_one};
use crate::catalogue::HeadBundle;
use crate::error::ErrorBody;
use crate::hash::{Digest, TreeHash};
use crate::limits;
use crate::members::MembersBundle;
use crate::presence::{IndexPlace, PresenceBundle};

/// `statements`: exactly one of the four is present.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Statements {
    /// Do we know the same?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<StatementsDigest>,
    /// What I know, in parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub have: Option<Have>,
    /// What is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub news: Option<News>,
    /// Pages of trees, at most 64, by their hashes.
    #[serde(
        default,
        deserialize_with = "bounded::request_if_any::<{ limits::STATEMENTS }, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub pages: Option<Vec<TreeHash>>,
}

/// What a node knows, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementsDigest {
    /// [`known_digest`] of all that it knows of nodes.
    pub known: Digest,
    /// The hash of the members head that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Digest>,
    /// The hash of the word of the index that it has, where that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<Digest>,
}

/// What a node knows of the nodes from one to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// The nodes after this one; from the first if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<NodeId>,
    /// Up to and with this one; to the last if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<NodeId>,
    /// What it knows of those, at most 4,096, in ascending order.
    #[serde(deserialize_with = "bounded::request::<{ limits::KNOWN_NODES }, _, _>")]
    pub known: Vec<Known>,
}

/// What is known of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The node.
    pub node: NodeId,
    /// The sequence of the head of its catalogue; 0 where there is none.
    pub seq: u64,
    /// The hash of that head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Digest>,
    /// The time of its last word of presence; 0 where there is none that still holds.
    pub presence: UnixMillis,
}

/// Statements that the other end may not have, at most 64 heads and 64 words of presence.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct News {
    /// Heads of catalogues.
    #[serde(default, deserialize_with = "bounded::request::<{ limits::STATEMENTS }, _, _>")]
    pub heads: Vec<HeadBundle>,
    /// Words of presence.
    #[serde(default, deserialize_with = "bounded::request::<{ limits::STATEMENTS }, _, _>")]
    pub presence: Vec<PresenceBundle>,
    /// The members head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<MembersBundle>,
    /// Where the index is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexPlace>,
}

/// The A of `statements`; what is in it depends on what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stated {
    /// To `digest`: the answerer's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<StatementsDigest>,
    /// To `digest` with another members head or place of the index than the answerer's, and to `have`: what the asker may lack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub news: Option<News>,
    /// To `have`: there was more than fits; ask again once this has been taken in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// To `have`: nodes of which the asker knows something newer, at most 4,096.
    #[serde(
        default,
        deserialize_with = "bounded::answer::<{ limits::KNOWN_NODES }, _, _>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub want: Vec<NodeId>,
    /// To `pages`: the pages in the order in which they were asked for, `null` for each that the answerer does not have.
    #[serde(
        default,
        deserialize_with = "bounded::answer::<{ limits::STATEMENTS }, _, _>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub pages: Vec<StatedPage>,
}

/// A page of a tree, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StatedPage(#[serde(deserialize_with = "optional_byte_buf")] pub Option<ByteBuf>);

impl Statements {
    /// Checks that one alternative is present and within its bounds.
    ///
    /// # Errors
    /// The E to answer.
    pub fn check(&self) -> Result<(), ErrorBody> {
        let present = [self.digest.is_some(), self.have.is_some(), self.news.is_some(), self.pages.is_some()];
        exactly_one(&present, "digest, have, news and pages")?;
        let known = self.have.as_ref().map_or(0, |have| have.known.len());
        at_most("known nodes", known, limits::KNOWN_NODES)?;
        at_most("pages", self.pages.as_ref().map_or(0, Vec::len), limits::STATEMENTS)?;
        self.news.as_ref().map_or(Ok(()), News::check)
    }
}

impl News {
    /// Checks its bounds.
    ///
    /// # Errors
    /// `too-large`.
    pub fn check(&self) -> Result<(), ErrorBody> {
        at_most("heads", self.heads.len(), limits::STATEMENTS)?;
        at_most("words of presence", self.presence.len(), limits::STATEMENTS)
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.presence.is_empty() && self.members.is_none() && self.index.is_none()
    }
}

/// BLAKE3 over (node, sequence as 8 bytes big-endian, the head's hash or 32 zeros, time of presence as 8 bytes big-endian)
/// for each node, by their bytes. The caller gives them in that order.
pub fn known_digest(known: impl IntoIterator<Item = Known>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for one in known {
        hasher.update(one.node.as_bytes());
        hasher.update(&one.seq.to_be_bytes());
        hasher.update(one.head.map_or([0; 32], |head| *head.as_bytes()).as_slice());
        hasher.update(&one.presence.0.to_be_bytes());
    }
    Digest::from_bytes(*hasher.finalize().as_bytes())
}
