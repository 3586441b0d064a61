//! Dialling nodes back, in the background: do they answer where they say they are?

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use certs::NodeId;
use tokio::sync::Semaphore;
use wire::message::Address;

use super::needs_dial_back;
use crate::background::Background;
use crate::session::IndexSession;

/// Dial-backs at once.
const RUNNING: usize = 16;
/// Nodes whose addresses wait to be dialled; those of more are handed on only as far as they were seen.
const WAITING: usize = 1024;
/// How long one may take: a handshake across the world is under a second.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A future on the heap.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How the index tries an address: by a connection of its endpoint.
pub trait DialBack: Send + Sync {
    /// Whether this node, and no other, answers at this address. Given up after 3 seconds.
    fn reaches(&self, node: NodeId, address: Address) -> BoxFuture<bool>;
}

/// Dials nodes back, a bounded number at once.
pub(crate) struct DialBacks {
    dial_back: Arc<dyn DialBack>,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl DialBacks {
    pub(crate) fn new(dial_back: Arc<dyn DialBack>) -> Self {
        Self {
            dial_back,
            running: Arc::new(Semaphore::new(RUNNING)),
            waiting: Arc::new(Semaphore::new(WAITING)),
        }
    }

    /// Tries what a node claims beyond what was seen; what answers is noted in its session.
    pub(crate) fn verify(&self, session: &Arc<IndexSession>, background: &Background) {
        let addresses = needs_dial_back(session.observed, &session.claimed);
        let Ok(place) = self.waiting.clone().try_acquire_owned() else {
            tracing::warn!("too many nodes wait to be dialled back");
            return;
        };
        if addresses.is_empty() {
            return;
        }
        let (dial_back, running, session) = (self.dial_back.clone(), self.running.clone(), session.clone());
        background.spawn(async move {
            let closed = session.connection.clone();
            tokio::select! {
                _ = closed.closed() => {}
                () = try_all(dial_back, running, session, addresses) => {}
            }
            drop(place);
        });
    }
}

async fn try_all(
    dial_back: Arc<dyn DialBack>,
    running: Arc<Semaphore>,
    session: Arc<IndexSession>,
    addresses: Vec<Address>,
) {
    for address in addresses {
        let Ok(_permit) = running.acquire().await else { return };
        let reached = tokio::time::timeout(TIMEOUT, dial_back.reaches(session.node, address)).await;
        let reached = reached.unwrap_or(false);
        tracing::debug!(node = %session.node.short(), %address, reached, "dialled back");
        if reached {
            session.add_verified(address);
        }
    }
}
