//! Records in: the rules applied, and what they accept stored, within one transaction.

use certs::UnixMillis;
use rusqlite::{Connection, Row};
use serde_bytes::ByteBuf;
use wire::message::{Held, Outcome, OutcomeKind, RecordBundle};
use wire::{ErrorBody, ErrorCode, SignedRecord, TOMBSTONE_RETENTION_MS, limits, record_hash};

use super::entries::{self, kind_number};
use super::rules::{Current, Decision, Purpose, Sender, decide};
use super::writer::{Batch, SearchChange};
use super::{
    AccountRow, Certificate, NodeRow, Result, Seq, accounts, history, holders, recovery, terms, to_sql,
};
use crate::followers::Changed;

/// Old tombstones that one batch of records makes an end of: as many as one can bring.
const PURGED: i64 = limits::BATCH_RECORDS as i64;

/// One record that came, checked as far as it can be alone.
pub(crate) enum Incoming {
    /// Its signature holds; and the receipt that it gets if it is accepted.
    Verified {
        /// The record.
        record: Box<SignedRecord>,
        /// The signed receipt.
        receipt: Vec<u8>,
    },
    /// It is refused whatever stands.
    Refused(ErrorBody),
}

/// What one R or D brings.
pub(crate) struct Batched {
    pub(crate) purpose: Purpose,
    pub(crate) sender: Sender,
    pub(crate) account: AccountRow,
    pub(crate) node: NodeRow,
    pub(crate) items: Vec<Incoming>,
    pub(crate) now: UnixMillis,
    /// The index certificate that the receipts name.
    pub(crate) certificate: Certificate,
}

/// Decides about each in turn: a later one of a batch sees what the earlier ones did.
pub(super) fn register(batch: &mut Batch<'_>, batched: &Batched) -> Result<Vec<Outcome>> {
    if !accounts::is_enrolled(batch, batched.node, batched.account)? {
        return Ok(batched.items.iter().map(|_| refused(accounts::ended(), None)).collect());
    }
    purge(batch, batched.now)?;
    let one = |item: &Incoming| match item {
        Incoming::Verified { record, receipt } => apply(batch, batched, record, receipt),
        Incoming::Refused(error) => Ok(refused(error.clone(), None)),
    };
    let outcomes: Vec<Outcome> = batched.items.iter().map(one).collect::<Result<_>>()?;
    let new = |outcome: &Outcome| matches!(outcome.outcome, OutcomeKind::Created | OutcomeKind::Updated);
    if outcomes.iter().any(new) {
        recovery::note(batch, &batched.sender.node, batched.now)?;
    }
    Ok(outcomes)
}

fn apply(batch: &mut Batch<'_>, batched: &Batched, record: &SignedRecord, receipt: &[u8]) -> Result<Outcome> {
    let found = entries::current(batch, &batched.sender.user, &record.name)?;
    let current = found.as_ref().map(|(_, current)| current);
    let resources = resources(batch, batched.account)?;
    match decide(batched.purpose, current, record, &batched.sender, resources, batched.now) {
        Decision::Accept(outcome) => accept(batch, batched, found, record, receipt, outcome),
        Decision::Keep(outcome) => keep(batch, batched, found, record, outcome),
        Decision::Refuse(error) => {
            let stale = error.code == ErrorCode::StaleVersion;
            let winner = found.filter(|_| stale).map(|(seq, _)| entries::statements(batch, seq));
            Ok(refused(error, winner.transpose()?.map(|stands| stands.record)))
        }
    }
}

fn accept(
    batch: &mut Batch<'_>,
    batched: &Batched,
    found: Option<(Seq, Current)>,
    record: &SignedRecord,
    receipt: &[u8],
    outcome: OutcomeKind,
) -> Result<Outcome> {
    if let Some(content) = record.content {
        if !holders::may_hold(batch, batched.node, &content)? {
            return Ok(refused(holders::full(), None));
        }
        note_holder(batch, batched.node, record)?;
    }
    match found {
        Some((seq, current)) => {
            if current.version < record.version {
                history::keep(batch, seq, batched.account, &record.name)?;
            }
            remove(batch, seq, &current)?;
        }
        None => count(batch, batched.account, 1)?,
    }
    insert(batch, batched, record, receipt)?;
    batch.changed(changed(batched, record, receipt));
    let receipt = Some(ByteBuf::from(receipt));
    Ok(Outcome { outcome, receipt, certificate: None, winner: None, error: None })
}

/// What those who follow the resource are told.
fn changed(batched: &Batched, record: &SignedRecord, receipt: &[u8]) -> Changed {
    let bundle = RecordBundle {
        record: ByteBuf::from(record.bytes()),
        receipt: Some(ByteBuf::from(receipt)),
        certificate: Some(ByteBuf::from(&*batched.certificate.bytes)),
        enrolment: None,
    };
    Changed { account: batched.sender.account, name: record.name.clone(), bundle }
}

fn keep(
    batch: &mut Batch<'_>,
    batched: &Batched,
    found: Option<(Seq, Current)>,
    record: &SignedRecord,
    outcome: OutcomeKind,
) -> Result<Outcome> {
    let Some((seq, current)) = found else {
        return Ok(refused(ErrorBody::new(ErrorCode::NotFound, "there is no such resource"), None));
    };
    if outcome == OutcomeKind::Unchanged {
        // Its sender holds the content, whoever's record stands. Without room it is simply not listed as a holder.
        note_holder(batch, batched.node, record)?;
    }
    let stands = entries::statements(batch, seq)?;
    let (row, certificate) = stands.certificate;
    Ok(Outcome {
        outcome,
        receipt: Some(ByteBuf::from(stands.receipt)),
        certificate: (row != batched.certificate.row).then(|| ByteBuf::from(certificate)),
        winner: (current.hash != record_hash(record)).then(|| ByteBuf::from(stands.record)),
        error: None,
    })
}

fn note_holder(batch: &Batch<'_>, node: NodeRow, record: &SignedRecord) -> Result<bool> {
    let Some(content) = record.content else { return Ok(true) };
    let generation = holders::generation(batch, node)?;
    holders::hold(batch, node, &Held { content, whole: true }, generation)
}

fn refused(error: ErrorBody, winner: Option<Vec<u8>>) -> Outcome {
    Outcome {
        outcome: OutcomeKind::Refused,
        receipt: None,
        certificate: None,
        winner: winner.map(ByteBuf::from),
        error: Some(error),
    }
}

fn remove(batch: &mut Batch<'_>, seq: Seq, current: &Current) -> Result<()> {
    batch.prepare_cached("DELETE FROM entries WHERE seq = ?1")?.execute([seq.0])?;
    if current.content.is_some() {
        batch.search(SearchChange::Remove { seq });
    }
    Ok(())
}

fn insert(batch: &mut Batch<'_>, batched: &Batched, record: &SignedRecord, receipt: &[u8]) -> Result<()> {
    let folded = record.name.folded();
    let seq: i64 = batch
        .prepare_cached(
            "INSERT INTO entries(account, node, user, name, folded, kind, version, revision, size, mtime, published,
                                 accepted, content, record)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) RETURNING seq",
        )?
        .query_row(
            rusqlite::params![
                batched.account.0,
                batched.node.0,
                record.user.as_str(),
                record.name.as_str(),
                folded,
                kind_number(record.kind),
                to_sql(record.version),
                to_sql(record.revision),
                to_sql(record.size),
                record.mtime.0,
                record.published.0,
                to_sql(batched.now.0),
                record.content.as_ref().map(|content| content.as_bytes()),
                record_hash(record).as_bytes(),
            ],
            |row| row.get(0),
        )?;
    batch
        .prepare_cached("INSERT INTO records(seq, record, receipt, certificate) VALUES (?1, ?2, ?3, ?4)")?
        .execute((seq, record.bytes(), receipt, batched.certificate.row.0))?;
    if !record.is_gone() {
        batch.search(SearchChange::Add { seq: Seq(seq), text: terms::text(&folded, record.kind) });
    }
    Ok(())
}

/// Forgets tombstones that are older than they are kept. Only who registers needs the room, so it is done then.
fn purge(batch: &mut Batch<'_>, now: UnixMillis) -> Result<()> {
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
fn resources(database: &Connection, account: AccountRow) -> Result<usize> {
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
