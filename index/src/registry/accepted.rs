//! A record that stands from now on, whoever decided so: the entry, its record, what it replaces, and who is told.

use certs::{AccountId, UnixMillis};
use rusqlite::{Connection, Row};
use serde_bytes::ByteBuf;
use wire::message::RecordBundle;
use wire::{SignedRecord, TOMBSTONE_RETENTION_MS, limits, record_hash};

use super::entries::kind_number;
use super::rules::Current;
use super::writer::{Batch, SearchChange};
use super::{AccountRow, CertificateRow, NodeRow, Result, Seq, history, terms, to_sql};
use crate::followers::Changed;

/// Old tombstones that one batch of records makes an end of: as many as one can bring.
const PURGED: i64 = limits::BATCH_RECORDS as i64;

/// A record that is to stand.
pub(super) struct Accepted<'a> {
    /// The row and the id of the account that owns the resource.
    pub(super) owner: (AccountRow, AccountId),
    /// The node that publishes it.
    pub(super) node: NodeRow,
    pub(super) record: &'a SignedRecord,
    pub(super) proof: Proof<'a>,
    /// When the index accepted it; where it has not, when it was published.
    pub(super) accepted: UnixMillis,
    /// Its place among the entries; `None`: the newest.
    pub(super) seq: Option<Seq>,
}

/// What makes a record verifiable.
#[derive(Clone, Copy)]
pub(super) enum Proof<'a> {
    /// The index's receipt, with the row and the bytes of the certificate that it names.
    Receipt { receipt: &'a [u8], certificate: (CertificateRow, &'a [u8]) },
    /// The publisher's enrolment. The row is any certificate's: the table wants one.
    Enrolment { enrolment: &'a [u8], certificate: CertificateRow },
}

/// Stores it in place of what was found of its resource.
pub(super) fn put(
    batch: &mut Batch<'_>,
    found: Option<(Seq, Current)>,
    accepted: &Accepted<'_>,
) -> Result<()> {
    let account = accepted.owner.0;
    match found {
        Some((seq, current)) => {
            if current.version < accepted.record.version {
                history::keep(batch, seq, account, &accepted.record.name)?;
            }
            remove(batch, seq, &current)?;
        }
        None => count(batch, account, 1)?,
    }
    insert(batch, accepted)?;
    batch.changed(changed(accepted));
    Ok(())
}

/// What those who follow the resource are told.
fn changed(accepted: &Accepted<'_>) -> Changed {
    let record = accepted.record;
    let bundle = accepted.proof.bundle(record.bytes());
    Changed { account: accepted.owner.1, name: record.name.clone(), bundle }
}

impl Proof<'_> {
    /// With the record.
    fn bundle(&self, record: &[u8]) -> RecordBundle {
        let record = ByteBuf::from(record);
        let bytes = |bytes: &[u8]| Some(ByteBuf::from(bytes));
        match *self {
            Self::Receipt { receipt, certificate: (_, certificate) } => {
                let (receipt, certificate) = (bytes(receipt), bytes(certificate));
                RecordBundle { record, receipt, certificate, enrolment: None }
            }
            Self::Enrolment { enrolment, .. } => {
                RecordBundle { record, receipt: None, certificate: None, enrolment: bytes(enrolment) }
            }
        }
    }

    /// The receipt as it is stored, empty where there is none, and the row of a certificate.
    const fn stored(&self) -> (&[u8], CertificateRow) {
        match self {
            Self::Receipt { receipt, certificate: (row, _) } => (receipt, *row),
            Self::Enrolment { certificate, .. } => (&[], *certificate),
        }
    }
}

fn remove(batch: &mut Batch<'_>, seq: Seq, current: &Current) -> Result<()> {
    batch.prepare_cached("DELETE FROM entries WHERE seq = ?1")?.execute([seq.0])?;
    if current.content.is_some() {
        batch.search(SearchChange::Remove { seq });
    }
    Ok(())
}

fn insert(batch: &mut Batch<'_>, accepted: &Accepted<'_>) -> Result<()> {
    let record = accepted.record;
    let folded = record.name.folded();
    let seq: i64 = batch
        .prepare_cached(
            "INSERT INTO entries(seq, account, node, user, name, folded, kind, version, revision, size, mtime,
                                 published, accepted, content, record)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) RETURNING seq",
        )?
        .query_row(
            rusqlite::params![
                accepted.seq.map(|seq| seq.0),
                accepted.owner.0.0,
                accepted.node.0,
                record.user.as_str(),
                record.name.as_str(),
                folded,
                kind_number(record.kind),
                to_sql(record.version),
                to_sql(record.revision),
                to_sql(record.size),
                record.mtime.0,
                record.published.0,
                to_sql(accepted.accepted.0),
                record.content.as_ref().map(|content| content.as_bytes()),
                record_hash(record).as_bytes(),
            ],
            |row| row.get(0),
        )?;
    let (receipt, certificate) = accepted.proof.stored();
    batch
        .prepare_cached("INSERT INTO records(seq, record, receipt, certificate) VALUES (?1, ?2, ?3, ?4)")?
        .execute((seq, record.bytes(), receipt, certificate.0))?;
    if !record.is_gone() {
        batch.search(SearchChange::Add { seq: Seq(seq), text: terms::text(&folded, record.kind) });
    }
    Ok(())
}

/// Takes an entry of an account away, a tombstone too; what was replaced before stays.
pub(super) fn take_away(
    batch: &mut Batch<'_>,
    seq: Seq,
    current: &Current,
    account: AccountRow,
) -> Result<()> {
    remove(batch, seq, current)?;
    count(batch, account, -1)
}

/// Forgets tombstones that are older than they are kept. Only who registers needs the room, so it is done then.
pub(super) fn purge(batch: &mut Batch<'_>, now: UnixMillis) -> Result<()> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, AccountRow(row.get(1)?), row.get(2)?));
    let old: Vec<(i64, AccountRow, String)> = batch
        .prepare_cached(
            "SELECT seq, account, name FROM entries INDEXED BY entries_gone
             WHERE kind = 2 AND accepted < ?1 ORDER BY accepted LIMIT ?2",
        )?
        .query_map((to_sql(now.minus(TOMBSTONE_RETENTION_MS).0), PURGED), read)?
        .collect::<rusqlite::Result<_>>()?;
    for (seq, account, name) in old {
        batch.prepare_cached("DELETE FROM entries WHERE seq = ?1")?.execute([seq])?;
        history::forget(batch, account, &name)?;
        count(batch, account, -1)?;
    }
    Ok(())
}

/// How many resources an account has, tombstones included.
pub(super) fn resources(database: &Connection, account: AccountRow) -> Result<usize> {
    let count: i64 = database
        .prepare_cached("SELECT resources FROM accounts WHERE id = ?1")?
        .query_row([account.0], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

fn count(batch: &Batch<'_>, account: AccountRow, more: i64) -> Result<()> {
    batch
        .prepare_cached("UPDATE accounts SET resources = resources + ?2 WHERE id = ?1")?
        .execute((account.0, more))?;
    Ok(())
}
