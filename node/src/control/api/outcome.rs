//! What operations end with.

use certs::{NetworkId, NodeId, UserName};
use serde::{Deserialize, Serialize};
use wire::{ContentHash, ResourceName};

use super::{LocalPath, Source, as_text, content_hex};

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
    /// The copies of its versions, where some are kept.
    #[serde(default)]
    pub kept: Option<Kept>,
    /// Whether the index is yet to hear of it: it is away, and the other members hear of it from this node.
    #[serde(default)]
    pub pending: bool,
}

/// What is kept of the versions of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// How many, the newest among them.
    pub versions: u64,
    /// Their sizes, in bytes.
    pub bytes: u64,
    /// How many of these bytes are copies. The others are reflinks: they take no space until the file that was copied changes.
    pub copied: u64,
}

/// `gc`: what was removed, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcDone {
    /// Whether it was only looked at.
    pub dry_run: bool,
    /// Copies of old versions.
    pub versions: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Manifests in the database.
    pub manifests: u64,
}

/// Something that a person should know of what is shared, or stays in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareNote {
    /// Of which file; of what was shared relative to the folder.
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
    /// Whether the index is yet to hear of it: it is away, and the other members hear of it from this node.
    #[serde(default)]
    pub pending: bool,
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
    /// Who named those who have it.
    #[serde(default)]
    pub source: Source,
    /// How old that knowledge is: 0 from the index.
    #[serde(default)]
    pub age_seconds: u64,
    /// The versions of it that are kept; `None` where none is.
    pub kept: Option<Kept>,
    /// Files that lay there, were edited or are not of it, and are kept beside: the first 100.
    pub conflicts: Vec<ConflictCopy>,
    /// How many there are.
    pub conflicts_count: u64,
}

/// A file that is kept beside what took its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictCopy {
    /// Where it lay.
    pub path: LocalPath,
    /// Where it is.
    pub kept: LocalPath,
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
    /// Its number; `None` where there is no download, but a subscription that was paused, or goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
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
