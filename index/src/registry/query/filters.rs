//! The values of filters.

use std::fmt;

use certs::UnixNanos;
use jiff::civil;
use jiff::tz::TimeZone;

use wire::fold;

/// With what a name ends after a dot, as in `pdf` or `tar.gz`; folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extension(String);

impl Extension {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let folded = fold(text.strip_prefix('.').unwrap_or(text));
        let usual = |character: char| character.is_alphanumeric() || "._-+~".contains(character);
        if folded.is_empty() || folded.starts_with('.') || folded.ends_with('.') || !folded.chars().all(usual)
        {
            return Err("takes the end of a name, such as ext:pdf or ext:tar.gz".to_owned());
        }
        Ok(Self(folded))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name ends with it, and has something before the dot.
    pub(super) fn ends(&self, name: &str) -> bool {
        let stem = name.strip_suffix(self.as_str()).and_then(|rest| rest.strip_suffix('.'));
        stem.is_some_and(|stem| !stem.is_empty())
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Sizes in bytes, both ends included; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    first: u64,
    last: u64,
}

impl Sizes {
    /// `>N`, `>=N`, `<N`, `<=N`, `=N`, `N`, `N..M`, `N..` or `..M`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let sizes = match text.split_once("..").filter(|&ends| ends != ("", "")) {
            Some((first, last)) => {
                let end = |text: &str, open| if text.is_empty() { Ok(open) } else { bytes(text) };
                Some(Self { first: end(first, 0)?, last: end(last, u64::MAX)? })
            }
            None => Self::compared(text)?,
        };
        sizes.filter(|sizes| sizes.first <= sizes.last).ok_or_else(|| "no size is in this range".to_owned())
    }

    /// `None` where none is.
    fn compared(text: &str) -> Result<Option<Self>, String> {
        let number = text.trim_start_matches(['<', '>', '=']);
        let size = bytes(number)?;
        match &text[..text.len() - number.len()] {
            "" | "=" => Ok(Some(Self { first: size, last: size })),
            ">=" => Ok(Some(Self { first: size, last: u64::MAX })),
            "<=" => Ok(Some(Self { first: 0, last: size })),
            ">" => Ok(size.checked_add(1).map(|first| Self { first, last: u64::MAX })),
            "<" => Ok(size.checked_sub(1).map(|last| Self { first: 0, last })),
            _ => Err(bad_size()),
        }
    }

    pub(super) fn contains(&self, size: u64) -> bool {
        (self.first..=self.last).contains(&size)
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.last)
    }
}

/// A whole number of bytes, or of a power of 1024.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let power = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(bad_size()),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad_size());
    }
    let number: u64 = digits.parse().map_err(|_| bad_size())?;
    number.checked_mul(1 << (10 * power)).ok_or_else(|| "no size is that large".to_owned())
}

fn bad_size() -> String {
    "takes >, >=, <, <=, = or nothing and a whole number, with k, m, g or t for powers of 1024, or a range: \
     size:>1g, size:1m..2g"
        .to_owned()
}

/// A day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date(civil::Date);

impl Date {
    /// `YYYY-MM-DD`
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let date = || {
            let (year, rest) = text.split_once('-')?;
            let (month, day) = rest.split_once('-')?;
            civil::Date::new(digits(year, 4)?, digits(month, 2)?, digits(day, 2)?).ok()
        };
        date().map(Self).ok_or_else(|| "takes a day (UTC) as YYYY-MM-DD, such as 2026-01-31".to_owned())
    }

    /// Whether the day begins after that time.
    pub(super) fn is_after(&self, time: UnixNanos) -> bool {
        // A day that jiff has no instant for is the last one of the year 9999.
        let begin = self.0.to_zoned(TimeZone::UTC).map_or(i128::MAX, |day| day.timestamp().as_nanosecond());
        begin > i128::from(time.0)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), self.0.month(), self.0.day())
    }
}

fn digits<T: std::str::FromStr>(text: &str, count: usize) -> Option<T> {
    let all = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}
