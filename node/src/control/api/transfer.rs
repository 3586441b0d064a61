//! What is being moved, either way.

use certs::{NodeId, UserName};
use serde::{Deserialize, Serialize};
use wire::ResourceName;

use super::{FilesProgress, LocalPath, Moment, Stage, as_text};
use crate::rate::Rate;

/// Everything that is being moved, is paused or failed, and what was done in the last hour: at most 1,000. An upload is being
/// moved until its receiver has asked for nothing more for two seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfers {
    /// Downloads by number, then uploads.
    pub items: Vec<TransferDetail>,
}

/// A transfer with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferDetail {
    /// What `status` shows of it, too.
    #[serde(flatten)]
    pub transfer: Transfer,
    /// What is being done; `None` for an upload, and for what does not run.
    pub stage: Option<Stage>,
    /// When it was done.
    pub finished: Option<Moment>,
    /// How many bytes of a download came over the network, over all attempts; 0 for an upload.
    pub bytes_received: u64,
    /// How long it still takes at this rate, in milliseconds; `None` while nothing comes, and for an upload.
    pub eta_ms: Option<u64>,
    /// How fast it may be, in bytes a second, 0 for no limit: of a download its own limit, of an upload the lower one of
    /// those for all uploads and for each node.
    pub limit: Rate,
    /// Of the download of a folder that runs: how its files stand.
    pub files: Option<FilesProgress>,
    /// With whom bytes move, or are about to; at most 64.
    pub peers: Vec<TransferPeer>,
}

/// One node of a transfer, and how good the way to it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferPeer {
    /// The node.
    #[serde(with = "as_text")]
    pub node: NodeId,
    /// Whose node it is, where that is known.
    pub user: Option<UserName>,
    /// How many bytes it gave, since it joined, or got, as in [`Transfer::bytes_done`].
    pub bytes: u64,
    /// Its part of what all of them gave since they joined, in whole percent; `None` for an upload, and before the first
    /// byte.
    pub share: Option<u64>,
    /// In bytes a second, over the last seconds.
    pub rate: u64,
    /// The time there and back, in milliseconds; `None` where no connection is open.
    pub rtt_ms: Option<f64>,
    /// Which part of the packets that this node sent on the connection was lost, 0 to 1; `None` where none is open. What is
    /// lost the other way only the far end knows.
    pub loss: Option<f64>,
}

/// Something that is being moved, or shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The number of a download, as `pause`, `resume` and `cancel` take it; `None` for an upload.
    pub id: Option<u64>,
    /// From or to this node.
    pub direction: Direction,
    /// Whose resource.
    pub owner: UserName,
    /// Its name.
    pub name: ResourceName,
    /// How it stands.
    pub state: TransferState,
    /// The local file.
    pub path: LocalPath,
    /// The whole size, in bytes; `None` until it is known. Of an upload the file's, of which the far end may want a part.
    pub size: Option<u64>,
    /// How much of it is done, in bytes. Of an upload what that node got of this content since the daemon started: it may
    /// have fetched some of it more than once.
    pub bytes_done: u64,
    /// In bytes a second, over the last seconds.
    pub rate: u64,
    /// How many nodes it comes from, or goes to, right now.
    pub holders: u32,
    /// Why it waits or failed.
    pub error: Option<String>,
}

/// Which way a transfer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To this node.
    Download,
    /// From this node.
    Upload,
    /// Into the registry: a file being hashed for `share`.
    Import,
}

impl Direction {
    /// Its name, as the JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Upload => "upload",
            Self::Import => "import",
        }
    }
}

/// How a transfer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransferState {
    /// Bytes move.
    Running,
    /// It goes on by itself once a holder, or the index, is there.
    Waiting,
    /// The user stopped it; `resume` or `get` goes on.
    Paused,
    /// It needs the user; `resume` or `get` tries again.
    Failed,
    /// The file is there, since less than an hour. In `transfers` alone.
    Done,
}

impl TransferState {
    /// Its name, as the JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Failed => "failed",
            Self::Done => "done",
        }
    }
}
