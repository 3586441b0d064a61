//! The system's own calls.

#[cfg(target_os = "linux")]
mod direct;
mod folder;

use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use certs::UnixNanos;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use self::folder::OsFolder;
use super::{FileKind, FileStat, Fs, FsFile, FsFolder, NotRegular, Replaced};

/// The system's file systems.
#[derive(Debug, Default)]
pub struct OsFs {
    without_rename_flags: bool,
    umask: OnceLock<u32>,
}

impl OsFs {
    /// All calls as the system has them.
    pub fn new() -> Self {
        Self::default()
    }

    /// As on a file system that knows neither renaming without replacing nor exchanging: the fallbacks are used.
    pub fn without_rename_flags() -> Self {
        Self { without_rename_flags: true, ..Self::default() }
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn FsFile>> {
        // Looking before opening says what it is instead of a bare ELOOP, and opens no device, which can have effects.
        regular(self.stat(path)?)?;
        // Without NONBLOCK a fifo that took the file's place just now would keep the thread for ever.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = OpenOptions::new().read(true).write(write).custom_flags(flags).open(path)?;
        let file = OsFile::new(file);
        regular(file.stat()?)?;
        Ok(Arc::new(file))
    }
}

fn regular(stat: FileStat) -> io::Result<()> {
    match stat.kind {
        FileKind::Regular => Ok(()),
        kind => Err(NotRegular(kind).into()),
    }
}

impl Fs for OsFs {
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.open(path, false)
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.open(path, true)
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Arc::new(OsFile::new(file)))
    }

    fn reflink(&self, from: &Path, to: &Path) -> io::Result<()> {
        regular(self.stat(from)?)?;
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let source = OpenOptions::new().read(true).custom_flags(flags).open(from)?;
        let copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        reflink(&source, &copy).inspect_err(|_| drop(fs::remove_file(to)))
    }

    fn open_folder(&self, path: &Path) -> io::Result<Arc<dyn FsFolder>> {
        Ok(Arc::new(OsFolder::open(path, self.without_rename_flags)?))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(path)
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        fs::symlink_metadata(path).map(|metadata| FileStat::of(&metadata))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match self.rename_with(from, to, RenameFlags::NOREPLACE) {
            Err(error) if lacks_flag(error) && fs::symlink_metadata(from)?.is_dir() => {
                rename_new_folder(from, to)
            }
            Err(error) if lacks_flag(error) => rename_new_by_link(from, to),
            result => Ok(result?),
        }
    }

    fn replace(&self, new: &Path, target: &Path, keep: &Path) -> io::Result<Replaced> {
        match self.rename_with(new, target, RenameFlags::EXCHANGE) {
            Err(error) if lacks_flag(error) => replace_by_link(new, target, keep).map(|()| Replaced::Kept),
            result => Ok(result.map(|()| Replaced::Exchanged)?),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            // What some systems say of a folder.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && self.is_folder(path) => {
                Err(io::ErrorKind::IsADirectory.into())
            }
            result => result,
        }
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        sync_folder(&File::open(path)?)
    }

    fn free_space(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn umask(&self) -> u32 {
        *self.umask.get_or_init(|| umask_of_process().unwrap_or_else(umask_by_setting))
    }
}

impl OsFs {
    fn is_folder(&self, path: &Path) -> bool {
        self.stat(path).is_ok_and(|stat| stat.kind == FileKind::Folder)
    }

    fn rename_with(&self, from: &Path, to: &Path, flags: RenameFlags) -> Result<(), Errno> {
        if self.without_rename_flags {
            return Err(Errno::INVAL);
        }
        rustix::fs::renameat_with(CWD, from, CWD, to, flags)
    }
}

/// What kernels and file systems answer that do not know the flag.
#[cfg(target_os = "linux")]
fn reflink(source: &File, copy: &File) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(copy, source)?)
}

#[cfg(not(target_os = "linux"))]
fn reflink(_: &File, _: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn lacks_flag(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::NOTSUP)
}

fn sync_folder(folder: &File) -> io::Result<()> {
    match folder.sync_all() {
        // Some network file systems do not sync folders and say so; there is nothing more to do on them.
        Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => Ok(()),
        result => result,
    }
}

/// No folder has two names. What comes to the new name after the look stays, unless it is an empty folder.
fn rename_new_folder(from: &Path, to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
        Err(error) => Err(error),
    }
}

fn rename_new_by_link(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

fn replace_by_link(new: &Path, target: &Path, keep: &Path) -> io::Result<()> {
    // Before anything is done: afterwards a failed rename would have to undo the link.
    fs::symlink_metadata(new)?;
    fs::hard_link(target, keep)?;
    rename_if_kept(new, target, keep).inspect_err(|_| {
        // The old file is still at its place; its second name may go.
        let _ = fs::remove_file(keep);
    })
}

/// Between the link and the rename somebody could put another file at the target; looking once more leaves only the
/// moment between two system calls for that.
fn rename_if_kept(new: &Path, target: &Path, keep: &Path) -> io::Result<()> {
    let inode = |path: &Path| fs::symlink_metadata(path).map(|metadata| metadata.ino());
    if inode(target)? != inode(keep)? {
        return Err(io::ErrorKind::NotFound.into());
    }
    fs::rename(new, target)
}

/// As Linux tells it, since 4.7.
fn umask_of_process() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(value.trim(), 8).ok()
}

/// Elsewhere it can only be read by setting it; for that moment new files get fewer permissions, never more.
fn umask_by_setting() -> u32 {
    let mask = rustix::process::umask(Mode::from_raw_mode(0o077));
    rustix::process::umask(mask);
    mask.as_raw_mode()
}

/// What Linux calls the file systems that let files share blocks: btrfs, XFS, bcachefs.
#[cfg(target_os = "linux")]
const SHARING: [u32; 3] = [0x9123_683e, 0x5846_5342, 0xca45_1a4e];

/// `RWF_DONTCACHE`. A kernel or file system that does not know it says so, and writes nothing.
#[cfg(target_os = "linux")]
const UNCACHED: rustix::io::ReadWriteFlags = rustix::io::ReadWriteFlags::from_bits_retain(0x80);

#[derive(Debug)]
struct OsFile {
    file: File,
    /// Shared by those who write past the cache, held alone by who writes into it. What is in the cache beside a write past it
    /// could otherwise not be given up after that, which the kernel tells as a failed sync; and who waits for another one in the
    /// kernel does so by spinning, here by sleeping.
    writing: RwLock<()>,
    #[cfg(target_os = "linux")]
    direct: direct::Direct,
}

impl OsFile {
    fn new(file: File) -> Self {
        Self {
            file,
            writing: RwLock::new(()),
            #[cfg(target_os = "linux")]
            direct: direct::Direct::default(),
        }
    }

    fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.writing.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes into the cache, from where the disk takes it at once; then it leaves the cache.
    #[cfg(target_os = "linux")]
    fn write_for_the_disk(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (mut rest, mut at) = (bytes, offset);
        while !rest.is_empty() {
            match rustix::io::pwritev2(&self.file, &[io::IoSlice::new(rest)], at, UNCACHED) {
                Ok(0) | Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => break,
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    at += written as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.file.write_all_at(rest, at)
    }
}

impl FsFile for OsFile {
    fn stat(&self) -> io::Result<FileStat> {
        Ok(FileStat::of_stat(&rustix::fs::fstat(&self.file)?))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.file, buffer, offset)
    }

    #[cfg(target_os = "linux")]
    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        use rustix::io::{Errno, ReadWriteFlags};
        let room = &mut [io::IoSliceMut::new(buffer)];
        match rustix::io::preadv2(&self.file, room, offset, ReadWriteFlags::NOWAIT) {
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(0),
            read => Ok(read?),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let _alone = self.alone();
        self.file.write_all_at(bytes, offset)
    }

    #[cfg(target_os = "linux")]
    fn write_uncached(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let done = {
            let _shared = self.writing.read().unwrap_or_else(PoisonError::into_inner);
            self.direct.write(&self.file, bytes, offset)?
        };
        let _alone = self.alone();
        if done.is_empty() {
            return self.write_for_the_disk(bytes, offset);
        }
        // What is left of the blocks at both ends stays in the cache, until the other part of each has come.
        let (first, last) = (&bytes[..done.start], &bytes[done.end..]);
        self.file.write_all_at(first, offset)?;
        self.file.write_all_at(last, offset + done.end as u64)
    }

    #[cfg(target_os = "linux")]
    fn shares_blocks(&self) -> bool {
        rustix::fs::fstatfs(&self.file).is_ok_and(|found| SHARING.contains(&(found.f_type as u32)))
    }

    #[cfg(target_os = "linux")]
    fn copy_range(&self, source: &dyn FsFile, from: u64, to: u64, length: u64) -> io::Result<u64> {
        let source = source.descriptor().ok_or(io::ErrorKind::Unsupported)?;
        let (mut from, mut to) = (from, to);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let copied = rustix::fs::copy_file_range(source, Some(&mut from), &self.file, Some(&mut to), length)?;
        Ok(copied as u64)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)
    }

    #[cfg(target_os = "linux")]
    fn reserve(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)?;
        let reserve = || rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), 0, size);
        match rustix::io::retry_on_intr(reserve) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            reserved => Ok(reserved?),
        }
    }

    fn set_attributes(&self, mode: u32, mtime: UnixNanos) -> io::Result<()> {
        match self.file.set_permissions(Permissions::from_mode(mode)) {
            // The file is this user's own: its file system has no such bits (FAT), and the file is of use without them.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::PERM) => {}
            result => result?,
        }
        self.set_modified(mtime)
    }

    fn set_modified(&self, mtime: UnixNanos) -> io::Result<()> {
        self.file.set_times(FileTimes::new().set_modified(system_time(mtime)))
    }
}

fn system_time(time: UnixNanos) -> SystemTime {
    let distance = Duration::from_nanos(time.0.unsigned_abs());
    if time.0 < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}

#[cfg(test)]
mod tests;
