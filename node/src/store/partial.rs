//! A download in progress: a temporary file, or folder, in the target's folder.

mod cache;
mod file;
mod folder;

use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs::UnixMillis;
use wire::manifest::Layout;

pub use self::file::PartialFile;
pub use self::folder::PartialFolder;
pub(super) use self::folder::{SYNCED_ONE_BY_ONE, Shape, ignores_case};
use super::chosen::Chosen;

use super::fs::{At, FileError, FolderAway, Fs, failed, parent_of};
use super::install::InstallError;
use super::jobs::{self, JobId, JobState};
use super::serve::Served;
use super::{DbError, Store, names};
use crate::off_thread::off_thread;
use crate::ranges::RangeSet;

/// Why a download's temporary file could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum PartialError {
    /// The database did not answer.
    #[error(transparent)]
    Db(#[from] DbError),
    /// There is no such job.
    #[error("there is no job {0}")]
    NoJob(JobId),
    /// An installation of the job that was interrupted could not be ended.
    #[error(transparent)]
    Install(Box<InstallError>),
    /// The job is installed, or an interrupted installation could be finished now: nothing is left to do.
    #[error("job {0} is installed")]
    Installed(JobId),
    /// The file system is too full for the file.
    #[error("{} has {available} bytes of free space, {needed} are needed", folder.display())]
    NoSpace {
        /// The target's folder.
        folder: PathBuf,
        /// The file's size.
        needed: u64,
        /// What is free.
        available: u64,
    },
    /// A position outside of the file.
    #[error("{length} bytes at {offset} are not within {}", path.display())]
    OutOfBounds {
        /// The file.
        path: PathBuf,
        /// From where.
        offset: u64,
        /// How many bytes.
        length: usize,
    },
    /// The bytes could not be made durable, so nobody knows what is on the disk: the file was discarded.
    #[error("cannot make {} durable, what was downloaded is lost: {source}", path.display())]
    SyncFailed {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another name of the folder differs from this one in nothing that the file system looks at.
    #[error("{} and another name in the folder are one to this file system", .0.display())]
    Clash(PathBuf),
    /// The file was discarded before.
    #[error("{} was discarded", .0.display())]
    Discarded(PathBuf),
    /// Anything else that the system refuses.
    #[error(transparent)]
    File(#[from] FileError),
}

impl PartialError {
    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Db(error) => error.hint(),
            Self::NoSpace { .. } => Some("free some space and run the same command again"),
            Self::Clash(_) => Some(
                "choose a folder on a file system where upper and lower case differ, or leave one out by --only",
            ),
            Self::SyncFailed { source, .. } => super::io_hint(source),
            Self::File(error) => error.hint(),
            Self::Install(error) => error.hint(),
            Self::NoJob(_) | Self::Installed(_) | Self::OutOfBounds { .. } | Self::Discarded(_) => None,
        }
    }
}

/// The temporary file or folder of a job, and which chunks are in it.
#[derive(Debug)]
pub struct OpenedPartial {
    /// The file or folder.
    pub file: Partial,
    /// The chunks that are verified and durable in it: none for a new file.
    pub done: RangeSet,
}

impl Store {
    /// Opens the temporary file of a job; where it has none, or that vanished or has another size, makes a new one in
    /// which nothing is done. The job names the file before it is there, so that a crash leaves none that nobody knows.
    ///
    /// # Errors
    /// See [`PartialError`].
    pub async fn open_partial(&self, id: JobId, now: UnixMillis) -> Result<OpenedPartial, PartialError> {
        let store = self.clone();
        off_thread(move || store.open_partial_blocking(id, now, None)).await
    }

    /// The same for a job that downloads a folder: the temporary folder, with what is `chosen` of it. Of an update that is
    /// what [`Update::brought`](super::Update::brought) says.
    ///
    /// # Errors
    /// See [`PartialError`].
    pub async fn open_partial_folder(
        &self,
        id: JobId,
        layout: Arc<Layout>,
        chosen: Chosen,
        now: UnixMillis,
    ) -> Result<OpenedPartial, PartialError> {
        let store = self.clone();
        off_thread(move || store.open_partial_blocking(id, now, Some((layout, chosen)))).await
    }

    fn open_partial_blocking(
        &self,
        id: JobId,
        now: UnixMillis,
        folder: Option<(Arc<Layout>, Chosen)>,
    ) -> Result<OpenedPartial, PartialError> {
        let busy = || PartialError::Install(Box::new(InstallError::Busy(id)));
        let _busy = self.inner.installs.begin(id).ok_or_else(busy)?;
        let resumed = self.resume_blocking(id, now);
        if resumed.map_err(|error| PartialError::Install(Box::new(error)))?.is_some() {
            return Err(PartialError::Installed(id));
        }
        let job = self.db().read_blocking("read a job", move |connection| jobs::by_id(connection, id))?;
        let job = job.ok_or(PartialError::NoJob(id))?;
        if job.state == JobState::Installed {
            return Err(PartialError::Installed(id));
        }
        let shape = if job.base.is_some() { Shape::Update } else { Shape::Whole };
        if folder.is_some() {
            self.refuse_edits(&job).map_err(|error| PartialError::Install(Box::new(error)))?;
        }
        let mut done = job.done;
        if let Some(path) = &job.temporary
            && let Some(file) = self.reopen(path, job.record.size, (folder.as_ref(), shape), &mut done)?
        {
            return Ok(OpenedPartial { file, done });
        }
        let path = names::temporary(&job.target, random_tag()?);
        let temporary = Some(path.clone());
        self.db().write_blocking("write a job", move |transaction| {
            jobs::set_temporary(transaction, id, &temporary)
        })?;
        let fs = self.fs().clone();
        let file = match folder {
            None => Partial::File(PartialFile::create(fs, &path, job.record.size)?),
            Some((layout, chosen)) => {
                Partial::Folder(PartialFolder::create(fs, &path, layout, chosen, shape)?)
            }
        };
        Ok(OpenedPartial { file, done: RangeSet::new() })
    }

    fn reopen(
        &self,
        path: &Path,
        size: u64,
        (folder, shape): (Option<&(Arc<Layout>, Chosen)>, Shape),
        done: &mut RangeSet,
    ) -> Result<Option<Partial>, PartialError> {
        let fs = self.fs().clone();
        Ok(match folder {
            None => PartialFile::reopen(fs, path, size)?.map(Partial::File),
            Some((layout, chosen)) => {
                PartialFolder::reopen(fs, path, layout.clone(), chosen.clone(), shape, done)?
                    .map(Partial::Folder)
            }
        })
    }
}

fn random_tag() -> Result<u64, FileError> {
    getrandom::u64()
        .map_err(|error| failed("draw a random name for", Path::new("a file"), io::Error::other(error)))
}

/// What a download is written to. All methods block, and several threads may call them; offsets are among the bytes of
/// all files.
#[derive(Debug)]
pub enum Partial {
    /// One file.
    File(PartialFile),
    /// A folder.
    Folder(PartialFolder),
}

impl Partial {
    /// Writes whole chunks, each of which is what its hash says. See [`PartialFile::write_at`] and
    /// [`PartialFolder::write_chunks`].
    ///
    /// # Errors
    /// See [`PartialError`].
    pub fn write_chunks(&self, offset: u64, bytes: &[u8]) -> Result<(), PartialError> {
        match self {
            Self::File(file) => file.write_at(offset, bytes),
            Self::Folder(folder) => folder.write_chunks(offset, bytes),
        }
    }

    /// See [`PartialFile::read_at`].
    ///
    /// # Errors
    /// See [`PartialError`].
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), PartialError> {
        match self {
            Self::File(file) => file.read_at(offset, buffer),
            Self::Folder(folder) => folder.read_at(offset, buffer),
        }
    }

    /// See [`PartialFile::share_blocks`]. Nothing for folders, or of folders.
    ///
    /// # Errors
    /// See [`PartialError`].
    pub fn share_blocks(
        &self,
        source: &Served,
        from: u64,
        to: Range<u64>,
    ) -> Result<Range<u64>, PartialError> {
        match (self, source) {
            (Self::File(file), Served::File(source)) => file.share_blocks(source, from, to),
            _ => Ok(to.start..to.start),
        }
    }

    /// Whether an entry's hash was compared with its bytes before these were written, so that they need not be read again.
    /// Never of a single file.
    pub fn is_verified(&self, entry: usize) -> bool {
        match self {
            Self::File(_) => false,
            Self::Folder(folder) => folder.is_verified(entry),
        }
    }

    /// See [`PartialFile::sync_data`].
    ///
    /// # Errors
    /// See [`PartialError`].
    pub fn sync_data(&self) -> Result<(), PartialError> {
        match self {
            Self::File(file) => file.sync_data(),
            Self::Folder(folder) => folder.sync_data(),
        }
    }

    /// From now on what is written stays in memory where there is room: others are going to read it.
    pub(crate) fn keep_cached(&self) {
        match self {
            Self::File(file) => file.keep_cached(),
            Self::Folder(folder) => folder.keep_cached(),
        }
    }

    /// See [`PartialFile::discard`].
    pub fn discard(&self) {
        match self {
            Self::File(file) => file.discard(),
            Self::Folder(folder) => folder.discard(),
        }
    }

    /// How many bytes all of it has.
    pub fn size(&self) -> u64 {
        match self {
            Self::File(file) => file.size(),
            Self::Folder(folder) => folder.size(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(file) => file.path(),
            Self::Folder(folder) => folder.path(),
        }
    }
}

/// Removes a temporary file, or a temporary folder with all that is in it, durably: only then may its name be forgotten. One that is not there is as good as removed,
/// unless its whole folder is away. Whatever lies there under another kind of name is not ours and stays.
///
/// # Errors
/// Where it is still there, or nobody knows: the name has to be kept.
pub(super) fn remove_temporary(fs: &dyn Fs, path: &Path) -> Result<(), FileError> {
    if !path.file_name().map(OsStr::as_bytes).is_some_and(names::is_temporary) {
        return Ok(());
    }
    let folder = parent_of(path);
    let absent = |kind| matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    let removed = match fs.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => fs.remove_folder(path),
        removed => removed,
    };
    match removed {
        Err(error) if absent(error.kind()) => match fs.stat(folder) {
            Err(error) if absent(error.kind()) => return Err(failed("remove", path, FolderAway.into())),
            looked => drop(looked.at("look at", folder)?),
        },
        removed => removed.at("remove", path)?,
    }
    fs.sync_folder(folder).at("make durable the folder", folder)
}

#[cfg(test)]
mod tests;
