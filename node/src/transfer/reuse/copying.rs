//! Copying chunks on this machine, beside the fetching of the others.
//!
//! Each chunk is read, hashed, and only then written: whatever the source has become meanwhile, no wrong byte gets into the
//! target. Where the file system lets files share blocks nothing is written, and the chunk is hashed as it is read back
//! from the target. What cannot be read, or is not what its hash says, is left out, and fetched.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tracing::debug;
use wire::manifest::ChunkTable;

use super::plan::Copy;
use super::sources::LocalSource;
use crate::buffers::Buffers;
use crate::store::{Partial, PartialError};
use crate::transfer::batch::{BATCH_BYTES, Batch, compared, first_batch};
use crate::transfer::whole::{Hashes, Stretch};

/// Reports that wait. A full queue holds the copying back.
const REPORTS: usize = 64;

/// What the copying reports.
#[derive(Debug)]
pub(in crate::transfer) enum Copied {
    /// These chunks are verified and written.
    Written(Range<u32>),
    /// Nothing more comes. An error is of the target's disk.
    Ended(Result<(), PartialError>),
}

/// A thread that copies. Once this is closed or dropped, nothing more is written.
#[derive(Debug)]
pub(in crate::transfer) struct Copying {
    gate: Arc<Gate>,
}

/// Keeps what comes late from being written.
#[derive(Debug, Default)]
struct Gate {
    closed: AtomicBool,
    /// Whether others write what was to be copied.
    late: AtomicBool,
    /// Held while something is written.
    writing: Mutex<()>,
}

impl Gate {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// What is copied, and where to.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) file: Arc<Partial>,
    pub(super) hashes: Arc<Hashes>,
    pub(super) chunks: ChunkTable,
    pub(super) sources: Vec<LocalSource>,
    pub(super) copies: Vec<Copy>,
    pub(super) buffers: Buffers,
}

impl Copying {
    /// Begins on a thread for blocking work.
    pub(super) fn begin(work: Work) -> (Self, mpsc::Receiver<Copied>) {
        let (reports, receiver) = mpsc::channel(REPORTS);
        let gate = Arc::new(Gate::default());
        let copier = Copier { work, gate: gate.clone(), reports };
        drop(tokio::task::spawn_blocking(move || copier.run()));
        (Self { gate }, receiver)
    }

    /// What is not copied yet is fetched from now on. To be said before that begins.
    pub(in crate::transfer) fn set_late(&self) {
        self.gate.late.store(true, Ordering::Release);
    }

    /// Lets nothing more be written, and waits for what is being written now. A source that hangs is not waited for.
    pub(in crate::transfer) async fn close(&self) {
        self.gate.closed.store(true, Ordering::Release);
        let gate = self.gate.clone();
        let waiting = tokio::task::spawn_blocking(move || {
            drop(gate.writing.lock().unwrap_or_else(PoisonError::into_inner));
        });
        if waiting.await.is_err() {
            debug!("stopping while chunks are copied");
        }
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        self.gate.closed.store(true, Ordering::Release);
    }
}

struct Copier {
    work: Work,
    gate: Arc<Gate>,
    reports: mpsc::Sender<Copied>,
}

/// Why it does not go on.
enum Ended {
    Closed,
    Failed(PartialError),
}

impl Copier {
    fn run(self) {
        let result = match self.work.copies.iter().try_for_each(|copy| self.copy(copy)) {
            Err(Ended::Closed) => return,
            Err(Ended::Failed(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        let _ = self.reports.blocking_send(Copied::Ended(result));
    }

    fn copy(&self, copy: &Copy) -> Result<(), Ended> {
        let Some(source) = self.work.sources.get(copy.source) else { return Ok(()) };
        let start = self.work.chunks.bytes_of(copy.chunks.clone()).unwrap_or_default().start;
        let shared = self.share(source, copy)?;
        let (mut next, mut stretch) = (copy.chunks.start, Stretch::default());
        while let Some(batch) = first_batch(&self.work.chunks, next..copy.chunks.end, BATCH_BYTES) {
            next = batch.chunks.end;
            let from = copy.from + (batch.bytes.start - start);
            if shared.start <= batch.bytes.start && batch.bytes.end <= shared.end {
                self.read_back(&batch, &mut stretch)?;
                continue;
            }
            if self.batch(source, from, (&batch, &mut stretch))? || batch.chunks.len() == 1 {
                continue;
            }
            // In a folder others of its files may be as they were.
            for chunk in batch.chunks {
                if let Some(one) = first_batch(&self.work.chunks, chunk..chunk + 1, BATCH_BYTES) {
                    self.batch(source, copy.from + (one.bytes.start - start), (&one, &mut stretch))?;
                }
            }
        }
        Ok(())
    }

    /// Copies what of a batch is as it should be. Returns whether it could be read.
    fn batch(
        &self,
        source: &LocalSource,
        from: u64,
        (batch, stretch): (&Batch, &mut Stretch),
    ) -> Result<bool, Ended> {
        if self.gate.is_closed() {
            return Err(Ended::Closed);
        }
        let mut buffer = self.work.buffers.take_for(batch.length(), batch.bytes.start);
        if !source.read(from, buffer.as_mut()) {
            return Ok(false);
        }
        for run in self.verified(batch, buffer.as_ref()) {
            let (start, bytes) = self.bytes_of(&run, batch, buffer.as_ref());
            self.work.hashes.take(stretch, start, bytes);
            self.write(start, bytes)?;
            self.report(run)?;
        }
        Ok(true)
    }

    /// Where a run of a batch goes, and its bytes.
    fn bytes_of<'b>(&self, run: &Range<u32>, batch: &Batch, bytes: &'b [u8]) -> (u64, &'b [u8]) {
        let place = self.work.chunks.bytes_of(run.clone()).unwrap_or_default();
        let at = |offset: u64| usize::try_from(offset - batch.bytes.start).unwrap_or(usize::MAX);
        (place.start, bytes.get(at(place.start)..at(place.end)).unwrap_or_default())
    }

    /// Lets the target have blocks of the source; returns which bytes it has then, of which none is verified.
    fn share(&self, source: &LocalSource, copy: &Copy) -> Result<Range<u64>, Ended> {
        let (LocalSource::Held(source), Some(to)) = (source, self.work.chunks.bytes_of(copy.chunks.clone()))
        else {
            return Ok(0..0);
        };
        let _writing = self.gate.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.gate.is_closed() {
            return Err(Ended::Closed);
        }
        if self.gate.late.load(Ordering::Acquire) {
            return Ok(0..0);
        }
        let shared = self.work.file.share_blocks(source, copy.from, to).map_err(Ended::Failed)?;
        if self.gate.late.load(Ordering::Acquire) {
            // It may have replaced what was fetched meanwhile by what is no longer the same.
            self.work.hashes.doubt();
        }
        Ok(shared)
    }

    /// Hashes what is in the target already.
    fn read_back(&self, batch: &Batch, stretch: &mut Stretch) -> Result<(), Ended> {
        if self.gate.is_closed() {
            return Err(Ended::Closed);
        }
        let mut buffer = self.work.buffers.take(batch.length());
        self.work.file.read_at(batch.bytes.start, buffer.as_mut()).map_err(Ended::Failed)?;
        for run in self.verified(batch, buffer.as_ref()) {
            let (start, bytes) = self.bytes_of(&run, batch, buffer.as_ref());
            self.work.hashes.take(stretch, start, bytes);
            self.report(run)?;
        }
        Ok(())
    }

    fn report(&self, run: Range<u32>) -> Result<(), Ended> {
        self.reports.blocking_send(Copied::Written(run)).map_err(|_| Ended::Closed)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Ended> {
        let _writing = self.gate.writing.lock().unwrap_or_else(PoisonError::into_inner);
        match self.gate.is_closed() {
            true => Err(Ended::Closed),
            false => self.work.file.write_chunks(offset, bytes).map_err(Ended::Failed),
        }
    }

    /// The runs of chunks that are what their hashes say.
    fn verified(&self, batch: &Batch, bytes: &[u8]) -> Vec<Range<u32>> {
        let mut runs: Vec<Range<u32>> = Vec::new();
        for (index, _) in compared(&self.work.chunks, batch.chunks.clone(), bytes).filter(|(_, right)| *right)
        {
            match runs.last_mut() {
                Some(last) if last.end == index => last.end += 1,
                _ => runs.push(index..index + 1),
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests;
