//! `who`: the users that are online, and their nodes.

use certs::bytes::optional_byte_buf;
use certs::{NodeId, UnixMillis, UserName};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::list::check_limit;
use super::{Address, bounded, check_cursor};
use crate::error::ErrorBody;
use crate::limits;

/// `who`: users in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Who {
    /// Users on this page: 1 to 1,000; `None` means 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// From an earlier page.
    #[serde(default, deserialize_with = "optional_byte_buf", skip_serializing_if = "Option::is_none")]
    pub cursor: Option<ByteBuf>,
}

/// The A of `who`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoPage {
    /// The users with at least one node online; may be fewer than the limit, or none, also before the last page.
    #[serde(deserialize_with = "bounded::answer::<{ limits::PAGE_ITEMS }, _, _>")]
    pub users: Vec<OnlineUser>,
    /// For the next page; absent after the last.
    #[serde(default, deserialize_with = "optional_byte_buf", skip_serializing_if = "Option::is_none")]
    pub next: Option<ByteBuf>,
}

/// A user that is online.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlineUser {
    /// The user name.
    pub user: UserName,
    /// The nodes that are connected.
    #[serde(deserialize_with = "bounded::answer::<{ limits::NODES_PER_ACCOUNT }, _, _>")]
    pub nodes: Vec<OnlineNode>,
}

/// A node that is online.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlineNode {
    /// The node.
    pub node: NodeId,
    /// Where it can be reached by the asker, if the index knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Since when it is connected.
    pub since: UnixMillis,
}

impl Who {
    /// Checks its bounds.
    ///
    /// # Errors
    /// The E to answer.
    pub fn check(&self) -> Result<(), ErrorBody> {
        check_limit(self.limit)?;
        check_cursor(self.cursor.as_ref())
    }
}
