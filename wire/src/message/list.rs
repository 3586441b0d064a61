//! L: what is shared now; and the page that L and S answer.

use certs::bytes::optional_byte_buf;
use certs::{AccountId, NodeId, UnixMillis, UnixNanos, UserName};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{at_most, bounded, check_cursor};
use crate::error::ErrorBody;
use crate::hash::{ContentHash, RecordHash};
use crate::limits;
use crate::name::ResourceName;
use crate::record::Kind;

/// The source of an answer that the index gave.
pub const ENTRY_SOURCE_INDEX: &str = "index";
/// The source of an answer out of a node's own replica that it compared with other nodes' within the last minute.
pub const ENTRY_SOURCE_DHT: &str = "dht";
/// The source of an answer out of a node's own replica as it was left.
pub const ENTRY_SOURCE_CACHE: &str = "cache";

/// L: entries in the order of (owner, name), or the versions of one resource. What does not change while the pages are taken appears exactly once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct List {
    /// Items on this page: 1 to 1,000; `None` means 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only this owner's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserName>,
    /// Only the one with this name; with `owner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<ResourceName>,
    /// Only those whose record this node signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Only of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Only those with a holder online.
    #[serde(default)]
    pub online: bool,
    /// Tombstones too; only for the asker's own account.
    #[serde(default)]
    pub gone: bool,
    /// The versions of one resource in place of the latest of each, newest first; with `owner` and `name`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub versions: bool,
    /// From an earlier page.
    #[serde(default, deserialize_with = "optional_byte_buf", skip_serializing_if = "Option::is_none")]
    pub cursor: Option<ByteBuf>,
}

/// The A of L and S.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The entries; may be fewer than the limit, or none, also before the last page.
    #[serde(deserialize_with = "bounded::answer::<{ limits::PAGE_ITEMS }, _, _>")]
    pub items: Vec<Entry>,
    /// For the next page; absent after the last.
    #[serde(default, deserialize_with = "optional_byte_buf", skip_serializing_if = "Option::is_none")]
    pub next: Option<ByteBuf>,
    /// Where the answer comes from: `index`, `dht`, `cache`.
    pub source: String,
    /// How old the knowledge is, in milliseconds: 0 from the index.
    pub age_ms: u64,
}

/// One resource as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The owner's user name.
    pub owner: UserName,
    /// The owner's account.
    pub account: AccountId,
    /// Its name.
    pub name: ResourceName,
    /// What it is.
    pub kind: Kind,
    /// Its version.
    pub version: u64,
    /// Its revision.
    pub revision: u64,
    /// Its size in bytes.
    pub size: u64,
    /// When its content was last modified.
    pub mtime: UnixNanos,
    /// When the index accepted its record.
    pub accepted: UnixMillis,
    /// Its content; absent for a tombstone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentHash>,
    /// Its record's hash.
    pub record: RecordHash,
    /// The node that published it.
    pub node: NodeId,
    /// How many nodes hold its content.
    pub holders: u32,
    /// How many of them are online.
    pub online: u32,
    /// When it was published, by the publisher's clock; only in a list of versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<UnixNanos>,
}

impl List {
    /// Checks its bounds.
    ///
    /// # Errors
    /// The E to answer.
    pub fn check(&self) -> Result<(), ErrorBody> {
        if self.name.is_some() && self.owner.is_none() {
            return Err(super::bad_message("name needs owner"));
        }
        if self.versions && self.name.is_none() {
            return Err(super::bad_message("versions needs owner and name"));
        }
        check_limit(self.limit)?;
        check_cursor(self.cursor.as_ref())
    }
}

/// How many items a page has at most, from what the asker named.
pub(super) fn check_limit(limit: Option<u32>) -> Result<(), ErrorBody> {
    match limit {
        Some(0) => Err(super::bad_message("a page of 0 items")),
        Some(limit) => at_most("items on a page", limit as usize, limits::PAGE_ITEMS),
        None => Ok(()),
    }
}
