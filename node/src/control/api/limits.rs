//! How much the node gives and takes.

use certs::UserName;
use serde::{Deserialize, Serialize};
use wire::ResourceName;

use super::JobState;
use crate::options::LimitOptions;
use crate::rate::Rate;

/// `limit`: what holds. Rates are bytes a second; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// At present, until the daemon stops.
    pub now: LimitOptions,
    /// What the daemon was started with.
    pub configured: LimitOptions,
}

/// `limit --transfer`: how fast one download may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLimit {
    /// Its number.
    pub id: u64,
    /// Whose resource it is.
    pub owner: UserName,
    /// Its name.
    pub name: ResourceName,
    /// How its download stands.
    pub state: JobState,
    /// In bytes a second, 0 for no limit of its own. Those of the node hold besides.
    pub download: Rate,
}
