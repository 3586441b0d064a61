//! A folder in progress: a temporary folder beside the target, into which every chunk is written where it belongs.
//!
//! Its files come as their chunks do, and its folders with the first file in them. Links are made last of all, and
//! nothing here follows one.

mod wholes;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use certs::UnixNanos;
use wire::ContentHash;
use wire::manifest::{EntryKind, Layout, Placed, Span};

use self::wholes::Wholes;
use super::{PartialError, remove_temporary};
use crate::ranges::RangeSet;
use crate::store::chosen::Chosen;
use crate::store::folder_files::{FolderFile, FolderFiles};
use crate::store::fs::{
    At, FileError, FileKind, FileStamp, Fs, FsFile, FsFolder, create_folders, failed, parent_of, read_full,
};

/// Files that are kept open: large ones, of which more is to come.
const OPEN_FILES: usize = 16;
/// More files than these are made durable by one call for their whole file system: each by itself would cost a write of
/// the file system's log.
const SYNCED_ONE_BY_ONE: usize = 64;

/// A temporary folder. All methods block, and several threads may call them.
///
/// It stays when it is dropped: only [`PartialFolder::discard`] removes it, and a failed sync does.
#[derive(Debug)]
pub struct PartialFolder {
    fs: Arc<dyn Fs>,
    folder: Arc<dyn FsFolder>,
    path: PathBuf,
    layout: Arc<Layout>,
    chosen: Chosen,
    files: Mutex<Files>,
    wholes: Wholes,
    discarded: AtomicBool,
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
    pub fn create(
        fs: Arc<dyn Fs>,
        path: &Path,
        layout: Arc<Layout>,
        chosen: Chosen,
    ) -> Result<Self, PartialError> {
        let above = parent_of(path);
        create_folders(&*fs, above)?;
        let (available, needed) =
            (fs.free_space(above).at("look at the free space of", above)?, chosen.bytes(&layout));
        if available < needed {
            return Err(PartialError::NoSpace { folder: above.to_owned(), needed, available });
        }
        fs.create_folder(path).at("create", path)?;
        let made = Self::open(fs.clone(), path, layout, chosen).and_then(|partial| {
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
    pub fn reopen(
        fs: Arc<dyn Fs>,
        path: &Path,
        layout: Arc<Layout>,
        chosen: Chosen,
        done: &mut RangeSet,
    ) -> Result<Option<Self>, PartialError> {
        match fs.stat(path) {
            Ok(stat) if stat.kind == FileKind::Folder => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", path, error).into()),
        }
        let partial = Self::open(fs, path, layout, chosen)?;
        partial.forget_lost(done)?;
        Ok(Some(partial))
    }

    fn open(fs: Arc<dyn Fs>, path: &Path, layout: Arc<Layout>, chosen: Chosen) -> Result<Self, PartialError> {
        let folder = fs.open_folder(path).at("open", path)?;
        let (files, wholes, discarded) =
            (Mutex::default(), Wholes::new(layout.entries.len()), AtomicBool::new(false));
        Ok(Self { fs, folder, path: path.to_owned(), layout, chosen, files, wholes, discarded })
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
        for span in self.layout.spans(range) {
            if !self.chosen.has(span.entry) {
                continue;
            }
            let part = slice_of(&span, offset, bytes.len());
            let bytes = bytes.get(part).unwrap_or_default();
            self.write_part(&span, bytes)?;
            self.files().unsynced.insert(span.entry);
        }
        Ok(())
    }

    fn write_part(&self, span: &Span, bytes: &[u8]) -> Result<(), PartialError> {
        let Some(entry) = self.layout.entries.get(span.entry) else { return Ok(()) };
        let whole = span.len() == entry.size;
        if whole && self.write_whole(span.entry, entry, bytes)? {
            return Ok(());
        }
        self.wholes.touch(span.entry);
        let file = self.file_to_write(span.entry, entry, whole)?;
        Ok(file.write_at(bytes, span.offset).at("write", &self.path_of(entry))?)
    }

    /// Makes a file of all its bytes, and finishes it as long as it is open; returns `false`, with nothing done, where it
    /// is there already. The folder above all of it is private, so that the file may have its mode from the beginning.
    fn write_whole(&self, number: usize, entry: Placed<'_>, bytes: &[u8]) -> Result<bool, PartialError> {
        let path = self.path_of(entry);
        let mode = if entry.executable { 0o777 } else { 0o666 };
        let file = match self.create_file(entry, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            created => created.at("create", &path)?,
        };
        if !bytes.is_empty() {
            file.write_at(bytes, 0).at("write", &path)?;
        }
        file.set_modified(entry.mtime).at("set the time of", &path)?;
        let FileStamp { size, mtime, inode, .. } = file.stat().at("look at", &path)?.stamp;
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
        let made = match self.folder.create_folder(above) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_folders_above(above)?;
                self.folder.create_folder(above)
            }
            made => made,
        };
        match made {
            // It was, or another thread was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
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
        Ok(())
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

    /// What is left to do before it can be put in place: what has no bytes is made, modes and times are set, all of it is
    /// made durable. Adds the files as they are then. May be done again.
    ///
    /// # Errors
    /// As the system's; [`PartialError::SyncFailed`] as above.
    pub fn finish(&self, mut files: FolderFiles) -> Result<FolderFiles, PartialError> {
        self.check(0, 0)?;
        self.files().open.clear();
        for (number, entry) in self.wanted() {
            let path = Path::new(entry.path);
            match entry.kind {
                EntryKind::File => files.push(self.finish_file(number, entry)?),
                EntryKind::Folder => self.create_folder(entry)?,
                EntryKind::Link => {
                    let target = entry.target.unwrap_or_default();
                    let made = self.folder.create_link(path, target, entry.mtime);
                    self.unless_there(made, entry, FileKind::Link, "create")?;
                }
            }
        }
        let mode = 0o777 & !self.fs.umask();
        // Setting times last and from the back: what is made in a folder changes its time.
        for (_, entry) in self.wanted().rev().filter(|(_, entry)| entry.kind == EntryKind::Folder) {
            let set = self.folder.set_folder_attributes(Path::new(entry.path), mode, entry.mtime);
            set.at("set the mode and time of", &self.path_of(entry))?;
        }
        self.sync_all().map_err(|source| {
            self.discard();
            PartialError::SyncFailed { path: self.path.clone(), source }
        })?;
        Ok(files.finish())
    }

    fn finish_file(&self, number: usize, entry: Placed<'_>) -> Result<FolderFile, PartialError> {
        if entry.size == 0 {
            self.write_whole(number, entry, b"")?;
        }
        let stamp = match self.wholes.inode(number) {
            Some(inode) => FileStamp { size: entry.size, mtime: entry.mtime, inode, device: 0 },
            None => self.set_attributes(number, entry)?,
        };
        let entry_number = u32::try_from(number).unwrap_or(u32::MAX);
        Ok(FolderFile { entry: entry_number, path: PathBuf::from(entry.path), stamp })
    }

    fn set_attributes(&self, number: usize, entry: Placed<'_>) -> Result<FileStamp, PartialError> {
        let path = self.path_of(entry);
        let file = self.file_to_write(number, entry, true)?;
        let mode = if entry.executable { 0o777 } else { 0o666 } & !self.fs.umask();
        file.set_attributes(mode, entry.mtime).at("set the mode and time of", &path)?;
        Ok(file.stat().at("look at", &path)?.stamp)
    }

    fn sync_all(&self) -> io::Result<()> {
        if self.layout.entries.len() > SYNCED_ONE_BY_ONE
            && let Some(synced) = self.folder.sync_file_system()
        {
            return synced;
        }
        for (_, entry) in self.wanted().filter(|(_, entry)| entry.kind == EntryKind::File) {
            self.folder.open_write(Path::new(entry.path))?.sync_all()?;
        }
        for (_, entry) in self.wanted().rev().filter(|(_, entry)| entry.kind == EntryKind::Folder) {
            self.folder.sync_folder(Path::new(entry.path))?;
        }
        self.folder.sync_folder(Path::new(""))
    }

    /// Gives the folder itself its mode and time; it is then no longer private.
    ///
    /// # Errors
    /// As the system's.
    pub fn open_to_others(&self, mtime: UnixNanos) -> Result<(), FileError> {
        let here = Path::new("");
        let mode = 0o777 & !self.fs.umask();
        self.folder.set_folder_attributes(here, mode, mtime).at("set the mode and time of", &self.path)?;
        self.folder.sync_folder(here).at("make durable the folder", &self.path)
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
        self.path.join(entry.path)
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

    fn create_folder(&self, entry: Placed<'_>) -> Result<(), PartialError> {
        let made = self.folder.create_folder(Path::new(entry.path));
        self.unless_there(made, entry, FileKind::Folder, "create the folder")
    }

    /// What is there already, and is what it should be, was made before.
    fn unless_there(
        &self,
        made: io::Result<()>,
        entry: Placed<'_>,
        kind: FileKind,
        action: &'static str,
    ) -> Result<(), PartialError> {
        match made {
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists
                    && self.folder.stat(Path::new(entry.path)).is_ok_and(|stat| stat.kind == kind) =>
            {
                Ok(())
            }
            made => Ok(made.at(action, &self.path_of(entry))?),
        }
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

    /// Two names that this file system takes for one would overwrite each other. Whether it does is seen by the temporary
    /// folder's own name.
    fn refuse_clashes(&self) -> Result<(), PartialError> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        if self.fs.stat(&self.path.with_file_name(name.replace(".part", ".PART"))).is_err() {
            return Ok(());
        }
        let mut seen = HashSet::new();
        match self.wanted().find(|(_, entry)| !seen.insert(wire::fold(entry.path))) {
            Some((_, entry)) => Err(PartialError::Clash(self.path_of(entry))),
            None => Ok(()),
        }
    }
}

/// Where a part of a range that begins at `offset` lies in its buffer.
fn slice_of(span: &Span, offset: u64, length: usize) -> std::ops::Range<usize> {
    let at = |position: u64| usize::try_from(position - offset).unwrap_or(length).min(length);
    at(span.bytes.start)..at(span.bytes.end)
}

#[cfg(test)]
mod tests;
