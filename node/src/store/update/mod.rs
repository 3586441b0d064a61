//! Bringing a folder that this node put in place to another version of its resource, file by file under one journal.
//!
//! Before it, what differs is in the job's temporary folder: new files and links under [`NEW`], checked as for any download.
//! Then, in this order:
//!
//! 1. All of that gets its modes and times and is synced. How all files of the new version are going to be (their inodes
//!    too) is stored beside how those of the old one were. *Crash before the end:* the job goes on with its temporary
//!    folder.
//! 2. The intent is committed. From here on it only goes forward, whatever happens: each of the next steps looks at what
//!    lies there, does what is left to do, and may be done again.
//! 3. From the outermost: folders are made, and each new file changes places with what lies at its path, in one rename
//!    relative to the open folder. Where a file system cannot exchange, what lies there is linked to a name under [`OLD`]
//!    before. What lies where it can be no other way (a folder in the place of a file, or a file in that of a folder) is
//!    moved to such a name before. Then all is synced. *Crash at any point:* a file under [`NEW`] is the new one if it has
//!    the inode, or else the hash, of the new one: then this is still to be done. If not, it is the old one.
//! 4. What was replaced is compared with the old version: by size, time and inode, or else by its hash. What is equal to
//!    the old version, or to the new one, is removed, after one more look at it. All else is a local edit, and is moved
//!    beside its place as a conflict copy, never over another file. *Crash:* what is still there is compared after it.
//! 5. The same with what the new version does not have: moved to [`OLD`], synced, compared, removed or moved back as a
//!    conflict copy. Then folders that are empty now are removed, from the innermost.
//! 6. Modes and times of files whose bytes stay; then those of folders. All is synced, and the temporary folder removed,
//!    which is empty now.
//! 7. One transaction says that the job is installed, stores the holding and removes the intent. *Crash before it:* the
//!    temporary folder is gone. Where all is in place this is the only step left; else the job starts from nothing.
//!
//! No step looks at what the new version does not name and the old one did not have: users' own files.

mod apply;
mod attributes;
mod diff;
mod moved;
mod old;
mod refuse;

use std::path::Path;
use std::sync::Arc;

use wire::RootHash;
use wire::manifest::{ChunkTable, EntryKind, Layout, Placed};

pub(super) use self::diff::{Change, Diff};
pub(super) use self::refuse::is_one_of;
use super::fs::{FileKind, FileStamp};
use super::install::InstallError;
use super::jobs::{self, Job, JobId};
use super::{Chosen, Patterns, Store, intents};
use crate::off_thread::off_thread;

/// In a temporary folder: what is to be put in place.
pub(super) const NEW: &str = "new";
/// In a temporary folder: what was moved out of the way, by a hash of its path.
const OLD: &str = "old";

/// How the folder at a job's target gets from one version to another.
#[derive(Debug)]
pub struct Update {
    /// The manifest of the old version.
    base: RootHash,
    old: Arc<Layout>,
    new: Arc<Layout>,
    diff: Diff,
}

impl Update {
    /// The entries of the new version that have to be downloaded: files with other bytes than before, and links.
    pub fn brought(&self) -> Chosen {
        self.diff.brought()
    }

    /// The chunks of the new version.
    pub fn chunks(&self) -> ChunkTable {
        self.new.chunks.clone()
    }

    /// The entry of the new version with a number, and what is to be done with it.
    fn changes(&self) -> impl DoubleEndedIterator<Item = (usize, Placed<'_>, Change)> {
        let all = self.new.entries.iter().enumerate();
        all.map(|(number, entry)| (number, entry, self.diff.change(number)))
    }

    /// What the old version has at the path of an entry of the new one.
    fn before(&self, entry: usize) -> Option<(u32, Placed<'_>)> {
        let number = self.diff.before(entry)?;
        Some((number, self.old.entries.get(number as usize)?))
    }

    /// What the new version does not have.
    fn gone(&self) -> impl DoubleEndedIterator<Item = (u32, Placed<'_>)> {
        self.diff.gone.iter().filter_map(|&number| Some((number, self.old.entries.get(number as usize)?)))
    }

    /// What of that lies in a folder.
    fn gone_in(&self, folder: &str) -> impl DoubleEndedIterator<Item = (u32, Placed<'_>)> {
        let path = |number: u32| self.old.entries.get(number as usize).map_or("", |entry| entry.path);
        let is_in = move |path: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        let compare = |number: &u32| wire::manifest::compare_paths(path(*number), folder).is_le();
        let from = self.diff.gone.partition_point(compare);
        let rest = self.diff.gone.get(from..).unwrap_or_default();
        let count = rest.partition_point(|number| is_in(path(*number)));
        let rest = rest.get(..count).unwrap_or_default();
        rest.iter().filter_map(|&number| Some((number, self.old.entries.get(number as usize)?)))
    }
}

impl Store {
    /// How a job's folder gets from the version at its target to the one that it downloads; `None` where it is no update:
    /// without a [base](Job::base), or where the target was removed since. Then it is downloaded like a new one.
    ///
    /// # Errors
    /// See [`InstallError`].
    pub async fn plan_update(&self, id: JobId) -> Result<Option<Arc<Update>>, InstallError> {
        let store = self.clone();
        off_thread(move || {
            let _busy = store.inner.installs.begin(id).ok_or(InstallError::Busy(id))?;
            let query = move |connection: &rusqlite::Connection| {
                Ok((jobs::by_id(connection, id)?, intents::of_job(connection, id)?.is_some()))
            };
            let (job, begun) = store.db().read_blocking("read a job", query)?;
            let Some(job) = job.filter(|job| job.base.is_some()) else { return Ok(None) };
            if !begun && store.stat(&job.target)?.is_none() {
                store.forget_base(&job)?;
                return Ok(None);
            }
            store.update_of(&job).map(Some)
        })
        .await
    }

    /// The update of a job that is one.
    fn update_of(&self, job: &Job) -> Result<Arc<Update>, InstallError> {
        let (Some(base), Some(root)) = (job.base, job.root) else {
            return Err(InstallError::NothingToInstall(job.id));
        };
        let old =
            self.layout_blocking(base.root)?.ok_or_else(|| InstallError::BaseGone(job.target.clone()))?;
        let new = self.layout_blocking(root)?.ok_or(InstallError::NothingToInstall(job.id))?;
        let picked = |layout: &Layout| match &*job.only {
            [] => Chosen::all(),
            only => Patterns::new(only).map_or_else(|_| Chosen::all(), |only| Chosen::by(&only, layout)),
        };
        let diff = Diff::new((&old, &picked(&old)), (&new, &picked(&new)));
        Ok(Arc::new(Update { base: base.root, old, new, diff }))
    }

    /// The target was removed: it is no version of anything.
    fn forget_base(&self, job: &Job) -> Result<(), InstallError> {
        if let Some(temporary) = &job.temporary {
            super::partial::remove_temporary(&**self.fs(), temporary)?;
        }
        let id = job.id;
        Ok(self.db().write_blocking("write a job", move |transaction| {
            jobs::set_temporary(transaction, id, &None)?;
            jobs::forget_base(transaction, id)
        })?)
    }
}

/// Whether a file that has one stamp may be taken for the one that was stored with another.
pub(super) fn is_same(found: &FileStamp, known: Option<FileStamp>) -> bool {
    known.is_some_and(|known| found.same_as(&known))
}

/// Whether something of this kind lies where the entry is to be.
fn is_of_kind(found: FileKind, entry: EntryKind) -> bool {
    matches!(
        (found, entry),
        (FileKind::Regular, EntryKind::File)
            | (FileKind::Folder, EntryKind::Folder)
            | (FileKind::Link, EntryKind::Link)
    )
}

/// The name, under [`OLD`], of what lay at a path.
fn slot(path: &str) -> std::path::PathBuf {
    let hash = blake3::hash(path.as_bytes()).to_hex();
    Path::new(OLD).join(hash.get(..32).unwrap_or_default())
}

#[cfg(test)]
mod tests;
