//! Records that were replaced: of each version the one that stood last, which is the highest.
//!
//! Invariant: a row's version is below that of its resource's entry, since an entry only ever goes up; where a record
//! replaces another of the same version, that one is forgotten. `history_size` counts an account's rows.

use certs::UserName;
use rusqlite::Connection;
use wire::{ResourceName, limits};

use super::entries::{self, Stored};
use super::writer::Batch;
use super::{AccountRow, Result, Seq, from_sql, to_sql};

/// Replaced records of one resource that are kept in any case.
const KEPT: usize = 100;
/// So many more are kept while somebody holds their content.
const HELD: usize = 100;
/// Replaced records of one account, twice as many as it may have resources; the oldest are forgotten.
const PER_ACCOUNT: i64 = 2 * limits::RESOURCES_PER_ACCOUNT as i64;

/// Keeps the record of an entry that is about to be replaced by one of another version, and forgets what is too much.
pub(super) fn keep(batch: &Batch<'_>, replaced: Seq, account: AccountRow, name: &ResourceName) -> Result<()> {
    let added = batch
        .prepare_cached(
            "INSERT INTO history(account, name, version, revision, kind, node, size, mtime, published, accepted,
                                 content, hash, record, receipt, certificate)
             SELECT e.account, e.name, e.version, e.revision, e.kind, e.node, e.size, e.mtime, e.published, e.accepted,
                    e.content, e.record, r.record, r.receipt, r.certificate
             FROM entries AS e JOIN records AS r ON r.seq = e.seq WHERE e.seq = ?1
             ON CONFLICT DO NOTHING",
        )?
        .execute([replaced.0])?;
    count(batch, account, i64::try_from(added).unwrap_or(i64::MAX))?;
    prune_resource(batch, account, name)?;
    prune_account(batch, account, PER_ACCOUNT)
}

/// Forgets all of a resource.
pub(super) fn forget(batch: &Batch<'_>, account: AccountRow, name: &str) -> Result<()> {
    let ended = batch
        .prepare_cached("DELETE FROM history WHERE account = ?1 AND name = ?2")?
        .execute((account.0, name))?;
    match ended {
        0 => Ok(()),
        ended => count(batch, account, -i64::try_from(ended).unwrap_or(i64::MAX)),
    }
}

/// Forgets what was replaced of a resource from a version on.
pub(super) fn forget_from(
    batch: &Batch<'_>,
    account: AccountRow,
    name: &ResourceName,
    version: u64,
) -> Result<()> {
    let ended = batch
        .prepare_cached("DELETE FROM history WHERE account = ?1 AND name = ?2 AND version >= ?3")?
        .execute((account.0, name.as_str(), to_sql(version)))?;
    count(batch, account, -i64::try_from(ended).unwrap_or(i64::MAX))
}

/// A version that was replaced; `own`: for a node of its owner.
pub(super) fn stored(
    database: &Connection,
    user: &UserName,
    name: &ResourceName,
    version: u64,
    own: bool,
) -> Result<Option<Stored>> {
    if !own && version <= taken_back(database, user, name)? {
        return Ok(None);
    }
    let mut statement = database.prepare_cached(
        "SELECT h.id, h.node, h.hash, h.kind, h.version, h.revision, h.content, h.mtime, h.published,
                h.record, h.receipt, c.bytes, (SELECT bytes FROM enrolments AS m WHERE m.node = h.node)
         FROM accounts AS a CROSS JOIN history AS h INDEXED BY history_resource ON h.account = a.id
         JOIN certificates AS c ON c.id = h.certificate
         WHERE a.user = ?1 AND h.name = ?2 AND h.version = ?3",
    )?;
    let mut rows = statement.query((user.as_str(), name.as_str(), to_sql(version)))?;
    rows.next()?.map(|row| entries::stored_of(row, false)).transpose()
}

/// The version of the newest tombstone of a resource; 0 without one. What is not above it was taken back.
pub(super) fn taken_back(database: &Connection, user: &UserName, name: &ResourceName) -> Result<u64> {
    let newest: Option<i64> = database
        .prepare_cached(
            "SELECT max(version) FROM (
                 SELECT e.version FROM entries AS e INDEXED BY entries_resource
                 WHERE e.user = ?1 AND e.name = ?2 AND e.kind = 2
                 UNION ALL
                 SELECT h.version FROM accounts AS a CROSS JOIN history AS h INDEXED BY history_resource
                 ON h.account = a.id WHERE a.user = ?1 AND h.name = ?2 AND h.kind = 2
             )",
        )?
        .query_row((user.as_str(), name.as_str()), |row| row.get(0))?;
    Ok(newest.map_or(0, from_sql))
}

/// Forgets what is too old of a resource. Mostly one row is looked at: the one that has just become too old.
fn prune_resource(batch: &Batch<'_>, account: AccountRow, name: &ResourceName) -> Result<()> {
    let old: Vec<(i64, bool)> = batch
        .prepare_cached(
            "SELECT h.id, EXISTS (SELECT 1 FROM holders WHERE content = h.content)
             FROM history AS h INDEXED BY history_resource
             WHERE h.account = ?1 AND h.name = ?2 ORDER BY h.version DESC LIMIT -1 OFFSET ?3",
        )?
        .query_map((account.0, name.as_str(), to_sql(KEPT as u64)), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let ended = old.into_iter().enumerate().filter(|(place, (_, held))| !held || *place >= HELD);
    for (_, (id, _)) in ended {
        batch.prepare_cached("DELETE FROM history WHERE id = ?1")?.execute([id])?;
        count(batch, account, -1)?;
    }
    Ok(())
}

/// Forgets the oldest of an account that has too many.
pub(super) fn prune_account(batch: &Batch<'_>, account: AccountRow, bound: i64) -> Result<()> {
    let records: i64 = batch
        .prepare_cached("SELECT records FROM history_size WHERE account = ?1")?
        .query_row([account.0], |row| row.get(0))?;
    let over = records - bound;
    if over <= 0 {
        return Ok(());
    }
    let ended = batch
        .prepare_cached(
            "DELETE FROM history WHERE id IN (
                 SELECT id FROM history INDEXED BY history_account WHERE account = ?1 ORDER BY id LIMIT ?2
             )",
        )?
        .execute((account.0, over))?;
    count(batch, account, -i64::try_from(ended).unwrap_or(i64::MAX))
}

/// Counts so many rows more.
pub(super) fn count(batch: &Batch<'_>, account: AccountRow, more: i64) -> Result<()> {
    batch
        .prepare_cached(
            "INSERT INTO history_size(account, records) VALUES (?1, ?2)
             ON CONFLICT (account) DO UPDATE SET records = records + ?2",
        )?
        .execute((account.0, more))?;
    Ok(())
}
