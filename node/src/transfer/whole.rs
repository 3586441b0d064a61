//! The hash of the whole content, computed behind the writer while the pages are still in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use wire::ContentHash;

use crate::store::{Partial, PartialError};

/// What one read takes.
const PIECE_BYTES: usize = 1 << 20;
/// News of the verified front that wait: each supersedes the ones before, so few are enough.
const NEWS: usize = 16;

/// Hashes a partial file from its front, as far as it is complete. One thread, at most 1 MiB of memory; once this is
/// dropped it reads no further than the piece that it is at.
#[derive(Debug)]
pub(crate) struct WholeHasher {
    news: Option<SyncSender<u64>>,
    thread: Option<JoinHandle<Hashed>>,
    stop: Arc<AtomicBool>,
}

/// The hash, or `None` where it was stopped before.
type Hashed = Result<Option<ContentHash>, PartialError>;

impl WholeHasher {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(crate) fn start(file: Arc<Partial>) -> std::io::Result<Self> {
        let (news, waiting) = sync_channel(NEWS);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("whole-hash".to_owned())
            .spawn(move || follow(|at, buffer| file.read_at(at, buffer), &waiting, &stopped))?;
        Ok(Self { news: Some(news), thread: Some(thread), stop })
    }

    /// Says that all before `end` is verified. Never waits: if the thread is behind, it will hear of a later end.
    pub(crate) fn front(&self, end: u64) {
        if let Some(news) = &self.news {
            let _ = news.try_send(end);
        }
    }

    /// Waits until all before `size` is hashed.
    ///
    /// # Errors
    /// Where the file cannot be read.
    ///
    /// # Cancel safety
    /// Dropped before its end, it stops the thread.
    pub(crate) async fn finish(mut self, size: u64) -> Result<ContentHash, HashError> {
        let (news, thread) = (self.news.take(), self.thread.take());
        let joined = tokio::task::spawn_blocking(move || {
            if let Some(news) = news {
                let _ = news.send(size);
            }
            thread.map(JoinHandle::join)
        });
        match joined.await {
            Ok(Some(Ok(hashed))) => hashed?.ok_or(HashError::Died),
            _ => Err(HashError::Died),
        }
    }
}

impl Drop for WholeHasher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    #[error(transparent)]
    File(#[from] PartialError),
    #[error("the hashing thread died")]
    Died,
}

/// Hashes what `read` gives, up to the last end that it was told of, until no more news can come.
fn follow(
    read: impl Fn(u64, &mut [u8]) -> Result<(), PartialError>,
    news: &Receiver<u64>,
    stop: &AtomicBool,
) -> Hashed {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; PIECE_BYTES];
    let mut done = 0;
    while let Ok(end) = news.recv() {
        let end = news.try_iter().fold(end, u64::max);
        while done < end {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let length = usize::try_from(end - done).unwrap_or(usize::MAX).min(PIECE_BYTES);
            read(done, &mut buffer[..length])?;
            hasher.update(&buffer[..length]);
            done += length as u64;
        }
    }
    Ok(Some(ContentHash::from_bytes(*hasher.finalize().as_bytes())))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Bytes that were told of: enough that nobody reads them all.
    const HUGE: u64 = 1 << 50;

    #[test]
    fn it_hashes_what_it_is_told_of() {
        let (news, waiting) = sync_channel(NEWS);
        let size = 3 * PIECE_BYTES as u64 + 5;
        for end in [7, PIECE_BYTES as u64, size] {
            news.send(end).expect("there is room");
        }
        drop(news);
        let read = |_, buffer: &mut [u8]| {
            buffer.fill(9);
            Ok(())
        };
        let hashed = follow(read, &waiting, &AtomicBool::new(false)).expect("read");
        let expected = blake3::hash(&vec![9; size as usize]);
        assert_eq!(hashed, Some(ContentHash::from_bytes(*expected.as_bytes())));
    }

    #[test]
    fn once_stopped_it_reads_nothing_more() {
        let (news, waiting) = sync_channel(NEWS);
        news.send(HUGE).expect("there is room");
        let (stop, reads) = (AtomicBool::new(false), Cell::new(0));
        let read = |_, _: &mut [u8]| {
            reads.set(reads.get() + 1);
            stop.store(reads.get() == 3, Ordering::Relaxed);
            Ok(())
        };
        assert_eq!(follow(read, &waiting, &stop).expect("read"), None);
        assert_eq!(reads.get(), 3);
    }

    #[tokio::test]
    async fn what_is_dropped_stops_its_thread() {
        let (news, waiting) = sync_channel(NEWS);
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, (ended, end)) = (stop.clone(), tokio::sync::oneshot::channel());
        let thread = std::thread::spawn(move || {
            let hashed = follow(|_, _| Ok(()), &waiting, &stopped);
            let _ = ended.send(matches!(hashed, Ok(None)));
            hashed
        });
        let hasher = WholeHasher { news: Some(news), thread: Some(thread), stop };
        // It is polled once, and then dropped, as a pause does.
        let finishing = hasher.finish(HUGE);
        tokio::select! {
            biased;
            result = finishing => panic!("it cannot be done: {result:?}"),
            () = tokio::task::yield_now() => {}
        }
        assert!(end.await.expect("the thread ended"), "and that early");
    }
}
