//! Records in: the rules applied, and what they accept stored, within one transaction.

use certs::UnixMillis;
use serde_bytes::ByteBuf;
use wire::message::{Held, Outcome, OutcomeKind};
use wire::{ErrorBody, ErrorCode, SignedRecord, record_hash};

use super::accepted::{self, Accepted, Proof};
use super::rules::{Current, Decision, Purpose, Sender, decide};
use super::writer::Batch;
use super::{AccountRow, Certificate, NodeRow, Result, Seq, accounts, entries, holders, recovery};

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
    accepted::purge(batch, batched.now)?;
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
    let resources = accepted::resources(batch, batched.account)?;
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
    let certificate = &batched.certificate;
    let accepted = Accepted {
        owner: (batched.account, batched.sender.account),
        node: batched.node,
        record,
        proof: Proof::Receipt { receipt, certificate: (certificate.row, &certificate.bytes) },
        accepted: batched.now,
        seq: None,
    };
    accepted::put(batch, found, &accepted)?;
    let receipt = Some(ByteBuf::from(receipt));
    Ok(Outcome { outcome, receipt, certificate: None, winner: None, error: None })
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
