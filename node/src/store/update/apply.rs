//! The steps of an update from the intent on. Each looks at what lies there, and may be done again.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs::{UnixMillis, UnixNanos, UserName};
use rusqlite::Connection;
use wire::RootHash;
use wire::manifest::{EntryKind, Placed};

use super::refuse::{is_link, is_not_empty, is_one_of, look};
use super::{Change, NEW, OLD, Update, is_of_kind, is_same, slot};
use crate::store::Store;
use crate::store::folder_files::{FolderFile, FolderFiles, StampsByEntry};
use crate::store::fs::{At, FileError, FileKind, FileStat, FsFolder, failed, parent_of};
use crate::store::install::{InstallError, InstallFacts, InstalledFile, Kept};
use crate::store::intents::{Begun, Intent};
use crate::store::jobs::{self, Job};
use crate::store::partial::{PartialFolder, SYNCED_ONE_BY_ONE, ignores_case};

/// How often a path at which things come and go is tried.
pub(super) const ATTEMPTS: u32 = 100;
/// The mode of a folder that is not finished.
const PRIVATE: u32 = 0o700;

impl Store {
    /// Brings the folder at a job's target to the version in its temporary folder.
    pub(in crate::store) fn update_blocking(
        &self,
        job: &Job,
        folder: &PartialFolder,
        facts: &InstallFacts,
        now: UnixMillis,
    ) -> Result<InstalledFile, InstallError> {
        let device = self.fs().stat(folder.path()).at("look at", folder.path())?.stamp.device;
        match self.stat(&job.target)? {
            Some(stat) if stat.kind == FileKind::Folder && stat.stamp.device == device => {}
            Some(stat) if stat.kind == FileKind::Folder => {
                return Err(failed("update", &job.target, io::ErrorKind::CrossesDevices.into()).into());
            }
            Some(_) => return Err(InstallError::TargetTaken(job.target.clone())),
            None => {
                self.forget_base(job)?;
                return Err(InstallError::TargetGone(job.target.clone()));
            }
        }
        self.refuse_edits(job)?;
        let update = self.update_of(job)?;
        let files = self.prepare_update(job, &update, folder)?;
        let temporary = folder.path().to_owned();
        let stamp = self.fs().stat(&temporary).at("look at", &temporary)?.stamp;
        let intent = Intent {
            job: job.id,
            target: job.target.clone(),
            keep: job.target.clone(),
            temporary,
            stamp,
            content: job.content,
            base: None,
            force: job.options.force,
            update: Some(Begun { base: update.base, began: now }),
        };
        folder.seal();
        self.begin_with(job, &intent, Some(files))?;
        self.apply(&intent, job, &update, Some((facts.mtime, facts.bytes_reused)), now)
    }

    /// Step 1.
    fn prepare_update(
        &self,
        job: &Job,
        update: &Update,
        folder: &PartialFolder,
    ) -> Result<FolderFiles, InstallError> {
        let mut before = StampsByEntry::new(self, &job.target, update.base);
        let others = |number: usize, entry: Placed<'_>| {
            let Some((old, _)) = update.before(number).filter(|_| entry.kind == EntryKind::File) else {
                return Ok(None);
            };
            let file = before.stamp(old)?.map(|mut stamp| {
                if update.diff.change(number) == Change::Attributes {
                    stamp.mtime = entry.mtime;
                }
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                FolderFile { entry: number, path: PathBuf::from(entry.path), stamp }
            });
            Ok(file)
        };
        self.finish_files(job, folder, None, others)
    }

    /// Ends an update that was interrupted.
    pub(in crate::store) fn settle_update(
        &self,
        intent: &Intent,
        now: UnixMillis,
    ) -> Result<Option<InstalledFile>, InstallError> {
        let id = intent.job;
        let query = move |connection: &Connection| jobs::by_id(connection, id);
        let job = self.db().read_blocking("read a job", query)?.ok_or(InstallError::NothingToInstall(id))?;
        let update = self.update_of(&job)?;
        if self.stat(&intent.temporary)?.is_some() {
            return self.apply(intent, &job, &update, None, now).map(Some);
        }
        if !self.is_reachable(intent)? {
            return Err(InstallError::Unreachable(intent.target.clone()));
        }
        if self.stat(&intent.target)?.is_some_and(|stat| stat.kind == FileKind::Folder)
            && self.applying(intent, &job, &update, now)?.is_in_place()?
        {
            return self.end_update(intent, (None, Kept::default()), now).map(Some);
        }
        self.give_up(intent).map(|()| None)
    }

    /// Steps 3 to 7.
    fn apply(
        &self,
        intent: &Intent,
        job: &Job,
        update: &Update,
        facts: Option<(UnixNanos, u64)>,
        now: UnixMillis,
    ) -> Result<InstalledFile, InstallError> {
        let mut applying = self.applying(intent, job, update, now)?;
        applying.run(facts.map_or(job.record.mtime, |(mtime, _)| mtime))?;
        let kept = std::mem::take(&mut applying.kept);
        drop(applying);
        self.end_update(intent, (facts.map(|(_, reused)| reused), kept), now)
    }

    fn applying<'a>(
        &'a self,
        intent: &'a Intent,
        job: &'a Job,
        update: &'a Update,
        now: UnixMillis,
    ) -> Result<Applying<'a>, InstallError> {
        let now = intent.update.map_or(now, |update| update.began);
        let root = parent_of(&intent.target);
        let folder = self.fs().open_folder(root).at("open", root)?;
        let name = |path: &Path| PathBuf::from(path.file_name().unwrap_or_default());
        let manifest: RootHash = job.root.ok_or(InstallError::NothingToInstall(job.id))?;
        Ok(Applying {
            store: self,
            update,
            folder,
            root,
            target: name(&intent.target),
            temporary: name(&intent.temporary),
            user: &job.record.user,
            now,
            before: StampsByEntry::new(self, &intent.target, update.base),
            after: StampsByEntry::new(self, &intent.target, manifest),
            touched: BTreeSet::new(),
            kept: Kept::default(),
        })
    }

    /// Step 7.
    fn end_update(
        &self,
        intent: &Intent,
        (bytes_reused, kept): (Option<u64>, Kept),
        now: UnixMillis,
    ) -> Result<InstalledFile, InstallError> {
        let stamp = self.fs().stat(&intent.target).at("look at", &intent.target)?.stamp;
        self.commit_blocking(intent, stamp, (bytes_reused, &kept), now)?;
        Ok(InstalledFile { path: intent.target.clone(), stamp, kept })
    }
}

/// An update under way. All paths are below the folder that the target lies in.
pub(super) struct Applying<'a> {
    pub(super) store: &'a Store,
    pub(super) update: &'a Update,
    pub(super) folder: Arc<dyn FsFolder>,
    /// The path of that folder.
    pub(super) root: &'a Path,
    /// The name of the target.
    pub(super) target: PathBuf,
    /// The name of the temporary folder.
    pub(super) temporary: PathBuf,
    pub(super) user: &'a UserName,
    /// When it was begun: the same after a crash, so that names for old files are.
    pub(super) now: UnixMillis,
    /// How the files of the old version were.
    pub(super) before: StampsByEntry<'a>,
    /// How those of the new version are to be.
    pub(super) after: StampsByEntry<'a>,
    /// Folders in which a name changed.
    pub(super) touched: BTreeSet<PathBuf>,
    pub(super) kept: Kept,
}

impl Applying<'_> {
    fn run(&mut self, mtime: UnixNanos) -> Result<(), InstallError> {
        self.place_all()?;
        self.sync()?;
        self.settle_replaced()?;
        self.take_gone()?;
        self.sync()?;
        self.settle_gone()?;
        self.set_attributes(mtime)?;
        self.sync()?;
        self.remove_temporary()
    }

    /// Where an entry is to be.
    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.target.join(path)
    }

    /// Where it is before.
    pub(super) fn new_at(&self, path: &str) -> PathBuf {
        self.temporary.join(NEW).join(path)
    }

    /// Where what lay in its way is.
    pub(super) fn slot(&self, path: &str) -> PathBuf {
        self.temporary.join(slot(path))
    }

    pub(super) fn look(&self, path: &Path) -> Result<Option<FileStat>, FileError> {
        look(&*self.folder, self.root, path)
    }

    pub(super) fn whole(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    /// Step 3.
    fn place_all(&mut self) -> Result<(), InstallError> {
        for (number, entry, change) in self.update.changes() {
            if matches!(change, Change::Bring | Change::Make) {
                self.touch(&self.at(entry.path));
            }
            match change {
                Change::Bring => self.place(number, entry)?,
                Change::Make => self.make_folder(entry.path)?,
                Change::None | Change::Attributes => {}
            }
        }
        Ok(())
    }

    fn place(&mut self, number: usize, entry: Placed<'_>) -> Result<(), InstallError> {
        let (new, at) = (self.new_at(entry.path), self.at(entry.path));
        let Some(found) = self.look(&new)?.filter(|found| is_of_kind(found.kind, entry.kind)) else {
            return Ok(());
        };
        let there = self.look(&at)?;
        if there.is_some_and(|there| there.stamp.inode == found.stamp.inode) {
            // Its second name, where one name after the other was made.
            return Ok(self.folder.remove(&new).at("remove", &self.whole(&new))?);
        }
        if entry.kind == EntryKind::Link
            && let Some(there) = there
            && is_one_of(&*self.folder, self.root, (&at, there), [Some(entry)])?
        {
            return Ok(());
        }
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let inode = self.after.stamp(number)?.map(|stamp| stamp.inode);
        if inode != Some(found.stamp.inode)
            && !is_one_of(&*self.folder, self.root, (&new, found), [Some(entry)])?
        {
            return Ok(());
        }
        self.put(&new, entry.path)
    }

    /// Brings a new file or link to its path, whatever lies there.
    fn put(&mut self, new: &Path, path: &str) -> Result<(), InstallError> {
        use io::ErrorKind::{AlreadyExists, NotADirectory, NotFound};
        let at = self.at(path);
        for _ in 0..ATTEMPTS {
            let placed = match self.folder.rename_new(new, &at) {
                Err(error) if error.kind() == AlreadyExists => match self.look(&at)? {
                    Some(there) if there.kind == FileKind::Folder => {
                        self.take_away(path)?;
                        continue;
                    }
                    _ => {
                        self.make_slots()?;
                        self.folder.replace(new, &at, &self.slot(path)).map(drop)
                    }
                },
                placed => placed,
            };
            match placed {
                Err(error) if error.kind() == AlreadyExists => self.settle_slot(path)?,
                Err(error) if matches!(error.kind(), NotFound | NotADirectory) || is_link(&error) => {
                    if self.look(new)?.is_none() {
                        return Ok(());
                    }
                    self.make_folders_above(path)?;
                }
                placed => {
                    placed.at("put in place", &self.whole(&at))?;
                    self.touch(&at);
                    return Ok(());
                }
            }
        }
        Err(failed("put in place", &self.whole(&at), io::ErrorKind::ResourceBusy.into()).into())
    }

    /// Makes a folder, and what is missing above it; what lies in its place is moved out of the way.
    fn make_folder(&mut self, path: &str) -> Result<(), InstallError> {
        use io::ErrorKind::{AlreadyExists, NotADirectory, NotFound};
        let at = self.at(path);
        for _ in 0..ATTEMPTS {
            match self.folder.create_folder(&at, PRIVATE) {
                Err(error) if error.kind() == AlreadyExists => match self.look(&at)? {
                    Some(there) if there.kind == FileKind::Folder => return Ok(()),
                    Some(_) => self.take_away(path)?,
                    None => {}
                },
                Err(error) if matches!(error.kind(), NotFound | NotADirectory) || is_link(&error) => {
                    self.make_folders_above(path)?;
                }
                made => {
                    made.at("create the folder", &self.whole(&at))?;
                    self.touch(&at);
                    // A crash just before leaves it private.
                    let mode = 0o777 & !self.store.fs().umask();
                    let mtime =
                        UnixNanos(i64::try_from(self.now.0).unwrap_or(i64::MAX).saturating_mul(1_000_000));
                    let opened = self.folder.set_folder_attributes(&at, mode, mtime);
                    return Ok(opened.at("set the mode and time of", &self.whole(&at))?);
                }
            }
        }
        Err(failed("create the folder", &self.whole(&at), io::ErrorKind::ResourceBusy.into()).into())
    }

    /// Somebody removed or replaced a folder of the version.
    pub(super) fn make_folders_above(&mut self, path: &str) -> Result<(), InstallError> {
        if let Some(above) = path.rfind('/').and_then(|at| path.get(..at)) {
            return self.make_folder(above);
        }
        match self.folder.create_folder(&self.target, PRIVATE) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => Ok(made.at("create the folder", &self.whole(&self.target))?),
        }
    }

    pub(super) fn touch(&mut self, path: &Path) {
        let above = path.parent().unwrap_or(Path::new(""));
        if !self.touched.contains(above) {
            self.touched.insert(above.to_owned());
        }
    }

    pub(super) fn make_slots(&self) -> Result<(), FileError> {
        let slots = self.temporary.join(OLD);
        match self.folder.create_folder(&slots, PRIVATE) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made.at("create", &self.whole(&slots)),
        }
    }

    /// Makes what was renamed so far durable, at both ends.
    fn sync(&self) -> Result<(), FileError> {
        if self.touched.len() > SYNCED_ONE_BY_ONE
            && let Some(synced) = self.folder.sync_file_system()
        {
            return synced.at("make durable", self.root);
        }
        let slots = self.temporary.join(OLD);
        let others = [slots, self.temporary.clone(), PathBuf::new()];
        for folder in self.touched.iter().rev().chain(&others) {
            match self.folder.sync_folder(folder) {
                // Removed meanwhile, which the folder above tells.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                synced => synced.at("make durable the folder", &self.whole(folder))?,
            }
        }
        Ok(())
    }

    /// The rest of step 6. Only what is empty is removed, so that nothing of which nobody knows can be lost.
    fn remove_temporary(&mut self) -> Result<(), InstallError> {
        let mut folders = BTreeSet::from([Path::new("")]);
        for (_, entry, _) in self.update.changes().filter(|(.., change)| *change == Change::Bring) {
            folders.extend(Path::new(entry.path).ancestors().skip(1));
        }
        let new = self.temporary.join(NEW);
        let inner = folders.into_iter().rev().map(|folder| new.join(folder));
        for folder in inner.chain([self.temporary.join(OLD), self.temporary.clone()]) {
            match self.folder.remove_empty(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if is_not_empty(&error) => {
                    tracing::warn!(path = %self.whole(&folder).display(), "a temporary folder stays: something is in it");
                }
                removed => removed.at("remove", &self.whole(&folder))?,
            }
        }
        Ok(self.folder.sync_folder(Path::new("")).at("make durable the folder", self.root)?)
    }

    /// Whether the new version lies at the target, where nothing is left of the temporary folder.
    fn is_in_place(&mut self) -> Result<bool, InstallError> {
        for (number, entry, change) in self.update.changes() {
            let at = self.at(entry.path);
            let there = match (change, self.look(&at)?) {
                (Change::None | Change::Attributes, _) => true,
                (_, None) => false,
                (Change::Make, Some(found)) => found.kind == FileKind::Folder,
                (Change::Bring, Some(found)) => {
                    let number = u32::try_from(number).unwrap_or(u32::MAX);
                    is_same(&found.stamp, self.after.stamp(number)?)
                        || is_one_of(&*self.folder, self.root, (&at, found), [Some(entry)])?
                }
            };
            if !there {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the target's file system takes names for one that differ in case alone.
    pub(super) fn ignores_case(&self) -> bool {
        ignores_case(&**self.store.fs(), &self.whole(&self.temporary))
    }
}
