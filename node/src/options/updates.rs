//! Which changes of an owner wait for the user.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use crate::rate::{amount_of, amount_text};

/// Which updates are held back until the user accepts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateOptions {
    /// A version waits that is larger than the installed one by more than so many bytes, and by more than
    /// [`UpdateOptions::growth_factor`]. Default: 1 GiB.
    pub largest_growth: Size,
    /// A version waits that is more than so many times as large, and larger by more than
    /// [`UpdateOptions::largest_growth`]. Default: 10.
    pub growth_factor: GrowthFactor,
    /// A version waits that would leave less than so many bytes free on the disk. Default: 512 MiB.
    pub free_space: Size,
    /// A version of a folder waits in which more than so much of its files is gone. Default: 50 %.
    pub deleted_share: Percent,
}

impl Default for UpdateOptions {
    fn default() -> Self {
        Self {
            largest_growth: Size(1 << 30),
            growth_factor: GrowthFactor(10),
            free_space: Size(512 << 20),
            deleted_share: Percent(50),
        }
    }
}

impl UpdateOptions {
    /// The name of each, as the configuration's table `[updates]` has it.
    pub const KEYS: [&str; 4] = ["largest_growth", "growth_factor", "free_space", "deleted_share"];

    /// The value of each, in the order of [`UpdateOptions::KEYS`].
    pub fn values(&self) -> [String; 4] {
        let Self { largest_growth, growth_factor, free_space, deleted_share } = self;
        [
            largest_growth.to_string(),
            growth_factor.to_string(),
            free_space.to_string(),
            deleted_share.to_string(),
        ]
    }

    /// With these changes.
    #[must_use]
    pub fn with(self, changes: &UpdateChanges) -> Self {
        Self {
            largest_growth: changes.largest_growth.unwrap_or(self.largest_growth),
            growth_factor: changes.growth_factor.unwrap_or(self.growth_factor),
            free_space: changes.free_space.unwrap_or(self.free_space),
            deleted_share: changes.deleted_share.unwrap_or(self.deleted_share),
        }
    }
}

/// What the configuration's table `[updates]` says; what is `None` stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateChanges {
    /// `largest_growth = "10GiB"`.
    pub largest_growth: Option<Size>,
    /// `growth_factor = 4`.
    pub growth_factor: Option<GrowthFactor>,
    /// `free_space = "2GiB"`.
    pub free_space: Option<Size>,
    /// `deleted_share = "20%"`.
    pub deleted_share: Option<Percent>,
}

impl UpdateChanges {
    /// The value of each that is given, in the order of [`UpdateOptions::KEYS`].
    pub fn values(&self) -> [Option<String>; 4] {
        [
            self.largest_growth.map(|value| value.to_string()),
            self.growth_factor.map(|value| value.to_string()),
            self.free_space.map(|value| value.to_string()),
            self.deleted_share.map(|value| value.to_string()),
        ]
    }
}

/// A number of bytes, up to 1 EiB. As text with or without a unit, as a [rate](crate::rate::Rate): `10GiB`, `500MB`, `2.5g`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(u64);

/// It is no number of bytes, or over 1 EiB.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no size: give a number of bytes up to 1 EiB, such as 10GiB, 500MB or 2.5g")]
pub struct SizeError(String);

impl Size {
    /// The largest, in bytes: 1 EiB.
    pub const MAX: u64 = 1 << 60;

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let amount = amount_of(text.trim()).map(|(_, bytes)| bytes);
        let bytes = amount.filter(|bytes| *bytes <= Self::MAX as f64);
        bytes.map(|bytes| Self(bytes as u64)).ok_or_else(|| SizeError(text.to_owned()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&amount_text(self.0))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrNumber)?.parse().map_err(D::Error::custom)
    }
}

/// How many times as large, from 1 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct GrowthFactor(u32);

/// It is not from 1 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no factor: give a whole number from {min} to {max}", min = GrowthFactor::RANGE.start(), max = GrowthFactor::RANGE.end())]
pub struct GrowthFactorError(i64);

impl GrowthFactor {
    /// What it may be.
    pub const RANGE: RangeInclusive<u32> = 1..=1_000_000;

    /// As a number; at least 1.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for GrowthFactor {
    type Error = GrowthFactorError;

    fn try_from(number: i64) -> Result<Self, GrowthFactorError> {
        let factor = u32::try_from(number).ok().filter(|factor| Self::RANGE.contains(factor));
        factor.map(Self).ok_or(GrowthFactorError(number))
    }
}

impl fmt::Display for GrowthFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A whole number of percent, from 0 to 100; of more than 100 % nothing can be, so that 100 is never. As text `20%` or `20`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(u8);

/// It is no whole number from 0 to 100.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no share: give whole percent from 0% to 100%, such as 50%; 100% is never")]
pub struct PercentError(String);

impl Percent {
    /// As a number, at most 100.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = PercentError;

    fn from_str(text: &str) -> Result<Self, PercentError> {
        let number = text.trim();
        let number = number.strip_suffix('%').unwrap_or(number).trim_end();
        let percent = number.parse().ok().filter(|percent| *percent <= 100);
        percent.map(Self).ok_or_else(|| PercentError(text.to_owned()))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrNumber)?.parse().map_err(D::Error::custom)
    }
}

/// A text, or a whole number as if it were one.
struct TextOrNumber;

impl Visitor<'_> for TextOrNumber {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a whole number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in
            [("10GiB", 10 << 30), ("10 GiB", 10 << 30), ("500MB", 500_000_000), ("0", 0), ("2.5k", 2560)]
        {
            let size: Size = text.parse().expect(text);
            assert_eq!(size.bytes(), bytes, "{text}");
            assert_eq!(size.to_string().parse(), Ok(size), "{text}");
        }
        for text in ["", "-1", "much", "10 parsecs", "2000000TiB", "inf", "1e9"] {
            assert_eq!(text.parse::<Size>(), Err(SizeError(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn shares_and_factors_have_bounds() {
        for (text, percent) in [("0%", 0), ("20 %", 20), ("100", 100)] {
            assert_eq!(text.parse::<Percent>().map(Percent::get), Ok(percent), "{text}");
        }
        for text in ["101%", "-1%", "0.5", "half", "%", ""] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
        assert!(GrowthFactor::try_from(1).is_ok() && GrowthFactor::try_from(1_000_000).is_ok());
        assert_eq!(
            [0, -1, 1_000_001].map(GrowthFactor::try_from),
            [0, -1, 1_000_001].map(|it| Err(GrowthFactorError(it)))
        );
    }
}
