//! The seam between the store and the operating system: every call that the store makes on users' files.
//!
//! [`OsFs`] makes the calls; [`FaultyFs`] stands before another one and makes chosen calls fail, for tests.

mod error;
mod faulty;
mod folder;
mod folders;
mod os;
mod stat;

use std::fmt::Debug;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

pub(crate) use error::{At, failed};
pub use error::{FileError, FolderAway, NotRegular, io_hint};
pub use faulty::{Fault, FaultyFs, FsOp, Hang};
pub use folder::FsFolder;
pub(crate) use folders::{create_folders, parent_of};
pub use os::OsFs;
pub use stat::{FileKind, FileStamp, FileStat};

/// What no file system's blocks, and no disk's sectors, are larger than where memory's pages are as small.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// Where the old file is after [`Fs::replace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// Under the name that the new file had before: the two changed places.
    Exchanged,
    /// Under the name that was given to keep it.
    Kept,
}

/// The system calls on users' files. All block; no call follows a symbolic link in the last component of a path.
pub trait Fs: Send + Sync + Debug + 'static {
    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// As the system's; a [`NotRegular`] inside for whatever is not a regular file. Never waits for a fifo's other end.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn FsFile>>;

    /// Opens a regular file for reading and writing.
    ///
    /// # Errors
    /// As [`Fs::open_read`].
    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn FsFile>>;

    /// Creates a file that did not exist, with mode 0600, for reading and writing.
    ///
    /// # Errors
    /// As the system's; `AlreadyExists` where the name is taken.
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>>;

    /// Creates a file that did not exist, with mode 0600, which shares the bytes of a regular one on the disk until either
    /// is changed.
    ///
    /// # Errors
    /// As the system's; `Unsupported` or another where the file system cannot. Nothing is created then.
    fn reflink(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Opens a folder.
    ///
    /// # Errors
    /// As the system's; `NotADirectory` for whatever is no folder.
    fn open_folder(&self, path: &Path) -> io::Result<Arc<dyn FsFolder>>;

    /// Creates a folder that did not exist, with mode 0700.
    ///
    /// # Errors
    /// As the system's; `AlreadyExists` where the name is taken.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// What lies at a path.
    ///
    /// # Errors
    /// As the system's.
    fn stat(&self, path: &Path) -> io::Result<FileStat>;

    /// Renames a file or folder to a name that is free. Where the file system lacks such a rename: a hard link, then the old
    /// name removed, so that a crash between leaves both names; a folder is renamed after a look at the new name, which
    /// at worst replaces an empty folder.
    ///
    /// # Errors
    /// As the system's; `AlreadyExists`, with nothing done, where the name is taken.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Puts the file `new` in the place of the file `target` at one instant, and loses neither. Where the file system
    /// lacks an exchange: `target` is linked to `keep`, then `new` renamed over it, so that a crash between leaves the
    /// old file under both names.
    ///
    /// # Errors
    /// As the system's; `NotFound` where either is missing; without an exchange also `AlreadyExists` where `keep` is
    /// taken. Nothing is done then.
    fn replace(&self, new: &Path, target: &Path, keep: &Path) -> io::Result<Replaced>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the system's; `IsADirectory` for a folder.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with all that is in it; links in it are removed, not followed.
    ///
    /// # Errors
    /// As the system's; some of it may be removed.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Creates a folder and whatever is missing above it.
    ///
    /// # Errors
    /// As the system's.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// As the system's.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Bytes that this user may still write on the file system that holds a path.
    ///
    /// # Errors
    /// As the system's.
    fn free_space(&self, path: &Path) -> io::Result<u64>;

    /// The permission bits that new files of this process do not get.
    fn umask(&self) -> u32;
}

/// An open regular file. All calls block, and any thread may make them.
pub trait FsFile: Send + Sync + Debug {
    /// What it is like now.
    ///
    /// # Errors
    /// As the system's.
    fn stat(&self) -> io::Result<FileStat>;

    /// Reads some bytes from an offset; returns how many, 0 only at the end or for an empty buffer.
    ///
    /// # Errors
    /// As the system's.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The same without waiting for a disk, for who must not block: reads no further than the system has it in its cache. 0 also
    /// where the first byte is not there, or nobody can tell (`RWF_NOWAIT` of Linux, on file systems that lie on this machine).
    ///
    /// # Errors
    /// As the system's.
    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let _ = (buffer, offset);
        Ok(0)
    }

    /// Writes all the bytes at an offset.
    ///
    /// # Errors
    /// As the system's; some of the bytes may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// The same for bytes that nobody is going to read soon, which do not stay in the system's cache. Whole blocks go from memory to
    /// the disk (`O_DIRECT`) where they lie in memory as in the file: the address of the first byte and the offset have the same
    /// remainder by 4,096. Others go through the cache and leave it soon (`RWF_DONTCACHE` of Linux 6.14).
    /// Where there is neither it is [`FsFile::write_at`].
    ///
    /// # Errors
    /// As [`FsFile::write_at`].
    fn write_uncached(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_at(bytes, offset)
    }

    /// Whether its file system lets files share blocks, so that [`FsFile::copy_range`] between two of them copies nothing
    /// where both offsets and the length are multiples of a block.
    fn shares_blocks(&self) -> bool {
        false
    }

    /// Copies bytes of another file on the same file system, at most so many, to an offset; returns how many.
    ///
    /// # Errors
    /// As the system's (copy_file_range(2)); `Unsupported` where it has no such call.
    fn copy_range(&self, source: &dyn FsFile, from: u64, to: u64, length: u64) -> io::Result<u64> {
        let _ = (source, from, to, length);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The system's handle of it, if it has one.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Makes its bytes durable, and its size.
    ///
    /// # Errors
    /// As the system's. After one, what of earlier writes is on the disk is unknown, and a second call that succeeds
    /// says nothing about them.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes its bytes and everything else about it durable.
    ///
    /// # Errors
    /// As [`FsFile::sync_data`].
    fn sync_all(&self) -> io::Result<()>;

    /// Makes it this many bytes long; what is added reads as zeros and may take no space.
    ///
    /// # Errors
    /// As the system's.
    fn set_len(&self, size: u64) -> io::Result<()>;

    /// The same for a file that is going to be written in any order: where the file system can, its space is taken now and
    /// in one piece (fallocate(2)).
    ///
    /// # Errors
    /// As the system's; `StorageFull` where there is not so much.
    fn reserve(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    /// Sets its permission bits (exactly these: the umask is the caller's to apply) and its modification time.
    ///
    /// # Errors
    /// As the system's.
    fn set_attributes(&self, mode: u32, mtime: certs::UnixNanos) -> io::Result<()>;

    /// Sets its modification time alone.
    ///
    /// # Errors
    /// As the system's.
    fn set_modified(&self, mtime: certs::UnixNanos) -> io::Result<()>;
}

/// Reads until the buffer is full or the file ends; returns how many bytes.
///
/// # Errors
/// As [`FsFile::read_at`]; an interrupted call is made again.
pub(crate) fn read_full(file: &dyn FsFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    fill(buffer, offset, |rest, at| file.read_at(rest, at))
}

/// The same by a call that reads some bytes from an offset, until it gives 0.
///
/// # Errors
/// As the call's; an interrupted one is made again.
pub(crate) fn fill(
    buffer: &mut [u8],
    offset: u64,
    read: impl Fn(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match read(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
