//! One request on one stream: read, verify each chunk, write, report.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use quinn::RecvStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::manifest::ChunkTable;
use wire::message::{DataFollows, Run};
use wire::{ErrorBody, ErrorCode, RootHash};

use super::batch::{BATCH_BYTES, Batch, Cut, first_wrong, next_group};
use super::coming::{Coming, ended_early};
use super::front::Front;
use super::limits::Gate;
use super::schedule::{Availability, Failure, HolderId, Request, RequestId};
use super::source::{Source, SourceError};
use super::whole::{Hashes, Stretch};
use crate::buffers::{Buffer, Buffers};
use crate::net::{DATA_STREAMS_PER_CONNECTION, quic_code};
use crate::store::{Partial, PartialError};

/// Batches of one request that are written at once: while the disk has one the next is verified, and given to it as well.
const WRITTEN_AT_ONCE: usize = 2;
/// Batches that are kept to be used again while downloads run: for each stream of one holder those that are written and one that
/// is read, and two more.
const BATCHES_KEPT: usize = (WRITTEN_AT_ONCE + 1) * DATA_STREAMS_PER_CONNECTION + 2;

/// The stock of batches of all downloads.
pub(crate) fn batches_stock() -> Buffers {
    Buffers::new(BATCH_BYTES as usize, BATCHES_KEPT)
}

/// What a fetch reports, or who asks a partial holder what it has.
#[derive(Debug)]
pub(super) enum FetchEvent {
    /// This holder has these now.
    Holds(HolderId, Availability),
    /// These chunks are verified and written.
    Written(RequestId, Vec<Range<u32>>),
    /// The request is over.
    Ended(RequestId, Result<(), FetchError>),
}

/// Why a request ended early.
#[derive(Debug)]
pub(super) enum FetchError {
    /// The holder's doing, or the network's.
    Holder(Failure, String),
    /// This machine's disk.
    Disk(PartialError),
    /// Nobody wants it any more.
    Stopped,
}

/// What one request needs.
pub(super) struct Fetch {
    pub(super) request: Request,
    /// The beginning of what is asked for, where it is on its way. The rest is not asked for then.
    pub(super) front: Option<Front>,
    pub(super) source: Source,
    pub(super) root: RootHash,
    /// Whether it is asked for encoded.
    pub(super) zstd: bool,
    pub(super) chunks: Arc<ChunkTable>,
    pub(super) file: Arc<Partial>,
    /// What is written is hashed for its whole file, too.
    pub(super) hashes: Arc<Hashes>,
    pub(super) flow: Arc<Flow>,
    pub(super) buffers: Buffers,
    /// Our own limits.
    pub(super) gate: Gate,
    pub(super) events: mpsc::Sender<FetchEvent>,
    pub(super) stop: CancellationToken,
}

/// How far a fetch is, read while it runs.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Whether it has a place among the streams of its connection, so that its holder is asked.
    pub(super) asked: AtomicBool,
    /// Bytes that came, counted as they come.
    pub(super) received: AtomicU64,
    /// Whether our own limits are why no more is taken now.
    pub(super) held: AtomicBool,
}

/// Batches that are being verified and written.
type Writing = JoinHandle<Result<Vec<Range<u32>>, FetchError>>;

impl Fetch {
    /// Runs it to its end, which is reported last.
    pub(super) async fn run(mut self) {
        let result = match self.front.take() {
            Some(front) => self.rest_of(front).await,
            None => self.all().await,
        };
        let _ = self.events.send(FetchEvent::Ended(self.request.id, result)).await;
    }

    async fn all(&self) -> Result<(), FetchError> {
        // Held to the end, so that what we do not read cannot fill the window of the connection.
        let placing = self.source.session.data_stream();
        let _place = self.stop.run_until_cancelled(placing).await.ok_or(FetchError::Stopped)?;
        self.flow.asked.store(true, Ordering::Relaxed);
        let runs: Vec<Run> = self.request.runs.iter().cloned().map(Run::from).collect();
        let asking = self.source.runs(self.root, (runs.clone(), self.zstd));
        let (head, mut stream) = match self.stop.run_until_cancelled(asking).await {
            Some(answer) => {
                answer.map_err(|error| FetchError::Holder(failure_of(&error), self.told(&error)))?
            }
            None => return Err(FetchError::Stopped),
        };
        let ranges = self.check_head(&head, (&runs, self.zstd))?;
        let result = self.receive(&mut stream, &head, ranges).await;
        if result.is_err() {
            let _ = stream.stop(quic_code(ErrorCode::Cancelled));
        }
        result
    }

    /// What comes on a stream that was opened before, as far as it is wanted.
    async fn rest_of(&self, mut front: Front) -> Result<(), FetchError> {
        self.flow.asked.store(true, Ordering::Relaxed);
        let answer = self.stop.run_until_cancelled(front.answer()).await.ok_or(FetchError::Stopped)?;
        let Ok(head) = answer else {
            // It may have been a wrong guess: what the holder says to the right request counts.
            drop(front);
            return self.all().await;
        };
        let mut ranges = self.check_head(&head, (&[front.run], front.zstd))?;
        let wanted = self.request.runs.first().map_or(0, |run| run.end);
        for range in &mut ranges {
            range.end = range.end.min(wanted);
        }
        let result = self.receive(&mut front.stream, &head, ranges).await;
        let cut = front.run.1 > wanted;
        if result.is_err() || cut {
            let _ = front.stream.stop(quic_code(ErrorCode::Cancelled));
        }
        result
    }

    /// Why the holder does not answer, for the user.
    fn told(&self, error: &SourceError) -> String {
        match error {
            SourceError::Refused(ErrorBody { code: ErrorCode::Busy, queue_place: Some(place), .. }) => {
                format!("waits for a place: {} in the queue of {}", ordinal(*place), self.source.user)
            }
            other => other.to_string(),
        }
    }

    /// What follows must be what was asked, or a part of it from the front.
    fn check_head(
        &self,
        head: &DataFollows,
        (asked, zstd): (&[Run], bool),
    ) -> Result<Vec<Range<u32>>, FetchError> {
        let lied =
            || FetchError::Holder(Failure::WrongChunk, "it answers other chunks than were asked".to_owned());
        let runs = head.runs.as_deref().ok_or_else(lied)?;
        let whole = runs.len().saturating_sub(1);
        let partial =
            runs.last().zip(asked.get(whole)).is_some_and(|(got, want)| got.0 == want.0 && got.1 <= want.1);
        if !partial || runs[..whole] != asked[..whole] || head.zstd && !zstd {
            return Err(lied());
        }
        let ranges: Vec<_> = runs.iter().filter_map(|run| run.range()).collect();
        let length: u64 = ranges
            .iter()
            .filter_map(|range| self.chunks.bytes_of(range.clone()))
            .map(|bytes| bytes.end - bytes.start)
            .sum();
        if head.length == length { Ok(ranges) } else { Err(lied()) }
    }

    /// While some batches are verified and written the next one is read. They are hashed one at a time, in their order. At its end,
    /// whatever that is, none is being written any more, and all that are right are reported.
    async fn receive(
        &self,
        stream: &mut RecvStream,
        head: &DataFollows,
        ranges: Vec<Range<u32>>,
    ) -> Result<(), FetchError> {
        let bytes = ranges.iter().filter_map(|range| self.chunks.bytes_of(range.clone()));
        let wanted = bytes.map(|bytes| bytes.end - bytes.start).sum();
        let mut coming = Coming::new(stream, (head, wanted), (&self.gate, &self.flow))?;
        let mut writing = VecDeque::with_capacity(WRITTEN_AT_ONCE);
        let mut result = self.read_all(&mut coming, ranges, &mut writing).await;
        for left in writing {
            // What is wrong with one that came says more than that no more came.
            result = self.report(left.await).await.and(result);
        }
        result
    }

    async fn read_all(
        &self,
        coming: &mut Coming<'_>,
        ranges: Vec<Range<u32>>,
        writing: &mut VecDeque<Writing>,
    ) -> Result<(), FetchError> {
        let mut rest = VecDeque::from(ranges);
        let mut before: Option<oneshot::Receiver<Stretch>> = None;
        while let Some(group) = next_group(&self.chunks, &mut rest, self.cut()) {
            let buffer = self.read_beside(coming, &group, writing).await?;
            if writing.len() >= WRITTEN_AT_ONCE
                && let Some(oldest) = writing.pop_front()
            {
                self.report(oldest.await).await?;
            }
            let stretch = match before.take() {
                None => Stretch::default(),
                Some(before) => match before.await {
                    Ok(stretch) => stretch,
                    // Whoever waits for it hears what is wrong.
                    Err(_) => return Ok(()),
                },
            };
            let (hashed_with, next) = oneshot::channel();
            before = Some(next);
            writing.push_back(self.write(group, buffer, (stretch, hashed_with)));
        }
        Ok(())
    }

    /// Reads a batch, and reports what is written meanwhile.
    async fn read_beside(
        &self,
        coming: &mut Coming<'_>,
        group: &[Batch],
        writing: &mut VecDeque<Writing>,
    ) -> Result<Buffer, FetchError> {
        let mut reading = pin!(self.stop.run_until_cancelled(self.read(coming, group)));
        loop {
            let Some(oldest) = writing.front_mut() else {
                return reading.await.ok_or(FetchError::Stopped)?;
            };
            tokio::select! {
                read = &mut reading => return read.ok_or(FetchError::Stopped)?,
                written = oldest => {
                    writing.pop_front();
                    self.report(written).await?;
                }
            }
        }
    }

    /// Less where a limit of ours makes it last: what is read and not verified yet is lost when the request is stopped,
    /// and unknown to the scheduler.
    fn cut(&self) -> Cut {
        let most = if self.gate.is_open() { BATCH_BYTES } else { self.gate.slice() };
        Cut { most, borders: self.hashes.borders() }
    }

    async fn read(&self, coming: &mut Coming<'_>, group: &[Batch]) -> Result<Buffer, FetchError> {
        let length = group.iter().map(Batch::length).sum();
        let mut buffer = self.buffers.take_for(length, group.first().map_or(0, |batch| batch.bytes.start));
        coming.fill(buffer.as_mut()).await?;
        Ok(buffer)
    }

    /// Hashes the group with the stretch, which is given on for the next as soon as this one is verified.
    fn write(
        &self,
        group: Vec<Batch>,
        buffer: Buffer,
        (mut stretch, hashed_with): (Stretch, oneshot::Sender<Stretch>),
    ) -> Writing {
        let (table, file, hashes) = (self.chunks.clone(), self.file.clone(), self.hashes.clone());
        tokio::task::spawn_blocking(move || {
            let (mut rest, mut verified) = (buffer.as_ref(), Vec::with_capacity(group.len()));
            for batch in &group {
                let (bytes, after) =
                    rest.split_at_checked(batch.length()).ok_or_else(|| ended_early("too few bytes"))?;
                let hashed = hashes.hash(&mut stretch, batch.bytes.start, bytes);
                let shown = |bytes: &Range<u64>| hashed.shows(bytes);
                if let Some(wrong) = first_wrong(&table, batch.chunks.clone(), bytes, shown) {
                    let text = format!("chunk {wrong} is not what its hash says");
                    return Err(FetchError::Holder(Failure::WrongChunk, text));
                }
                verified.push((batch.bytes.start, bytes, hashed));
                rest = after;
            }
            let _ = hashed_with.send(stretch);
            for (start, bytes, hashed) in verified {
                hashes.enter(hashed);
                file.write_chunks(start, bytes).map_err(FetchError::Disk)?;
            }
            Ok(group.into_iter().map(|batch| batch.chunks).collect())
        })
    }

    /// Says what came of a batch that is not being written any more.
    async fn report(&self, written: <Writing as Future>::Output) -> Result<(), FetchError> {
        let chunks = written.map_err(|_| FetchError::Stopped)??;
        let event = FetchEvent::Written(self.request.id, chunks);
        self.events.send(event).await.map_err(|_| FetchError::Stopped)
    }
}

/// As in `1st`.
fn ordinal(number: u64) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

fn failure_of(error: &SourceError) -> Failure {
    let SourceError::Refused(body) = error else {
        return match error {
            SourceError::Timeout => Failure::Timeout,
            _ => Failure::Reset,
        };
    };
    match body.code {
        ErrorCode::Busy => Failure::Busy {
            retry_after: std::time::Duration::from_millis(body.retry_after_ms.unwrap_or(1000)),
        },
        ErrorCode::Changed => Failure::Changed,
        ErrorCode::NotFound | ErrorCode::OutOfRange => Failure::NotFound,
        _ => Failure::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_ordinals() {
        let expected = [
            (1, "1st"),
            (2, "2nd"),
            (3, "3rd"),
            (4, "4th"),
            (11, "11th"),
            (12, "12th"),
            (13, "13th"),
            (21, "21st"),
            (112, "112th"),
            (1003, "1003rd"),
        ];
        for (number, text) in expected {
            assert_eq!(ordinal(number), text);
        }
    }
}
