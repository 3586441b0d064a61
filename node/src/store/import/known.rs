//! What is known of a folder from its version before: what did not change since then is not read again.
//!
//! A file is taken for unchanged whose size, modification time and inode are as they were, unless it was modified when it
//! was read, or so shortly before or after that a later write may have left all three as they are (`FileStamp::is_racy`).

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wire::RootHash;
use wire::manifest::{Chunk, Entry, EntryKind, Layout, Placed, compare_paths};

use super::folder::usable_target;
use super::walk::{Found, Links, SharedNotes, Walk, identity_of};
use super::{FolderOptions, ImportError};
use crate::store::Store;
use crate::store::folder_files::{FolderFile, StoredFiles};
use crate::store::fs::{FileKind, FileStamp, FileStat, Fs, FsFolder};

/// The version before of a folder.
#[derive(Debug, Clone)]
pub struct Before {
    /// Its layout.
    pub layout: Arc<Layout>,
    /// Its manifest, and where it lay: under these the stamps of its files are stored. `None` where no stamps are to be
    /// heeded.
    pub stamps: Option<(RootHash, PathBuf)>,
}

impl Before {
    /// Its stamps, to be gone through once; `None` where they are not known, so that all is read.
    pub(super) fn known(&self, store: Option<&Store>) -> Option<Known> {
        let (root, path) = self.stamps.as_ref()?;
        let files = StoredFiles::open(store?, path, *root);
        let files = files.inspect_err(|error| tracing::warn!(%error, "all of a folder is read")).ok()??;
        Some(Known { files, layout: self.layout.clone(), ahead: None })
    }
}

/// The files of the version before, in the order of a walk.
#[derive(Debug)]
pub(super) struct Known {
    files: StoredFiles,
    layout: Arc<Layout>,
    /// The first one that was not asked for yet.
    ahead: Option<FolderFile>,
}

/// A file of the version before of which a stamp that is equal says that it did not change.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownFile {
    entry: u32,
    stamp: FileStamp,
}

impl Known {
    /// What is known of a file that was found. It is asked for in the order of the walk; what comes out of order is not
    /// known.
    pub(super) fn file(&mut self, found: &Found) -> Option<KnownFile> {
        loop {
            let file = match self.ahead.take() {
                Some(file) => file,
                None => self.files.next()?.ok()?,
            };
            let entry = self.layout.entries.get(file.entry as usize)?;
            match compare_paths(entry.path, &found.name) {
                Ordering::Less => {}
                Ordering::Greater => {
                    self.ahead = Some(file);
                    return None;
                }
                Ordering::Equal => {
                    let usable = file.path == found.path
                        && entry.kind == EntryKind::File
                        && entry.size == file.stamp.size
                        && !self.files.is_racy(&file);
                    return usable.then_some(KnownFile { entry: file.entry, stamp: file.stamp });
                }
            }
        }
    }
}

impl KnownFile {
    /// Whether a file is still this one.
    pub(super) fn is(&self, stat: &FileStat) -> bool {
        stat.kind == FileKind::Regular && stat.stamp.same_as(&self.stamp)
    }

    /// Its entry and chunks as they were; whether it may be executed is as it is now.
    pub(super) fn entry(&self, layout: &Layout, stat: &FileStat) -> Option<(Entry, Vec<Chunk>)> {
        let Placed { path, size, hash, params, .. } = layout.entries.get(self.entry as usize)?;
        let entry = Entry::file(stat.is_executable(), stat.stamp.mtime, size, hash, params?);
        let bytes = layout.entries.get(self.entry as usize)?.bytes();
        let chunks: Option<Vec<Chunk>> =
            layout.chunks.chunks_of(bytes).map(|chunk| layout.chunks.chunk(chunk)).collect();
        Some((Entry { path: path.to_owned(), ..entry }, chunks?))
    }
}

/// Whether a folder is as it was shared, without reading a file: an import would find the same content. Blocks. It costs
/// a walk, and a look at each file.
///
/// # Errors
/// Where the folder cannot be walked; [`ImportError::Cancelled`] where `cancelled` said so.
pub fn is_unchanged(
    fs: &dyn Fs,
    path: &Path,
    options: &FolderOptions,
    cancelled: &dyn Fn() -> bool,
) -> Result<bool, ImportError> {
    let Some(before) = &options.before else { return Ok(false) };
    let Some(mut known) = before.known(options.store.as_ref()) else { return Ok(false) };
    let folder = fs.open_folder(path).map_err(|error| super::open_error(path, error))?;
    let home = options.home.as_deref().and_then(identity_of);
    let entries = &before.layout.entries;
    let mut number = 0;
    for found in Walk::new(path, home, options.gitignore, SharedNotes::default()) {
        if cancelled() {
            return Err(ImportError::Cancelled);
        }
        let found = found?;
        let Some(entry) = entries.get(number) else { return Ok(false) };
        let same = match found.kind {
            FileKind::Regular => is_file(&*folder, &found, &entry, known.file(&found)),
            FileKind::Folder => entry.kind == EntryKind::Folder,
            FileKind::Link => match link(path, &found, options.links) {
                None => continue,
                Some(target) => entry.target == Some(target.as_str()),
            },
            FileKind::Other => continue,
        };
        if !same || entry.path != found.name {
            return Ok(false);
        }
        number += 1;
    }
    Ok(number == entries.len())
}

fn is_file(folder: &dyn FsFolder, found: &Found, entry: &Placed<'_>, known: Option<KnownFile>) -> bool {
    let Some(known) = known else { return false };
    folder.stat(&found.path).is_ok_and(|stat| known.is(&stat) && stat.is_executable() == entry.executable)
}

/// Where a link points to that is shared; `None` for one that is left out.
fn link(root: &Path, found: &Found, links: Links) -> Option<String> {
    if links == Links::Skip {
        return None;
    }
    let target = std::fs::read_link(root.join(&found.path)).ok()?;
    usable_target(&found.name, &target).ok()
}
