//! A clock for tests, which goes when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use certs::UnixMillis;

use super::Clock;

pub(super) struct Clocks {
    began: Instant,
    passed: AtomicU64,
}

impl Clocks {
    #[expect(clippy::disallowed_methods, reason = "a test's clock starts somewhere")]
    pub(super) fn start() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), passed: AtomicU64::new(0) })
    }

    /// So many seconds since the start.
    pub(super) fn set(&self, seconds: u64) {
        self.passed.store(seconds, Ordering::Relaxed);
    }
}

impl Clock for Clocks {
    fn wall(&self) -> UnixMillis {
        UnixMillis(0)
    }

    fn monotonic(&self) -> Instant {
        self.began + Duration::from_secs(self.passed.load(Ordering::Relaxed))
    }
}
