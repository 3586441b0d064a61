//! The first chunks, asked for before it is known which they are.

use std::time::Duration;

use certs::NodeId;
use quinn::RecvStream;
use tokio::sync::OwnedSemaphorePermit;
use wire::manifest::{ChunkerParams, Root};
use wire::message::{DataFollows, Run};
use wire::{Kind, Record, RootHash};

use super::encoding;
use super::schedule::Request;
use super::source::{Source, SourceError};
use crate::net::Session;

/// About so much is asked for: a little less than the first request to a holder is, so that nothing of it comes in vain
/// where chunks are larger at the front than elsewhere.
const FRONT_BYTES: u64 = 15 << 18;
/// The same where only the file's size is known: how large its chunks are may be otherwise than by their average.
const GUESSED_BYTES: u64 = 3 << 20;
/// It is sent at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(1);

/// A G of the first chunks under way beside the pages of their manifest: the way to the holder is not idle for the round trips
/// that these take, nor does the congestion window wait to grow. Its answer is left in the stream, within the window of
/// that, until the pages are there to check it by. Dropped, it is stopped.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) node: NodeId,
    pub(super) root: RootHash,
    /// What was asked for: chunks from the first on.
    pub(super) run: Run,
    /// Whether it may come encoded.
    pub(super) zstd: bool,
    pub(super) stream: RecvStream,
    /// Among the streams of the connection.
    _place: OwnedSemaphorePermit,
}

impl Front {
    /// Asks for it, unless the connection has no place for another stream of data, or there are no chunks.
    pub(super) async fn ask(source: &Source, hash: RootHash, root: &Root) -> Option<Self> {
        let run = Run(0, chunks_at_front(root)?);
        let place = source.session.try_data_stream()?;
        let zstd = encoding::are_few(root.size);
        let sending = tokio::time::timeout(PATIENCE, source.send_runs(hash, (vec![run], zstd)));
        let stream = sending.await.ok()?.ok()?;
        Some(Self { node: source.node, root: hash, run, zstd, stream, _place: place })
    }

    /// One that was sent on a connection that may be too new for a session: what [`guess`] said.
    pub(super) fn sent(
        session: &Session,
        root: RootHash,
        (run, zstd): (Run, bool),
        stream: RecvStream,
    ) -> Option<Self> {
        Some(Self { node: session.node(), root, run, zstd, stream, _place: session.try_data_stream()? })
    }

    /// Whether it is the beginning of what this request asks for.
    pub(super) fn answers(&self, root: RootHash, request: &Request) -> bool {
        self.root == root && request.runs.first().is_some_and(|run| run.start == self.run.0)
    }

    /// The head of its answer.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub(super) async fn answer(&mut self) -> Result<DataFollows, SourceError> {
        Source::head(&mut self.stream).await
    }
}

/// The first chunks of a file of which only the size is known. Its manifest has so many where its chunks are as [the
/// parameters](ChunkerParams) for that size make them; a holder to whom there are not so many refuses, which costs
/// nothing. `None` where nothing can be said: an empty file, a folder.
pub(super) fn guess(record: &Record) -> Option<Run> {
    guessed(record.kind, record.size)
}

fn guessed(kind: Kind, size: u64) -> Option<Run> {
    let params = ChunkerParams::for_size(size);
    let least = size.div_ceil(u64::from(params.max()));
    let wanted = (GUESSED_BYTES / u64::from(params.average())).clamp(1, least.max(1));
    let known = kind == Kind::File && size > 0;
    u32::try_from(wanted).ok().filter(|_| known).map(|count| Run(0, count))
}

/// How many chunks [`FRONT_BYTES`] are, going by the average; `None` if there is none.
fn chunks_at_front(root: &Root) -> Option<u32> {
    let chunks = root.chunks();
    let average = root.size.checked_div(chunks)?.max(1);
    let wanted = (FRONT_BYTES / average).max(1).min(chunks);
    u32::try_from(wanted).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guess_is_never_more_than_there_is() {
        const MIB: u64 = 1 << 20;
        for size in
            [1, 16 << 10, (16 << 10) + 1, 100_000, MIB, 3 * MIB, 64 * MIB, 1 << 30, (1 << 30) + 1, 1 << 40]
        {
            let run = guessed(Kind::File, size).expect("there are chunks");
            let largest = u64::from(ChunkerParams::for_size(size).max());
            // All chunks before the last of so many are as large as can be, and there is one more.
            assert!(u64::from(run.1 - 1) * largest < size, "{size}: {run:?}");
            assert!(
                u64::from(run.1) * u64::from(ChunkerParams::for_size(size).average()) <= 4 * MIB,
                "{size}"
            );
        }
        assert_eq!(guessed(Kind::File, 0), None);
        assert_eq!(guessed(Kind::Folder, MIB), None);
    }
}
