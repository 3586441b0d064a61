//! The replica: what a node knows of its network without the index, kept in step with other nodes'.
//!
//! It is a registry as the index has one, filled from the catalogues of all nodes: each signed by its node, so that whoever
//! hands one on need not be believed. At the index the replica is the index's own registry.
//!
//! | concept | file |
//! | --- | --- |
//! | what it is opened with, its handle | `mod` |
//! | what is known of nodes, in memory | `known` |
//! | what others ask: digest, what is known, pages | `answer` |
//! | bringing two nodes up to date | `sync` |
//! | news: heads, presence, the list of members | `news`, `members` |
//! | one catalogue: its pages, and applying it | `fetch`, `settle` |
//! | where the index is | `place` |
//! | which records of a catalogue are believed | `leaf` |
//! | what this node publishes and holds, its presence | `own` |
//! | the head of its own catalogue | `head` |
//! | list, search, locate, who | `reads` |
//! | what is refused, and how often; how much is here | `refusal`; `sizes` |

mod answer;
mod fetch;
mod head;
mod known;
mod leaf;
mod members;
mod news;
mod own;
mod peer;
mod place;
mod reads;
mod refusal;
mod settle;
mod sizes;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use certs::{AccountId, Enrolment, IndexCertificate, NetworkId, NodeId, SecretKey, Signed, UnixMillis};
use tokio::sync::{Semaphore, broadcast};
use wire::message::Event;
use wire::{Digest, ErrorBody, ErrorCode, VerifiedPlace};

use self::fetch::{FETCHES, RefusedHeads};
pub use self::known::KnownNode;
use self::known::{Known, KnownHead, KnownMembers, Node};
pub use self::own::OwnDigests;
pub use self::peer::StatementsPeer;
use self::refusal::Counts;
pub use self::refusal::{Refusal, Refused, SyncError};
pub use self::sizes::Sizes;
pub use self::sync::Synced;
use crate::followers::Changed;
use crate::registry::{Loaded, NodeRow, OpenError, Registry, Tell, load_all, lock};
use crate::verify::Trust;

/// The wall clock, with what is known of the index's.
type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// Events that may wait for who listens to [`Replica::changes`]: some 4 MiB. Who is further behind is told so.
const EVENTS: usize = 4096;

/// What a replica is opened with.
pub struct ReplicaOptions {
    /// The database's file; made if there is none.
    pub database: PathBuf,
    /// The network.
    pub network: NetworkId,
    /// This node.
    pub node: NodeId,
    /// The index certificate of the highest epoch that is known.
    pub certificate: Signed<IndexCertificate>,
    /// The wall clock.
    pub clock: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    /// How much it takes; [`ReplicaLimits::default`] unless there is a reason.
    pub limits: ReplicaLimits,
}

/// How much a replica takes from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaLimits {
    /// Nodes that it knows: 20,000, twice what is planned for.
    pub nodes: usize,
    /// Bytes of its database from which on no new catalogue is taken: 16 GiB.
    pub bytes: u64,
    /// Bytes of the pages of one node's catalogue: 512 MiB. The largest node that is planned for has 100.
    pub node_bytes: u64,
}

impl Default for ReplicaLimits {
    fn default() -> Self {
        Self { nodes: 20_000, bytes: 16 << 30, node_bytes: 512 << 20 }
    }
}

/// A replica. Cloning is cheap, and gives the same one.
#[derive(Clone)]
pub struct Replica {
    inner: Arc<Inner>,
}

struct Inner {
    network: NetworkId,
    node: NodeId,
    clock: Clock,
    limits: ReplicaLimits,
    registry: Arc<Registry>,
    certificate: Mutex<Signed<IndexCertificate>>,
    /// The index's key, at the index: records that come without a receipt get one.
    issuer: Option<SecretKey>,
    /// Whether a node is connected here and says itself what it holds: at the index.
    speaks: Option<Arc<dyn Fn(NodeRow) -> bool + Send + Sync>>,
    known: Mutex<Known>,
    /// Where the index is, as it said itself last.
    place: Mutex<Option<VerifiedPlace>>,
    refused: Mutex<RefusedHeads>,
    /// Enrolments whose signatures were checked, by the hash of their bytes.
    chains: Mutex<HashMap<Digest, Enrolment>>,
    /// Nodes whose catalogues are being fetched, and since when.
    fetching: Mutex<HashMap<NodeId, UnixMillis>>,
    fetches: Semaphore,
    /// Held while the head of this node's own catalogue is made.
    own_head: tokio::sync::Mutex<()>,
    counts: Counts,
    hears: Hears,
}

/// What hears of every record that comes to stand.
#[derive(Clone)]
pub(crate) struct Hears {
    events: broadcast::Sender<Event>,
    /// Something that this node publishes or holds may have changed since its head was made.
    own_changed: Arc<AtomicBool>,
    /// The account of this node: what another node of it publishes may take the place of what this one does.
    own_account: Arc<Mutex<Option<AccountId>>>,
}

impl Hears {
    pub(crate) fn new() -> Self {
        let (own_changed, own_account) = (Arc::new(AtomicBool::new(true)), Arc::default());
        Self { events: broadcast::Sender::new(EVENTS), own_changed, own_account }
    }

    fn set_own(&self, account: Option<AccountId>) {
        *lock(&self.own_account) = account;
        self.own_changes();
    }

    /// Something that this node publishes or holds has changed.
    fn own_changes(&self) {
        self.own_changed.store(true, Ordering::Release);
    }

    /// Whether something has changed since this was asked last.
    fn has_own_changed(&self) -> bool {
        self.own_changed.swap(false, Ordering::AcqRel)
    }

    /// What is told of changes, with who is told besides.
    pub(crate) fn tell(&self, others: Option<Tell>) -> Tell {
        let hears = self.clone();
        Box::new(move |changes: Vec<Changed>| {
            let own = *lock(&hears.own_account);
            if own.is_some_and(|own| changes.iter().any(|change| change.account == own)) {
                hears.own_changes();
            }
            if hears.events.receiver_count() > 0 {
                for change in &changes {
                    // It fails only where nobody listens any more.
                    let _ = hears.events.send(Event::Record(change.bundle.clone()));
                }
            }
            if let Some(others) = &others {
                others(changes);
            }
        })
    }
}

impl Replica {
    /// Opens a replica, or makes it. Blocks on the disk.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(options: ReplicaOptions) -> Result<Self, OpenError> {
        let ReplicaOptions { database, network, node, certificate, clock, limits } = options;
        let hears = Hears::new();
        let registry = Registry::open_replica(&database, certificate.bytes(), hears.tell(None))?;
        let of = Of { network, node, certificate, clock, limits, issuer: None, speaks: None };
        Ok(Self::over(of, Arc::new(registry), load_all(&database)?, hears))
    }

    /// Over a registry that is open already.
    pub(crate) fn over(of: Of, registry: Arc<Registry>, loaded: Loaded, hears: Hears) -> Self {
        let now = (of.clock)();
        let own = loaded.nodes.iter().find(|one| one.id == of.node);
        hears.set_own(own.map(|own| own.account));
        let known = known_of(&of.network, loaded, now);
        let inner = Inner {
            network: of.network,
            node: of.node,
            clock: of.clock,
            limits: of.limits,
            registry,
            certificate: Mutex::new(of.certificate),
            issuer: of.issuer,
            speaks: of.speaks,
            known: Mutex::new(known),
            place: Mutex::default(),
            refused: Mutex::default(),
            chains: Mutex::default(),
            fetching: Mutex::default(),
            fetches: Semaphore::new(FETCHES),
            own_head: tokio::sync::Mutex::default(),
            counts: Counts::default(),
            hears,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Finishes the writes that wait, and closes the database. What comes later is answered `shutting-down`. For a replica
    /// that was opened by itself; the index closes its own.
    pub async fn close(&self) {
        self.inner.registry.close().await;
    }

    /// Notes a newer index certificate; an older one is ignored, and at the index every other: it signs with its own.
    pub fn set_certificate(&self, certificate: Signed<IndexCertificate>) {
        let mut known = lock(&self.inner.certificate);
        let at_index = self.inner.issuer.is_some();
        if !at_index && certificate.network == self.inner.network && certificate.epoch > known.epoch {
            *known = certificate;
        }
    }

    /// Every record that comes to stand here from now on, whoever published it. Who is too slow is told that it missed
    /// some, and asks for what stands.
    pub fn changes(&self) -> broadcast::Receiver<Event> {
        self.inner.hears.events.subscribe()
    }

    /// All nodes that are known, with where they last said that they are.
    pub fn known_nodes(&self) -> Vec<KnownNode> {
        let now = self.now();
        lock(&self.inner.known).all(now)
    }

    /// How many that are.
    pub fn known_count(&self) -> usize {
        lock(&self.inner.known).count()
    }

    /// How many of them are there, by what they last said.
    pub fn online_count(&self) -> usize {
        lock(&self.inner.known).online_count(self.now())
    }

    /// Whether another node than this one is known.
    pub fn knows_others(&self) -> bool {
        lock(&self.inner.known).knows_others_than(&self.inner.node)
    }

    /// Since when a node's membership with this serial is ended before its time, if it is.
    pub fn revoked(&self, node: &NodeId, serial: u64) -> Option<UnixMillis> {
        lock(&self.inner.known).revoked(node, serial)
    }

    /// The newest time of a list of members that is here: memberships that ended before are over. 0 if there is none.
    pub fn index_seen(&self) -> UnixMillis {
        lock(&self.inner.known).index_seen()
    }

    /// How often what was refused since this was opened.
    pub fn counters(&self) -> BTreeMap<Refusal, u64> {
        self.inner.counts.all()
    }

    fn now(&self) -> UnixMillis {
        (self.inner.clock)()
    }

    /// The time of a word that is said after the `last` one: later, also within one millisecond, and after the clock was set
    /// back.
    fn time_after(&self, last: Option<UnixMillis>) -> UnixMillis {
        last.map_or(self.now(), |last| last.plus(1).max(self.now()))
    }

    /// The index certificate of the highest epoch that is known here.
    pub fn certificate(&self) -> Signed<IndexCertificate> {
        lock(&self.inner.certificate).clone()
    }

    /// Does something with whom this replica believes.
    fn with_trust<T>(&self, use_it: impl FnOnce(&Trust<'_>) -> T) -> T {
        let certificate = self.certificate();
        let revoked = |node: &NodeId, serial| self.revoked(node, serial);
        let trust =
            Trust { network: &self.inner.network, certificate: Some(&certificate), revoked: &revoked };
        use_it(&trust)
    }

    /// Counts what is refused and says so in the log.
    fn refuse(&self, refused: &Refused) {
        self.inner.counts.add(refused.refusal);
        tracing::debug!(refusal = %refused.refusal, text = %refused.text, "a statement was refused");
    }
}

/// Whose replica it is.
pub(crate) struct Of {
    pub(crate) network: NetworkId,
    pub(crate) node: NodeId,
    pub(crate) certificate: Signed<IndexCertificate>,
    pub(crate) clock: Clock,
    pub(crate) limits: ReplicaLimits,
    pub(crate) issuer: Option<SecretKey>,
    pub(crate) speaks: Option<Arc<dyn Fn(NodeRow) -> bool + Send + Sync>>,
}

fn known_of(network: &NetworkId, loaded: Loaded, now: UnixMillis) -> Known {
    let mut known = Known::default();
    known.compared = loaded.compared;
    for one in loaded.nodes {
        let (serial, not_after) = one.shown.unwrap_or((0, UnixMillis(0)));
        let head = one.head.map(|(seq, hash, time)| KnownHead { seq, hash, time });
        let (row, account, user, word) = (one.row, one.account, one.user, one.word);
        known.enter(one.id, Node { row, account, user, serial, not_after, head, word });
    }
    let members = loaded.members.and_then(|bundle| bundle.verify(network, now).ok());
    if let Some(members) = members {
        known.set_members(KnownMembers::of(&members), loaded.revoked);
    }
    known
}

fn not_enrolled() -> ErrorBody {
    ErrorBody::new(ErrorCode::NotMember, "this node is not logged in")
}
