//! What is answered about the network.

use std::net::SocketAddr;

use certs::{NodeId, UserName};
use serde::{Deserialize, Serialize};
use wire::{ContentHash, Kind, ResourceName};

use super::{Moment, as_text, content_hex};

/// One page of `list` or `search`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourcePage {
    /// The resources.
    pub items: Vec<Resource>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<String>,
    /// Who answered.
    pub source: Source,
    /// How old the answer is: 0 from the index, else how long ago this node's copy was last brought up to date.
    pub age_seconds: u64,
}

/// One shared resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Whose it is.
    pub owner: UserName,
    /// Its name.
    pub name: ResourceName,
    /// What it is.
    pub kind: Kind,
    /// From 1 upwards.
    pub version: u64,
    /// In bytes.
    pub size: u64,
    /// When its content was last modified.
    pub mtime: Moment,
    /// The hash of its content.
    #[serde(with = "content_hex")]
    pub content: ContentHash,
    /// How many nodes have it.
    pub holders: u64,
    /// How many of them are online.
    pub online: u64,
}

/// One page of `versions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionsPage {
    /// The versions, the newest first; never none on a first page.
    pub items: Vec<ResourceVersion>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<String>,
    /// Who answered.
    pub source: Source,
    /// How old the answer is: 0 from the index.
    pub age_seconds: u64,
}

/// One version of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceVersion {
    /// Whose it is.
    pub owner: UserName,
    /// The resource's name.
    pub name: ResourceName,
    /// What it is.
    pub kind: Kind,
    /// From 1 upwards.
    pub version: u64,
    /// In bytes.
    pub size: u64,
    /// When its content was last modified.
    pub mtime: Moment,
    /// When it was published, by the clock of the node that did; `None` where the index does not say that.
    pub published: Option<Moment>,
    /// Which node published it.
    #[serde(with = "as_text")]
    pub node: NodeId,
    /// The hash of its content.
    #[serde(with = "content_hex")]
    pub content: ContentHash,
    /// How many nodes have it.
    pub holders: u64,
    /// How many of them are online.
    pub online: u64,
}

/// Where an answer about the network comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The index node.
    #[default]
    Index,
    /// This node's copy, which other members brought up to date within the last minute, while the index is away.
    Dht,
    /// This node's copy as it is.
    Cache,
}

/// One page of `who`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoPage {
    /// The users who are online, in name order. All nodes of one are on one page.
    pub users: Vec<UserOnline>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<String>,
    /// Who answered.
    #[serde(default)]
    pub source: Source,
    /// How old the answer is: 0 from the index.
    #[serde(default)]
    pub age_seconds: u64,
}

/// A user who is online.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserOnline {
    /// The user's name.
    pub user: UserName,
    /// On which nodes.
    pub nodes: Vec<NodeOnline>,
}

/// A node that is online.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeOnline {
    /// Its id.
    #[serde(with = "as_text")]
    pub node: NodeId,
    /// Where it can be reached from here; `None` where the index knows no such address.
    pub address: Option<SocketAddr>,
    /// Since when it has been connected.
    pub since: Moment,
}
