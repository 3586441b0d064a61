//! Turns for what blocks on users' disks: one that hangs takes no more threads than its part.
//!
//! Whatever blocks shares the threads of tokio's pool, 512. A disk that is cold answers after seconds, one that is away
//! perhaps never, and a call that waits for it cannot be called back: its thread is gone until the disk answers, though
//! whoever asked gave up long ago and has asked again. So what waits for its turn waits without a thread.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use wire::ContentHash;

/// Calls on the files of one content at once: more bring no disk further.
const PER_CONTENT: usize = 16;
/// The same on one disk: an eighth of the pool's threads, and several contents that hang leave turns for others.
const PER_DISK: usize = 64;

/// Where files lie, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Disk {
    /// The file system had this number when the content was published: another one now only shares the turns.
    Numbered(u64),
    /// Wherever downloads go.
    OfDownloads,
}

/// The turns of all contents and disks of which something is read.
#[derive(Debug)]
pub(crate) struct Disks {
    contents: Turns<ContentHash>,
    disks: Turns<Disk>,
}

impl Disks {
    pub(crate) fn new() -> Self {
        Self { contents: Turns::new(PER_CONTENT), disks: Turns::new(PER_DISK) }
    }

    /// Waits for the turn of such a call, then makes it on a thread for blocking work.
    ///
    /// # Cancel safety
    /// Dropped, the call is not made. What is returned may be dropped as well: a call that was begun keeps its turn until it
    /// ends.
    pub(crate) async fn begin<T: Send + 'static>(
        &self,
        content: ContentHash,
        disk: Disk,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        // The content's first: what hangs should not wait with a turn of its disk.
        let of_content = self.contents.take(content).await;
        let of_disk = self.disks.take(disk).await;
        tokio::task::spawn_blocking(move || {
            let done = call();
            drop((of_content, of_disk));
            done
        })
    }
}

/// So many turns at once for each key, first come, first served. Keys that nobody uses are not kept.
#[derive(Debug)]
struct Turns<K> {
    most: usize,
    by_key: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K: Eq + Hash> Turns<K> {
    fn new(most: usize) -> Self {
        Self { most, by_key: Mutex::default() }
    }

    async fn take(&self, key: K) -> OwnedSemaphorePermit {
        let turns = {
            let mut by_key = self.by_key.lock().expect("no panic while it is held");
            by_key.retain(|_, turns| Arc::strong_count(turns) > 1);
            by_key.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.most))).clone()
        };
        turns.acquire_owned().await.expect("it is never closed")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt;

    use super::*;

    /// Calls that hang until this is dropped.
    struct Hung {
        disks: Disks,
        hold: mpsc::SyncSender<()>,
        until: Arc<Mutex<mpsc::Receiver<()>>>,
        begun: Vec<JoinHandle<()>>,
    }

    impl Hung {
        fn new() -> Self {
            let (hold, until) = mpsc::sync_channel(0);
            Self { disks: Disks::new(), hold, until: Arc::new(Mutex::new(until)), begun: Vec::new() }
        }

        /// Whether one more call could be begun at once.
        fn begin(&mut self, content: u8, disk: u64) -> bool {
            let until = self.until.clone();
            let hang = move || until.lock().expect("whole").recv().unwrap_or(());
            let begun = self.disks.begin(ContentHash::of(&[content]), Disk::Numbered(disk), hang);
            // So many at once would use up the task's share of time.
            let begun = tokio::task::unconstrained(begun).now_or_never();
            let is_begun = begun.is_some();
            self.begun.extend(begun);
            is_begun
        }

        async fn answer(self) -> Disks {
            drop(self.hold);
            for one in self.begun {
                one.await.expect("it ended");
            }
            self.disks
        }
    }

    #[tokio::test]
    async fn what_hangs_takes_no_more_than_its_part() {
        let mut hung = Hung::new();
        let begun = (0..PER_CONTENT + 1).filter(|_| hung.begin(0, 1)).count();
        assert_eq!(begun, PER_CONTENT);
        assert!(hung.begin(1, 1), "another file on that disk");
        let begun = (0..PER_DISK).filter(|&n| hung.begin((n / PER_CONTENT) as u8 + 2, 1)).count();
        assert_eq!(begun, PER_DISK - PER_CONTENT - 1, "all turns of the disk");
        assert!(hung.begin(9, 2), "another disk");
        let disks = hung.answer().await;
        let call = disks.begin(ContentHash::of(&[0]), Disk::Numbered(1), || 7).now_or_never();
        assert_eq!(call.expect("it answers again").await.expect("made"), 7);
        assert_eq!(disks.disks.by_key.lock().expect("whole").len(), 1, "who is not used is not kept");
    }

    #[tokio::test]
    async fn who_gives_up_waiting_takes_nothing_and_a_call_keeps_its_turn() {
        let mut hung = Hung::new();
        assert!((0..PER_CONTENT).all(|_| hung.begin(0, 1)));
        hung.begun.clear();
        assert!(!hung.begin(0, 1), "nobody waits for those any more, and yet they hang");
        assert!((0..PER_DISK - PER_CONTENT).all(|n| hung.begin((n / PER_CONTENT) as u8 + 1, 1)));
    }
}
