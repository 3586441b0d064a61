//! Who follows what: in memory alone, and gone with the stream on which the follower is told.
//!
//! Invariant: `resources` names for each resource exactly the listeners whose own set has it, and `follows` is how many
//! such pairs there are. Both change together under the lock of the tables; it is taken before a listener's, never after,
//! and held for microseconds: a change is told without it.
//!
//! What waits for a listener is the newest record of each resource, so that a slow one costs no more than what it follows.
//! The bytes of a record are made once, and shared by all whom they wait for.

mod listener;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::{io, thread};

use certs::AccountId;
use wire::message::{Event, RecordBundle};
use wire::{ErrorBody, ErrorCode, ResourceName, frame, limits};

pub(crate) use self::listener::Listener;
use self::listener::News;
use crate::registry::{Tell, lock};

/// Pairs of a resource and a follower: 400 for each of 10,000 nodes. A pair costs some 25 bytes, the first of a resource
/// 125 more, however long the name.
const FOLLOWS: usize = 4_000_000;
/// Bytes of events that wait for readers: more than 50,000 records of the usual size. They are counted once, for however
/// many readers they wait.
const WAITING_BYTES: usize = 64 << 20;
/// Changes that may wait for being told: four transactions' worth.
const QUEUE: usize = 4096;
/// Resources of a stream that has ended which are taken out at once, so that nobody waits long for the lock.
const SHARE: usize = 1024;
/// When to come again, where as much is followed as may be.
const RETRY_AFTER_MS: u64 = 10_000;

/// A resource by the hash of its account and name: a name of any length costs the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

/// A resource has a new record: a version, a revision or a tombstone, on stable storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) account: AccountId,
    pub(crate) name: ResourceName,
    /// With receipt and certificate.
    pub(crate) bundle: RecordBundle,
}

/// Everybody's.
pub(crate) struct Followers {
    bounds: Bounds,
    tables: Mutex<Tables>,
    waiting: Arc<AtomicUsize>,
}

/// How much there may be of what.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    each: usize,
    follows: usize,
    waiting_bytes: usize,
}

#[derive(Default)]
struct Tables {
    /// By the numbers of their sessions.
    listeners: HashMap<u64, Arc<Listener>>,
    /// The keys are those in the listeners' own sets.
    resources: HashMap<Arc<Key>, Vec<Arc<Listener>>>,
    follows: usize,
    stopped: bool,
}

/// A listener that leaves when this is dropped.
pub(crate) struct Listening<'a> {
    followers: &'a Followers,
    listener: Arc<Listener>,
}

impl Key {
    /// Of a resource.
    pub(crate) fn of(account: &AccountId, name: &ResourceName) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(account.as_bytes()).update(name.as_str().as_bytes());
        Self(*hasher.finalize().as_bytes())
    }
}

impl Followers {
    /// Nobody follows anything.
    pub(crate) fn new() -> Self {
        Self::bounded(Bounds { each: limits::FOLLOWED, follows: FOLLOWS, waiting_bytes: WAITING_BYTES })
    }

    fn bounded(bounds: Bounds) -> Self {
        Self { bounds, tables: Mutex::default(), waiting: Arc::default() }
    }

    /// Begins to listen on a session, in place of an older listener of it, which ends with `replaced`. Nothing is followed
    /// yet.
    pub(crate) fn listen(&self, session: u64) -> Listening<'_> {
        let listener = Arc::new(Listener::new(session));
        let mut tables = lock(&self.tables);
        if tables.stopped {
            listener.end(ErrorCode::ShuttingDown);
        }
        let before = tables.listeners.insert(session, listener.clone());
        drop(tables);
        if let Some(before) = before {
            before.end(ErrorCode::Replaced);
        }
        Listening { followers: self, listener }
    }

    /// Adds resources to those of the session's listener. From now on it is told of each record of them.
    ///
    /// # Errors
    /// `not-found` where the session has no listener, `quota`, `busy`: then nothing was added.
    pub(crate) fn follow(&self, session: u64, keys: &[Key]) -> Result<(), ErrorBody> {
        let mut tables = lock(&self.tables);
        let listener = tables.listeners.get(&session).cloned().ok_or_else(no_stream)?;
        let mut own = listener.follows().ok_or_else(no_stream)?;
        let new: HashSet<Key> = keys.iter().filter(|key| !own.contains(*key)).copied().collect();
        if own.len() + new.len() > self.bounds.each {
            let text = format!("a connection follows at most {} resources", self.bounds.each);
            return Err(ErrorBody::new(ErrorCode::Quota, text));
        }
        if tables.follows + new.len() > self.bounds.follows {
            let text = "as much is followed as this index can keep; try again";
            return Err(ErrorBody::new(ErrorCode::Busy, text).retry_after(RETRY_AFTER_MS));
        }
        tables.follows += new.len();
        for key in new {
            let key = tables
                .resources
                .get_key_value(&key)
                .map_or_else(|| Arc::new(key), |(known, _)| known.clone());
            own.insert(key.clone());
            // Most resources have one follower.
            tables.resources.entry(key).or_insert_with(|| Vec::with_capacity(1)).push(listener.clone());
        }
        Ok(())
    }

    /// Takes resources away from those of the session's listener, with what waits of them.
    pub(crate) fn unfollow(&self, session: u64, keys: &[Key]) {
        let mut tables = lock(&self.tables);
        let Some(listener) = tables.listeners.get(&session).cloned() else { return };
        for key in keys {
            if listener.unfollow(key) {
                tables.remove(key, &listener);
            }
        }
    }

    /// What is to be told of changes, in the order in which they were stored. A thread of its own does the work: a thousand
    /// followers of one resource take a millisecond. Only when it has very much to do, whoever tells waits for it. It ends
    /// when this is dropped.
    ///
    /// # Errors
    /// The thread could not be started.
    pub(crate) fn start(self: &Arc<Self>) -> io::Result<Tell> {
        let (queue, changes) = mpsc::sync_channel(QUEUE);
        let teller = self.clone();
        thread::Builder::new().name("index-teller".to_owned()).spawn(move || {
            for (key, change) in changes {
                teller.spread(key, change);
            }
        })?;
        let followers = self.clone();
        Ok(Box::new(move |changes| {
            for change in followers.followed(changes) {
                // It fails only where the thread has panicked: nobody is told any more.
                let _ = queue.send(change);
            }
        }))
    }

    /// Tells the followers of one resource. For one thread at a time.
    fn spread(&self, key: Key, change: Changed) {
        // Its parts have bounds, under which it fits.
        let Ok(frame) = frame::encode(&Event::Record(change.bundle), limits::EVENT_BYTES) else { return };
        self.make_room();
        let news = Arc::new(News::new(frame, self.waiting.clone()));
        // Cloned, since there may be thousands, and the lock is everybody's.
        let listeners = lock(&self.tables).resources.get(&key).cloned().unwrap_or_default();
        for listener in listeners {
            listener.tell(key, &news);
        }
    }

    /// Ends all streams, those to come too.
    pub(crate) fn stop(&self) {
        let mut tables = lock(&self.tables);
        tables.stopped = true;
        for listener in tables.listeners.values() {
            listener.end(ErrorCode::ShuttingDown);
        }
    }

    /// Those that somebody follows.
    fn followed(&self, changes: Vec<Changed>) -> Vec<(Key, Changed)> {
        let keyed = changes.into_iter().map(|change| (Key::of(&change.account, &change.name), change));
        let keyed: Vec<_> = keyed.collect();
        let tables = lock(&self.tables);
        keyed.into_iter().filter(|(key, _)| tables.resources.contains_key(key)).collect()
    }

    /// Makes room for one event more where too much waits: whoever is furthest behind asks again for what stands, at its
    /// own pace.
    fn make_room(&self) {
        let full = || self.waiting.load(Ordering::Relaxed) >= self.bounds.waiting_bytes;
        if !full() {
            return;
        }
        let listeners: Vec<_> = lock(&self.tables).listeners.values().cloned().collect();
        let mut behind: Vec<_> =
            listeners.into_iter().map(|listener| (listener.waiting(), listener)).collect();
        behind.sort_unstable_by_key(|(waiting, _)| std::cmp::Reverse(*waiting));
        // What is left when nothing waits is being written: one event for each stream.
        for (_, listener) in behind.into_iter().take_while(|(waiting, _)| *waiting > 0) {
            listener.end(ErrorCode::Busy);
            if !full() {
                return;
            }
        }
    }

    fn leave(&self, listener: &Arc<Listener>) {
        let mut tables = lock(&self.tables);
        if tables.listeners.get(&listener.session).is_some_and(|own| Arc::ptr_eq(own, listener)) {
            tables.listeners.remove(&listener.session);
        }
        drop(tables);
        // From here on nobody adds to it.
        let follows = listener.close();
        for share in follows.chunks(SHARE) {
            let mut tables = lock(&self.tables);
            share.iter().for_each(|key| tables.remove(key, listener));
        }
    }
}

impl Tables {
    fn remove(&mut self, key: &Key, listener: &Arc<Listener>) {
        let Some(listeners) = self.resources.get_mut(key) else { return };
        if let Some(at) = listeners.iter().position(|other| Arc::ptr_eq(other, listener)) {
            listeners.swap_remove(at);
            self.follows -= 1;
        }
        if listeners.is_empty() {
            self.resources.remove(key);
        }
    }
}

impl std::ops::Deref for Listening<'_> {
    type Target = Listener;

    fn deref(&self) -> &Listener {
        &self.listener
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.followers.leave(&self.listener);
    }
}

fn no_stream() -> ErrorBody {
    let text = "no events stream is open on this connection: open one, and follow anew";
    ErrorBody::new(ErrorCode::NotFound, text)
}
