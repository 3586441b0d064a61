//! What this node gives to others: how much at once, and counted for `status` and the log.

mod crowd;
mod places;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use certs::{NodeId, UserName};
use crowd::Crowd;
use places::Places;
use tracing::info;
use wire::{ContentHash, ErrorBody, ResourceName};

use super::schedule::Meter;
use crate::clock;
use crate::options::UploadSlots;

/// Pairs of receiver and content that are remembered; the smallest totals are dropped first.
const REMEMBERED: usize = 1024;

/// An upload that has waited for so long, for its disk or for its receiver, is not what keeps this node busy.
const LEND_AFTER: Duration = Duration::from_secs(1);

/// An upload is shown until its receiver has asked for nothing more for so long: longer than the way from the end of one request
/// to the next.
const QUIET: Duration = Duration::from_secs(2);

/// All uploads of this run.
#[derive(Debug, Clone)]
pub(crate) struct Uploads(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    places: Places,
    crowd: Crowd,
    given: ByReceiver,
}

/// The right to run one upload, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    uploads: Uploads,
    to: NodeId,
}

type ByReceiver = HashMap<(NodeId, ContentHash), Arc<Given>>;

/// What an upload is of.
#[derive(Debug, Clone)]
pub(crate) struct Uploaded {
    pub(crate) content: ContentHash,
    pub(crate) owner: UserName,
    pub(crate) name: ResourceName,
    pub(crate) path: std::path::PathBuf,
    /// Of the whole content, in bytes.
    pub(crate) size: u64,
}

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
    /// When the last stream ended; told only while there is none.
    quiet_since: Mutex<Option<Instant>>,
}

/// One running upload as `status` shows it.
#[derive(Debug, Clone)]
pub(crate) struct UploadView {
    pub(crate) to: NodeId,
    pub(crate) user: Option<UserName>,
    pub(crate) owner: UserName,
    pub(crate) name: ResourceName,
    pub(crate) path: std::path::PathBuf,
    /// Of the whole content, in bytes.
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
    /// None yet, and never more than so many at once.
    pub(crate) fn new(slots: UploadSlots) -> Self {
        let state = State { places: Places::new(slots), crowd: Crowd::default(), given: ByReceiver::new() };
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

    /// A content is that of a new version: see [`Uploads::admit`].
    pub(crate) fn is_new(&self, content: ContentHash) {
        self.state().crowd.is_new(clock::monotonic(), content);
    }

    /// Whether a node is to get a content from here now, and not from those that get it at the same time and have it soon.
    ///
    /// # Errors
    /// `busy`: it is to ask others meanwhile.
    pub(crate) fn admit(&self, content: ContentHash, to: NodeId) -> Result<(), ErrorBody> {
        self.state().crowd.admit(clock::monotonic(), content, to)
    }

    /// The uploads that run: their receivers have asked for something within the last two seconds.
    pub(crate) fn running(&self) -> Vec<UploadView> {
        self.running_at(clock::monotonic())
    }

    fn running_at(&self, now: Instant) -> Vec<UploadView> {
        self.state().given.values().filter(|given| given.runs(now)).map(|given| given.view()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while it is held")
    }
}

impl Place {
    /// A stream to this user's node begins.
    pub(crate) fn begin(self, what: Uploaded, user: Option<UserName>) -> Upload {
        let uploads = self.uploads.clone();
        let mut state = uploads.state();
        let all = &mut state.given;
        if all.len() >= REMEMBERED {
            let idle = all.iter().filter(|(_, given)| given.streams.load(Ordering::Relaxed) == 0);
            let smallest =
                idle.min_by_key(|(_, given)| given.bytes.load(Ordering::Relaxed)).map(|(key, _)| *key);
            smallest.map(|key| all.remove(&key));
        }
        let given = all.entry((self.to, what.content));
        let given = given.or_insert_with(|| Given::new(self.to, user, what).into()).clone();
        given.streams.fetch_add(1, Ordering::Relaxed);
        drop(state);
        Upload { place: Some(self), given, sent: AtomicU64::new(0) }
    }

    /// Waits for a disk or for the far end. If that takes long, the place is lent to others until it is over.
    ///
    /// # Cancel safety
    /// That of the future; the place is this upload's again.
    pub(crate) async fn waits<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        if let Ok(output) = tokio::time::timeout(LEND_AFTER, future.as_mut()).await {
            return output;
        }
        let lent = self.uploads.state().places.lend();
        let _back = lent.then(|| Lent(&self.uploads));
        future.await
    }
}

/// A place is lent until this is dropped.
struct Lent<'p>(&'p Uploads);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.state().places.take_back();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.uploads.state().places.free(self.to);
    }
}

impl Given {
    fn new(to: NodeId, user: Option<UserName>, what: Uploaded) -> Self {
        let Uploaded { owner, name, path, size, .. } = what;
        Self {
            to,
            user,
            owner,
            name,
            path,
            size,
            bytes: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            began: clock::monotonic(),
            meter: Mutex::default(),
            quiet_since: Mutex::default(),
        }
    }

    fn runs(&self, now: Instant) -> bool {
        let quiet = |since: Instant| now.saturating_duration_since(since) >= QUIET;
        self.streams.load(Ordering::Relaxed) > 0 || self.quiet_since().is_some_and(|since| !quiet(since))
    }

    fn quiet_since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.quiet_since.lock().expect("no panic while it is held")
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
    /// See [`Place::waits`].
    pub(crate) async fn waits<F: Future>(&self, future: F) -> F::Output {
        match &self.place {
            Some(place) => place.waits(future).await,
            None => future.await,
        }
    }

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
        *self.given.quiet_since() = Some(clock::monotonic());
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

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let uploads = Uploads::new(1.try_into().expect("within the bounds"));
        let place = uploads.place(node()).expect("a place");
        let waits = node();
        assert_eq!(uploads.place(waits).expect_err("there is one").queue_place, Some(1));
        drop(place);
        assert_eq!(uploads.place(node()).expect_err("it is kept").queue_place, Some(2));
        drop(uploads.place(waits).expect("it is next"));
        assert!(uploads.state().places.is_idle());
    }

    #[test]
    fn what_is_handed_over_keeps_no_place_and_is_shown_until_its_receiver_is_quiet() {
        let (uploads, to) = (Uploads::new(UploadSlots::default()), node());
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
            quiet_since: Mutex::default(),
        });
        uploads.state().given.insert((to, ContentHash::of(b"x")), given.clone());
        let place = uploads.place(to).expect("a place");
        let mut upload = Upload { place: Some(place), given, sent: AtomicU64::new(0) };
        upload.sent(70);
        upload.handed_over();
        assert!(uploads.state().places.is_idle());
        let running = uploads.running();
        assert_eq!(
            running.iter().map(|one| (one.to, one.bytes, one.size)).collect::<Vec<_>>(),
            [(to, 70, 100)]
        );
        let before = clock::monotonic();
        drop(upload);
        assert_eq!(uploads.running_at(before).len(), 1, "the next request may be on its way");
        assert!(uploads.running_at(clock::monotonic() + QUIET).is_empty(), "nothing more was asked for");
    }
}
