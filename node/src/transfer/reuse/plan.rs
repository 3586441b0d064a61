//! What is copied from where. Pure: it compares chunks by their hashes and touches no file.

use std::cmp::Ordering;
use std::ops::Range;

use wire::manifest::{Chunk, ChunkTable};

use crate::ranges::RangeSet;

/// In [`Planner::source_of`]: not looked for.
const UNWANTED: u8 = u8::MAX;
/// The same: no source has it yet.
const NOWHERE: u8 = u8::MAX - 1;

/// Chunks that lie next to one another both in a source and in the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copy {
    /// The number of the source, in the order in which they were added.
    pub(super) source: usize,
    /// Where they begin among the bytes of the source.
    pub(super) from: u64,
    /// Which chunks of the target they are; not empty.
    pub(super) chunks: Range<u32>,
}

/// Finds chunks of a content in other contents. Memory: 13 bytes for each chunk of the target.
#[derive(Debug)]
pub(super) struct Planner {
    target: ChunkTable,
    /// The chunks that are looked for, by hash and length; of equal ones the first.
    wanted: Vec<u32>,
    /// For each chunk of the target the source that has it.
    source_of: Vec<u8>,
    /// For each chunk of the target where it begins there.
    from: Vec<u64>,
    sources: u8,
    left: usize,
}

impl Planner {
    /// Looks for these chunks of a content. Of chunks that are equal only the first is looked for. O(n log n).
    pub(super) fn new(target: ChunkTable, wanted: impl Iterator<Item = u32>) -> Self {
        let mut sorted = Vec::with_capacity(target.len() as usize);
        sorted.extend(wanted.filter(|chunk| *chunk < target.len()));
        sorted.sort_unstable_by(|one, other| compare(&target, *one, *other).then(one.cmp(other)));
        sorted.dedup_by(|one, before| compare(&target, *one, *before).is_eq());
        let count = target.len() as usize;
        let (mut source_of, from) = (vec![UNWANTED; count], vec![0; count]);
        for &chunk in &sorted {
            if let Some(source) = source_of.get_mut(chunk as usize) {
                *source = NOWHERE;
            }
        }
        let left = sorted.len();
        Self { target, wanted: sorted, source_of, from, sources: 0, left }
    }

    /// Whether there is nothing that a further source could have.
    pub(super) fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// Looks into one more source, of which these chunks are there; `None` means all. What an earlier source has is taken
    /// from that. Returns whether anything is taken from this one; its number is only given then.
    ///
    /// O(n) where it is much like the target, at most O(n log n).
    ///
    /// # Panics
    /// With more than 254 sources.
    pub(super) fn add(&mut self, source: &ChunkTable, there: Option<&RangeSet>) -> bool {
        let number = self.sources;
        assert!(number < NOWHERE, "a download looks into a few sources only");
        let before = self.left;
        // Where the next chunk belongs if it follows the one before here, too.
        let mut next: Option<u32> = None;
        for at in 0..source.len() {
            let chunk = source.chunk(at).filter(|_| there.is_none_or(|there| there.contains(at)));
            let (Some(chunk), Some(bytes)) = (chunk, source.bytes_of(at..at + 1)) else {
                next = None;
                continue;
            };
            let follows =
                next.filter(|next| self.is_wanted(*next) && self.target.chunk(*next) == Some(chunk));
            let place = follows.or_else(|| self.find(&chunk));
            if let Some(place) = place {
                self.take(place, number, bytes.start, follows.is_some());
            }
            next = place.map(|place| place + 1);
        }
        let found = self.left < before;
        self.sources += u8::from(found);
        found
    }

    /// The copies, in the order of the target: no two have a chunk in common.
    pub(super) fn finish(self) -> Vec<Copy> {
        let mut copies: Vec<Copy> = Vec::new();
        // Where the last copy ends in its source.
        let mut end = 0;
        for (chunk, (&source, &from)) in (0_u32..).zip(self.source_of.iter().zip(&self.from)) {
            if source >= NOWHERE {
                continue;
            }
            let source = usize::from(source);
            match copies.last_mut() {
                Some(last) if last.chunks.end == chunk && last.source == source && end == from => {
                    last.chunks.end += 1;
                }
                _ => copies.push(Copy { source, from, chunks: chunk..chunk + 1 }),
            }
            end = from + self.target.chunk(chunk).map_or(0, |chunk| u64::from(chunk.length));
        }
        copies
    }

    fn is_wanted(&self, chunk: u32) -> bool {
        self.source_of.get(chunk as usize).is_some_and(|source| *source != UNWANTED)
    }

    fn find(&self, chunk: &Chunk) -> Option<u32> {
        let order = |index: &u32| order_of(self.target.chunk(*index).as_ref(), Some(chunk));
        let at = self.wanted.binary_search_by(order).ok()?;
        self.wanted.get(at).copied()
    }

    /// A source has a chunk. Where it has it several times, the place counts that follows the chunk before: so runs are
    /// long.
    fn take(&mut self, chunk: u32, number: u8, from: u64, follows: bool) {
        let places = (self.source_of.get_mut(chunk as usize), self.from.get_mut(chunk as usize));
        let (Some(source), Some(place)) = places else { return };
        if *source == NOWHERE {
            self.left -= 1;
        } else if *source != number || !follows {
            return;
        }
        (*source, *place) = (number, from);
    }
}

fn compare(table: &ChunkTable, one: u32, other: u32) -> Ordering {
    order_of(table.chunk(one).as_ref(), table.chunk(other).as_ref())
}

fn order_of(one: Option<&Chunk>, other: Option<&Chunk>) -> Ordering {
    let key = |chunk: Option<&Chunk>| chunk.map(|chunk| (chunk.hash, chunk.length));
    key(one).cmp(&key(other))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::ChunkHash;

    use super::*;

    /// The bytes of a chunk of this kind: 1 to 5 of them.
    fn bytes_of(kind: u8) -> Vec<u8> {
        vec![kind; usize::from(kind % 5) + 1]
    }

    fn content(kinds: &[u8]) -> (ChunkTable, Vec<u8>) {
        let chunk = |kind: &u8| {
            let bytes = bytes_of(*kind);
            Chunk { length: u32::try_from(bytes.len()).expect("few"), hash: ChunkHash::of(&bytes) }
        };
        (ChunkTable::new(kinds.iter().map(chunk)), kinds.iter().flat_map(|kind| bytes_of(*kind)).collect())
    }

    fn plan(target: &[u8], sources: &[&[u8]]) -> Vec<Copy> {
        let (table, _) = content(target);
        let count = table.len();
        let mut planner = Planner::new(table, 0..count);
        for source in sources {
            planner.add(&content(source).0, None);
        }
        planner.finish()
    }

    fn copy(source: usize, from: u64, chunks: Range<u32>) -> Copy {
        Copy { source, from, chunks }
    }

    #[test]
    fn what_is_the_same_is_one_run() {
        assert_eq!(plan(&[1, 2, 3, 4], &[&[1, 2, 3, 4]]), [copy(0, 0, 0..4)]);
        assert_eq!(plan(&[1, 2, 9, 4], &[&[1, 2, 3, 4]]), [copy(0, 0, 0..2), copy(0, 9, 3..4)]);
        assert_eq!(plan(&[9, 1, 2, 3], &[&[1, 2, 3]]), [copy(0, 0, 1..4)], "put before it");
        assert_eq!(plan(&[1, 3], &[&[1, 2, 3]]), [copy(0, 0, 0..1), copy(0, 5, 1..2)], "something taken out");
        assert_eq!(plan(&[], &[&[1]]), []);
        assert_eq!(plan(&[1], &[]), []);
    }

    #[test]
    fn an_earlier_source_comes_before_a_later_one_and_one_without_use_has_no_number() {
        assert_eq!(
            plan(&[1, 2, 3], &[&[2], &[7], &[1, 2, 3]]),
            [copy(1, 0, 0..1), copy(0, 0, 1..2), copy(1, 5, 2..3)]
        );
    }

    #[test]
    fn of_several_places_in_a_source_the_one_counts_that_goes_on() {
        assert_eq!(plan(&[1, 2, 3], &[&[2, 9, 1, 2, 3]]), [copy(0, 8, 0..3)]);
    }

    #[test]
    fn only_what_is_wanted_and_there() {
        let (table, _) = content(&[1, 2, 3, 4]);
        let mut planner = Planner::new(table, 1..9);
        let (source, _) = content(&[1, 2, 3, 4]);
        assert!(planner.add(&source, Some(&RangeSet::from_iter([0..2, 3..4]))));
        assert!(!planner.is_complete());
        assert_eq!(planner.finish(), [copy(0, 2, 1..2), copy(0, 9, 3..4)]);
    }

    proptest! {
        #[test]
        fn copies_give_the_right_bytes_and_all_that_is_there(
            target in prop::collection::vec(0_u8..20, 0..40),
            sources in prop::collection::vec(prop::collection::vec(0_u8..25, 0..40), 0..4),
            left_out: Vec<u8>,
        ) {
            let (table, bytes) = content(&target);
            let left_out: Vec<u32> = left_out.into_iter().map(u32::from).collect();
            let wanted = |chunk: &u32| !left_out.contains(chunk);
            let mut planner = Planner::new(table.clone(), (0..table.len()).filter(wanted));
            let used: Vec<_> = sources.iter().filter(|one| planner.add(&content(one).0, None)).collect();
            let complete = planner.is_complete();
            let copies = planner.finish();
            let mut copied = RangeSet::new();
            for Copy { source, from, chunks } in copies {
                prop_assert!(chunks.clone().all(|chunk| !copied.contains(chunk) && wanted(&chunk)));
                copied.insert(chunks.clone());
                let to = table.bytes_of(chunks).expect("chunks of the target");
                let length = to.end - to.start;
                let there = content(used[source]).1;
                prop_assert_eq!(
                    &there[from as usize..(from + length) as usize],
                    &bytes[to.start as usize..to.end as usize]
                );
            }
            let first = |chunk: u32| {
                let earlier = (0..chunk).filter(wanted);
                earlier.into_iter().all(|other| target[other as usize] != target[chunk as usize])
            };
            let mut missing = 0;
            for chunk in (0..table.len()).filter(wanted) {
                let held = sources.iter().any(|source| source.contains(&target[chunk as usize]));
                prop_assert_eq!(copied.contains(chunk), held && first(chunk), "chunk {}", chunk);
                missing += usize::from(!held);
            }
            prop_assert_eq!(complete, missing == 0);
        }
    }
}
