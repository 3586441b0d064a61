//! One entry of a manifest: a file, or in a folder's manifest also a folder or a link.

use certs::UnixNanos;
use serde::{Deserialize, Serialize};

use super::chunker::{CHUNKER, ChunkerParams};
use super::link::check_target;
use super::{ManifestError, ManifestError::Inconsistent};
use crate::hash::ContentHash;
use crate::limits;
use crate::name::ResourceName;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// A file; its chunks follow.
    File,
    /// A folder, also an empty one.
    Folder,
    /// A symbolic link.
    Link,
}

/// One entry. Its chunks, if it has any, follow it, in this page and the next ones, up to the next entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Where it lies in the folder: names joined by `/`; empty for a manifest that is one file.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Whether its owner may execute it; `false` for a folder or a link.
    pub executable: bool,
    /// When it was last modified.
    pub mtime: UnixNanos,
    /// Its size in bytes; 0 for a folder or a link.
    pub size: u64,
    /// A file: BLAKE3 of its bytes. A link: BLAKE3 of its target. A folder: BLAKE3 of nothing.
    pub hash: ContentHash,
    /// How a file was cut: the chunker's name. Empty for a folder or a link.
    pub chunker: String,
    /// The chunker's parameters; `None` for a folder or a link.
    pub params: Option<ChunkerParams>,
    /// Where a link points to, see [`check_target`]; `None` for a file or a folder.
    pub target: Option<String>,
}

impl Entry {
    /// The one entry of a file's manifest.
    pub fn file(
        executable: bool,
        mtime: UnixNanos,
        size: u64,
        hash: ContentHash,
        params: ChunkerParams,
    ) -> Self {
        Self {
            path: String::new(),
            kind: EntryKind::File,
            executable,
            mtime,
            size,
            hash,
            chunker: CHUNKER.to_owned(),
            params: Some(params),
            target: None,
        }
    }

    /// A folder in a folder's manifest, also an empty one.
    pub fn folder(path: String, mtime: UnixNanos) -> Self {
        let hash = ContentHash::of(b"");
        let (kind, executable, size, chunker) = (EntryKind::Folder, false, 0, String::new());
        Self { path, kind, executable, mtime, size, hash, chunker, params: None, target: None }
    }

    /// A symbolic link in a folder's manifest.
    pub fn link(path: String, mtime: UnixNanos, target: String) -> Self {
        let hash = ContentHash::of(target.as_bytes());
        Self { kind: EntryKind::Link, hash, target: Some(target), ..Self::folder(path, mtime) }
    }

    /// The rules that the types cannot say.
    pub(super) fn check(&self) -> Result<(), ManifestError> {
        check_path(&self.path)?;
        let of_file = self.kind == EntryKind::File;
        if of_file != self.params.is_some() || (self.kind == EntryKind::Link) != self.target.is_some() {
            return Err(Inconsistent("an entry with fields of another kind"));
        }
        if of_file {
            return match (self.chunker.as_str(), self.params) {
                (CHUNKER, Some(params)) if params.is_valid() => Ok(()),
                _ => Err(ManifestError::Unknown("chunker")),
            };
        }
        if self.size != 0 || !self.chunker.is_empty() || self.executable {
            return Err(Inconsistent("a folder or link with what only a file has"));
        }
        if self.hash != ContentHash::of(self.target.as_deref().unwrap_or_default().as_bytes()) {
            return Err(Inconsistent("a hash that is not of the link's target, or of nothing"));
        }
        match &self.target {
            Some(target) => check_target(&self.path, target)
                .map_err(|_| Inconsistent("a link without a target, or to one outside of the folder")),
            None => Ok(()),
        }
    }
}

/// A path is empty, or names joined by `/`, each by the rules for names.
fn check_path(path: &str) -> Result<(), ManifestError> {
    if path.len() > limits::PATH_BYTES {
        return Err(Inconsistent("a path that is too long"));
    }
    let named = |part: &str| ResourceName::check(part).is_ok();
    if path.is_empty() || path.split('/').all(named) {
        return Ok(());
    }
    Err(Inconsistent("a path that could lead out of its folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry::file(false, UnixNanos(1), 3, ContentHash::of(b"abc"), ChunkerParams::for_size(3))
    }

    #[test]
    fn paths() {
        for good in ["", "a", "a/b/c.txt", "Übung/1"] {
            assert_eq!(Entry { path: good.to_owned(), ..entry() }.check(), Ok(()), "{good}");
        }
        for bad in ["/", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "a\\b", "a\0"] {
            assert!(Entry { path: bad.to_owned(), ..entry() }.check().is_err(), "{bad}");
        }
    }

    #[test]
    fn kinds_have_their_own_fields() {
        let link = Entry {
            kind: EntryKind::Link,
            size: 0,
            chunker: String::new(),
            params: None,
            hash: ContentHash::of(b"x"),
            target: Some("x".to_owned()),
            ..entry()
        };
        assert_eq!(link.check(), Ok(()));
        let nothing = ContentHash::of(b"");
        let folder = Entry { kind: EntryKind::Folder, target: None, hash: nothing, ..link.clone() };
        assert_eq!(folder.check(), Ok(()));
        assert!(Entry { target: Some(String::new()), ..folder.clone() }.check().is_err());
        assert!(Entry { hash: ContentHash::of(b"y"), ..folder.clone() }.check().is_err());
        assert!(Entry { executable: true, ..folder }.check().is_err());
        assert!(Entry { target: Some("y".to_owned()), ..link.clone() }.check().is_err());
        assert!(Entry { size: 1, ..link }.check().is_err());
        assert!(Entry { params: None, ..entry() }.check().is_err());
        assert!(Entry { chunker: "other".to_owned(), ..entry() }.check().is_err());
    }
}
