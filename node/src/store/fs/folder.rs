//! The seam's part for what lies below one folder.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs::UnixNanos;

use super::{FileStat, FsFile, Replaced, read_full};

/// An open folder. Paths are relative to it, and made of names alone: `InvalidInput` for any other. All calls block, any
/// thread may make them, and none follows a symbolic link in any part of the path, so that none leads out of the folder.
///
/// Handles of the last few folders below may be kept: one that is replaced by another meanwhile stays the one that was
/// opened, as the outermost does.
pub trait FsFolder: Send + Sync + Debug {
    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// As [`Fs::open_read`](super::Fs::open_read).
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn FsFile>>;

    /// Reads a regular file from its start until the buffer is full or it ends. Returns how many bytes, and what the file was
    /// like after that. In fewer calls than opening it does.
    ///
    /// # Errors
    /// As [`Fs::open_read`](super::Fs::open_read).
    fn read_whole(&self, path: &Path, buffer: &mut [u8]) -> io::Result<(usize, FileStat)> {
        let file = self.open_read(path)?;
        Ok((read_full(&*file, buffer, 0)?, file.stat()?))
    }

    /// Opens a regular file for reading and writing.
    ///
    /// # Errors
    /// As [`Fs::open_read`](super::Fs::open_read).
    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn FsFile>>;

    /// Creates a file that did not exist, for reading and writing. It gets these permission bits without the umask's.
    ///
    /// # Errors
    /// As the system's; `AlreadyExists` where the name is taken.
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn FsFile>>;

    /// What lies at a path.
    ///
    /// # Errors
    /// As the system's.
    fn stat(&self, path: &Path) -> io::Result<FileStat>;

    /// Creates a folder. It gets these permission bits without the umask's.
    ///
    /// # Errors
    /// As the system's; `AlreadyExists` where the name is taken.
    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()>;

    /// Creates a symbolic link, and sets its modification time.
    ///
    /// # Errors
    /// As the system's; `AlreadyExists` where the name is taken.
    fn create_link(&self, path: &Path, target: &str, mtime: UnixNanos) -> io::Result<()>;

    /// Where a symbolic link leads to.
    ///
    /// # Errors
    /// As the system's; `InvalidInput` for whatever is no link.
    fn read_link(&self, path: &Path) -> io::Result<PathBuf>;

    /// As [`Fs::rename_new`](super::Fs::rename_new), between two paths below the folder.
    ///
    /// # Errors
    /// As there.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// As [`Fs::replace`](super::Fs::replace), below the folder.
    ///
    /// # Errors
    /// As there.
    fn replace(&self, new: &Path, target: &Path, keep: &Path) -> io::Result<Replaced>;

    /// Removes a file or a link.
    ///
    /// # Errors
    /// As the system's; an error for a folder.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder in which nothing is.
    ///
    /// # Errors
    /// As the system's; `DirectoryNotEmpty` for one in which something is.
    fn remove_empty(&self, path: &Path) -> io::Result<()>;

    /// Sets a folder's permission bits (exactly these) and its modification time; an empty path is the open folder itself.
    ///
    /// # Errors
    /// As the system's.
    fn set_folder_attributes(&self, path: &Path, mode: u32, mtime: UnixNanos) -> io::Result<()>;

    /// Sets the modification time of what lies at a path, whatever it is.
    ///
    /// # Errors
    /// As the system's.
    fn set_modified(&self, path: &Path, mtime: UnixNanos) -> io::Result<()>;

    /// Makes the names in a folder durable, and the folder's attributes; an empty path is the open folder itself.
    ///
    /// # Errors
    /// As the system's.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes everything on the folder's file system durable, also what others wrote. `None` where the system has no such
    /// call.
    ///
    /// # Errors
    /// As the system's.
    fn sync_file_system(&self) -> Option<io::Result<()>>;
}
