//! What this node downloaded to a path: the version from which an update of it starts.
//!
//! What it gives to others is a holding, which says all of that. For all else (`--no-share`, a part of a folder) there is
//! a row of `installed`, which keeps the manifest of a folder: without that nobody could tell an old file from an edit.

use std::path::PathBuf;
use std::sync::Arc;

use certs::AccountId;
use rusqlite::{Connection, Row};
use wire::{RecordRank, ResourceName, SignedRecord};

use super::columns::{Column, first, get, run, stamp};
use super::fs::FileStamp;
use super::jobs::{Base, Job, Only};
use super::subscriptions::rank_of;
use super::{DbError, Store};

/// Rows that are kept, the latest: what was downloaded before these is no more known, and not updated.
const ROWS: u32 = 1000;

/// A version at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its manifest and content.
    pub base: Base,
    /// Whether it is a folder.
    pub folder: bool,
    /// Its stamp when it was installed.
    pub stamp: FileStamp,
    /// The place of its record in the order of the resource's records.
    pub rank: RecordRank,
    /// The resource's name.
    pub name: ResourceName,
    /// The patterns by which a part of it was chosen; none for all of it.
    pub only: Vec<String>,
}

impl Store {
    /// What was downloaded to a path as a version of a resource of this name, of this account if one is named; what lies
    /// there now may be something else.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn installed_at(
        &self,
        path: PathBuf,
        name: ResourceName,
        account: Option<AccountId>,
    ) -> Result<Option<Installed>, DbError> {
        let held = "SELECT size, mtime, inode, device, content, root, folder, name, record, NULL AS only FROM holding
            WHERE path = ?1 AND name = ?2 AND account = ifnull(?3, account) AND origin = 'get'";
        let other = "SELECT * FROM installed WHERE path = ?1 AND name = ?2 AND account = ifnull(?3, account)";
        let query = move |connection: &Connection| {
            let of = |sql| first(connection, sql, (path.sql(), name.sql(), account.sql()), read);
            of(held)?.map_or_else(|| of(other), |held| Ok(Some(held)))
        };
        self.db().read("read what was downloaded", query).await
    }
}

/// Notes what a job put at its target, if it is not held.
pub(super) fn put(connection: &Connection, job: &Job, stamp: FileStamp, held: bool) -> rusqlite::Result<()> {
    run(connection, "DELETE FROM installed WHERE path = ?1", [job.target.sql()])?;
    let Some(root) = job.root.filter(|_| !held) else { return Ok(()) };
    let only = Only(job.only.clone());
    let sql = "INSERT INTO installed
        (path, size, mtime, inode, device, content, root, folder, account, name, record, only)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let values = rusqlite::params![
        job.target.sql(),
        stamp.size.sql(),
        stamp.mtime.sql(),
        stamp.inode.sql(),
        stamp.device.sql(),
        job.content.sql(),
        root.sql(),
        (job.record.kind == wire::Kind::Folder),
        job.record.account.sql(),
        job.record.name.sql(),
        job.record.sql(),
        only.sql(),
    ];
    run(connection, sql, values)?;
    let sql = "DELETE FROM installed WHERE id NOT IN (SELECT id FROM installed ORDER BY id DESC LIMIT ?1)";
    run(connection, sql, [ROWS]).map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Installed> {
    let record: Arc<SignedRecord> = get(row, "record")?;
    Ok(Installed {
        base: Base { root: get(row, "root")?, content: get(row, "content")? },
        folder: get(row, "folder")?,
        stamp: stamp(row)?,
        rank: rank_of(&record),
        name: get(row, "name")?,
        only: get::<Option<Only>>(row, "only")?.unwrap_or_default().0,
    })
}
