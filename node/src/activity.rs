//! What happened on a node, as its log of activity keeps it and `events` prints it.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use certs::{UnixMillis, UserName};
use serde::{Deserialize, Serialize};
use wire::ResourceName;

use crate::control::api::{LocalPath, Moment, SourceBytes, as_text};

/// Sources that an event names: those that gave most. A download may have hundreds.
pub const SOURCES: usize = 16;
/// The longest text of somebody else's in an event, in bytes; the rest is left out.
pub const TEXT_BYTES: usize = 1024;

/// An event of the log: one line of `events --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedEvent {
    /// When, by this machine's clock.
    pub time: Moment,
    /// What.
    #[serde(flatten)]
    pub activity: Activity,
    /// Its number: larger than those of all events before. Never given twice.
    pub id: u64,
}

impl LoggedEvent {
    pub(crate) fn new(id: u64, time: UnixMillis, activity: Activity) -> Self {
        Self { time: time.into(), activity, id }
    }
}

/// One thing that happened. In JSON `event` has the variant's name in lower case with hyphens.
///
/// What is in the log is read by later versions of the program: a variant or field that was released keeps its name, and a new
/// field has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Activity {
    /// The node runs.
    Started,
    /// It ended in good order. After a `started` without this one before, it did not.
    Stopped,
    /// There is a new account, and this node is enrolled for it.
    SignedUp {
        /// Its name.
        user: UserName,
    },
    /// This node is enrolled for an account.
    LoggedIn {
        /// Its name.
        user: UserName,
    },
    /// This node's enrolment ended.
    LoggedOut {
        /// For whom it was.
        user: UserName,
        /// What the index said, where its user did not ask for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// There is a connection with the index.
    IndexConnected {
        /// Where it is.
        address: String,
    },
    /// That connection ended. Attempts to make another are not told.
    IndexLost {
        /// Why.
        why: String,
    },
    /// The index has acknowledged a version that this node shares.
    Shared {
        /// Which.
        #[serde(flatten)]
        what: Version,
        /// Where it lies.
        path: LocalPath,
        /// In bytes.
        size: u64,
    },
    /// Another machine of this user has published a higher version of what this node shares.
    Superseded {
        /// The version that was this node's.
        #[serde(flatten)]
        what: Version,
        /// The version that stands, where the index said which.
        by: Option<u64>,
    },
    /// A resource of this user was taken back.
    Unshared {
        /// With the version of its tombstone.
        #[serde(flatten)]
        what: Version,
    },
    /// A file was found otherwise than it was shared or installed: it is not served until it is back, or shared again.
    FileChanged {
        /// As what it is held.
        #[serde(flatten)]
        what: Version,
        /// Which file.
        path: LocalPath,
        /// `changed`, or `missing`.
        state: String,
    },
    /// A download is in place.
    Downloaded {
        /// Of what.
        #[serde(flatten)]
        what: Version,
        /// Where it lies.
        path: LocalPath,
        /// What came, from whom, how long it took.
        #[serde(flatten)]
        moved: Moved,
    },
    /// A download ended without its file.
    DownloadFailed {
        /// Of what.
        #[serde(flatten)]
        what: Version,
        /// For programs.
        code: String,
        /// For people.
        error: String,
    },
    /// A download was stopped for now.
    Paused {
        /// Of what.
        #[serde(flatten)]
        what: Version,
    },
    /// A download that was paused, or had failed, goes on.
    Resumed {
        /// Of what.
        #[serde(flatten)]
        what: Version,
    },
    /// A download was dropped.
    Cancelled {
        /// Of what.
        #[serde(flatten)]
        what: Version,
    },
    /// A resource is followed from now on.
    Subscribed {
        /// Which, and the version that is here.
        #[serde(flatten)]
        what: Version,
        /// Where it lies.
        path: LocalPath,
    },
    /// A resource is followed no more.
    Unsubscribed {
        /// Which, and the version that is here.
        #[serde(flatten)]
        what: Version,
    },
    /// A newer version of what is followed is in place.
    Updated {
        /// Which.
        #[serde(flatten)]
        what: Version,
        /// The version that was there before.
        from_version: Option<u64>,
        /// Where it lies.
        path: LocalPath,
        /// What came, from whom, how long it took.
        #[serde(flatten)]
        moved: Moved,
    },
    /// A newer version of what is followed could not be had or put in place.
    UpdateFailed {
        /// Which.
        #[serde(flatten)]
        what: Version,
        /// For programs.
        code: String,
        /// For people.
        error: String,
    },
    /// A newer version of what is followed is not taken for now.
    UpdateHeld {
        /// Which.
        #[serde(flatten)]
        what: Version,
        /// Why.
        why: String,
    },
    /// A file that was to be replaced had been changed here, and is kept beside.
    Conflict {
        /// By which version it was to be replaced.
        #[serde(flatten)]
        what: Version,
        /// The file that was replaced.
        path: LocalPath,
        /// Where what it was is now.
        kept: LocalPath,
    },
    /// What is followed was taken back by its owner; the file stays.
    OwnerUnshared {
        /// With the version of its tombstone.
        #[serde(flatten)]
        what: Version,
    },
    /// A program that the user wanted to be run after an update has ended.
    HookRan {
        /// After the update to which version.
        #[serde(flatten)]
        what: Version,
        /// Its name, as it was given.
        program: String,
        /// How it ended.
        #[serde(flatten)]
        end: HookEnd,
        /// For how long it ran, in milliseconds.
        ms: u64,
    },
    /// A watch has published what changed.
    WatchPublished {
        /// Which version.
        #[serde(flatten)]
        what: Version,
        /// What is watched.
        path: LocalPath,
        /// In bytes.
        size: u64,
    },
    /// What only another version of the program knows.
    #[serde(other)]
    Unknown,
}

impl Activity {
    /// Its name, as the JSON has it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::SignedUp { .. } => "signed-up",
            Self::LoggedIn { .. } => "logged-in",
            Self::LoggedOut { .. } => "logged-out",
            Self::IndexConnected { .. } => "index-connected",
            Self::IndexLost { .. } => "index-lost",
            Self::Shared { .. } => "shared",
            Self::Superseded { .. } => "superseded",
            Self::Unshared { .. } => "unshared",
            Self::FileChanged { .. } => "file-changed",
            Self::Downloaded { .. } => "downloaded",
            Self::DownloadFailed { .. } => "download-failed",
            Self::Paused { .. } => "paused",
            Self::Resumed { .. } => "resumed",
            Self::Cancelled { .. } => "cancelled",
            Self::Subscribed { .. } => "subscribed",
            Self::Unsubscribed { .. } => "unsubscribed",
            Self::Updated { .. } => "updated",
            Self::UpdateFailed { .. } => "update-failed",
            Self::UpdateHeld { .. } => "update-held",
            Self::Conflict { .. } => "conflict",
            Self::OwnerUnshared { .. } => "owner-unshared",
            Self::HookRan { .. } => "hook-ran",
            Self::WatchPublished { .. } => "watch-published",
            Self::Unknown => "unknown",
        }
    }

    /// Of which version of a resource it tells.
    pub const fn version(&self) -> Option<&Version> {
        match self {
            Self::Shared { what, .. }
            | Self::Superseded { what, .. }
            | Self::Unshared { what }
            | Self::FileChanged { what, .. }
            | Self::Downloaded { what, .. }
            | Self::DownloadFailed { what, .. }
            | Self::Paused { what }
            | Self::Resumed { what }
            | Self::Cancelled { what }
            | Self::Subscribed { what, .. }
            | Self::Unsubscribed { what }
            | Self::Updated { what, .. }
            | Self::UpdateFailed { what, .. }
            | Self::UpdateHeld { what, .. }
            | Self::Conflict { what, .. }
            | Self::OwnerUnshared { what }
            | Self::HookRan { what, .. }
            | Self::WatchPublished { what, .. } => Some(what),
            Self::Started
            | Self::Stopped
            | Self::SignedUp { .. }
            | Self::LoggedIn { .. }
            | Self::LoggedOut { .. }
            | Self::IndexConnected { .. }
            | Self::IndexLost { .. }
            | Self::Unknown => None,
        }
    }
}

/// A version of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// `owner/name`.
    #[serde(with = "as_text")]
    pub resource: Named,
    /// Its number.
    pub version: u64,
}

impl Version {
    /// The version of a record.
    pub fn of(record: &wire::Record) -> Self {
        Self::new(&record.user, &record.name, record.version)
    }

    /// By its parts.
    pub fn new(owner: &UserName, name: &ResourceName, version: u64) -> Self {
        Self { resource: Named { owner: owner.clone(), name: name.clone() }, version }
    }
}

/// A resource, by its names. As text `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Named {
    /// Whose it is.
    pub owner: UserName,
    /// What it is called.
    pub name: ResourceName,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (owner, name) = text.split_once('/').ok_or("a resource is owner/name")?;
        let owner = owner.parse().map_err(|error| format!("no user name: {error}"))?;
        Ok(Self { owner, name: name.parse().map_err(|error| format!("no name: {error}"))? })
    }
}

/// What a download moved, over all its runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Moved {
    /// How many bytes came over the network; some may have come twice.
    pub bytes_received: u64,
    /// How many bytes were on this machine already.
    pub bytes_reused: u64,
    /// Who gave what: the [`SOURCES`] that gave most.
    pub sources: Vec<SourceBytes>,
    /// How long it took, pauses left out.
    pub seconds: f64,
}

/// How the program of a hook ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum HookEnd {
    /// By itself, with this code; 0 is good.
    Exited {
        /// The code.
        code: i32,
    },
    /// By a signal that was not this node's.
    Signalled {
        /// Its number.
        signal: i32,
    },
    /// It ran for longer than it may, and was killed with all that it had started.
    TimedOut,
    /// The same because the node stopped.
    Stopped,
    /// It could not be started.
    NotStarted {
        /// Why.
        error: String,
    },
}

/// A text of somebody else's as the log keeps it: of a bounded length.
pub(crate) fn bounded(text: impl Into<String>) -> String {
    let mut text: String = text.into();
    if text.len() > TEXT_BYTES {
        let end = (0..=TEXT_BYTES).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Those that gave most.
pub(crate) fn most(mut sources: Vec<SourceBytes>) -> Vec<SourceBytes> {
    sources.sort_by_key(|source| std::cmp::Reverse(source.bytes));
    sources.truncate(SOURCES);
    sources
}

/// A path as the log keeps it.
pub(crate) fn local(path: &Path) -> LocalPath {
    LocalPath::from(path.to_owned())
}

#[cfg(test)]
pub(crate) mod tests;
