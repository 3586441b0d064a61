//! Records and holdings that come by a catalogue: nothing but the total order decides.
//!
//! Invariant: the same as of `rules`, an entry only ever goes up. No rule here looks at what stood when a record was made, so
//! that replicas which see the same records in any order end with the same entries.

use std::sync::Arc;

use certs::{AccountId, UnixMillis, UserName};
use rusqlite::{Connection, OptionalExtension};
use wire::message::{Held, RecordBundle};
use wire::{ContentHash, Digest, ResourceName, SignedRecord, limits, record_hash};

use super::accepted::{self, Accepted, Proof};
use super::rules::Current;
use super::writer::Batch;
use super::{AccountRow, CertificateRow, NodeRow, Registry, Result, Seq, entries, holders, to_sql};

/// The bits of an entry's place below its time: a million entries of one millisecond.
const PLACE_BITS: u32 = 20;
/// Neighbouring places that are tried before the end of all of that millisecond is looked for.
const PLACES_TRIED: i64 = 16;

/// Whose records they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Publisher {
    pub(crate) account: (AccountRow, AccountId),
    pub(crate) node: NodeRow,
}

/// A record that holds, of this publisher.
#[derive(Debug, Clone)]
pub(crate) struct Replicated {
    pub(crate) record: SignedRecord,
    pub(crate) receipt: Option<Given>,
}

/// A receipt that holds.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) receipt: Vec<u8>,
    /// When it was given.
    pub(crate) time: UnixMillis,
    pub(crate) certificate: Arc<[u8]>,
}

impl Registry {
    /// Applies records in turn, in one transaction. How many are too many for the account, and were left out.
    pub(crate) async fn replicate(
        &self,
        publisher: Publisher,
        records: Vec<Replicated>,
        now: UnixMillis,
    ) -> Result<usize> {
        let fallback = self.certificate.row;
        self.write(records.len(), move |batch| apply_all(batch, publisher, &records, fallback, now)).await
    }

    /// How many resources are shared.
    pub(crate) async fn live_entries(&self) -> Result<u64> {
        let sql = "SELECT count(*) FROM entries INDEXED BY entries_newest WHERE kind <> 2";
        self.read(move |database| {
            Ok(database.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0))?.cast_unsigned())
        })
        .await
    }

    /// What a node publishes and holds: see [`wire::message::RegisterStart`].
    pub(crate) async fn own_digests(&self, node: NodeRow, user: UserName) -> Result<(Digest, Digest)> {
        self.read(move |database| {
            Ok((entries::digest(database, node, &user)?, holders::digest(database, node)?))
        })
        .await
    }

    /// The records that a node publishes, in the order of names, at most a batch.
    pub(crate) async fn own_records(
        &self,
        node: NodeRow,
        user: UserName,
        after: Option<ResourceName>,
    ) -> Result<Vec<RecordBundle>> {
        self.read(move |database| {
            let after = after.as_ref().map_or("", ResourceName::as_str);
            let rows: Vec<i64> = database
                .prepare_cached(
                    "SELECT seq FROM entries INDEXED BY entries_node
                     WHERE node = ?1 AND user = ?2 AND name > ?3 ORDER BY name LIMIT ?4",
                )?
                .query_map((node.0, user.as_str(), after, to_sql(limits::BATCH_RECORDS as u64)), |row| {
                    row.get(0)
                })?
                .collect::<rusqlite::Result<_>>()?;
            rows.into_iter().map(|seq| entries::bundle(database, Seq(seq))).collect()
        })
        .await
    }

    /// All that a node holds whole, in ascending order, in place of what it held.
    pub(crate) async fn set_held(&self, node: NodeRow, contents: Vec<ContentHash>) -> Result<()> {
        let mut after = None;
        for part in contents.chunks(limits::BATCH_HOLDINGS) {
            let (part, from) = (part.to_vec(), after);
            after = part.last().copied();
            self.hold_range(node, from, Some(part)).await?;
        }
        self.hold_range(node, after, None).await
    }

    /// What a node holds whole of the contents after one: these, and no others up to the last of them; of `None` no others
    /// to the end.
    pub(crate) async fn hold_range(
        &self,
        node: NodeRow,
        after: Option<ContentHash>,
        contents: Option<Vec<ContentHash>>,
    ) -> Result<()> {
        let contents = contents.map(Arc::<[ContentHash]>::from);
        let mut after = after;
        loop {
            // What is no longer held may be all that was: it goes in parts.
            let contents = contents.clone();
            let changes = limits::BATCH_HOLDINGS;
            let next =
                self.write(changes, move |batch| hold_range(batch, node, after, contents.as_deref())).await?;
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Adds contents that a node holds whole; what there is no room for is left out.
    pub(crate) async fn hold_whole(&self, node: NodeRow, contents: Vec<ContentHash>) -> Result<()> {
        for part in contents.chunks(limits::BATCH_HOLDINGS) {
            let part = part.to_vec();
            self.write(part.len(), move |batch| add_held(batch, node, &part)).await?;
        }
        Ok(())
    }
}

/// Applies records within a transaction. How many were too many.
pub(super) fn apply_all(
    batch: &mut Batch<'_>,
    publisher: Publisher,
    records: &[Replicated],
    fallback: CertificateRow,
    now: UnixMillis,
) -> Result<usize> {
    accepted::purge(batch, now)?;
    let mut left_out = 0;
    for record in records {
        left_out += usize::from(!apply(batch, publisher, record, fallback, now)?);
    }
    Ok(left_out)
}

/// Lets a record stand if it is the highest. `false`: the account has as many resources as it may.
fn apply(
    batch: &mut Batch<'_>,
    publisher: Publisher,
    replicated: &Replicated,
    fallback: CertificateRow,
    now: UnixMillis,
) -> Result<bool> {
    let Replicated { record, receipt } = replicated;
    let hash = record_hash(record);
    let found = entries::current(batch, &record.user, &record.name)?;
    match &found {
        Some((seq, current)) if current.hash == hash => {
            add_receipt(batch, *seq, receipt.as_ref())?;
            return Ok(true);
        }
        Some((_, current)) if current.rank(record) > record.rank(hash) => return Ok(true),
        None if accepted::resources(batch, publisher.account.0)? >= limits::RESOURCES_PER_ACCOUNT => {
            return Ok(false);
        }
        _ => {}
    }
    let published = UnixMillis(u64::try_from(record.published.0 / 1_000_000).unwrap_or(0));
    let accepted_at = receipt.as_ref().map_or(published, |given| given.time).min(now);
    put(batch, publisher, replicated, found, accepted_at, fallback)?;
    Ok(true)
}

fn put(
    batch: &mut Batch<'_>,
    publisher: Publisher,
    Replicated { record, receipt }: &Replicated,
    found: Option<(Seq, Current)>,
    accepted_at: UnixMillis,
    fallback: CertificateRow,
) -> Result<()> {
    let enrolment;
    let proof = match receipt {
        Some(given) => {
            let row = entries::certificate_row(batch, &given.certificate)?;
            Proof::Receipt { receipt: &given.receipt, certificate: (row, &given.certificate) }
        }
        None => {
            enrolment = enrolment_of(batch, publisher.node)?;
            Proof::Enrolment { enrolment: &enrolment, certificate: fallback }
        }
    };
    let seq = place(batch, accepted_at, record.hash())?;
    let accepted = Accepted {
        owner: publisher.account,
        node: publisher.node,
        record,
        proof,
        accepted: accepted_at,
        seq,
    };
    accepted::put(batch, found, &accepted)
}

/// The receipt of a record that stands without one.
fn add_receipt(batch: &Batch<'_>, seq: Seq, receipt: Option<&Given>) -> Result<()> {
    let Some(given) = receipt else { return Ok(()) };
    let lacks: bool = batch
        .prepare_cached("SELECT length(receipt) = 0 FROM records WHERE seq = ?1")?
        .query_row([seq.0], |row| row.get(0))?;
    if !lacks {
        return Ok(());
    }
    let row = entries::certificate_row(batch, &given.certificate)?;
    batch.prepare_cached("UPDATE records SET receipt = ?2, certificate = ?3 WHERE seq = ?1")?.execute((
        seq.0,
        &given.receipt,
        row.0,
    ))?;
    batch
        .prepare_cached("UPDATE entries SET accepted = ?2 WHERE seq = ?1")?
        .execute((seq.0, to_sql(given.time.0)))?;
    Ok(())
}

/// The enrolment of a node; nothing where none is known.
pub(super) fn enrolment_of(database: &Connection, node: NodeRow) -> Result<Vec<u8>> {
    let found = database
        .prepare_cached("SELECT bytes FROM enrolments WHERE node = ?1")?
        .query_row([node.0], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// A free place among the entries, by when a record was accepted: the newest accepted come first also where they arrived in
/// another order. `None`, the newest of all, where a millisecond has no place left.
pub(super) fn place(database: &Connection, accepted: UnixMillis, hash: &[u8; 32]) -> Result<Option<Seq>> {
    let Some(first) = i64::try_from(accepted.0).ok().and_then(|ms| ms.checked_mul(1 << PLACE_BITS)) else {
        return Ok(None);
    };
    let within = i64::from(u32::from_be_bytes(*hash.first_chunk().expect("32 bytes")) >> (32 - PLACE_BITS));
    let last = first + (1 << PLACE_BITS) - 1;
    let mut taken = database.prepare_cached("SELECT 1 FROM entries WHERE seq = ?1")?;
    for place in (first + within..=last).take(PLACES_TRIED as usize) {
        if !taken.exists([place])? {
            return Ok(Some(Seq(place)));
        }
    }
    let highest: i64 = database
        .prepare_cached("SELECT max(seq) FROM entries WHERE seq BETWEEN ?1 AND ?2")?
        .query_row((first, last), |row| Ok(row.get::<_, Option<i64>>(0)?.unwrap_or(first)))?;
    Ok((highest < last).then_some(Seq(highest + 1)))
}

/// One step: forgets a part of what is no longer held, and at the end adds what is new. From where the next step goes on.
fn hold_range(
    batch: &Batch<'_>,
    node: NodeRow,
    after: Option<ContentHash>,
    contents: Option<&[ContentHash]>,
) -> Result<Option<ContentHash>> {
    let end = contents.and_then(<[_]>::last);
    let known = held_between(batch, node, after.as_ref(), end)?;
    let gone: Vec<_> = known
        .iter()
        .copied()
        .filter(|held| contents.is_none_or(|contents| contents.binary_search(held).is_err()))
        .collect();
    holders::forget(batch, node, &gone)?;
    if known.len() == limits::BATCH_HOLDINGS {
        return Ok(known.last().copied());
    }
    if let Some(contents) = contents {
        add_held(batch, node, contents)?;
    }
    Ok(None)
}

/// What a node holds whole after one content, up to another, in order; at most a batch.
fn held_between(
    database: &Connection,
    node: NodeRow,
    after: Option<&ContentHash>,
    end: Option<&ContentHash>,
) -> Result<Vec<ContentHash>> {
    const HIGHEST: [u8; 33] = [0xff; 33];
    let mut statement = database.prepare_cached(
        "SELECT content FROM holders INDEXED BY holders_node
         WHERE node = ?1 AND content > ?2 AND content <= ?3 AND whole = 1 ORDER BY content LIMIT ?4",
    )?;
    let after = after.map_or(&[][..], |after| after.as_bytes());
    let end = end.map_or(&HIGHEST[..], |end| end.as_bytes());
    let mut rows = statement.query((node.0, after, end, to_sql(limits::BATCH_HOLDINGS as u64)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(holders::content_of(row.get_ref(0)?.as_blob().ok())?);
    }
    Ok(found)
}

fn add_held(batch: &Batch<'_>, node: NodeRow, contents: &[ContentHash]) -> Result<()> {
    let generation = holders::generation(batch, node)?;
    for &content in contents {
        // Without room it is simply not listed as a holder.
        holders::hold(batch, node, &Held { content, whole: true }, generation)?;
    }
    Ok(())
}
