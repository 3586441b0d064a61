//! What is known of the recovery of a database that was lost: since when, and what came back.

use std::path::Path;

use certs::{NodeId, Signed, UnixMillis};
use rusqlite::{Connection, OptionalExtension};
use wire::MembersHead;

use super::error::{OpenError, RegistryError};
use super::writer::Batch;
use super::{Registry, Result, catalogues, from_sql, members, schema, to_sql};
use crate::away::Away;

/// The numbers under which it is kept when the index was away last.
const AWAY_SINCE: &str = "away-since";
const AWAY_UNTIL: &str = "away-until";

/// What came back after a loss, and what is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Whether it goes on: nobody signs up.
    pub active: bool,
    /// When the loss was found; `None` if this database was never lost.
    pub began: Option<UnixMillis>,
    /// When its operator ended it.
    pub ended: Option<UnixMillis>,
    /// Accounts.
    pub accounts: u64,
    /// Those of them that have no password: nobody logs in to them with one.
    pub without_password: u64,
    /// Nodes that are enrolled.
    pub nodes: u64,
    /// Records, those of what was taken back among them.
    pub records: u64,
    /// The node from which something came last that was not known, and when.
    pub last: Option<(NodeId, UnixMillis)>,
}

/// Opens the database, or makes it, before anybody else does, and notes in it whether it was lost, and whether the index was
/// away for long; when it was so last. Blocks on the disk.
pub(crate) fn prepare(path: &Path, active: bool, now: UnixMillis) -> std::result::Result<Away, OpenError> {
    let database = schema::open_writer(path)?;
    begin(&database, active, now)?;
    note_away(&database, now).map_err(|error| OpenError::Unreadable(error.to_string()))
}

impl Registry {
    /// How it stands with the recovery; `active` as the service goes by it.
    pub(crate) async fn recovery(&self, active: bool) -> Result<Recovery> {
        self.read(move |database| state(database, active)).await
    }

    /// Notes that the operator has ended the recovery.
    pub(crate) async fn end_recovery(&self, now: UnixMillis) -> Result<()> {
        self.write(1, move |batch| Ok(begin(batch, false, now)?)).await
    }
}

/// By the last list of members it is known when the index was there last.
fn note_away(database: &Connection, now: UnixMillis) -> Result<Away> {
    let number = |name| Ok::<_, RegistryError>(UnixMillis(catalogues::number(database, name)?));
    let before = Away { since: number(AWAY_SINCE)?, until: number(AWAY_UNTIL)? };
    let seen = match members::head(database)? {
        Some(head) => {
            Signed::<MembersHead>::parse_stored(&head.bundle.head)
                .map_err(|_| RegistryError::Corrupt("a list of members"))?
                .time
        }
        None => UnixMillis(0),
    };
    let away = Away::at_start(before, seen, now);
    catalogues::raise(database, AWAY_SINCE, away.since.0)?;
    catalogues::raise(database, AWAY_UNTIL, away.until.0)?;
    Ok(away)
}

/// Brings the row in line with the mark that says whether the database was lost.
fn begin(database: &Connection, active: bool, now: UnixMillis) -> rusqlite::Result<()> {
    let now = to_sql(now.0);
    if !active {
        database.execute("UPDATE recovery SET ended = ?1 WHERE ended IS NULL", [now])?;
        return Ok(());
    }
    database.execute(
        "INSERT INTO recovery(id, began) VALUES (0, ?1)
         ON CONFLICT(id) DO UPDATE SET began = excluded.began, ended = NULL WHERE ended IS NOT NULL",
        [now],
    )?;
    Ok(())
}

/// Notes that a node brought something that was not known, where that is of interest.
pub(super) fn note(batch: &Batch<'_>, node: &NodeId, now: UnixMillis) -> Result<()> {
    batch
        .prepare_cached("UPDATE recovery SET last_node = ?1, last_time = ?2 WHERE ended IS NULL")?
        .execute((node.as_bytes(), to_sql(now.0)))?;
    Ok(())
}

/// No new membership has a serial up to this: those that were issued before the loss count up from 1, one by one, and this
/// is the time of the loss in milliseconds. 0 if there was none.
pub(super) fn least_serial(database: &Connection) -> Result<u64> {
    let began: Option<i64> =
        database.prepare_cached("SELECT began FROM recovery")?.query_row([], |row| row.get(0)).optional()?;
    Ok(began.map_or(0, from_sql))
}

/// How it stands.
fn state(database: &Connection, active: bool) -> Result<Recovery> {
    let count = |sql: &str| -> Result<u64> {
        Ok(from_sql(database.prepare_cached(sql)?.query_row([], |row| row.get(0))?))
    };
    let row = database
        .prepare_cached("SELECT began, ended, last_node, last_time FROM recovery")?
        .query_row([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, Option<Vec<u8>>>(2)?, row.get::<_, Option<i64>>(3)?))
        })
        .optional()?;
    let (began, ended, node, time) =
        row.map_or((None, None, None, None), |(began, ended, node, time)| (Some(began), ended, node, time));
    let last = match (node, time) {
        (Some(node), Some(time)) => {
            let node = NodeId::from_slice(&node).map_err(|_| RegistryError::Corrupt("a node's id"))?;
            Some((node, UnixMillis(from_sql(time))))
        }
        _ => None,
    };
    let time = |time: Option<i64>| time.map(|time| UnixMillis(from_sql(time)));
    Ok(Recovery {
        active,
        began: time(began),
        ended: time(ended),
        accounts: count("SELECT count(*) FROM accounts")?,
        without_password: count("SELECT count(*) FROM accounts WHERE password IS NULL")?,
        nodes: count("SELECT count(*) FROM nodes WHERE serial > ended")?,
        records: count("SELECT count(*) FROM entries")?,
        last,
    })
}
