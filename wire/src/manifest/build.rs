//! Building a manifest: pages are cut while entries and chunks come in.
//!
//! Where a page ends depends on the item that ends it and on the items since the last end, on nothing before: after an
//! insertion the pages are the same again from the next common end on. Any cut within the bounds is valid; this one is
//! what makes versions share pages.

use certs::UnixNanos;

use super::blocks::Blocks;
use super::chunker::ChunkerParams;
use super::entry::Entry;
use super::folder::FolderHasher;
use super::page::{CHUNK_ITEM_BYTES, Chunk, Item, encode_page};
use super::root::{PageRef, Root};
use super::{ManifestError, ManifestError::Inconsistent};
use crate::hash::{ContentHash, PageHash, RootHash};
use crate::limits;
use crate::record::Kind;

/// No page but the last weighs less: 16 KiB.
const MIN_WEIGHT: usize = 16 << 10;
/// How much a page weighs beyond the minimum on average: with it, pages of 64 KiB.
const MEAN_EXTRA_WEIGHT: u64 = 48 << 10;
/// No page weighs more, so that with the last item it stays under [`limits::PAGE_BYTES`].
const MAX_WEIGHT: usize = limits::PAGE_BYTES - 2 * limits::PATH_BYTES - 2048;
/// An entry without its path and target: keys, hash and numbers at their longest are under 230 bytes.
pub(super) const ENTRY_WEIGHT: usize = 256;

/// Collects items and says when a page is full.
#[derive(Debug, Default)]
struct PageCutter {
    items: Vec<Item>,
    weight: usize,
    entries: u32,
    chunks: u32,
    content_bytes: u64,
}

/// A page that was cut.
#[derive(Debug)]
struct CutPage {
    items: Vec<Item>,
    page: PageRef,
}

impl PageCutter {
    /// Takes a chunk; returns whether the page ends after it.
    fn push_chunk(&mut self, chunk: Chunk) -> bool {
        match self.items.last_mut() {
            Some(Item::Chunks(chunks)) => chunks.push(chunk),
            _ => self.items.push(Item::Chunks(vec![chunk])),
        }
        self.chunks += 1;
        self.content_bytes += u64::from(chunk.length);
        self.ends(CHUNK_ITEM_BYTES, chunk.hash.as_bytes())
    }

    /// Takes an entry; returns whether the page ends after it.
    fn push_entry(&mut self, entry: Entry) -> bool {
        let weight = ENTRY_WEIGHT + entry.path.len() + entry.target.as_ref().map_or(0, String::len);
        // Empty files and folders all have one hash: the path is what differs.
        let draw = blake3::hash(entry.path.as_bytes());
        self.items.push(Item::Entry(entry));
        self.entries += 1;
        self.ends(weight, draw.as_bytes())
    }

    fn ends(&mut self, weight: usize, draw: &[u8; 32]) -> bool {
        self.weight += weight;
        let draw = u64::from(u32::from_be_bytes([draw[0], draw[1], draw[2], draw[3]]));
        let hit = draw * MEAN_EXTRA_WEIGHT < (weight as u64) << 32;
        (hit && self.weight >= MIN_WEIGHT) || self.weight >= MAX_WEIGHT
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn cut(&mut self) -> CutPage {
        let full = std::mem::take(self);
        let page = PageRef {
            hash: PageHash::from_bytes([0; 32]),
            length: 0,
            entries: full.entries,
            chunks: full.chunks,
            content_bytes: full.content_bytes,
        };
        CutPage { items: full.items, page }
    }
}

impl CutPage {
    fn seal(mut self) -> (PageRef, Vec<u8>) {
        let bytes = encode_page(&self.items);
        self.page.hash = PageHash::of(&bytes);
        self.page.length = u32::try_from(bytes.len()).expect("a page is at most 256 KiB");
        (self.page, bytes)
    }
}

/// A whole manifest, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The root, decoded.
    pub root: Root,
    /// The root's hash.
    pub root_hash: RootHash,
    /// The root's encoding.
    pub root_bytes: Vec<u8>,
    /// The pages' encodings, in order; those that were [taken](FolderManifestBuilder::take_pages) before are not among
    /// them.
    pub pages: Vec<Vec<u8>>,
    /// Of a file: its blocks, where they are known. They are not a part of what the root names.
    pub blocks: Option<Blocks>,
}

/// What is known of a file once it has been read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Whether its owner may execute it.
    pub executable: bool,
    /// When it was last modified.
    pub mtime: UnixNanos,
    /// BLAKE3 of all of it.
    pub content: ContentHash,
}

/// Builds the manifest of one file from its chunks in order. Memory: the encoded pages, about 40 bytes a chunk.
#[derive(Debug)]
pub struct FileManifestBuilder {
    params: ChunkerParams,
    cutter: PageCutter,
    /// The first page waits for the entry, whose hash is known last.
    first: Option<CutPage>,
    sealed: Vec<(PageRef, Vec<u8>)>,
    size: u64,
}

impl FileManifestBuilder {
    /// For a file that is cut with these parameters.
    pub fn new(params: ChunkerParams) -> Self {
        let cutter = PageCutter { weight: ENTRY_WEIGHT, ..PageCutter::default() };
        Self { params, cutter, first: None, sealed: Vec::new(), size: 0 }
    }

    /// Takes the next chunk.
    pub fn push(&mut self, chunk: Chunk) {
        self.size += u64::from(chunk.length);
        if self.cutter.push_chunk(chunk) {
            self.cut();
        }
    }

    /// Ends it.
    ///
    /// Returns `None` where the file has more pages than a root can name: over 8,192, which only a file of over 10 TB has.
    pub fn finish(mut self, facts: FileFacts) -> Option<Manifest> {
        if self.first.is_none() || !self.cutter.is_empty() {
            self.cut();
        }
        let FileFacts { executable, mtime, content } = facts;
        let entry = Entry::file(executable, mtime, self.size, content, self.params);
        let mut first = self.first.take()?;
        first.items.insert(0, Item::Entry(entry));
        first.page.entries = 1;
        let (refs, pages) = std::iter::once(first.seal()).chain(self.sealed).unzip();
        manifest(Kind::File, content, self.size, refs, pages)
    }

    fn cut(&mut self) {
        let page = self.cutter.cut();
        match self.first {
            None => self.first = Some(page),
            Some(_) => self.sealed.push(page.seal()),
        }
    }
}

/// Builds the manifest of a folder from its entries in order. Memory: the encoded pages that were not taken, about 300
/// bytes for each small file and 36 for each chunk; 52 bytes for each page that was.
#[derive(Debug, Default)]
pub struct FolderManifestBuilder {
    hasher: FolderHasher,
    cutter: PageCutter,
    refs: Vec<PageRef>,
    pages: Vec<Vec<u8>>,
    size: u64,
    entries: usize,
}

impl FolderManifestBuilder {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next entry with its chunks, none unless it is a file.
    ///
    /// # Errors
    /// [`ManifestError::Inconsistent`] where the entry breaks its rules, is out of order, lies in a folder that was not
    /// listed, has other bytes than its chunks, or is one more than [`limits::FOLDER_ENTRIES`]. Nothing is taken then.
    pub fn push(&mut self, entry: Entry, chunks: &[Chunk]) -> Result<(), ManifestError> {
        entry.check()?;
        if chunks.iter().map(|chunk| u64::from(chunk.length)).sum::<u64>() != entry.size {
            return Err(Inconsistent("a file with other bytes than its chunks"));
        }
        let size = self.size.checked_add(entry.size).filter(|size| *size <= limits::CONTENT_BYTES);
        let size = size.ok_or(Inconsistent("more bytes than a content may have"))?;
        if self.entries == limits::FOLDER_ENTRIES {
            return Err(Inconsistent("more entries than a folder may have"));
        }
        self.hasher.push(&entry)?;
        (self.size, self.entries) = (size, self.entries + 1);
        if self.cutter.push_entry(entry) {
            self.cut();
        }
        for chunk in chunks {
            if self.cutter.push_chunk(*chunk) {
                self.cut();
            }
        }
        Ok(())
    }

    fn cut(&mut self) {
        let (page, bytes) = self.cutter.cut().seal();
        self.refs.push(page);
        self.pages.push(bytes);
    }

    /// The pages that are complete, in order, but those that were taken before. The caller keeps them: the finished
    /// manifest names them and has them no more.
    pub fn take_pages(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.pages)
    }

    /// Ends it.
    ///
    /// Returns `None` where there is no entry, or where there are more pages than a root can name: over 8,192.
    pub fn finish(mut self) -> Option<Manifest> {
        if !self.cutter.is_empty() {
            self.cut();
        }
        if self.refs.is_empty() {
            return None;
        }
        manifest(Kind::Folder, self.hasher.finish(), self.size, self.refs, self.pages)
    }
}

/// `None` where there are more pages than a root can name.
fn manifest(
    kind: Kind,
    content: ContentHash,
    size: u64,
    refs: Vec<PageRef>,
    pages: Vec<Vec<u8>>,
) -> Option<Manifest> {
    if refs.len() > limits::MANIFEST_PAGES {
        return None;
    }
    let root = Root { format: 0, kind, content, size, pages: refs };
    let root_bytes = root.encode();
    Some(Manifest { root_hash: RootHash::of(&root_bytes), root, root_bytes, pages, blocks: None })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::hash::ChunkHash;
    use std::collections::HashSet;

    pub(in crate::manifest) fn chunk(number: u32) -> Chunk {
        Chunk { length: 5000 + number % 7, hash: ChunkHash::of(&number.to_be_bytes()) }
    }

    pub(in crate::manifest) fn manifest(chunks: impl Iterator<Item = Chunk>) -> Manifest {
        let mut builder = FileManifestBuilder::new(ChunkerParams::for_size(0));
        chunks.for_each(|chunk| builder.push(chunk));
        let facts = FileFacts { executable: false, mtime: UnixNanos(1), content: ContentHash::of(b"whole") };
        builder.finish(facts).expect("not too large")
    }

    #[test]
    fn pages_keep_their_bounds() {
        let manifest = manifest((0..200_000).map(chunk));
        let count = manifest.pages.len();
        assert!(manifest.pages.iter().all(|page| page.len() <= limits::PAGE_BYTES));
        let average = manifest.pages.iter().map(Vec::len).sum::<usize>() / count;
        assert!((48 << 10..80 << 10).contains(&average), "{average}");
    }

    #[test]
    fn an_insertion_changes_few_pages() {
        let before = manifest((0..100_000).map(chunk));
        let inserted = (500_000..500_003).map(chunk);
        let after = manifest((0..30).map(chunk).chain(inserted).chain((30..100_000).map(chunk)));
        let known: HashSet<_> = before.root.pages.iter().map(|page| page.hash).collect();
        let changed = after.root.pages.iter().filter(|page| !known.contains(&page.hash)).count();
        assert!(changed <= 3, "{changed} of {}", after.pages.len());
    }

    #[test]
    fn an_empty_file_is_one_entry() {
        let manifest = manifest(std::iter::empty());
        assert_eq!((manifest.pages.len(), manifest.root.size, manifest.root.entries()), (1, 0, 1));
    }
    fn folder_of(files: impl Iterator<Item = u32>) -> Manifest {
        let mut builder = FolderManifestBuilder::new();
        for number in files {
            let path = format!("file {number:06}");
            let (size, hash) = (chunk(number).length.into(), ContentHash::of(&number.to_be_bytes()));
            let entry = Entry::file(false, UnixNanos(1), size, hash, ChunkerParams::for_size(size));
            builder.push(Entry { path, ..entry }, &[chunk(number)]).expect("in order");
        }
        builder.finish().expect("not too large")
    }

    #[test]
    fn pages_of_a_folder_keep_their_bounds_and_an_insertion_changes_few() {
        let before = folder_of((0..20_000).filter(|number| *number != 7000));
        assert!(before.pages.iter().all(|page| page.len() <= limits::PAGE_BYTES));
        let average = before.pages.iter().map(Vec::len).sum::<usize>() / before.pages.len();
        assert!((32 << 10..64 << 10).contains(&average), "{average}");
        let after = folder_of(0..20_000);
        let known: HashSet<_> = before.root.pages.iter().map(|page| page.hash).collect();
        let changed = after.root.pages.iter().filter(|page| !known.contains(&page.hash)).count();
        assert!(changed <= 3, "{changed} of {}", after.pages.len());
    }

    #[test]
    fn pages_may_be_taken_as_they_come() {
        let mut builder = FolderManifestBuilder::new();
        let mut taken = Vec::new();
        for number in 0..2000 {
            let link = Entry::link(format!("link {number:06}"), UnixNanos(1), "x".to_owned());
            builder.push(link, &[]).expect("a link");
            if number % 100 == 0 {
                taken.extend(builder.take_pages());
            }
        }
        let manifest = builder.finish().expect("not too large");
        assert!(!taken.is_empty() && !manifest.pages.is_empty());
        taken.extend(manifest.pages);
        let hashes: Vec<_> = taken.iter().map(|page| PageHash::of(page)).collect();
        let named: Vec<_> = manifest.root.pages.iter().map(|page| page.hash).collect();
        assert_eq!(hashes, named);
    }

    #[test]
    fn the_longest_entries_fit_a_page() {
        let mut builder = FolderManifestBuilder::new();
        let last = ["a"; 2046].join("/");
        for name in 0..200 {
            let link = Entry::link(format!("{name:03}"), UnixNanos(1), last.clone());
            builder.push(link, &[]).expect("a link");
        }
        let manifest = builder.finish().expect("not too large");
        assert!(manifest.pages.iter().all(|page| page.len() <= limits::PAGE_BYTES));
    }

    #[test]
    fn a_folder_of_nothing_has_no_manifest() {
        assert_eq!(FolderManifestBuilder::new().finish(), None);
    }
}
