//! How much is transferred: rates, and how many uploads at once.

use std::fmt;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::rate::{Rate, RateError};

/// How much a node gives and takes. Rates count the bytes of files and of their manifests; each that applies to a transfer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LimitOptions {
    /// All uploads together; no limit by default.
    pub upload: Rate,
    /// All downloads together; no limit by default.
    pub download: Rate,
    /// All uploads to one node; no limit by default.
    pub upload_per_peer: Rate,
    /// All that is downloaded from one node; no limit by default.
    pub download_per_peer: Rate,
    /// Uploads at once.
    pub upload_slots: UploadSlots,
}

impl LimitOptions {
    /// The name of each, as the configuration's table `[limits]` and the command `limit` have it.
    pub const KEYS: [&str; 5] =
        ["upload", "download", "upload_per_peer", "download_per_peer", "upload_slots"];

    /// The value of each, in the order of [`LimitOptions::KEYS`].
    pub fn values(&self) -> [String; 5] {
        let Self { upload, download, upload_per_peer, download_per_peer, upload_slots } = self;
        let rates = [upload, download, upload_per_peer, download_per_peer].map(Rate::to_string);
        let [upload, download, upload_per_peer, download_per_peer] = rates;
        [upload, download, upload_per_peer, download_per_peer, upload_slots.to_string()]
    }

    /// With these changes.
    #[must_use]
    pub fn with(self, changes: &LimitChanges) -> Self {
        Self {
            upload: changes.upload.unwrap_or(self.upload),
            download: changes.download.unwrap_or(self.download),
            upload_per_peer: changes.upload_per_peer.unwrap_or(self.upload_per_peer),
            download_per_peer: changes.download_per_peer.unwrap_or(self.download_per_peer),
            upload_slots: changes.upload_slots.unwrap_or(self.upload_slots),
        }
    }
}

/// What the configuration's table `[limits]` or the command `limit` says; what is `None` stays as it is. As text one
/// change: `KEY=VALUE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitChanges {
    /// `upload = "10MB"`.
    pub upload: Option<Rate>,
    /// `download = "none"`.
    pub download: Option<Rate>,
    /// `upload_per_peer = "500KiB"`.
    pub upload_per_peer: Option<Rate>,
    /// `download_per_peer = "2.5m"`.
    pub download_per_peer: Option<Rate>,
    /// `upload_slots = 16`.
    pub upload_slots: Option<UploadSlots>,
}

impl LimitChanges {
    /// These, and then others.
    #[must_use]
    pub fn and(self, others: &Self) -> Self {
        Self {
            upload: others.upload.or(self.upload),
            download: others.download.or(self.download),
            upload_per_peer: others.upload_per_peer.or(self.upload_per_peer),
            download_per_peer: others.download_per_peer.or(self.download_per_peer),
            upload_slots: others.upload_slots.or(self.upload_slots),
        }
    }

    /// The value of each that is given, in the order of [`LimitOptions::KEYS`].
    pub fn values(&self) -> [Option<String>; 5] {
        let given = [
            self.upload.is_some(),
            self.download.is_some(),
            self.upload_per_peer.is_some(),
            self.download_per_peer.is_some(),
            self.upload_slots.is_some(),
        ];
        let mut given = given.into_iter();
        LimitOptions::default()
            .with(self)
            .values()
            .map(|value| given.next().unwrap_or(false).then_some(value))
    }
}

/// Why a text is no change of a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// There is no `=`.
    #[error("a limit is given as KEY=VALUE, such as upload=10MB; there is no '='")]
    NoValue,
    /// What is before the `=` is no limit.
    #[error("there is no limit '{0}': the limits are {keys}", keys = LimitOptions::KEYS.join(", "))]
    Key(String),
    /// What is after it is no rate.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// Or no number of places.
    #[error(transparent)]
    Slots(#[from] SlotsError),
}

impl FromStr for LimitChanges {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let (key, value) = text.split_once('=').ok_or(LimitError::NoValue)?;
        let mut changes = Self::default();
        match key.trim() {
            "upload" => changes.upload = Some(value.parse()?),
            "download" => changes.download = Some(value.parse()?),
            "upload_per_peer" => changes.upload_per_peer = Some(value.parse()?),
            "download_per_peer" => changes.download_per_peer = Some(value.parse()?),
            "upload_slots" => changes.upload_slots = Some(value.parse()?),
            other => return Err(LimitError::Key(other.to_owned())),
        }
        Ok(changes)
    }
}

/// How many uploads run at once, from 1 to 4,096. Each has a file open, and two pieces of 256 KiB in memory: the
/// default of 256 is a quarter of the 1,024 descriptors that a process usually has, and 128 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct UploadSlots(u16);

/// It is not from 1 to 4,096.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no number of uploads at once: give a whole number from 1 to {max}", max = UploadSlots::MAX)]
pub struct SlotsError(String);

impl UploadSlots {
    /// The most that can be set.
    pub const MAX: u16 = 4096;

    /// As a number.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl Default for UploadSlots {
    fn default() -> Self {
        Self(256)
    }
}

impl TryFrom<i64> for UploadSlots {
    type Error = SlotsError;

    fn try_from(number: i64) -> Result<Self, SlotsError> {
        let slots = u16::try_from(number).ok().filter(|slots| (1..=Self::MAX).contains(slots));
        slots.map(Self).ok_or_else(|| SlotsError(number.to_string()))
    }
}

impl FromStr for UploadSlots {
    type Err = SlotsError;

    fn from_str(text: &str) -> Result<Self, SlotsError> {
        let number: i64 = text.trim().parse().map_err(|_| SlotsError(text.to_owned()))?;
        number.try_into()
    }
}

impl fmt::Display for UploadSlots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for UploadSlots {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_changes_its_limit_alone() {
        let before = LimitOptions::default();
        for (place, key) in LimitOptions::KEYS.into_iter().enumerate() {
            let changes: LimitChanges = format!("{key}=2048").parse().expect(key);
            let (values, given) = (before.with(&changes).values(), changes.values());
            for (other, value) in before.values().into_iter().enumerate() {
                assert_eq!(values[other] == value, other != place, "{key}");
                assert_eq!(given[other].is_some(), other == place, "{key}");
            }
        }
    }

    #[test]
    fn the_later_change_counts() {
        let parse = |text: &str| text.parse::<LimitChanges>().expect(text);
        let both = parse("upload=1MB").and(&parse("download=2MB")).and(&parse("upload=none"));
        assert_eq!(both.upload, Some(Rate::UNLIMITED));
        assert_eq!(both.download, "2MB".parse().ok());
    }

    #[test]
    fn each_fault_has_its_error() {
        let error = |text: &str| text.parse::<LimitChanges>().expect_err(text);
        assert_eq!(error("upload"), LimitError::NoValue);
        let unknown = error("up=1MB");
        assert!(unknown.to_string().contains("upload_per_peer"), "{unknown}");
        assert!(matches!(error("upload=fast"), LimitError::Rate(_)));
        for slots in ["0", "4097", "-1", "", "many", "1.5"] {
            assert_eq!(
                error(&format!("upload_slots={slots}")),
                LimitError::Slots(SlotsError(slots.to_owned()))
            );
        }
    }
}
