//! The entries of a layout, packed: a folder may have two million of them, and each a hash and a path.
//!
//! What follows from something else is not kept: where an entry lies follows from its first chunk; the hash of a file
//! that is one chunk is that chunk's; the hash of what has no bytes, or of a link, and the parameters of a file that was
//! cut as a new one of its size is, are computed when they are asked for. Where that is not so, they are kept apart.

use std::iter::FusedIterator;
use std::ops::Range;

use certs::UnixNanos;

use super::chunker::ChunkerParams;
use super::entry::{Entry, EntryKind};
use super::folder::compare_paths;
use super::page::Chunk;
use super::table::ChunkTable;
use super::{ManifestError, ManifestError::Inconsistent};
use crate::hash::ContentHash;
use crate::limits;

/// Entries and chunks for which room is made at once: as many entries as a folder may have.
const RESERVED: usize = limits::FOLDER_ENTRIES;
/// The same for the bytes of a path.
const RESERVED_PATH_BYTES: usize = 64;

/// An entry, and where its bytes begin among those of all files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed<'a> {
    /// See [`Entry::path`].
    pub path: &'a str,
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
    pub target: Option<&'a str>,
    /// The sizes of all files before it.
    pub start: u64,
}

impl Placed<'_> {
    /// Where its bytes lie.
    pub const fn bytes(&self) -> Range<u64> {
        self.start..self.start + self.size
    }
}

/// The entries of a content in order. Memory: 18 bytes an entry, and its path; 36 more for a file of several chunks; those
/// of the [`ChunkTable`], which is shared.
#[derive(Debug, Clone, Default)]
pub struct Entries {
    rows: Vec<Row>,
    shapes: Vec<Shape>,
    /// All paths, one after the other.
    paths: String,
    hashes: Vec<(u32, ContentHash)>,
    params: Vec<(u32, ChunkerParams)>,
    targets: Vec<(u32, Box<str>)>,
    /// The hash of the last entry: how many chunks that has is not known yet.
    last_hash: Option<ContentHash>,
    chunks: ChunkTable,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    path_end: u32,
    first_chunk: u32,
    mtime: UnixNanos,
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    kind: EntryKind,
    executable: bool,
}

impl Entries {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// One of them, or `None` beyond the last.
    pub fn get(&self, number: usize) -> Option<Placed<'_>> {
        let (row, shape) = (self.rows.get(number)?, self.shapes.get(number)?);
        let path_start = self.before(number).map_or(0, |row| row.path_end as usize);
        let path = self.paths.get(path_start..row.path_end as usize)?;
        let Range { start, end } = self.bytes_of(number)?;
        let (size, target) = (end - start, kept(&self.targets, number).map(|target| &**target));
        let hash = match self.last_hash {
            Some(last) if number + 1 == self.rows.len() => last,
            _ => kept(&self.hashes, number).copied().unwrap_or_else(|| self.usual_hash(number)),
        };
        let params = || kept(&self.params, number).copied().unwrap_or_else(|| ChunkerParams::in_folder(size));
        let params = (shape.kind == EntryKind::File).then(params);
        let Shape { kind, executable } = *shape;
        Some(Placed { path, kind, executable, mtime: row.mtime, size, hash, params, target, start })
    }

    /// The first one.
    pub fn first(&self) -> Option<Placed<'_>> {
        self.get(0)
    }

    /// The last one.
    pub fn last(&self) -> Option<Placed<'_>> {
        self.get(self.len().checked_sub(1)?)
    }

    /// All of them.
    pub fn iter(&self) -> Iter<'_> {
        Iter { entries: self, left: 0..self.len() }
    }

    /// The one of a folder with this path. O(log n).
    pub fn find(&self, path: &str) -> Option<Placed<'_>> {
        self.get(self.number_of(path)?)
    }

    /// The number of the one with this path. O(log n).
    pub fn number_of(&self, path: &str) -> Option<usize> {
        let at = |number: usize| self.get(number).map_or("", |entry| entry.path);
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from.midpoint(to);
            match compare_paths(at(middle), path) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        None
    }

    /// The number of the one that a chunk is of. O(log n).
    pub fn of_chunk(&self, chunk: u32) -> Option<usize> {
        // What has no chunks begins where the next one does, and so is never the last of these.
        let begun = self.rows.partition_point(|row| row.first_chunk <= chunk);
        begun.checked_sub(1).filter(|_| chunk < self.chunks.len())
    }

    /// Where the bytes of one of them lie.
    pub(super) fn bytes_of(&self, number: usize) -> Option<Range<u64>> {
        self.chunks.bytes_of(self.chunks_of(number)?)
    }

    /// The chunks that the entries have so far.
    pub(super) const fn chunks(&self) -> &ChunkTable {
        &self.chunks
    }

    /// How many bytes of memory they take, without those of the chunks.
    pub(super) fn memory_bytes(&self) -> usize {
        let targets = self.targets.iter().map(|(_, target)| target.len()).sum::<usize>();
        size_of_val(&*self.rows)
            + size_of_val(&*self.shapes)
            + self.paths.len()
            + size_of_val(&*self.hashes)
            + size_of_val(&*self.params)
            + size_of_val(&*self.targets)
            + targets
    }

    /// Makes room for so many entries, bytes of paths, and chunks, so that it need not grow: what grows leaves holes. What
    /// is not used costs no memory, only addresses, and no more than [`RESERVED`] of each is reserved.
    pub(super) fn reserve(&mut self, entries: u64, path_bytes: u64, chunks: u64) {
        let room = |count: u64, most: usize| usize::try_from(count).map_or(most, |count| count.min(most));
        self.rows.reserve_exact(room(entries, RESERVED));
        self.shapes.reserve_exact(room(entries, RESERVED));
        self.paths.reserve_exact(room(path_bytes, RESERVED * RESERVED_PATH_BYTES));
        self.chunks.reserve(room(chunks, RESERVED));
    }

    /// Takes the next entry; its chunks follow.
    pub(super) fn push(&mut self, entry: Entry) -> Result<(), ManifestError> {
        let too_many = Inconsistent("more entries than a folder may have");
        self.keep_last_hash()?;
        let Entry { path, kind, executable, mtime, size, hash, params, target, chunker: _ } = entry;
        let number = u32::try_from(self.rows.len()).map_err(|_| too_many.clone())?;
        self.paths.push_str(&path);
        let path_end = u32::try_from(self.paths.len()).map_err(|_| too_many)?;
        self.rows.push(Row { path_end, first_chunk: self.chunks.len(), mtime });
        self.shapes.push(Shape { kind, executable });
        if let Some(params) = params.filter(|params| *params != ChunkerParams::in_folder(size)) {
            self.params.push((number, params));
        }
        if let Some(target) = target {
            self.targets.push((number, target.into()));
        }
        self.last_hash = Some(hash);
        Ok(())
    }

    /// Takes the next chunk of the last entry.
    pub(super) fn push_chunk(&mut self, chunk: Chunk) {
        self.chunks.push(chunk);
    }

    /// Gives back what was reserved for more.
    pub(super) fn shrink(&mut self) {
        self.rows.shrink_to_fit();
        self.shapes.shrink_to_fit();
        self.paths.shrink_to_fit();
        self.hashes.shrink_to_fit();
        self.chunks.shrink();
    }

    /// The last entry has all of its chunks.
    fn keep_last_hash(&mut self) -> Result<(), ManifestError> {
        let (Some(number), Some(hash)) = (self.rows.len().checked_sub(1), self.last_hash.take()) else {
            return Ok(());
        };
        if hash != self.usual_hash(number) {
            let number = u32::try_from(number).map_err(|_| Inconsistent("too many entries"))?;
            self.hashes.push((number, hash));
        }
        Ok(())
    }

    /// The hash that an entry has where nothing else is said.
    fn usual_hash(&self, number: usize) -> ContentHash {
        if let Some(target) = kept(&self.targets, number) {
            return ContentHash::of(target.as_bytes());
        }
        let only = self.chunks_of(number).filter(|chunks| chunks.len() == 1);
        let only = only.and_then(|chunks| self.chunks.chunk(chunks.start));
        only.map_or_else(|| ContentHash::of(b""), |chunk| ContentHash::from_bytes(*chunk.hash.as_bytes()))
    }

    fn chunks_of(&self, number: usize) -> Option<Range<u32>> {
        let first = self.rows.get(number)?.first_chunk;
        let end = self.rows.get(number + 1).map_or_else(|| self.chunks.len(), |next| next.first_chunk);
        Some(first..end)
    }

    fn before(&self, number: usize) -> Option<&Row> {
        self.rows.get(number.checked_sub(1)?)
    }
}

/// What is kept apart for an entry, if anything is.
fn kept<T>(of: &[(u32, T)], number: usize) -> Option<&T> {
    let at = of.binary_search_by_key(&number, |(number, _)| *number as usize).ok()?;
    of.get(at).map(|(_, value)| value)
}

impl<'a> IntoIterator for &'a Entries {
    type Item = Placed<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Entries in order.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    entries: &'a Entries,
    left: Range<usize>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Placed<'a>;

    fn next(&mut self) -> Option<Placed<'a>> {
        self.entries.get(self.left.next()?)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<Placed<'a>> {
        self.entries.get(self.left.nth(n)?)
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.entries.get(self.left.next_back()?)
    }
}

impl ExactSizeIterator for Iter<'_> {}
impl FusedIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use super::super::folder::tests::{file, folder};
    use super::*;
    use crate::hash::ChunkHash;

    fn chunks_of(content: &[u8], length: usize) -> impl Iterator<Item = Chunk> {
        let of = |part: &[u8]| Chunk { length: part.len() as u32, hash: ChunkHash::of(part) };
        content.chunks(length.max(1)).map(of)
    }

    /// Each entry with the length of its chunks, and its content.
    fn entries(all: &[(Entry, &[u8], usize)]) -> Entries {
        let mut entries = Entries::default();
        for (entry, content, length) in all {
            entries.push(entry.clone()).expect("few");
            chunks_of(content, *length).for_each(|chunk| entries.push_chunk(chunk));
        }
        entries
    }

    #[test]
    fn what_was_put_in_comes_out() {
        let large = ChunkerParams::for_size(1 << 40);
        let other = ContentHash::of(b"something else");
        let link = Entry::link("f/l".to_owned(), UnixNanos(-3), "a b".to_owned());
        let all: [(Entry, &[u8], usize); 8] = [
            (folder("f"), b"", 1),
            (file("f/one", b"one"), b"one", 3),
            (file("f/empty", b""), b"", 1),
            (link, b"", 1),
            (Entry { hash: other, ..file("lies", b"x") }, b"x", 1),
            (Entry { params: Some(large), ..file("several", b"several") }, b"several", 2),
            (Entry { executable: true, ..file("run", b"run") }, b"run", 3),
            (Entry { hash: other, ..file("z", b"") }, b"", 1),
        ];
        // As of any length: the hash of the last one is found otherwise.
        for count in 0..=all.len() {
            let entries = entries(&all[..count]);
            assert_eq!((entries.len(), entries.iter().len()), (count, count));
            let mut start = 0;
            for (placed, (entry, ..)) in entries.iter().zip(&all) {
                let found = (placed.path, placed.kind, placed.executable, placed.mtime, placed.size);
                assert_eq!(found, (&*entry.path, entry.kind, entry.executable, entry.mtime, entry.size));
                assert_eq!((placed.hash, placed.params), (entry.hash, entry.params), "{}", entry.path);
                assert_eq!((placed.target, placed.start), (entry.target.as_deref(), start));
                start += entry.size;
            }
            assert_eq!(entries.get(count), None);
            assert_eq!(entries.last().map(|entry| entry.path), entries.iter().next_back().map(|e| e.path));
        }
    }

    #[test]
    fn each_is_found_by_path_and_by_chunk() {
        let all: [(Entry, &[u8], usize); 5] = [
            (folder("f"), b"", 1),
            (file("f/x", b"12345"), b"12345", 2),
            (file("f/y", b""), b"", 1),
            (file("f z", b"6"), b"6", 1),
            (file("g", b""), b"", 1),
        ];
        let entries = entries(&all);
        for (entry, ..) in &all {
            assert_eq!(entries.find(&entry.path).map(|found| found.path), Some(&*entry.path));
        }
        assert_eq!(entries.find("f/w"), None);
        assert_eq!(entries.find(""), None);
        let of = |chunk| entries.of_chunk(chunk);
        assert_eq!([0, 1, 2, 3, 4].map(of), [Some(1), Some(1), Some(1), Some(3), None]);
    }
}
