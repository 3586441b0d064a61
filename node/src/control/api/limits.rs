//! How much the node gives and takes.

use serde::{Deserialize, Serialize};

use crate::options::LimitOptions;

/// `limit`: what holds. Rates are bytes a second; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// At present, until the daemon stops.
    pub now: LimitOptions,
    /// What the daemon was started with.
    pub configured: LimitOptions,
}
