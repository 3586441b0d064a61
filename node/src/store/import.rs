//! Hashing a file or a folder for publication: one pass from the first byte to the last.

mod folder;
mod hashing;
mod helpers;
mod known;
mod recut;
mod walk;
mod window;

use std::io;
use std::path::{Path, PathBuf};

use certs::UnixNanos;
use wire::manifest::{ChunkerParams, FileFacts, FileManifestBuilder, Manifest};
use wire::{ContentHash, limits};

pub use self::folder::{FolderOptions, import_folder};
use self::hashing::{Hashed, Hashing, Stopped};
pub use self::known::{Before, is_unchanged};
pub use self::recut::recut;
pub use self::walk::{Links, Note, Notes};
use super::Store;
use super::cut::Cutter;
use super::drafts::Draft;
use super::folder_files::FolderFiles;
use super::fs::{At, FileError, FileKind, FileStamp, FileStat, Fs, FsFile, NotRegular, failed};
use crate::clock;
use crate::off_thread::off_thread;

/// A file or folder as it was hashed.
#[derive(Debug)]
pub struct Imported {
    /// By what the file is recognized as the one that was hashed. Of a folder: the folder's own.
    pub stamp: FileStamp,
    /// When it was last modified. Of a folder: when the last of what is in it was.
    pub mtime: UnixNanos,
    /// Its content hash.
    pub content: ContentHash,
    /// Its manifest, with all pages that are not in the draft.
    pub manifest: Manifest,
    /// Where the first pages of a large folder are.
    pub draft: Option<Draft>,
    /// Whether its owner may execute it; `false` for a folder.
    pub executable: bool,
    /// Of a file: whether a later write may have left its stamp as it is, see [`FileStamp::is_racy`]. Of a folder it is known
    /// of each file.
    pub racy: bool,
    /// Whether a file of the folder was left out because it is still being written.
    pub unsettled: bool,
    /// By what the files of a folder are recognized; `None` for a file.
    pub files: Option<FolderFiles>,
    /// What of a folder was left out, and what may be in the way elsewhere.
    pub notes: Notes,
}

/// Why a file could not be hashed for publication.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Nothing lies there.
    #[error("{} does not exist", .0.display())]
    NotFound(PathBuf),
    /// A folder where a file was expected.
    #[error("{} is a folder", .0.display())]
    Folder(PathBuf),
    /// A folder in which nothing is left to share.
    #[error("{} has nothing in it that can be shared", .0.display())]
    Empty(PathBuf),
    /// The node's home, or what looks like the one of another node.
    #[error("{} is the home of a node: its keys are not shared", .0.display())]
    Home(PathBuf),
    /// A link, a fifo, a socket or a device.
    #[error("{} is {}; only regular files can be shared", path.display(), kind.as_str())]
    NotRegular {
        /// Where.
        path: PathBuf,
        /// What it is.
        kind: FileKind,
    },
    /// This user may not read it.
    #[error("{} may not be read by the user that runs the node", path.display())]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its size, modification time or inode was another after reading than before.
    #[error("{} changed while it was read; try again when nothing writes to it", .0.display())]
    ChangedWhileReading(PathBuf),
    /// It was modified a moment ago, and its user asked for nothing that is still being written.
    #[error("{} is still being written", .0.display())]
    BeingWritten(PathBuf),
    /// Over 2^53 bytes, over 2,097,152 entries, or over 8,192 manifest pages, which a file of over 10 TB has.
    #[error("{} is too large to share", .0.display())]
    TooLarge(PathBuf),
    /// The caller wanted no more of it.
    #[error("cancelled")]
    Cancelled,
    /// Anything else that the system refuses.
    #[error(transparent)]
    File(#[from] FileError),
}

impl ImportError {
    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotFound(_) => Some("check the path"),
            Self::Folder(_) => Some("try again when nothing replaces files there"),
            Self::Home(_) => Some("share a folder in it, or another one"),
            Self::Empty(_) => Some("put something into it; `.p2pignore` files in it say what is left out"),
            Self::TooLarge(_) => Some("share parts of it by themselves"),
            Self::NotRegular { .. } => Some("share the file itself, by its own path"),
            Self::Unreadable { source, .. } => super::io_hint(source),
            Self::File(error) => error.hint(),
            Self::ChangedWhileReading(_) | Self::BeingWritten(_) | Self::Cancelled => None,
        }
    }
}

/// Reads a file once and makes its manifest. Blocks; memory: two windows (8 MiB, at most 64 MiB for
/// the largest files), 40 bytes a chunk and 32 a block. Threads help, as many as there are cores that no other import has.
///
/// `previous` are the parameters by which the version before was cut, if there is one. `progress` is told the bytes done
/// and the file's size, at most once for each window; `cancelled` is asked as often.
///
/// # Errors
/// See [`ImportError`].
pub fn import(
    fs: &dyn Fs,
    path: &Path,
    previous: Option<ChunkerParams>,
    progress: &dyn Fn(u64, u64),
    cancelled: &dyn Fn() -> bool,
) -> Result<Imported, ImportError> {
    let file = fs.open_read(path).map_err(|error| open_error(path, error))?;
    let before = file.stat().at("look at", path)?;
    let size = before.stamp.size;
    if size > limits::CONTENT_BYTES {
        return Err(ImportError::TooLarge(path.to_owned()));
    }
    let params = match previous {
        Some(previous) => previous.for_next_version(size),
        None => ChunkerParams::for_size(size),
    };
    let from = clock::wall().into();
    let hashing = Hashing::new(&*file, Cutter::new(params), FileManifestBuilder::new(params));
    let hashed = hashing.run(size, &|done| progress(done, size), cancelled);
    let (builder, Hashed { content, blocks }) = hashed.map_err(|why| stopped(path, why))?;
    unchanged(fs, path, &*file, &before)?;
    let executable = before.is_executable();
    let racy = before.stamp.is_racy(from, clock::wall().into());
    let facts = FileFacts { executable, mtime: before.stamp.mtime, content };
    let mut manifest = builder.finish(facts).ok_or_else(|| ImportError::TooLarge(path.to_owned()))?;
    manifest.blocks = blocks;
    let (stamp, mtime) = (before.stamp, before.stamp.mtime);
    let (draft, files, notes, unsettled) = (None, None, Notes::default(), false);
    Ok(Imported { stamp, mtime, content, manifest, draft, executable, racy, unsettled, files, notes })
}

impl Store {
    /// [`import`] on a thread for blocking work. It goes on if the future is dropped, until `cancelled` says so.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub async fn import(
        &self,
        path: PathBuf,
        previous: Option<ChunkerParams>,
        progress: impl Fn(u64, u64) + Send + 'static,
        cancelled: impl Fn() -> bool + Send + 'static,
    ) -> Result<Imported, ImportError> {
        let fs = self.fs().clone();
        off_thread(move || import(&*fs, &path, previous, &progress, &cancelled)).await
    }
}

/// Why a file was not read to its end.
fn stopped(path: &Path, why: Stopped) -> ImportError {
    match why {
        Stopped::Io(error) => failed("read", path, error).into(),
        Stopped::Changed => ImportError::ChangedWhileReading(path.to_owned()),
        Stopped::Cancelled => ImportError::Cancelled,
    }
}

fn open_error(path: &Path, error: io::Error) -> ImportError {
    let path = path.to_owned();
    match NotRegular::in_error(&error) {
        Some(NotRegular(FileKind::Folder)) => return ImportError::Folder(path),
        Some(NotRegular(kind)) => return ImportError::NotRegular { path, kind },
        None => {}
    }
    match error.kind() {
        io::ErrorKind::NotFound => ImportError::NotFound(path),
        io::ErrorKind::PermissionDenied => ImportError::Unreadable { path, source: error },
        _ => failed("open", &path, error).into(),
    }
}

/// Both the open file and what the path leads to must be as before: a file that was renamed over it leaves the open one
/// as it was.
fn unchanged(fs: &dyn Fs, path: &Path, file: &dyn FsFile, before: &FileStat) -> Result<(), ImportError> {
    let open = file.stat().at("look at", path)?;
    let named = match fs.stat(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        result => Some(result.at("look at", path)?),
    };
    let same = |stat: FileStat| stat.kind == before.kind && stat.stamp.same_as(&before.stamp);
    match same(open) && named.is_some_and(same) {
        true => Ok(()),
        false => Err(ImportError::ChangedWhileReading(path.to_owned())),
    }
}

#[cfg(test)]
mod tests;
