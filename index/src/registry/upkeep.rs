//! What the writing thread does while nothing waits: it merges the segments of the search index and copies the log into
//! the database, so that what was written in a hurry is searched as fast as what was there long before.
//!
//! Every commit makes a segment of the search index, each of which every search has to look into (FTS5 itself leaves seven
//! after a load of 1,000,000), and a load leaves up to the whole log outside of the database. The work is cut into steps of some milliseconds, between which the writer looks
//! for jobs; only the copying of the log is one step, as it is when a commit finds the log full.

use rusqlite::Connection;

/// Pages of the search index that one step merges.
const MERGE_PAGES: i64 = 256;
/// Pages that the log may keep, SQLite's usual bound: so few cost a reader nothing.
const LOG_KEEPS: i64 = 1000;

/// What remains to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upkeep {
    Merge,
    Log,
    Nothing,
}

impl Upkeep {
    /// Does one step and says what remains.
    pub(super) fn step(self, connection: &Connection) -> Self {
        let next = match self {
            Self::Merge => merge(connection).map(|more| if more { Self::Merge } else { Self::Log }),
            Self::Log => copy_log(connection).map(|()| Self::Nothing),
            Self::Nothing => Ok(Self::Nothing),
        };
        next.unwrap_or_else(|error| {
            // Nothing depends on it: searches are slower until it succeeds after another commit.
            tracing::warn!(%error, step = ?self, "the upkeep of the index database failed");
            Self::Nothing
        })
    }
}

/// Merges some pages of the search index, in a transaction of its own. Whether there was something to merge.
fn merge(connection: &Connection) -> rusqlite::Result<bool> {
    let before = connection.total_changes();
    connection
        .prepare_cached("INSERT INTO search(search, rank) VALUES ('merge', ?1)")?
        .execute([MERGE_PAGES])?;
    // As FTS5 documents it: less than 2 changes, and there was nothing to do.
    Ok(connection.total_changes() - before >= 2)
}

/// Copies into the database what no reader needs to be in the log, when that is much.
fn copy_log(connection: &Connection) -> rusqlite::Result<()> {
    // NOOP only counts: the pages in the log, and those of them that were copied.
    let remain: i64 = connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| {
        Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?)
    })?;
    if remain > LOG_KEEPS {
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::schema;

    fn number(connection: &Connection, sql: &str) -> i64 {
        connection.query_row(sql, [], |row| row.get(0)).expect(sql)
    }

    #[test]
    fn segments_are_merged_and_the_log_is_copied() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("index.db");
        let connection = schema::open_writer(&path).expect("made");
        for seq in 1..=12 {
            let text = format!("report {seq:03}");
            connection
                .execute("INSERT INTO search(rowid, text) VALUES (?1, ?2)", (seq, text))
                .expect("added");
        }
        connection
            .execute_batch("CREATE TABLE filler(bytes BLOB); INSERT INTO filler VALUES (zeroblob(8000000));")
            .expect("filled");
        let segments = "SELECT count(DISTINCT segid) FROM search_idx";
        let before = number(&connection, segments);
        let database = std::fs::metadata(&path).expect("there").len();
        let (mut upkeep, mut steps) = (Upkeep::Merge, 0);
        while upkeep != Upkeep::Nothing {
            upkeep = upkeep.step(&connection);
            steps += 1;
            assert!(steps < 100, "it ends");
        }
        let after = number(&connection, segments);
        assert!(after < before && after < 4, "{before} segments before, {after} after");
        assert_eq!(number(&connection, "SELECT count(*) FROM search WHERE search MATCH '\"rep\"'"), 12);
        assert!(std::fs::metadata(&path).expect("there").len() > database + 8_000_000);
    }

    #[test]
    fn little_in_the_log_stays_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("index.db");
        let connection = schema::open_writer(&path).expect("made");
        let copied = |connection: &Connection| {
            connection
                .query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get::<_, i64>(2))
                .expect("counted")
        };
        let before = copied(&connection);
        assert_eq!(Upkeep::Log.step(&connection), Upkeep::Nothing);
        assert_eq!(copied(&connection), before);
    }
}
