//! What this node gives to others: how much at once, and counted for `status` and the log.

mod places;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use certs::{NodeId, UserName};
use places::Places;
use tracing::info;
use wire::{ContentHash, ErrorBody, ResourceName};

use crate::clock;
use crate::options::UploadSlots;
use crate::store::Holding;

/// Pairs of receiver and content that are remembered; the smallest totals are dropped first.
const REMEMBERED: usize = 1024;

/// All uploads of this run.
#[derive(Debug, Clone)]
pub(crate) struct Uploads(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    places: Places,
    given: ByReceiver,
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
    place: Place,
    given: Arc<Given>,
    sent: AtomicU64,
}

impl Uploads {
    /// None yet, and never more than so many at once.
    pub(crate) fn new(slots: UploadSlots) -> Self {
        let state = State { places: Places::new(slots), given: ByReceiver::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Goes over to another number of places; uploads that run go on.
    pub(crate) fn set_slots(&self, slots: UploadSlots) {
        self.state().places.set_slots(slots);
    }

    /// A place for one more upload. To be taken before anything is opened for it. Who finds none is in the queue, where
    /// there is room: the place is kept for it when its turn has come, if it asks again in time.
    ///
    /// # Errors
    /// `busy`, with the place in the queue.
    pub(crate) fn place(&self, to: NodeId) -> Result<Place, ErrorBody> {
        self.state().places.take(clock::monotonic(), to)?;
        Ok(Place { uploads: self.clone(), to })
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

impl Place {
    /// A stream begins.
    pub(crate) fn begin(self, holding: &Holding) -> Upload {
        let uploads = self.uploads.clone();
        let mut state = uploads.state();
        let all = &mut state.given;
        if all.len() >= REMEMBERED {
            let idle = all.iter().filter(|(_, given)| given.streams.load(Ordering::Relaxed) == 0);
            let smallest =
                idle.min_by_key(|(_, given)| given.bytes.load(Ordering::Relaxed)).map(|(key, _)| *key);
            smallest.map(|key| all.remove(&key));
        }
        let given =
            all.entry((self.to, holding.content)).or_insert_with(|| Given::new(holding).into()).clone();
        given.streams.fetch_add(1, Ordering::Relaxed);
        drop(state);
        Upload { place: self, given, sent: AtomicU64::new(0) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.uploads.state().places.free(self.to);
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
        info!(to = %self.place.to.short(), resource = %format_args!("{}/{}", self.given.owner, self.given.name), bytes, total, "served");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let node = || certs::SecretKey::generate().expect("randomness").public();
        let uploads = Uploads::new(1.try_into().expect("within the bounds"));
        let place = uploads.place(node()).expect("a place");
        let waits = node();
        assert_eq!(uploads.place(waits).expect_err("there is one").queue_place, Some(1));
        drop(place);
        assert_eq!(uploads.place(node()).expect_err("it is kept").queue_place, Some(2));
        drop(uploads.place(waits).expect("it is next"));
        assert!(uploads.state().places.is_idle());
    }
}
