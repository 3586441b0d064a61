//! Entries: one row for each resource, with its record beside it.

use certs::{AccountId, UnixMillis, UnixNanos, UserName};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};
use serde_bytes::ByteBuf;
use wire::message::{Entry, RecordBundle, records_digest};
use wire::{ContentHash, Digest, Kind, RecordHash, ResourceName};

use super::error::RegistryError;
use super::query::Candidate;
use super::rules::Current;
use super::view::{Holders, View};
use super::{CertificateRow, NodeRow, Result, Seq, from_sql, holders};

/// The columns of a listing, as [`listed`] reads them.
pub(super) const LISTED: &str =
    "e.seq, e.user, a.account, e.name, e.kind, e.version, e.revision, e.size, e.mtime,
    e.accepted, e.content, e.record, e.node
    FROM entries AS e";

/// What [`LISTED`] is joined with.
pub(super) const JOINED: &str = "CROSS JOIN accounts AS a ON a.id = e.account";

/// The columns of an entry that a search looks at, as [`candidate`] reads them.
pub(super) const CANDIDATE: &str = "e.seq, e.folded, e.user, e.kind, e.size, e.mtime";

/// A resource's record and what makes it verifiable.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) current: Current,
    /// Whether it is what stands.
    pub(crate) latest: bool,
    pub(crate) node: NodeRow,
    /// The signed record.
    pub(crate) record: Vec<u8>,
    pub(crate) proof: StoredProof,
}

/// What makes a stored record verifiable.
#[derive(Debug, Clone)]
pub(crate) enum StoredProof {
    /// The signed receipt, and the index certificate that it names.
    Receipt { receipt: Vec<u8>, certificate: Vec<u8> },
    /// The publisher's enrolment, where it is known.
    Enrolment(Option<Vec<u8>>),
}

impl Stored {
    /// As it travels.
    pub(crate) fn into_bundle(self) -> RecordBundle {
        self.proof.bundle(self.record)
    }
}

impl StoredProof {
    /// With the record.
    pub(super) fn bundle(self, record: Vec<u8>) -> RecordBundle {
        let record = ByteBuf::from(record);
        match self {
            Self::Receipt { receipt, certificate } => {
                let (receipt, certificate) = (Some(receipt.into()), Some(certificate.into()));
                RecordBundle { record, receipt, certificate, enrolment: None }
            }
            Self::Enrolment(enrolment) => {
                let enrolment = enrolment.map(ByteBuf::from);
                RecordBundle { record, receipt: None, certificate: None, enrolment }
            }
        }
    }
}

/// The row of a certificate, made if it is new.
pub(super) fn certificate_row(database: &Connection, bytes: &[u8]) -> rusqlite::Result<CertificateRow> {
    database.execute("INSERT INTO certificates(bytes) VALUES (?1) ON CONFLICT DO NOTHING", [bytes])?;
    let row =
        database.query_row("SELECT id FROM certificates WHERE bytes = ?1", [bytes], |row| row.get(0))?;
    Ok(CertificateRow(row))
}

/// What stands for a resource, a tombstone too.
pub(super) fn current(
    database: &Connection,
    user: &UserName,
    name: &ResourceName,
) -> Result<Option<(Seq, Current)>> {
    let mut statement = database.prepare_cached(
        "SELECT seq, node, record, kind, version, revision, content, mtime, published
         FROM entries WHERE user = ?1 AND name = ?2",
    )?;
    let mut rows = statement.query((user.as_str(), name.as_str()))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some((Seq(row.get(0)?), current_of(row)?)))
}

/// The same with the record's bytes.
pub(super) fn stored(database: &Connection, user: &UserName, name: &ResourceName) -> Result<Option<Stored>> {
    let mut statement = database.prepare_cached(
        "SELECT e.seq, e.node, e.record, e.kind, e.version, e.revision, e.content, e.mtime, e.published,
                r.record, r.receipt, c.bytes,
                (SELECT bytes FROM enrolments AS m WHERE m.node = e.node)
         FROM entries AS e JOIN records AS r ON r.seq = e.seq JOIN certificates AS c ON c.id = r.certificate
         WHERE e.user = ?1 AND e.name = ?2",
    )?;
    let mut rows = statement.query((user.as_str(), name.as_str()))?;
    rows.next()?.map(|row| stored_of(row, true)).transpose()
}

/// A row of [`stored`], or of a record that was replaced.
pub(super) fn stored_of(row: &Row<'_>, latest: bool) -> Result<Stored> {
    Ok(Stored {
        latest,
        node: NodeRow(row.get(1)?),
        current: current_of(row)?,
        record: row.get(9)?,
        proof: proof_of(row, 10)?,
    })
}

/// The receipt, its certificate, and the publisher's enrolment, from this column on.
fn proof_of(row: &Row<'_>, column: usize) -> Result<StoredProof> {
    let receipt: Vec<u8> = row.get(column)?;
    Ok(match receipt.is_empty() {
        false => StoredProof::Receipt { receipt, certificate: row.get(column + 1)? },
        true => StoredProof::Enrolment(row.get(column + 2)?),
    })
}

/// The record that stands for an entry, as it travels.
pub(super) fn bundle(database: &Connection, seq: Seq) -> Result<RecordBundle> {
    let mut statement = database.prepare_cached(
        "SELECT r.record, r.receipt, c.bytes, (SELECT bytes FROM enrolments AS m WHERE m.node = e.node)
         FROM entries AS e JOIN records AS r ON r.seq = e.seq JOIN certificates AS c ON c.id = r.certificate
         WHERE e.seq = ?1",
    )?;
    let mut rows = statement.query([seq.0])?;
    let row = rows.next()?.ok_or(RegistryError::Corrupt("an entry without its record"))?;
    Ok(proof_of(row, 1)?.bundle(row.get(0)?))
}

/// What was signed of an entry.
pub(super) struct Statements {
    pub(super) record: Vec<u8>,
    pub(super) receipt: Vec<u8>,
    /// The row and the bytes of the index certificate that the receipt names.
    pub(super) certificate: (CertificateRow, Vec<u8>),
}

/// The record and the receipt of an entry.
pub(super) fn statements(database: &Connection, seq: Seq) -> Result<Statements> {
    let found = database
        .prepare_cached(
            "SELECT r.record, r.receipt, c.id, c.bytes FROM records AS r JOIN certificates AS c ON c.id = r.certificate
             WHERE r.seq = ?1",
        )?
        .query_row([seq.0], |row| {
            let certificate = (CertificateRow(row.get(2)?), row.get(3)?);
            Ok(Statements { record: row.get(0)?, receipt: row.get(1)?, certificate })
        })
        .optional()?;
    found.ok_or(RegistryError::Corrupt("an entry without its record"))
}

/// Over the records that a node publishes under its user's name, to compare with its own.
pub(super) fn digest(database: &Connection, node: NodeRow, user: &UserName) -> Result<Digest> {
    let mut statement = database
        .prepare_cached("SELECT name, record FROM entries WHERE node = ?1 AND user = ?2 ORDER BY name")?;
    let mut rows = statement.query((node.0, user.as_str()))?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push((name_of(row, 0)?, record_of(row, 1)?));
    }
    Ok(records_digest(records.iter().map(|(name, hash)| (name, *hash))))
}

/// A row of [`LISTED`], with its holders counted.
pub(super) fn listed(database: &Connection, row: &Row<'_>, view: &View) -> Result<Entry> {
    let content = content_of(row, 10)?;
    let holders = match &content {
        Some(content) => view.holders(database, content)?,
        None => Holders::default(),
    };
    let account = row.get_ref(2)?.as_blob().ok().and_then(AccountId::from_slice);
    Ok(Entry {
        owner: user_of(row, 1)?,
        account: account.ok_or(RegistryError::Corrupt("an account's id"))?,
        name: name_of(row, 3)?,
        kind: kind_from(row.get(4)?)?,
        version: from_sql(row.get(5)?),
        revision: from_sql(row.get(6)?),
        size: from_sql(row.get(7)?),
        mtime: UnixNanos(row.get(8)?),
        accepted: UnixMillis(from_sql(row.get(9)?)),
        content,
        record: record_of(row, 11)?,
        node: view.nodes.id(database, NodeRow(row.get(12)?))?,
        holders: holders.all,
        online: holders.online,
        published: None,
    })
}

/// A row of [`CANDIDATE`].
pub(super) fn candidate<'a>(row: &'a Row<'_>) -> Result<Candidate<'a>> {
    let text = |column| {
        let value: ValueRef<'a> = row.get_ref(column)?;
        value.as_str().map_err(|_| RegistryError::Corrupt("an entry's text"))
    };
    Ok(Candidate {
        name: text(1)?,
        owner: text(2)?,
        kind: kind_from(row.get(3)?)?,
        size: from_sql(row.get(4)?),
        mtime: UnixNanos(row.get(5)?),
    })
}

/// Which resource a row of [`LISTED`] is, and its kind; much cheaper than all of it.
pub(super) fn key(row: &Row<'_>) -> Result<(UserName, ResourceName, Kind)> {
    Ok((user_of(row, 1)?, name_of(row, 3)?, kind_from(row.get(4)?)?))
}

/// How a kind is stored. The schema's indexes name the number of a tombstone.
pub(super) const fn kind_number(kind: Kind) -> i64 {
    match kind {
        Kind::File => 0,
        Kind::Folder => 1,
        Kind::Gone => 2,
    }
}

fn kind_from(number: i64) -> Result<Kind> {
    match number {
        0 => Ok(Kind::File),
        1 => Ok(Kind::Folder),
        2 => Ok(Kind::Gone),
        _ => Err(RegistryError::Corrupt("a kind")),
    }
}

/// The columns 2 to 8 of [`current`] and [`stored_of`].
fn current_of(row: &Row<'_>) -> Result<Current> {
    Ok(Current {
        hash: record_of(row, 2)?,
        kind: kind_from(row.get(3)?)?,
        version: from_sql(row.get(4)?),
        revision: from_sql(row.get(5)?),
        content: content_of(row, 6)?,
        mtime: UnixNanos(row.get(7)?),
        published: UnixNanos(row.get(8)?),
    })
}

fn content_of(row: &Row<'_>, column: usize) -> Result<Option<ContentHash>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        value => holders::content_of(value.as_blob().ok()).map(Some),
    }
}

fn record_of(row: &Row<'_>, column: usize) -> Result<RecordHash> {
    let bytes = row.get_ref(column)?;
    bytes.as_blob().ok().and_then(RecordHash::from_slice).ok_or(RegistryError::Corrupt("a record's hash"))
}

fn name_of(row: &Row<'_>, column: usize) -> Result<ResourceName> {
    let text = row.get_ref(column)?;
    text.as_str().ok().and_then(|text| text.parse().ok()).ok_or(RegistryError::Corrupt("a resource's name"))
}

fn user_of(row: &Row<'_>, column: usize) -> Result<UserName> {
    let text = row.get_ref(column)?;
    text.as_str().ok().and_then(|text| text.parse().ok()).ok_or(RegistryError::Corrupt("a user name"))
}
