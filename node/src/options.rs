//! What a daemon is started with.

mod fallback;
mod keep;
mod limits;
mod updates;
mod watch;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use certs::PublicKey;
use serde::{Deserialize, Serialize};

pub use fallback::FallbackOptions;
pub use keep::{KeepVersions, KeepVersionsError};
pub use limits::{LimitChanges, LimitError, LimitOptions, SlotsError, UploadSlots};
pub use updates::{
    GrowthFactor, GrowthFactorError, Percent, PercentError, Size, SizeError, UpdateChanges, UpdateOptions,
};
pub use watch::WatchTiming;

use crate::config::IndexAddress;
use crate::home::Home;
use crate::hooks::TimeLimit;

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
    /// How its connections behave.
    pub transport: TransportOptions,
    /// How much it gives and takes.
    pub limits: LimitOptions,
    /// Which updates wait for the user.
    pub updates: UpdateOptions,
    /// Whether what is shared for the first time is watched, where its user does not say.
    pub watch: bool,
    /// How many old versions are kept of what is shared or downloaded, where its user does not say.
    pub keep: KeepVersions,
    /// How long a program that is run after an update may take.
    pub hook_timeout: TimeLimit,
    /// What it does while the index is away.
    pub fallback: FallbackOptions,
}

impl DaemonOptions {
    /// Where an index listens that was told nothing.
    pub const INDEX_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), INDEX_PORT);
}

/// How connections behave. What is set here holds for all of them; the MTU also depends on each one's route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportOptions {
    /// How much is sent at once on a path.
    pub congestion: Congestion,
    /// What a stream may send before it is read, in MiB, from 1 to 64. Of a connection it is four times that, which is
    /// what a hostile sender can park with us.
    pub stream_window_mib: u8,
    /// What is asked of the system for each direction of the socket, in MiB, from 1 to 64. Linux gives no more than
    /// `net.core.rmem_max` and `wmem_max`.
    pub socket_buffer_mib: u8,
    /// The largest UDP payload that is sent, in bytes, from 1,200 to 65,000, where the route takes it. What is too large for
    /// ten segments of one system call (6,500) and not half as large as these together (32,500) counts as 6,500.
    pub mtu: u16,
}

impl TransportOptions {
    /// The bounds of the windows and of the buffers.
    pub const MIB: std::ops::RangeInclusive<u8> = 1..=64;
    /// The bounds of the payload: what QUIC needs (RFC 9000, section 14), and what a packet of IP holds behind its headers, rounded.
    pub const MTU: std::ops::RangeInclusive<u16> = 1200..=65_000;
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            congestion: Congestion::default(),
            stream_window_mib: 8,
            socket_buffer_mib: 4,
            mtu: *Self::MTU.end(),
        }
    }
}

/// How much is sent at once on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Congestion {
    /// CUBIC that tells the losses of a lossy path from those of a full queue
    #[default]
    Adaptive,
    /// CUBIC (RFC 9438), as TCP has it
    Cubic,
    /// BBR, which quinn calls experimental
    Bbr,
}

impl fmt::Display for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Adaptive => "adaptive",
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
        })
    }
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
