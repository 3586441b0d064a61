//! Which network, and where its index is.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use certs::{IdError, NetworkId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `<network-id>@<host>:<port>`: the id pins the network, so that the address need not be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexAddress {
    /// The network whose index must answer there.
    pub network: NetworkId,
    /// A DNS name or an IP address; an IPv6 address without its brackets.
    pub host: String,
    /// UDP; not 0.
    pub port: u16,
}

impl IndexAddress {
    /// `host:port`, with brackets around an IPv6 address: what a resolver takes.
    pub fn host_and_port(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// Why a text is no address of an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexAddressError {
    /// There is no `@`.
    #[error(
        "an index is given as <network-id>@<host>:<port>, as `p2p-node index` prints it; there is no '@'"
    )]
    NoNetwork,
    /// What is before the `@` is no id.
    #[error("what is before the '@' is no network id: {0}")]
    Network(#[from] IdError),
    /// There is no `:port` at the end.
    #[error("there is no port: an index is given as <network-id>@<host>:<port>")]
    NoPort,
    /// What is after the last `:` is no port.
    #[error("'{0}' is no port: it is a number from 1 to 65535")]
    Port(String),
    /// What is between `@` and port is no host.
    #[error("'{0}' is no host: it is a DNS name, an IPv4 address, or an IPv6 address in brackets")]
    Host(String),
}

impl FromStr for IndexAddress {
    type Err = IndexAddressError;

    fn from_str(text: &str) -> Result<Self, IndexAddressError> {
        let (network, address) = text.split_once('@').ok_or(IndexAddressError::NoNetwork)?;
        let network = network.parse()?;
        let (host, port) = match address.rsplit_once(':') {
            Some((_, port)) if port.ends_with(']') => return Err(IndexAddressError::NoPort),
            Some(parts) => parts,
            None => return Err(IndexAddressError::NoPort),
        };
        Ok(Self { network, port: parse_port(port)?, host: parse_host(host)? })
    }
}

pub(super) fn parse_port(text: &str) -> Result<u16, IndexAddressError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|&port| digits && port != 0);
    port.ok_or_else(|| IndexAddressError::Port(text.to_owned()))
}

pub(super) fn parse_host(text: &str) -> Result<String, IndexAddressError> {
    let refused = || IndexAddressError::Host(text.to_owned());
    if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().map(|_| inner.to_owned()).map_err(|_| refused());
    }
    // RFC 1123, section 2.1, and underscores, which some resolvers know; a name of all numbers must be an address.
    let label = |label: &str| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(inside) && !label.starts_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let numeric = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let valid = if numeric {
        text.parse::<std::net::Ipv4Addr>().is_ok()
    } else {
        name.len() <= 253 && name.split('.').all(label)
    };
    if valid { Ok(text.to_owned()) } else { Err(refused()) }
}

impl fmt::Display for IndexAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.network, self.host_and_port())
    }
}

impl Serialize for IndexAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IndexAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> NetworkId {
        certs::SecretKey::from_seed([1; 32]).public()
    }

    #[test]
    fn hosts_of_every_form_come_back() {
        for host in
            ["127.0.0.1", "[::1]", "[fe80::1]", "localhost", "index.example.", "a_b.c-d", "xn--bcher-kva.de"]
        {
            let text = format!("{}@{host}:4820", id());
            let address: IndexAddress = text.parse().expect(host);
            assert_eq!(address.to_string(), text);
            assert_eq!(address.host_and_port(), format!("{host}:4820"));
            assert_eq!(address.network, id());
        }
    }

    #[test]
    fn each_fault_has_its_error() {
        use IndexAddressError::*;
        let parse = |text: &str| text.parse::<IndexAddress>().expect_err(text);
        let at = |address: &str| parse(&format!("{}@{address}", id()));
        assert_eq!(parse("host:4820"), NoNetwork);
        assert!(matches!(parse("abc@host:4820"), Network(_)));
        assert!(matches!(parse("@host:4820"), Network(_)));
        assert_eq!(at("host"), NoPort);
        assert_eq!(at("[::1]"), NoPort);
        for port in ["", "0", "65536", "-1", "+1", "x"] {
            assert_eq!(at(&format!("host:{port}")), Port(port.to_owned()), "{port:?}");
        }
        for host in ["", "::1", "[x]", "a b", "a..b", "-a", "1.2.3", "999.1.1.1", "a/b", "ä"] {
            assert_eq!(at(&format!("{host}:1")), Host(host.to_owned()), "{host:?}");
        }
    }
}
