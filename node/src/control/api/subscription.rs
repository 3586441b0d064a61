//! What stays up to date: asked for and answered.

use certs::UserName;
use serde::{Deserialize, Serialize};
use wire::ResourceName;

use super::{Kept, LocalPath, Moment, ShareNote};
use crate::rate::Rate;

/// A resource to keep up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscribeRequest {
    /// Whose it is.
    pub owner: UserName,
    /// Its name.
    pub name: ResourceName,
    /// Where to, as in [`GetRequest::path`](super::GetRequest::path).
    pub path: Option<LocalPath>,
    /// Serve it to others.
    pub share: bool,
    /// Make the folders above the target that are not there.
    #[serde(default)]
    pub parents: bool,
    /// How fast its updates may be; without it as before, at first without a limit.
    #[serde(default)]
    pub limit: Option<Rate>,
    /// Of a folder: only what matches, as in [`GetRequest::only`](super::GetRequest::only).
    #[serde(default)]
    pub only: Vec<String>,
    /// Of a file: how many old versions are kept, as in [`GetRequest::keep`](super::GetRequest::keep).
    #[serde(default)]
    pub keep: Option<u32>,
    /// The program that is run after each update, and its arguments; none where it is empty, as before without it. At most 64
    /// of 4,096 bytes. The first is an absolute path, or looked for in the daemon's `PATH`.
    #[serde(default)]
    pub on_update: Option<Vec<String>>,
}

/// Which subscriptions: all of a resource, or the one at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionRequest {
    /// Whose resource it is.
    pub owner: UserName,
    /// Its name.
    pub name: ResourceName,
    /// Where it lies; without it, all.
    #[serde(default)]
    pub path: Option<LocalPath>,
}

/// Subscriptions to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnsubscribeRequest {
    /// Whose resource it is.
    pub owner: UserName,
    /// Its name.
    pub name: ResourceName,
    /// Where it lies; without it, all.
    #[serde(default)]
    pub path: Option<LocalPath>,
    /// Remove what is installed, too, as far as it was not edited here: of a folder each file that is as it was installed.
    #[serde(default)]
    pub delete: bool,
}

/// One page of what stays up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionsPage {
    /// The subscriptions, in the order in which they began.
    pub items: Vec<SubscriptionItem>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<String>,
}

/// One subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionItem {
    /// Whose resource it is.
    pub owner: UserName,
    /// Its name.
    pub name: ResourceName,
    /// Where it lies.
    pub path: LocalPath,
    /// How it stands.
    pub state: SubscriptionState,
    /// Which version is installed; `None` until one is.
    pub version: Option<u64>,
    /// Which is the newest that is known; `None` where nothing is.
    pub newest: Option<u64>,
    /// Whether the file was edited here since it was installed: the next update keeps it beside. Of a folder: not looked at.
    pub edited: bool,
    /// Why it waits, where it is held back.
    pub why: Option<String>,
    /// When the index last said what is newest.
    pub checked: Option<Moment>,
    /// The program that is run after each update, and its arguments.
    pub on_update: Vec<String>,
    /// How many old versions are to be kept, besides a copy of the installed one; `None` where nobody said.
    pub keep: Option<u64>,
    /// What is kept, and what that costs; `None` where nothing is.
    pub kept: Option<Kept>,
}

/// How a subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubscriptionState {
    /// The newest version that is known is installed.
    Current,
    /// An update runs, or will at once.
    Updating,
    /// The last attempt failed, as where nobody has it; the next one follows by itself.
    Retrying,
    /// The owner changed so much that you are asked first: `subscriptions --accept`.
    HeldBack,
    /// You want no updates for now.
    Paused,
    /// The owner does not share it any more; what is here stays.
    Unshared,
    /// Nothing is known of it yet.
    Unknown,
}

impl SubscriptionState {
    /// Its name, as the JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Updating => "updating",
            Self::Retrying => "retrying",
            Self::HeldBack => "held-back",
            Self::Paused => "paused",
            Self::Unshared => "unshared",
            Self::Unknown => "unknown",
        }
    }
}

/// What was said of subscriptions, and how they stand then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionsDone {
    /// Those that it concerned.
    pub items: Vec<SubscriptionItem>,
}

/// What was ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribed {
    /// Each of them.
    pub items: Vec<UnsubscribedItem>,
}

/// One subscription that was ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsubscribedItem {
    /// Where the file or folder lies, or lay.
    pub path: LocalPath,
    /// Whether it was removed, all of it.
    pub deleted: bool,
    /// Why it stays, or some of it, although it was to be removed.
    pub kept_because: Option<String>,
    /// What stays in a folder, and why: the first 100.
    pub stays: Vec<ShareNote>,
    /// How much stays in it; of what was not installed up to 10,000 are looked for.
    pub stays_count: u64,
}
