//! A manifest taken apart and checked: its entries, its chunks, and where they lie.
//!
//! The bytes of a content are those of its files one after the other, in the order of the entries. So a chunk has one
//! place among them, whichever file it belongs to, and a run of chunks may go over many files.

use std::ops::Range;

use super::assemble::Assembler;
use super::entries::Entries;
use super::entry::Entry;
use super::page::{CHUNK_ITEM_BYTES, Chunk, Item};
use super::root::Root;
use super::table::ChunkTable;
use super::{ManifestError, ManifestError::Inconsistent};
use crate::hash::ContentHash;
use crate::record::Kind;

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
    pub entries: Entries,
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

    /// Of entries with their chunks, of which nothing is checked.
    ///
    /// # Errors
    /// [`ManifestError::Inconsistent`] where there are more than a layout can have.
    pub fn unchecked(
        kind: Kind,
        content: ContentHash,
        all: impl IntoIterator<Item = (Entry, Vec<Chunk>)>,
    ) -> Result<Self, ManifestError> {
        let mut entries = Entries::default();
        for (entry, chunks) in all {
            entries.push(entry)?;
            chunks.into_iter().for_each(|chunk| entries.push_chunk(chunk));
        }
        let chunks = entries.chunks().clone();
        Ok(Self { kind, content, entries, chunks })
    }

    /// How many bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        self.entries.memory_bytes() + self.chunks.memory_bytes()
    }

    /// Whether it is a folder's.
    pub fn is_folder(&self) -> bool {
        self.kind == Kind::Folder
    }

    /// The parts of files that a range of bytes covers, in order.
    pub fn spans(&self, bytes: Range<u64>) -> impl Iterator<Item = Span> + '_ {
        let first = self.chunks.chunks_of(bytes.clone()).start;
        let first = if bytes.is_empty() { None } else { self.entries.of_chunk(first) };
        let entries = first.unwrap_or(self.entries.len())..self.entries.len();
        let places = entries.filter_map(|number| Some((number, self.entries.bytes_of(number)?)));
        let end = bytes.end;
        places.take_while(move |(_, place)| place.start < end).filter_map(move |(number, place)| {
            let part = bytes.start.max(place.start)..end.min(place.end);
            let offset = part.start - place.start;
            (!part.is_empty()).then_some(Span { entry: number, offset, bytes: part })
        })
    }
}

/// An entry's encoding without its path has more than this: its keys and a hash.
const NO_PATH_BYTES: u64 = 64;

/// Takes the pages of one manifest in order, and keeps what they list. Memory: see [`Entries`] and [`ChunkTable`].
#[derive(Debug)]
pub struct LayoutAssembler {
    pages: Assembler,
    kind: Kind,
    content: ContentHash,
    entries: Entries,
}

impl LayoutAssembler {
    /// For the manifest with this root.
    pub fn new(root: Root) -> Self {
        let Root { kind, content, .. } = root;
        let (count, chunks) = (root.entries(), root.chunks());
        let listed: u64 = root.pages.iter().map(|page| u64::from(page.length)).sum();
        let mut entries = Entries::default();
        // What a page has beside chunks is entries, and of these at least this much is no path.
        let beside = chunks * CHUNK_ITEM_BYTES as u64 + count * NO_PATH_BYTES;
        entries.reserve(count, listed.saturating_sub(beside), chunks);
        Self { pages: Assembler::new(root), kind, content, entries }
    }

    /// Takes the next page.
    ///
    /// # Errors
    /// See [`ManifestError`]; the assembler is of no use afterwards.
    pub fn push(&mut self, page: &[u8]) -> Result<(), ManifestError> {
        for item in self.pages.push(page)? {
            match item {
                Item::Entry(found) => self.entries.push(found)?,
                Item::Chunks(run) => run.into_iter().for_each(|chunk| self.entries.push_chunk(chunk)),
            }
        }
        Ok(())
    }

    /// The chunks of the pages so far.
    pub fn chunks(&self) -> &ChunkTable {
        self.entries.chunks()
    }

    /// The layout, after the last page.
    ///
    /// # Errors
    /// [`ManifestError::Inconsistent`] where pages are missing.
    pub fn finish(self) -> Result<Layout, ManifestError> {
        if self.pages.wants().is_some() {
            return Err(Inconsistent("pages are missing"));
        }
        let Self { kind, content, mut entries, .. } = self;
        entries.shrink();
        let chunks = entries.chunks().clone();
        Ok(Layout { kind, content, entries, chunks })
    }
}

#[cfg(test)]
mod tests {
    use certs::UnixNanos;

    use super::super::{ChunkerParams, FolderManifestBuilder};
    use super::*;
    use crate::hash::ChunkHash;

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
