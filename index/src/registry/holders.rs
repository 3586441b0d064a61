//! Who holds what: by content, whoever published it.
//!
//! Registering a record makes its sender a holder; R `holds` and D `holding` add and take away. A generation is all that
//! a node says between one start and the next.

use rusqlite::{Connection, OptionalExtension, Row};
use wire::message::{Held, holdings_digest};
use wire::{ContentHash, Digest, ErrorBody, ErrorCode, limits};

use super::error::RegistryError;
use super::writer::Batch;
use super::{AccountRow, NodeRow, Result, accounts, from_sql, to_sql};

/// Begins a node's generation. Nobody has asked for it yet.
pub(super) fn begin(batch: &mut Batch<'_>, node: NodeRow, generation: u64) -> Result<()> {
    await_no_more(batch, node)?;
    batch
        .prepare_cached("UPDATE nodes SET generation = ?2 WHERE id = ?1")?
        .execute((node.0, to_sql(generation)))?;
    Ok(())
}

/// The node is asked for all of this generation, unless it has begun another by now.
pub(super) fn await_all(batch: &mut Batch<'_>, node: NodeRow, of_generation: u64) -> Result<()> {
    if generation(batch, node)? == of_generation {
        let sql = "INSERT INTO awaited(node) VALUES (?1) ON CONFLICT DO NOTHING";
        batch.prepare_cached(sql)?.execute([node.0])?;
    }
    Ok(())
}

/// The node's generation.
pub(super) fn generation(database: &Connection, node: NodeRow) -> Result<u64> {
    let generation: i64 = database
        .prepare_cached("SELECT generation FROM nodes WHERE id = ?1")?
        .query_row([node.0], |row| row.get(0))?;
    Ok(from_sql(generation))
}

/// Over what a node holds, to compare with its own.
pub(super) fn digest(database: &Connection, node: NodeRow) -> Result<Digest> {
    let mut statement = database.prepare_cached(
        "SELECT content, whole FROM holders INDEXED BY holders_node WHERE node = ?1 ORDER BY content",
    )?;
    let mut rows = statement.query([node.0])?;
    let mut held = Vec::new();
    while let Some(row) = rows.next()? {
        let content = content_of(row.get_ref(0)?.as_blob().ok())?;
        held.push(Held { content, whole: row.get(1)? });
    }
    Ok(holdings_digest(held))
}

/// A node that holds a content, as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The node.
    pub(crate) node: NodeRow,
    /// Whether it has all of it.
    pub(crate) whole: bool,
}

/// The nodes that hold a content, all of it or a part.
pub(super) fn of(database: &Connection, content: &ContentHash) -> Result<Vec<Holder>> {
    let mut statement =
        database.prepare_cached("SELECT node, whole FROM holders WHERE content = ?1 ORDER BY node")?;
    let holder = |row: &Row<'_>| Ok(Holder { node: NodeRow(row.get(0)?), whole: row.get(1)? });
    let rows = statement.query_map([content.as_bytes()], holder)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Adds all, unless the node has logged out, they are of another generation than its start named, or too many.
pub(super) fn hold_all(
    batch: &mut Batch<'_>,
    (account, node): (AccountRow, NodeRow),
    of_generation: u64,
    contents: &[Held],
    last: bool,
) -> Result<std::result::Result<(), ErrorBody>> {
    if !accounts::is_enrolled(batch, node, account)? {
        return Ok(Err(accounts::ended()));
    }
    if generation(batch, node)? != of_generation {
        let text = "the generation is not the seq of this node's last start";
        return Ok(Err(ErrorBody::new(ErrorCode::BadMessage, text)));
    }
    let (mut fits, mut makes_room) = (true, is_awaited(batch, node)?);
    for held in contents {
        if hold(batch, node, held, of_generation)? {
            continue;
        }
        if std::mem::take(&mut makes_room) {
            // What this generation has not named goes at its end anyway. One that nobody asked for has no end.
            forget_others(batch, node, of_generation)?;
            fits &= hold(batch, node, held, of_generation)?;
        } else {
            fits = false;
        }
    }
    if last {
        await_no_more(batch, node)?;
        forget_others(batch, node, of_generation)?;
    }
    Ok(if fits { Ok(()) } else { Err(full()) })
}

/// Forgets that a node holds these.
pub(super) fn unhold_all(batch: &mut Batch<'_>, node: NodeRow, contents: &[ContentHash]) -> Result<()> {
    forget(batch, node, contents)
}

/// The same within another change.
pub(super) fn forget(batch: &Batch<'_>, node: NodeRow, contents: &[ContentHash]) -> Result<()> {
    let mut ended = 0;
    for content in contents {
        ended += batch
            .prepare_cached("DELETE FROM holders WHERE content = ?1 AND node = ?2")?
            .execute((content.as_bytes(), node.0))?;
    }
    count(batch, node, -i64::try_from(ended).unwrap_or(i64::MAX))
}

/// Adds or changes one holding. `false`: there is no room for another.
pub(super) fn hold(batch: &Batch<'_>, node: NodeRow, held: &Held, generation: u64) -> Result<bool> {
    let content = held.content.as_bytes();
    let changed = batch
        .prepare_cached("UPDATE holders SET whole = ?3, generation = ?4 WHERE content = ?1 AND node = ?2")?
        .execute((content, node.0, held.whole, to_sql(generation)))?;
    if changed > 0 {
        return Ok(true);
    }
    if !room(batch, node)? {
        return Ok(false);
    }
    batch
        .prepare_cached("INSERT INTO holders(content, node, whole, generation) VALUES (?1, ?2, ?3, ?4)")?
        .execute((content, node.0, held.whole, to_sql(generation)))?;
    count(batch, node, 1)?;
    Ok(true)
}

/// Whether a node may hold this: it does already, or has room for one more.
pub(super) fn may_hold(database: &Connection, node: NodeRow, content: &ContentHash) -> Result<bool> {
    let known = database
        .prepare_cached("SELECT 1 FROM holders WHERE content = ?1 AND node = ?2")?
        .query_row((content.as_bytes(), node.0), |_| Ok(()))
        .optional()?;
    Ok(known.is_some() || room(database, node)?)
}

/// The refusal of one holding too many.
pub(super) fn full() -> ErrorBody {
    let text = format!("a node is known to hold at most {} contents", limits::HOLDINGS_PER_NODE);
    ErrorBody::new(ErrorCode::Quota, text)
}

/// A content hash as it was stored.
pub(super) fn content_of(bytes: Option<&[u8]>) -> Result<ContentHash> {
    bytes.and_then(ContentHash::from_slice).ok_or(RegistryError::Corrupt("a content hash"))
}

fn is_awaited(database: &Connection, node: NodeRow) -> Result<bool> {
    let found = database
        .prepare_cached("SELECT 1 FROM awaited WHERE node = ?1")?
        .query_row([node.0], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

fn await_no_more(batch: &Batch<'_>, node: NodeRow) -> Result<()> {
    batch.prepare_cached("DELETE FROM awaited WHERE node = ?1")?.execute([node.0])?;
    Ok(())
}

/// Forgets all that a node holds.
pub(super) fn forget_all(batch: &Batch<'_>, node: NodeRow) -> Result<()> {
    batch.prepare_cached("DELETE FROM holders WHERE node = ?1")?.execute([node.0])?;
    batch.prepare_cached("UPDATE nodes SET holdings = 0 WHERE id = ?1")?.execute([node.0])?;
    Ok(())
}

fn forget_others(batch: &Batch<'_>, node: NodeRow, generation: u64) -> Result<()> {
    let ended = batch
        .prepare_cached("DELETE FROM holders WHERE node = ?1 AND generation <> ?2")?
        .execute((node.0, to_sql(generation)))?;
    count(batch, node, -i64::try_from(ended).unwrap_or(i64::MAX))
}

fn room(database: &Connection, node: NodeRow) -> Result<bool> {
    let held: i64 = database
        .prepare_cached("SELECT holdings FROM nodes WHERE id = ?1")?
        .query_row([node.0], |row| row.get(0))?;
    Ok(usize::try_from(held).unwrap_or(0) < limits::HOLDINGS_PER_NODE)
}

fn count(batch: &Batch<'_>, node: NodeRow, more: i64) -> Result<()> {
    batch
        .prepare_cached("UPDATE nodes SET holdings = holdings + ?2 WHERE id = ?1")?
        .execute((node.0, more))?;
    Ok(())
}
