//! What this node gives to others: counted for `status` and the log.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use certs::{NodeId, UserName};
use tracing::info;
use wire::{ContentHash, ResourceName};

use crate::store::Holding;

/// Pairs of receiver and content that are remembered; the smallest totals are dropped first.
const REMEMBERED: usize = 1024;

/// All uploads of this run, by receiver and content.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uploads(Arc<Mutex<ByReceiver>>);

type ByReceiver = HashMap<(NodeId, ContentHash), Arc<Given>>;

/// What one receiver got of one content.
#[derive(Debug)]
struct Given {
    owner: UserName,
    name: ResourceName,
    path: std::path::PathBuf,
    bytes: AtomicU64,
    streams: AtomicU64,
}

/// One running upload as `status` shows it.
#[derive(Debug, Clone)]
pub(crate) struct UploadView {
    pub(crate) owner: UserName,
    pub(crate) name: ResourceName,
    pub(crate) path: std::path::PathBuf,
    pub(crate) bytes: u64,
}

/// One stream of data that is being sent; its end is logged with the total.
pub(crate) struct Upload {
    to: NodeId,
    given: Arc<Given>,
    sent: AtomicU64,
}

impl Uploads {
    /// A stream begins.
    pub(crate) fn begin(&self, to: NodeId, holding: &Holding) -> Upload {
        let mut all = self.0.lock().expect("no panic while it is held");
        if all.len() >= REMEMBERED {
            let idle = all.iter().filter(|(_, given)| given.streams.load(Ordering::Relaxed) == 0);
            let smallest =
                idle.min_by_key(|(_, given)| given.bytes.load(Ordering::Relaxed)).map(|(key, _)| *key);
            smallest.map(|key| all.remove(&key));
        }
        let given = all.entry((to, holding.content)).or_insert_with(|| Given::new(holding).into()).clone();
        given.streams.fetch_add(1, Ordering::Relaxed);
        Upload { to, given, sent: AtomicU64::new(0) }
    }

    /// The uploads that run.
    pub(crate) fn running(&self) -> Vec<UploadView> {
        let all = self.0.lock().expect("no panic while it is held");
        let running = all.values().filter(|given| given.streams.load(Ordering::Relaxed) > 0);
        running.map(|given| given.view()).collect()
    }
}

impl Given {
    fn new(holding: &Holding) -> Self {
        Self {
            owner: holding.user.clone(),
            name: holding.name.clone(),
            path: holding.path.clone(),
            bytes: AtomicU64::new(0),
            streams: AtomicU64::new(0),
        }
    }

    fn view(&self) -> UploadView {
        UploadView {
            owner: self.owner.clone(),
            name: self.name.clone(),
            path: self.path.clone(),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

impl Upload {
    /// So many more bytes went out.
    pub(crate) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        self.given.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.given.streams.fetch_sub(1, Ordering::Relaxed);
        let (bytes, total) = (self.sent.load(Ordering::Relaxed), self.given.bytes.load(Ordering::Relaxed));
        info!(to = %self.to.short(), resource = %format_args!("{}/{}", self.given.owner, self.given.name), bytes, total, "served");
    }
}
