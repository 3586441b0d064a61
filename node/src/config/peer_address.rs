//! Where another member is found that is known beforehand.

use std::fmt;
use std::str::FromStr;

use certs::{IdError, NodeId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::IndexAddressError;
use super::index_address::{parse_host, parse_port};

/// `<host>:<port>`, or `<node-id>@<host>:<port>`, which is what `run` prints: with the id nobody else is believed there.
/// Without it, whoever answers must show a membership of the network all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddress {
    /// Who must answer there; `None` for any member.
    pub node: Option<NodeId>,
    /// A DNS name or an IP address; an IPv6 address without its brackets.
    pub host: String,
    /// UDP; not 0.
    pub port: u16,
}

/// Why a text is no address of a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerAddressError {
    /// What is before the `@` is no id.
    #[error("what is before the '@' is no node id: {0}")]
    Node(#[from] IdError),
    /// There is no `:port` at the end.
    #[error("there is no port: a peer is given as <host>:<port> or <node-id>@<host>:<port>")]
    NoPort,
    /// Host or port are none.
    #[error(transparent)]
    Place(IndexAddressError),
}

impl PeerAddress {
    /// `host:port`, with brackets around an IPv6 address.
    pub fn host_and_port(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl FromStr for PeerAddress {
    type Err = PeerAddressError;

    fn from_str(text: &str) -> Result<Self, PeerAddressError> {
        let (node, address) = match text.split_once('@') {
            Some((node, address)) => (Some(node.parse()?), address),
            None => (None, text),
        };
        let (host, port) = match address.rsplit_once(':') {
            Some((_, port)) if port.ends_with(']') => return Err(PeerAddressError::NoPort),
            Some(parts) => parts,
            None => return Err(PeerAddressError::NoPort),
        };
        let port = parse_port(port).map_err(PeerAddressError::Place)?;
        let host = parse_host(host).map_err(PeerAddressError::Place)?;
        Ok(Self { node, host, port })
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(node) = &self.node {
            write!(f, "{node}@")?;
        }
        f.write_str(&self.host_and_port())
    }
}

impl Serialize for PeerAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PeerAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_and_without_an_id() {
        let id = certs::SecretKey::from_seed([1; 32]).public();
        for text in ["10.0.0.7:4821".to_owned(), format!("{id}@[::1]:4821"), format!("{id}@peer.example:1")] {
            let address: PeerAddress = text.parse().expect(&text);
            assert_eq!(address.to_string(), text);
            assert_eq!(address.node, text.contains('@').then_some(id));
        }
    }

    #[test]
    fn each_fault_has_its_error() {
        let parse = |text: &str| text.parse::<PeerAddress>().expect_err(text);
        assert!(matches!(parse("abc@host:4820"), PeerAddressError::Node(_)));
        assert_eq!(parse("host"), PeerAddressError::NoPort);
        assert_eq!(parse("[::1]"), PeerAddressError::NoPort);
        assert_eq!(parse("host:0"), PeerAddressError::Place(IndexAddressError::Port("0".to_owned())));
        assert_eq!(parse("a b:1"), PeerAddressError::Place(IndexAddressError::Host("a b".to_owned())));
    }
}
