//! Reading a held folder: each file where it lies, and only as it was when it was hashed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wire::RootHash;
use wire::manifest::{Layout, Span};

use super::{Holding, HoldingState, ServeError, is_missing};
use crate::store::Store;
use crate::store::folder_files::FolderFile;
use crate::store::fs::{At, FileError, FileKind, FileStamp, FsFile, FsFolder, NotRegular, failed, read_full};

/// A held folder, open. Files are opened below it as they are read, without following links.
#[derive(Debug)]
pub struct ServedFolder {
    store: Store,
    folder: Arc<dyn FsFolder>,
    path: PathBuf,
    root: RootHash,
    layout: Arc<Layout>,
    last: Mutex<Last>,
}

/// What was needed last: runs of chunks mostly go on in the same file, or the next one.
#[derive(Debug, Default)]
struct Last {
    row: Vec<FolderFile>,
    file: Option<ServedPart>,
}

/// A file of the folder, open.
#[derive(Debug, Clone)]
struct ServedPart {
    entry: usize,
    file: Arc<dyn FsFile>,
    path: PathBuf,
    stamp: FileStamp,
}

impl Store {
    /// Opens a held folder. `layout` is that of any manifest of its content: those all list the same files. Blocks.
    ///
    /// # Errors
    /// See [`ServeError`]. Its files are looked at only as they are read.
    pub fn open_served_folder(
        &self,
        holding: &Holding,
        layout: Arc<Layout>,
    ) -> Result<ServedFolder, ServeError> {
        let path = holding.path.clone();
        if holding.state == HoldingState::Changed {
            return Err(ServeError::Changed(path));
        }
        let folder = self.fs().open_folder(&path).map_err(|error| match is_missing(&error) {
            true => ServeError::Missing(path.clone()),
            false => failed("open", &path, error).into(),
        })?;
        let (store, root, last) = (self.clone(), holding.root, Mutex::default());
        Ok(ServedFolder { store, folder, path, root, layout, last })
    }

    /// Looks at the first files of a held folder, no more than are `left`, which it reduces.
    ///
    /// # Errors
    /// Where the system does not say.
    pub(in crate::store) fn check_folder_files(
        &self,
        path: &Path,
        root: RootHash,
        left: &mut u32,
    ) -> Result<HoldingState, FileError> {
        let folder = self.fs().open_folder(path).at("open", path)?;
        let mut from = 0;
        while *left > 0 {
            let row = self.folder_files_after(path, root, from).map_err(|error| stored(path, error))?;
            for file in row.iter().take(*left as usize) {
                *left -= 1;
                let same = match folder.stat(&file.path) {
                    Ok(stat) => stat.kind == FileKind::Regular && stat.stamp.same_as(&file.stamp),
                    Err(error) if is_missing(&error) => false,
                    Err(error) => return Err(failed("look at", &path.join(&file.path), error)),
                };
                if !same {
                    return Ok(HoldingState::Changed);
                }
            }
            let Some(last) = row.last() else { break };
            from = last.entry.saturating_add(1);
        }
        Ok(HoldingState::Ok)
    }
}

/// The database did not say.
fn stored(path: &Path, error: crate::store::DbError) -> FileError {
    failed("look up the files of", path, std::io::Error::other(error))
}

impl ServedFolder {
    /// Fills a buffer from an offset among the bytes of all files; each file was unchanged after that.
    ///
    /// # Errors
    /// See [`ServeError`]; [`ServeError::Changed`] with the file that is not what was hashed.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ServeError> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.layout.chunks.size());
        let end = end.ok_or_else(|| ServeError::Changed(self.path.clone()))?;
        let mut rest = buffer;
        for span in self.layout.spans(offset..end) {
            let part = usize::try_from(span.len()).unwrap_or(usize::MAX).min(rest.len());
            let (part, after) = rest.split_at_mut(part);
            self.read_part(&span, part)?;
            rest = after;
        }
        Ok(())
    }

    fn read_part(&self, span: &Span, part: &mut [u8]) -> Result<(), ServeError> {
        let entry = span.entry;
        let open = self.last().file.clone().filter(|part| part.entry == entry);
        let ServedPart { file, path, stamp, .. } = match open {
            Some(open) => open,
            None => {
                let known = self.known(entry)?;
                let size = self.layout.entries.get(entry).map(|entry| entry.size);
                if size != Some(known.stamp.size) {
                    return Err(ServeError::Changed(self.path.join(&known.path)));
                }
                if size == Some(span.len()) {
                    return self.read_whole(&known, part);
                }
                self.open(entry, &known)?
            }
        };
        let read = read_full(&*file, part, span.offset).at("read", &path)?;
        let found = file.stat().at("look at", &path)?;
        match read == part.len() && found.stamp.same_as(&stamp) {
            true => Ok(()),
            false => Err(ServeError::Changed(path)),
        }
    }

    /// A file of which all is asked for. It is looked at only after it was read.
    fn read_whole(&self, known: &FolderFile, buffer: &mut [u8]) -> Result<(), ServeError> {
        let read = self.folder.read_whole(&known.path, buffer);
        let (read, found) = read.map_err(|error| self.unreadable(known, "read", error))?;
        match read == buffer.len() && found.stamp.same_as(&known.stamp) {
            true => Ok(()),
            false => Err(ServeError::Changed(self.path.join(&known.path))),
        }
    }

    /// A file of which more may be asked for. It is kept open, and is not read at all if it is not what was hashed.
    fn open(&self, entry: usize, known: &FolderFile) -> Result<ServedPart, ServeError> {
        let file = self.folder.open_read(&known.path);
        let file = file.map_err(|error| self.unreadable(known, "open", error))?;
        let part = ServedPart { entry, file, path: self.path.join(&known.path), stamp: known.stamp };
        if !part.file.stat().at("look at", &part.path)?.stamp.same_as(&known.stamp) {
            return Err(ServeError::Changed(part.path));
        }
        self.last().file = Some(part.clone());
        Ok(part)
    }

    fn unreadable(&self, known: &FolderFile, action: &'static str, error: std::io::Error) -> ServeError {
        let path = self.path.join(&known.path);
        match is_missing(&error) || NotRegular::in_error(&error).is_some() {
            true => ServeError::Changed(path),
            false => failed(action, &path, error).into(),
        }
    }

    /// How a file was when it was hashed.
    fn known(&self, entry: usize) -> Result<FolderFile, ServeError> {
        let number = u32::try_from(entry).unwrap_or(u32::MAX);
        let find = |row: &[FolderFile]| {
            let at = row.binary_search_by_key(&number, |file| file.entry).ok()?;
            row.get(at).cloned()
        };
        if let Some(found) = find(&self.last().row) {
            return Ok(found);
        }
        let row = self.store.folder_files_blocking(&self.path, self.root, number);
        let row = row.map_err(|error| stored(&self.path, error))?.unwrap_or_default();
        let found = find(&row).ok_or_else(|| ServeError::Changed(self.path.clone()));
        self.last().row = row;
        found
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
