//! Putting a downloaded file in place: after a crash at any point the target is the old file or the new one, and no file
//! of a user's is lost.
//!
//! The caller has checked every chunk and the whole content. Then, in this order:
//!
//! 1. The temporary file gets its mode and modification time and is synced. *Crash before the end:* the job goes on with
//!    its temporary file, as if nothing had happened.
//! 2. The intent is committed: from where to where, under which name an old file is kept, and the new file's inode.
//!    *Crash after it:* the new file still has its temporary name, and recovery removes the intent.
//! 3. One rename brings the new file to its target. Without `force` it is one that fails where the target exists. With
//!    `force` the two files change places, so the old one is then under the temporary name, to which the intent leads.
//!    *Crash after it:* the rename is on the disk, and recovery goes on with step 4; or it is not, and the case is that
//!    of step 2, because the bytes were synced in step 1 and the inode tells which file has which name.
//! 4. The folder is synced. Only then is the old file touched: it moves to the name under which it is kept, or is removed
//!    if it has the content that the caller knows from a version before. *Crash after it:* the target is the new file,
//!    nothing has the temporary name, and recovery has no more than step 5 to do.
//! 5. The folder is synced again, and one transaction says that the job is installed, stores the holding and removes the
//!    intent.
//!
//! Where a file system cannot exchange, step 3 links the old file to its kept name and then renames over it: with the
//! link alone the old file has two names and recovery removes the second; with both it is where step 4 would bring it.
//! Where it cannot rename without replacing, the link is made to the target and the temporary name removed: with both
//! names on one inode recovery removes the temporary one.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use certs::{UnixMillis, UnixNanos, UserName};
use wire::ContentHash;
use wire::manifest::Placed;

use super::fs::{At, FileError, FileKind, FileStamp, failed};
use super::intents::{self, Intent};
use super::jobs::{self, Job, JobId, JobState};
use super::partial::{Partial, PartialError, PartialFolder, remove_temporary};
use super::{DbError, FolderFile, FolderFiles, LayoutError, Store, folder_files, manifests, names};
use crate::off_thread::off_thread;

/// How often a target that comes and goes is tried, and how many names for an old file.
const ATTEMPTS: u32 = 100;
/// Kept files that are named.
const KEPT_LISTED: usize = 100;

/// What [`Store::install`] needs to know beside the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallFacts {
    /// Whether the file is executable. Its mode is 0666, or 0777, without the umask's bits.
    pub executable: bool,
    /// The modification time that it gets.
    pub mtime: UnixNanos,
    /// Whose name stands in the name of an old file that is kept.
    pub user: UserName,
    /// The content of the version that this node put there before, if it did: an old file that still has it is replaced
    /// also without `force`, and is not kept. Anything else is a local edit. Of a folder the job says it: [`Job::base`].
    pub base: Option<ContentHash>,
    /// How many bytes of it were on this machine already, for the log of activity.
    pub bytes_reused: u64,
}

/// A file that was put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its stamp.
    pub stamp: FileStamp,
    /// Where old files are that had to be kept: of a folder's update there may be many.
    pub kept: Kept,
}

/// Files that were kept beside what replaced them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The first 100.
    pub files: Vec<KeptFile>,
    /// How many there are.
    pub count: u64,
}

/// A file that was kept beside what replaced it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFile {
    /// Where it lay.
    pub from: PathBuf,
    /// Where it is.
    pub path: PathBuf,
}

impl Kept {
    pub(super) fn of(file: Option<KeptFile>) -> Self {
        let mut kept = Self::default();
        file.into_iter().for_each(|file| kept.push(file));
        kept
    }

    pub(super) fn push(&mut self, file: KeptFile) {
        self.count += 1;
        if self.files.len() < KEPT_LISTED {
            self.files.push(file);
        }
    }
}

/// Why a file was not put in place.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The database did not answer.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The job is being installed already.
    #[error("job {0} is being installed")]
    Busy(JobId),
    /// There is no such job that is not installed yet, or it has no temporary file.
    #[error("job {0} has nothing to install")]
    NothingToInstall(JobId),
    /// Something lies at the target, and the job does not allow to replace it. The temporary file is kept.
    #[error("{} exists", .0.display())]
    TargetExists(PathBuf),
    /// Something lies where a folder is to be: it is never replaced by one. The temporary folder is kept.
    #[error("{} exists, and a folder is not put in the place of what lies there", .0.display())]
    TargetTaken(PathBuf),
    /// An update would replace or remove what is no version that this node put there, and the job does not allow that.
    /// The temporary file is kept.
    #[error("{} was changed or made here since", .0.display())]
    Edited(PathBuf),
    /// The target of an update was removed. The job goes on as if it had never been there.
    #[error("{} was removed while its next version came", .0.display())]
    TargetGone(PathBuf),
    /// The manifest of what lies at the target is not there, so that nobody can tell it from edits. The temporary folder is
    /// kept.
    #[error("what was installed as {} is not known any more", .0.display())]
    BaseGone(PathBuf),
    /// A manifest cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A folder lies at the target. The temporary file is kept.
    #[error("{} is a folder", .0.display())]
    TargetIsFolder(PathBuf),
    /// A fifo, a socket or a device lies at the target: it is never replaced. The temporary file is kept.
    #[error("{} is a fifo, a socket or a device", .0.display())]
    TargetIsNoFile(PathBuf),
    /// An interrupted installation cannot be ended, since neither its old nor its new file is there, nor the file system
    /// on which they were. It waits until they are there again, or the job is removed.
    #[error("the folder of {} is not the one in which the file was being installed", .0.display())]
    Unreachable(PathBuf),
    /// The temporary file is gone, or is not as long as the record says. The job starts from nothing.
    #[error("the temporary file {} is gone", .0.display())]
    TemporaryGone(PathBuf),
    /// The file could not be made durable, so nobody knows what is on the disk: it was discarded, and the job starts from
    /// nothing.
    #[error("cannot make {} durable, what was downloaded is lost: {source}", path.display())]
    SyncFailed {
        /// The temporary file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else that the system refuses. Nothing is lost; installing again, or the next start, goes on from where
    /// this ended.
    #[error(transparent)]
    File(#[from] FileError),
}

impl InstallError {
    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Db(error) | Self::Layout(LayoutError::Db(error)) => error.hint(),
            Self::Edited(_) => {
                Some("run the same command with --force to replace it; what lies there is kept beside")
            }
            Self::TargetGone(_) => Some("run the same command again"),
            Self::BaseGone(_) => Some("move it elsewhere, and run the same command again"),
            Self::TargetExists(_) => {
                Some("run the same command with --force to replace it; the old file is kept")
            }
            Self::TargetTaken(_) => Some("move it elsewhere, and run the same command again"),
            Self::Unreachable(_) => Some("mount the disk again, or cancel the download"),
            Self::TargetIsFolder(_) | Self::TargetIsNoFile(_) => Some("choose another name"),
            Self::TemporaryGone(_) => Some("run the same command again"),
            Self::SyncFailed { source, .. } => super::io_hint(source),
            Self::File(error) => error.hint(),
            Self::Busy(_) | Self::NothingToInstall(_) | Self::Layout(_) => None,
        }
    }
}

impl Store {
    /// Puts the temporary file of a job at its target, whose folder is created if need be, and ends the job: installed,
    /// and, where the job says so, held for others under its record. Every chunk and the whole content have been checked
    /// by the caller, and nobody writes to the temporary file any more.
    ///
    /// Once begun it goes on to its end, also if the future is dropped.
    ///
    /// # Errors
    /// See [`InstallError`].
    pub async fn install(
        &self,
        id: JobId,
        facts: InstallFacts,
        now: UnixMillis,
    ) -> Result<InstalledFile, InstallError> {
        self.install_any(id, facts, None, now).await
    }

    /// The same for a folder: `partial` is the job's temporary folder. Nothing must lie at the target, unless the job is an
    /// [update](Job::base): then what lies there is brought to the new version, see `update`.
    ///
    /// # Errors
    /// See [`InstallError`].
    pub async fn install_folder(
        &self,
        id: JobId,
        facts: InstallFacts,
        partial: Arc<Partial>,
        now: UnixMillis,
    ) -> Result<InstalledFile, InstallError> {
        self.install_any(id, facts, Some(partial), now).await
    }

    async fn install_any(
        &self,
        id: JobId,
        facts: InstallFacts,
        partial: Option<Arc<Partial>>,
        now: UnixMillis,
    ) -> Result<InstalledFile, InstallError> {
        let store = self.clone();
        off_thread(move || {
            let _busy = store.inner.installs.begin(id).ok_or(InstallError::Busy(id))?;
            store.install_blocking(id, &facts, partial.as_deref(), now)
        })
        .await
    }

    fn install_blocking(
        &self,
        id: JobId,
        facts: &InstallFacts,
        partial: Option<&Partial>,
        now: UnixMillis,
    ) -> Result<InstalledFile, InstallError> {
        if let Some(installed) = self.resume_blocking(id, now)? {
            return Ok(installed);
        }
        let (job, temporary) = self.job_to_install(id)?;
        if let (Some(_), Some(Partial::Folder(folder))) = (job.base, partial) {
            return self.update_blocking(&job, folder, facts, now);
        }
        let (stamp, force, files) = match partial {
            Some(Partial::Folder(folder)) => {
                let (stamp, files) = self.prepare_folder(&job, folder, facts)?;
                (stamp, false, Some(files))
            }
            _ => {
                let force = self.may_replace(&job, facts)?;
                (self.prepare(&job, &temporary, facts)?, force, None)
            }
        };
        let mut intent = Intent {
            job: id,
            target: job.target.clone(),
            keep: self.free_name(&job.target, now, &facts.user, 0)?,
            temporary,
            stamp,
            content: job.content,
            base: facts.base,
            force,
            update: None,
        };
        self.begin_with(&job, &intent, files)?;
        match self.swap(&mut intent, &facts.user, now) {
            Ok(()) => self.complete(&intent, stamp, Some(facts.bytes_reused), now),
            // Some of it may have happened: what lies there decides.
            Err(error) => match self.settle(&intent, now) {
                Ok(Some(installed)) => Ok(installed),
                Ok(None) => Err(error),
                Err(then) => {
                    tracing::warn!(job = %id, error = %then, "a failed installation could not be undone yet");
                    Err(error)
                }
            },
        }
    }

    fn job_to_install(&self, id: JobId) -> Result<(Job, PathBuf), InstallError> {
        let job = self.db().read_blocking("read a job", move |connection| jobs::by_id(connection, id))?;
        let job = job.filter(|job| job.state != JobState::Installed);
        let found = job.and_then(|job| job.temporary.clone().map(|temporary| (job, temporary)));
        found.ok_or(InstallError::NothingToInstall(id))
    }

    /// Whether what lies at the target may be replaced: with `force`, or as a version that this node put there. An edit that
    /// comes after this look is kept beside.
    fn may_replace(&self, job: &Job, facts: &InstallFacts) -> Result<bool, InstallError> {
        let Some(base) = facts.base.filter(|_| !job.options.force) else { return Ok(job.options.force) };
        let found = self.stat(&job.target)?;
        let known = [base, job.content];
        for content in known.into_iter().filter(|_| found.is_some()) {
            if self.has_content(&job.target, found, content)? {
                return Ok(true);
            }
        }
        match found {
            Some(_) => Err(InstallError::Edited(job.target.clone())),
            None => Ok(true),
        }
    }

    /// Step 1.
    fn prepare(&self, job: &Job, temporary: &Path, facts: &InstallFacts) -> Result<FileStamp, InstallError> {
        let fs = self.fs();
        let file = match fs.open_write(temporary) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.gone(job, temporary)),
            Err(error) => return Err(failed("open", temporary, error).into()),
        };
        if file.stat().at("look at", temporary)?.stamp.size != job.record.size {
            return Err(self.gone(job, temporary));
        }
        let mode = if facts.executable { 0o777 } else { 0o666 } & !fs.umask();
        file.set_attributes(mode, facts.mtime).at("set the mode and time of", temporary)?;
        if let Err(source) = file.sync_all() {
            self.start_from_nothing(job.id, temporary)?;
            return Err(InstallError::SyncFailed { path: temporary.to_owned(), source });
        }
        // The file system may keep the time less exactly than it was given.
        Ok(file.stat().at("look at", temporary)?.stamp)
    }

    /// Step 1 for a folder. Returns how its files are now, too.
    fn prepare_folder(
        &self,
        job: &Job,
        folder: &PartialFolder,
        facts: &InstallFacts,
    ) -> Result<(FileStamp, FolderFiles), InstallError> {
        let files = self.finish_files(job, folder, Some(facts.mtime), |_, _| Ok(None))?;
        let stamp = self.fs().stat(folder.path()).at("look at", folder.path())?.stamp;
        Ok((stamp, files))
    }

    /// Makes the files of a temporary folder ready, with an `mtime` the folder itself, too, and says how they are, and those
    /// that are not there as `others` does.
    pub(super) fn finish_files(
        &self,
        job: &Job,
        folder: &PartialFolder,
        mtime: Option<UnixNanos>,
        others: impl FnMut(usize, Placed<'_>) -> Result<Option<FolderFile>, PartialError>,
    ) -> Result<FolderFiles, InstallError> {
        match folder.finish(FolderFiles::new(Some(self)), mtime, others) {
            Ok(files) => Ok(files),
            Err(PartialError::SyncFailed { path, source }) => {
                self.start_from_nothing(job.id, &path)?;
                Err(InstallError::SyncFailed { path, source })
            }
            Err(PartialError::File(error)) => Err(error.into()),
            Err(PartialError::Db(error)) => Err(error.into()),
            Err(_) => Err(self.gone(job, folder.path())),
        }
    }

    /// Step 2, of an update too. How the files of a folder are now is kept before it is put in place: they belong to the
    /// target's path and the manifest, and say nothing until something is held there.
    pub(super) fn begin_with(
        &self,
        job: &Job,
        intent: &Intent,
        files: Option<FolderFiles>,
    ) -> Result<(), DbError> {
        let (root, intent) = (job.root, intent.clone());
        self.db().write_blocking("write an intent", move |transaction| {
            // Without its manifest nobody asks for them.
            if let (Some(root), Some(files)) = (root, files)
                && manifests::root(transaction, root)?.is_some()
            {
                folder_files::put(transaction, &intent.target, root, &files)?;
            }
            intents::begin(transaction, &intent)
        })
    }

    pub(super) fn gone(&self, job: &Job, temporary: &Path) -> InstallError {
        match self.start_from_nothing(job.id, temporary) {
            Ok(()) => InstallError::TemporaryGone(temporary.to_owned()),
            Err(error) => error.into(),
        }
    }

    /// What is in the temporary file is of no use: it is removed, and its name forgotten. Where it cannot be removed the
    /// job keeps its name, with nothing done in it.
    pub(super) fn start_from_nothing(&self, id: JobId, temporary: &Path) -> Result<(), DbError> {
        let kept = match remove_temporary(&**self.fs(), temporary) {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(job = %id, %error, "a temporary file stays for now");
                Some(temporary.to_owned())
            }
        };
        self.db()
            .write_blocking("write a job", move |transaction| jobs::set_temporary(transaction, id, &kept))
    }

    fn put_intent(&self, intent: &Intent) -> Result<(), DbError> {
        let intent = intent.clone();
        self.db().write_blocking("write an intent", move |transaction| intents::begin(transaction, &intent))
    }

    /// Step 3. On success the target is the new file.
    fn swap(&self, intent: &mut Intent, user: &UserName, now: UnixMillis) -> Result<(), InstallError> {
        let fs = self.fs();
        for attempt in 1..ATTEMPTS {
            let Intent { target, temporary, keep, .. } = &*intent;
            match fs.rename_new(temporary, target) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => return Ok(result.at("put in place", target)?),
            }
            if !intent.force && self.stat(temporary)?.is_some_and(|stat| stat.kind == FileKind::Folder) {
                return Err(InstallError::TargetTaken(target.clone()));
            }
            if !intent.force {
                return Err(InstallError::TargetExists(target.clone()));
            }
            match self.stat(target)?.map(|stat| stat.kind) {
                Some(FileKind::Folder) => return Err(InstallError::TargetIsFolder(target.clone())),
                Some(FileKind::Other) => return Err(InstallError::TargetIsNoFile(target.clone())),
                Some(FileKind::Regular | FileKind::Link) | None => {}
            }
            match fs.replace(temporary, target, keep) {
                // The old file went meanwhile, or the new one, which the next turn says.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // The name was taken meanwhile, and something else may be lying there that must stay.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    intent.keep = self.free_name(&intent.target, now, user, attempt)?;
                    self.put_intent(intent)?;
                }
                result => return Ok(result.map(drop).at("replace", target)?),
            }
        }
        Err(failed("replace", &intent.target, io::ErrorKind::ResourceBusy.into()).into())
    }

    /// A name for an old file that is free, tried from the `attempt`th on.
    pub(super) fn free_name(
        &self,
        target: &Path,
        now: UnixMillis,
        user: &UserName,
        attempt: u32,
    ) -> Result<PathBuf, FileError> {
        for attempt in attempt..attempt + ATTEMPTS {
            let name = names::conflict(target, now, user, attempt);
            if self.stat(&name)?.is_none() {
                return Ok(name);
            }
        }
        Err(failed("find a free name beside", target, io::ErrorKind::AlreadyExists.into()))
    }
}

/// Which jobs are being installed: nobody else may end their intents.
#[derive(Debug, Default)]
pub(super) struct Installs(Mutex<HashSet<JobId>>);

/// While it lives, the job is being installed.
pub(super) struct Busy<'a>(&'a Installs, JobId);

impl Installs {
    /// Begins, unless it is being installed.
    pub(super) fn begin(&self, id: JobId) -> Option<Busy<'_>> {
        let mut busy = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        busy.insert(id).then(|| Busy(self, id))
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

#[cfg(test)]
mod tests;
