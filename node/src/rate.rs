//! Rates: so many bytes a second, or no limit; how they are written and read.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes a second, from [`Rate::MIN`] to [`Rate::MAX`], or no limit, which is the default.
///
/// As text a number of bytes, with or without a unit, or `none` (`off`): `10MB`, `500KiB`, `2.5m`. `KB`, `MB`, `GB` and `TB` are
/// powers of 1000; `k`, `m`, `g`, `t` and `KiB` to `TiB` are powers of 1024, as in `size:` of a search. Upper and lower
/// case are the same, and `/s` may follow. In JSON and TOML it is also a number of bytes; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate(Option<NonZeroU64>);

/// Why something is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// It is not a number with or without a unit.
    #[error("'{0}' is no rate: give bytes a second, such as 10MB, 500KiB or 2.5m, or `none` for no limit")]
    Text(String),
    /// It is lower than what keeps a transfer alive, in bytes a second.
    #[error("{0} bytes a second are too few: at least {min}, or `none` for no limit", min = Rate::MIN)]
    TooLow(u64),
    /// It is higher than any link.
    #[error("that rate is too high: at most {max} bytes a second, or `none` for no limit", max = Rate::MAX)]
    TooHigh,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self(None);
    /// The lowest rate, in bytes a second: with less a packet takes longer than the far end waits for one.
    pub const MIN: u64 = 1 << 10;
    /// The highest rate, in bytes a second: 1 TiB.
    pub const MAX: u64 = 1 << 40;

    /// So many bytes a second; 0 is no limit.
    ///
    /// # Errors
    /// Where they are not 0 and not within [`Rate::MIN`] and [`Rate::MAX`].
    pub const fn new(bytes: u64) -> Result<Self, RateError> {
        match NonZeroU64::new(bytes) {
            Some(_) if bytes < Self::MIN => Err(RateError::TooLow(bytes)),
            Some(_) if bytes > Self::MAX => Err(RateError::TooHigh),
            rate => Ok(Self(rate)),
        }
    }

    /// Bytes a second; `None` is no limit.
    pub const fn bytes(self) -> Option<u64> {
        match self.0 {
            Some(bytes) => Some(bytes.get()),
            None => None,
        }
    }
}

/// The units, larger ones first, and of the same size those that are written before those that are only read.
const UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
    ("", 1),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
];

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let wrong = || RateError::Text(text.to_owned());
        let lower = text.trim().to_ascii_lowercase();
        if matches!(lower.as_str(), "none" | "off") {
            return Ok(Self::UNLIMITED);
        }
        let amount = lower.strip_suffix("/s").unwrap_or(&lower);
        let (number, bytes) = amount_of(amount).ok_or_else(wrong)?;
        if bytes > Self::MAX as f64 {
            return Err(RateError::TooHigh);
        }
        match bytes as u64 {
            0 if number > 0.0 => Err(RateError::TooLow(0)),
            bytes => Self::new(bytes),
        }
    }
}

/// A number of bytes with or without a unit: the number, and what it is in bytes, rounded. Finite and not negative.
pub(crate) fn amount_of(amount: &str) -> Option<(f64, f64)> {
    let digits = amount.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let (_, unit) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&amount[digits.len()..]))?;
    let digits = digits.trim_end();
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    // What is plain and parses is finite and not negative.
    let number: f64 = digits.parse().ok().filter(|_| plain)?;
    Some((number, (number * *unit as f64).round()))
}

/// So many bytes, in the largest unit of which that is a whole number.
pub(crate) fn amount_text(bytes: u64) -> String {
    let unit = UNITS.iter().find(|(_, unit)| bytes.is_multiple_of(*unit));
    let (name, unit) = unit.filter(|_| bytes > 0).unwrap_or(&("B", 1));
    format!("{}{name}", bytes / unit)
}

impl fmt::Display for Rate {
    /// In the largest unit of which it is a whole number, so that it is read again as the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.bytes() else { return f.write_str("none") };
        f.pad(&format!("{}/s", amount_text(bytes)))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.bytes().unwrap_or(0))
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RateVisitor)
    }
}

struct RateVisitor;

impl Visitor<'_> for RateVisitor {
    type Value = Rate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a rate such as \"10MB\", a whole number of bytes a second, or \"none\"")
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<Rate, E> {
        Rate::new(bytes).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<Rate, E> {
        let bytes = u64::try_from(bytes).map_err(|_| E::custom(RateError::Text(bytes.to_string())))?;
        self.visit_u64(bytes)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Rate, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Option<u64> {
        text.parse::<Rate>().unwrap_or_else(|error| panic!("{text}: {error}")).bytes()
    }

    #[test]
    fn units_are_powers_of_1000_or_1024() {
        assert_eq!(bytes("10MB"), Some(10_000_000));
        assert_eq!(bytes("500KiB"), Some(512_000));
        assert_eq!(bytes("2.5m"), Some(5 << 19));
        assert_eq!(bytes("1 mb/s"), Some(1_000_000));
        assert_eq!(bytes("4096"), Some(4096));
        assert_eq!(bytes("4096b"), Some(4096));
        assert_eq!(bytes(".5g"), Some(1 << 29));
        assert_eq!(bytes("1TiB"), Some(Rate::MAX));
        for none in ["none", "None", "off", "0", "0MB", "0.0"] {
            assert_eq!(bytes(none), None, "{none}");
        }
    }

    #[test]
    fn each_fault_has_its_error() {
        let error = |text: &str| text.parse::<Rate>().expect_err(text);
        for text in [
            "", "MB", "-1", "+1", "1e6", "1.2.3", "10 M B", "10mbit", "10x", "ten", "1,5m", "inf", "nan",
            "1m/h",
        ] {
            assert_eq!(error(text), RateError::Text(text.to_owned()));
        }
        assert_eq!(error("1023"), RateError::TooLow(1023));
        assert_eq!(error("0.1"), RateError::TooLow(0));
        assert_eq!(error("1025g"), RateError::TooHigh);
        assert_eq!(error(&"9".repeat(400)), RateError::TooHigh);
        assert!(error("10x").to_string().contains("10MB"), "it says what would be right");
    }

    #[test]
    fn what_is_printed_is_read_again() {
        for rate in [0, 1024, 1025, 500_000, 512_000, 10_000_000, 5 << 19, 1 << 30, 3_000_000_007, Rate::MAX]
        {
            let rate = Rate::new(rate).expect("a rate");
            assert_eq!(rate.to_string().parse(), Ok(rate), "{rate}");
            let json = serde_json::to_string(&rate).expect("json");
            assert_eq!(serde_json::from_str::<Rate>(&json).expect("read"), rate, "{json}");
        }
        assert_eq!(Rate::new(10_000_000).expect("a rate").to_string(), "10MB/s");
        assert_eq!(Rate::UNLIMITED.to_string(), "none");
    }

    #[test]
    fn json_has_numbers_and_texts() {
        let read = |json: &str| serde_json::from_str::<Rate>(json).map(Rate::bytes);
        assert_eq!(read("\"1m\"").expect("read"), Some(1 << 20));
        assert_eq!(read("0").expect("read"), None);
        for wrong in ["-5", "1.5", "null", "\"\"", "5", "true"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
