//! How many old versions are kept.

use std::fmt;

use serde::Deserialize;

/// How many old versions of a file are kept, besides a copy of the newest: 0, the default, to 1,000; 0 is no copy at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "i64")]
pub struct KeepVersions(u16);

/// It is not from 0 to 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no number of old versions: give a whole number from 0 to {max}", max = KeepVersions::MAX)]
pub struct KeepVersionsError(i64);

impl KeepVersions {
    /// The most that can be kept.
    pub const MAX: u16 = 1000;

    /// As a number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<i64> for KeepVersions {
    type Error = KeepVersionsError;

    fn try_from(number: i64) -> Result<Self, KeepVersionsError> {
        let versions = u16::try_from(number).ok().filter(|versions| *versions <= Self::MAX);
        versions.map(Self).ok_or(KeepVersionsError(number))
    }
}

impl fmt::Display for KeepVersions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
