//! An open folder, and what lies below it: every step goes from one open folder to the next, and follows no link.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use certs::UnixNanos;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, Timespec, Timestamps};

use super::{OsFile, lacks_flag, regular};
use crate::store::fs::{FileKind, FileStat, FsFile, FsFolder, Replaced, read_full};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Without NONBLOCK a fifo that took a file's place just now would keep the thread for ever.
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Folders below that are kept open: files are mostly opened one after the other, at each of the places in a folder at
/// which a transfer is at a time, so that nearly all find the folder that they lie in, and new ones the one above.
const KEPT: usize = 32;

#[derive(Debug)]
pub(super) struct OsFolder {
    root: OwnedFd,
    /// The folders used last, the latest in front.
    kept: Mutex<VecDeque<(Box<Path>, Arc<OwnedFd>)>>,
    /// As on a file system that knows no flags of renaming.
    without_rename_flags: bool,
}

/// The folder that a path lies in: the open one itself, or one below it.
enum Parent<'a> {
    Root(BorrowedFd<'a>),
    Below(Arc<OwnedFd>),
}

impl AsFd for Parent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Root(folder) => *folder,
            Self::Below(folder) => folder.as_fd(),
        }
    }
}

impl OsFolder {
    pub(super) fn open(path: &Path, without_rename_flags: bool) -> io::Result<Self> {
        let root = rustix::fs::open(path, FOLDER, Mode::empty())?;
        Ok(Self { root, kept: Mutex::default(), without_rename_flags })
    }

    /// The folder that a path lies in, and its name there.
    fn parent<'a>(&'a self, path: &'a Path) -> io::Result<(Parent<'a>, &'a OsStr)> {
        let mut parts = path.components();
        let last = name(parts.next_back().ok_or(io::ErrorKind::InvalidInput)?)?;
        Ok((self.below(parts.as_path())?, last))
    }

    /// The open folder itself, for an empty path, or one below it, by the nearest one that is kept.
    fn below(&self, path: &Path) -> io::Result<Parent<'_>> {
        let mut unopened = Vec::new();
        let mut above = path.components();
        let mut folder = loop {
            let here = above.as_path();
            if here.as_os_str().is_empty() {
                break Parent::Root(self.root.as_fd());
            }
            if let Some(folder) = self.kept(here) {
                break Parent::Below(folder);
            }
            let last = above.next_back().ok_or(io::ErrorKind::InvalidInput)?;
            unopened.push((here, name(last)?));
        };
        for (path, name) in unopened.into_iter().rev() {
            let below = Arc::new(rustix::fs::openat(&folder, name, FOLDER, Mode::empty())?);
            self.keep(path, &below);
            folder = Parent::Below(below);
        }
        Ok(folder)
    }

    fn kept(&self, path: &Path) -> Option<Arc<OwnedFd>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(one, _)| one.as_os_str() == path.as_os_str())?;
        let found = kept.remove(at)?;
        let folder = found.1.clone();
        kept.push_front(found);
        Some(folder)
    }

    fn keep(&self, path: &Path, folder: &Arc<OwnedFd>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front((path.into(), folder.clone()));
        kept.truncate(KEPT);
    }

    /// What lay at a path, and below it, lies elsewhere from now on.
    fn forget(&self, path: &Path) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(one, _)| !one.starts_with(path));
    }

    fn rename_with(&self, from: &Path, to: &Path, flags: RenameFlags) -> Result<(), RenameError> {
        let ((from_in, from), (to_in, to)) = (self.parent(from)?, self.parent(to)?);
        if self.without_rename_flags {
            return Err(RenameError::NoFlag);
        }
        match rustix::fs::renameat_with(&from_in, from, &to_in, to, flags) {
            Err(error) if lacks_flag(error) => Err(RenameError::NoFlag),
            result => Ok(result.map_err(io::Error::from)?),
        }
    }

    /// See [`Fs::rename_new`](crate::store::fs::Fs::rename_new).
    fn rename_new_without_flag(&self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from_in, from), (to_in, to)) = (self.parent(from)?, self.parent(to)?);
        if stat_in(&from_in, from)?.kind != FileKind::Folder {
            rustix::fs::linkat(&from_in, from, &to_in, to, AtFlags::empty())?;
            return Ok(rustix::fs::unlinkat(&from_in, from, AtFlags::empty())?);
        }
        match stat_in(&to_in, to) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(rustix::fs::renameat(&from_in, from, &to_in, to)?)
            }
            Err(error) => Err(error),
        }
    }

    /// See [`Fs::replace`](crate::store::fs::Fs::replace).
    fn replace_without_flag(&self, new: &Path, target: &Path, keep: &Path) -> io::Result<()> {
        let (new_in, new) = self.parent(new)?;
        let ((target_in, target), (keep_in, keep)) = (self.parent(target)?, self.parent(keep)?);
        stat_in(&new_in, new)?;
        rustix::fs::linkat(&target_in, target, &keep_in, keep, AtFlags::empty())?;
        // Looking once more leaves only the moment between two system calls for another file to come to the target.
        let same = stat_in(&target_in, target)?.stamp.inode == stat_in(&keep_in, keep)?.stamp.inode;
        let renamed = match same {
            true => rustix::fs::renameat(&new_in, new, &target_in, target).map_err(io::Error::from),
            false => Err(io::ErrorKind::NotFound.into()),
        };
        renamed.inspect_err(|_| {
            // The old file is still at its place; its second name may go.
            let _ = rustix::fs::unlinkat(&keep_in, keep, AtFlags::empty());
        })
    }

    fn open_file(&self, path: &Path, flags: OFlags) -> io::Result<Arc<dyn FsFile>> {
        let (folder, name) = self.parent(path)?;
        // Opening a device can have effects, so it is looked at before.
        regular(stat_in(&folder, name)?)?;
        let file = OsFile::new(File::from(rustix::fs::openat(&folder, name, FILE | flags, Mode::empty())?));
        regular(file.stat()?)?;
        Ok(Arc::new(file))
    }

    /// A folder below, or itself for an empty path.
    fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        if path.as_os_str().is_empty() {
            return self.root.try_clone();
        }
        let (folder, name) = self.parent(path)?;
        Ok(rustix::fs::openat(&folder, name, FOLDER, Mode::empty())?)
    }
}

/// Why nothing was renamed.
enum RenameError {
    /// The file system does not know the flag.
    NoFlag,
    Other(io::Error),
}

impl From<io::Error> for RenameError {
    fn from(error: io::Error) -> Self {
        Self::Other(error)
    }
}

/// A part of a path that is a name; never `..`.
fn name(part: Component<'_>) -> io::Result<&OsStr> {
    match part {
        Component::Normal(name) => Ok(name),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn stat_in(folder: impl AsFd, name: &OsStr) -> io::Result<FileStat> {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileStat::of_stat(&stat))
}

/// The access time stays as it is.
fn modified(mtime: UnixNanos) -> Timestamps {
    let (seconds, nanos) = (mtime.0.div_euclid(1_000_000_000), mtime.0.rem_euclid(1_000_000_000));
    let last_modification = Timespec { tv_sec: seconds, tv_nsec: nanos as _ };
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT }, last_modification }
}

impl FsFolder for OsFolder {
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.open_file(path, OFlags::RDONLY)
    }

    fn read_whole(&self, path: &Path, buffer: &mut [u8]) -> io::Result<(usize, FileStat)> {
        let (folder, name) = self.parent(path)?;
        // As in `open_file`; that it is still a file is seen by the look at it after reading.
        regular(stat_in(&folder, name)?)?;
        let file = OsFile::new(File::from(rustix::fs::openat(&folder, name, FILE, Mode::empty())?));
        let read = read_full(&file, buffer, 0)?;
        let found = file.stat()?;
        regular(found)?;
        Ok((read, found))
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.open_file(path, OFlags::RDWR)
    }

    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn FsFile>> {
        let (folder, name) = self.parent(path)?;
        let flags = FILE | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let file = rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(mode as _))?;
        Ok(Arc::new(OsFile::new(File::from(file))))
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let (folder, name) = self.parent(path)?;
        stat_in(&folder, name)
    }

    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        Ok(rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(mode as _))?)
    }

    fn create_link(&self, path: &Path, target: &str, mtime: UnixNanos) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        rustix::fs::symlinkat(target, &folder, name)?;
        Ok(rustix::fs::utimensat(&folder, name, &modified(mtime), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        let (folder, name) = self.parent(path)?;
        let target = rustix::fs::readlinkat(&folder, name, Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()).into())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let renamed = match self.rename_with(from, to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(RenameError::NoFlag) => self.rename_new_without_flag(from, to),
            Err(RenameError::Other(error)) => Err(error),
        };
        self.forget(from);
        renamed
    }

    fn replace(&self, new: &Path, target: &Path, keep: &Path) -> io::Result<Replaced> {
        let replaced = match self.rename_with(new, target, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(Replaced::Exchanged),
            Err(RenameError::NoFlag) => self.replace_without_flag(new, target, keep).map(|()| Replaced::Kept),
            Err(RenameError::Other(error)) => Err(error),
        };
        self.forget(new);
        self.forget(target);
        replaced
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        Ok(rustix::fs::unlinkat(&folder, name, AtFlags::empty())?)
    }

    fn remove_empty(&self, path: &Path) -> io::Result<()> {
        self.forget(path);
        let (folder, name) = self.parent(path)?;
        Ok(rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR)?)
    }

    fn set_folder_attributes(&self, path: &Path, mode: u32, mtime: UnixNanos) -> io::Result<()> {
        let folder = self.folder(path)?;
        match rustix::fs::fchmod(&folder, Mode::from_raw_mode(mode as _)) {
            // Its file system has no such bits (FAT), and the folder is of use without them.
            Err(rustix::io::Errno::PERM) => {}
            result => result?,
        }
        Ok(rustix::fs::futimens(&folder, &modified(mtime))?)
    }

    fn set_modified(&self, path: &Path, mtime: UnixNanos) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        Ok(rustix::fs::utimensat(&folder, name, &modified(mtime), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        super::sync_folder(&File::from(self.folder(path)?))
    }

    #[cfg(target_os = "linux")]
    fn sync_file_system(&self) -> Option<io::Result<()>> {
        Some(rustix::fs::syncfs(&self.root).map_err(Into::into))
    }

    #[cfg(not(target_os = "linux"))]
    fn sync_file_system(&self) -> Option<io::Result<()>> {
        None
    }
}
