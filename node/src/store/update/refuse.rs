//! Whether an update would replace a local edit, looked at before anything is done.

use std::path::Path;

use wire::ContentHash;
use wire::manifest::{EntryKind, Placed};

use super::{Change, Update, is_of_kind, is_same};
use crate::store::Store;
use crate::store::folder_files::StampsByEntry;
use crate::store::fs::{At, FileError, FileKind, FileStat, FsFolder, failed, read_full};
use crate::store::install::InstallError;
use crate::store::jobs::Job;

/// What is read at once when a file's content has to be found out.
const BUFFER_BYTES: usize = 1 << 20;

impl Store {
    /// Refuses an update that would replace or remove what the old version did not have there, unless the job says that
    /// this may be: then it is kept beside. What is missing is no edit. An edit that comes later is kept beside, too.
    ///
    /// # Errors
    /// [`InstallError::Edited`] with the first one; also others.
    pub(in crate::store) fn refuse_edits(&self, job: &Job) -> Result<(), InstallError> {
        if job.options.force || job.base.is_none() {
            return Ok(());
        }
        let update = self.update_of(job)?;
        let folder = self.fs().open_folder(&job.target).at("open", &job.target)?;
        let stamps = StampsByEntry::new(self, &job.target, update.base);
        let mut looking = Looking { folder: &*folder, root: &job.target, stamps };
        match looking.first_edit(&update)? {
            Some(path) => Err(InstallError::Edited(job.target.join(path))),
            None => Ok(()),
        }
    }
}

struct Looking<'a> {
    folder: &'a dyn FsFolder,
    root: &'a Path,
    stamps: StampsByEntry<'a>,
}

impl Looking<'_> {
    fn first_edit<'u>(&mut self, update: &'u Update) -> Result<Option<&'u str>, InstallError> {
        for (number, entry, change) in update.changes() {
            if matches!(change, Change::Bring | Change::Make)
                && self.is_edited(update.before(number), Some(entry))?
            {
                return Ok(Some(entry.path));
            }
        }
        for (number, entry) in update.gone().filter(|(_, entry)| entry.kind != EntryKind::Folder) {
            if self.is_edited(Some((number, entry)), None)? {
                return Ok(Some(entry.path));
            }
        }
        Ok(None)
    }

    /// Whether what lies at a path is neither of the versions, where it is to be replaced.
    fn is_edited(
        &mut self,
        old: Option<(u32, Placed<'_>)>,
        new: Option<Placed<'_>>,
    ) -> Result<bool, InstallError> {
        let Some(path) = new.or(old.map(|(_, old)| old)).map(|entry| entry.path) else { return Ok(false) };
        let Some(found) = look(self.folder, self.root, Path::new(path))? else { return Ok(false) };
        if let Some((number, old)) = old
            && old.kind == EntryKind::File
            && found.kind == FileKind::Regular
            && is_same(&found.stamp, self.stamps.stamp(number)?)
        {
            return Ok(false);
        }
        // A folder stays where the new version has it, or has nothing there.
        let stays = found.kind == FileKind::Folder && new.is_none_or(|new| new.kind == EntryKind::Folder);
        if stays {
            return Ok(false);
        }
        let versions = [old.map(|(_, old)| old), new];
        Ok(!is_one_of(self.folder, self.root, (Path::new(path), found), versions)?)
    }
}

/// What lies at a path below a folder, if something does.
pub(super) fn look(folder: &dyn FsFolder, root: &Path, path: &Path) -> Result<Option<FileStat>, FileError> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match folder.stat(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) || is_link(&error) => Ok(None),
        Err(error) => Err(failed("look at", &root.join(path), error)),
    }
}

/// What is said of a path that would lead over a link.
pub(super) fn is_link(error: &std::io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::LOOP)
}

/// What is said of a folder that cannot be removed since something is in it.
pub(super) fn is_not_empty(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{AlreadyExists, DirectoryNotEmpty};
    matches!(error.kind(), DirectoryNotEmpty | AlreadyExists)
}

/// Whether what was found at a path has the content of one of these entries; a folder is like any other.
pub(in crate::store) fn is_one_of<const N: usize>(
    folder: &dyn FsFolder,
    root: &Path,
    (path, found): (&Path, FileStat),
    entries: [Option<Placed<'_>>; N],
) -> Result<bool, FileError> {
    let mut entries = entries.into_iter().flatten().filter(|entry| is_of_kind(found.kind, entry.kind));
    match found.kind {
        FileKind::Folder => Ok(entries.next().is_some()),
        FileKind::Link => {
            let target = folder.read_link(path).at("read", &root.join(path))?;
            Ok(entries
                .any(|entry| entry.target.is_some_and(|wanted| Path::new(wanted).as_os_str() == target)))
        }
        FileKind::Regular => {
            let mut entries = entries.filter(|entry| entry.size == found.stamp.size).peekable();
            if entries.peek().is_none() {
                return Ok(false);
            }
            let content = content_in(folder, root, path)?;
            Ok(entries.any(|entry| entry.hash == content))
        }
        FileKind::Other => Ok(false),
    }
}

/// BLAKE3 of a file's bytes.
pub(super) fn content_in(folder: &dyn FsFolder, root: &Path, path: &Path) -> Result<ContentHash, FileError> {
    let whole = root.join(path);
    let file = folder.open_read(path).at("open", &whole)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut offset = 0;
    loop {
        let read = read_full(&*file, &mut buffer, offset).at("read", &whole)?;
        hasher.update(buffer.get(..read).unwrap_or_default());
        offset += read as u64;
        if read < buffer.len() {
            return Ok(ContentHash::from_bytes(*hasher.finalize().as_bytes()));
        }
    }
}
