//! What a job is.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use certs::{NodeId, UnixMillis, UserName};
use serde::{Deserialize, Serialize};
use wire::{ContentHash, ResourceName, RootHash, SignedRecord};

use crate::ranges::RangeSet;
use crate::rate::Rate;
use crate::store::DbError;
use crate::store::install::InstallError;
use crate::store::partial::PartialError;

/// A job's number in the database. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What the user wants done differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobOptions {
    /// What lies at the target may be replaced, also where it was edited; it is kept beside. Without it an update of a
    /// version that this node put there is refused where it would replace an edit.
    pub force: bool,
    /// The file is served to others once it is there.
    pub share: bool,
    /// The resource is not subscribed to.
    pub once: bool,
    /// It is of this one version: no newer one takes its place.
    pub pinned: bool,
    /// How fast it may be, besides the limits of the node.
    pub limit: Rate,
}

impl JobOptions {
    /// Followed and served from then on, at any rate; nothing that is edited, or another's, is replaced.
    pub const PLAIN: Self =
        Self { force: false, share: true, once: false, pinned: false, limit: Rate::UNLIMITED };
}

/// The version of a resource that this node put at a target before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// Its manifest.
    pub root: RootHash,
    /// Its content.
    pub content: ContentHash,
}

/// How things stand with a job. Every state but `Installed` may become any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// It is worked on, or will be after the next start.
    Running,
    /// The user stopped it for now.
    Paused,
    /// It ended without the file. Its temporary file is kept, so that it can go on.
    Failed(JobFailure),
    /// The file is at its target.
    Installed,
}

impl JobState {
    /// Its word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Failed(_) => "failed",
            Self::Installed => "installed",
        }
    }

    pub(super) const fn is_finished(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Installed)
    }
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFailure {
    /// For programs.
    pub code: String,
    /// For people.
    pub text: String,
}

/// A node from which bytes of a job came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSource {
    /// The node.
    pub node: NodeId,
    /// Its user.
    pub user: UserName,
    /// How many verified bytes it sent.
    pub bytes: u64,
}

/// A download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// The user who owns the resource.
    pub owner: UserName,
    /// The resource's name.
    pub name: ResourceName,
    /// Where the file is to be.
    pub target: PathBuf,
    /// What the user wants done differently.
    pub options: JobOptions,
    /// The patterns by which parts of a folder were chosen; none where all of it is wanted.
    pub only: Vec<String>,
    /// The version at the target that is brought to this one, if there is one.
    pub base: Option<Base>,
    /// The record of the version that is downloaded.
    pub record: Arc<SignedRecord>,
    /// The index's receipt for the record.
    pub receipt: Option<Bytes>,
    /// The index certificate that the receipt hangs from; without a receipt the publisher's enrolment.
    pub certificate: Option<Bytes>,
    /// The record's content.
    pub content: ContentHash,
    /// The manifest by which the file is downloaded, once it is chosen.
    pub root: Option<RootHash>,
    /// The temporary file, once there is one.
    pub temporary: Option<PathBuf>,
    /// The chunks that are verified and durable in the temporary file.
    pub done: RangeSet,
    /// How things stand.
    pub state: JobState,
    /// Verified bytes that came over the network.
    pub bytes_received: u64,
    /// Verified bytes that were copied on this machine.
    pub bytes_reused: u64,
    /// For how long it ran until its progress was kept last, in milliseconds; pauses left out.
    pub elapsed_ms: u64,
    /// From whom they came: those that sent most.
    pub sources: Vec<JobSource>,
    /// When it was asked for.
    pub created: UnixMillis,
    /// When it failed or was installed.
    pub finished: Option<UnixMillis>,
}

/// What a job moved so far, over all its runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moved {
    /// See [`Job::bytes_received`].
    pub bytes_received: u64,
    /// See [`Job::bytes_reused`].
    pub bytes_reused: u64,
    /// See [`Job::elapsed_ms`].
    pub elapsed_ms: u64,
    /// See [`Job::sources`].
    pub sources: Vec<JobSource>,
}

/// What [`Store::create_job`](crate::store::Store::create_job) needs to know. Owner and name are the record's.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Where the file is to be.
    pub target: PathBuf,
    /// What the user wants done differently.
    pub options: JobOptions,
    /// See [`Job::only`].
    pub only: Vec<String>,
    /// See [`Job::base`]. Of a folder its manifest has to be stored.
    pub base: Option<Base>,
    /// The version to download.
    pub offer: Offer,
}

/// A version of a resource, as the index or a replica offers it.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Its record: not a tombstone.
    pub record: Arc<SignedRecord>,
    /// The index's receipt for the record.
    pub receipt: Option<Bytes>,
    /// The index certificate that the receipt hangs from; without a receipt the publisher's enrolment.
    pub certificate: Option<Bytes>,
    /// The manifest by which to download it, where that is known already.
    pub root: Option<RootHash>,
}

/// What [`Store::create_job`](crate::store::Store::create_job) did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreatedJob {
    /// There is a new job, running.
    New(Job),
    /// There was a job with the same target that is not installed: nothing was changed.
    Existing(Job),
}

/// Why a job was not created or changed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The database did not answer.
    #[error(transparent)]
    Db(#[from] DbError),
    /// An interrupted installation of the job could not be ended.
    #[error(transparent)]
    Install(Box<InstallError>),
    /// The temporary file could not be removed.
    #[error(transparent)]
    Discard(#[from] PartialError),
    /// The record is a tombstone.
    #[error("{0} was taken back by its owner: there is nothing to download")]
    Tombstone(ResourceName),
}

impl From<InstallError> for JobError {
    fn from(error: InstallError) -> Self {
        Self::Install(Box::new(error))
    }
}

/// Which jobs [`Store::jobs`](crate::store::Store::jobs) lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobFilter {
    /// All.
    All,
    /// Running and paused ones.
    Unfinished,
    /// All but installed ones.
    Open,
}
