//! Time: the only place that reads the system's clocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use certs::UnixMillis;

/// How far an index's clock may differ before the difference is used: less is noise of the network.
const OFFSET_NOISE_MS: i64 = 2_000;

/// A machine's wall clock, or one that runs ahead of it. Clones show the same time.
#[derive(Debug, Clone, Default)]
pub struct WallClock {
    ahead_ms: Arc<AtomicU64>,
}

impl WallClock {
    /// Now.
    pub fn now(&self) -> UnixMillis {
        wall().plus(self.ahead_ms.load(Ordering::Relaxed))
    }

    /// Runs ahead by so much more from now on, for tests of what takes months.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.ahead_ms.fetch_add(by, Ordering::Relaxed);
    }
}

/// The wall clock, set right by the index's: statements are dated by the index, so a machine whose clock is wrong still
/// judges them rightly. Only the index is believed.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    wall: WallClock,
    offset_ms: AtomicI64,
    index_seen_ms: AtomicU64,
}

impl Clock {
    /// A clock that shows this one's time, until the index says otherwise.
    pub(crate) fn new(wall: WallClock) -> Self {
        Self { wall, ..Self::default() }
    }

    /// Now, in the index's time.
    pub(crate) fn now(&self) -> UnixMillis {
        let now = i64::try_from(self.wall.now().0).unwrap_or(i64::MAX);
        let now = now.saturating_add(self.offset_ms.load(Ordering::Relaxed));
        UnixMillis(u64::try_from(now).unwrap_or(0))
    }

    /// Takes over the time of an answer of the index.
    pub(crate) fn index_answered(&self, index: UnixMillis) {
        let difference =
            i64::try_from(index.0).unwrap_or(i64::MAX) - i64::try_from(self.wall.now().0).unwrap_or(0);
        let offset = if difference.abs() > OFFSET_NOISE_MS { difference } else { 0 };
        self.offset_ms.store(offset, Ordering::Relaxed);
        self.index_seen_ms.fetch_max(index.0, Ordering::Relaxed);
    }

    /// The newest time at which the index is known to have been there.
    pub(crate) fn index_seen(&self) -> UnixMillis {
        UnixMillis(self.index_seen_ms.load(Ordering::Relaxed))
    }
}

/// The machine's own wall clock.
pub(crate) fn wall() -> UnixMillis {
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The monotonic clock, for measuring durations.
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// The clock that timers go by. It is that of [`monotonic`], but stands still where a test has paused the time.
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub(crate) fn timer() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_sets_it_right() {
        let clock = Clock::new(WallClock::default());
        let hour = 3_600_000;
        clock.index_answered(wall().plus(hour));
        assert!(clock.now() >= wall().plus(hour - 1_000));
        assert!(clock.index_seen() >= wall().plus(hour - 1_000));
        clock.index_answered(wall().plus(500));
        assert!(clock.now() <= wall().plus(1_000), "a small difference is not used");
    }

    #[test]
    fn one_that_runs_ahead_does_so_wherever_it_is() {
        let ahead = WallClock::default();
        let clock = Clock::new(ahead.clone());
        ahead.advance(Duration::from_secs(3600));
        assert!(clock.now() >= wall().plus(3_599_000));
        clock.index_answered(wall().plus(3_600_000));
        assert!(clock.now() <= wall().plus(3_601_000), "the index's clock is the same");
    }
}
