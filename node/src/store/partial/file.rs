//! A file in progress.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::cache::Cache;
use super::{PartialError, remove_temporary};
use crate::store::fs::{
    self, At, FileStat, Fs, FsFile, NotRegular, create_folders, failed, parent_of, read_full,
};
use crate::store::serve::ServedFile;

/// Blocks are shared whole.
const BLOCK_BYTES: u64 = fs::BLOCK_BYTES as u64;
/// Less than this is not worth the call.
const SHARED_BYTES: u64 = 64 << 10;
/// In such pieces, where the file system copies after all.
const SHARED_AT_ONCE: u64 = 64 << 20;

/// A temporary file of a fixed size, written in any order. All methods block, and several threads may call them.
///
/// It stays when it is dropped: only [`PartialFile::discard`] removes it, and a failed sync does.
#[derive(Debug)]
pub struct PartialFile {
    fs: Arc<dyn Fs>,
    file: Arc<dyn FsFile>,
    path: PathBuf,
    size: u64,
    cache: Cache,
    discarded: AtomicBool,
}

impl PartialFile {
    /// Creates one with mode 0600, as long as it is going to be; creates the folder above it if need be.
    ///
    /// # Errors
    /// See [`PartialError`]; nothing is left then but perhaps the folder.
    pub fn create(fs: Arc<dyn Fs>, path: &Path, size: u64) -> Result<Self, PartialError> {
        let folder = parent_of(path);
        create_folders(&*fs, folder)?;
        let available = fs.free_space(folder).at("look at the free space of", folder)?;
        if available < size {
            return Err(PartialError::NoSpace { folder: folder.to_owned(), needed: size, available });
        }
        let file = fs.create_new(path).at("create", path)?;
        let partial = Self::new(fs, file, path, size);
        // Its name has to be as durable as the bytes that will be said to be.
        let sized = match partial.cache.passes(size) {
            true => partial.file.reserve(size).at("reserve the space of", path),
            false => partial.file.set_len(size).at("set the size of", path),
        };
        let synced =
            sized.and_then(|()| partial.fs.sync_folder(folder).at("make durable the folder", folder));
        if let Err(error) = synced {
            partial.discard();
            return Err(error.into());
        }
        Ok(partial)
    }

    fn new(fs: Arc<dyn Fs>, file: Arc<dyn FsFile>, path: &Path, size: u64) -> Self {
        let (path, cache, discarded) = (path.to_owned(), Cache::default(), AtomicBool::new(false));
        Self { fs, file, path, size, cache, discarded }
    }

    /// Opens one again, or returns `None` where it has vanished or is not what it was: something else than a file, or of
    /// another size. A file of another size is removed.
    ///
    /// # Errors
    /// See [`PartialError`]; also where it cannot be removed.
    pub fn reopen(fs: Arc<dyn Fs>, path: &Path, size: u64) -> Result<Option<Self>, PartialError> {
        let file = match fs.open_write(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if NotRegular::in_error(&error).is_some() => return Ok(None),
            Err(error) => return Err(failed("open", path, error).into()),
        };
        let found = file.stat().at("look at", path)?.stamp.size;
        let partial = Self::new(fs, file, path, size);
        if found != size {
            remove_temporary(&*partial.fs, path)?;
            return Ok(None);
        }
        Ok(Some(partial))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes bytes at an offset. They are not durable before [`PartialFile::sync_data`].
    ///
    /// # Errors
    /// See [`PartialError`]; some of the bytes may have been written.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), PartialError> {
        self.check(offset, bytes.len())?;
        let written = self.cache.write(&*self.file, self.size, (bytes, offset));
        Ok(written.at("write", &self.path)?)
    }

    /// See [`Partial::keep_cached`](super::Partial::keep_cached).
    pub(super) fn keep_cached(&self) {
        self.cache.keep();
    }

    /// Fills a buffer from an offset.
    ///
    /// # Errors
    /// See [`PartialError`].
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), PartialError> {
        self.check(offset, buffer.len())?;
        let read = read_full(&*self.file, buffer, offset).at("read", &self.path)?;
        if read < buffer.len() {
            return Err(failed("read", &self.path, io::ErrorKind::UnexpectedEof.into()).into());
        }
        Ok(())
    }

    /// Gives a range of this file the blocks in which another file has these bytes from an offset, if the file system can:
    /// no byte is copied then. Returns the part of the range that has them, which begins and ends with a block, and is
    /// empty where it cannot be. Nobody has compared these bytes with anything: read them back.
    ///
    /// # Errors
    /// See [`PartialError`], for this file alone; what is wrong with the other one, or on the way, is no error.
    pub fn share_blocks(
        &self,
        source: &ServedFile,
        from: u64,
        to: Range<u64>,
    ) -> Result<Range<u64>, PartialError> {
        self.check(to.start, usize::try_from(to.end.saturating_sub(to.start)).unwrap_or(usize::MAX))?;
        let start = to.start.next_multiple_of(BLOCK_BYTES);
        let end = to.end - to.end % BLOCK_BYTES;
        let none = to.start..to.start;
        let aligned = from % BLOCK_BYTES == to.start % BLOCK_BYTES;
        if !aligned || end.saturating_sub(start) < SHARED_BYTES || !self.is_beside(source) {
            return Ok(none);
        }
        let mut done = start;
        while done < end {
            let length = (end - done).min(SHARED_AT_ONCE);
            match self.file.copy_range(source.file(), from + (done - to.start), done, length) {
                Ok(copied) if copied > 0 => done += copied,
                _ => break,
            }
        }
        let done = done - done % BLOCK_BYTES;
        Ok(if done > start { start..done } else { none })
    }

    /// Whether both are on one file system that lets files share blocks.
    fn is_beside(&self, source: &ServedFile) -> bool {
        let device = |file: &dyn FsFile| file.stat().ok().map(|found| found.stamp.device);
        self.file.shares_blocks()
            && device(&*self.file).is_some_and(|here| device(source.file()) == Some(here))
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// [`PartialError::SyncFailed`]: the file was discarded. Syncing again could succeed although bytes were lost, since
    /// the system forgets the failure ("fsyncgate").
    pub fn sync_data(&self) -> Result<(), PartialError> {
        self.check(0, 0)?;
        self.file.sync_data().map_err(|source| {
            self.discard();
            PartialError::SyncFailed { path: self.path.clone(), source }
        })
    }

    /// Removes it, unless it has been installed: then something else may have its name. Every later call, on whatever
    /// thread, fails. Where it cannot be removed its job still names it, and whoever ends the job tries again.
    pub fn discard(&self) {
        if self.discarded.swap(true, Ordering::AcqRel) {
            return;
        }
        let inode = |stat: io::Result<FileStat>| stat.ok().map(|stat| stat.stamp.inode);
        let named = inode(self.fs.stat(&self.path));
        if named.is_some()
            && named == inode(self.file.stat())
            && let Err(error) = remove_temporary(&*self.fs, &self.path)
        {
            tracing::warn!(%error, "a temporary file stays for now");
        }
    }

    fn check(&self, offset: u64, length: usize) -> Result<(), PartialError> {
        if self.discarded.load(Ordering::Acquire) {
            return Err(PartialError::Discarded(self.path.clone()));
        }
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(PartialError::OutOfBounds { path: self.path.clone(), offset, length }),
        }
    }
}
