//! Threads that help with hashing: of all imports together no more than there are cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// No more than this, however many cores there are: with so many, memory is what all wait for.
const MOST: usize = 15;

/// How many help now.
static HELPING: AtomicUsize = AtomicUsize::new(0);

/// Leave for one thread beside the caller's own, until it is dropped.
#[derive(Debug)]
pub(super) struct Helper {}

impl Helper {
    /// `None` where as many help as there are cores beside the one that the caller has.
    pub(super) fn new() -> Option<Self> {
        let most = thread::available_parallelism().map_or(1, usize::from).saturating_sub(1).min(MOST);
        let more = |helping| (helping < most).then_some(helping + 1);
        HELPING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self {})
    }

    /// Leave for up to `wanted` threads.
    pub(super) fn some(wanted: usize) -> impl Iterator<Item = Self> {
        std::iter::from_fn(Self::new).take(wanted)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        HELPING.fetch_sub(1, Ordering::Relaxed);
    }
}
