//! How the files of a held folder were when they were hashed or installed: what a holding's stamp is for a single file.
//!
//! They belong to a folder's path and a manifest, not to a holding, so that they stand as long as the manifest does,
//! whatever becomes of publications and holdings in between. They are packed, some hundred files a row: a folder may have
//! a million.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use certs::UnixNanos;
use certs::cbor::major::{ARRAY, UNSIGNED};
use certs::cbor::{self, Reader};
use rusqlite::Connection;
use rusqlite::types::ToSqlOutput;
use serde_bytes::ByteBuf;
use wire::RootHash;

use super::columns::{Column, first, get, path_sql, run};
use super::drafts::{Batch, Draft};
use super::fs::FileStamp;
use super::{DbError, Store};
use crate::clock;

/// Files in a row: some 50 KiB.
const ROW_FILES: usize = 512;

/// One file of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderFile {
    /// The number of its entry in the manifest.
    pub entry: u32,
    /// Where it lies, relative to the folder, as the file system has it.
    pub path: PathBuf,
    /// Its stamp; the device is not kept.
    pub stamp: FileStamp,
}

/// Entry, path, size, modification time, inode.
type Packed = (u32, ByteBuf, u64, i64, u64);
const PACKED_FIELDS: u64 = 5;

/// The files of a folder in the order of their entries, packed: about 80 bytes a file. What is more than some MiB is
/// written as it comes.
#[derive(Debug, Default)]
pub struct FolderFiles {
    batch: Batch,
    open: Vec<Packed>,
    draft: Option<Draft>,
    hashed: Hashed,
}

/// Between which times the files of a folder were read, by this machine's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hashed {
    from: UnixNanos,
    to: UnixNanos,
}

impl Default for Hashed {
    fn default() -> Self {
        let never = UnixNanos(0);
        Self { from: never, to: never }
    }
}

impl FolderFiles {
    /// None yet, and none was read before. Without a `store` all stay in memory. What is put into one with a store is put on threads that may block.
    pub fn new(store: Option<&Store>) -> Self {
        let draft = store.and_then(|store| Draft::new(store.clone()));
        let now = clock::wall().into();
        Self { draft, hashed: Hashed { from: now, to: now }, ..Self::default() }
    }

    /// Takes the next file.
    pub fn push(&mut self, file: FolderFile) {
        let FolderFile { entry, path, stamp } = file;
        let path = ByteBuf::from(path.into_os_string().into_vec());
        self.open.push((entry, path, stamp.size, stamp.mtime.0, stamp.inode));
        if self.open.len() == ROW_FILES {
            self.close_row();
        }
    }

    /// After the last file was read.
    #[must_use]
    pub fn finish(mut self) -> Self {
        self.close_row();
        self.hashed.to = clock::wall().into();
        self
    }

    fn close_row(&mut self) {
        if let Some((entry, ..)) = self.open.first() {
            self.batch.push_row(*entry, cbor::encode(&self.open));
            self.open.clear();
            if let Some(draft) = &mut self.draft {
                draft.spill_blocking(&mut self.batch);
            }
        }
    }
}

impl Store {
    /// The row of files in which that of an entry is, or `None` where it is not known. At most 512.
    ///
    /// # Errors
    /// See [`DbError`].
    pub(super) fn folder_files_blocking(
        &self,
        path: &Path,
        root: RootHash,
        entry: u32,
    ) -> Result<Option<Vec<FolderFile>>, DbError> {
        let path = path.to_owned();
        self.db()
            .read_blocking("read a folder's files", move |connection| row(connection, &path, root, entry))
    }
}

impl Store {
    /// The next row of files from an entry on; empty after the last.
    ///
    /// # Errors
    /// See [`DbError`].
    pub(super) fn folder_files_after(
        &self,
        path: &Path,
        root: RootHash,
        entry: u32,
    ) -> Result<Vec<FolderFile>, DbError> {
        let path = path.to_owned();
        let sql = "SELECT files FROM folder_file
            WHERE folder = (SELECT id FROM folder WHERE root = ?1 AND path = ?2) AND first >= ?3
            ORDER BY first LIMIT 1";
        self.db().read_blocking("read a folder's files", move |connection| {
            let values = (root.sql(), path_sql(&path), entry);
            let bytes: Option<Vec<u8>> = first(connection, sql, values, |row| row.get(0))?;
            Ok(bytes.and_then(|bytes| unpack(&bytes)).unwrap_or_default())
        })
    }
}

/// The files of one folder by their entries. Made for asking in order: the row used last is kept.
#[derive(Debug)]
pub(super) struct StampsByEntry<'a> {
    store: &'a Store,
    path: &'a Path,
    root: RootHash,
    row: Vec<FolderFile>,
}

impl<'a> StampsByEntry<'a> {
    /// Those of the folder at a path with this manifest.
    pub(super) const fn new(store: &'a Store, path: &'a Path, root: RootHash) -> Self {
        Self { store, path, root, row: Vec::new() }
    }

    /// How the file of an entry was, if that is known.
    ///
    /// # Errors
    /// See [`DbError`].
    pub(super) fn stamp(&mut self, entry: u32) -> Result<Option<FileStamp>, DbError> {
        let covers = |row: &[FolderFile]| {
            let ends = row.first().zip(row.last());
            ends.is_some_and(|(first, last)| (first.entry..=last.entry).contains(&entry))
        };
        if !covers(&self.row) {
            let row = self.store.folder_files_blocking(self.path, self.root, entry)?;
            self.row = row.unwrap_or_default();
        }
        let at = self.row.binary_search_by_key(&entry, |file| file.entry).ok();
        Ok(at.and_then(|at| self.row.get(at)).map(|file| file.stamp))
    }
}

/// The files of a stored folder in the order of their entries; a row of them is in memory. Its calls block.
#[derive(Debug)]
pub(super) struct StoredFiles {
    store: Store,
    path: PathBuf,
    root: RootHash,
    hashed: Hashed,
    row: std::vec::IntoIter<FolderFile>,
    /// Where the next row begins; `None` after the last one.
    next: Option<u32>,
}

impl StoredFiles {
    /// `None` where the folder is not known.
    ///
    /// # Errors
    /// See [`DbError`].
    pub(super) fn open(store: &Store, path: &Path, root: RootHash) -> Result<Option<Self>, DbError> {
        let sql = "SELECT hashed_from, hashed_to FROM folder WHERE root = ?1 AND path = ?2";
        let of = path.to_owned();
        let hashed = store.db().read_blocking("read a folder", move |connection| {
            first(connection, sql, (root.sql(), path_sql(&of)), |row| {
                Ok(Hashed { from: get(row, "hashed_from")?, to: get(row, "hashed_to")? })
            })
        })?;
        let (store, path, row) = (store.clone(), path.to_owned(), Vec::new().into_iter());
        Ok(hashed.map(|hashed| Self { store, path, root, hashed, row, next: Some(0) }))
    }

    /// Whether a file may have been written after it was read without its stamp showing that.
    pub(super) fn is_racy(&self, file: &FolderFile) -> bool {
        file.stamp.is_racy(self.hashed.from, self.hashed.to)
    }
}

impl Iterator for StoredFiles {
    type Item = Result<FolderFile, DbError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(file) = self.row.next() {
            return Some(Ok(file));
        }
        let row = match self.store.folder_files_after(&self.path, self.root, self.next?) {
            Ok(row) => row,
            Err(error) => return Some(Err(error)),
        };
        self.next = row.last().and_then(|last| last.entry.checked_add(1));
        self.row = row.into_iter();
        self.row.next().map(Ok)
    }
}

/// Stores the files of a folder in place of those stored before. The manifest has to be stored. Files that were written
/// as they came are put once: what is put again stands already.
pub(super) fn put(
    connection: &Connection,
    path: &Path,
    root: RootHash,
    files: &FolderFiles,
) -> rusqlite::Result<()> {
    let path = path_sql(path);
    let draft = files.draft.as_ref().filter(|draft| !draft.is_empty()).map(Draft::root);
    let drafted = draft.map_or(Ok(None), |draft| folder(connection, draft))?;
    if draft.is_some() && drafted.is_none() {
        return Ok(());
    }
    run(connection, "DELETE FROM folder WHERE root = ?1 AND path = ?2", (root.sql(), path.clone()))?;
    let id = match drafted {
        None => insert_folder(connection, root, &path)?,
        Some(id) => {
            let sql = "UPDATE folder SET root = ?2, path = ?3 WHERE id = ?1";
            run(connection, sql, (id, root.sql(), path))?;
            id
        }
    };
    let Hashed { from, to } = files.hashed;
    let sql = "UPDATE folder SET hashed_from = ?2, hashed_to = ?3 WHERE id = ?1";
    run(connection, sql, (id, from.sql(), to.sql()))?;
    insert_rows(connection, id, &files.batch.rows)?;
    draft.map_or(Ok(()), |draft| Draft::remove(connection, draft))
}

/// Stores rows of a draft, which is there.
pub(super) fn put_draft(
    connection: &Connection,
    draft: RootHash,
    rows: &[(u32, Vec<u8>)],
) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let id = match folder(connection, draft)? {
        Some(id) => id,
        None => insert_folder(connection, draft, &path_sql(Path::new("")))?,
    };
    insert_rows(connection, id, rows)
}

/// The folder of a draft.
fn folder(connection: &Connection, draft: RootHash) -> rusqlite::Result<Option<i64>> {
    first(connection, "SELECT id FROM folder WHERE root = ?1", [draft.sql()], |row| row.get(0))
}

fn insert_folder(connection: &Connection, root: RootHash, path: &ToSqlOutput<'_>) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO folder (root, path) VALUES (?1, ?2) RETURNING id";
    connection.prepare_cached(sql)?.query_row((root.sql(), path), |row| row.get(0))
}

fn insert_rows(connection: &Connection, folder: i64, rows: &[(u32, Vec<u8>)]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO folder_file (folder, first, files) VALUES (?1, ?2, ?3)";
    rows.iter().try_for_each(|(first, files)| run(connection, sql, (folder, first, files)).map(drop))
}

fn row(
    connection: &Connection,
    path: &Path,
    root: RootHash,
    entry: u32,
) -> rusqlite::Result<Option<Vec<FolderFile>>> {
    let sql =
        "SELECT files FROM folder_file WHERE folder = (SELECT id FROM folder WHERE root = ?1 AND path = ?2)
        AND first <= ?3 ORDER BY first DESC LIMIT 1";
    let values = (root.sql(), path_sql(path), entry);
    let bytes: Option<Vec<u8>> = first(connection, sql, values, |row| row.get(0))?;
    // A row that cannot be read is as good as none: what it is about is not served.
    Ok(bytes.and_then(|bytes| unpack(&bytes)))
}

/// Reads a row in one pass: one is read for each request of a holder's folder, whoever waits for it.
fn unpack(bytes: &[u8]) -> Option<Vec<FolderFile>> {
    let mut row = Reader::new(bytes);
    let count = usize::try_from(row.argument(ARRAY)?).ok().filter(|count| *count <= ROW_FILES)?;
    let files = (0..count).map(|_| unpack_file(&mut row)).collect::<Option<_>>()?;
    row.is_at_end().then_some(files)
}

/// One [`Packed`].
fn unpack_file(row: &mut Reader<'_>) -> Option<FolderFile> {
    if row.argument(ARRAY)? != PACKED_FIELDS {
        return None;
    }
    let entry = u32::try_from(row.argument(UNSIGNED)?).ok()?;
    let path = OsString::from_vec(row.byte_string()?.to_vec()).into();
    let (size, mtime, inode) = (row.argument(UNSIGNED)?, UnixNanos(row.integer()?), row.argument(UNSIGNED)?);
    Some(FolderFile { entry, path, stamp: FileStamp { size, mtime, inode, device: 0 } })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::tests::{Fixture, manifest_of};
    use super::*;

    fn file(entry: u32) -> FolderFile {
        let size = u64::from(entry);
        let stamp = FileStamp { size, mtime: UnixNanos(-5), inode: u64::MAX - size, device: 0 };
        FolderFile { entry, path: format!("a/{entry}").into(), stamp }
    }

    proptest! {
        /// Whatever may be in a row comes out as it went in, and of anything that is cut or longer nothing.
        #[test]
        fn a_row_is_read_as_it_was_written(
            row in prop::collection::vec((any::<u32>(), any::<Vec<u8>>(), any::<u64>(), any::<i64>(), any::<u64>()), 0..5),
            cut in any::<prop::sample::Index>(),
        ) {
            let packed: Vec<Packed> = row.iter().cloned().map(|(entry, path, size, mtime, inode)| {
                (entry, ByteBuf::from(path), size, mtime, inode)
            }).collect();
            let bytes = cbor::encode(&packed);
            let found: Vec<_> = unpack(&bytes).expect("a row").into_iter().map(|FolderFile { entry, path, stamp }| {
                (entry, path.into_os_string().into_vec(), stamp.size, stamp.mtime.0, stamp.inode)
            }).collect();
            prop_assert_eq!(found, row);
            prop_assert_eq!(unpack(&bytes[..cut.index(bytes.len())]), None);
            prop_assert_eq!(unpack(&[&bytes[..], &[0]].concat()), None);
        }
    }

    fn files(entries: impl Iterator<Item = u32>) -> FolderFiles {
        let mut files = FolderFiles::new(None);
        entries.for_each(|entry| files.push(file(entry)));
        files.finish()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_file_is_found_in_its_row_as_long_as_the_manifest_stands() {
        let fixture = Fixture::new();
        let store = &fixture.store;
        let manifest = Arc::new(manifest_of(b"folder", 3));
        let root = manifest.root_hash;
        store.put_manifest(manifest).await.expect("put");
        let path = Path::new("/somewhere");
        let entries = || (0..2000).map(|number| 3 * number + 1);
        for _ in 0..2 {
            let change = move |t: &rusqlite::Transaction| put(t, path, root, &files(entries()));
            store.db().write("put", change).await.expect("put");
        }
        let found = |path: &Path, entry| {
            let row = store.folder_files_blocking(path, root, entry).expect("read");
            row.and_then(|row| row.into_iter().find(|file| file.entry == entry))
        };
        tokio::task::block_in_place(|| {
            for entry in entries() {
                assert_eq!(found(path, entry), Some(file(entry)));
            }
            assert_eq!(found(path, 0), None);
            assert_eq!(found(path, 3), None);
            assert_eq!(found(Path::new("/elsewhere"), 1), None);
        });
        store.collect_garbage().await.expect("collected");
        let count =
            |c: &Connection| c.query_row("SELECT count(*) FROM folder_file", [], |row| row.get::<_, i64>(0));
        assert_eq!(store.db().read("count", count).await.expect("counted"), 0);
    }
}
