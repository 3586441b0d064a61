//! Hashing a folder: walked in the order of its manifest, its files hashed some at a time.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use certs::UnixNanos;
use wire::manifest::{Chunk, ChunkerParams, Entry, FolderManifestBuilder, Manifest, check_target};

use super::hashing::{Hashed, Hashing, Stopped};
use super::helpers::Helper;
use super::known::{Before, KnownFile};
use super::walk::{Found, Links, SharedNotes, Walk, identity_of, is_home, name_of};
use super::{ImportError, Imported};
use crate::store::Store;
use crate::store::cut::Cutter;
use crate::store::drafts::Pages;
use crate::store::folder_files::{FolderFile, FolderFiles};
use crate::store::fs::{At, FileKind, FileStamp, FileStat, Fs, FsFolder, NotRegular, failed};

/// Entries that are read before the next ones are looked for: of so many the chunks are in memory at once, 36 bytes each.
const BATCH: usize = 256;
/// Threads that hash files at once; those that are free help with large ones.
const THREADS: usize = 4;

/// How a folder is shared.
#[derive(Debug, Clone, Default)]
pub struct FolderOptions {
    /// What becomes of links.
    pub links: Links,
    /// The version before: unchanged parts keep their chunks, unchanged files are not read.
    pub before: Option<Before>,
    /// A file that was modified within this time is taken for one that is still being written. One that was not in the
    /// version before is left out of this one; where it was, nothing is imported: [`ImportError::BeingWritten`].
    pub quiet: Option<Duration>,
    /// The node's home, which is never shared: its keys are in it.
    pub home: Option<std::path::PathBuf>,
    /// Whether what `.gitignore` files name is left out; by default it is shared, and told.
    pub gitignore: bool,
    /// Where what a large folder has is written as it is found; without it all of that is in memory.
    pub store: Option<Store>,
}

/// Reads a folder once and makes its manifest. Blocks. Memory, where there is a store: the names of the folders that it is
/// in, 16 MiB of the manifest and of how files are, and 52 bytes for each page, whatever is in the folder; else about 400
/// bytes for each file.
///
/// Left out are: what `.p2pignore` files say, in the syntax of `.gitignore`; what is no file, folder or link; what may not
/// be read; names that a manifest cannot have; links that lead out of the folder; homes of nodes, with their keys. All but
/// the first are noted.
///
/// `progress` is told the bytes done; `cancelled` is asked as often. Several threads call both.
///
/// # Errors
/// See [`ImportError`].
pub fn import_folder(
    fs: &dyn Fs,
    path: &Path,
    options: &FolderOptions,
    progress: &(dyn Fn(u64) + Sync),
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Imported, ImportError> {
    let before = fs.stat(path).at("look at", path)?;
    let folder = fs.open_folder(path).map_err(|error| super::open_error(path, error))?;
    let home = options.home.as_deref().and_then(identity_of);
    if home == Some((before.stamp.device, before.stamp.inode)) || is_home(path) {
        return Err(ImportError::Home(path.to_owned()));
    }
    let notes = SharedNotes::default();
    let (done, unsettled) = (AtomicU64::new(0), AtomicBool::new(false));
    let reading = Reading {
        folder: &*folder,
        root: path,
        options,
        notes: &notes,
        done: &done,
        unsettled: &unsettled,
        progress,
        cancelled,
    };
    let mut walk = Walk::new(path, home, options.gitignore, notes.clone());
    let store = options.store.as_ref();
    let (mut builder, mut pages) = (FolderManifestBuilder::new(), Pages::new(store));
    let (mut files, mut number) = (FolderFiles::new(store), 0);
    let mut mtime = UnixNanos(i64::MIN);
    let mut known = options.before.as_ref().and_then(|before| before.known(store));
    let mut look_up = |found: Found| {
        let is_file = found.kind == FileKind::Regular;
        let known = known.as_mut().filter(|_| is_file).and_then(|known| known.file(&found));
        (found, known)
    };
    let mut next_batch =
        || walk.by_ref().take(BATCH).map(|found| found.map(&mut look_up)).collect::<Result<Vec<_>, _>>();
    let mut batch = next_batch()?;
    while !batch.is_empty() {
        let (read, next) = reading.all(&batch, &mut next_batch);
        batch = next?;
        for read in read?.into_iter().flatten() {
            mtime = mtime.max(read.entry.mtime);
            // What else could be wrong with an entry was left out before.
            let pushed = builder.push(read.entry, &read.chunks);
            pushed.map_err(|_| ImportError::TooLarge(path.to_owned()))?;
            if let Some((path, stamp)) = read.file {
                files.push(FolderFile { entry: number, path, stamp });
            }
            number += 1;
        }
        pages.extend_blocking(builder.take_pages());
    }
    if number == 0 {
        return Err(ImportError::Empty(path.to_owned()));
    }
    let manifest = builder.finish().ok_or_else(|| ImportError::TooLarge(path.to_owned()))?;
    pages.extend_blocking(manifest.pages);
    let (pages, draft) = pages.finish();
    let manifest = Manifest { pages, ..manifest };
    Ok(Imported {
        stamp: before.stamp,
        mtime,
        content: manifest.root.content,
        manifest,
        draft,
        executable: false,
        racy: false,
        unsettled: unsettled.into_inner(),
        files: Some(files.finish()),
        notes: notes.take(),
    })
}

/// An entry as it was read.
struct Read {
    entry: Entry,
    chunks: Vec<Chunk>,
    /// Of a file: where it lies in the folder, and its stamp.
    file: Option<(std::path::PathBuf, FileStamp)>,
}

/// `None` for what is left out.
type ReadResult = Result<Option<Read>, ImportError>;

/// What reading needs.
#[derive(Clone, Copy)]
struct Reading<'a> {
    folder: &'a dyn FsFolder,
    root: &'a Path,
    options: &'a FolderOptions,
    notes: &'a SharedNotes,
    done: &'a AtomicU64,
    /// Whether a file was left out that is still being written.
    unsettled: &'a AtomicBool,
    progress: &'a (dyn Fn(u64) + Sync),
    cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl Reading<'_> {
    /// Reads some entries, on several threads; `None` for what is left out. One of the threads does something else
    /// `meanwhile`, and then helps.
    fn all<T>(
        &self,
        batch: &[(Found, Option<KnownFile>)],
        meanwhile: impl FnOnce() -> T,
    ) -> (Result<Vec<Option<Read>>, ImportError>, T) {
        let next = AtomicUsize::new(0);
        let read: Mutex<Vec<(usize, ReadResult)>> = Mutex::default();
        let work = || {
            while let Some((at, (found, known))) = {
                let at = next.fetch_add(1, Ordering::Relaxed);
                batch.get(at).map(|found| (at, found))
            } {
                let result = self.one(found, *known);
                if result.is_err() {
                    // The others need not go on.
                    next.store(batch.len(), Ordering::Relaxed);
                }
                read.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
            }
        };
        let work = &work;
        let done = thread::scope(|scope| {
            for helper in Helper::some(THREADS.min(batch.len()).saturating_sub(1)) {
                scope.spawn(move || {
                    work();
                    // Who still reads a large file has its help.
                    drop(helper);
                });
            }
            let done = meanwhile();
            work();
            done
        });
        let mut read = read.into_inner().unwrap_or_else(PoisonError::into_inner);
        read.sort_by_key(|(at, _)| *at);
        (read.into_iter().map(|(_, result)| result).collect(), done)
    }

    fn one(&self, found: &Found, known: Option<KnownFile>) -> Result<Option<Read>, ImportError> {
        if (self.cancelled)() {
            return Err(ImportError::Cancelled);
        }
        match found.kind {
            FileKind::Regular => match self.unchanged(found, known) {
                Some(read) => Ok(Some(read)),
                None => self.file(found),
            },
            FileKind::Link => self.link(found),
            FileKind::Folder => {
                let mtime = self.stat(found, FileKind::Folder)?.stamp.mtime;
                let entry = Entry::folder(found.name.clone(), mtime);
                Ok(Some(Read { entry, chunks: Vec::new(), file: None }))
            }
            FileKind::Other => Ok(None),
        }
    }

    fn changed(&self, found: &Found) -> ImportError {
        ImportError::ChangedWhileReading(self.root.join(&found.path))
    }

    fn stat(&self, found: &Found, kind: FileKind) -> Result<FileStat, ImportError> {
        match self.folder.stat(&found.path) {
            Ok(stat) if stat.kind == kind => Ok(stat),
            Ok(_) => Err(self.changed(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.changed(found)),
            Err(error) => Err(failed("look at", &self.root.join(&found.path), error).into()),
        }
    }

    fn link(&self, found: &Found) -> Result<Option<Read>, ImportError> {
        if self.options.links == Links::Skip {
            return Ok(None);
        }
        let path = self.root.join(&found.path);
        let mtime = self.stat(found, FileKind::Link)?.stamp.mtime;
        let target = std::fs::read_link(&path).at("read the link", &path)?;
        match usable_target(&found.name, &target) {
            Ok(target) => {
                let entry = Entry::link(found.name.clone(), mtime, target);
                Ok(Some(Read { entry, chunks: Vec::new(), file: None }))
            }
            Err(why) => {
                self.notes.add(&found.path, format!("left out, a link: {why}"));
                Ok(None)
            }
        }
    }

    /// A file that did not change since the version before. One that its owner may not read any more is not such a one.
    fn unchanged(&self, found: &Found, known: Option<KnownFile>) -> Option<Read> {
        let (known, before) = (known?, self.options.before.as_ref()?);
        let stat = self.folder.stat(&found.path).ok()?;
        if !known.is(&stat) || stat.mode & 0o400 == 0 {
            return None;
        }
        let (entry, chunks) = known.entry(&before.layout, &stat)?;
        (self.progress)(self.done.fetch_add(entry.size, Ordering::Relaxed) + entry.size);
        Some(Read { entry, chunks, file: Some((found.path.clone(), stat.stamp)) })
    }

    fn file(&self, found: &Found) -> Result<Option<Read>, ImportError> {
        let path = self.root.join(&found.path);
        let file = match self.folder.open_read(&found.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.notes.add(&found.path, "left out: it may not be read");
                return Ok(None);
            }
            Err(error)
                if error.kind() == io::ErrorKind::NotFound || NotRegular::in_error(&error).is_some() =>
            {
                return Err(self.changed(found));
            }
            Err(error) => return Err(failed("open", &path, error).into()),
        };
        let before = file.stat().at("look at", &path)?;
        if self.options.quiet.is_some_and(|quiet| before.stamp.is_recent(quiet)) {
            return self.being_written(found);
        }
        let size = before.stamp.size;
        let params = self.params(&found.name, size);
        let told = AtomicU64::new(0);
        let progress = |done: u64| {
            let new = done - told.swap(done, Ordering::Relaxed);
            (self.progress)(self.done.fetch_add(new, Ordering::Relaxed) + new);
        };
        let hashing = Hashing::new(&*file, Cutter::new(params), Vec::<Chunk>::new());
        let hashed = hashing.run(size, &progress, &self.cancelled);
        let (chunks, Hashed { content, .. }) = hashed.map_err(|stopped| match stopped {
            Stopped::Io(error) => failed("read", &path, error).into(),
            Stopped::Changed => self.changed(found),
            Stopped::Cancelled => ImportError::Cancelled,
        })?;
        // The same file, as it was; and another one in its place is not the same.
        if !self.stat(found, FileKind::Regular)?.stamp.same_as(&before.stamp) {
            return Err(self.changed(found));
        }
        let stamp = before.stamp;
        let entry = Entry::file(before.is_executable(), stamp.mtime, size, content, params);
        let entry = Entry { path: found.name.clone(), ..entry };
        Ok(Some(Read { entry, chunks, file: Some((found.path.clone(), stamp)) }))
    }

    fn being_written(&self, found: &Found) -> Result<Option<Read>, ImportError> {
        let before = self.options.before.as_ref();
        if before.is_some_and(|before| before.layout.entries.find(&found.name).is_some()) {
            return Err(ImportError::BeingWritten(self.root.join(&found.path)));
        }
        self.unsettled.store(true, Ordering::Relaxed);
        self.notes.add(&found.path, "left out: it is still being written");
        Ok(None)
    }

    /// By the version before, if there was this file in it.
    fn params(&self, name: &str, size: u64) -> ChunkerParams {
        let before = self.options.before.as_ref().and_then(|before| before.layout.entries.find(name)?.params);
        before.map_or_else(|| ChunkerParams::in_folder(size), |before| before.for_next_in_folder(size))
    }
}

/// A link's target as a manifest has it: what says nothing (`.`, a slash too many) left out.
pub(super) fn usable_target(name: &str, target: &Path) -> Result<String, String> {
    let text = target.to_str().ok_or("its target is not UTF-8")?;
    if text.starts_with('/') {
        return Err(wire::manifest::TargetError::Absolute.to_string());
    }
    let part = |part: &str| match part {
        ".." => Some(part.to_owned()),
        part => name_of(part.as_ref()),
    };
    let parts = text.split('/').filter(|part| !part.is_empty() && *part != ".");
    let parts: Option<Vec<String>> = parts.map(part).collect();
    let target = parts.ok_or("its target has a part that is no name")?.join("/");
    check_target(name, &target).map_err(|error| error.to_string())?;
    Ok(target)
}

#[cfg(test)]
mod tests;
