//! Removing what a subscription has installed: `unsubscribe --delete`.
//!
//! Only what this node put there and is as it was goes: a file whose size, time and inode are those of its installation, or
//! whose bytes are; a link that leads where it led; a folder of the version, once nothing is in it. All else stays where it
//! lies and is told.
//!
//! In this order: the subscription is paused and what is held is forgotten, in one transaction; the files go, one by one, and
//! the folders, from the innermost; all of that is synced; one transaction ends the subscription. *Crash at any point:* the
//! subscription is still there, paused, and its manifest with it. What is gone by then is no edit, so that the
//! same once more does the rest.
//!
//! A file is looked at again just before it goes. An edit between that look and the removal, two system calls, goes with it.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction};
use wire::RootHash;
use wire::manifest::{EntryKind, Layout, Placed};

use super::columns::{Column, first, get, path_sql, run};
use super::folder_files::StampsByEntry;
use super::fs::{At, FileError, FileKind, FsFolder, parent_of};
use super::subscriptions::{self, HeldVersion, Subscription, SubscriptionId};
use super::update::{is_one_of, is_same};
use super::{Chosen, DbError, LayoutError, Patterns, Store, garbage};
use crate::off_thread::off_thread;

/// Paths that are named of those that stay.
const NAMED: usize = 100;
/// Names that are looked at in what is left of a folder; what is more is not counted.
const LOOKED_AT: usize = 10_000;

/// What became of what was installed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    /// Why all of it stays, where it does.
    pub kept_because: Option<String>,
    /// What stays in a folder: the first 100.
    pub stays: Vec<Stays>,
    /// How much that is: of what was not installed up to 10,000 are looked for.
    pub stays_count: u64,
}

/// Something in a folder that was not removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stays {
    /// Where it lies.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// Why nothing is removed.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// The database did not answer.
    #[error(transparent)]
    Db(#[from] DbError),
    /// What was installed cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// What the system said; the same once more goes on.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Removed {
    fn stays_whole(why: impl Into<String>) -> Self {
        Self { kept_because: Some(why.into()), ..Self::default() }
    }

    fn push(&mut self, path: PathBuf, why: impl Into<String>) {
        self.stays_count += 1;
        if self.stays.len() < NAMED {
            self.stays.push(Stays { path, why: why.into() });
        }
    }
}

impl Store {
    /// Removes what a subscription has installed, as far as that is as it was, and ends the subscription. Nobody updates it
    /// meanwhile. Begun, it goes on to its end, also if the future is dropped; interrupted by a crash, the same once more goes on.
    ///
    /// # Errors
    /// See [`RemovalError`]. The subscription is there then, paused.
    pub async fn remove_subscribed(&self, id: SubscriptionId) -> Result<Removed, RemovalError> {
        let store = self.clone();
        off_thread(move || {
            let begin = move |transaction: &Transaction| begin(transaction, id);
            let one = store.db().write_blocking("begin to remove what is installed", begin)?;
            let Some(one) = one else { return Ok(Removed::default()) };
            let removed = store.remove_blocking(&one)?;
            let end = move |transaction: &Transaction| subscriptions::end(transaction, id).map(drop);
            store.db().write_blocking("remove a subscription", end)?;
            Ok(removed)
        })
        .await
    }

    fn remove_blocking(&self, one: &Subscription) -> Result<Removed, RemovalError> {
        let Some(held) = one.held else { return Ok(Removed::stays_whole("nothing was installed")) };
        let fs = &**self.fs();
        match self.stat(&one.target)? {
            None => Ok(Removed::default()),
            Some(found) if found.kind == FileKind::Folder => self.remove_folder_blocking(one, held),
            Some(found) => {
                let known = found.stamp.same_as(&held.stamp);
                if !known && !self.has_content(&one.target, Some(found), held.content)? {
                    return Ok(Removed::stays_whole("it was edited here"));
                }
                if self.stat(&one.target)?.is_none_or(|now| !now.stamp.same_as(&found.stamp)) {
                    return Ok(Removed::stays_whole("it was just edited here"));
                }
                if let Err(error) = fs.remove(&one.target) {
                    return Ok(Removed::stays_whole(format!("it cannot be removed: {error}")));
                }
                let folder = parent_of(&one.target);
                fs.sync_folder(folder).at("make durable the folder", folder)?;
                Ok(Removed::default())
            }
        }
    }

    fn remove_folder_blocking(&self, one: &Subscription, held: HeldVersion) -> Result<Removed, RemovalError> {
        let layout = held.root.map(|root| Ok::<_, LayoutError>((root, self.layout_blocking(root)?)));
        let (root, layout) = match layout.transpose()? {
            Some((root, Some(layout))) if layout.is_folder() => (root, layout),
            _ => return Ok(Removed::stays_whole("what was installed is not known any more")),
        };
        let chosen = match &*one.only {
            [] => Chosen::all(),
            only => Patterns::new(only).map_or_else(|_| Chosen::all(), |only| Chosen::by(&only, &layout)),
        };
        let folder = self.fs().open_folder(&one.target).at("open", &one.target)?;
        let mut removing = Removing {
            folder: &*folder,
            root: &one.target,
            stamps: StampsByEntry::new(self, &one.target, root),
            touched: BTreeSet::new(),
            edited: HashSet::new(),
            removed: Removed::default(),
        };
        removing.files(&layout, &chosen)?;
        removing.folders(&layout, &chosen);
        removing.sync()?;
        removing.note_others();
        let removed = removing.removed;
        match self.remove_emptied(&one.target)? {
            Ok(()) => Ok(removed),
            Err(_) if removed.stays_count > 0 => {
                let why = "there is something in it that was edited here, or is not of it";
                Ok(Removed { kept_because: Some(why.to_owned()), ..removed })
            }
            Err(error) => Ok(Removed::stays_whole(format!("it cannot be removed: {error}"))),
        }
    }

    /// Removes a folder in which nothing is, durably; what the system says where something is.
    fn remove_emptied(&self, path: &Path) -> Result<io::Result<()>, FileError> {
        let (above, Some(name)) = (parent_of(path), path.file_name()) else {
            return Ok(Err(io::ErrorKind::InvalidInput.into()));
        };
        let folder = self.fs().open_folder(above).at("open", above)?;
        match folder.remove_empty(Path::new(name)) {
            Err(error) if !is_gone(&error) => return Ok(Err(error)),
            _ => {}
        }
        folder.sync_folder(Path::new("")).at("make durable the folder", above)?;
        Ok(Ok(()))
    }
}

/// A folder of which goes what was installed.
struct Removing<'a> {
    folder: &'a dyn FsFolder,
    root: &'a Path,
    stamps: StampsByEntry<'a>,
    /// Folders in which a name is gone.
    touched: BTreeSet<PathBuf>,
    /// What was installed and stays.
    edited: HashSet<PathBuf>,
    removed: Removed,
}

impl Removing<'_> {
    fn files(&mut self, layout: &Layout, chosen: &Chosen) -> Result<(), RemovalError> {
        for (number, entry) in (0_u32..).zip(layout.entries.iter()) {
            if entry.kind == EntryKind::Folder || !chosen.has(number as usize) {
                continue;
            }
            let path = Path::new(entry.path);
            if let Err(why) = self.file(number, entry, path)? {
                self.edited.insert(path.to_owned());
                self.removed.push(self.root.join(path), why);
            }
        }
        Ok(())
    }

    /// Removes one that is as it was; else says why it stays. What is not there is gone.
    fn file(
        &mut self,
        number: u32,
        entry: Placed<'_>,
        path: &Path,
    ) -> Result<Result<(), String>, RemovalError> {
        let failed = |error: io::Error| format!("it cannot be removed: {error}");
        let found = match self.folder.stat(path) {
            Ok(found) => found,
            Err(error) if is_gone(&error) => return Ok(Ok(())),
            Err(error) => return Ok(Err(failed(error))),
        };
        let stamped = entry.kind == EntryKind::File
            && found.kind == FileKind::Regular
            && is_same(&found.stamp, self.stamps.stamp(number)?);
        // A folder in the place of a file can only be a user's.
        let known = found.kind != FileKind::Folder
            && (stamped || is_one_of(self.folder, self.root, (path, found), [Some(entry)]).unwrap_or(false));
        if !known {
            return Ok(Err("it was edited here".to_owned()));
        }
        match self.folder.stat(path) {
            Ok(now) if now.stamp.same_as(&found.stamp) => {}
            Err(error) if is_gone(&error) => return Ok(Ok(())),
            _ => return Ok(Err("it was just edited here".to_owned())),
        }
        match self.folder.remove(path) {
            Err(error) if !is_gone(&error) => Ok(Err(failed(error))),
            _ => {
                self.touched.insert(path.parent().unwrap_or(Path::new("")).to_owned());
                Ok(Ok(()))
            }
        }
    }

    /// Removes those that are empty, from the innermost. One in which something is stays.
    fn folders(&mut self, layout: &Layout, chosen: &Chosen) {
        for (number, entry) in layout.entries.iter().enumerate().rev() {
            let path = Path::new(entry.path);
            if entry.kind == EntryKind::Folder
                && chosen.has(number)
                && !entry.path.is_empty()
                && self.folder.remove_empty(path).is_ok()
            {
                self.touched.insert(path.parent().unwrap_or(Path::new("")).to_owned());
            }
        }
    }

    fn sync(&self) -> Result<(), FileError> {
        if let Some(synced) = self.folder.sync_file_system() {
            return synced.at("make durable", self.root);
        }
        for folder in self.touched.iter().rev() {
            match self.folder.sync_folder(folder) {
                // Removed meanwhile, which the folder above tells.
                Err(error) if is_gone(&error) => {}
                synced => synced.at("make durable the folder", &self.root.join(folder))?,
            }
        }
        Ok(())
    }

    /// What is left and was not installed by this node: files, links, folders in which nothing is.
    fn note_others(&mut self) {
        let mut looked_at = 0;
        let mut folders = vec![self.root.to_owned()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            let mut empty = true;
            for entry in entries.flatten() {
                looked_at += 1;
                if looked_at > LOOKED_AT {
                    return;
                }
                empty = false;
                let path = entry.path();
                let known = path.strip_prefix(self.root).is_ok_and(|inside| self.edited.contains(inside));
                match entry.file_type() {
                    _ if known => {}
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    _ => self.removed.push(path, "it is not of what was installed"),
                }
            }
            if empty && folder != self.root {
                self.removed.push(folder, "it is not of what was installed");
            }
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The subscription is paused from now on, and what it has installed not held.
fn begin(connection: &Connection, id: SubscriptionId) -> rusqlite::Result<Option<Subscription>> {
    let Some(one) = subscriptions::by_id(connection, id)? else { return Ok(None) };
    run(connection, "UPDATE subscription SET paused = 1 WHERE id = ?1", [id.0.sql()])?;
    let values = || (path_sql(&one.target), one.account.sql(), one.name.sql());
    let sql = "DELETE FROM holding WHERE path = ?1 AND account = ?2 AND name = ?3 AND origin = 'get' RETURNING root";
    let held: Option<RootHash> = first(connection, sql, values(), |row| get(row, "root"))?;
    let sql = "DELETE FROM installed WHERE path = ?1 AND account = ?2 AND name = ?3";
    run(connection, sql, values())?;
    held.map_or(Ok(()), |root| garbage::collect(connection, root))?;
    Ok(Some(one))
}
