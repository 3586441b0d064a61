//! The one place that reads the clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use certs::{UnixMillis, UnixNanos};

/// Now, for intervals.
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Now, as records have it.
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub fn wall_nanos() -> UnixNanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    UnixNanos(i64::try_from(since.as_nanos()).expect("before 2262"))
}

/// Now, as messages have it.
pub fn wall_millis() -> UnixMillis {
    UnixMillis(u64::try_from(wall_nanos().0 / 1_000_000).expect("after 1970"))
}
