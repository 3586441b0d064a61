//! An address on the wire.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An IP address and a UDP port, as text: `192.0.2.1:4820`, `[2001:db8::1]:4820`. IPv4-mapped IPv6 addresses become IPv4
/// ones; flow label and zone are dropped; the port is not 0 and the address is neither unspecified, multicast nor broadcast.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(SocketAddr);

impl Address {
    /// From an address that one can dial, or `None`.
    pub fn new(address: SocketAddr) -> Option<Self> {
        let ip = address.ip().to_canonical();
        let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        let usable = address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast;
        // A zone means something on its own machine alone.
        usable.then_some(Self(SocketAddr::new(ip, address.port())))
    }

    /// The address.
    pub const fn socket(&self) -> SocketAddr {
        self.0
    }

    /// Its IP address.
    pub const fn ip(&self) -> IpAddr {
        self.0.ip()
    }

    /// Whether it means the machine itself, whoever reads it.
    pub const fn is_loopback(&self) -> bool {
        self.0.ip().is_loopback()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let zone = text.contains('%');
        let parsed = text.parse().ok().filter(|_| !zone).and_then(Self::new);
        parsed.ok_or_else(|| serde::de::Error::custom("an address is <ip>:<port>"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<String> {
        Address::new(text.parse().expect("an address")).map(|address| address.to_string())
    }

    #[test]
    fn zones_are_dropped_and_refused() {
        assert_eq!(address("[fe80::1%3]:1").as_deref(), Some("[fe80::1]:1"));
        let decoded = |text: &str| crate::cbor::decode::<Address>(&crate::cbor::encode(text), 99).is_ok();
        assert!(decoded("[fe80::1]:1"));
        assert!(!decoded("[fe80::1%3]:1"));
        assert!(!decoded("localhost:1"));
    }

    #[test]
    fn canonical() {
        assert_eq!(address("192.0.2.1:1").as_deref(), Some("192.0.2.1:1"));
        assert_eq!(address("[::ffff:192.0.2.1]:1").as_deref(), Some("192.0.2.1:1"));
        assert_eq!(address("[2001:db8::1]:1").as_deref(), Some("[2001:db8::1]:1"));
        for bad in ["0.0.0.0:1", "[::]:1", "192.0.2.1:0", "224.0.0.1:1", "255.255.255.255:1", "[ff02::1]:1"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
