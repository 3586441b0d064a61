//! Times, local paths and ids as JSON has them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use certs::{UnixMillis, UnixNanos};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A point in time: RFC 3339 in UTC, as in `2026-11-03T10:12:00.5Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(jiff::Timestamp);

impl Moment {
    /// To the minute, in UTC, for people: `2026-11-03 10:12`.
    pub fn short(&self) -> String {
        self.0.strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// To the second, in this machine's time zone, for people: `2026-11-03 11:12:00`.
    pub fn local(&self) -> String {
        self.0.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }
}

impl From<UnixNanos> for Moment {
    fn from(time: UnixNanos) -> Self {
        let timestamp = jiff::Timestamp::from_nanosecond(i128::from(time.0));
        Self(timestamp.expect("nanoseconds in 64 bits end in 2262, jiff's range in 9999"))
    }
}

impl From<UnixMillis> for Moment {
    /// A time after the year 2262 becomes the last moment of that range.
    fn from(time: UnixMillis) -> Self {
        UnixNanos::from(time).into()
    }
}

impl From<Moment> for UnixMillis {
    /// A time before 1970 becomes 1970.
    fn from(moment: Moment) -> Self {
        Self(u64::try_from(moment.0.as_millisecond()).unwrap_or(0))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        as_text::deserialize(deserializer).map(Self)
    }
}

/// A path on this machine. In JSON a string; where it is not UTF-8, `{"hex": ".."}` with its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocalPath(PathBuf);

impl LocalPath {
    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The path.
    pub fn into_path(self) -> PathBuf {
        self.0
    }
}

impl From<PathBuf> for LocalPath {
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}

impl fmt::Display for LocalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum PathText {
    Text(String),
    Bytes { hex: String },
}

impl Serialize for LocalPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.0.as_os_str().as_encoded_bytes();
        let text = match self.0.to_str() {
            Some(text) => PathText::Text(text.to_owned()),
            None => PathText::Bytes { hex: data_encoding::HEXLOWER.encode(bytes) },
        };
        text.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LocalPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match PathText::deserialize(deserializer)? {
            PathText::Text(text) => Ok(Self(text.into())),
            PathText::Bytes { hex } => {
                let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).map_err(D::Error::custom)?;
                path_of_bytes(bytes).map(Self).ok_or_else(|| D::Error::custom("not a path of this system"))
            }
        }
    }
}

#[cfg(unix)]
fn path_of_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    Some(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn path_of_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    String::from_utf8(bytes).ok().map(PathBuf::from)
}

/// Anything that prints and parses, as a string.
pub(crate) mod as_text {
    use super::*;

    pub(crate) fn serialize<T: fmt::Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: fmt::Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// The same, or null.
pub(crate) mod optional_text {
    use super::*;

    pub(crate) fn serialize<T, S>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error>
    where
        T: fmt::Display,
        S: Serializer,
    {
        value.as_ref().map(ToString::to_string).serialize(to)
    }

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: fmt::Display>,
        D: Deserializer<'de>,
    {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

/// A content hash as the hex that `b3sum` prints.
pub(crate) mod content_hex {
    use wire::ContentHash;

    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &ContentHash, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ContentHash, D::Error> {
        let text = String::deserialize(from)?;
        ContentHash::from_hex(&text).ok_or_else(|| D::Error::custom("a content hash is 64 hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_rfc_3339() {
        let moment = Moment::from(UnixNanos(1_793_700_720_500_000_000));
        let text = serde_json::to_string(&moment).expect("text");
        assert_eq!(text, "\"2026-11-03T10:12:00.5Z\"");
        assert_eq!(serde_json::from_str::<Moment>(&text).expect("a moment"), moment);
        assert_eq!(moment.short(), "2026-11-03 10:12");
        let _ = (Moment::from(UnixNanos(i64::MIN)), Moment::from(UnixMillis(u64::MAX)));
    }

    #[test]
    fn paths_of_any_bytes_come_back() {
        use std::os::unix::ffi::OsStringExt;
        for bytes in [b"/home/\xe4\xf6".to_vec(), "/home/äö".as_bytes().to_vec()] {
            let path = LocalPath::from(PathBuf::from(std::ffi::OsString::from_vec(bytes)));
            let text = serde_json::to_string(&path).expect("text");
            assert_eq!(serde_json::from_str::<LocalPath>(&text).expect("a path"), path, "{text}");
        }
    }
}
