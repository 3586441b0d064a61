//! How far long operations are.

use serde::{Deserialize, Serialize};

use super::TransferPeer;
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The number of the download; `None` for what is none.
    pub id: Option<u64>,
    /// What is being done.
    pub stage: Stage,
    /// How much of it is done, in bytes.
    pub bytes_done: u64,
    /// Of how many bytes; `None` until that is known.
    pub bytes_total: Option<u64>,
    /// How many bytes came over the network, over all attempts; some may have come twice.
    pub bytes_received: u64,
    /// How many of those that are done were on this machine already.
    pub bytes_reused: u64,
    /// In bytes a second, averaged over the last seconds.
    pub rate: u64,
    /// How long it still takes at that rate, in milliseconds; `None` while nothing comes.
    pub eta_ms: Option<u64>,
    /// From how many nodes bytes come right now.
    pub holders: u32,
    /// The nodes that are in it, also those that give nothing at the moment; at most 64.
    pub peers: Vec<TransferPeer>,
    /// Of a folder: how its files stand.
    pub files: Option<FilesProgress>,
    /// Why it waits. May hold text of a peer.
    pub note: Option<String>,
}

impl Progress {
    /// So many of so many bytes, of what has neither rate nor holders.
    pub fn of(stage: Stage, bytes_done: u64, bytes_total: u64) -> Self {
        Self {
            id: None,
            stage,
            bytes_done,
            bytes_total: Some(bytes_total),
            bytes_received: 0,
            bytes_reused: 0,
            rate: 0,
            eta_ms: None,
            holders: 0,
            peers: Vec::new(),
            files: None,
            note: None,
        }
    }
}

/// How the files of a folder stand, of those that are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesProgress {
    /// How many are here, whole; what is equal to a part of another file counts as here.
    pub done: u64,
    /// How many there are.
    pub total: u64,
    /// The one of which a part came last, as its path in the folder; `None` before the first. May hold text of a peer.
    pub current: Option<String>,
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
    /// `get`: what is on this machine already is being looked for and copied.
    Reusing,
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
            Self::Reusing => "reusing",
            Self::Downloading => "downloading",
            Self::Waiting => "waiting",
            Self::Verifying => "verifying",
            Self::Installing => "installing",
        }
    }
}
