//! A manifest taken apart and checked: its entries, its chunks, and where they lie.
//!
//! The bytes of a content are those of its files one after the other, in the order of the entries. So a chunk has one
//! place among them, whichever file it belongs to, and a run of chunks may go over many files.

use std::ops::Range;

use certs::UnixNanos;

use super::assemble::Assembler;
use super::chunker::ChunkerParams;
use super::entry::{Entry, EntryKind};
use super::page::{Chunk, Item};
use super::root::Root;
use super::{ManifestError, ManifestError::Inconsistent};
use crate::hash::ContentHash;
use crate::record::Kind;

/// The chunks of a content and where they lie. 44 bytes a chunk.
#[derive(Debug, Clone, Default)]
pub struct ChunkTable {
    /// Where each chunk begins, and at the end where the last one ends.
    offsets: Vec<u64>,
    chunks: Vec<Chunk>,
}

impl ChunkTable {
    /// From the chunks in order.
    pub fn new(chunks: Vec<Chunk>) -> Self {
        let mut offsets = Vec::with_capacity(chunks.len() + 1);
        let mut end = 0;
        offsets.push(end);
        for chunk in &chunks {
            end += u64::from(chunk.length);
            offsets.push(end);
        }
        Self { offsets, chunks }
    }

    /// How many chunks there are.
    pub fn len(&self) -> u32 {
        u32::try_from(self.chunks.len()).expect("a root allows at most 2^32 - 1 chunks")
    }

    /// Whether there is none: nothing but empty files.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// One chunk, or `None` beyond the last.
    pub fn chunk(&self, index: u32) -> Option<Chunk> {
        self.chunks.get(index as usize).copied()
    }

    /// Where the chunks of a range lie, or `None` if not all of them exist.
    pub fn bytes_of(&self, chunks: Range<u32>) -> Option<Range<u64>> {
        let start = *self.offsets.get(chunks.start as usize)?;
        let end = *self.offsets.get(chunks.end as usize)?;
        (start <= end).then_some(start..end)
    }

    /// The chunks that have a byte in this range.
    pub fn chunks_of(&self, bytes: Range<u64>) -> Range<u32> {
        let before = self.offsets.partition_point(|&offset| offset <= bytes.start);
        let end = self.offsets.partition_point(|&offset| offset < bytes.end);
        let index = |at: usize| u32::try_from(at.min(self.chunks.len())).unwrap_or(u32::MAX);
        let start = index(before.saturating_sub(1));
        if bytes.is_empty() { start..start } else { start..index(end).max(start) }
    }

    /// Of the chunks that are `wanted` those that are equal to an earlier one of these, in order, each with the first one
    /// of its kind. Memory: 4 bytes for each chunk while it looks, 8 for each one found.
    pub fn repeats(&self, wanted: impl Fn(u32) -> bool) -> Vec<(u32, u32)> {
        let mut sorted: Vec<u32> = (0..self.len()).filter(|chunk| wanted(*chunk)).collect();
        let key = |index: &u32| self.chunk(*index).map(|chunk| (*chunk.hash.as_bytes(), chunk.length));
        // Equal ones keep their order.
        sorted.sort_by_key(key);
        let mut repeats: Vec<_> = sorted
            .chunk_by(|one, other| key(one) == key(other))
            .flat_map(|equal| equal.iter().skip(1).map(|&repeat| (repeat, equal[0])))
            .collect();
        repeats.sort_unstable();
        repeats
    }

    /// The content's size in bytes.
    pub fn size(&self) -> u64 {
        self.offsets.last().copied().unwrap_or(0)
    }
}

/// An entry, and where its bytes begin among those of all files. About 120 bytes and its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// See [`Entry::path`].
    pub path: Box<str>,
    /// What it is.
    pub kind: EntryKind,
    /// Whether its owner may execute it.
    pub executable: bool,
    /// When it was last modified.
    pub mtime: UnixNanos,
    /// Its size in bytes.
    pub size: u64,
    /// See [`Entry::hash`].
    pub hash: ContentHash,
    /// How a file was cut.
    pub params: Option<ChunkerParams>,
    /// Where a link points to.
    pub target: Option<Box<str>>,
    /// The sizes of all files before it.
    pub start: u64,
}

impl Placed {
    fn new(entry: Entry, start: u64) -> Self {
        let Entry { path, kind, executable, mtime, size, hash, params, target, chunker: _ } = entry;
        let (path, target) = (path.into(), target.map(Into::into));
        Self { path, kind, executable, mtime, size, hash, params, target, start }
    }

    /// Where its bytes lie.
    pub const fn bytes(&self) -> Range<u64> {
        self.start..self.start + self.size
    }
}

/// A part of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The number of the file's entry.
    pub entry: usize,
    /// Where it begins in the file.
    pub offset: u64,
    /// Where it lies among the bytes of the content; not empty.
    pub bytes: Range<u64>,
}

impl Span {
    /// How many bytes it has.
    pub const fn len(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }

    /// Never.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A manifest, taken apart and checked.
#[derive(Debug, Clone)]
pub struct Layout {
    /// A file or a folder.
    pub kind: Kind,
    /// What it is a layout of.
    pub content: ContentHash,
    /// Its entries in order; of a file there is one.
    pub entries: Vec<Placed>,
    /// The chunks of all files.
    pub chunks: ChunkTable,
}

impl Layout {
    /// Puts it together from the root and all pages.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn assemble<'a>(
        root: Root,
        pages: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, ManifestError> {
        let mut assembler = LayoutAssembler::new(root);
        for page in pages {
            assembler.push(page)?;
        }
        assembler.finish()
    }

    /// Whether it is a folder's.
    pub fn is_folder(&self) -> bool {
        self.kind == Kind::Folder
    }

    /// The parts of files that a range of bytes covers, in order.
    pub fn spans(&self, bytes: Range<u64>) -> impl Iterator<Item = Span> + '_ {
        let first = self.entries.partition_point(|entry| entry.bytes().end <= bytes.start);
        let entries = self.entries.iter().enumerate().skip(first);
        let end = bytes.end;
        entries.take_while(move |(_, entry)| entry.start < end).filter_map(move |(number, entry)| {
            let part = bytes.start.max(entry.start)..end.min(entry.bytes().end);
            let offset = part.start - entry.start;
            (!part.is_empty()).then_some(Span { entry: number, offset, bytes: part })
        })
    }
}

/// Takes the pages of one manifest in order, and keeps what they list. Memory: 40 bytes a chunk, see [`Placed`] for an
/// entry.
#[derive(Debug)]
pub struct LayoutAssembler {
    pages: Assembler,
    kind: Kind,
    content: ContentHash,
    entries: Vec<Placed>,
    chunks: Vec<Chunk>,
    size: u64,
}

impl LayoutAssembler {
    /// For the manifest with this root.
    pub fn new(root: Root) -> Self {
        let Root { kind, content, .. } = root;
        let (entries, chunks) = (Vec::new(), Vec::new());
        Self { pages: Assembler::new(root), kind, content, entries, chunks, size: 0 }
    }

    /// Takes the next page.
    ///
    /// # Errors
    /// See [`ManifestError`]; the assembler is of no use afterwards.
    pub fn push(&mut self, page: &[u8]) -> Result<(), ManifestError> {
        for item in self.pages.push(page)? {
            match item {
                Item::Entry(found) => {
                    let placed = Placed::new(found, self.size);
                    self.size = self.size.checked_add(placed.size).ok_or(Inconsistent("a size too many"))?;
                    self.entries.push(placed);
                }
                Item::Chunks(run) => self.chunks.extend(run),
            }
        }
        Ok(())
    }

    /// The chunks of the pages so far.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The layout, after the last page.
    ///
    /// # Errors
    /// [`ManifestError::Inconsistent`] where pages are missing.
    pub fn finish(self) -> Result<Layout, ManifestError> {
        if self.pages.wants().is_some() {
            return Err(Inconsistent("pages are missing"));
        }
        let Self { kind, content, entries, chunks, .. } = self;
        Ok(Layout { kind, content, entries, chunks: ChunkTable::new(chunks) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::FolderManifestBuilder;
    use super::super::build::tests::chunk;
    use super::*;
    use crate::hash::ChunkHash;

    fn table(kinds: &[u32]) -> ChunkTable {
        ChunkTable::new(kinds.iter().map(|kind| chunk(*kind)).collect())
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
        let table = ChunkTable::new([3, 4, 5].map(|length| Chunk { length, ..chunk(length) }).to_vec());
        for (bytes, chunks) in [(0..12, 0..3), (0..3, 0..1), (2..4, 0..2), (3..7, 1..2), (6..8, 1..3)] {
            assert_eq!(table.chunks_of(bytes.clone()), chunks, "{bytes:?}");
        }
        for nothing in [0..0, 5..5, 12..12] {
            assert!(table.chunks_of(nothing).is_empty());
        }
    }

    /// A folder with files of these sizes.
    fn layout(sizes: &[u32]) -> Layout {
        let mut builder = FolderManifestBuilder::new();
        for (number, &length) in sizes.iter().enumerate() {
            let chunks = Some(Chunk { length, hash: ChunkHash::of(b"x") }).filter(|_| length > 0);
            let (size, hash) = (u64::from(length), ContentHash::of(b"x"));
            let entry = Entry::file(false, UnixNanos(1), size, hash, ChunkerParams::for_size(size));
            let entry = Entry { path: format!("{number}"), ..entry };
            builder.push(entry, chunks.as_slice()).expect("in order");
        }
        let manifest = builder.finish().expect("a manifest");
        Layout::assemble(manifest.root, manifest.pages.iter().map(Vec::as_slice)).expect("assembles")
    }

    #[test]
    fn spans_go_over_files() {
        let layout = layout(&[0, 3, 0, 0, 4, 5, 0]);
        let spans = |bytes| layout.spans(bytes).map(|span| (span.entry, span.offset, span.len())).collect();
        let all: Vec<_> = spans(0..12);
        assert_eq!(all, [(1, 0, 3), (4, 0, 4), (5, 0, 5)]);
        let some: Vec<_> = spans(2..8);
        assert_eq!(some, [(1, 2, 1), (4, 0, 4), (5, 0, 1)]);
        let inner: Vec<_> = spans(4..6);
        assert_eq!(inner, [(4, 1, 2)]);
        let none: Vec<_> = spans(3..3);
        assert_eq!(none, []);
        let beyond: Vec<_> = spans(12..20);
        assert_eq!(beyond, []);
    }
}
