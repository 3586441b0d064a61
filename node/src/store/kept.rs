//! Old versions that are kept: copies under `<home>/versions`, which are served like any holding.
//!
//! *Invariant: each file in that folder is named by a row of `kept`.* A row is there before its file is begun, and
//! goes only after its file is gone and the folder synced. It is `ready` while the file is whole and durable, and only then there
//! is a holding. So whatever a crash leaves is a row that is not `ready`, and the next [`Store::sweep_kept`] removes what it names:
//!
//! | crash | what is there | after the sweep |
//! | --- | --- | --- |
//! | before the file is whole and synced | a row that is not ready, some of a file | nothing |
//! | before the row is `ready` | such a row, a file | nothing: the version is not kept |
//! | after a row was made unready, to remove it | such a row, perhaps a file | nothing |
//!
//! Equal contents have one file and a row each; the file goes with the last.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use certs::{AccountId, UnixMillis};
use rusqlite::{Connection, Row, Transaction};
use wire::{ContentHash, Kind, ResourceName, RootHash};

use super::columns::{Column, all, first, get, run};
use super::fs::{At, FileError, FileKind, Fs, FsFile, failed, parent_of, read_full};
use super::holdings::{self, Holding, HoldingId, NewHolding, Origin};
use super::{DbError, PAGE_ROWS, Store, garbage};
use crate::off_thread::off_thread;

/// The folder of the copies, beside the database.
const FOLDER: &str = "versions";
/// What is copied at once.
const BUFFER_BYTES: usize = 1 << 20;

/// An old or current version of which a copy is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptVersion {
    /// Its number.
    pub version: u64,
    /// The hash of its content.
    pub content: ContentHash,
    /// In bytes.
    pub size: u64,
    /// Where the copy is.
    pub path: PathBuf,
    /// Whether it shares its bytes on the disk with what it was copied from, as far as neither is changed.
    pub reflinked: bool,
}

/// How many versions of a resource are kept, and how many are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeptOf {
    /// How many old ones are to be kept, besides a copy of the newest; `None` where nobody said.
    pub wanted: Option<u64>,
    /// How many copies there are, that of the newest among them.
    pub versions: u64,
    /// Their sizes, in bytes.
    pub bytes: u64,
    /// How many of these bytes are no reflinks.
    pub copied: u64,
}

/// What was removed, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Copies, whole or not.
    pub versions: u64,
    /// Bytes of their files. What was reflinked may have taken less.
    pub bytes: u64,
}

/// Why a version is not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The database did not answer.
    #[error(transparent)]
    Db(#[from] DbError),
    /// What the system said.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not what was hashed any more.
    #[error("{} changed before it could be copied", .0.display())]
    Changed(PathBuf),
    /// Only files are kept.
    #[error("old versions of a folder cannot be kept")]
    Folder,
}

#[derive(Debug)]
struct KeptRow {
    id: u64,
    path: PathBuf,
    size: u64,
    /// Its file is whole, and it is to be served.
    ready: bool,
    /// How many newer ones there are of the same resource.
    newer: u64,
    /// How many old ones are to be kept of it, besides the newest.
    wanted: u64,
}

impl Store {
    /// Keeps a copy of a file under its record: a reflink where the file system can, else a copy whose hash is compared.
    /// Nothing is done where that version is kept already. `source` says where the file lies and how it was when it was
    /// hashed; its manifest has to be stored.
    ///
    /// # Errors
    /// See [`KeepError`]; nothing is kept then.
    pub async fn keep_version(&self, source: NewHolding, now: UnixMillis) -> Result<(), KeepError> {
        if source.record.kind != Kind::File {
            return Err(KeepError::Folder);
        }
        let store = self.clone();
        off_thread(move || store.keep_blocking(source, now)).await
    }

    /// How many old versions of a resource are to be kept, besides a copy of the newest; `None` where nobody said.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn keep_rule(&self, account: AccountId, name: ResourceName) -> Result<Option<u64>, DbError> {
        let sql = "SELECT versions FROM keep_rule WHERE account = ?1 AND name = ?2";
        let query =
            move |c: &Connection| first(c, sql, (account.sql(), name.sql()), |row| get(row, "versions"));
        self.db().read("read how many versions are kept", query).await
    }

    /// Says how many old versions of a resource are to be kept, and removes those that are too many; with 0 all.
    ///
    /// # Errors
    /// See [`KeepError`].
    pub async fn set_keep_rule(
        &self,
        account: AccountId,
        name: ResourceName,
        versions: u64,
    ) -> Result<Swept, KeepError> {
        let sql = "INSERT INTO keep_rule (account, name, versions) VALUES (?1, ?2, ?3)
            ON CONFLICT (account, name) DO UPDATE SET versions = ?3";
        let change = move |transaction: &Transaction| {
            run(transaction, sql, (account.sql(), name.sql(), versions.sql())).map(drop)
        };
        self.db().write("write how many versions are kept", change).await?;
        self.sweep_kept(false).await
    }

    /// The versions of a resource that are kept, the newest first.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn kept_versions(
        &self,
        account: AccountId,
        name: ResourceName,
    ) -> Result<Vec<KeptVersion>, DbError> {
        let sql = "SELECT * FROM kept WHERE account = ?1 AND name = ?2 AND ready ORDER BY version DESC";
        let read = |row: &Row<'_>| {
            Ok(KeptVersion {
                version: get(row, "version")?,
                content: get(row, "content")?,
                size: get(row, "size")?,
                path: get(row, "path")?,
                reflinked: get(row, "reflinked")?,
            })
        };
        let query = move |c: &Connection| all(c, sql, (account.sql(), name.sql()), read);
        self.db().read("read kept versions", query).await
    }

    /// How many versions of each of these resources are kept, in their order. Reads some rows for each.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn kept_of(&self, resources: Vec<(AccountId, ResourceName)>) -> Result<Vec<KeptOf>, DbError> {
        let sql = "SELECT (SELECT versions FROM keep_rule WHERE account = ?1 AND name = ?2) AS wanted,
                count(*) AS versions, coalesce(sum(size), 0) AS bytes,
                coalesce(sum(CASE WHEN reflinked THEN 0 ELSE size END), 0) AS copied
            FROM kept WHERE account = ?1 AND name = ?2 AND ready";
        let read = |row: &Row<'_>| {
            Ok(KeptOf {
                wanted: get(row, "wanted")?,
                versions: get(row, "versions")?,
                bytes: get(row, "bytes")?,
                copied: get(row, "copied")?,
            })
        };
        let query = move |c: &Connection| {
            let of = |(account, name): &(AccountId, ResourceName)| {
                first(c, sql, (account.sql(), name.sql()), read)
            };
            resources.iter().map(|one| Ok(of(one)?.unwrap_or_default())).collect()
        };
        self.db().read("read kept versions", query).await
    }

    /// The downloaded files of which a copy is to be kept, and is not, after a number, in order: at most `limit`, at most
    /// [`PAGE_ROWS`]. A crash between an installation and its copy leaves one.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn unkept(&self, after: Option<HoldingId>, limit: u32) -> Result<Vec<Holding>, DbError> {
        let sql = "SELECT holding.* FROM keep_rule JOIN holding USING (account, name)
            WHERE versions > 0 AND holding.id > ?1 AND origin = 'get' AND NOT folder AND state = 'ok'
                AND NOT EXISTS (SELECT 1 FROM kept WHERE ready AND kept.content = holding.content
                    AND (kept.account, kept.name) = (holding.account, holding.name))
            ORDER BY holding.id LIMIT ?2";
        let after = after.map_or(0, |id| id.0);
        let query = move |c: &Connection| all(c, sql, (after.sql(), limit.min(PAGE_ROWS)), holdings::read);
        self.db().read("read holdings", query).await
    }

    /// Removes kept versions that are too many, and what a crash or a failure left; with `dry_run` only says what that
    /// would be.
    ///
    /// # Errors
    /// See [`KeepError`]; the next sweep goes on.
    pub async fn sweep_kept(&self, dry_run: bool) -> Result<Swept, KeepError> {
        let store = self.clone();
        off_thread(move || {
            let _alone = store.inner.keeping.lock().unwrap_or_else(PoisonError::into_inner);
            store.sweep_blocking(dry_run)
        })
        .await
    }

    fn keep_blocking(&self, source: NewHolding, now: UnixMillis) -> Result<(), KeepError> {
        let _alone = self.inner.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = parent_of(self.db().path()).join(FOLDER);
        let path = folder.join(source.content.to_string());
        let (begun, at) = (source.clone(), path.clone());
        let begin = move |transaction: &Transaction| begin(transaction, &begun, &at, now);
        let Some(there) = self.db().write_blocking("begin to keep a version", begin)? else { return Ok(()) };
        let copied = match there {
            Some(reflinked) => Ok(reflinked),
            None => self.copy(&source, &folder, &path),
        };
        let reflinked = match copied {
            Ok(reflinked) => reflinked,
            Err(error) => {
                self.sweep_blocking(false)?;
                return Err(error);
            }
        };
        let stamp = self.fs().stat(&path).at("look at", &path)?.stamp;
        let holding = NewHolding { path, stamp, origin: Origin::Kept, ..source };
        let change = move |transaction: &Transaction| finish(transaction, &holding, reflinked);
        Ok(self.db().write_blocking("keep a version", change)?)
    }

    /// Makes the copy, whole and durable; returns whether it shares its bytes with the source.
    fn copy(&self, source: &NewHolding, folder: &Path, path: &Path) -> Result<bool, KeepError> {
        let fs = &**self.fs();
        let changed = || KeepError::Changed(source.path.clone());
        let is_same = || match fs.stat(&source.path) {
            Ok(found) => found.kind == FileKind::Regular && found.stamp.same_as(&source.stamp),
            Err(_) => false,
        };
        if !is_same() {
            return Err(changed());
        }
        fs.create_dir_all(folder).at("make the folder", folder)?;
        remove_if_there(fs, path)?;
        let reflinked = fs.reflink(&source.path, path).is_ok();
        let copy = match reflinked {
            true => fs.open_write(path).at("open", path)?,
            false => {
                let copy = fs.create_new(path).at("make", path)?;
                if copy_bytes(&*fs.open_read(&source.path).at("open", &source.path)?, &*copy, source, path)?
                    != source.content
                {
                    return Err(changed());
                }
                copy
            }
        };
        let size = copy.stat().at("look at", path)?.stamp.size;
        if size != source.stamp.size || !is_same() {
            return Err(changed());
        }
        copy.sync_all().at("make durable", path)?;
        fs.sync_folder(folder).at("make durable the folder", folder)?;
        fs.sync_folder(parent_of(folder)).at("make durable the folder", parent_of(folder))?;
        Ok(reflinked)
    }

    /// See [`Store::sweep_kept`]. Nobody keeps a version meanwhile, so that one which is being copied is left over.
    fn sweep_blocking(&self, dry_run: bool) -> Result<Swept, KeepError> {
        let rows = self.db().read_blocking("read kept versions", rows)?;
        let (needless, needed): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| !row.ready || row.newer > row.wanted);
        let mut swept = Swept { versions: needless.len() as u64, bytes: 0 };
        let mut counted: Vec<&Path> = Vec::new();
        for row in &needless {
            let last = !needed.iter().any(|other| other.path == row.path);
            if last && !counted.contains(&&*row.path) {
                counted.push(&row.path);
                swept.bytes += row.size;
            }
            if dry_run {
                continue;
            }
            let id = row.id;
            self.db().write_blocking("give up a kept version", move |transaction| retire(transaction, id))?;
            if last {
                remove_if_there(&**self.fs(), &row.path)?;
            }
            let sql = "DELETE FROM kept WHERE id = ?1";
            self.db().write_blocking("forget a kept version", move |transaction| {
                run(transaction, sql, [id.sql()]).map(drop)
            })?;
        }
        Ok(swept)
    }
}

/// Gives up all that is kept of a resource whose last subscription has ended, unless it is shared here.
pub(super) fn retire_unneeded(
    connection: &Connection,
    account: AccountId,
    name: &ResourceName,
) -> rusqlite::Result<()> {
    let sql = "SELECT EXISTS (SELECT 1 FROM subscription WHERE account = ?1 AND name = ?2)
        OR EXISTS (SELECT 1 FROM holding WHERE account = ?1 AND name = ?2 AND origin = 'share') AS needed";
    match first(connection, sql, (account.sql(), name.sql()), |row| get(row, "needed"))? {
        Some(true) => Ok(()),
        _ => retire_all(connection, account, name),
    }
}

/// Gives up all that is kept of a resource: from now on it is not served. The next sweep removes the copies.
pub(super) fn retire_all(
    connection: &Connection,
    account: AccountId,
    name: &ResourceName,
) -> rusqlite::Result<()> {
    let of_resource = (account.sql(), name.sql());
    run(connection, "DELETE FROM keep_rule WHERE account = ?1 AND name = ?2", of_resource)?;
    let sql = "SELECT id FROM kept WHERE account = ?1 AND name = ?2";
    let ids: Vec<u64> = all(connection, sql, (account.sql(), name.sql()), |row| get(row, "id"))?;
    ids.into_iter().try_for_each(|id| retire(connection, id))
}

/// Gives up everything that is kept, whose holdings are gone already.
pub(super) fn forget(connection: &Connection) -> rusqlite::Result<()> {
    run(connection, "DELETE FROM keep_rule", [])?;
    run(connection, "UPDATE kept SET ready = 0", []).map(drop)
}

/// From now on it is not served, and its row leads the next sweep to its file.
fn retire(connection: &Connection, id: u64) -> rusqlite::Result<()> {
    run(connection, "UPDATE kept SET ready = 0 WHERE id = ?1", [id.sql()])?;
    let sql = "DELETE FROM holding WHERE origin = 'kept' AND (path, account, name) =
            (SELECT path, account, name FROM kept WHERE id = ?1)
        AND NOT EXISTS (SELECT 1 FROM kept AS other, kept AS this WHERE this.id = ?1 AND other.ready
            AND (other.path, other.account, other.name) = (this.path, this.account, this.name))
        RETURNING root";
    let roots: Vec<RootHash> = all(connection, sql, [id.sql()], |row| get(row, "root"))?;
    roots.into_iter().try_for_each(|root| garbage::collect(connection, root))
}

/// Names the file in the database, before it is there. `None` where the version is kept already; else whether its file is
/// there, and is reflinked, as that of an equal version.
fn begin(
    connection: &Connection,
    source: &NewHolding,
    path: &PathBuf,
    now: UnixMillis,
) -> rusqlite::Result<Option<Option<bool>>> {
    let NewHolding { record, content, stamp, .. } = source;
    let sql = "SELECT ready FROM kept WHERE account = ?1 AND name = ?2 AND version = ?3";
    let same = (record.account.sql(), record.name.sql(), record.version.sql());
    if first(connection, sql, same, |row| get(row, "ready"))? == Some(true) {
        return Ok(None);
    }
    let sql =
        "INSERT INTO kept (account, user, name, version, content, path, size, created, reflinked, ready)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0)
        ON CONFLICT (account, name, version) DO UPDATE SET content = ?5, path = ?6, size = ?7, ready = 0";
    let values = rusqlite::params![
        record.account.sql(),
        record.user.sql(),
        record.name.sql(),
        record.version.sql(),
        content.sql(),
        path.sql(),
        stamp.size.sql(),
        now.sql(),
    ];
    run(connection, sql, values)?;
    let sql = "SELECT reflinked FROM kept WHERE path = ?1 AND ready";
    first(connection, sql, [path.sql()], |row| get(row, "reflinked")).map(Some)
}

/// The copy is whole and durable: it is held from now on.
fn finish(connection: &Connection, holding: &NewHolding, reflinked: bool) -> rusqlite::Result<()> {
    let NewHolding { record, .. } = holding;
    let sql = "UPDATE kept SET ready = 1, reflinked = ?4 WHERE account = ?1 AND name = ?2 AND version = ?3";
    let values = (record.account.sql(), record.name.sql(), record.version.sql(), reflinked.sql());
    run(connection, sql, values)?;
    holdings::put(connection, holding).map(drop)
}

fn rows(connection: &Connection) -> rusqlite::Result<Vec<KeptRow>> {
    let sql = "SELECT id, path, size, ready,
            row_number() OVER (PARTITION BY account, name, ready ORDER BY version DESC) - 1 AS newer,
            coalesce((SELECT versions FROM keep_rule
                WHERE keep_rule.account = kept.account AND keep_rule.name = kept.name), -1) AS wanted
        FROM kept ORDER BY id";
    all(connection, sql, [], |row| {
        // Where 0 or nothing is said, not even the newest is kept.
        let wanted: i64 = row.get("wanted")?;
        let ready: bool = get(row, "ready")?;
        Ok(KeptRow {
            id: get(row, "id")?,
            path: get(row, "path")?,
            size: get(row, "size")?,
            ready: ready && wanted > 0,
            newer: get(row, "newer")?,
            wanted: u64::try_from(wanted).unwrap_or(0),
        })
    })
}

/// Copies a file; returns the hash of what was read.
fn copy_bytes(
    from: &dyn FsFile,
    to: &dyn FsFile,
    source: &NewHolding,
    path: &Path,
) -> Result<ContentHash, FileError> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut offset = 0;
    loop {
        let read = read_full(from, &mut buffer, offset).at("read", &source.path)?;
        hasher.update(&buffer[..read]);
        to.write_at(&buffer[..read], offset).at("write", path)?;
        offset += read as u64;
        if read < buffer.len() {
            return Ok(ContentHash::from_bytes(*hasher.finalize().as_bytes()));
        }
    }
}

/// Removes a copy, durably. One that is gone is as good.
fn remove_if_there(fs: &dyn Fs, path: &Path) -> Result<(), FileError> {
    match fs.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("remove", path, error)),
        Ok(()) => {}
    }
    fs.sync_folder(parent_of(path)).at("make durable the folder", parent_of(path))
}

#[cfg(test)]
mod tests;
