//! What a daemon is started with.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use certs::PublicKey;

use crate::config::IndexAddress;
use crate::home::Home;

/// The port of an index that is told no other (UDP).
pub const INDEX_PORT: u16 = 4820;

/// What a daemon is started with; flags, environment, configuration file and defaults are already weighed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonOptions {
    /// Where its files are. The daemon makes the folder where there is none, and locks it.
    pub home: Home,
    /// Where it listens. `None`: an index on [`INDEX_PORT`] of every address, a peer on the port of last time, or a free
    /// one.
    pub listen: Option<SocketAddr>,
    /// Index or peer.
    pub role: Role,
}

impl DaemonOptions {
    /// Where an index listens that was told nothing.
    pub const INDEX_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), INDEX_PORT);
}

/// What a daemon is in its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The index, which is a peer too.
    Index {
        /// Whether it takes new accounts.
        signup_open: bool,
    },
    /// A peer.
    Peer {
        /// Which network, and where its index is; `None` where nothing says so.
        index: Option<IndexAddress>,
    },
}

/// A daemon that is bound and answers on its control socket. Prints as the line that `run` and `index` print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The network's id at an index, so that `<id>@<address>` is what a peer's `--index` takes; else the node's.
    pub id: PublicKey,
    /// Where it can be reached: a routable address where it listens on an unspecified one.
    pub address: SocketAddr,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ready {}@{}", self.id, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_word_of_ready_is_an_index_address() {
        let id = certs::SecretKey::from_seed([1; 32]).public();
        for address in ["127.0.0.1:4820", "[::1]:4820"] {
            let ready = Ready { id, address: address.parse().expect("an address") };
            let line = ready.to_string();
            let index: IndexAddress = line.split(' ').nth(1).expect("two words").parse().expect(&line);
            assert_eq!((index.network, index.host_and_port()), (id, address.to_owned()));
        }
    }
}
