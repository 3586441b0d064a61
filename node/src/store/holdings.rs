//! What this node can serve: files that lie in users' folders, each under a record.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use certs::{AccountId, UserName};
use rusqlite::{Connection, Row, Transaction};
use wire::manifest::Manifest;
use wire::{ContentHash, RecordHash, ResourceName, RootHash, SignedRecord, record_hash};

use super::columns::{Column, all, first, get, path_sql, run, stamp, word_column};
use super::fs::FileStamp;
use super::{DbError, PAGE_ROWS, Store, events, garbage, manifests};
use crate::activity::{Activity, Version, local};

/// A holding's number in the database. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldingId(pub u64);

/// How the node came to hold a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Its user shared it here.
    Share,
    /// It was downloaded.
    Get,
    /// It is the copy of a version that is kept.
    Kept,
}

word_column!(Origin { Share => "share", Get => "get", Kept => "kept" });

/// Whether a held file is still what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldingState {
    /// As far as is known.
    Ok,
    /// It differs from what was hashed, and is not served.
    Changed,
    /// It is not there.
    Missing,
}

word_column!(HoldingState { Ok => "ok", Changed => "changed", Missing => "missing" });

/// A file that this node can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Its number.
    pub id: HoldingId,
    /// Where it lies.
    pub path: PathBuf,
    /// Whether it is a folder. Then its own stamp says little: those of its files are kept apart.
    pub folder: bool,
    /// Its stamp when it was hashed or installed.
    pub stamp: FileStamp,
    /// Its content hash.
    pub content: ContentHash,
    /// The manifest by which it is served.
    pub root: RootHash,
    /// The account that owns the resource under whose record it is held.
    pub account: AccountId,
    /// That account's user name, as the record has it.
    pub user: UserName,
    /// The resource's name.
    pub name: ResourceName,
    /// The hash of that record.
    pub record_hash: RecordHash,
    /// That record, as it was signed. It was checked when it was stored.
    pub record: Bytes,
    /// The index's receipt for it.
    pub receipt: Option<Bytes>,
    /// The index certificate that the receipt hangs from; without a receipt the publisher's enrolment.
    pub certificate: Option<Bytes>,
    /// How the node came to hold it.
    pub origin: Origin,
    /// Whether it is still what it was. Of a folder: as far as was noticed.
    pub state: HoldingState,
}

/// A holding to be stored. Owner and name are the record's.
#[derive(Debug, Clone)]
pub struct NewHolding {
    /// Where the file lies.
    pub path: PathBuf,
    /// Its stamp.
    pub stamp: FileStamp,
    /// BLAKE3 of its bytes.
    pub content: ContentHash,
    /// The manifest by which it is served. It has to be stored.
    pub root: RootHash,
    /// The record under which it is held.
    pub record: Arc<SignedRecord>,
    /// The index's receipt for the record.
    pub receipt: Option<Bytes>,
    /// The index certificate that the receipt hangs from; without a receipt the publisher's enrolment.
    pub certificate: Option<Bytes>,
    /// How the node came to hold it.
    pub origin: Origin,
}

impl Store {
    /// Stores a holding as `ok`, in place of the one of the same path and resource, in one transaction with its manifest
    /// (unless that is stored already); the manifest of the one before goes if nothing needs it. Other holdings of the path with
    /// another content become `changed`, and so do publications of such a content: the file is not what they say any
    /// more.
    ///
    /// # Errors
    /// See [`DbError`]; also where the manifest is neither given nor stored.
    pub async fn put_holding(
        &self,
        holding: NewHolding,
        manifest: Option<Arc<Manifest>>,
    ) -> Result<HoldingId, DbError> {
        let change = move |transaction: &Transaction| {
            if let Some(manifest) = &manifest {
                manifests::put(transaction, manifest, None)?;
            }
            put(transaction, &holding)
        };
        self.db().write("write a holding", change).await
    }

    /// All holdings of a content, whatever their state: at most [`PAGE_ROWS`], the oldest first.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn holdings_of(&self, content: ContentHash) -> Result<Vec<Holding>, DbError> {
        let sql = "SELECT * FROM holding WHERE content = ?1 ORDER BY id LIMIT ?2";
        let query = move |c: &Connection| all(c, sql, (content.sql(), PAGE_ROWS), read);
        self.db().read("read holdings", query).await
    }

    /// All holdings of a path: at most [`PAGE_ROWS`], the oldest first.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn holdings_at(&self, path: PathBuf) -> Result<Vec<Holding>, DbError> {
        let sql = "SELECT * FROM holding WHERE path = ?1 ORDER BY id LIMIT ?2";
        let query = move |c: &Connection| all(c, sql, (path_sql(&path), PAGE_ROWS), read);
        self.db().read("read holdings", query).await
    }

    /// The holdings after a number, in order: at most `limit`, at most [`PAGE_ROWS`].
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn holdings(&self, after: Option<HoldingId>, limit: u32) -> Result<Vec<Holding>, DbError> {
        let sql = "SELECT * FROM holding WHERE id > ?1 ORDER BY id LIMIT ?2";
        let after = after.map_or(0, |id| id.0);
        let query = move |c: &Connection| all(c, sql, (after.sql(), limit.min(PAGE_ROWS)), read);
        self.db().read("read holdings", query).await
    }

    /// The distinct contents that have a holding that is `ok`, after a content, in order: at most `limit`, at most
    /// [`PAGE_ROWS`].
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn held_contents(
        &self,
        after: Option<ContentHash>,
        limit: u32,
    ) -> Result<Vec<ContentHash>, DbError> {
        // A shorter blob sorts before a longer one that begins with it, so the empty one is before every hash.
        let sql = "SELECT DISTINCT content FROM holding WHERE content > coalesce(?1, x'') AND state = 'ok'
            ORDER BY content LIMIT ?2";
        let query =
            move |c: &Connection| all(c, sql, (after.sql(), limit.min(PAGE_ROWS)), |row| get(row, "content"));
        self.db().read("read holdings", query).await
    }

    /// Says how a held file is; returns whether the holding was there. The log tells where it is no longer what it was.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn set_holding_state(&self, id: HoldingId, state: HoldingState) -> Result<bool, DbError> {
        self.db().write("write a holding", move |transaction| set_state(transaction, id, state)).await
    }
}

/// See [`Store::set_holding_state`].
pub(super) fn set_state(
    transaction: &Transaction,
    id: HoldingId,
    state: HoldingState,
) -> rusqlite::Result<bool> {
    let sql = "SELECT * FROM holding WHERE id = ?1";
    let Some(holding) = first(transaction, sql, [id.0.sql()], read)? else { return Ok(false) };
    run(transaction, "UPDATE holding SET state = ?2 WHERE id = ?1", (id.0.sql(), state.sql()))?;
    if holding.state != state && state != HoldingState::Ok {
        let record: Arc<SignedRecord> = first(transaction, sql, [id.0.sql()], |row| get(row, "record"))?
            .ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let (path, state) = (local(&holding.path), state.as_str().to_owned());
        events::put(transaction, &Activity::FileChanged { what: Version::of(&record), path, state })?;
    }
    Ok(true)
}

/// Stores a holding. See [`Store::put_holding`].
pub(super) fn put(connection: &Connection, holding: &NewHolding) -> rusqlite::Result<HoldingId> {
    let NewHolding { path, stamp, content, root, record, receipt, certificate, origin } = holding;
    let outdated = "UPDATE holding SET state = 'changed' WHERE path = ?1 AND content <> ?2";
    run(connection, outdated, (path.sql(), content.sql()))?;
    let sql = "SELECT root FROM holding WHERE path = ?1 AND account = ?2 AND name = ?3 AND root <> ?4";
    let same = (path.sql(), record.account.sql(), record.name.sql(), root.sql());
    let replaced: Option<RootHash> = first(connection, sql, same, |row| get(row, "root"))?;
    let sql = "INSERT INTO holding (path, size, mtime, inode, device, content, root, account, user, name, record,
            record_hash, receipt, certificate, origin, folder, state)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, 'ok')
        ON CONFLICT (path, account, name) DO UPDATE SET size = ?2, mtime = ?3, inode = ?4, device = ?5, content = ?6,
            root = ?7, user = ?9, record = ?11, record_hash = ?12, receipt = ?13, certificate = ?14, origin = ?15,
            folder = ?16, state = 'ok'
        RETURNING id";
    let hash = record_hash(record);
    let values = rusqlite::params![
        path.sql(),
        stamp.size.sql(),
        stamp.mtime.sql(),
        stamp.inode.sql(),
        stamp.device.sql(),
        content.sql(),
        root.sql(),
        record.account.sql(),
        record.user.sql(),
        record.name.sql(),
        record.sql(),
        hash.sql(),
        receipt.sql(),
        certificate.sql(),
        origin.sql(),
        (record.kind == wire::Kind::Folder),
    ];
    let id = connection.prepare_cached(sql)?.query_row(values, |row| get(row, "id").map(HoldingId))?;
    let outdated =
        "UPDATE publication SET state = 'changed' WHERE path = ?1 AND state IN ('pending', 'published')
        AND record_hash NOT IN (SELECT record_hash FROM holding WHERE path = ?1 AND content = ?2)";
    run(connection, outdated, (path.sql(), content.sql()))?;
    if let Some(replaced) = replaced.filter(|_| *origin == Origin::Get) {
        garbage::collect(connection, replaced)?;
    }
    Ok(id)
}

/// What was downloaded to a path has this content no more, and what lies there is not held: what its user shares is
/// changed, and nothing else is there to be served.
pub(super) fn replaced(connection: &Connection, path: &Path, content: ContentHash) -> rusqlite::Result<()> {
    let sql = "DELETE FROM holding WHERE path = ?1 AND content = ?2 AND origin = 'get'";
    run(connection, sql, (path_sql(path), content.sql()))?;
    let sql = "UPDATE holding SET state = 'changed' WHERE path = ?1 AND content = ?2";
    run(connection, sql, (path_sql(path), content.sql())).map(drop)
}

/// The manifest by which what its user shared under this name is served, if it has this content.
pub(super) fn shared_root(
    connection: &Connection,
    account: AccountId,
    name: &ResourceName,
    content: Option<ContentHash>,
) -> rusqlite::Result<Option<RootHash>> {
    let sql =
        "SELECT root FROM holding WHERE account = ?1 AND name = ?2 AND content = ?3 AND origin = 'share'";
    first(connection, sql, (account.sql(), name.sql(), content.sql()), |row| get(row, "root"))
}

/// Removes what is held because its user shared it under this name.
pub(super) fn remove_shared(
    connection: &Connection,
    account: AccountId,
    name: &ResourceName,
) -> rusqlite::Result<()> {
    let sql = "DELETE FROM holding WHERE account = ?1 AND name = ?2 AND origin = 'share'";
    run(connection, sql, (account.sql(), name.sql())).map(drop)
}

const SET_RECEIPT: &str = "UPDATE holding SET receipt = ?4, certificate = ?5
    WHERE account = ?1 AND name = ?2 AND record_hash = ?3";

/// Keeps a receipt at every holding under its record. They are found by the record's resource: there is no index of hashes.
pub(super) fn set_receipt(
    connection: &Connection,
    record: &SignedRecord,
    receipt: &Bytes,
    certificate: &Bytes,
) -> rusqlite::Result<()> {
    let (account, name, hash) = (record.account.sql(), record.name.sql(), record_hash(record));
    run(connection, SET_RECEIPT, (account, name, hash.sql(), receipt.sql(), certificate.sql())).map(drop)
}

/// One holding.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Holding> {
    Ok(Holding {
        id: HoldingId(get(row, "id")?),
        path: get(row, "path")?,
        folder: get(row, "folder")?,
        stamp: stamp(row)?,
        content: get(row, "content")?,
        root: get(row, "root")?,
        account: get(row, "account")?,
        user: get(row, "user")?,
        name: get(row, "name")?,
        record_hash: get(row, "record_hash")?,
        record: get(row, "record")?,
        receipt: get(row, "receipt")?,
        certificate: get(row, "certificate")?,
        origin: get(row, "origin")?,
        state: get(row, "state")?,
    })
}

#[cfg(test)]
mod tests;
