//! How fast bytes of files and of their manifests go out and come in: in all, for each peer, for each download.
//!
//! | concept | file |
//! | --- | --- |
//! | a token bucket (pure) | `bucket` |
//! | waiting for one, and for several, in turn | `limiter` |
//! | all limits of a node | here |

mod bucket;
mod limiter;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use certs::NodeId;

pub(crate) use limiter::{Gate, Limiter};

use crate::options::{LimitChanges, LimitOptions};
use crate::rate::Rate;

/// The limits of a node, for all that has a size: chunks, and the manifests that list them.
#[derive(Debug)]
pub(crate) struct TransferLimits {
    configured: LimitOptions,
    current: Mutex<LimitOptions>,
    upload: Way,
    download: Way,
}

/// One direction.
#[derive(Debug)]
struct Way {
    total: Arc<Limiter>,
    peers: Mutex<Peers>,
}

/// The limits of the peers to which something goes, or from which something comes. One that is idle and owes nothing is
/// forgotten when another comes, so that there are not many more than transfers.
#[derive(Debug)]
struct Peers {
    rate: Rate,
    limiters: HashMap<NodeId, Arc<Limiter>>,
}

impl TransferLimits {
    /// As configured.
    pub(crate) fn new(configured: LimitOptions) -> Self {
        Self {
            configured,
            current: Mutex::new(configured),
            upload: Way::new(configured.upload, configured.upload_per_peer),
            download: Way::new(configured.download, configured.download_per_peer),
        }
    }

    /// What was configured when the node started.
    pub(crate) const fn configured(&self) -> &LimitOptions {
        &self.configured
    }

    /// Goes over to other rates, at once. Says what holds now; the number of slots is for the caller to pass on.
    pub(crate) fn change(&self, changes: &LimitChanges) -> LimitOptions {
        let mut current = self.current.lock().expect("no panic while it is held");
        let options = current.with(changes);
        if options != *current {
            self.upload.set(options.upload, options.upload_per_peer);
            self.download.set(options.download, options.download_per_peer);
            *current = options;
        }
        options
    }

    /// How fast an upload may be at most: the lower one of what holds for all and for each peer.
    pub(crate) fn upload_rate(&self) -> Rate {
        let current = self.current.lock().expect("no panic while it is held");
        let rates = [current.upload, current.upload_per_peer];
        rates.into_iter().min_by_key(|rate| rate.bytes().unwrap_or(u64::MAX)).unwrap_or_default()
    }

    /// What an upload to this peer passes.
    pub(crate) fn upload(&self, to: NodeId) -> Gate {
        Gate::new(None, self.upload.peer(to), self.upload.total.clone())
    }

    /// What a download with this limit of its own passes where it takes from this peer.
    pub(crate) fn download(&self, own: &Arc<Limiter>, from: NodeId) -> Gate {
        Gate::new(Some(own.clone()), self.download.peer(from), self.download.total.clone())
    }
}

impl Way {
    fn new(total: Rate, per_peer: Rate) -> Self {
        let peers = Peers { rate: per_peer, limiters: HashMap::new() };
        Self { total: Limiter::new(total), peers: Mutex::new(peers) }
    }

    fn set(&self, total: Rate, per_peer: Rate) {
        self.total.set_rate(total);
        let mut peers = self.peers();
        peers.rate = per_peer;
        peers.limiters.values().for_each(|limiter| limiter.set_rate(per_peer));
    }

    fn peer(&self, node: NodeId) -> Arc<Limiter> {
        let mut peers = self.peers();
        if let Some(known) = peers.limiters.get(&node) {
            return known.clone();
        }
        // Who owes something is remembered, so that coming back is no way around the limit.
        peers.limiters.retain(|_, limiter| Arc::strong_count(limiter) > 1 || !limiter.is_paid());
        let limiter = Limiter::new(peers.rate);
        peers.limiters.insert(node, limiter.clone());
        limiter
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().expect("no panic while it is held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeId {
        certs::SecretKey::generate().expect("randomness").public()
    }

    fn rate(bytes: u64) -> Rate {
        Rate::new(bytes).expect("a rate")
    }

    fn known(way: &Way) -> usize {
        way.peers().limiters.len()
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_remembered_while_it_transfers_or_owes() {
        let limits =
            TransferLimits::new(LimitOptions { upload_per_peer: rate(1_000_000), ..LimitOptions::default() });
        let (one, two) = (node(), node());
        let gate = limits.upload(one);
        limits.upload(two).pass(1_000_000).await;
        drop(limits.upload(node()));
        assert_eq!(known(&limits.upload), 3);
        drop(limits.upload(node()));
        assert_eq!(known(&limits.upload), 3, "the third is idle and owes nothing");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        drop(limits.upload(node()));
        assert_eq!(known(&limits.upload), 2, "the second has paid");
        drop(gate);
        drop(limits.upload(node()));
        assert_eq!(known(&limits.upload), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_holds_for_peers_that_are_there_and_for_those_that_come() {
        let limits = TransferLimits::new(LimitOptions::default());
        let one = node();
        let _gate = limits.download(&Limiter::new(Rate::UNLIMITED), one);
        let (download, download_per_peer) = (Some(rate(7000)), Some(rate(5000)));
        let changes = LimitChanges { download, download_per_peer, ..LimitChanges::default() };
        assert_eq!(limits.change(&changes), LimitOptions::default().with(&changes));
        assert_eq!(limits.change(&LimitChanges::default()), LimitOptions::default().with(&changes));
        assert_eq!(limits.download.peer(one).rate(), rate(5000));
        assert_eq!(limits.download.peer(node()).rate(), rate(5000));
        assert_eq!(limits.download.total.rate(), rate(7000));
        assert_eq!(limits.upload.peer(one).rate(), Rate::UNLIMITED);
    }
}
