//! Chunks that are verified and written together, wherever they come from.

use std::collections::VecDeque;
use std::ops::Range;

use wire::ChunkHash;
use wire::manifest::ChunkTable;

/// Chunks are verified and written together up to this size, so that a gibibyte costs about a thousand writes.
pub(super) const BATCH_BYTES: u64 = 1 << 20;

/// Chunks that lie next to one another, read into one buffer.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) chunks: Range<u32>,
    pub(super) bytes: Range<u64>,
}

impl Batch {
    /// How many bytes it has: of the buffer that it is read into.
    pub(super) fn length(&self) -> usize {
        usize::try_from(self.bytes.end - self.bytes.start).unwrap_or(usize::MAX)
    }
}

/// The first chunks of a run: as many as have `most` bytes, but at least one. `None` where there is none.
pub(super) fn first_batch(chunks: &ChunkTable, run: Range<u32>, most: u64) -> Option<Batch> {
    let (first, mut next) = (run.start, run.start);
    let mut bytes = chunks.bytes_of(first..first)?;
    while next < run.end {
        let longer = chunks.bytes_of(first..next + 1)?;
        if next > first && longer.end - longer.start > most {
            break;
        }
        (bytes, next) = (longer, next + 1);
    }
    (next > first).then_some(Batch { chunks: first..next, bytes })
}

/// Takes batches from the front of these runs that are read, verified and written at once, with `most` bytes together, but at
/// least one; `None` after the last. Where chunks that are here already lie between those that are fetched, as in a folder of
/// which many files are equal, each batch is short.
pub(super) fn next_group(
    chunks: &ChunkTable,
    rest: &mut VecDeque<Range<u32>>,
    most: u64,
) -> Option<Vec<Batch>> {
    let (mut group, mut left) = (Vec::new(), most);
    while let Some(run) = rest.front_mut() {
        let Some(batch) = first_batch(chunks, run.clone(), most) else {
            rest.pop_front();
            continue;
        };
        if !group.is_empty() && batch.length() as u64 > left {
            break;
        }
        left = left.saturating_sub(batch.length() as u64);
        run.start = batch.chunks.end;
        group.push(batch);
    }
    Some(group).filter(|group| !group.is_empty())
}

/// These chunks one by one, whose bytes follow on one another, each with whether its bytes are what its hash says. Of a chunk
/// that there is not, or that has too few bytes, and of all after it they are not.
pub(super) fn compared(
    table: &ChunkTable,
    chunks: impl IntoIterator<Item = u32>,
    bytes: &[u8],
) -> impl Iterator<Item = (u32, bool)> {
    let mut rest = Some(bytes);
    chunks.into_iter().map(move |index| {
        let chunk = table.chunk(index);
        let split =
            chunk.as_ref().zip(rest).and_then(|(chunk, rest)| rest.split_at_checked(chunk.length as usize));
        rest = split.map(|(_, after)| after);
        let right = chunk.zip(split).is_some_and(|(chunk, (bytes, _))| ChunkHash::of(bytes) == chunk.hash);
        (index, right)
    })
}

#[cfg(test)]
mod tests {
    use wire::manifest::Chunk;

    use super::*;

    #[test]
    fn short_batches_go_together() {
        let chunk = |&length: &u32| Chunk { length, hash: ChunkHash::of(b"x") };
        let table = ChunkTable::new([3, 1, 2, 7, 1, 1].iter().map(chunk));
        let mut rest = VecDeque::from([0..1, 1..1, 2..4, 5..6]);
        let groups = std::iter::from_fn(|| next_group(&table, &mut rest, 5));
        let taken: Vec<Vec<_>> =
            groups.map(|group| group.into_iter().flat_map(|batch| batch.chunks).collect()).collect();
        assert_eq!(taken, [&[0, 2][..], &[3], &[5]]);
    }

    #[test]
    fn each_chunk_is_compared_by_itself() {
        let chunk = |bytes: &&[u8]| Chunk { length: bytes.len() as u32, hash: ChunkHash::of(bytes) };
        let table = ChunkTable::new([&b"one"[..], b"two", b"three"].iter().map(chunk));
        let all = |chunks, bytes| compared(&table, chunks, bytes).collect::<Vec<_>>();
        assert_eq!(all(vec![0, 1, 2], b"oneTWOthree"), [(0, true), (1, false), (2, true)]);
        assert_eq!(all(vec![0, 2], b"onethree"), [(0, true), (2, true)]);
        assert_eq!(all(vec![0, 1, 2], b"onetw"), [(0, true), (1, false), (2, false)], "too few bytes");
        assert_eq!(all(vec![3, 0], b"one"), [(3, false), (0, false)], "there is none");
    }
}
