//! Hashing a file for publication: one pass from its first byte to its last, in flat memory.
//!
//! A window of the file is in memory. While one thread feeds it to the hash of the whole, another cuts and hashes the
//! chunks; then what is left over moves to the front and the window is filled again.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use wire::manifest::{Chunk, ChunkerParams, FileFacts, FileManifestBuilder, Manifest};
use wire::{ChunkHash, ContentHash, limits};

use super::cut::Cutter;
use super::fs::{At, FileError, FileKind, FileStamp, FileStat, Fs, FsFile, NotRegular, failed, read_full};
use super::{Store, off_thread};

/// The window: 8 MiB, and twice the largest chunk where that is more, so that at least half of it is new at each turn.
const WINDOW_BYTES: usize = 8 << 20;
/// Below this many new bytes a second thread costs more than it brings.
const PARALLEL_BYTES: usize = 256 << 10;

/// A file as it was hashed.
#[derive(Debug, Clone)]
pub struct Imported {
    /// By what the file is recognized as the one that was hashed.
    pub stamp: FileStamp,
    /// BLAKE3 of all of it.
    pub content: ContentHash,
    /// Its manifest.
    pub manifest: Manifest,
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// Why a file could not be hashed for publication.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Nothing lies there.
    #[error("{} does not exist", .0.display())]
    NotFound(PathBuf),
    /// A folder.
    #[error("{} is a folder; sharing folders is not supported yet", .0.display())]
    Folder(PathBuf),
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
    /// Over 2^53 bytes, or over 8,192 manifest pages, which only a file of over 10 TB has.
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
            Self::Unreadable { source, .. } => super::io_hint(source),
            Self::File(error) => error.hint(),
            _ => None,
        }
    }
}

/// Reads a file once and makes its manifest. Blocks; memory: the window (at most 32 MiB) and 40 bytes a chunk.
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
    let mut reading = Reading { file: &*file, path, size, progress, cancelled };
    let (builder, content) = reading.run(params)?;
    unchanged(fs, path, &*file, &before)?;
    let executable = before.is_executable();
    let facts = FileFacts { executable, mtime: before.stamp.mtime, content };
    let manifest = builder.finish(facts).ok_or_else(|| ImportError::TooLarge(path.to_owned()))?;
    Ok(Imported { stamp: before.stamp, content, manifest, executable })
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

struct Reading<'a> {
    file: &'a dyn FsFile,
    path: &'a Path,
    size: u64,
    progress: &'a dyn Fn(u64, u64),
    cancelled: &'a dyn Fn() -> bool,
}

impl Reading<'_> {
    fn run(&mut self, params: ChunkerParams) -> Result<(FileManifestBuilder, ContentHash), ImportError> {
        let cutter = Cutter::new(params);
        let mut whole = blake3::Hasher::new();
        let mut builder = FileManifestBuilder::new(params);
        let mut window = vec![0; self.window_bytes(&cutter)];
        let (mut done, mut kept) = (0_u64, 0);
        loop {
            if (self.cancelled)() {
                return Err(ImportError::Cancelled);
            }
            let read = read_full(self.file, &mut window[kept..], done).at("read", self.path)?;
            done += read as u64;
            if done > self.size {
                return Err(ImportError::ChangedWhileReading(self.path.to_owned()));
            }
            let filled = kept + read;
            let ended = filled < window.len();
            let used = hash_window(&window[..filled], kept, ended, &cutter, &mut whole, &mut builder);
            window.copy_within(used..filled, 0);
            kept = filled - used;
            (self.progress)(done, self.size);
            if ended {
                break;
            }
        }
        if done != self.size {
            return Err(ImportError::ChangedWhileReading(self.path.to_owned()));
        }
        Ok((builder, ContentHash::from_bytes(*whole.finalize().as_bytes())))
    }

    /// One byte more than the file has would show that it grew, and ends a small file's reading in one turn.
    fn window_bytes(&self, cutter: &Cutter) -> usize {
        let enough = WINDOW_BYTES.max(2 * cutter.max());
        usize::try_from(self.size).map_or(enough, |size| enough.min(size + 1))
    }
}

/// Feeds what is new in the window to the hash of the whole, and cuts and hashes chunks as long as the window is sure to
/// hold a whole one; returns how many bytes the chunks took.
fn hash_window(
    window: &[u8],
    kept: usize,
    ended: bool,
    cutter: &Cutter,
    whole: &mut blake3::Hasher,
    builder: &mut FileManifestBuilder,
) -> usize {
    let new = &window[kept..];
    if new.len() < PARALLEL_BYTES {
        whole.update(new);
        return cut_window(window, ended, cutter, builder);
    }
    thread::scope(|scope| {
        scope.spawn(|| whole.update(new));
        cut_window(window, ended, cutter, builder)
    })
}

fn cut_window(window: &[u8], ended: bool, cutter: &Cutter, builder: &mut FileManifestBuilder) -> usize {
    let mut rest = window;
    while !rest.is_empty() && (ended || rest.len() >= cutter.max()) {
        let (chunk, after) = rest.split_at(cutter.cut(rest));
        let length = u32::try_from(chunk.len()).expect("a chunk is at most 16 MiB");
        builder.push(Chunk { length, hash: ChunkHash::of(chunk) });
        rest = after;
    }
    window.len() - rest.len()
}

#[cfg(test)]
mod tests;
