//! P: where can it be had, may I have it, do you still have it?

use certs::bytes::{byte_buf, optional_byte_buf};
use certs::{NodeId, UserName};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::data::{Run, check_runs};
use super::{Address, at_most, bad_message, bounded, check_cursor, exactly_one};
use crate::error::ErrorBody;
use crate::hash::{ContentHash, RootHash};
use crate::limits;
use crate::name::ResourceName;

/// P: exactly one of the three is present.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RequestDownload {
    /// Peer → index: the record of a resource, and who holds its content. Answered by [`Located`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceQuery>,
    /// Peer → holder: what do you have of this content? Answered by [`Granted`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
    /// Index → holder: do you still have it? Answered by [`Probed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
}

/// Which resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceQuery {
    /// Whose it is.
    pub owner: UserName,
    /// Its name.
    pub name: ResourceName,
    /// Which version; `None` means the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// From an earlier answer: more of its holders.
    #[serde(default, deserialize_with = "optional_byte_buf", skip_serializing_if = "Option::is_none")]
    pub cursor: Option<ByteBuf>,
    /// The record is wanted even where nobody can give the content: the A then has no holders. `false` if absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anyway: bool,
}

/// A record with what makes it verifiable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordBundle {
    /// The signed record.
    #[serde(deserialize_with = "byte_buf")]
    pub record: ByteBuf,
    /// The index's receipt for it.
    #[serde(default, deserialize_with = "optional_byte_buf", skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ByteBuf>,
    /// The index certificate that the receipt names.
    #[serde(default, deserialize_with = "optional_byte_buf", skip_serializing_if = "Option::is_none")]
    pub certificate: Option<ByteBuf>,
    /// The publisher's enrolment, where there is no receipt.
    #[serde(default, deserialize_with = "optional_byte_buf", skip_serializing_if = "Option::is_none")]
    pub enrolment: Option<ByteBuf>,
}

impl RecordBundle {
    /// The record alone, as its publisher sends it.
    pub fn bare(record: impl Into<Vec<u8>>) -> Self {
        Self { record: ByteBuf::from(record), receipt: None, certificate: None, enrolment: None }
    }
}

/// What a requester shows a holder.
pub type Grant = RecordBundle;

/// Do you still have it, and who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The content.
    pub content: ContentHash,
    /// The node that wants it.
    pub asker: NodeId,
    /// Its user.
    pub user: UserName,
}

/// The A of a [`ResourceQuery`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    /// The record, with receipt and certificate.
    pub bundle: RecordBundle,
    /// Who holds its content and is online, at most 32.
    #[serde(deserialize_with = "bounded::answer::<{ limits::HOLDERS }, _, _>")]
    pub holders: Vec<HolderInfo>,
    /// For the next holders; absent after the last.
    #[serde(default, deserialize_with = "optional_byte_buf", skip_serializing_if = "Option::is_none")]
    pub next: Option<ByteBuf>,
}

/// A holder that is online.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderInfo {
    /// The node.
    pub node: NodeId,
    /// Its user.
    pub user: UserName,
    /// Where it can be reached, at most 8, the likeliest first.
    #[serde(deserialize_with = "bounded::answer::<{ limits::ADDRESSES }, _, _>")]
    pub addresses: Vec<Address>,
    /// Whether it has all of the content.
    pub whole: bool,
}

/// The A of a [`Grant`]: from now on G may name this record's hash on this connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The manifests that the holder has for the content, at most 8, at least one.
    #[serde(deserialize_with = "bounded::answer::<{ limits::ROOTS }, _, _>")]
    pub roots: Vec<HeldRoot>,
    /// Whether the holder has granted this content to another node that is connected to it: that may have parts to give
    /// soon, and lacks others. `false` if absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub others: bool,
}

/// One manifest of the content, and which of its chunks the holder has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldRoot {
    /// The manifest's root.
    pub root: RootHash,
    /// The chunks that it has, in ascending order without overlap, at most 8,192 runs; `None` means all of them.
    #[serde(
        default,
        deserialize_with = "bounded::answer_if_any::<{ limits::RANGES }, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub chunks: Option<Vec<Run>>,
}

/// The A of a [`Probe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// Whether it has all of the content. One that has nothing answers `not-found` or `changed`.
    pub whole: bool,
}

impl ResourceQuery {
    /// The latest version, and the first of its holders.
    pub const fn latest(owner: UserName, name: ResourceName) -> Self {
        Self { owner, name, version: None, cursor: None, anyway: false }
    }
}

impl RequestDownload {
    /// Checks that one alternative is present and within its bounds.
    ///
    /// # Errors
    /// The E to answer.
    pub fn check(&self) -> Result<(), ErrorBody> {
        let present = [self.resource.is_some(), self.grant.is_some(), self.probe.is_some()];
        exactly_one(&present, "resource, grant and probe")?;
        check_cursor(self.resource.as_ref().and_then(|resource| resource.cursor.as_ref()))
    }
}

impl Granted {
    /// Checks what a holder answered.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), ErrorBody> {
        if self.roots.is_empty() {
            return Err(bad_message("a grant without a manifest root"));
        }
        at_most("manifest roots", self.roots.len(), limits::ROOTS)?;
        self.roots
            .iter()
            .filter_map(|held| held.chunks.as_deref())
            .try_for_each(|runs| check_runs(runs, limits::RANGES))
    }
}

impl Located {
    /// Checks what the index answered.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), ErrorBody> {
        at_most("holders", self.holders.len(), limits::HOLDERS)?;
        let addresses = self.holders.iter().map(|holder| holder.addresses.len()).max();
        at_most("addresses", addresses.unwrap_or(0), limits::ADDRESSES)
    }
}
