//! Installations that were begun: written before the user's folder is touched, removed with the commit that ends them.

use std::path::PathBuf;

use certs::UnixMillis;
use rusqlite::{Connection, Row};
use wire::{ContentHash, RootHash};

use super::columns::{Column, all, first, get, run, stamp};
use super::fs::FileStamp;
use super::jobs::JobId;

/// What is about to be done in a user's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Intent {
    /// For which job.
    pub(super) job: JobId,
    /// Where the new file is to be.
    pub(super) target: PathBuf,
    /// Where it is before.
    pub(super) temporary: PathBuf,
    /// Where an old file is to be kept.
    pub(super) keep: PathBuf,
    /// The new file's stamp: by its inode it is known under whatever name.
    pub(super) stamp: FileStamp,
    /// The new file's content, by which it is known on file systems that number their files anew at each mount.
    pub(super) content: ContentHash,
    /// The old file need not be kept if it has this content.
    pub(super) base: Option<ContentHash>,
    /// Whether an old file may be replaced.
    pub(super) force: bool,
    /// A folder at the target is brought to the job's version, file by file: see `update`. The temporary name is that of a
    /// folder; the name for an old file, and the content, say nothing then.
    pub(super) update: Option<Begun>,
}

/// An update that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    /// The manifest of the version at the target.
    pub(super) base: RootHash,
    /// When.
    pub(super) began: UnixMillis,
}

/// Stores an intent in place of the job's one before. The temporary file is the intent's from now on and no longer the
/// job's: after an exchange its name leads to a user's file, which nobody may take for a download.
pub(super) fn begin(connection: &Connection, intent: &Intent) -> rusqlite::Result<()> {
    put(connection, intent)?;
    run(connection, "UPDATE job SET temporary = NULL WHERE id = ?1", [intent.job.0.sql()]).map(drop)
}

/// Removes an intent and gives the temporary file back to its job.
pub(super) fn undo(connection: &Connection, intent: &Intent) -> rusqlite::Result<()> {
    remove(connection, intent.job)?;
    let sql = "UPDATE job SET temporary = ?2 WHERE id = ?1 AND temporary IS NULL";
    run(connection, sql, (intent.job.0.sql(), intent.temporary.sql())).map(drop)
}

fn put(connection: &Connection, intent: &Intent) -> rusqlite::Result<()> {
    let Intent { job, target, temporary, keep, stamp, content, base, force, update } = intent;
    let (base_root, began) = (update.map(|update| update.base), update.map(|update| update.began));
    let sql = "INSERT OR REPLACE INTO intent
        (job, target, temporary, keep, size, mtime, inode, device, content, base, force, base_root, began)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let values = rusqlite::params![
        job.0.sql(),
        target.sql(),
        temporary.sql(),
        keep.sql(),
        stamp.size.sql(),
        stamp.mtime.sql(),
        stamp.inode.sql(),
        stamp.device.sql(),
        content.sql(),
        base.sql(),
        force.sql(),
        base_root.sql(),
        began.sql(),
    ];
    run(connection, sql, values).map(drop)
}

/// The intent of a job.
pub(super) fn of_job(connection: &Connection, job: JobId) -> rusqlite::Result<Option<Intent>> {
    first(connection, "SELECT * FROM intent WHERE job = ?1", [job.0.sql()], read)
}

/// All of them: as many as installations run at one time.
pub(super) fn list(connection: &Connection) -> rusqlite::Result<Vec<Intent>> {
    all(connection, "SELECT * FROM intent ORDER BY job", [], read)
}

/// Removes the intent of a job.
pub(super) fn remove(connection: &Connection, job: JobId) -> rusqlite::Result<()> {
    run(connection, "DELETE FROM intent WHERE job = ?1", [job.0.sql()]).map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Intent> {
    Ok(Intent {
        job: JobId(get(row, "job")?),
        target: get(row, "target")?,
        temporary: get(row, "temporary")?,
        keep: get(row, "keep")?,
        stamp: stamp(row)?,
        content: get(row, "content")?,
        base: get(row, "base")?,
        force: get(row, "force")?,
        update: Option::zip(get(row, "base_root")?, get(row, "began")?)
            .map(|(base, began)| Begun { base, began }),
    })
}
