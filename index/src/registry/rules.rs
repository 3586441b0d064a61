//! What becomes of a record that arrives: pure, and the same whoever sends it.
//!
//! Invariant: the entry of a resource only ever goes up in the total order ([`wire::Record::rank`]); nobody replaces a
//! higher record by a lower one. So the same records in any order end with the same one, except where two of one version
//! have the same content: there the first stands, and the publisher of the other is told so and takes it over.

use certs::{AccountId, NetworkId, NodeId, UnixMillis, UnixNanos, UserName};
use wire::message::OutcomeKind;
use wire::{
    ContentHash, ErrorBody, ErrorCode, Kind, Record, RecordHash, RecordRank, SignedRecord, limits,
    record_hash,
};

/// How far in the future a record may be published: clocks differ, and a date far ahead would win over every later one.
pub(crate) const FUTURE_MS: u64 = 86_400_000;

/// By how much a version may be above the one that stands, if the record is not built on that one: as many as a node
/// that was away can have made, and far from all that a name has.
const VERSION_LEAP: u64 = 1 << 32;

/// By which message a record came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// R.
    Register,
    /// D.
    Deregister,
}

/// Who sends a record, from its connection and its membership.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    pub(crate) network: NetworkId,
    pub(crate) account: AccountId,
    pub(crate) user: UserName,
    pub(crate) node: NodeId,
}

/// The record that stands for a resource, live or a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Current {
    pub(crate) hash: RecordHash,
    pub(crate) kind: Kind,
    pub(crate) version: u64,
    pub(crate) revision: u64,
    pub(crate) content: Option<ContentHash>,
    pub(crate) mtime: UnixNanos,
    pub(crate) published: UnixNanos,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    /// It stands from now on: created or updated.
    Accept(OutcomeKind),
    /// Another one stays, or it itself: unchanged or superseded.
    Keep(OutcomeKind),
    /// It breaks a rule.
    Refuse(ErrorBody),
}

/// Decides about a record whose signature holds. `resources` is how many the account has, tombstones included.
pub(crate) fn decide(
    purpose: Purpose,
    current: Option<&Current>,
    incoming: &SignedRecord,
    sender: &Sender,
    resources: usize,
    now: UnixMillis,
) -> Decision {
    if let Err(error) = check(purpose, incoming, sender, now) {
        return Decision::Refuse(error);
    }
    match current {
        None => first(purpose, incoming, resources),
        Some(current) => against(current, incoming, record_hash(incoming)),
    }
}

/// The rules that hold whatever stands.
fn check(
    purpose: Purpose,
    incoming: &SignedRecord,
    sender: &Sender,
    now: UnixMillis,
) -> Result<(), ErrorBody> {
    let refuse = |code, text: &str| Err(ErrorBody::new(code, text));
    if incoming.network != sender.network {
        return refuse(ErrorCode::BadRecord, "the record is for another network");
    }
    if incoming.account != sender.account || incoming.user != sender.user {
        return refuse(ErrorCode::NotOwner, "the resource is another account's");
    }
    if incoming.node != sender.node {
        return refuse(
            ErrorCode::BadRecord,
            "the record was signed by another node than the one that sends it",
        );
    }
    match (purpose, incoming.kind) {
        (Purpose::Register, Kind::File | Kind::Folder) | (Purpose::Deregister, Kind::Gone) => {}
        (Purpose::Register, Kind::Gone) => {
            return refuse(ErrorCode::BadRecord, "a tombstone is sent with D, not with R");
        }
        (Purpose::Deregister, _) => return refuse(ErrorCode::BadRecord, "only a tombstone is sent with D"),
    }
    if incoming.published > UnixNanos::from(now.plus(FUTURE_MS)) {
        return refuse(
            ErrorCode::BadRecord,
            "the record was published more than a day in the future: is the clock right?",
        );
    }
    Ok(())
}

fn first(purpose: Purpose, incoming: &Record, resources: usize) -> Decision {
    match purpose {
        Purpose::Deregister => {
            Decision::Refuse(ErrorBody::new(ErrorCode::NotFound, "there is no such resource"))
        }
        Purpose::Register if incoming.version > VERSION_LEAP => leaps(),
        Purpose::Register if resources >= limits::RESOURCES_PER_ACCOUNT => {
            let text = format!(
                "an account has at most {} resources, tombstones included",
                limits::RESOURCES_PER_ACCOUNT
            );
            Decision::Refuse(ErrorBody::new(ErrorCode::Quota, text))
        }
        Purpose::Register => Decision::Accept(OutcomeKind::Created),
    }
}

fn against(current: &Current, incoming: &Record, hash: RecordHash) -> Decision {
    if current.hash == hash {
        return Decision::Keep(OutcomeKind::Unchanged);
    }
    if incoming.is_gone() && current.kind == Kind::Gone {
        // Gone already, by another's tombstone.
        return Decision::Keep(OutcomeKind::Unchanged);
    }
    if incoming.prev == Some(current.hash) {
        return built_on(current, incoming);
    }
    if incoming.is_gone() {
        let text = "the resource changed since: the tombstone is not for the version that stands";
        return Decision::Refuse(ErrorBody::new(ErrorCode::StaleVersion, text));
    }
    if incoming.version > current.version.saturating_add(VERSION_LEAP) {
        return leaps();
    }
    let not_later = (incoming.version, incoming.revision) <= (current.version, current.revision);
    if not_later && incoming.kind == current.kind && incoming.content == current.content {
        return Decision::Keep(OutcomeKind::Unchanged);
    }
    match incoming.rank(hash) > current.rank(incoming) {
        true => accept(current),
        false => Decision::Keep(OutcomeKind::Superseded),
    }
}

fn built_on(current: &Current, incoming: &Record) -> Decision {
    let next_version = current.version.checked_add(1) == Some(incoming.version);
    let next_revision = incoming.version == current.version
        && current.revision.checked_add(1) == Some(incoming.revision)
        && incoming.kind == current.kind
        && incoming.content == current.content;
    match next_version || next_revision {
        true => accept(current),
        false => {
            let text = format!(
                "a record built on version {} has version {} or the next revision",
                current.version,
                current.version + 1
            );
            Decision::Refuse(ErrorBody::new(ErrorCode::BadRecord, text))
        }
    }
}

fn leaps() -> Decision {
    let text = "the record's version is too far above the one that stands";
    Decision::Refuse(ErrorBody::new(ErrorCode::BadRecord, text))
}

fn accept(current: &Current) -> Decision {
    Decision::Accept(match current.kind {
        Kind::Gone => OutcomeKind::Created,
        _ => OutcomeKind::Updated,
    })
}

impl Current {
    /// Its place in the total order; `like` is any record, and only lends the fields that the order does not look at.
    pub(super) fn rank(&self, like: &Record) -> RecordRank {
        let record = Record {
            version: self.version,
            revision: self.revision,
            mtime: self.mtime,
            published: self.published,
            ..like.clone()
        };
        record.rank(self.hash)
    }
}
