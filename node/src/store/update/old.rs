//! What an update found in its way: dropped if it is a version that this node put there, or kept beside as a conflict copy.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use wire::manifest::{EntryKind, Placed};

use super::apply::{ATTEMPTS, Applying};
use super::refuse::{is_link, is_not_empty, is_one_of};
use super::{Change, OLD, is_same};
use crate::store::fs::{At, FileKind, FileStat, failed};
use crate::store::install::{InstallError, KeptFile};
use crate::store::names;

/// An entry of the old version, with its number.
type Old<'a> = Option<(u32, Placed<'a>)>;

impl Applying<'_> {
    /// Moves what lies at a path of a version out of the way. What was moved there before is settled first.
    pub(super) fn take_away(&mut self, path: &str) -> Result<(), InstallError> {
        let (at, slot) = (self.at(path), self.slot(path));
        self.make_slots()?;
        for _ in 0..ATTEMPTS {
            match self.folder.rename_new(&at, &slot) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.settle_slot(path)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                taken => {
                    taken.at("move out of the way", &self.whole(&at))?;
                    self.touch(&at);
                    return Ok(());
                }
            }
        }
        Err(failed("move out of the way", &self.whole(&at), io::ErrorKind::ResourceBusy.into()).into())
    }

    /// Step 4.
    pub(super) fn settle_replaced(&mut self) -> Result<(), InstallError> {
        let slots = self.has_slots()?;
        for (number, entry, change) in self.update.changes() {
            let old = self.update.before(number);
            if change == Change::Bring {
                self.settle(&self.new_at(entry.path), entry.path, old, Some(entry))?;
            }
            // Of a folder that stays, too: somebody may have replaced it.
            if slots {
                self.settle(&self.slot(entry.path), entry.path, old, Some(entry))?;
            }
        }
        Ok(())
    }

    /// Step 5, the first half.
    pub(super) fn take_gone(&mut self) -> Result<(), InstallError> {
        let news = self.folded_paths();
        for (_, entry) in self.update.gone().rev().filter(|(_, entry)| entry.kind != EntryKind::Folder) {
            // Its name is one with that of a new file.
            if !news.is_empty() && news.contains(&wire::fold(entry.path)) {
                continue;
            }
            self.touch(&self.at(entry.path));
            // In the place of a file that goes, a folder can only be a user's.
            if self.look(&self.at(entry.path))?.is_some_and(|found| found.kind != FileKind::Folder) {
                self.take_away(entry.path)?;
            }
        }
        Ok(())
    }

    /// Step 5, the second half.
    pub(super) fn settle_gone(&mut self) -> Result<(), InstallError> {
        let slots = self.has_slots()?;
        for (number, entry) in self.update.gone() {
            if slots && entry.kind != EntryKind::Folder {
                self.settle(&self.slot(entry.path), entry.path, Some((number, entry)), None)?;
            }
        }
        for (_, entry) in self.update.gone().rev().filter(|(_, entry)| entry.kind == EntryKind::Folder) {
            let at = self.at(entry.path);
            // One in which something of a user's is stays, as what is none or no more there does.
            if self.folder.remove_empty(&at).is_ok() {
                self.touch(&at);
            }
        }
        Ok(())
    }

    /// What was moved out of the way of a path, now.
    pub(super) fn settle_slot(&mut self, path: &str) -> Result<(), InstallError> {
        let number = self.update.new.entries.iter().position(|entry| entry.path == path);
        let new = number.and_then(|number| self.update.new.entries.get(number));
        let old = match number {
            Some(number) => self.update.before(number),
            None => self.update.gone().find(|(_, entry)| entry.path == path),
        };
        self.settle(&self.slot(path), path, old, new)
    }

    /// Drops or keeps what lies at `at`, and was at the path of these entries before.
    fn settle(
        &mut self,
        at: &Path,
        path: &str,
        old: Old<'_>,
        new: Option<Placed<'_>>,
    ) -> Result<(), InstallError> {
        let Some(found) = self.look(at)? else { return Ok(()) };
        if found.kind == FileKind::Folder {
            return self.settle_folder(at, path);
        }
        if at.starts_with(self.temporary.join(OLD))
            && self.look(&self.at(path))?.is_some_and(|there| there.stamp.inode == found.stamp.inode)
        {
            // Its second name, where one name after the other is made.
            return Ok(self.folder.remove(at).at("remove", &self.whole(at))?);
        }
        match self.is_known(at, found, old, new)? {
            true => self.drop_old(at, path, found, old, new),
            false => self.keep(at, path),
        }
    }

    /// A folder in the place of which is something else now: what is known in it is dropped, and the rest is kept with it.
    fn settle_folder(&mut self, at: &Path, path: &str) -> Result<(), InstallError> {
        let update = self.update;
        for (number, entry) in update.gone_in(path).rev() {
            let Some(inside) = entry.path.get(path.len() + 1..) else { continue };
            let inside = at.join(inside);
            let Some(found) = self.look(&inside)? else { continue };
            let old = Some((number, entry));
            if found.kind == FileKind::Folder {
                let _ = self.folder.remove_empty(&inside);
            } else if self.is_known(&inside, found, old, None)? {
                self.drop_unless_changed(&inside, found)?;
            }
        }
        match self.folder.remove_empty(at) {
            Ok(()) => Ok(()),
            Err(_) => self.keep(at, path),
        }
    }

    /// Whether it is what this node put there, of the old version or the new one.
    fn is_known(
        &mut self,
        at: &Path,
        found: FileStat,
        old: Old<'_>,
        new: Option<Placed<'_>>,
    ) -> Result<bool, InstallError> {
        if let Some((number, entry)) = old
            && entry.kind == EntryKind::File
            && found.kind == FileKind::Regular
            && is_same(&found.stamp, self.before.stamp(number)?)
        {
            return Ok(true);
        }
        let versions = [old.map(|(_, old)| old), new];
        Ok(is_one_of(&*self.folder, self.root, (at, found), versions)?)
    }

    /// A program may have it open, and write to it: then it is an edit.
    fn drop_old(
        &mut self,
        at: &Path,
        path: &str,
        found: FileStat,
        old: Old<'_>,
        new: Option<Placed<'_>>,
    ) -> Result<(), InstallError> {
        let mut found = found;
        for _ in 0..ATTEMPTS {
            if self.drop_unless_changed(at, found)? {
                return Ok(());
            }
            let Some(now) = self.look(at)? else { return Ok(()) };
            found = now;
            if !self.is_known(at, found, old, new)? {
                break;
            }
        }
        self.keep(at, path)
    }

    fn drop_unless_changed(&mut self, at: &Path, found: FileStat) -> Result<bool, InstallError> {
        if self.look(at)?.is_none_or(|now| !now.stamp.same_as(&found.stamp)) {
            return Ok(false);
        }
        self.folder.remove(at).at("remove", &self.whole(at))?;
        Ok(true)
    }

    /// Moves a user's own beside the path where it lay, under a name that is free.
    fn keep(&mut self, at: &Path, path: &str) -> Result<(), InstallError> {
        use io::ErrorKind::{AlreadyExists, NotADirectory, NotFound};
        let mut beside = self.at(path);
        let mut number = 0;
        for _ in 0..ATTEMPTS {
            let to = names::conflict(&beside, self.now, self.user, number);
            match self.folder.rename_new(at, &to) {
                Err(error) if error.kind() == AlreadyExists => {
                    let inode = |found: Option<FileStat>| found.map(|found| found.stamp.inode);
                    if inode(self.look(at)?) == inode(self.look(&to)?) {
                        // Its second name, where one name after the other is made.
                        self.folder.remove(at).at("remove", &self.whole(at))?;
                        self.note_kept(path, &to);
                        return Ok(());
                    }
                    number += 1;
                }
                Err(error) if matches!(error.kind(), NotFound | NotADirectory) || is_link(&error) => {
                    if self.look(at)?.is_none() {
                        return Ok(());
                    }
                    // Its folder went, or something else is there now: it goes to the one above.
                    let above = beside.parent().and_then(Path::parent).unwrap_or(Path::new(""));
                    beside = above.join(beside.file_name().unwrap_or_default());
                }
                kept => {
                    kept.at("keep the old file as", &self.whole(&to))?;
                    self.note_kept(path, &to);
                    return Ok(());
                }
            }
        }
        Err(failed("find a free name beside", &self.whole(&beside), AlreadyExists.into()).into())
    }

    fn note_kept(&mut self, from: &str, to: &Path) {
        self.touch(to);
        self.kept.push(KeptFile { from: self.whole(&self.at(from)), path: self.whole(to) });
    }

    /// Whether something was moved out of the way.
    fn has_slots(&self) -> Result<bool, InstallError> {
        let slots = self.temporary.join(OLD);
        match self.folder.remove_empty(&slots) {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) if is_not_empty(&error) => Ok(true),
            Err(error) => Err(failed("remove", &self.whole(&slots), error).into()),
        }
    }

    /// The paths of the new version as a file system has them to which case does not matter; none for others.
    fn folded_paths(&self) -> HashSet<String> {
        match self.ignores_case() && !self.update.diff.gone.is_empty() {
            true => self.update.new.entries.iter().map(|entry| wire::fold(entry.path)).collect(),
            false => HashSet::new(),
        }
    }
}
