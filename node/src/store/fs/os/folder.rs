//! An open folder, and what lies below it: every step goes from one open folder to the next, and follows no link.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, PoisonError};

use certs::UnixNanos;
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};

use super::{OsFile, regular};
use crate::store::fs::{FileStat, FsFile, FsFolder};

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
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { root: rustix::fs::open(path, FOLDER, Mode::empty())?, kept: Mutex::default() })
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

    fn open_file(&self, path: &Path, flags: OFlags) -> io::Result<Arc<dyn FsFile>> {
        let (folder, name) = self.parent(path)?;
        // Opening a device can have effects, so it is looked at before.
        regular(stat_in(&folder, name)?)?;
        let file = OsFile(File::from(rustix::fs::openat(&folder, name, FILE | flags, Mode::empty())?));
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

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.open_file(path, OFlags::RDWR)
    }

    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn FsFile>> {
        let (folder, name) = self.parent(path)?;
        let flags = FILE | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let file = rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(mode as _))?;
        Ok(Arc::new(OsFile(File::from(file))))
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let (folder, name) = self.parent(path)?;
        stat_in(&folder, name)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        Ok(rustix::fs::mkdirat(&folder, name, Mode::RWXU)?)
    }

    fn create_link(&self, path: &Path, target: &str, mtime: UnixNanos) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        rustix::fs::symlinkat(target, &folder, name)?;
        Ok(rustix::fs::utimensat(&folder, name, &modified(mtime), AtFlags::SYMLINK_NOFOLLOW)?)
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
