//! The log of activity: what happened, also while nobody looked. An event is written in the transaction of the change of
//! which it tells, so that neither is there without the other.
//!
//! It is bounded: the oldest events go, now and then, in the transaction of a new one. Numbers are never given twice and
//! only rise, so that whoever has read up to one reads on after it and misses nothing.

use certs::UnixMillis;
use rusqlite::{Connection, Row, Transaction};
use tokio::sync::watch;

use super::columns::{Column, all, first, get, run, unreadable};
use super::{DbError, Store};
use crate::activity::{Activity, LoggedEvent};
use crate::clock;

/// Events that are kept.
const EVENTS_KEPT: u64 = 10_000;
/// Their bytes that are kept, as JSON: 1.6 KiB each, where most have a fifth of that.
const KEPT_BYTES: u64 = 16 << 20;
/// Of the events of a node that starts and stops, or loses the index, over and over so many are kept: they leave room for
/// the others.
const COMINGS_KEPT: u64 = 1000;
/// Only each so many events it is looked what is too much: a look goes over all of them, some milliseconds.
const PRUNED_EVERY: u64 = 256;
/// The most events that one call returns: 1.5 MiB of the longest.
pub(super) const PAGE_EVENTS: u32 = 64;

impl Store {
    /// Writes an event that belongs to no other change of the database.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn log(&self, activity: Activity) -> Result<(), DbError> {
        self.db().write("write an event", move |transaction| put(transaction, &activity)).await
    }

    /// The events after a number, in order: at most `limit`, at most 64.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn events(&self, after: u64, limit: u32) -> Result<Vec<LoggedEvent>, DbError> {
        let sql = "SELECT id, time, details FROM event WHERE id > ?1 ORDER BY id LIMIT ?2";
        let query = move |c: &Connection| all(c, sql, (after.sql(), limit.min(PAGE_EVENTS)), read);
        self.db().read("read events", query).await
    }

    /// The number after which the last `count` events come, and of these only those since a time, if one is given.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn events_begin(&self, count: u64, since: Option<UnixMillis>) -> Result<u64, DbError> {
        let query = move |connection: &Connection| {
            let sql = "SELECT coalesce((SELECT id FROM event ORDER BY id DESC LIMIT 1 OFFSET ?1), 0) AS id";
            let counted: u64 =
                connection.prepare_cached(sql)?.query_row([count.sql()], |row| get(row, "id"))?;
            let Some(since) = since else { return Ok(counted) };
            // The clock may have been set back: the last one before that time counts, not the first.
            let sql = "SELECT coalesce(max(id), 0) AS id FROM event WHERE time < ?1";
            let before: u64 =
                connection.prepare_cached(sql)?.query_row([since.sql()], |row| get(row, "id"))?;
            Ok(counted.max(before))
        };
        self.db().read("read events", query).await
    }

    /// Changes whenever an event has become durable, after which [`Store::events`] returns it.
    pub fn events_logged(&self) -> watch::Receiver<u64> {
        self.db().logged()
    }
}

/// Writes an event with the change of which it tells. See [`Store::log`].
pub(super) fn put(transaction: &Transaction, activity: &Activity) -> rusqlite::Result<()> {
    let sql = "INSERT INTO event (time, event, user, name, version, details) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        RETURNING id";
    let details = serde_json::to_string(activity)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let (now, what) = (clock::wall(), activity.version());
    let values = rusqlite::params![
        now.sql(),
        activity.name(),
        what.map(|what| what.resource.owner.as_str()),
        what.map(|what| what.resource.name.as_str()),
        what.map(|what| what.version.cast_signed()),
        details,
    ];
    let id: u64 = transaction.prepare_cached(sql)?.query_row(values, |row| get(row, "id"))?;
    if id.is_multiple_of(PRUNED_EVERY) { prune(transaction, id) } else { Ok(()) }
}

/// The number of the last event that was written, also if it is forgotten; 0 before the first.
pub(super) fn last(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'event'";
    Ok(first(connection, sql, [], |row| get(row, "seq"))?.unwrap_or(0))
}

/// Forgets all events: they tell of files and names of an account that is given up.
pub(super) fn forget(connection: &Connection) -> rusqlite::Result<()> {
    run(connection, "DELETE FROM event", []).map(drop)
}

/// Forgets what is too much.
fn prune(connection: &Connection, newest: u64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM event WHERE id <= (SELECT id FROM event
            WHERE event IN ('started', 'stopped', 'index-connected', 'index-lost') ORDER BY id DESC LIMIT 1 OFFSET ?1)
        AND event IN ('started', 'stopped', 'index-connected', 'index-lost')";
    run(connection, sql, [COMINGS_KEPT.sql()])?;
    run(connection, "DELETE FROM event WHERE id <= ?1", [newest.saturating_sub(EVENTS_KEPT).sql()])?;
    let sql = "DELETE FROM event WHERE id <= (SELECT max(id) FROM
        (SELECT id, sum(length(CAST(details AS BLOB))) OVER (ORDER BY id DESC) AS bytes FROM event) WHERE bytes > ?1)";
    run(connection, sql, [KEPT_BYTES.sql()]).map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<LoggedEvent> {
    let details: String = get(row, "details")?;
    let activity = serde_json::from_str(&details).map_err(|_| unreadable(row, "details"))?;
    Ok(LoggedEvent::new(get(row, "id")?, get(row, "time")?, activity))
}

#[cfg(test)]
mod tests;
