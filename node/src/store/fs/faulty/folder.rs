//! An open folder that fails where a test says so.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs::UnixNanos;

use super::{FaultyFs, FsOp};
use crate::store::fs::{FileStat, FsFile, FsFolder, Replaced};

#[derive(Debug)]
pub(super) struct FaultyFolder {
    pub(super) inner: Arc<dyn FsFolder>,
    pub(super) path: PathBuf,
    pub(super) fs: FaultyFs,
}

impl FaultyFolder {
    fn check(&self, op: FsOp, path: &Path) -> io::Result<PathBuf> {
        let path = self.path.join(path);
        self.fs.check(op, &path)?;
        Ok(path)
    }
}

impl FsFolder for FaultyFolder {
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let whole = self.check(FsOp::OpenRead, path)?;
        Ok(self.fs.wrap(&whole, self.inner.open_read(path)?))
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let whole = self.check(FsOp::OpenWrite, path)?;
        Ok(self.fs.wrap(&whole, self.inner.open_write(path)?))
    }

    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Arc<dyn FsFile>> {
        let whole = self.check(FsOp::CreateNew, path)?;
        Ok(self.fs.wrap(&whole, self.inner.create_new(path, mode)?))
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        self.check(FsOp::Stat, path)?;
        self.inner.stat(path)
    }

    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.check(FsOp::CreateFolder, path)?;
        self.inner.create_folder(path, mode)
    }

    fn create_link(&self, path: &Path, target: &str, mtime: UnixNanos) -> io::Result<()> {
        self.check(FsOp::CreateLink, path)?;
        self.inner.create_link(path, target, mtime)
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.check(FsOp::ReadLink, path)?;
        self.inner.read_link(path)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(FsOp::RenameNew, from)?;
        self.inner.rename_new(from, to)
    }

    fn replace(&self, new: &Path, target: &Path, keep: &Path) -> io::Result<Replaced> {
        self.check(FsOp::Replace, new)?;
        self.inner.replace(new, target, keep)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check(FsOp::Remove, path)?;
        self.inner.remove(path)
    }

    fn remove_empty(&self, path: &Path) -> io::Result<()> {
        self.check(FsOp::RemoveEmpty, path)?;
        self.inner.remove_empty(path)
    }

    fn set_folder_attributes(&self, path: &Path, mode: u32, mtime: UnixNanos) -> io::Result<()> {
        self.check(FsOp::SetAttributes, path)?;
        self.inner.set_folder_attributes(path, mode, mtime)
    }

    fn set_modified(&self, path: &Path, mtime: UnixNanos) -> io::Result<()> {
        self.check(FsOp::SetAttributes, path)?;
        self.inner.set_modified(path, mtime)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.check(FsOp::SyncFolder, path)?;
        self.inner.sync_folder(path)
    }

    fn sync_file_system(&self) -> Option<io::Result<()>> {
        match self.check(FsOp::SyncFileSystem, Path::new("")) {
            Ok(_) => self.inner.sync_file_system(),
            Err(error) => Some(Err(error)),
        }
    }
}
