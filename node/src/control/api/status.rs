//! What is answered about this node.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use certs::{NetworkId, NodeId, UserName};
use serde::{Deserialize, Serialize};
use wire::{ContentHash, ResourceName};

use super::{LocalPath, Source, Transfer, as_text, content_hex, optional_text};

/// Who and how this node is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its id.
    #[serde(with = "as_text")]
    pub node: NodeId,
    /// Whose it is; `None` while it is not enrolled.
    pub user: Option<UserName>,
    /// Its network; `None` where none is configured.
    #[serde(with = "optional_text")]
    pub network: Option<NetworkId>,
    /// Where it listens (UDP).
    pub address: SocketAddr,
    /// How it stands with the index.
    pub index: IndexStatus,
    /// Where the system gave less for the socket's buffers than was asked: fast transfers lose packets then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small_buffers: Option<SmallBuffers>,
    /// Where answers to `list` and `search` come from now.
    pub source: Source,
    /// How it would do without the index, or does; `None` where it is off, or this node has no account yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<FallbackStatus>,
    /// What it shares.
    pub shares: ShareSummary,
    /// What is watched; `None` where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<WatchStatus>,
    /// What is being moved, and what is paused or failed: at most 1,000.
    pub transfers: Vec<Transfer>,
}

/// This node's copy of what all members share, and who exchanges it with this node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FallbackStatus {
    /// Whether answers come from the copy now.
    pub in_use: bool,
    /// Why they do, or do not.
    pub why: String,
    /// Members that are connected and hear at once what is new.
    pub neighbours: u64,
    /// Nodes of which it has all that they share.
    pub catalogues: u64,
    /// Resources that are shared, as the copy knows them.
    pub entries: u64,
    /// How long ago the copy was last brought up to date, by the index or another member; `None` where it never was.
    pub age_seconds: Option<u64>,
    /// What others told that was not believed since the start, by its kind, and how often.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, u64>,
    /// Its part in Kademlia; `None` where it has not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dht: Option<DhtStatus>,
}

/// A node's part in Kademlia.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhtStatus {
    /// Whether it answers others.
    pub mode: DhtMode,
    /// Nodes in its table.
    pub peers: u64,
    /// Nodes that it is connected with.
    pub connected: u64,
    /// Values that it keeps, its own too.
    pub values: u64,
    /// Their bytes, with what each costs beside.
    pub bytes: u64,
    /// Entries of others that say who has a content.
    pub providers: u64,
    /// What was not taken or believed since the start, by the reason, and how often.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, u64>,
}

/// Whether a node answers others in Kademlia.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DhtMode {
    /// It only asks: nobody has reached it yet.
    Client,
    /// It keeps values and answers.
    Server,
}

impl DhtMode {
    /// Its name, as the JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// The socket's buffers, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmallBuffers {
    /// What was asked for.
    pub asked: usize,
    /// The smaller one of what the system gave for sending and for receiving.
    pub given: usize,
}

/// How the watch stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WatchStatus {
    /// How many shares are watched.
    pub count: u64,
    /// How many of them the system does not watch: those are looked at once a minute.
    pub unwatched: u64,
    /// Why, of one of them, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// How this node stands with the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexStatus {
    /// In one word.
    pub state: IndexState,
    /// `host:port`, as configured; `None` where none is.
    pub address: Option<String>,
    /// Why it is not connected, where there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// How this node stands with the index, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexState {
    /// This node is the index.
    Local,
    /// Connected, and let in.
    Connected,
    /// Connected, but this node has no account yet.
    NotEnrolled,
    /// Being dialled, for the first time or again.
    Connecting,
    /// It answers, but it is another network's, or it does not let this node in.
    Refused,
    /// None is configured.
    None,
}

/// What this node shares, in short.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ShareSummary {
    /// How many.
    pub count: u64,
    /// Those that are not served as they should be: at most 1,000.
    pub problems: Vec<ShareProblem>,
}

/// A share that is not served as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareProblem {
    /// Under which name it is shared.
    pub name: ResourceName,
    /// Where it lies.
    pub path: LocalPath,
    /// What is wrong.
    pub state: ShareState,
}

/// One page of `shares`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharesPage {
    /// In name order.
    pub items: Vec<Share>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<String>,
}

/// A file that this node shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Under which name.
    pub name: ResourceName,
    /// Where it lies.
    pub path: LocalPath,
    /// Which version was published last.
    pub version: u64,
    /// Its size then, in bytes.
    pub size: u64,
    /// How it stands.
    pub state: ShareState,
    /// Whether its next version is published by itself when it changes.
    #[serde(default)]
    pub watched: bool,
    /// The hash of its content then.
    #[serde(with = "content_hex")]
    pub content: ContentHash,
}

/// How a share stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShareState {
    /// Registered and served.
    Shared,
    /// Not registered yet: the index is away.
    Pending,
    /// Not served, as this node is logged out.
    Paused,
    /// The file is no longer what was shared; `share` publishes it anew.
    Changed,
    /// There is no file at its path.
    Missing,
    /// The file cannot be read.
    Unreadable,
    /// Another machine of this user published a newer version.
    Superseded,
}

impl ShareState {
    /// Its name, as the JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Pending => "pending",
            Self::Paused => "paused",
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::Superseded => "superseded",
        }
    }
}
