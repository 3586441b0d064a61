//! Reading what is shared, where it lies.
//!
//! Before the first byte and after every read the file's stamp is compared with the holding's: a file that changed is not
//! served. What slips through, such as a write within one tick of the file system's clock, the receiver's hashes find.

mod folder;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Store;
use super::fs::{At, FileError, FileKind, FileStamp, Fs, FsFile, NotRegular, failed, fill, read_full};
use super::holdings::{Holding, HoldingState};
use crate::off_thread::off_thread;

pub use folder::ServedFolder;

/// Files of one folder that are looked at to say how it is.
pub(super) const LOOKED_AT: u32 = 1000;

/// Why a held file is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It is not what was hashed.
    #[error("{} changed since it was shared", .0.display())]
    Changed(PathBuf),
    /// It is not there.
    #[error("{} is not there any more", .0.display())]
    Missing(PathBuf),
    /// Anything else that the system refuses.
    #[error(transparent)]
    File(#[from] FileError),
}

impl ServeError {
    /// The state in which the holding is then, where the error says one.
    pub fn state(&self) -> Option<HoldingState> {
        match self {
            Self::Changed(_) => Some(HoldingState::Changed),
            Self::Missing(_) => Some(HoldingState::Missing),
            Self::File(_) => None,
        }
    }
}

/// What is held, open. Its calls block, and several threads may make them.
#[derive(Debug)]
pub enum Served {
    /// A file.
    File(ServedFile),
    /// A folder.
    Folder(ServedFolder),
}

impl Served {
    /// Fills a buffer from an offset among the bytes of all files; what was read was unchanged after that.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ServeError> {
        match self {
            Self::File(file) => file.read(offset, buffer),
            Self::Folder(folder) => folder.read(offset, buffer),
        }
    }

    /// The same without waiting for a disk; `false` where it would have to. Of folders it would: their files are to be opened.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool, ServeError> {
        match self {
            Self::File(file) => file.read_cached(offset, buffer),
            Self::Folder(_) => Ok(false),
        }
    }
}

/// A held file, open. Its calls block, and several threads may make them.
#[derive(Debug, Clone)]
pub struct ServedFile {
    file: Arc<dyn FsFile>,
    path: Arc<Path>,
    stamp: FileStamp,
}

/// Opens a held file if it is still what was hashed. Blocks.
///
/// # Errors
/// See [`ServeError`].
pub fn open_served(fs: &dyn Fs, holding: &Holding) -> Result<ServedFile, ServeError> {
    let path = &holding.path;
    let file = fs.open_read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ServeError::Missing(path.clone()),
        _ if NotRegular::in_error(&error).is_some() => ServeError::Changed(path.clone()),
        _ => failed("open", path, error).into(),
    })?;
    let served = ServedFile::new(file, path, holding.stamp);
    served.check()?;
    Ok(served)
}

impl Store {
    /// [`open_served`] on a thread for blocking work.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn open_served(&self, holding: Holding) -> Result<ServedFile, ServeError> {
        let fs = self.fs().clone();
        off_thread(move || open_served(&*fs, &holding)).await
    }

    /// [`check`] on a thread for blocking work; of a folder also its first 1,000 files.
    ///
    /// # Errors
    /// Where the system does not say.
    pub async fn check_holding(&self, holding: Holding) -> Result<HoldingState, FileError> {
        let store = self.clone();
        off_thread(move || match check(&**store.fs(), &holding)? {
            HoldingState::Ok if holding.folder => {
                let mut left = LOOKED_AT;
                store.check_folder_files(&holding.path, holding.root, &mut left)
            }
            state => Ok(state),
        })
        .await
    }
}

/// Says how a held file is, without opening it. Blocks.
///
/// # Errors
/// Where the system does not say.
///
/// Of a folder only the folder itself: see [`Store::check_holding`].
pub fn check(fs: &dyn Fs, holding: &Holding) -> Result<HoldingState, FileError> {
    match holding.folder {
        true => check_folder(fs, &holding.path, holding.state),
        false => check_file(fs, &holding.path, &holding.stamp),
    }
}

/// [`check`] of a file that had this stamp.
pub(super) fn check_file(fs: &dyn Fs, path: &Path, stamp: &FileStamp) -> Result<HoldingState, FileError> {
    match fs.stat(path) {
        Ok(found) if found.kind == FileKind::Regular && found.stamp.same_as(stamp) => Ok(HoldingState::Ok),
        Ok(_) => Ok(HoldingState::Changed),
        Err(error) if is_missing(&error) => Ok(HoldingState::Missing),
        Err(error) => Err(failed("look at", path, error)),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl ServedFile {
    /// A file that is open, to be read as long as it has this stamp.
    pub(super) fn new(file: Arc<dyn FsFile>, path: &Path, stamp: FileStamp) -> Self {
        Self { file, path: path.into(), stamp }
    }

    /// Fills a buffer from an offset; the file was unchanged after that.
    ///
    /// # Errors
    /// See [`ServeError`]; [`ServeError::Changed`] also for a position outside of the file.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ServeError> {
        self.check_place(offset, buffer)?;
        let read = read_full(&*self.file, buffer, offset).at("read", &self.path)?;
        self.check()?;
        match read == buffer.len() {
            true => Ok(()),
            false => Err(self.changed()),
        }
    }

    /// The same without waiting for a disk; `false` where it would have to.
    ///
    /// # Errors
    /// See [`ServedFile::read`].
    pub fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool, ServeError> {
        self.check_place(offset, buffer)?;
        let read = fill(buffer, offset, |rest, at| self.file.read_cached(rest, at)).at("read", &self.path)?;
        if read < buffer.len() {
            return Ok(false);
        }
        // A file system that knows what is in the cache knows this, too.
        self.check()?;
        Ok(true)
    }

    fn check_place(&self, offset: u64, buffer: &[u8]) -> Result<(), ServeError> {
        match offset.checked_add(buffer.len() as u64) {
            Some(end) if end <= self.stamp.size => Ok(()),
            _ => Err(self.changed()),
        }
    }

    /// The open file.
    pub(super) fn file(&self) -> &dyn FsFile {
        &*self.file
    }

    /// The file's size in bytes.
    pub fn size(&self) -> u64 {
        self.stamp.size
    }

    fn check(&self) -> Result<(), ServeError> {
        let found = self.file.stat().at("look at", &self.path)?;
        match found.stamp.same_as(&self.stamp) {
            true => Ok(()),
            false => Err(self.changed()),
        }
    }

    fn changed(&self) -> ServeError {
        ServeError::Changed(self.path.to_path_buf())
    }
}

/// How a held folder is, its files left aside. One of which a file was found changed stays so until it is shared again:
/// which file it was is not known.
pub(super) fn check_folder(fs: &dyn Fs, path: &Path, known: HoldingState) -> Result<HoldingState, FileError> {
    match fs.stat(path) {
        Ok(found) if found.kind == FileKind::Folder && known == HoldingState::Changed => Ok(known),
        Ok(found) if found.kind == FileKind::Folder => Ok(HoldingState::Ok),
        Ok(_) => Ok(HoldingState::Changed),
        Err(error) if is_missing(&error) => Ok(HoldingState::Missing),
        Err(error) => Err(failed("look at", path, error)),
    }
}

#[cfg(test)]
mod tests;
