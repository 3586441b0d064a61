//! The handle: what the rest of the node asks of the DHT.

use std::net::SocketAddr;
use std::time::Duration;

use certs::NodeId;
use tokio::sync::{mpsc, oneshot};

use super::lookup::Found;
use super::store::StoreStatus;
use super::validate::Reject;

/// The DHT. Cheap to clone; when the last clone is dropped, the driver ends and closes its connections.
///
/// Every method waits for its turn where much is asked at once (the queue of commands and the queries that run are
/// bounded), and fails with [`DhtError::Stopped`] once the driver has ended.
#[derive(Debug, Clone)]
pub struct Dht {
    commands: mpsc::Sender<Command>,
}

/// Why the DHT did not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DhtError {
    /// The driver has ended.
    #[error("the DHT has stopped")]
    Stopped,
    /// This node's own store or validator does not take it; where it is lower than known, look it up first.
    #[error("not taken: {0}")]
    Refused(#[from] Reject),
    /// There is no other node in the table: give it one with [`Dht::add_peer`].
    #[error("no other node is known")]
    NoPeers,
}

/// What became of a peer that was to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is in the table.
    Yes,
    /// Its place in the table is full; it comes in when an older one does not answer within a minute.
    Pending,
    /// The place is full of nodes that are there.
    Full,
    /// The bucket has as many nodes of its account as one may have.
    AccountHasEnough,
    /// It is not known as a member.
    Unknown,
    /// No address was given that a node can be at, or it is this node itself.
    NoAddress,
}

/// How things stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DhtStatus {
    /// Whether this node answers others.
    pub server: bool,
    /// Nodes in the table.
    pub peers: usize,
    /// Nodes that it is connected with.
    pub connected: usize,
    /// Queries that run, kad's own (refreshing the table) among them.
    pub queries: usize,
    /// Records of others and own ones, provider entries, and what was not taken.
    pub store: StoreStatus,
    /// Two values of one rank that were met on reads.
    pub conflicts: u64,
    /// Requests of others that were answered.
    pub answered: u64,
    /// Peers that were not added because their account has enough in their bucket.
    pub refused_peers: u64,
    /// How often a node was left out of a lookup because of its account, or because nobody knows whose it is.
    pub left_out: u64,
}

/// How far a lookup goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until nodes of as many accounts as the configuration says gave the same value and none gave a higher one.
    Agreed,
    /// To all of the nodes nearest to the key, for what must be the newest.
    Exhausted,
}

/// What the driver is told; the answers go back by the channel that comes with it.
#[derive(Debug)]
pub(super) enum Command {
    Put { key: Vec<u8>, value: Vec<u8>, ttl: Duration, reply: Reply<Result<usize, DhtError>> },
    Get { key: Vec<u8>, until: Until, reply: Reply<Option<Found>> },
    Provide { key: Vec<u8>, reply: Reply<Result<(), DhtError>> },
    StopProviding { key: Vec<u8> },
    Providers { key: Vec<u8>, reply: Reply<Vec<NodeId>> },
    AddPeer { node: NodeId, addresses: Vec<SocketAddr>, reply: Reply<Added> },
    RemovePeer { node: NodeId },
    Bootstrap { reply: Reply<Result<(), DhtError>> },
    SetServer { server: bool },
    SetAddresses { addresses: Vec<SocketAddr> },
    Peers { reply: Reply<Vec<(NodeId, Vec<SocketAddr>)>> },
    Status { reply: Reply<DhtStatus> },
}

pub(super) type Reply<T> = oneshot::Sender<T>;

impl Dht {
    pub(super) fn new(commands: mpsc::Sender<Command>) -> Self {
        Self { commands }
    }

    /// Puts a value at the nodes nearest to its key, for so long, and keeps it here; how many other nodes answered. Zero
    /// is no error: it is here, and who asks this node finds it. An answer does not prove that the far end keeps it
    /// (kad answers before the far end's validator has looked). Nothing puts it again but the next call.
    ///
    /// It takes as long as the slowest of those nodes, at most the time of a query.
    ///
    /// # Errors
    /// [`DhtError::Refused`] where this node's store does not take it; then nobody was asked.
    ///
    /// # Cancel safety
    /// Once it has begun it goes on without the caller.
    pub async fn put(&self, key: Vec<u8>, value: Vec<u8>, ttl: Duration) -> Result<usize, DhtError> {
        self.ask(|reply| Command::Put { key, value, ttl, reply }).await?
    }

    /// The best valid value of a key that this node or others have; `None` if there is none.
    ///
    /// # Cancel safety
    /// Dropped, the lookup ends within a second.
    pub async fn get(&self, key: Vec<u8>, until: Until) -> Result<Option<Found>, DhtError> {
        self.ask(|reply| Command::Get { key, until, reply }).await
    }

    /// Tells the nodes nearest to a key that this node has what it stands for. Nothing tells them again but the next call.
    /// kad gets no answer to this, so nobody knows how many took it.
    ///
    /// # Errors
    /// [`DhtError::Refused`] where this node provides as much as one may.
    ///
    /// # Cancel safety
    /// Once it has begun it goes on without the caller.
    pub async fn provide(&self, key: Vec<u8>) -> Result<(), DhtError> {
        self.ask(|reply| Command::Provide { key, reply }).await?
    }

    /// No longer answers that this node has it; what others were told ends by itself.
    pub async fn stop_providing(&self, key: Vec<u8>) -> Result<(), DhtError> {
        self.tell(Command::StopProviding { key }).await
    }

    /// Other nodes that said they have it: at most 20 or a few more, none twice. Where they are, kad does not say.
    ///
    /// # Cancel safety
    /// Dropped, the lookup ends within a second.
    pub async fn providers(&self, key: Vec<u8>) -> Result<Vec<NodeId>, DhtError> {
        self.ask(|reply| Command::Providers { key, reply }).await
    }

    /// Adds a node that answers others, with addresses at which it was reached or which its `hello` said; those that are
    /// known already stay, up to 8 in all, the newest. A node that is a client must not be added.
    pub async fn add_peer(&self, node: NodeId, addresses: Vec<SocketAddr>) -> Result<Added, DhtError> {
        self.ask(|reply| Command::AddPeer { node, addresses, reply }).await
    }

    /// Takes a node out of the table and ends its connections: its membership was revoked, say.
    pub async fn remove_peer(&self, node: NodeId) -> Result<(), DhtError> {
        self.tell(Command::RemovePeer { node }).await
    }

    /// Looks up this node's own key and refreshes the table, as by itself now and then and when the first peers come; the key alone
    /// where [`DhtConfig::refresh`](super::DhtConfig::refresh) says never.
    ///
    /// # Errors
    /// [`DhtError::NoPeers`].
    ///
    /// # Cancel safety
    /// Once it has begun it goes on without the caller.
    pub async fn bootstrap(&self) -> Result<(), DhtError> {
        self.ask(|reply| Command::Bootstrap { reply }).await?
    }

    /// Whether this node answers others. It should only where it can be reached: a client costs nobody a timeout.
    /// A client at first.
    pub async fn set_server(&self, server: bool) -> Result<(), DhtError> {
        self.tell(Command::SetServer { server }).await
    }

    /// Where this node can be reached, for what it provides; at most 8, the first ones.
    pub async fn set_addresses(&self, addresses: Vec<SocketAddr>) -> Result<(), DhtError> {
        self.tell(Command::SetAddresses { addresses }).await
    }

    /// The nodes in the table and where they are, to be remembered for the next start.
    pub async fn peers(&self) -> Result<Vec<(NodeId, Vec<SocketAddr>)>, DhtError> {
        self.ask(|reply| Command::Peers { reply }).await
    }

    /// How things stand.
    pub async fn status(&self) -> Result<DhtStatus, DhtError> {
        self.ask(|reply| Command::Status { reply }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, DhtError> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply)).await?;
        answer.await.map_err(|_| DhtError::Stopped)
    }

    async fn tell(&self, command: Command) -> Result<(), DhtError> {
        self.commands.send(command).await.map_err(|_| DhtError::Stopped)
    }
}
