//! What operations end with, and how far they are.

use certs::{NetworkId, NodeId, UserName};
use serde::{Deserialize, Serialize};
use wire::{ContentHash, ResourceName};

use super::{LocalPath, as_text, content_hex};
use crate::control::error::ApiError;

/// What a long operation says, one JSON object a line: `{"progress":..}`, then `{"result":..}` or `{"error":..}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event<T> {
    /// It goes on.
    Progress(Progress),
    /// It is done.
    Result(T),
    /// It failed.
    Error(ApiError),
}

/// How far a long operation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// How much of it is done, in bytes.
    pub bytes_done: u64,
    /// Of how many bytes; `None` until that is known.
    pub bytes_total: Option<u64>,
    /// In bytes a second, over the last seconds.
    pub rate: u64,
    /// From how many nodes bytes come right now.
    pub holders: u32,
    /// Why it waits. May hold text of a peer.
    pub note: Option<String>,
}

impl Progress {
    /// So many of so many bytes, of what has neither rate nor holders.
    pub fn of(stage: Stage, bytes_done: u64, bytes_total: u64) -> Self {
        Self { stage, bytes_done, bytes_total: Some(bytes_total), rate: 0, holders: 0, note: None }
    }
}

/// What a long operation is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// `share`: the file is being read and hashed.
    Importing,
    /// `share`: the index is being told.
    Registering,
    /// `get`: holders are being asked what they have.
    Locating,
    /// `get`: bytes come.
    Downloading,
    /// `get`: no holder is there; it goes on by itself.
    Waiting,
    /// `get`: what came is being checked as a whole.
    Verifying,
    /// `get`: it is being put in its place.
    Installing,
}

impl Stage {
    /// Its name, as the JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Importing => "importing",
            Self::Registering => "registering",
            Self::Locating => "locating",
            Self::Downloading => "downloading",
            Self::Waiting => "waiting",
            Self::Verifying => "verifying",
            Self::Installing => "installing",
        }
    }
}

/// `signup` or `login`: this node is enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// For whom.
    pub user: UserName,
    /// This node.
    #[serde(with = "as_text")]
    pub node: NodeId,
    /// The network.
    #[serde(with = "as_text")]
    pub network: NetworkId,
}

/// `logout`: this node is no longer enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedOut {
    /// Whose it was.
    pub user: UserName,
}

/// `share`: the resource is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareDone {
    /// Whose it is.
    pub owner: UserName,
    /// Its name.
    pub name: ResourceName,
    /// Its version now.
    pub version: u64,
    /// What that did.
    pub outcome: Outcome,
    /// In bytes.
    pub size: u64,
    /// The hash of its content.
    #[serde(with = "content_hex")]
    pub content: ContentHash,
    /// Where it lies.
    pub path: LocalPath,
    /// What was left out of a folder, and what may be in the way elsewhere: the first 100.
    #[serde(default)]
    pub notes: Vec<ShareNote>,
    /// How many notes there are in all.
    #[serde(default)]
    pub notes_count: u64,
}

/// Something that a person should know of a folder that was shared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareNote {
    /// Of which file, relative to the folder.
    pub path: LocalPath,
    /// What.
    pub text: String,
}

/// What a registration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// There was no such resource.
    Created,
    /// There is a new version.
    Updated,
    /// The same content was registered already.
    Unchanged,
}

impl Outcome {
    /// Its name, as the JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        }
    }
}

/// `unshare`: the resource is out of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unshared {
    /// Whose it was.
    pub owner: UserName,
    /// Its name.
    pub name: ResourceName,
    /// The version of its tombstone.
    pub version: u64,
}

/// `get`: the resource is verified and installed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GetDone {
    /// Whose it is.
    pub owner: UserName,
    /// Its name.
    pub name: ResourceName,
    /// Which version.
    pub version: u64,
    /// Where it lies.
    pub path: LocalPath,
    /// In bytes.
    pub size: u64,
    /// The hash of its content.
    #[serde(with = "content_hex")]
    pub content: ContentHash,
    /// How many bytes of it came over the network, over all attempts.
    pub bytes_received: u64,
    /// How many bytes of it were on this machine already.
    pub bytes_reused: u64,
    /// How long it took, pauses left out.
    pub seconds: f64,
    /// Who gave what.
    pub sources: Vec<SourceBytes>,
}

/// What one node gave to a download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceBytes {
    /// The node.
    #[serde(with = "as_text")]
    pub node: NodeId,
    /// Whose node it is.
    pub user: UserName,
    /// How much it gave, in bytes.
    pub bytes: u64,
}

/// `get --detach`: the download goes on by itself, or there is nothing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Its number; `None` where the file is there already.
    pub id: Option<u64>,
    /// Whose resource it is.
    pub owner: UserName,
    /// Its name.
    pub name: ResourceName,
    /// Which version.
    pub version: u64,
    /// Where it will lie, or does.
    pub path: LocalPath,
    /// In bytes.
    pub size: u64,
    /// `running`, or `installed` where the file is there already.
    pub state: JobState,
}

/// `pause`, `resume` and `cancel` of one download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobDone {
    /// Its number.
    pub id: u64,
    /// Whose resource it is.
    pub owner: UserName,
    /// Its name.
    pub name: ResourceName,
    /// How its download stands now.
    pub state: JobState,
}

/// `pause --all` and `resume --all`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobsDone {
    /// Those that it changed, by number.
    pub items: Vec<JobDone>,
}

/// How a download stands after the user said something of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It is worked on, or waits for a holder.
    Running,
    /// `resume` goes on with it.
    Paused,
    /// It ended before, without the file; `resume` tries again.
    Failed,
    /// It is done: the file is there.
    Installed,
    /// It is gone, with what was received.
    Cancelled,
}

impl JobState {
    /// Its name, as the JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Failed => "failed",
            Self::Installed => "installed",
            Self::Cancelled => "cancelled",
        }
    }
}
