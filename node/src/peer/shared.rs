//! What all tasks of a node share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use certs::{Enrolment, IndexCertificate, Membership, NetworkId, NodeId, Signed, UnixMillis};
use index::{IndexClient, IndexService};
use tokio::sync::{Notify, watch};
use tracing::warn;
use wire::{ErrorBody, ErrorCode};

use super::credentials::{Credentials, CredentialsError};
use super::kad::KadAccepted;
use super::link::LinkState;
use crate::activity::Activity;
use crate::buffers::Buffers;
use crate::clock::Clock;
use crate::fallback::Fallback;
use crate::hooks::Hooks;
use crate::kad::Kad;
use crate::net::{Me, Net, Pool, Receivers, Session};
use crate::options::{FallbackOptions, KeepVersions, LimitOptions, UpdateOptions};
use crate::store::Store;
use crate::subscription::Subscriptions;
use crate::tasks::Tasks;
use crate::transfer::disks::Disks;
use crate::transfer::encoding::Encoders;
use crate::transfer::uploads::Uploads;
use crate::transfer::{Jobs, PartialHoldings, TransferLimits};
use crate::watch::Watching;

/// How long a command waits for the index.
const INDEX_PATIENCE: Duration = Duration::from_secs(5);
/// How long a question waits that the copy can answer, too, where connecting has failed: as long as an index takes that starts again.
const QUESTION_PATIENCE: Duration = Duration::from_secs(1);

/// The node's state, one owner for each part of it.
pub(crate) struct Shared {
    pub(crate) home: PathBuf,
    pub(crate) credentials: Credentials,
    pub(crate) clock: Arc<Clock>,
    pub(crate) net: Net,
    pub(crate) pool: Pool,
    /// Who may fetch what this node has.
    pub(crate) receivers: Receivers,
    pub(crate) store: Store,
    pub(crate) tasks: Tasks,
    /// The index service, where this node is the index.
    pub(crate) service: Option<IndexService>,
    pub(crate) link: watch::Sender<LinkState>,
    /// Woken when there is something to tell the index.
    pub(crate) announce: Notify,
    pub(crate) jobs: Jobs,
    /// What stays up to date.
    pub(crate) subscriptions: Subscriptions,
    pub(crate) uploads: Uploads,
    /// For what this node serves.
    pub(crate) disks: Disks,
    /// What downloads that run give to others.
    pub(crate) partial: PartialHoldings,
    /// What uploads read into.
    pub(crate) pieces: Buffers,
    /// For what uploads encode.
    pub(crate) encoders: Encoders,
    /// What downloads are read into, until it is verified and written.
    pub(crate) batches: Buffers,
    pub(crate) limits: TransferLimits,
    /// Held while the index is being brought up to date.
    pub(crate) announcing: tokio::sync::Mutex<()>,
    /// How often this node came to hold something: a list of what it holds is stale if that changed meanwhile.
    pub(crate) came_to_hold: std::sync::atomic::AtomicU64,
    /// Held while a record or tombstone is signed and registered: what is shared and taken back at once is one after the
    /// other.
    pub(crate) publishing: tokio::sync::Mutex<()>,
    /// What is told to the watch, and what it says of itself.
    pub(crate) watching: Watching,
    /// Which updates wait for the user.
    pub(crate) updates: UpdateOptions,
    /// How many old versions are kept where nobody says.
    pub(crate) keep_by_default: KeepVersions,
    /// The sequence of the last announcement.
    pub(crate) sequence: AtomicU64,
    /// Programs that its user wants to be run.
    pub(crate) hooks: Hooks,
    /// What it does without the index.
    pub(crate) fallback: Fallback,
    /// Where the index is, for people.
    pub(crate) index_address: String,
    /// Where connections of Kademlia are handed over, if this node takes part in it.
    pub(crate) kad_accepted: Option<KadAccepted>,
    /// Its part in Kademlia, once that has begun.
    pub(crate) kad: OnceLock<Kad>,
    /// Whether a handshake of another node has come in.
    reached: AtomicBool,
    /// Woken when the first one does.
    pub(crate) reached_first: Notify,
    me: RwLock<Me>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("node", &self.node()).finish_non_exhaustive()
    }
}

/// The parts of which [`Shared`] is made.
pub(crate) struct Parts {
    pub(crate) home: PathBuf,
    pub(crate) credentials: Credentials,
    pub(crate) clock: Arc<Clock>,
    pub(crate) net: Net,
    pub(crate) store: Store,
    pub(crate) tasks: Tasks,
    pub(crate) service: Option<IndexService>,
    pub(crate) me: Me,
    pub(crate) index_address: String,
    pub(crate) limits: LimitOptions,
    pub(crate) updates: UpdateOptions,
    pub(crate) keep: KeepVersions,
    pub(crate) watching: Watching,
    pub(crate) hooks: Hooks,
    pub(crate) kad_accepted: Option<KadAccepted>,
    pub(crate) fallback: FallbackOptions,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts {
            home,
            credentials,
            clock,
            net,
            store,
            tasks,
            service,
            me,
            index_address,
            limits,
            updates,
            keep,
            watching,
            hooks,
            kad_accepted,
            fallback,
        } = parts;
        // Nodes that fail at the same time try again at different ones.
        let seed = u64::from_le_bytes(*credentials.node().as_bytes().first_chunk().expect("32 bytes"));
        let fallback = Fallback::new(fallback, service.is_some(), seed);
        Arc::new(Self {
            home,
            credentials,
            clock,
            net,
            pool: Pool::default(),
            receivers: Receivers::default(),
            store,
            tasks,
            service,
            link: watch::Sender::new(LinkState::Connecting { error: None, refused: false }),
            announce: Notify::new(),
            jobs: Jobs::default(),
            subscriptions: Subscriptions::new(seed),
            uploads: Uploads::new(limits.upload_slots),
            disks: Disks::new(),
            partial: PartialHoldings::default(),
            pieces: crate::transfer::pieces_stock(),
            encoders: Encoders::new(),
            batches: crate::transfer::batches_stock(),
            limits: TransferLimits::new(limits),
            announcing: tokio::sync::Mutex::new(()),
            came_to_hold: std::sync::atomic::AtomicU64::new(0),
            publishing: tokio::sync::Mutex::new(()),
            watching,
            updates,
            keep_by_default: keep,
            sequence: AtomicU64::new(0),
            hooks,
            fallback,
            index_address,
            kad_accepted,
            kad: OnceLock::new(),
            reached: AtomicBool::new(false),
            reached_first: Notify::new(),
            me: RwLock::new(me),
        })
    }

    /// Another node has reached this one: it is no mere client.
    pub(super) fn note_reached(&self) {
        if !self.reached.swap(true, Ordering::Relaxed) {
            self.reached_first.notify_one();
        }
    }

    /// Whether another node has reached this one since its start.
    pub(crate) fn was_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// This node.
    pub(crate) fn node(&self) -> NodeId {
        self.credentials.node()
    }

    /// The network that it is of.
    pub(crate) fn network(&self) -> NetworkId {
        self.me().network
    }

    /// Where it listens, as people are told.
    pub(crate) fn shown_address(&self) -> SocketAddr {
        let unknown = SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), 0);
        self.net.shown().unwrap_or(unknown)
    }

    /// What it says of itself at present.
    pub(crate) fn me(&self) -> Me {
        self.me.read().expect("no panic while it is held").clone()
    }

    /// Its membership, if it has one.
    pub(crate) fn membership(&self) -> Option<Signed<Membership>> {
        self.me().enrolment.map(|enrolment| enrolment.membership)
    }

    /// Its membership, for what only members can do.
    ///
    /// # Errors
    /// `not-member`.
    pub(crate) fn need_membership(&self) -> Result<Signed<Membership>, ErrorBody> {
        self.membership().ok_or_else(|| ErrorBody::new(ErrorCode::NotMember, "this node is not logged in"))
    }

    /// The newest time of a word of the index that this node has, from itself or by others: memberships that ended before
    /// are over.
    pub(crate) fn index_seen(&self) -> UnixMillis {
        let by_others = self.replica().map(|replica| replica.index_seen());
        self.clock.index_seen().max(by_others.unwrap_or_default())
    }

    /// Whether the membership of a node with this serial was ended before its time.
    pub(crate) fn is_revoked(&self, node: &NodeId, serial: u64) -> bool {
        self.replica().is_some_and(|replica| replica.revoked(node, serial).is_some())
    }

    /// Keeps a new enrolment, on disk first.
    ///
    /// # Errors
    /// [`CredentialsError`]; the old one then stays in use.
    pub(crate) fn set_enrolment(&self, enrolment: Enrolment) -> Result<(), CredentialsError> {
        self.credentials.keep_enrolment(&enrolment)?;
        let mut me = self.me.write().expect("no panic while it is held");
        me.take_certificate(&enrolment.certificate);
        me.enrolment = Some(enrolment);
        self.watching.wake();
        self.subscriptions.enrolled.notify_one();
        self.fallback.enrolled();
        Ok(())
    }

    /// Goes on without membership; the file stays.
    pub(crate) fn drop_enrolment(&self) {
        self.me.write().expect("no panic while it is held").enrolment = None;
    }

    /// Goes by an index certificate that holds, unless its epoch is lower than what is known. A higher epoch is remembered on
    /// disk, too.
    pub(crate) fn take_certificate(&self, certificate: &Signed<IndexCertificate>) {
        if !self.me.write().expect("no panic while it is held").take_certificate(certificate) {
            return;
        }
        if let Some(replica) = self.replica() {
            replica.set_certificate(certificate.clone());
        }
        if let Err(error) = self.credentials.keep_certificate(certificate) {
            warn!(%error, "the new index certificate is forgotten when this node stops");
        }
    }

    /// Writes an event into the log of activity that belongs to no change of the database.
    ///
    /// Dropped while it waits, it may or may not be there.
    pub(crate) async fn log(&self, activity: Activity) {
        let event = activity.name();
        if let Err(error) = self.store.log(activity).await {
            warn!(event, %error, "an event is missing in the log of activity");
        }
    }

    /// The session with the index, waiting for it up to 5 s; not at all where it is known to be away.
    ///
    /// # Errors
    /// `unavailable`, with the reason of the last failed attempt.
    pub(crate) async fn index_session(&self) -> Result<Arc<Session>, ErrorBody> {
        self.index_session_within(INDEX_PATIENCE).await
    }

    async fn index_session_within(&self, patience: Duration) -> Result<Arc<Session>, ErrorBody> {
        let mut states = self.link.subscribe();
        let patience = if self.fallback.uses_index() { patience } else { Duration::ZERO };
        // One that has just ended is still there until the link's task has noticed.
        let online =
            states.wait_for(|state| matches!(state, LinkState::Online { session } if session.is_open()));
        if let Ok(Ok(state)) = tokio::time::timeout(patience, online).await
            && let LinkState::Online { session } = &*state
        {
            return Ok(session.clone());
        }
        let reason = match &*self.link.borrow() {
            LinkState::Connecting { error: Some(error), .. } => {
                format!("the index cannot be reached: {error}")
            }
            _ => "the index cannot be reached".to_owned(),
        };
        Err(ErrorBody::new(ErrorCode::Unavailable, reason))
    }

    /// A client of the index, waiting for the connection up to 5 s.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn index(&self) -> Result<IndexClient, ErrorBody> {
        self.index_session().await.map(|session| IndexClient::new(session.connection().clone()))
    }

    /// The same, for a question that this node's copy could answer: up to 1 s, where connecting has failed.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn index_for_question(&self) -> Result<IndexClient, ErrorBody> {
        let failed = matches!(&*self.link.borrow(), LinkState::Connecting { error: Some(_), .. });
        let patience = if failed && self.replica().is_some() { QUESTION_PATIENCE } else { INDEX_PATIENCE };
        let session = self.index_session_within(patience).await?;
        Ok(IndexClient::new(session.connection().clone()))
    }
}
