//! Requests of the far end that may be asked before an earlier one is answered, and need that answer.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

/// The streams of the far end on which a P may still be granted, by the order in which they were opened. There are no more
/// than it may have open.
#[derive(Debug, Default)]
pub(super) struct Undecided {
    streams: Mutex<BTreeSet<u64>>,
    decided: Notify,
}

/// A stream of which nobody knows yet what comes of it, until this is dropped.
#[derive(Debug)]
pub(super) struct Open {
    all: Arc<Undecided>,
    stream: u64,
}

impl Undecided {
    /// A stream was accepted.
    pub(super) fn open(self: &Arc<Self>, stream: u64) -> Open {
        self.streams().insert(stream);
        Open { all: self.clone(), stream }
    }

    /// What `find` finds, tried anew whenever a stream is decided, until none that was opened before this one is left.
    ///
    /// # Cancel safety
    /// It changes nothing.
    pub(super) async fn find<T>(&self, stream: u64, find: impl Fn() -> Option<T>) -> Option<T> {
        loop {
            let mut decided = pin!(self.decided.notified());
            // From here on none is missed.
            decided.as_mut().enable();
            // In this order: what the last one led to is there before it is decided.
            let waits = self.streams().first().is_some_and(|first| *first < stream);
            let found = find();
            if found.is_some() || !waits {
                return found;
            }
            decided.await;
        }
    }

    fn streams(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.streams.lock().expect("no panic while it is held")
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.all.streams().remove(&self.stream);
        self.all.decided.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn only_earlier_streams_are_waited_for() {
        let (all, granted) = (Arc::new(Undecided::default()), AtomicBool::new(false));
        let find = || granted.load(Ordering::Relaxed).then_some("granted");
        let (first, third) = (all.open(4), all.open(12));
        assert_eq!(all.find(4, find).now_or_never(), Some(None), "nothing came before it");
        let mut second = pin!(all.find(8, find));
        assert_eq!(second.as_mut().now_or_never(), None);
        drop(third);
        assert_eq!(second.as_mut().now_or_never(), None, "the first may still be granted");
        granted.store(true, Ordering::Relaxed);
        drop(first);
        assert_eq!(second.now_or_never(), Some(Some("granted")));
    }

    #[tokio::test]
    async fn where_all_that_came_before_led_to_nothing_that_is_the_answer() {
        let all = Arc::new(Undecided::default());
        let first = all.open(4);
        let mut second = pin!(all.find(8, || None::<()>));
        assert_eq!(second.as_mut().now_or_never(), None);
        drop(first);
        assert_eq!(second.now_or_never(), Some(None));
    }
}
