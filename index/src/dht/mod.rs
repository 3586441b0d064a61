//! Kademlia: what keeps a network together while its index is away.
//!
//! libp2p-kad does the routing and the queries. Around it stands what it leaves open: it believes whatever it is told,
//! stores for everybody without a quota, has a transport of its own, and adds to its table whoever answers. This layer
//! knows nothing of what is stored: a [`Validator`] decides about values, an [`Accounts`] says whose a node is.
//!
//! | concept | file |
//! | --- | --- |
//! | the handle: put, get, provide, peers, status | `handle` |
//! | the task that owns the swarm | `driver` |
//! | queries that run, each answer checked | `queries` |
//! | the best of what a lookup finds, pure | `lookup` |
//! | who is in the table of nodes | `table` |
//! | who has a say in a lookup; kept on the streams of requests | `say`; `sift` |
//! | what is kept for others: quotas, expiry, eviction | `store/` |
//! | what may be stored and believed: traits | `validate` |
//! | libp2p over connections that the node makes | `transport`, `quic` |
//! | how many there are, which stay, which end | `places`, `ending` |
//! | kad's own looking around, where nobody wants it | `hush` |
//! | kad's messages as bytes | `protobuf` |
//! | node ids and peer ids, addresses; which node a peer is, remembered | `address`; `nodes` |
//! | a network in memory, for tests and measurements | `memory/` |
//!
//! # What was decided
//! - **Nothing puts or provides again by itself.** kad's jobs copy the whole store and all start at once; the caller has
//!   reasons and jitter of its own.
//! - **A put asks all 20 nearest nodes and counts answers.** kad's `Majority` is reckoned against 20, whatever the size
//!   of the network, and its `One` ends with the first answer.
//! - **A get ends when nodes of three accounts gave the same highest value**, or all nearest were asked ([`Until`]). It goes by two paths
//!   that share no node.
//! - **In one lookup at most five nodes of one account have a say**, as in a bucket: who grinds keys until 20 of its nodes are
//!   the nearest to a key would else have that key. kad asks whoever is named, so this is done on the streams of requests.
//! - **Messages may have 32 KiB**, kad's default being 16: a record of 12 KiB and 20 nodes with 8 addresses each would
//!   not fit. The protocol has a name of its own, so nobody else's kad is met.
//! - **A node that fails to answer a dial twice leaves the table**, if others are connected. kad keeps it until a new node
//!   needs its place, and lookups try it over and over.
//! - **One task runs everything of a node**, its connections too: DHT traffic is low, and no task outlives the driver.
//! - **Timers of libp2p are real time** (`futures-timer`): paused tokio time does not move them.

pub mod address;
#[cfg(test)]
mod clocks;
mod driver;
mod ending;
mod handle;
mod hush;
mod lookup;
pub mod memory;
mod nodes;
mod places;
pub mod protobuf;
mod queries;
mod quic;
mod say;
mod sift;
mod store;
mod table;
mod transport;
mod validate;

use std::num::{NonZeroU8, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use certs::NodeId;
use libp2p_core::Transport;
use libp2p_kad::{Behaviour, BucketInserts, Caching, StoreInserts};
use libp2p_swarm::{StreamProtocol, Swarm};
use tokio::sync::mpsc;
use wire::limits::DHT_PACKET_BYTES;

use self::driver::Driver;
use self::hush::Hush;
use self::nodes::Nodes;
use self::places::{Most, Places};
use self::queries::Queries;
use self::say::Say;
use self::store::{Judges, Store};
use self::table::Table;
use self::transport::KadTransport;

pub use self::handle::{Added, Dht, DhtError, DhtStatus, Until};
pub use self::lookup::Found;
pub use self::quic::{QuicMuxer, QuicStream};
pub use self::store::{Forgetful, Keep, KeepFile, Kept, StoreLimits, StoreStatus};
pub use self::transport::{Accepted, Connector};
pub use self::validate::{Accounts, Clock, Rank, Reject, Validator, Verdict};

/// The protocol that is negotiated on each stream.
const PROTOCOL: StreamProtocol = StreamProtocol::new("/p2p-node/kad/1");

/// Commands that wait for the driver; further callers wait.
const COMMANDS: usize = 64;

/// Messages to the handler of a connection, and from it, that wait.
const EVENTS_PER_CONNECTION: usize = 8;

/// Streams of a connection that are being negotiated by the far end; a further one is dropped.
const NEGOTIATING: usize = 32;

/// A request and its answer, with the opening of the stream.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How the DHT behaves.
#[derive(Debug, Clone)]
pub struct DhtConfig {
    /// How much is kept for others.
    pub store: StoreLimits,
    /// When a query ends with what it has. 30 s by default.
    pub query_timeout: Duration,
    /// When a connection without a request is closed. 60 s by default.
    pub idle_timeout: Duration,
    /// Connections that stay so long; with more, a new one closes the one that was unused longest, if that was not used for
    /// 60 s. 128 by default: twice those that a node needs again and again, its own to the nearest of its few keys and those of
    /// others to it; each costs some 20 KB.
    pub kept: usize,
    /// How often the table is refreshed, and whether it is refreshed for each new node while there are few: an hour by default.
    /// It costs some 500 requests. `None`: never, and [`Dht::bootstrap`] looks up no more than this node's own key; for where
    /// whoever is there comes in by [`Dht::add_peer`].
    pub refresh: Option<Duration>,
    /// Of how many accounts nodes must give the same value for a get to end early. 3 by default.
    pub agreeing: usize,
    /// How many paths that share no node a lookup goes by; on each, as many requests are on the way at once. 2 by default.
    pub paths: NonZeroUsize,
    /// Connections at once, dials included. 1,024 by default.
    pub connections: usize,
}

impl Default for DhtConfig {
    fn default() -> Self {
        Self {
            store: StoreLimits::default(),
            query_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            kept: 128,
            refresh: Some(Duration::from_mins(60)),
            agreeing: 3,
            paths: NonZeroUsize::new(2).expect("two is not zero"),
            connections: 1_024,
        }
    }
}

/// What the DHT needs of the rest of the node.
pub struct DhtParts<C: Connector> {
    /// This node.
    pub node: NodeId,
    /// How connections are made.
    pub connector: C,
    /// Connections that came in. Whoever fills it closes what does not fit.
    pub accepted: mpsc::Receiver<Accepted<C::Muxer>>,
    /// What may be stored and believed.
    pub validator: Arc<dyn Validator>,
    /// Whose a node is.
    pub accounts: Arc<dyn Accounts>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Where the store is written down.
    pub keep: Box<dyn Keep>,
    /// What was written down before.
    pub kept: Vec<Kept>,
}

impl Dht {
    /// A DHT and the future that drives it: to be run as one task, which may be dropped at any await; its connections are
    /// then closed. It ends by itself when the last handle is dropped. The node is a client until [`Dht::set_server`].
    /// Judges all that was kept, which takes seconds where that is much.
    pub fn start<C: Connector>(
        config: DhtConfig,
        parts: DhtParts<C>,
    ) -> (Self, impl Future<Output = ()> + Send + use<C>) {
        let DhtParts { node, connector, accepted, validator, accounts, clock, keep, kept } = parts;
        let peer = address::peer_of(&node);
        let judges = Judges { validator, accounts: accounts.clone(), clock: clock.clone() };
        let longest_ttl = config.store.record_ttl;
        let store = Store::new(node, config.store.clone(), judges, keep, kept);
        let kad = Behaviour::with_config(peer, store, kad_config(&config));
        let places = Places::new(Most { all: config.connections, kept: config.kept }, clock.clone());
        let nodes = Arc::new(Nodes::default());
        let say = Say::new(accounts.clone(), clock.clone(), nodes.clone());
        let transport = KadTransport::new(connector, accepted, places, say.clone(), clock).boxed();
        let swarm = Swarm::new(transport, kad, peer, swarm_config(&config));
        let (commands, queue) = mpsc::channel(COMMANDS);
        let queries = Queries::new(node, config.agreeing);
        let rules = (Table::new(accounts, nodes), say, Hush::new(config.refresh.is_none()));
        let driver = Driver::new(node, swarm, queue, queries, rules, longest_ttl);
        (Self::new(commands), driver.run())
    }
}

fn kad_config(config: &DhtConfig) -> libp2p_kad::Config {
    let mut kad = libp2p_kad::Config::new(PROTOCOL);
    kad.set_query_timeout(config.query_timeout)
        .set_parallelism(config.paths)
        .disjoint_query_paths(true)
        .set_record_filtering(StoreInserts::FilterBoth)
        .set_kbucket_inserts(BucketInserts::Manual)
        .set_caching(Caching::Disabled)
        .set_record_ttl(Some(config.store.record_ttl))
        .set_provider_record_ttl(Some(config.store.provider_ttl))
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        .set_periodic_bootstrap_interval(config.refresh)
        .set_substreams_timeout(REQUEST_TIMEOUT)
        .set_max_packet_size(DHT_PACKET_BYTES);
    kad
}

fn swarm_config(config: &DhtConfig) -> libp2p_swarm::Config {
    let buffer = NonZeroUsize::new(EVENTS_PER_CONNECTION).expect("the constant is not zero");
    // Fewer at once than a node's places, so that none of its addresses fails for want of one.
    let dials = NonZeroU8::new(3).expect("three is not zero");
    libp2p_swarm::Config::without_executor()
        .with_dial_concurrency_factor(dials)
        .with_idle_connection_timeout(config.idle_timeout)
        .with_notify_handler_buffer_size(buffer)
        .with_per_connection_event_buffer_size(EVENTS_PER_CONNECTION)
        .with_max_negotiating_inbound_streams(NEGOTIATING)
}
