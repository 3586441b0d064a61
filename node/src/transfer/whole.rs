//! The hashes of whole files: what is verified and written is hashed while it is in memory (`hashes`, `tree`), in whatever
//! order it comes, and what is left of that is read behind the writer: what lies on the borders of two requests, and what
//! an earlier run received.
//!
//! It is also here that chunks which are equal to an earlier one get their bytes: in order, each before it is hashed, so
//! that the first of its kind is there by then.

mod hashes;
mod proof;
mod recent;
mod tree;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use wire::ContentHash;
use wire::manifest::{Blocks, EntryKind, Layout, Placed};

pub(super) use self::hashes::{Hashes, Known, Stretch};
use self::recent::Recent;
use self::tree::BLOCK;
use super::batch::compared;
use super::goal::Goal;
use crate::store::{Partial, PartialError};

/// What one read takes.
const PIECE_BYTES: usize = 1 << 20;
/// News of the verified front that wait: each supersedes the ones before, so few are enough.
const NEWS: usize = 16;

/// Compares each file with what the manifest says, from the front of what is received, as far as it is complete; reads what
/// nobody has hashed. One thread, at most 3 MiB of memory and a chunk; once this is dropped it reads no further than the
/// piece that it is at.
#[derive(Debug)]
pub(crate) struct WholeHasher {
    file: Arc<Partial>,
    goal: Arc<Goal>,
    hashes: Arc<Hashes>,
    news: Option<SyncSender<u64>>,
    thread: Option<JoinHandle<Hashed>>,
    stop: Arc<AtomicBool>,
}

/// Whether every file is what the manifest says, or `None` where it was stopped before.
type Hashed = Result<Option<bool>, PartialError>;

impl WholeHasher {
    /// Starts the thread. `blocks` are those of the content, where they are known.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(super) fn start(
        file: Arc<Partial>,
        goal: Arc<Goal>,
        blocks: Option<Blocks>,
    ) -> std::io::Result<Self> {
        let (news, waiting) = sync_channel(NEWS);
        let stop = Arc::new(AtomicBool::new(false));
        let hashes = Arc::new(Hashes::new(goal.clone(), blocks));
        let (stopped, known) = (stop.clone(), hashes.clone());
        let parts = (file.clone(), goal.clone());
        let thread = std::thread::Builder::new()
            .name("whole-hash".to_owned())
            .spawn(move || Following::new(&*parts.0, (&parts.1, &known), &stopped).run(&waiting))?;
        Ok(Self { file, goal, hashes, news: Some(news), thread: Some(thread), stop })
    }

    /// Where whoever writes says what.
    pub(super) fn hashes(&self) -> &Arc<Hashes> {
        &self.hashes
    }

    /// Says that all before `end` is verified. Never waits: if the thread is behind, it will hear of a later end.
    pub(crate) fn front(&self, end: u64) {
        if let Some(news) = &self.news {
            let _ = news.try_send(end);
        }
    }

    /// Waits until all before `size` is hashed; returns whether every file is what the manifest says. Where that is in doubt
    /// although it was so in memory, all of it is read.
    ///
    /// # Errors
    /// Where the file cannot be read.
    ///
    /// # Cancel safety
    /// Dropped before its end, it stops the thread.
    pub(crate) async fn finish(mut self, size: u64) -> Result<bool, HashError> {
        let right = self.end(size).await?;
        if !right || !self.hashes.is_doubted() {
            return Ok(right);
        }
        let again = Self::start(self.file.clone(), self.goal.clone(), None);
        again.map_err(|_| HashError::Died)?.end(size).await
    }

    async fn end(&mut self, size: u64) -> Result<bool, HashError> {
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

/// What is hashed, and written where chunks are copied.
trait Bytes {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), PartialError>;
    fn write_chunks(&self, offset: u64, bytes: &[u8]) -> Result<(), PartialError>;
    fn is_verified(&self, entry: usize) -> bool;
}

impl Bytes for Partial {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), PartialError> {
        Self::read_at(self, offset, buffer)
    }

    fn write_chunks(&self, offset: u64, bytes: &[u8]) -> Result<(), PartialError> {
        Self::write_chunks(self, offset, bytes)
    }

    fn is_verified(&self, entry: usize) -> bool {
        Self::is_verified(self, entry)
    }
}

/// How far the thread is.
struct Following<'a, B> {
    bytes: &'a B,
    goal: &'a Goal,
    hashes: &'a Hashes,
    stop: &'a AtomicBool,
    /// The next entry to be compared.
    entry: usize,
    /// The next chunk to be copied.
    repeat: usize,
    recent: Recent,
    buffer: Vec<u8>,
}

/// Why it does not go on.
enum Ended {
    Stopped,
    Wrong,
    Failed(PartialError),
}

impl From<PartialError> for Ended {
    fn from(error: PartialError) -> Self {
        Self::Failed(error)
    }
}

impl<'a, B: Bytes> Following<'a, B> {
    fn new(bytes: &'a B, (goal, hashes): (&'a Goal, &'a Hashes), stop: &'a AtomicBool) -> Self {
        let (recent, buffer) = (Recent::default(), vec![0; PIECE_BYTES]);
        Self { bytes, goal, hashes, stop, entry: 0, repeat: 0, recent, buffer }
    }

    /// Goes on up to the last end that it was told of, until no more news can come.
    fn run(mut self, news: &Receiver<u64>) -> Hashed {
        while let Ok(end) = news.recv() {
            let end = news.try_iter().fold(end, u64::max);
            match self.advance(end) {
                Ok(()) => {}
                Err(Ended::Stopped) => return Ok(None),
                Err(Ended::Wrong) => return Ok(Some(false)),
                Err(Ended::Failed(error)) => return Err(error),
            }
        }
        let complete = self.entry == self.goal.layout.entries.len();
        Ok(complete.then_some(true))
    }

    fn advance(&mut self, end: u64) -> Result<(), Ended> {
        self.copy_repeats(end)?;
        while let Some(entry) = self.goal.layout.entries.get(self.entry) {
            let here = entry.kind == EntryKind::File && self.goal.chosen.has(self.entry);
            let complete = entry.bytes().end <= end;
            // What came in one piece was hashed before it was written.
            if here && !(complete && self.bytes.is_verified(self.entry)) {
                let right = if Hashes::covers(&entry) {
                    self.hash_unknown(entry, end)?
                } else if complete {
                    Some(self.hash(entry)?)
                } else {
                    None
                };
                match right {
                    Some(true) => {}
                    Some(false) => return Err(Ended::Wrong),
                    None => return Ok(()),
                }
            }
            self.entry += 1;
            self.hashes.pass(self.entry);
        }
        Ok(())
    }

    /// Reads what of a file is complete before `end` and was hashed by nobody. Returns whether it has its hash, once that is
    /// known.
    fn hash_unknown(&mut self, entry: Placed<'_>, end: u64) -> Result<Option<bool>, Ended> {
        let end = end.min(entry.bytes().end).saturating_sub(entry.start);
        let mut at = 0;
        loop {
            let unknown = match self.hashes.known(self.entry, entry, at) {
                Known::All { right } => return Ok(Some(right)),
                Known::Without(unknown) => unknown,
            };
            at = unknown.end.min(end).min(unknown.start + PIECE_BYTES as u64);
            if at < entry.size {
                at -= at % BLOCK;
            }
            if at <= unknown.start {
                return Ok(None);
            }
            let from = entry.start + unknown.start;
            let length = usize::try_from(at - unknown.start).unwrap_or(usize::MAX);
            self.read(from, length)?;
            self.hashes.take_read(from, self.buffer.get(..length).unwrap_or_default());
        }
    }

    /// Reads a file of one block or less; returns whether it has its hash.
    fn hash(&mut self, entry: Placed<'_>) -> Result<bool, Ended> {
        let length = usize::try_from(entry.size).unwrap_or(usize::MAX);
        self.read(entry.start, length)?;
        Ok(self.buffer.get(..length).is_some_and(|bytes| ContentHash::of(bytes) == entry.hash))
    }

    /// Fills the first bytes of the buffer.
    fn read(&mut self, from: u64, length: usize) -> Result<(), Ended> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Ended::Stopped);
        }
        match self.buffer.get_mut(..length) {
            Some(piece) if !piece.is_empty() => Ok(self.bytes.read_at(from, piece)?),
            _ => Ok(()),
        }
    }

    /// Copies the chunks before `end` that are equal to an earlier one.
    fn copy_repeats(&mut self, end: u64) -> Result<(), Ended> {
        while let Some((repeats, firsts)) = self.next_repeats(end) {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Ended::Stopped);
            }
            let chunks = &self.goal.layout.chunks;
            let to = chunks.bytes_of(repeats.clone()).unwrap_or_default().start;
            self.repeat += repeats.len();
            if let Some(bytes) = self.recent.get(&firsts) {
                self.bytes.write_chunks(to, bytes)?;
                continue;
            }
            let from = chunks.bytes_of(firsts.clone()).unwrap_or_default();
            let mut bytes = vec![0; usize::try_from(from.end - from.start).unwrap_or(0)];
            self.bytes.read_at(from.start, &mut bytes)?;
            // They have been on the disk since they were verified.
            if !compared(chunks, repeats, &bytes).all(|(_, right)| right) {
                return Err(Ended::Wrong);
            }
            self.bytes.write_chunks(to, &bytes)?;
            self.recent.put(firsts, bytes);
        }
        Ok(())
    }

    /// The next chunks of one file before `end` that are to be copied from chunks which follow on one another, too, and these.
    fn next_repeats(&self, end: u64) -> Option<(Range<u32>, Range<u32>)> {
        let Layout { entries, chunks, .. } = &*self.goal.layout;
        let place = |chunk: u32| chunks.bytes_of(chunk..chunk + 1).unwrap_or_default();
        let mut rest = self.goal.repeats.get(self.repeat..)?.iter().copied();
        let (repeat, first) = rest.next().filter(|(repeat, _)| place(*repeat).start < end)?;
        let (start, entry) = (place(repeat).start, entries.of_chunk(repeat));
        let mut count = 1;
        for next in rest {
            let bytes = place(next.0);
            let follows = next == (repeat + count, first + count) && entries.of_chunk(next.0) == entry;
            if !follows || bytes.start >= end || bytes.end - start > PIECE_BYTES as u64 {
                break;
            }
            count += 1;
        }
        Some((repeat..repeat + count, first..first + count))
    }
}

#[cfg(test)]
mod tests;
