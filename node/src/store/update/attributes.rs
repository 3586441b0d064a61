//! Modes and times of what stays, and of folders.

use std::io;
use std::path::Path;

use certs::UnixNanos;
use wire::manifest::{EntryKind, Placed};

use super::apply::Applying;
use super::refuse::is_one_of;
use super::{Change, is_same};
use crate::store::fs::{At, FileError, FileKind};
use crate::store::install::InstallError;

impl Applying<'_> {
    /// Step 6, but for the end: from the innermost, since what is done in a folder changes its time.
    pub(super) fn set_attributes(&mut self, mtime: UnixNanos) -> Result<(), InstallError> {
        for (number, entry, change) in self.update.changes() {
            if change == Change::Attributes && entry.kind == EntryKind::File {
                self.set_file_attributes(number, entry)?;
            }
        }
        for (_, entry, change) in self.update.changes().rev() {
            let at = self.at(entry.path);
            let is_told = change != Change::None || self.touched.contains(&at);
            if entry.kind != EntryKind::Folder || !is_told {
                continue;
            }
            let Some(found) = self.look(&at)?.filter(|found| found.kind == FileKind::Folder) else {
                continue;
            };
            self.set_folder(&at, found.mode, entry.mtime)?;
        }
        match self.look(&self.target)? {
            Some(found) => Ok(self.set_folder(&self.target.clone(), found.mode, mtime)?),
            None => Ok(()),
        }
    }

    fn set_folder(&mut self, at: &Path, mode: u32, mtime: UnixNanos) -> Result<(), FileError> {
        self.touched.insert(at.to_owned());
        match self.folder.set_folder_attributes(at, mode, mtime) {
            // It is somebody else's, or gone meanwhile: it is of use with another time.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
            {
                Ok(())
            }
            set => set.at("set the mode and time of", &self.whole(at)),
        }
    }

    /// Of a file with the same bytes as before, unless it was edited. A write that comes together with this would have its
    /// time hidden by the one that is set: so its bytes are read after that, and an edit gets a time of its own again.
    fn set_file_attributes(&mut self, number: usize, entry: Placed<'_>) -> Result<(), InstallError> {
        let at = self.at(entry.path);
        let whole = self.whole(&at);
        let Some(found) = self.look(&at)?.filter(|found| found.kind == FileKind::Regular) else {
            return Ok(());
        };
        let number_of_it = u32::try_from(number).unwrap_or(u32::MAX);
        let before = self.update.before(number).map(|(old, _)| old);
        let before = before.map_or(Ok(None), |old| self.before.stamp(old))?;
        if !is_same(&found.stamp, before) && !is_same(&found.stamp, self.after.stamp(number_of_it)?) {
            return Ok(());
        }
        let file = match self.folder.open_read(&at) {
            Ok(file) => file,
            // Taken away, or not to be read, by its user: it stays as it is.
            Err(_) => return Ok(()),
        };
        if !file.stat().at("look at", &whole)?.stamp.same_as(&found.stamp) {
            return Ok(());
        }
        let mode = if entry.executable { 0o777 } else { 0o666 } & !self.store.fs().umask();
        file.set_attributes(mode, entry.mtime).at("set the mode and time of", &whole)?;
        let same = is_one_of(&*self.folder, self.root, (&at, found), [Some(entry)])?;
        if !same && file.stat().at("look at", &whole)?.stamp.mtime == entry.mtime {
            let now = i64::try_from(self.now.0).unwrap_or(i64::MAX).saturating_mul(1_000_000);
            file.set_modified(UnixNanos(now)).at("set the time of", &whole)?;
        }
        Ok(file.sync_all().at("make durable", &whole)?)
    }
}
