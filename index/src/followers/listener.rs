//! One `events` stream: what it follows, and what waits for its reader.
//!
//! Invariant: `places` says for each resource of which an event waits where that is in `waiting`. A listener that has ended
//! follows nothing new, and nothing waits for it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use wire::ErrorCode;

use super::Key;
use crate::registry::lock;

/// One `events` stream.
pub(crate) struct Listener {
    /// The number of its session.
    pub(super) session: u64,
    state: Mutex<State>,
    /// Something waits, or it has ended.
    news: Notify,
}

#[derive(Default)]
struct State {
    follows: HashSet<Arc<Key>>,
    /// In the order in which the resources came to have something.
    waiting: BTreeMap<u64, (Key, Arc<News>)>,
    places: HashMap<Key, u64>,
    next_place: u64,
    ended: Option<ErrorCode>,
}

/// The frame of an event.
pub(crate) struct News {
    frame: Vec<u8>,
    /// The bytes of all that wait.
    all: Arc<AtomicUsize>,
}

/// What a listener follows, to be changed.
pub(super) struct Follows<'a>(MutexGuard<'a, State>);

impl Listener {
    pub(super) fn new(session: u64) -> Self {
        Self { session, state: Mutex::default(), news: Notify::new() }
    }

    /// What is to be told next; the code with which the stream ends, if it does.
    ///
    /// # Cancel safety
    /// Dropped, it has taken nothing. Only one may wait at a time.
    pub(crate) async fn next(&self) -> Result<Arc<News>, ErrorCode> {
        loop {
            if let Some(next) = lock(&self.state).take() {
                return next;
            }
            self.news.notified().await;
        }
    }

    /// What it follows, unless it has ended.
    pub(super) fn follows(&self) -> Option<Follows<'_>> {
        let state = lock(&self.state);
        state.ended.is_none().then_some(Follows(state))
    }

    /// Follows a resource no longer. Whether it did.
    pub(super) fn unfollow(&self, key: &Key) -> bool {
        let mut state = lock(&self.state);
        if let Some(place) = state.places.remove(key) {
            state.waiting.remove(&place);
        }
        state.follows.remove(key)
    }

    /// Lets an event wait, in the place of an older one of the same resource.
    pub(super) fn tell(&self, key: Key, news: &Arc<News>) {
        if lock(&self.state).put(key, news.clone()) {
            self.news.notify_one();
        }
    }

    /// Of how many resources something waits.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.state).waiting.len()
    }

    /// Ends it with this code, unless it has ended.
    pub(super) fn end(&self, code: ErrorCode) {
        let mut state = lock(&self.state);
        state.ended.get_or_insert(code);
        let waited = (std::mem::take(&mut state.waiting), std::mem::take(&mut state.places));
        drop(state);
        drop(waited);
        self.news.notify_one();
    }

    /// Ends it and takes what it followed.
    pub(super) fn close(&self) -> Vec<Arc<Key>> {
        self.end(ErrorCode::Done);
        std::mem::take(&mut lock(&self.state).follows).into_iter().collect()
    }
}

impl State {
    fn take(&mut self) -> Option<Result<Arc<News>, ErrorCode>> {
        if let Some(code) = self.ended {
            return Some(Err(code));
        }
        let (_, (key, news)) = self.waiting.pop_first()?;
        self.places.remove(&key);
        Some(Ok(news))
    }

    /// Whether there is something new to be told.
    fn put(&mut self, key: Key, news: Arc<News>) -> bool {
        if self.ended.is_some() || !self.follows.contains(&key) {
            return false;
        }
        let place = *self.places.entry(key).or_insert(self.next_place);
        self.next_place = self.next_place.max(place + 1);
        self.waiting.insert(place, (key, news));
        true
    }
}

impl News {
    /// Counts its bytes among all that wait, for as long as it is there.
    pub(super) fn new(frame: Vec<u8>, all: Arc<AtomicUsize>) -> Self {
        all.fetch_add(frame.len(), Ordering::Relaxed);
        Self { frame, all }
    }

    /// The frame: length and content.
    pub(crate) fn frame(&self) -> &[u8] {
        &self.frame
    }
}

impl Drop for News {
    fn drop(&mut self) {
        self.all.fetch_sub(self.frame.len(), Ordering::Relaxed);
    }
}

impl Deref for Follows<'_> {
    type Target = HashSet<Arc<Key>>;

    fn deref(&self) -> &HashSet<Arc<Key>> {
        &self.0.follows
    }
}

impl DerefMut for Follows<'_> {
    fn deref_mut(&mut self) -> &mut HashSet<Arc<Key>> {
        &mut self.0.follows
    }
}
