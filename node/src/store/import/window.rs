//! A part of a file in memory, from being read to the hashes of its chunks.

use blake3::hazmat::ChainingValue;
use wire::ChunkHash;
use wire::manifest::{Chunk, subtree};

use super::hashing::Stopped;
use crate::store::cut::{Cutter, HISTORY, Marks};
use crate::store::fs::{FsFile, read_full};

/// The system copies a quarter faster into memory that begins at a cache line, and pages begin at one.
const ALIGNMENT: usize = 4096;

/// What the window before left over, then new bytes, read in blocks.
pub(super) struct Window {
    buffer: Vec<u8>,
    block: usize,
    /// Where the bytes left over begin.
    start: usize,
    /// Where the new bytes begin, on an aligned address; before them is room for the largest chunk, since no more than that is
    /// left over.
    fresh: usize,
    end: usize,
    /// Where in the file the new bytes begin.
    offset: u64,
    /// Its chunks, from `start` on. Their hashes come last.
    chunks: Vec<Chunk>,
}

/// What is known of a block once it was read.
pub(super) struct Block {
    pub(super) subtree: ChainingValue,
    pub(super) marks: Marks,
}

/// Something to be done on any thread.
pub(super) enum Job<'a> {
    /// A block is read and looked through.
    Read { block: &'a mut [u8], offset: u64, found: &'a mut Option<Block> },
    /// Chunks are hashed, which lie one behind the other.
    Hash { bytes: &'a [u8], chunks: &'a mut [Chunk] },
}

impl Job<'_> {
    /// Does it.
    pub(super) fn run(self, file: &dyn FsFile, cutter: &Cutter) -> Result<(), Stopped> {
        match self {
            Self::Read { block, offset, found } => {
                if read_full(file, block, offset).map_err(Stopped::Io)? < block.len() {
                    return Err(Stopped::Changed);
                }
                *found = Some(Block { subtree: subtree(block, offset), marks: cutter.marks(block, offset) });
            }
            Self::Hash { mut bytes, chunks } => {
                for chunk in chunks {
                    let (now, later) = bytes.split_at(chunk.length as usize);
                    (chunk.hash, bytes) = (ChunkHash::of(now), later);
                }
            }
        }
        Ok(())
    }
}

impl Window {
    /// With room for `size` new bytes, read in blocks of `block`, and what is left over before.
    pub(super) fn new(cutter: &Cutter, size: usize, block: usize) -> Self {
        let buffer = vec![0; ALIGNMENT + cutter.max() + size];
        let fresh = cutter.max() + buffer[cutter.max()..].as_ptr().align_offset(ALIGNMENT) % ALIGNMENT;
        Self { buffer, block, start: fresh, fresh, end: fresh, offset: 0, chunks: Vec::new() }
    }

    /// Makes it ready for the bytes from `offset` to `end` of the file, or as many of them as there is room for.
    pub(super) fn reset(&mut self, offset: u64, end: u64) {
        let room = self.buffer.len() - self.fresh;
        let size = usize::try_from(end - offset).map_or(room, |size| size.min(room));
        let size = if offset + (size as u64) < end { size / self.block * self.block } else { size };
        self.chunks.clear();
        (self.start, self.end, self.offset) = (self.fresh, self.fresh + size, offset);
    }

    /// Where in the file it ends.
    pub(super) fn end(&self) -> u64 {
        self.offset + (self.end - self.fresh) as u64
    }

    /// Its chunks, with their hashes.
    pub(super) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Reading it. `found` is filled, one for each block.
    pub(super) fn read_jobs<'a>(
        &'a mut self,
        found: &'a mut Vec<Option<Block>>,
    ) -> impl Iterator<Item = Job<'a>> {
        let fresh = &mut self.buffer[self.fresh..self.end];
        found.clear();
        found.resize_with(fresh.len().div_ceil(self.block), || None);
        let offsets = (self.offset..).step_by(self.block);
        let blocks = fresh.chunks_mut(self.block).zip(offsets).zip(found);
        blocks.map(|((block, offset), found)| Job::Read { block, offset, found })
    }

    /// Hashing its chunks, about a block of them in each job.
    pub(super) fn hash_jobs(&mut self) -> impl Iterator<Item = Job<'_>> {
        let (mut bytes, mut chunks) = (&self.buffer[self.start..self.end], &mut *self.chunks);
        let block = self.block;
        std::iter::from_fn(move || {
            let (mut count, mut length) = (0, 0);
            while let Some(chunk) = chunks.get(count).filter(|_| length < block) {
                (count, length) = (count + 1, length + chunk.length as usize);
            }
            let (now, later) = bytes.split_at(length);
            let (these, others) = std::mem::take(&mut chunks).split_at_mut(count);
            (bytes, chunks) = (later, others);
            (count > 0).then_some(Job::Hash { bytes: now, chunks: these })
        })
    }

    /// Cuts it once it was read, as far as it is sure to hold whole chunks; `before` is the window before it. `marks` are
    /// those of what that left over, and then also those of this one.
    pub(super) fn cut(
        &mut self,
        before: &Self,
        cutter: &Cutter,
        blocks: Vec<Marks>,
        marks: &mut Marks,
        last: bool,
    ) {
        let left = before.rest();
        self.start = self.fresh - left.len();
        self.buffer[self.start..self.fresh].copy_from_slice(left);
        let start = self.offset - left.len() as u64;
        for (block, found) in (self.fresh..).step_by(self.block).zip(blocks) {
            let edge = (block - HISTORY).max(self.start)..(block + HISTORY.min(self.block)).min(self.end);
            let at = start + (edge.start - self.start) as u64;
            marks.append(cutter.marks_at_edge(&self.buffer[edge], at));
            marks.append(found);
        }
        let (mut rest, mut at) = (&self.buffer[self.start..self.end], start);
        while !rest.is_empty() && (last || rest.len() >= cutter.max()) {
            let length = cutter.cut_at_mark(rest, at, marks);
            let hash = ChunkHash::from_bytes([0; 32]);
            self.chunks.push(Chunk { length: u32::try_from(length).expect("at most 16 MiB"), hash });
            (rest, at) = (&rest[length..], at + length as u64);
        }
        marks.forget_before(at);
    }

    /// What is after its last chunk.
    fn rest(&self) -> &[u8] {
        let cut: usize = self.chunks.iter().map(|chunk| chunk.length as usize).sum();
        &self.buffer[self.start + cut..self.end]
    }
}
