//! The chunks of a content in order, and where they lie.

use std::ops::Range;
use std::sync::Arc;

use super::page::Chunk;
use crate::hash::ChunkHash;

/// The chunks of a content and where they lie. 40 bytes a chunk; clones share them.
#[derive(Debug, Clone, Default)]
pub struct ChunkTable(Arc<Table>);

#[derive(Debug, Clone)]
struct Table {
    /// Where each chunk begins, and at the end where the last one ends.
    offsets: Vec<u64>,
    hashes: Vec<ChunkHash>,
}

impl Default for Table {
    fn default() -> Self {
        Self { offsets: vec![0], hashes: Vec::new() }
    }
}

impl ChunkTable {
    /// From the chunks in order.
    pub fn new(chunks: impl IntoIterator<Item = Chunk>) -> Self {
        let mut table = Self::default();
        chunks.into_iter().for_each(|chunk| table.push(chunk));
        table
    }

    /// Takes the next one. Costs a copy of all where a clone has them, too.
    pub(super) fn push(&mut self, chunk: Chunk) {
        let end = self.size().saturating_add(u64::from(chunk.length));
        let table = Arc::make_mut(&mut self.0);
        table.offsets.push(end);
        table.hashes.push(chunk.hash);
    }

    /// Makes room for so many more.
    pub(super) fn reserve(&mut self, chunks: usize) {
        let table = Arc::make_mut(&mut self.0);
        table.offsets.reserve_exact(chunks);
        table.hashes.reserve_exact(chunks);
    }

    /// Gives back what was reserved for more.
    pub(super) fn shrink(&mut self) {
        if let Some(table) = Arc::get_mut(&mut self.0) {
            table.offsets.shrink_to_fit();
            table.hashes.shrink_to_fit();
        }
    }

    /// How many chunks there are.
    pub fn len(&self) -> u32 {
        u32::try_from(self.0.hashes.len()).expect("a root allows at most 2^32 - 1 chunks")
    }

    /// Whether there is none: nothing but empty files.
    pub fn is_empty(&self) -> bool {
        self.0.hashes.is_empty()
    }

    /// One chunk, or `None` beyond the last.
    pub fn chunk(&self, index: u32) -> Option<Chunk> {
        let hash = *self.0.hashes.get(index as usize)?;
        let bytes = self.bytes_of(index..index.checked_add(1)?)?;
        let length = u32::try_from(bytes.end - bytes.start).expect("the length that it came with");
        Some(Chunk { length, hash })
    }

    /// Where the chunks of a range lie, or `None` if not all of them exist.
    pub fn bytes_of(&self, chunks: Range<u32>) -> Option<Range<u64>> {
        let start = *self.0.offsets.get(chunks.start as usize)?;
        let end = *self.0.offsets.get(chunks.end as usize)?;
        (start <= end).then_some(start..end)
    }

    /// The chunks that have a byte in this range.
    pub fn chunks_of(&self, bytes: Range<u64>) -> Range<u32> {
        let before = self.0.offsets.partition_point(|&offset| offset <= bytes.start);
        let end = self.0.offsets.partition_point(|&offset| offset < bytes.end);
        let index = |at: usize| u32::try_from(at.min(self.0.hashes.len())).unwrap_or(u32::MAX);
        let start = index(before.saturating_sub(1));
        if bytes.is_empty() { start..start } else { start..index(end).max(start) }
    }

    /// Of the chunks that are `wanted` those that are equal to an earlier one of these, in order, each with the first one
    /// of its kind. Memory: 4 bytes for each chunk while it looks, 8 for each one found.
    pub fn repeats(&self, wanted: impl Fn(u32) -> bool) -> Vec<(u32, u32)> {
        let mut sorted = Vec::with_capacity(self.0.hashes.len());
        sorted.extend((0..self.len()).filter(|chunk| wanted(*chunk)));
        let hash = |index: &u32| self.0.hashes.get(*index as usize);
        let length = |index: &u32| self.bytes_of(*index..*index + 1).map(|bytes| bytes.end - bytes.start);
        let compare = |one: &u32, other: &u32| {
            hash(one).cmp(&hash(other)).then_with(|| length(one).cmp(&length(other)))
        };
        // In place, and equal ones in their order.
        sorted.sort_unstable_by(|one, other| compare(one, other).then(one.cmp(other)));
        let mut repeats: Vec<_> = sorted
            .chunk_by(|one, other| compare(one, other).is_eq())
            .flat_map(|equal| equal.iter().skip(1).map(|&repeat| (repeat, equal[0])))
            .collect();
        repeats.sort_unstable();
        repeats
    }

    /// The content's size in bytes.
    pub fn size(&self) -> u64 {
        self.0.offsets.last().copied().unwrap_or(0)
    }

    /// How many bytes of memory they take.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.0.offsets) + size_of_val(&*self.0.hashes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::tests::chunk;
    use super::*;

    fn table(kinds: &[u32]) -> ChunkTable {
        ChunkTable::new(kinds.iter().map(|kind| chunk(*kind)))
    }

    #[test]
    fn repeats_name_the_first_of_their_kind() {
        assert_eq!(table(&[]).repeats(|_| true), []);
        assert_eq!(table(&[1, 2, 3]).repeats(|_| true), []);
        assert_eq!(table(&[1, 2, 1, 3, 2, 1]).repeats(|_| true), [(2, 0), (4, 1), (5, 0)]);
        assert_eq!(table(&[1, 2, 1, 3, 2, 1]).repeats(|chunk| chunk > 0), [(4, 1), (5, 2)]);
    }

    #[test]
    fn chunks_of_bytes() {
        let table = ChunkTable::new([3, 4, 5].map(|length| Chunk { length, ..chunk(length) }));
        for (bytes, chunks) in [(0..12, 0..3), (0..3, 0..1), (2..4, 0..2), (3..7, 1..2), (6..8, 1..3)] {
            assert_eq!(table.chunks_of(bytes.clone()), chunks, "{bytes:?}");
        }
        for nothing in [0..0, 5..5, 12..12] {
            assert!(table.chunks_of(nothing).is_empty());
        }
    }
}
