//! What this node gives to others: how much at once, and counted for `status` and the log.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use certs::{NodeId, UserName};
use tracing::info;
use wire::{ContentHash, ErrorBody, ErrorCode, ResourceName};

use super::schedule::Meter;
use crate::clock;
use crate::store::Holding;

/// Pairs of receiver and content that are remembered; the smallest totals are dropped first.
const REMEMBERED: usize = 1024;

/// Uploads at once, in all. Each has a file open, and two pieces of 256 KiB in memory: a quarter of the 1,024
/// descriptors that a process usually has, and 128 MiB.
const UPLOADS: usize = 256;
/// The same to one node: five times what a requester like this one opens, and 16 nodes that take all they can are
/// needed to leave nothing for the others.
const UPLOADS_PER_NODE: usize = 16;
/// Who finds no place comes back after this: about as long as a request takes.
const RETRY_AFTER_MS: u64 = 1000;

/// All uploads of this run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uploads(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    places: Places,
    given: ByReceiver,
}

/// How many uploads run, and to whom: never more than [`UPLOADS`], and [`UPLOADS_PER_NODE`] to one. Nodes without any
/// are not kept.
#[derive(Debug, Default)]
struct Places {
    taken: usize,
    by_node: HashMap<NodeId, usize>,
}

/// The right to run one upload, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    uploads: Uploads,
    to: NodeId,
}

type ByReceiver = HashMap<(NodeId, ContentHash), Arc<Given>>;

/// What one receiver got of one content.
#[derive(Debug)]
struct Given {
    to: NodeId,
    user: Option<UserName>,
    owner: UserName,
    name: ResourceName,
    path: std::path::PathBuf,
    size: u64,
    bytes: AtomicU64,
    streams: AtomicU64,
    began: Instant,
    meter: Mutex<Meter>,
}

/// One running upload as `status` shows it.
#[derive(Debug, Clone)]
pub(crate) struct UploadView {
    pub(crate) to: NodeId,
    pub(crate) user: Option<UserName>,
    pub(crate) owner: UserName,
    pub(crate) name: ResourceName,
    pub(crate) path: std::path::PathBuf,
    /// Of the whole file, in bytes.
    pub(crate) size: u64,
    pub(crate) bytes: u64,
    /// In bytes a second, over the last one.
    pub(crate) rate: u64,
}

/// One stream of data that is being sent; its end is logged with the total.
pub(crate) struct Upload {
    /// `None` once nothing is left to read: then it is shown until the far end has all, and takes no place from others.
    place: Option<Place>,
    given: Arc<Given>,
    sent: AtomicU64,
}

impl Uploads {
    /// A place for one more upload. To be taken before anything is opened for it.
    ///
    /// # Errors
    /// `busy`.
    pub(crate) fn place(&self, to: NodeId) -> Result<Place, ErrorBody> {
        if self.state().places.take(to) {
            return Ok(Place { uploads: self.clone(), to });
        }
        let body = ErrorBody::new(ErrorCode::Busy, "too many uploads at once");
        Err(body.retry_after(RETRY_AFTER_MS))
    }

    /// The uploads that run.
    pub(crate) fn running(&self) -> Vec<UploadView> {
        let state = self.state();
        let running = state.given.values().filter(|given| given.streams.load(Ordering::Relaxed) > 0);
        running.map(|given| given.view()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while it is held")
    }
}

impl Places {
    /// Whether there was one.
    fn take(&mut self, to: NodeId) -> bool {
        let of_node = self.by_node.get(&to).copied().unwrap_or(0);
        let free = self.taken < UPLOADS && of_node < UPLOADS_PER_NODE;
        if free {
            self.taken += 1;
            self.by_node.insert(to, of_node + 1);
        }
        free
    }

    fn free(&mut self, to: NodeId) {
        let Some(of_node) = self.by_node.get_mut(&to) else { return };
        self.taken -= 1;
        *of_node -= 1;
        if *of_node == 0 {
            self.by_node.remove(&to);
        }
    }
}

impl Place {
    /// A stream to this user's node begins.
    pub(crate) fn begin(self, holding: &Holding, user: Option<UserName>) -> Upload {
        let uploads = self.uploads.clone();
        let mut state = uploads.state();
        let all = &mut state.given;
        if all.len() >= REMEMBERED {
            let idle = all.iter().filter(|(_, given)| given.streams.load(Ordering::Relaxed) == 0);
            let smallest =
                idle.min_by_key(|(_, given)| given.bytes.load(Ordering::Relaxed)).map(|(key, _)| *key);
            smallest.map(|key| all.remove(&key));
        }
        let given = all.entry((self.to, holding.content));
        let given = given.or_insert_with(|| Given::new(self.to, user, holding).into()).clone();
        given.streams.fetch_add(1, Ordering::Relaxed);
        drop(state);
        Upload { place: Some(self), given, sent: AtomicU64::new(0) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.uploads.state().places.free(self.to);
    }
}

impl Given {
    fn new(to: NodeId, user: Option<UserName>, holding: &Holding) -> Self {
        Self {
            to,
            user,
            owner: holding.user.clone(),
            name: holding.name.clone(),
            path: holding.path.clone(),
            size: holding.stamp.size,
            bytes: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            began: clock::monotonic(),
            meter: Mutex::default(),
        }
    }

    fn now(&self) -> Duration {
        clock::monotonic().saturating_duration_since(self.began)
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().expect("no panic while it is held")
    }

    fn view(&self) -> UploadView {
        let rate = self.meter().rate(self.now()).unwrap_or(0.0);
        UploadView {
            to: self.to,
            user: self.user.clone(),
            owner: self.owner.clone(),
            name: self.name.clone(),
            path: self.path.clone(),
            size: self.size,
            rate: rate as u64,
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

impl Upload {
    /// So many more bytes went out.
    pub(crate) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        self.given.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.given.meter().add(self.given.now(), bytes);
    }

    /// All of it is handed to the connection, which may take long to bring it to the far end: up to 16 MiB wait there.
    pub(crate) fn handed_over(&mut self) {
        self.place = None;
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.given.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.given.meter().pause(self.given.now());
        }
        let (bytes, total) = (self.sent.load(Ordering::Relaxed), self.given.bytes.load(Ordering::Relaxed));
        info!(to = %self.given.to.short(), resource = %format_args!("{}/{}", self.given.owner, self.given.name), bytes, total, "served");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeId {
        certs::SecretKey::generate().expect("randomness").public()
    }

    fn taken(uploads: &Uploads) -> usize {
        uploads.state().places.taken
    }

    #[test]
    fn one_node_gets_so_many_places_and_no_more() {
        let uploads = Uploads::default();
        let one = node();
        let mut places: Vec<_> =
            (0..UPLOADS_PER_NODE).map(|_| uploads.place(one).expect("a place")).collect();
        let body = uploads.place(one).expect_err("one too many");
        assert_eq!((body.code, body.retry_after_ms), (ErrorCode::Busy, Some(RETRY_AFTER_MS)));
        let other = uploads.place(node()).expect("there are places for others");
        assert_eq!(taken(&uploads), UPLOADS_PER_NODE + 1);
        places.pop();
        places.push(uploads.place(one).expect("one is free again"));
        drop((places, other));
        assert_eq!(taken(&uploads), 0);
        assert!(uploads.state().places.by_node.is_empty(), "nobody is remembered");
    }

    #[test]
    fn what_is_handed_over_is_shown_until_it_is_taken_and_keeps_no_place() {
        let (uploads, to) = (Uploads::default(), node());
        let given = Arc::new(Given {
            to,
            user: None,
            owner: "alice".parse().expect("a name"),
            name: "x".parse().expect("a name"),
            path: "/x".into(),
            size: 100,
            bytes: AtomicU64::new(0),
            streams: AtomicU64::new(1),
            began: clock::monotonic(),
            meter: Mutex::default(),
        });
        uploads.state().given.insert((to, ContentHash::of(b"x")), given.clone());
        let place = uploads.place(to).expect("a place");
        let mut upload = Upload { place: Some(place), given, sent: AtomicU64::new(0) };
        upload.sent(70);
        upload.handed_over();
        assert_eq!(taken(&uploads), 0);
        let running = uploads.running();
        assert_eq!(
            running.iter().map(|one| (one.to, one.bytes, one.size)).collect::<Vec<_>>(),
            [(to, 70, 100)]
        );
        drop(upload);
        assert!(uploads.running().is_empty(), "the far end has all of it");
    }

    #[test]
    fn all_together_get_so_many_places_and_no_more() {
        let uploads = Uploads::default();
        let nodes: Vec<_> = (0..UPLOADS / UPLOADS_PER_NODE).map(|_| node()).collect();
        let all = nodes.iter().flat_map(|&node| [node; UPLOADS_PER_NODE]);
        let mut places: Vec<_> = all.map(|to| uploads.place(to).expect("a place")).collect();
        assert_eq!(uploads.place(node()).expect_err("one too many").code, ErrorCode::Busy);
        places.pop();
        let _one = uploads.place(node()).expect("one is free again");
        assert_eq!(taken(&uploads), UPLOADS);
    }
}
