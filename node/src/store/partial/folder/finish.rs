//! The last of a folder in progress: what has no bytes, modes and times, and that all of it is durable.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use certs::UnixNanos;
use wire::manifest::{EntryKind, Placed};

use super::{FOLDER_MODE, PartialFolder, SYNCED_ONE_BY_ONE};
use crate::store::folder_files::{FolderFile, FolderFiles};
use crate::store::fs::{At, FileError, FileKind, FileStamp};
use crate::store::partial::PartialError;

impl PartialFolder {
    /// What is left to do before it can be put in place: what has no bytes is made, modes and times are set, with an `mtime`
    /// those of the folder itself, too, which is no longer private then; all of it is made durable. Adds the files as they
    /// are then; of those that are not to be there, as `others` says. May be done again.
    ///
    /// # Errors
    /// As the system's; [`PartialError::SyncFailed`] as above.
    pub(in crate::store) fn finish(
        &self,
        files: FolderFiles,
        mtime: Option<UnixNanos>,
        others: impl FnMut(usize, Placed<'_>) -> Result<Option<FolderFile>, PartialError>,
    ) -> Result<FolderFiles, PartialError> {
        self.check(0, 0)?;
        self.files().open.clear();
        let (finished, flushed) = std::thread::scope(|scope| {
            // Most bytes get to the disk meanwhile.
            let thread = std::thread::Builder::new().name("early-sync".to_owned());
            let begin = || thread.spawn_scoped(scope, || self.folder.sync_file_system());
            // Without a thread all of it is synced at the end.
            let flushing = self.has_many().then(begin).and_then(Result::ok);
            let finished = self.finish_entries(files, mtime, others);
            let died = |_| Some(Err(io::Error::other("the thread that syncs died")));
            (finished, flushing.and_then(|flushing| flushing.join().unwrap_or_else(died)))
        });
        let failed = |source| {
            self.discard();
            PartialError::SyncFailed { path: self.path.clone(), source }
        };
        // What it says of earlier writes no later call says again.
        flushed.unwrap_or(Ok(())).map_err(failed)?;
        let finished = finished?;
        self.sync_all().map_err(failed)?;
        Ok(finished)
    }

    fn finish_entries(
        &self,
        mut files: FolderFiles,
        mtime: Option<UnixNanos>,
        mut others: impl FnMut(usize, Placed<'_>) -> Result<Option<FolderFile>, PartialError>,
    ) -> Result<FolderFiles, PartialError> {
        for (number, entry) in self.layout.entries.iter().enumerate() {
            match entry.kind {
                _ if !self.chosen.has(number) => {
                    others(number, entry)?.into_iter().for_each(|file| files.push(file))
                }
                EntryKind::File => files.push(self.finish_file(number, entry)?),
                EntryKind::Folder if self.wholes.has_folder(number) => {}
                EntryKind::Folder => self.create_missing_folder(entry)?,
                EntryKind::Link => self.create_link(entry)?,
            }
        }
        self.finish_folders(mtime)?;
        Ok(files.finish())
    }

    /// Sets the times of folders, and the modes of those that have been there before. Last of all and from the back: what is
    /// made in a folder changes its time.
    fn finish_folders(&self, mtime: Option<UnixNanos>) -> Result<(), FileError> {
        let mode = FOLDER_MODE & !self.fs.umask();
        for (number, entry) in self.wanted().rev().filter(|(_, entry)| entry.kind == EntryKind::Folder) {
            let path = Path::new(entry.path);
            let set = match self.wholes.has_folder(number) {
                true => self.folder.set_modified(path, entry.mtime),
                false => self.folder.set_folder_attributes(path, mode, entry.mtime),
            };
            set.at("set the mode and time of", &self.path_of(entry))?;
        }
        match mtime {
            Some(mtime) => {
                let set = self.folder.set_folder_attributes(Path::new(""), mode, mtime);
                set.at("set the mode and time of", &self.path)
            }
            None => Ok(()),
        }
    }

    fn finish_file(&self, number: usize, entry: Placed<'_>) -> Result<FolderFile, PartialError> {
        if entry.size == 0 {
            self.write_whole(number, entry, b"")?;
        }
        let stamp = match self.wholes.inode(number) {
            Some(inode) => FileStamp { size: entry.size, mtime: entry.mtime, inode, device: 0 },
            None => self.set_attributes(number, entry)?,
        };
        let entry_number = u32::try_from(number).unwrap_or(u32::MAX);
        Ok(FolderFile { entry: entry_number, path: PathBuf::from(entry.path), stamp })
    }

    fn set_attributes(&self, number: usize, entry: Placed<'_>) -> Result<FileStamp, PartialError> {
        let path = self.path_of(entry);
        let file = self.file_to_write(number, entry, true)?;
        let mode = if entry.executable { 0o777 } else { 0o666 } & !self.fs.umask();
        file.set_attributes(mode, entry.mtime).at("set the mode and time of", &path)?;
        Ok(file.stat().at("look at", &path)?.stamp)
    }

    /// Whether it is made durable with its whole file system.
    fn has_many(&self) -> bool {
        self.wanted().nth(SYNCED_ONE_BY_ONE).is_some()
    }

    fn sync_all(&self) -> io::Result<()> {
        if self.has_many()
            && let Some(synced) = self.folder.sync_file_system()
        {
            return synced;
        }
        for (_, entry) in self.wanted().filter(|(_, entry)| entry.kind == EntryKind::File) {
            self.folder.open_write(Path::new(entry.path))?.sync_all()?;
        }
        let mut folders = BTreeSet::from([Path::new("")]);
        for (_, entry) in self.wanted() {
            let path = Path::new(entry.path);
            folders.extend(path.ancestors().skip(usize::from(entry.kind != EntryKind::Folder)));
        }
        folders.into_iter().rev().try_for_each(|folder| self.folder.sync_folder(folder))
    }

    fn create_link(&self, entry: Placed<'_>) -> Result<(), PartialError> {
        let (path, target) = (Path::new(entry.path), entry.target.unwrap_or_default());
        let made = match self.folder.create_link(path, target, entry.mtime) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let above = self.create_folders_above(path);
                above.and_then(|()| self.folder.create_link(path, target, entry.mtime))
            }
            made => made,
        };
        self.unless_there(made, entry, FileKind::Link, "create")
    }

    fn create_missing_folder(&self, entry: Placed<'_>) -> Result<(), PartialError> {
        let made = self.create_folder(Path::new(entry.path));
        self.unless_there(made, entry, FileKind::Folder, "create the folder")
    }

    /// What is there already, and is what it should be, was made before.
    fn unless_there(
        &self,
        made: io::Result<()>,
        entry: Placed<'_>,
        kind: FileKind,
        action: &'static str,
    ) -> Result<(), PartialError> {
        match made {
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists
                    && self.folder.stat(Path::new(entry.path)).is_ok_and(|stat| stat.kind == kind) =>
            {
                Ok(())
            }
            made => Ok(made.at(action, &self.path_of(entry))?),
        }
    }
}
