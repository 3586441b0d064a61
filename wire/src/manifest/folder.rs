//! What a folder consists of: the order of its entries, and the content hash over them. PROTOCOL.md, "Content hash".

use std::cmp::Ordering;

use super::entry::{Entry, EntryKind};
use super::{ManifestError, ManifestError::Inconsistent};
use crate::hash::ContentHash;

/// Takes the entries of a folder in order, checks that each is in its place, and makes the folder's content hash.
///
/// Memory: the last path and a number for each folder that it lies in.
#[derive(Debug, Clone, Default)]
pub struct FolderHasher {
    hasher: blake3::Hasher,
    last: String,
    /// The folders that the last path lies in, itself if it is one: how many of its bytes are their paths.
    open: Vec<usize>,
}

impl FolderHasher {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// [`ManifestError::Inconsistent`] where it is out of order, occurs twice, or lies in a folder that is not listed.
    pub fn push(&mut self, entry: &Entry) -> Result<(), ManifestError> {
        let path = entry.path.as_str();
        if path.is_empty() || compare_paths(&self.last, path) != Ordering::Less {
            return Err(Inconsistent("paths that are out of order"));
        }
        let last = self.last.as_str();
        let lies_in = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        self.open.retain(|&length| last.get(..length).is_some_and(lies_in));
        if path.rfind('/') != self.open.last().copied() {
            return Err(Inconsistent("a path in a folder that is not listed"));
        }
        self.add(entry);
        self.last.clear();
        self.last.push_str(path);
        if entry.kind == EntryKind::Folder {
            self.open.push(path.len());
        }
        Ok(())
    }

    /// The content hash of a folder with the entries so far.
    pub fn finish(&self) -> ContentHash {
        ContentHash::from_bytes(*self.hasher.finalize().as_bytes())
    }

    fn add(&mut self, entry: &Entry) {
        let length = u16::try_from(entry.path.len()).unwrap_or(u16::MAX);
        let kind = match entry.kind {
            EntryKind::File => 0,
            EntryKind::Folder => 1,
            EntryKind::Link => 2,
        };
        self.hasher.update(&length.to_be_bytes());
        self.hasher.update(entry.path.as_bytes());
        self.hasher.update(&[kind, entry.executable.into()]);
        self.hasher.update(&entry.size.to_be_bytes());
        self.hasher.update(entry.hash.as_bytes());
    }
}

/// The order of the paths of a folder: by bytes, but `/` before all others, so that what is in a folder comes directly after it.
pub fn compare_paths(one: &str, other: &str) -> Ordering {
    let rank = |byte| if byte == b'/' { 0 } else { byte };
    one.bytes().map(rank).cmp(other.bytes().map(rank))
}

#[cfg(test)]
pub(super) mod tests {
    use certs::UnixNanos;

    use super::*;
    use crate::manifest::ChunkerParams;

    pub(in crate::manifest) fn file(path: &str, content: &[u8]) -> Entry {
        let (size, hash) = (content.len() as u64, ContentHash::of(content));
        let entry = Entry::file(false, UnixNanos(1), size, hash, ChunkerParams::for_size(size));
        Entry { path: path.to_owned(), ..entry }
    }

    pub(in crate::manifest) fn folder(path: &str) -> Entry {
        Entry {
            kind: EntryKind::Folder,
            hash: ContentHash::of(b""),
            chunker: String::new(),
            params: None,
            ..file(path, b"")
        }
    }

    fn hash_of(entries: &[Entry]) -> Result<ContentHash, ManifestError> {
        let mut hasher = FolderHasher::new();
        entries.iter().try_for_each(|entry| hasher.push(entry))?;
        Ok(hasher.finish())
    }

    #[test]
    fn the_order_is_depth_first() {
        let paths = ["a", "a/b", "a/b/c", "a/d", "a b", "a.b", "b"];
        for pair in paths.windows(2) {
            assert_eq!(compare_paths(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
        let entries = [folder("a"), folder("a/b"), file("a/b/c", b"1"), file("a/d", b"2"), file("a.b", b"")];
        assert!(hash_of(&entries).is_ok());
    }

    #[test]
    fn the_hash_is_over_the_list() {
        let entries = [folder("a"), Entry { executable: true, ..file("a/x", b"hello") }];
        let (nothing, hello) = (ContentHash::of(b""), ContentHash::of(b"hello"));
        let list = [
            &[0, 1, b'a', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            nothing.as_bytes().as_slice(),
            &[0, 3, b'a', b'/', b'x', 0, 1, 0, 0, 0, 0, 0, 0, 0, 5],
            hello.as_bytes(),
        ];
        assert_eq!(hash_of(&entries), Ok(ContentHash::of(&list.concat())));
        let touched = entries.clone().map(|entry| Entry { mtime: UnixNanos(9), ..entry });
        assert_eq!(hash_of(&touched), hash_of(&entries));
    }

    #[test]
    fn misplaced_entries_are_refused() {
        for entries in [
            vec![file("b", b""), file("a", b"")],
            vec![file("a", b""), file("a", b"")],
            vec![file("a/b", b"")],
            vec![file("a", b""), file("a/b", b"")],
            vec![folder("a"), file("a/b/c", b"")],
            vec![folder("a"), file("b", b""), file("a/b", b"")],
            vec![folder("a"), file("ab/c", b"")],
            vec![file("", b"")],
        ] {
            assert!(hash_of(&entries).is_err(), "{entries:?}");
        }
    }
}
