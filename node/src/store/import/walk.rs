//! What is in a folder, in the order of its manifest; and what of it is left out.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ignore::{DirEntry, WalkBuilder};
use wire::{ResourceName, fold, limits};

use super::ImportError;
use crate::store::fs::{FileKind, failed};
use crate::store::names;

/// Files with patterns, in the syntax of `.gitignore`, of what is left out; they hold for their folder and below.
const IGNORE_FILE: &str = ".p2pignore";
/// The same of git: heeded only where that is asked for. Of both in one folder [`IGNORE_FILE`] has the last word.
const GIT_IGNORE_FILE: &str = ".gitignore";
/// By what a home is known: the file with its node's secret key.
const KEY_FILE: &str = "identity.key";
/// Notes that are kept; more are only counted.
const NOTES: usize = 100;

/// What becomes of symbolic links in a shared folder. No link is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// Links that lead nowhere but into the folder are shared as links; others are left out.
    #[default]
    Keep,
    /// All are left out.
    Skip,
}

/// Something that a person should know of what was shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Of which file, relative to the folder.
    pub path: PathBuf,
    /// What.
    pub text: String,
}

/// Notes on a folder that was shared: the first 100, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notes {
    /// The first ones.
    pub first: Vec<Note>,
    /// All of them.
    pub count: u64,
}

impl Notes {
    pub(super) fn add(&mut self, path: &Path, text: impl Into<String>) {
        self.count += 1;
        if self.first.len() < NOTES {
            self.first.push(Note { path: path.to_owned(), text: text.into() });
        }
    }
}

/// Notes that several threads write.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedNotes(Arc<Mutex<Notes>>);

impl SharedNotes {
    pub(super) fn add(&self, path: &Path, text: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(path, text);
    }

    pub(super) fn take(&self) -> Notes {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Where it lies, relative to the folder.
    pub(super) path: PathBuf,
    /// The same as a manifest has it.
    pub(super) name: String,
    pub(super) kind: FileKind,
}

/// A walk through a folder. Memory: the names of the folders that lead to where it is, all names in each of them.
pub(super) struct Walk {
    root: PathBuf,
    inner: ignore::Walk,
    notes: SharedNotes,
    /// One for each folder that leads to where it is.
    levels: Vec<Level>,
    /// What lies in this one is left out.
    dropped: Option<PathBuf>,
    /// Whether one more [`GIT_IGNORE_FILE`] says nothing new: they are heeded, or it was told that they are not.
    gitignore: bool,
}

/// What was seen in one folder.
#[derive(Default)]
struct Level {
    last: String,
    folded: HashSet<String>,
}

impl Walk {
    /// Through the folder at `root`; a folder with the device and inode of `home` is left out, and with `gitignore` what
    /// `.gitignore` files name.
    pub(super) fn new(root: &Path, home: Option<(u64, u64)>, gitignore: bool, notes: SharedNotes) -> Self {
        let mut builder = WalkBuilder::new(root);
        builder.standard_filters(false).follow_links(false);
        // Of two in one folder the later added has the last word.
        if gitignore {
            builder.add_custom_ignore_filename(GIT_IGNORE_FILE);
        }
        builder.add_custom_ignore_filename(IGNORE_FILE);
        builder.sort_by_file_name(|one, other| normalized(one).cmp(&normalized(other)));
        let (above, told) = (root.to_owned(), notes.clone());
        builder.filter_entry(move |entry| is_wanted(entry, &above, home, &told));
        let (levels, dropped) = (Vec::new(), None);
        Self { root: root.to_owned(), inner: builder.build(), notes, levels, dropped, gitignore }
    }

    fn found(&mut self, entry: &DirEntry) -> Option<Found> {
        let path = entry.path().strip_prefix(&self.root).ok()?.to_owned();
        if let Some(error) = entry.error() {
            self.notes.add(&path, format!("it has a file of patterns of which one cannot be used: {error}"));
        }
        if entry.depth() == 0 || self.dropped.as_ref().is_some_and(|dropped| path.starts_with(dropped)) {
            return None;
        }
        let parts: Option<Vec<_>> = path.iter().map(name_of).collect();
        let parts = parts?;
        let (name, last) = (parts.join("/"), parts.last()?.clone());
        if name.len() > limits::PATH_BYTES {
            return self.drop(path, "left out: its path is too long");
        }
        self.levels.truncate(entry.depth());
        self.levels.resize_with(entry.depth(), Level::default);
        let level = self.levels.last_mut()?;
        if level.last == last {
            return self.drop(path, "left out: its name differs from another one only in how it is encoded");
        }
        if !level.folded.insert(fold(&last)) {
            let text = "shared, but its name is that of another one where case does not matter";
            self.notes.add(&path, text);
        }
        let is_git_ignore = last == GIT_IGNORE_FILE;
        level.last = last;
        let kind = match entry.file_type() {
            Some(kind) if kind.is_dir() => FileKind::Folder,
            Some(kind) if kind.is_file() => FileKind::Regular,
            Some(kind) if kind.is_symlink() => FileKind::Link,
            _ => {
                return self.drop(path, "left out: a fifo, a socket or a device");
            }
        };
        if !self.gitignore && is_git_ignore && kind == FileKind::Regular {
            self.gitignore = true;
            let text = "not heeded: what it and others like it name is shared; --gitignore leaves that out";
            self.notes.add(&path, text);
        }
        Some(Found { path, name, kind })
    }

    fn drop(&mut self, path: PathBuf, text: &str) -> Option<Found> {
        self.notes.add(&path, text);
        self.dropped = Some(path);
        None
    }

    /// A folder that may not be read is shared as an empty one.
    fn failed(&self, error: ignore::Error) -> Result<(), ImportError> {
        let path = path_in(&error).unwrap_or(&self.root).to_owned();
        let kind = error.io_error().map(io::Error::kind);
        match kind {
            Some(io::ErrorKind::PermissionDenied) if path != self.root => {
                let inside = path.strip_prefix(&self.root).unwrap_or(&path);
                self.notes.add(inside, "what is in it is left out: it may not be read");
                Ok(())
            }
            Some(io::ErrorKind::NotFound) => Err(ImportError::ChangedWhileReading(path)),
            _ => {
                let source = error.into_io_error().unwrap_or_else(|| io::ErrorKind::Other.into());
                Err(failed("read the folder", &path, source).into())
            }
        }
    }
}

impl Iterator for Walk {
    type Item = Result<Found, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.inner.next()? {
                Ok(entry) => {
                    if let Some(found) = self.found(&entry) {
                        return Some(Ok(found));
                    }
                }
                Err(error) => {
                    if let Err(error) = self.failed(error) {
                        return Some(Err(error));
                    }
                }
            }
        }
    }
}

fn path_in(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path_in(err),
        _ => None,
    }
}

/// Whether something is shared, judged by its name and by what it is; what is in a folder that is not is not looked at.
fn is_wanted(entry: &DirEntry, root: &Path, home: Option<(u64, u64)>, notes: &SharedNotes) -> bool {
    if entry.depth() == 0 {
        return true;
    }
    // Downloads under way.
    if names::is_temporary(entry.file_name().as_bytes()) {
        return false;
    }
    let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
    let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
    if is_folder && home.is_some() && identity(entry) == home {
        notes.add(path, "left out: this node's own files");
        return false;
    }
    if is_folder && is_home(entry.path()) {
        notes.add(path, "left out: it holds an identity.key, as the home of a node does");
        return false;
    }
    match entry.file_name().to_str().map(ResourceName::normalized) {
        Some(Ok(_)) => return true,
        Some(Err(error)) => notes.add(path, format!("left out: {error}")),
        None => notes.add(path, "left out: its name is not UTF-8"),
    }
    false
}

/// Whether a folder looks like the home of a node, this one or another: secret keys are in it.
pub(super) fn is_home(folder: &Path) -> bool {
    folder.join(KEY_FILE).symlink_metadata().is_ok_and(|found| found.is_file())
}

/// Device and inode of a folder, by which a walk knows it.
pub(super) fn identity_of(folder: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(folder).ok().map(|found| (found.dev(), found.ino()))
}

fn identity(entry: &DirEntry) -> Option<(u64, u64)> {
    entry.metadata().ok().map(|found| (found.dev(), found.ino()))
}

/// A name as a manifest has it; `None` for one that it cannot have.
pub(super) fn name_of(name: &OsStr) -> Option<String> {
    ResourceName::normalized(name.to_str()?).ok().map(|name| name.as_str().to_owned())
}

/// By what names are ordered: as a manifest has them.
fn normalized(name: &OsStr) -> Cow<'_, [u8]> {
    if name.as_bytes().is_ascii() {
        return Cow::Borrowed(name.as_bytes());
    }
    match name_of(name) {
        Some(named) if named.as_bytes() != name.as_bytes() => Cow::Owned(named.into_bytes()),
        _ => Cow::Borrowed(name.as_bytes()),
    }
}
