//! When a watched file or folder is looked at.

use std::time::Duration;

/// The times by which watched shares are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchTiming {
    /// So long after its last change something is published. A file that was modified within this time is taken for one
    /// that is still being written. Default: 2 s.
    pub quiet: Duration,
    /// So long after the first change a folder that keeps changing is looked at all the same, and what of it is whole is
    /// published. Default: 10 s.
    pub longest: Duration,
    /// How often everything is looked at, whether something was noticed or not; with up to a tenth more, at random.
    /// Default: 1 h.
    pub rescan: Duration,
    /// How often what cannot be watched is looked at, as where the system allows no more watches. Default: 1 min.
    pub unwatched: Duration,
    /// So long after a failure it is tried again; doubling with each. Default: 5 s.
    pub first_retry: Duration,
    /// The longest time between two attempts. Default: 5 min.
    pub longest_retry: Duration,
}

impl Default for WatchTiming {
    fn default() -> Self {
        Self {
            quiet: Duration::from_secs(2),
            longest: Duration::from_secs(10),
            rescan: Duration::from_secs(60 * 60),
            unwatched: Duration::from_secs(60),
            first_retry: Duration::from_secs(5),
            longest_retry: Duration::from_secs(5 * 60),
        }
    }
}
