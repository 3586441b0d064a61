//! Chunks that are verified and written together, wherever they come from.

use std::collections::VecDeque;
use std::ops::Range;

use wire::ChunkHash;
use wire::manifest::{BLOCK_BYTES, ChunkTable};

/// Chunks are verified and written together up to this size: five of a file's blocks, so that those which end behind a border
/// still have about 1 MiB. Past the cache each costs up to three writes.
pub(super) const BATCH_BYTES: u64 = 5 * BLOCK_BYTES;

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

/// How much of some chunks is verified and written together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// At most so many bytes, but at least one chunk.
    pub(super) most: u64,
    /// How far the borders are apart behind which it ends if it can.
    pub(super) borders: Option<u64>,
}

impl Cut {
    /// Of which the last chunk has one of the borders in it or at its end: as many of these chunks as are more than half of
    /// what it could be, else all of them.
    fn behind_a_border(self, chunks: &ChunkTable, batch: Range<u32>) -> Range<u32> {
        let Some(borders) = self.borders else { return batch };
        let crosses = |chunk: u32| {
            let bytes = chunks.bytes_of(chunk..chunk + 1)?;
            Some(bytes.start / borders < bytes.end / borders)
        };
        let length = |end: u32| chunks.bytes_of(batch.start..end).map_or(0, |bytes| bytes.end - bytes.start);
        let large = |end: &u32| 2 * length(*end) > self.most;
        let mut ends = (batch.start + 1..=batch.end).rev().take_while(large);
        let end = ends.find(|end| crosses(end - 1) == Some(true));
        batch.start..end.unwrap_or(batch.end)
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

/// Takes batches from the front of these runs that are read, verified and written at once; `None` after the last. Where chunks
/// that are here already lie between those that are fetched, as in a folder of which many files are equal, each batch is
/// short.
pub(super) fn next_group(
    chunks: &ChunkTable,
    rest: &mut VecDeque<Range<u32>>,
    cut: Cut,
) -> Option<Vec<Batch>> {
    let (mut group, mut left) = (Vec::new(), cut.most);
    while let Some(run) = rest.front_mut() {
        let Some(mut batch) = first_batch(chunks, run.clone(), cut.most) else {
            rest.pop_front();
            continue;
        };
        if batch.chunks.end < run.end {
            let chosen = cut.behind_a_border(chunks, batch.chunks.clone());
            batch = Batch { bytes: chunks.bytes_of(chosen.clone())?, chunks: chosen };
        }
        if !group.is_empty() && batch.length() as u64 > left {
            break;
        }
        left = left.saturating_sub(batch.length() as u64);
        run.start = batch.chunks.end;
        group.push(batch);
    }
    Some(group).filter(|group| !group.is_empty())
}

/// The first of these chunks, whose bytes follow on one another, that is not what its hash says; those that are shown to be
/// right otherwise are not looked at.
pub(super) fn first_wrong(
    table: &ChunkTable,
    chunks: Range<u32>,
    bytes: &[u8],
    shown: impl Fn(&Range<u64>) -> bool,
) -> Option<u32> {
    let Some(Range { start, .. }) = table.bytes_of(chunks.clone()) else { return Some(chunks.start) };
    chunks.into_iter().find(|chunk| {
        let Some(range) = table.bytes_of(*chunk..*chunk + 1) else { return true };
        let at = |position: u64| usize::try_from(position - start).unwrap_or(usize::MAX);
        let Some(part) = bytes.get(at(range.start)..at(range.end)) else { return true };
        !shown(&range) && compared(table, [*chunk], part).any(|(_, right)| !right)
    })
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
        let groups = std::iter::from_fn(|| next_group(&table, &mut rest, Cut { most: 5, borders: None }));
        let taken: Vec<Vec<_>> =
            groups.map(|group| group.into_iter().flat_map(|batch| batch.chunks).collect()).collect();
        assert_eq!(taken, [&[0, 2][..], &[3], &[5]]);
    }

    #[test]
    fn a_batch_ends_behind_a_border_where_it_stays_large() {
        let chunk = |&length: &u32| Chunk { length, hash: ChunkHash::of(b"x") };
        let taken = |lengths: &[u32], most, borders| {
            let table = ChunkTable::new(lengths.iter().map(chunk));
            let mut rest: VecDeque<_> = std::iter::once(0..table.len()).collect();
            let cut = Cut { most, borders };
            let groups = std::iter::from_fn(|| next_group(&table, &mut rest, cut));
            groups.flatten().map(|batch| (batch.chunks, batch.bytes)).collect::<Vec<_>>()
        };
        let borders = |lengths: &[u32]| taken(lengths, 10, Some(4));
        // Without borders 3, 3, 3.
        assert_eq!(
            borders(&[3; 6]),
            [(0..3, 0..9), (3..6, 9..18)],
            "8 lies in the third, and the last is what is left"
        );
        assert_eq!(
            borders(&[4, 4, 1, 1, 4]),
            [(0..2, 0..8), (2..5, 8..14)],
            "a border at the end of a chunk"
        );
        assert_eq!(borders(&[5, 1, 1, 1, 1, 9]), [(0..4, 0..8), (4..6, 8..18)]);
        // The only border lies in the first half.
        assert_eq!(borders(&[4, 1, 1, 1, 9]), [(0..4, 0..7), (4..5, 7..16)]);
        assert_eq!(borders(&[30, 1]), [(0..1, 0..30), (1..2, 30..31)], "one that is larger than all");
        assert_eq!(taken(&[4, 4, 1, 1, 4], 10, None), [(0..4, 0..10), (4..5, 10..14)]);
    }

    #[test]
    fn what_is_shown_otherwise_is_not_hashed_again() {
        let chunk = |bytes: &&[u8]| Chunk { length: bytes.len() as u32, hash: ChunkHash::of(bytes) };
        let table = ChunkTable::new([&b"before"[..], b"one", b"two", b"three"].iter().map(chunk));
        let wrong = |bytes: &[u8], shown: Range<u64>| {
            first_wrong(&table, 1..4, bytes, |chunk| shown.start <= chunk.start && chunk.end <= shown.end)
        };
        assert_eq!(wrong(b"onetwothree", 0..0), None);
        assert_eq!(wrong(b"oneTWOthree", 0..0), Some(2));
        assert_eq!(wrong(b"oneTWOthree", 9..12), None, "the second is shown");
        assert_eq!(wrong(b"oneTWOthree", 9..11), Some(2), "not all of it");
        assert_eq!(wrong(b"oneTWOTHREE", 9..12), Some(3));
        assert_eq!(wrong(b"onetwothre", 0..99), Some(3), "too few bytes show nothing");
        assert_eq!(first_wrong(&table, 3..5, b"threex", |_| true), Some(3), "there is none");
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
