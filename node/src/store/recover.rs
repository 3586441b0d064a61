//! Ending what an installation left undone: after a crash, after an error, and as the second half of every installation.
//! What lies in the folder decides how. See `install` for the argument.

use std::io;
use std::path::{Path, PathBuf};

use certs::UnixMillis;
use rusqlite::{Connection, Transaction};
use wire::{ContentHash, RootHash};

use super::fs::{At, FileError, FileKind, FileStamp, FileStat, Fs, parent_of, read_full};
use super::holdings::{self, NewHolding, Origin};
use super::install::{InstallError, InstalledFile, Kept, KeptFile};
use super::intents::{self, Intent};
use super::jobs::{self, Job, JobId, JobState, told};
use super::{DbError, Store, events, garbage, installed, manifests, subscriptions};
use crate::off_thread::off_thread;

/// What is read at once when a file's content has to be found out.
const BUFFER_BYTES: usize = 1 << 20;
/// Names that are tried for an old file whose intended one is taken.
const NAMES: u32 = 100;

/// What became of one unfinished installation.
#[derive(Debug)]
pub struct Recovered {
    /// Its job.
    pub job: JobId,
    /// `Some` where it was finished. `None` where it was undone: the job is as it was before, or, if its temporary file
    /// is gone, starts from nothing. On an error nothing is lost, and the next start tries again.
    pub outcome: Result<Option<InstalledFile>, InstallError>,
}

/// Where the new file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// At the target, with this stamp.
    Target(FileStamp),
    /// Still under its temporary name.
    Temporary,
    /// Under neither name, but something else is.
    Replaced,
    /// Nothing is under either name.
    Missing,
}

impl Store {
    /// Finishes or undoes every installation that a crash or an error interrupted. For the start, before jobs go on.
    ///
    /// # Errors
    /// Where the database does not say which there are.
    pub async fn recover(&self, now: UnixMillis) -> Result<Vec<Recovered>, DbError> {
        let store = self.clone();
        off_thread(move || {
            let intents = store.db().read_blocking("read intents", intents::list)?;
            let recover = |intent: Intent| {
                let outcome = match store.inner.installs.begin(intent.job) {
                    Some(_busy) => store.settle(&intent, now),
                    None => Err(InstallError::Busy(intent.job)),
                };
                if let Err(error) = &outcome {
                    tracing::warn!(job = %intent.job, %error, "an interrupted installation could not be ended");
                }
                Recovered { job: intent.job, outcome }
            };
            Ok(intents.into_iter().map(recover).collect())
        })
        .await
    }

    /// Ends the interrupted installation of a job, if there is one.
    pub(super) fn resume_blocking(
        &self,
        id: JobId,
        now: UnixMillis,
    ) -> Result<Option<InstalledFile>, InstallError> {
        let query = move |connection: &Connection| intents::of_job(connection, id);
        match self.db().read_blocking("read an intent", query)? {
            Some(intent) => self.settle(&intent, now),
            None => Ok(None),
        }
    }

    /// Looks where the new file is, and finishes or undoes.
    pub(super) fn settle(
        &self,
        intent: &Intent,
        now: UnixMillis,
    ) -> Result<Option<InstalledFile>, InstallError> {
        if intent.update.is_some() {
            return self.settle_update(intent, now);
        }
        match self.position(intent)? {
            Position::Target(stamp) => self.complete(intent, stamp, None, now).map(Some),
            Position::Temporary => self.undo(intent).map(|()| None),
            Position::Replaced => self.give_up(intent).map(|()| None),
            Position::Missing if self.is_reachable(intent)? => self.give_up(intent).map(|()| None),
            Position::Missing => Err(InstallError::Unreachable(intent.target.clone())),
        }
    }

    fn position(&self, intent: &Intent) -> Result<Position, FileError> {
        let target = self.stat(&intent.target)?;
        let temporary = self.stat(&intent.temporary)?;
        let is_new = |stat: Option<FileStat>| stat.is_some_and(|stat| stat.stamp.inode == intent.stamp.inode);
        if is_new(target) {
            return Ok(Position::Target(intent.stamp));
        }
        if is_new(temporary) {
            return Ok(Position::Temporary);
        }
        // Some file systems number their files anew at each mount.
        if self.has_content(&intent.temporary, temporary, intent.content)? {
            return Ok(Position::Temporary);
        }
        match target {
            Some(stat) if self.has_content(&intent.target, target, intent.content)? => {
                Ok(Position::Target(stat.stamp))
            }
            None if temporary.is_none() => Ok(Position::Missing),
            _ => Ok(Position::Replaced),
        }
    }

    /// Whether the folder is on the file system on which it was, as far as its number tells. If not, the disk is perhaps
    /// not mounted, and a user's file waits on it under the temporary name.
    pub(super) fn is_reachable(&self, intent: &Intent) -> Result<bool, FileError> {
        let folder = self.stat(parent_of(&intent.target))?;
        Ok(folder.is_some_and(|folder| folder.stamp.device == intent.stamp.device))
    }

    /// Steps 4 and 5 of an installation.
    pub(super) fn complete(
        &self,
        intent: &Intent,
        stamp: FileStamp,
        bytes_reused: Option<u64>,
        now: UnixMillis,
    ) -> Result<InstalledFile, InstallError> {
        let folder = parent_of(&intent.target);
        self.fs().sync_folder(folder).at("make durable the folder", folder)?;
        let kept = self.keep_old(intent)?;
        self.fs().sync_folder(folder).at("make durable the folder", folder)?;
        let kept = Kept::of(kept.map(|path| KeptFile { from: intent.target.clone(), path }));
        self.commit_blocking(intent, stamp, (bytes_reused, &kept), now)?;
        Ok(InstalledFile { path: intent.target.clone(), stamp, kept })
    }

    /// The last step of an installation.
    pub(super) fn commit_blocking(
        &self,
        intent: &Intent,
        stamp: FileStamp,
        (bytes_reused, kept): (Option<u64>, &Kept),
        now: UnixMillis,
    ) -> Result<(), InstallError> {
        let (id, target, old) = (intent.job, intent.target.clone(), kept.files.clone());
        // What was received of an earlier version is of no use any more. A crash may have come before it went, and where
        // nothing was missing any more nobody has looked at it.
        if let Err(error) = self.discard_remnant_blocking(id) {
            tracing::warn!(job = %id, %error, "what was received of an earlier version stays for now");
        }
        let leftovers = self.db().write_blocking("finish an installation", move |transaction| {
            if let Some(job) = jobs::by_id(transaction, id)? {
                let reused = bytes_reused.unwrap_or(job.bytes_reused);
                let from = subscriptions::held_version(transaction, &job)?;
                events::put(transaction, &told::installed(&job, reused, from))?;
                old.iter().try_for_each(|old| events::put(transaction, &told::conflict(&job, old)))?;
            }
            commit(transaction, id, target, stamp, now)
        })?;
        self.forget_old(leftovers);
        Ok(())
    }

    /// Brings the old file to the name under which it is kept, or removes it where it need not be; returns that name.
    fn keep_old(&self, intent: &Intent) -> Result<Option<PathBuf>, FileError> {
        let fs = &**self.fs();
        let Intent { temporary, keep, base, .. } = intent;
        match self.stat(temporary)? {
            Some(stat) if stat.stamp.inode == intent.stamp.inode => {
                // The second name of the new file, where one name after the other was made.
                fs.remove(temporary).at("remove", temporary)?;
                return Ok(None);
            }
            Some(_) if !intent.force => return Ok(None),
            Some(stat) => {
                let kept = self.stat(keep)?;
                if kept.is_some_and(|kept| kept.stamp.inode == stat.stamp.inode) {
                    // Its second name, where one name after the other was made.
                    fs.remove(temporary).at("remove", temporary)?;
                    return Ok(Some(keep.clone()));
                }
                if let Some(base) = base
                    && self.has_content(temporary, Some(stat), *base)?
                {
                    fs.remove(temporary).at("remove", temporary)?;
                    return Ok(None);
                }
                return self.move_old(temporary, keep).map(Some);
            }
            None if !intent.force => return Ok(None),
            None => {}
        }
        let kept = self.stat(keep)?;
        if let Some(base) = base
            && self.has_content(keep, kept, *base)?
        {
            fs.remove(keep).at("remove", keep)?;
            return Ok(None);
        }
        Ok(kept.map(|_| keep.clone()))
    }

    /// Moves a user's file away from a temporary name, to the name for it or, where that is taken, one like it.
    fn move_old(&self, from: &Path, keep: &Path) -> Result<PathBuf, FileError> {
        for number in 0..NAMES {
            let to = match number {
                0 => keep.to_owned(),
                number => super::names::numbered(keep, number),
            };
            match self.fs().rename_new(from, &to) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result.at("keep the old file as", &to).map(|()| to),
            }
        }
        Err(super::fs::failed("keep the old file as", keep, io::ErrorKind::AlreadyExists.into()))
    }

    /// The user's folder is as it was before; only a second name of the old file may have to go.
    fn undo(&self, intent: &Intent) -> Result<(), InstallError> {
        let (target, keep) = (self.stat(&intent.target)?, self.stat(&intent.keep)?);
        if let (true, Some(target), Some(keep)) = (intent.force, target, keep)
            && target.stamp.inode == keep.stamp.inode
        {
            self.fs().remove(&intent.keep).at("remove", &intent.keep)?;
        }
        let intent = intent.clone();
        let change = move |transaction: &Transaction| intents::undo(transaction, &intent);
        Ok(self.db().write_blocking("undo an installation", change)?)
    }

    /// The new file is gone: somebody removed or replaced it. What has the temporary name may be the old file.
    pub(super) fn give_up(&self, intent: &Intent) -> Result<(), InstallError> {
        if intent.force && self.stat(&intent.temporary)?.is_some() {
            self.move_old(&intent.temporary, &intent.keep)?;
        }
        let id = intent.job;
        let change = move |transaction: &Transaction| {
            jobs::set_temporary(transaction, id, &None)?;
            intents::remove(transaction, id)
        };
        Ok(self.db().write_blocking("undo an installation", change)?)
    }

    /// What lies at a path, if something does.
    pub(super) fn stat(&self, path: &Path) -> Result<Option<FileStat>, FileError> {
        match self.fs().stat(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            result => result.at("look at", path).map(Some),
        }
    }

    pub(super) fn has_content(
        &self,
        path: &Path,
        stat: Option<FileStat>,
        content: ContentHash,
    ) -> Result<bool, FileError> {
        match stat {
            Some(stat) if stat.kind == FileKind::Regular => Ok(content_of(&**self.fs(), path)? == content),
            _ => Ok(false),
        }
    }
}

/// Step 5: the job is installed, the file is held, the intent is gone. Returns what [`jobs::prune`] does.
fn commit(
    transaction: &Transaction,
    id: JobId,
    target: PathBuf,
    stamp: FileStamp,
    now: UnixMillis,
) -> rusqlite::Result<Vec<(JobId, PathBuf)>> {
    let job = jobs::by_id(transaction, id)?;
    jobs::set_state(transaction, id, &JobState::Installed, now)?;
    intents::remove(transaction, id)?;
    if let Some(job) = &job {
        subscriptions::installed(transaction, job, stamp, now)?;
    }
    let root = job.as_ref().and_then(|job| job.root);
    let base = job.as_ref().and_then(|job| job.base);
    if let Some(job) = &job {
        // Who has a part of a folder only cannot serve it as what the record says.
        let held = match root.filter(|_| job.options.share && job.only.is_empty()) {
            Some(root) => hold(transaction, job, root, target, stamp)?,
            None => false,
        };
        if let Some(base) = base.filter(|_| !held) {
            holdings::replaced(transaction, &job.target, base.content)?;
        }
        installed::put(transaction, job, stamp, held)?;
    }
    let roots = [root, base.map(|base| base.root)];
    roots.into_iter().flatten().try_for_each(|root| garbage::collect(transaction, root))?;
    jobs::prune(transaction)
}

/// Holds what a job put in place; returns whether that can be, as it cannot without the manifest.
fn hold(
    transaction: &Transaction,
    job: &Job,
    root: RootHash,
    path: PathBuf,
    stamp: FileStamp,
) -> rusqlite::Result<bool> {
    if manifests::root(transaction, root)?.is_none() {
        return Ok(false);
    }
    let holding = NewHolding {
        path,
        stamp,
        content: job.content,
        root,
        record: job.record.clone(),
        receipt: job.receipt.clone(),
        certificate: job.certificate.clone(),
        origin: Origin::Get,
    };
    holdings::put(transaction, &holding)?;
    Ok(true)
}

/// BLAKE3 of a file's bytes.
fn content_of(fs: &dyn Fs, path: &Path) -> Result<ContentHash, FileError> {
    let file = fs.open_read(path).at("open", path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut offset = 0;
    loop {
        let read = read_full(&*file, &mut buffer, offset).at("read", path)?;
        hasher.update(&buffer[..read]);
        offset += read as u64;
        if read < buffer.len() {
            return Ok(ContentHash::from_bytes(*hasher.finalize().as_bytes()));
        }
    }
}
