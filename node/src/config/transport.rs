//! The table `[transport]`: how connections behave.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::options::{Congestion, TransportOptions};

/// What `[transport]` may say; see [`TransportOptions`] for the units, bounds and defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Transport {
    /// `congestion = "bbr"`.
    pub congestion: Option<Congestion>,
    /// `stream_window_mib = 16`.
    #[serde(deserialize_with = "mib")]
    pub stream_window_mib: Option<u8>,
    /// `socket_buffer_mib = 8`.
    #[serde(deserialize_with = "mib")]
    pub socket_buffer_mib: Option<u8>,
    /// `mtu = 1452`.
    #[serde(deserialize_with = "mtu")]
    pub mtu: Option<u16>,
    /// Threads that drive connections, from 1 to 64: `threads = 4`. A peer's default is a quarter of the cores, an index's
    /// all.
    #[serde(deserialize_with = "threads")]
    pub threads: Option<u8>,
}

impl Transport {
    /// The options, with the defaults where nothing is said.
    pub fn options(&self) -> TransportOptions {
        let default = TransportOptions::default();
        TransportOptions {
            congestion: self.congestion.unwrap_or(default.congestion),
            stream_window_mib: self.stream_window_mib.unwrap_or(default.stream_window_mib),
            socket_buffer_mib: self.socket_buffer_mib.unwrap_or(default.socket_buffer_mib),
            mtu: self.mtu.unwrap_or(default.mtu),
        }
    }
}

fn mib<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    within(deserializer, TransportOptions::MIB)
}

fn threads<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    within(deserializer, 1..=64)
}

fn mtu<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    within(deserializer, TransportOptions::MTU)
}

fn within<'de, D: Deserializer<'de>, T: TryFrom<i64> + PartialOrd + Display>(
    deserializer: D,
    bounds: RangeInclusive<T>,
) -> Result<Option<T>, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let value = T::try_from(number).ok().filter(|value| bounds.contains(value));
    let wrong = || format!("{number} is not a number from {} to {}", bounds.start(), bounds.end());
    value.map(Some).ok_or_else(|| D::Error::custom(wrong()))
}
