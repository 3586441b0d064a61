//! A network in memory: thousands of nodes in one process, for tests and measurements.
//!
//! Connections are pairs of queues, streams are bounded pipes. What has to do with chance (latency of a link, dials that
//! are lost) follows from the seed alone. Connections can be cut, nodes killed, the network split in two.

mod muxer;
mod tap;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use certs::NodeId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::muxer::{MemoryMuxer, MemoryStream};
pub use self::tap::{Exchange, Tap};
use super::transport::{Accepted, Connector};
use crate::BoxFuture;

/// Connections that wait for a node to take them; a further dial is refused.
const WAITING: usize = 64;

/// The port at which all nodes are, each at an IP address of its own.
const PORT: u16 = 4001;

/// What a network is like.
#[derive(Debug, Clone, Default)]
pub struct MemoryOptions {
    /// What chance follows from.
    pub seed: u64,
    /// The shortest and longest round trip; each pair of nodes has its own in between. A dial takes one, and so does the
    /// opening of a stream, which each request has. Both zero: nothing waits.
    pub round_trip: (Duration, Duration),
    /// How many of 1,000 dials are lost although the far end is there. 0 by default.
    pub lost_dials: u16,
    /// How long a dial takes that nobody answers. Zero by default.
    pub dial_timeout: Duration,
}

/// The network. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    options: MemoryOptions,
    tap: Option<Tap>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nodes: HashMap<NodeId, Member>,
    addresses: HashMap<SocketAddr, NodeId>,
    joined: u32,
    dials: u64,
    /// One side of a split network; empty if it is whole.
    island: HashSet<NodeId>,
}

struct Member {
    address: SocketAddr,
    queue: mpsc::Sender<Accepted<MemoryMuxer>>,
    links: Vec<Link>,
}

struct Link {
    to: NodeId,
    cut: CancellationToken,
}

impl MemoryNetwork {
    /// A network without nodes.
    pub fn new(options: MemoryOptions) -> Self {
        Self { shared: Arc::new(Shared { options, ..Shared::default() }) }
    }

    /// A network that reports each exchange on a stream: what was asked and answered. It costs copies.
    pub fn tapped(options: MemoryOptions, tap: Tap) -> Self {
        Self { shared: Arc::new(Shared { options, tap: Some(tap), ..Shared::default() }) }
    }

    /// Adds a node, which replaces one of the same id: how it connects, the connections that will come in, its address.
    pub fn join(&self, node: NodeId) -> (MemoryConnector, mpsc::Receiver<Accepted<MemoryMuxer>>, SocketAddr) {
        self.kill(node);
        let (queue, accepted) = mpsc::channel(WAITING);
        let mut state = self.state();
        state.joined += 1;
        let address = SocketAddr::from((Ipv4Addr::from((10 << 24) + state.joined), PORT));
        state.nodes.insert(node, Member { address, queue, links: Vec::new() });
        state.addresses.insert(address, node);
        (MemoryConnector { network: self.clone(), node }, accepted, address)
    }

    /// Where a node is, if it is there.
    pub fn address_of(&self, node: NodeId) -> Option<SocketAddr> {
        self.state().nodes.get(&node).map(|member| member.address)
    }

    /// How many dials there were, those that failed too.
    pub fn dials(&self) -> u64 {
        self.state().dials
    }

    /// Takes a node away: its connections end, and nobody answers at its address.
    pub fn kill(&self, node: NodeId) {
        let mut state = self.state();
        if let Some(member) = state.nodes.remove(&node) {
            state.addresses.remove(&member.address);
            member.links.iter().for_each(|link| link.cut.cancel());
        }
    }

    /// Ends all connections between two nodes. They may connect again.
    pub fn cut(&self, one: NodeId, other: NodeId) {
        for (from, to) in [(one, other), (other, one)] {
            if let Some(member) = self.state().nodes.get_mut(&from) {
                member.links.iter().filter(|link| link.to == to).for_each(|link| link.cut.cancel());
            }
        }
    }

    /// Splits the network: these nodes and the others cannot connect, and connections between them end. An empty set
    /// makes it whole.
    pub fn split(&self, island: HashSet<NodeId>) {
        let mut state = self.state();
        for (node, member) in &state.nodes {
            let across = |link: &&Link| island.contains(node) != island.contains(&link.to);
            member.links.iter().filter(across).for_each(|link| link.cut.cancel());
        }
        state.island = island;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The round trip between two nodes, the same both ways.
    fn round_trip(&self, one: NodeId, other: NodeId) -> Duration {
        let (shortest, longest) = self.shared.options.round_trip;
        let both = first_bytes(&one) ^ first_bytes(&other);
        let part = mix(self.shared.options.seed ^ both) as f64 / u64::MAX as f64;
        shortest + longest.saturating_sub(shortest).mul_f64(part)
    }

    /// Connects two nodes; the dialler's end.
    fn connect(&self, from: NodeId, to: NodeId, address: SocketAddr) -> io::Result<MemoryMuxer> {
        let round_trip = self.round_trip(from, to);
        let mut state = self.state();
        state.dials += 1;
        let lost = mix(self.shared.options.seed ^ mix(state.dials)) % 1000
            < u64::from(self.shared.options.lost_dials);
        let apart = state.island.contains(&from) != state.island.contains(&to);
        if lost || apart || state.addresses.get(&address) != Some(&to) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        let remote = state.nodes.get(&from).ok_or_else(gone)?.address;
        let cut = CancellationToken::new();
        let (near, far) = muxer::pair(&cut, round_trip, self.shared.tap.clone(), (from, to));
        let member = state.nodes.get_mut(&to).ok_or_else(gone)?;
        let refused = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
        member.queue.try_send(Accepted { node: from, remote, muxer: far }).map_err(refused)?;
        for (node, other) in [(from, to), (to, from)] {
            if let Some(member) = state.nodes.get_mut(&node) {
                member.links.retain(|link| !link.cut.is_cancelled());
                member.links.push(Link { to: other, cut: cut.clone() });
            }
        }
        Ok(near)
    }
}

/// How one node connects.
pub struct MemoryConnector {
    network: MemoryNetwork,
    node: NodeId,
}

impl Connector for MemoryConnector {
    type Muxer = MemoryMuxer;

    fn dial(&self, node: NodeId, address: SocketAddr) -> BoxFuture<io::Result<MemoryMuxer>> {
        let (network, from) = (self.network.clone(), self.node);
        Box::pin(async move {
            wait(network.round_trip(from, node)).await;
            let connected = network.connect(from, node, address);
            if connected.is_err() {
                wait(network.shared.options.dial_timeout).await;
            }
            connected
        })
    }
}

async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn first_bytes(node: &NodeId) -> u64 {
    node.as_bytes().iter().take(8).fold(0, |bytes, byte| bytes << 8 | u64::from(*byte))
}

/// A number that looks random and follows from this one (the finalizer of SplitMix64).
pub(super) fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
