//! What nodes published without a receipt once their memberships had ended: it stands nowhere, and what stood before it stands
//! again. What they hold and where they said that they are counts no more.
//!
//! It is done in steps of bounded size. `ended_nodes` names the nodes that are still to be gone through, so that a crash in
//! between leaves nothing behind.

use std::collections::HashSet;

use certs::{AccountId, Signed, UserName};
use rusqlite::{Connection, OptionalExtension, Row};
use wire::catalogue::Revoked;
use wire::{Record, RecordRank, ResourceName, SignedRecord, limits, record_hash};

use super::accepted::{self, Accepted, Proof};
use super::error::RegistryError;
use super::writer::Batch;
use super::{
    AccountRow, CertificateRow, NodeRow, Registry, Result, entries, history, holders, replicate, to_sql,
};

/// Records that one step withdraws.
const STEP: usize = limits::BATCH_RECORDS;

/// A node that is to be gone through.
#[derive(Debug, Clone, Copy)]
struct Ended {
    node: NodeRow,
    /// Since when, in nanoseconds as records have it.
    since: i64,
    account: AccountRow,
    /// Whether it has logged in again: what it published for that account since is believed by its new membership.
    again: bool,
}

/// An entry that is to be withdrawn.
struct Withdrawn {
    account: (AccountRow, AccountId),
    user: UserName,
    name: ResourceName,
}

/// A record that stood before.
struct Before {
    record: SignedRecord,
    node: NodeRow,
    accepted: certs::UnixMillis,
    receipt: Vec<u8>,
    certificate: (CertificateRow, Vec<u8>),
}

impl Registry {
    /// Goes through all nodes whose memberships have ended and that were not gone through yet. The accounts of which something
    /// was withdrawn.
    pub(crate) async fn withdraw_ended(&self) -> Result<HashSet<AccountId>> {
        let mut accounts = HashSet::new();
        while let Some(withdrawn) = self.write(STEP, step).await? {
            accounts.extend(withdrawn);
        }
        Ok(accounts)
    }

    /// Notes that something of a node whose membership has ended may have come in all the same.
    pub(crate) async fn note_ended(&self, revoked: Revoked) -> Result<()> {
        self.write(1, move |batch| note(batch, &revoked)).await
    }
}

/// Notes that a node is to be gone through, if it is known.
pub(super) fn note(batch: &Batch<'_>, revoked: &Revoked) -> Result<()> {
    batch
        .prepare_cached(
            "INSERT INTO ended_nodes(node, serial, since) SELECT id, ?2, ?3 FROM nodes WHERE node = ?1
             ON CONFLICT(node) DO UPDATE SET serial = excluded.serial, since = excluded.since
             WHERE excluded.serial > serial",
        )?
        .execute((revoked.node.as_bytes(), to_sql(revoked.serial), to_sql(revoked.since.0)))?;
    Ok(())
}

/// One step, and of which accounts something was withdrawn; `None` where there is nothing to do.
fn step(batch: &mut Batch<'_>) -> Result<Option<Vec<AccountId>>> {
    let Some(ended) = next(batch)? else { return Ok(None) };
    if !ended.again {
        holders::forget_all(batch, ended.node)?;
        batch.prepare_cached("DELETE FROM words WHERE node = ?1")?.execute([ended.node.0])?;
    }
    let found = unaccepted(batch, &ended)?;
    for one in &found {
        withdraw(batch, &ended, one)?;
    }
    if found.len() < STEP {
        forget_replaced(batch, &ended)?;
        batch.prepare_cached("DELETE FROM ended_nodes WHERE node = ?1")?.execute([ended.node.0])?;
    }
    Ok(Some(found.iter().map(|one| one.account.1).collect()))
}

fn next(database: &Connection) -> Result<Option<Ended>> {
    let found = database
        .prepare_cached(
            "SELECT e.node, e.since, n.account, n.serial > e.serial
             FROM ended_nodes AS e JOIN nodes AS n ON n.id = e.node LIMIT 1",
        )?
        .query_row([], |row| {
            let since: i64 = row.get(1)?;
            Ok(Ended {
                node: NodeRow(row.get(0)?),
                since: since.saturating_mul(1_000_000),
                account: AccountRow(row.get(2)?),
                again: row.get(3)?,
            })
        })
        .optional()?;
    Ok(found)
}

/// Entries that stand without a receipt though they were published after the end.
fn unaccepted(database: &Connection, ended: &Ended) -> Result<Vec<Withdrawn>> {
    let mut statement = database.prepare_cached(
        "SELECT e.account, a.account, e.user, e.name
         FROM entries AS e INDEXED BY entries_node JOIN records AS r ON r.seq = e.seq
         JOIN accounts AS a ON a.id = e.account
         WHERE e.node = ?1 AND e.published >= ?2 AND length(r.receipt) = 0 AND NOT (?3 AND e.account = ?4)
         LIMIT ?5",
    )?;
    let Ended { node, since, account, again } = *ended;
    let mut rows = statement.query((node.0, since, again, account.0, to_sql(STEP as u64)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.get_ref(1)?.as_blob().ok().and_then(AccountId::from_slice);
        let id = id.ok_or(RegistryError::Corrupt("an account's id"))?;
        let user = row.get::<_, String>(2)?.parse().map_err(|_| RegistryError::Corrupt("a user name"))?;
        let name = row.get::<_, String>(3)?.parse().map_err(|_| RegistryError::Corrupt("a name"))?;
        found.push(Withdrawn { account: (AccountRow(row.get(0)?), id), user, name });
    }
    Ok(found)
}

/// Takes an entry away, and puts what stood before it in its place.
fn withdraw(batch: &mut Batch<'_>, ended: &Ended, withdrawn: &Withdrawn) -> Result<()> {
    let Withdrawn { account, user, name } = withdrawn;
    let Some((seq, current)) = entries::current(batch, user, name)? else { return Ok(()) };
    accepted::take_away(batch, seq, &current, account.0)?;
    let Some(before) = before(batch, ended, account.0, name)? else { return Ok(()) };
    history::forget_from(batch, account.0, name, before.record.version)?;
    let enrolment;
    let proof = if before.receipt.is_empty() {
        enrolment = replicate::enrolment_of(batch, before.node)?;
        Proof::Enrolment { enrolment: &enrolment, certificate: before.certificate.0 }
    } else {
        let (row, bytes) = &before.certificate;
        Proof::Receipt { receipt: &before.receipt, certificate: (*row, bytes) }
    };
    let (node, accepted, record) = (before.node, before.accepted, &before.record);
    let seq = replicate::place(batch, accepted, record.hash())?;
    accepted::put(batch, None, &Accepted { owner: *account, node, record, proof, accepted, seq })
}

/// The highest record of a resource that was replaced and is believed still.
fn before(
    database: &Connection,
    ended: &Ended,
    account: AccountRow,
    name: &ResourceName,
) -> Result<Option<Before>> {
    let mut statement = database.prepare_cached(
        "SELECT h.record, h.node, h.accepted, h.receipt, h.certificate, c.bytes
         FROM history AS h INDEXED BY history_resource JOIN certificates AS c ON c.id = h.certificate
         WHERE h.account = ?1 AND h.name = ?2
           AND NOT (h.node = ?3 AND h.published >= ?4 AND length(h.receipt) = 0)
         ORDER BY h.version DESC LIMIT 3",
    )?;
    let mut rows = statement.query((account.0, name.as_str(), ended.node.0, ended.since))?;
    // Of one version there may be a file, a folder and a tombstone.
    let mut highest: Option<(RecordRank, Before)> = None;
    while let Some(row) = rows.next()? {
        let before = before_of(row)?;
        let rank = before.record.rank(record_hash(&before.record));
        if highest.as_ref().is_none_or(|(known, _)| *known < rank) {
            highest = Some((rank, before));
        }
    }
    Ok(highest.map(|(_, before)| before))
}

fn before_of(row: &Row<'_>) -> Result<Before> {
    let record = row.get_ref(0)?.as_blob().unwrap_or_default();
    let record = Signed::<Record>::parse_stored(record).map_err(|_| RegistryError::Corrupt("a record"))?;
    Ok(Before {
        record,
        node: NodeRow(row.get(1)?),
        accepted: certs::UnixMillis(super::from_sql(row.get(2)?)),
        receipt: row.get(3)?,
        certificate: (CertificateRow(row.get(4)?), row.get(5)?),
    })
}

/// Forgets what was replaced meanwhile of what is not believed.
fn forget_replaced(batch: &Batch<'_>, ended: &Ended) -> Result<()> {
    if ended.again {
        return Ok(());
    }
    let forgotten = batch
        .prepare_cached(
            "DELETE FROM history WHERE id IN (
                 SELECT id FROM history INDEXED BY history_account
                 WHERE account = ?1 AND node = ?2 AND published >= ?3 AND length(receipt) = 0
             )",
        )?
        .execute((ended.account.0, ended.node.0, ended.since))?;
    match forgotten {
        0 => Ok(()),
        forgotten => history::count(batch, ended.account, -i64::try_from(forgotten).unwrap_or(i64::MAX)),
    }
}
