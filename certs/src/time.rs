//! Points in time as they stand on the wire. Reading a clock is the caller's work.

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, without leap seconds. Statements and records of events use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// This many milliseconds later; stays at the largest value.
    #[must_use]
    pub const fn plus(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// This many milliseconds earlier; stays at zero.
    #[must_use]
    pub const fn minus(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_sub(milliseconds))
    }
}

/// Nanoseconds since 1970-01-01T00:00:00Z, negative before it. Modification times of files use it; the range ends in
/// the year 2262.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixNanos(pub i64);

impl From<UnixMillis> for UnixNanos {
    fn from(time: UnixMillis) -> Self {
        Self(i64::try_from(time.0).unwrap_or(i64::MAX).saturating_mul(1_000_000))
    }
}
