//! A folder in progress: a temporary folder beside the target, into which every chunk is written where it belongs.
//!
//! That of an update has only what differs, in a folder [`NEW`] in it; beside that is one for what it replaces, see
//! `update`.
//!
//! Its files come as their chunks do, and its folders with the first file in them. Links are made last of all, and
//! nothing here follows one.

mod finish;
mod take;
mod wholes;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wire::ContentHash;
use wire::manifest::{Layout, Placed, Span};

use self::wholes::Wholes;
use super::cache::Cache;
use super::{PartialError, remove_temporary};
use crate::ranges::RangeSet;
use crate::store::chosen::Chosen;
use crate::store::fs::{
    At, FileError, FileKind, FileStamp, Fs, FsFile, FsFolder, create_folders, failed, parent_of, read_full,
};
use crate::store::update::NEW;

/// Files that are kept open: large ones, of which more is to come.
const OPEN_FILES: usize = 16;
/// More files or folders than these are made durable by one call for their whole file system: each by itself would cost a
/// write of the file system's log.
pub(in crate::store) const SYNCED_ONE_BY_ONE: usize = 64;
/// The mode of its folders, without the umask's bits.
const FOLDER_MODE: u32 = 0o777;

/// A temporary folder. All methods block, and several threads may call them.
///
/// It stays when it is dropped: only [`PartialFolder::discard`] removes it, and a failed sync does.
#[derive(Debug)]
pub struct PartialFolder {
    fs: Arc<dyn Fs>,
    folder: Arc<dyn FsFolder>,
    path: PathBuf,
    /// Where its files lie.
    tree: PathBuf,
    layout: Arc<Layout>,
    chosen: Chosen,
    shape: Shape,
    files: Mutex<Files>,
    wholes: Wholes,
    cache: Cache,
    discarded: AtomicBool,
}

/// Whether a temporary folder is itself what is to be put in place, or has in it what an update needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Shape {
    Whole,
    Update,
}

#[derive(Debug, Default)]
struct Files {
    /// The files used last, the latest in front, by entry.
    open: VecDeque<(usize, Arc<dyn FsFile>)>,
    /// Written since they were made durable. A file is entered *after* each write, so that a write that was reported is
    /// covered by the next sync, whatever runs beside it.
    unsynced: BTreeSet<usize>,
}

impl PartialFolder {
    /// Creates one with mode 0700, and nothing in it yet; creates the folder above it if need be.
    ///
    /// # Errors
    /// See [`PartialError`]; nothing is left then but perhaps the folder above.
    pub(in crate::store) fn create(
        fs: Arc<dyn Fs>,
        path: &Path,
        layout: Arc<Layout>,
        chosen: Chosen,
        shape: Shape,
    ) -> Result<Self, PartialError> {
        let above = parent_of(path);
        create_folders(&*fs, above)?;
        let (available, needed) =
            (fs.free_space(above).at("look at the free space of", above)?, chosen.bytes(&layout));
        if available < needed {
            return Err(PartialError::NoSpace { folder: above.to_owned(), needed, available });
        }
        fs.create_folder(path).at("create", path)?;
        let made = Self::open(fs.clone(), path, layout, chosen, shape).and_then(|partial| {
            partial.refuse_clashes()?;
            fs.sync_folder(above).at("make durable the folder", above)?;
            Ok(partial)
        });
        made.inspect_err(|_| {
            if let Err(error) = remove_temporary(&*fs, path) {
                tracing::warn!(%error, "a temporary folder stays for now");
            }
        })
    }

    /// Opens one again, or returns `None` where it has vanished or is no folder. Chunks of files that are not as they were
    /// are taken out of `done`.
    ///
    /// # Errors
    /// See [`PartialError`].
    pub(in crate::store) fn reopen(
        fs: Arc<dyn Fs>,
        path: &Path,
        layout: Arc<Layout>,
        chosen: Chosen,
        shape: Shape,
        done: &mut RangeSet,
    ) -> Result<Option<Self>, PartialError> {
        match fs.stat(path) {
            Ok(stat) if stat.kind == FileKind::Folder => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", path, error).into()),
        }
        let partial = Self::open(fs, path, layout, chosen, shape)?;
        partial.forget_lost(done)?;
        Ok(Some(partial))
    }

    fn open(
        fs: Arc<dyn Fs>,
        path: &Path,
        layout: Arc<Layout>,
        chosen: Chosen,
        shape: Shape,
    ) -> Result<Self, PartialError> {
        let path = path.to_owned();
        let tree = match shape {
            Shape::Whole => path.clone(),
            Shape::Update => path.join(NEW),
        };
        if shape == Shape::Update {
            match fs.create_folder(&tree) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => created.at("create", &tree)?,
            }
            fs.sync_folder(&path).at("make durable the folder", &path)?;
        }
        let folder = fs.open_folder(&tree).at("open", &tree)?;
        let wholes = Wholes::new(layout.entries.len());
        let (files, cache, discarded) = (Mutex::default(), Cache::default(), AtomicBool::new(false));
        Ok(Self { fs, folder, path, tree, layout, chosen, shape, files, wholes, cache, discarded })
    }

    /// How many bytes all its files have, those that are not chosen too.
    pub fn size(&self) -> u64 {
        self.layout.chunks.size()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes whole chunks at an offset among the bytes of all files, into the files that they belong to, which are
    /// created. Each chunk is what its hash says: where a file is one chunk, its own hash is not computed again. They are
    /// not durable before [`PartialFolder::sync_data`].
    ///
    /// # Errors
    /// See [`PartialError`]; some of the bytes may have been written.
    pub fn write_chunks(&self, offset: u64, bytes: &[u8]) -> Result<(), PartialError> {
        let range = self.check(offset, bytes.len())?;
        let mut written = Vec::new();
        let mut spans = self.layout.spans(range).filter(|span| self.chosen.has(span.entry));
        let result = spans.try_for_each(|span| {
            let part = slice_of(&span, offset, bytes.len());
            self.write_part(&span, bytes.get(part).unwrap_or_default())?;
            written.push(span.entry);
            Ok(())
        });
        self.files().unsynced.extend(written);
        result
    }

    fn write_part(&self, span: &Span, bytes: &[u8]) -> Result<(), PartialError> {
        let Some(entry) = self.layout.entries.get(span.entry) else { return Ok(()) };
        let whole = span.len() == entry.size;
        if whole && self.write_whole(span.entry, entry, bytes)? {
            return Ok(());
        }
        self.wholes.touch(span.entry);
        let file = self.file_to_write(span.entry, entry, whole)?;
        let written = self.cache.write(&*file, entry.size, (bytes, span.offset));
        Ok(written.at("write", &self.path_of(entry))?)
    }

    /// See [`Partial::keep_cached`](super::Partial::keep_cached).
    pub(super) fn keep_cached(&self) {
        self.cache.keep();
    }

    /// Makes a file of all its bytes, and finishes it as long as it is open; returns `false`, with nothing done, where it
    /// is there already. The folder above all of it is private, so that the file may have its mode from the beginning.
    fn write_whole(&self, number: usize, entry: Placed<'_>, bytes: &[u8]) -> Result<bool, PartialError> {
        let mode = if entry.executable { 0o777 } else { 0o666 };
        let file = match self.create_file(entry, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            created => created.map_err(|error| self.failed("create", entry, error))?,
        };
        if !bytes.is_empty() {
            file.write_at(bytes, 0).map_err(|error| self.failed("write", entry, error))?;
        }
        file.set_modified(entry.mtime).map_err(|error| self.failed("set the time of", entry, error))?;
        let found = file.stat().map_err(|error| self.failed("look at", entry, error))?;
        let FileStamp { size, mtime, inode, .. } = found.stamp;
        // A file system may keep the time less exactly.
        if (size, mtime) == (entry.size, entry.mtime) && self.is_whole(entry, bytes) {
            self.wholes.enter(number, inode);
        }
        Ok(true)
    }

    /// Whether all the bytes of a file, which came in chunks that are what their hashes say, have the file's hash.
    fn is_whole(&self, entry: Placed<'_>, bytes: &[u8]) -> bool {
        let mut chunks = self.layout.chunks.chunks_of(entry.bytes());
        let only =
            chunks.next().filter(|_| chunks.is_empty()).and_then(|only| self.layout.chunks.chunk(only));
        match only {
            Some(only) => only.hash.as_bytes() == entry.hash.as_bytes(),
            None => ContentHash::of(bytes) == entry.hash,
        }
    }

    /// Creates a file, and before that the folders that it lies in, where they are not there.
    fn create_file(&self, entry: Placed<'_>, mode: u32) -> io::Result<Arc<dyn FsFile>> {
        let path = Path::new(entry.path);
        match self.folder.create_new(path, mode) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_folders_above(path)?;
                self.folder.create_new(path, mode)
            }
            created => created,
        }
    }

    fn create_folders_above(&self, path: &Path) -> io::Result<()> {
        let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) else { return Ok(()) };
        match self.create_folder(above) {
            // It was, or another thread was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    /// Creates a folder, which has its mode then, and before that those that it lies in, where they are not there.
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        match self.folder.create_folder(path, FOLDER_MODE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_folders_above(path)?;
                self.folder.create_folder(path, FOLDER_MODE)?;
            }
            made => made?,
        }
        if let Some(number) = path.to_str().and_then(|path| self.layout.entries.number_of(path)) {
            self.wholes.enter_folder(number);
        }
        Ok(())
    }

    /// Whether this run wrote all of a file in one piece that has the file's hash, and nothing more to it.
    pub fn is_verified(&self, entry: usize) -> bool {
        self.wholes.inode(entry).is_some()
    }

    /// Fills a buffer from an offset among the bytes of all files.
    ///
    /// # Errors
    /// See [`PartialError`].
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), PartialError> {
        let range = self.check(offset, buffer.len())?;
        let length = buffer.len();
        for span in self.layout.spans(range) {
            let Some(entry) = self.layout.entries.get(span.entry) else { continue };
            let part = buffer.get_mut(slice_of(&span, offset, length)).unwrap_or_default();
            let path = self.path_of(entry);
            let file = match self.kept_open(span.entry) {
                Some(file) => file,
                None => self.folder.open_read(Path::new(entry.path)).at("open", &path)?,
            };
            if read_full(&*file, part, span.offset).at("read", &path)? < part.len() {
                return Err(failed("read", &path, io::ErrorKind::UnexpectedEof.into()).into());
            }
        }
        // Once it is sealed another file may have the name.
        self.check(0, 0).map(drop)
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// [`PartialError::SyncFailed`]: the folder was discarded, as [a file](super::PartialFile::sync_data) is.
    pub fn sync_data(&self) -> Result<(), PartialError> {
        self.check(0, 0)?;
        let unsynced = std::mem::take(&mut self.files().unsynced);
        self.sync_files(&unsynced).map_err(|source| {
            self.discard();
            PartialError::SyncFailed { path: self.path.clone(), source }
        })
    }

    fn sync_files(&self, entries: &BTreeSet<usize>) -> io::Result<()> {
        if entries.len() > SYNCED_ONE_BY_ONE
            && let Some(synced) = self.folder.sync_file_system()
        {
            return synced;
        }
        let mut folders = BTreeSet::new();
        for entry in entries.iter().filter_map(|&entry| self.layout.entries.get(entry)) {
            let path = Path::new(entry.path);
            self.folder.open_write(path)?.sync_all()?;
            // Some of them are new.
            folders.extend(path.ancestors().skip(1));
        }
        folders.into_iter().try_for_each(|folder| self.folder.sync_folder(folder))
    }

    /// Before it is put in place file by file: from now on the names in it may lead to users' files, so that it gives and
    /// takes no bytes any more, and nobody removes it by this handle.
    pub(in crate::store) fn seal(&self) {
        self.discarded.store(true, Ordering::Release);
    }

    /// Removes it, unless it has been installed: then something else may have its name. See
    /// [`PartialFile::discard`](super::PartialFile::discard).
    pub fn discard(&self) {
        if !self.discarded.swap(true, Ordering::AcqRel)
            && let Err(error) = remove_temporary(&*self.fs, &self.path)
        {
            tracing::warn!(%error, "a temporary folder stays for now");
        }
    }

    /// The entries that are to be there, with their numbers.
    fn wanted(&self) -> impl DoubleEndedIterator<Item = (usize, Placed<'_>)> {
        self.layout.entries.iter().enumerate().filter(|(number, _)| self.chosen.has(*number))
    }

    fn path_of(&self, entry: Placed<'_>) -> PathBuf {
        self.tree.join(entry.path)
    }

    fn failed(&self, action: &'static str, entry: Placed<'_>, error: io::Error) -> FileError {
        failed(action, &self.path_of(entry), error)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, offset: u64, length: usize) -> Result<std::ops::Range<u64>, PartialError> {
        if self.discarded.load(Ordering::Acquire) {
            return Err(PartialError::Discarded(self.path.clone()));
        }
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.layout.chunks.size() => Ok(offset..end),
            _ => Err(PartialError::OutOfBounds { path: self.path.clone(), offset, length }),
        }
    }

    fn kept_open(&self, number: usize) -> Option<Arc<dyn FsFile>> {
        let mut files = self.files();
        let at = files.open.iter().position(|(open, _)| *open == number)?;
        let found = files.open.remove(at)?;
        files.open.push_front(found.clone());
        Some(found.1)
    }

    /// A file of the right length, created if need be. One that is written as a `whole` is not kept open, and gets its
    /// length from that.
    fn file_to_write(
        &self,
        number: usize,
        entry: Placed<'_>,
        whole: bool,
    ) -> Result<Arc<dyn FsFile>, PartialError> {
        if let Some(file) = self.kept_open(number) {
            return Ok(file);
        }
        let (name, path) = (Path::new(entry.path), self.path_of(entry));
        let file = match self.folder.open_write(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match self.create_file(entry, 0o600) {
                    // Another thread was quicker.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        self.folder.open_write(name)
                    }
                    created => created,
                }
            }
            opened => opened,
        };
        let file = file.at("open", &path)?;
        let length = file.stat().at("look at", &path)?.stamp.size;
        if length != entry.size && (!whole || length > entry.size) {
            file.set_len(entry.size).at("set the size of", &path)?;
        }
        if !whole {
            let mut files = self.files();
            files.open.push_front((number, file.clone()));
            files.open.truncate(OPEN_FILES);
        }
        Ok(file)
    }

    /// Takes out of `done` what is not there: somebody removed or shortened a file.
    fn forget_lost(&self, done: &mut RangeSet) -> Result<(), PartialError> {
        for (_, entry) in self.wanted().filter(|(_, entry)| entry.size > 0) {
            let chunks = self.layout.chunks.chunks_of(entry.bytes());
            if !chunks.clone().any(|chunk| done.contains(chunk)) {
                continue;
            }
            let there = match self.folder.stat(Path::new(entry.path)) {
                Ok(stat) => stat.kind == FileKind::Regular && stat.stamp.size == entry.size,
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => return Err(failed("look at", &self.path_of(entry), error).into()),
            };
            if !there {
                done.remove(chunks);
            }
        }
        Ok(())
    }

    /// Two names that this file system takes for one would overwrite each other.
    fn refuse_clashes(&self) -> Result<(), PartialError> {
        if !ignores_case(&*self.fs, &self.path) {
            return Ok(());
        }
        let mut seen = HashSet::new();
        // What an update does not bring is there already.
        let mut entries = self.layout.entries.iter().enumerate();
        let here = |number| self.shape == Shape::Update || self.chosen.has(number);
        match entries.find(|(number, entry)| here(*number) && !seen.insert(wire::fold(entry.path))) {
            Some((_, entry)) => Err(PartialError::Clash(self.path_of(entry))),
            None => Ok(()),
        }
    }
}

/// Whether the file system that a temporary folder lies on takes names for one that differ in case alone: seen by the
/// folder's own name.
pub(in crate::store) fn ignores_case(fs: &dyn Fs, temporary: &Path) -> bool {
    let name = temporary.file_name().unwrap_or_default().to_string_lossy();
    fs.stat(&temporary.with_file_name(name.replace(".part", ".PART"))).is_ok()
}

/// Where a part of a range that begins at `offset` lies in its buffer.
fn slice_of(span: &Span, offset: u64, length: usize) -> std::ops::Range<usize> {
    let at = |position: u64| usize::try_from(position - offset).unwrap_or(length).min(length);
    at(span.bytes.start)..at(span.bytes.end)
}

#[cfg(test)]
mod tests;
