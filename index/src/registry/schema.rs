//! The tables, and how a connection to them is set up.
//!
//! `entries.seq` is the sequence of acceptance: every accepted change gets a new one, so that the newest accepted first is
//! the row id descending. `search` is the search index over the live entries, by the same number: see `terms`. Names are
//! folded before they come there, so that it does no folding of its own. It keeps for each three characters who has them,
//! not where (`detail=none`), as no phrase is asked of it: a third of the size, and of the time to write it.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error::OpenError;

/// The number of this layout, in `user_version`. Other numbers are refused.
pub(super) const LAYOUT: i64 = 2;

/// Statements that a connection keeps prepared: more than there are shapes of queries.
const STATEMENTS: usize = 128;

/// What the writing connection keeps in memory of the database, in KiB, at most.
const WRITER_CACHE_KIB: u32 = 64 << 10;

/// The log is copied into the database when it has so many pages: 64 MiB.
const LOG_PAGES: u32 = (64 << 20) / PAGE_BYTES;

/// SQLite's usual page.
const PAGE_BYTES: u32 = 4096;

const TABLES: &str = "
CREATE TABLE certificates (
    id INTEGER PRIMARY KEY,
    bytes BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    account BLOB NOT NULL UNIQUE,
    user TEXT NOT NULL UNIQUE,
    password TEXT,
    created INTEGER NOT NULL,
    resources INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE nodes (
    id INTEGER PRIMARY KEY,
    node BLOB NOT NULL UNIQUE,
    account INTEGER NOT NULL REFERENCES accounts,
    serial INTEGER NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0,
    generation INTEGER NOT NULL DEFAULT 0,
    holdings INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX nodes_account ON nodes(account);

CREATE TABLE entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES accounts,
    node INTEGER NOT NULL REFERENCES nodes,
    user TEXT NOT NULL,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    kind INTEGER NOT NULL,
    version INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    published INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    content BLOB,
    record BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX entries_resource ON entries(user, name);
CREATE INDEX entries_live ON entries(user, name) WHERE kind <> 2;
CREATE INDEX entries_node ON entries(node, user, name);
CREATE INDEX entries_owner ON entries(account, seq) WHERE kind <> 2;
CREATE INDEX entries_folded ON entries(folded, seq) WHERE kind <> 2;

CREATE TABLE records (
    seq INTEGER PRIMARY KEY REFERENCES entries ON DELETE CASCADE,
    record BLOB NOT NULL,
    receipt BLOB NOT NULL,
    certificate INTEGER NOT NULL REFERENCES certificates
) STRICT;

CREATE TABLE holders (
    content BLOB NOT NULL,
    node INTEGER NOT NULL REFERENCES nodes,
    whole INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (content, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX holders_node ON holders(node, content, whole);

CREATE VIRTUAL TABLE search USING fts5(
    text, content='', contentless_delete=1, detail=none, tokenize='trigram case_sensitive 1'
);
";

/// What came to the layout later: tables and indexes of their own, of which programs without them need not know, made
/// wherever they are missing.
const ADDED: &str = "
-- The nodes whose generation was asked for, until they have named the last of it.
CREATE TABLE IF NOT EXISTS awaited (
    node INTEGER PRIMARY KEY REFERENCES nodes
) STRICT;
-- Tombstones by their age.
CREATE INDEX IF NOT EXISTS entries_gone ON entries(accepted) WHERE kind = 2;
-- The others by their acceptance, so that nobody who looks for the newest walks over tombstones.
CREATE INDEX IF NOT EXISTS entries_newest ON entries(seq) WHERE kind <> 2;
-- Records that were replaced; the newer the higher the id.
CREATE TABLE IF NOT EXISTS history (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    node INTEGER NOT NULL REFERENCES nodes,
    size INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    published INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    content BLOB,
    hash BLOB NOT NULL,
    record BLOB NOT NULL,
    receipt BLOB NOT NULL,
    certificate INTEGER NOT NULL REFERENCES certificates
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS history_resource ON history(account, name, version, kind);
CREATE INDEX IF NOT EXISTS history_account ON history(account);
CREATE TABLE IF NOT EXISTS history_size (
    account INTEGER PRIMARY KEY REFERENCES accounts,
    records INTEGER NOT NULL
) STRICT;
-- Memberships that ended before their time: of each node the highest serial.
CREATE TABLE IF NOT EXISTS revocations (
    node BLOB PRIMARY KEY,
    serial INTEGER NOT NULL,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Nodes whose memberships have ended and that are still to be gone through for what they published since.
CREATE TABLE IF NOT EXISTS ended_nodes (
    node INTEGER PRIMARY KEY REFERENCES nodes,
    serial INTEGER NOT NULL,
    since INTEGER NOT NULL
) STRICT;
-- The list of members that the index signed last, one row; epoch and sequence of the pages are those of the last list with them.
CREATE TABLE IF NOT EXISTS members_list (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    head BLOB NOT NULL,
    certificate BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS members_list_pages (
    hash BLOB PRIMARY KEY,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
-- The newest enrolment that each node showed: what makes its records without a receipt verifiable.
CREATE TABLE IF NOT EXISTS enrolments (
    node INTEGER PRIMARY KEY REFERENCES nodes,
    serial INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
-- The head of each node's catalogue, all of whose trees is here and applied.
CREATE TABLE IF NOT EXISTS catalogues (
    node INTEGER PRIMARY KEY REFERENCES nodes,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    time INTEGER NOT NULL,
    head BLOB NOT NULL,
    enrolment BLOB NOT NULL,
    records BLOB,
    held BLOB
) STRICT;
-- Pages of catalogues' trees. A page is complete (`items` is there) once all under it are here and in order: how many items,
-- levels and bytes, the first and the last key. `owner`: the account whose records are in it. `done`: what is under it was
-- applied, and the references of its children to it are counted. A page that nothing refers to, and for which nobody's
-- catalogue is being fetched, is garbage.
CREATE TABLE IF NOT EXISTS pages (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    bytes BLOB NOT NULL,
    node INTEGER,
    owner INTEGER,
    items INTEGER,
    levels INTEGER,
    size INTEGER,
    first BLOB,
    last BLOB,
    done INTEGER NOT NULL DEFAULT 0,
    refs INTEGER NOT NULL DEFAULT 0,
    fetching INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS pages_fetching ON pages(fetching) WHERE fetching IS NOT NULL;
CREATE INDEX IF NOT EXISTS pages_garbage ON pages(id) WHERE refs = 0 AND fetching IS NULL;
-- The last word of presence of each node.
CREATE TABLE IF NOT EXISTS words (
    node INTEGER PRIMARY KEY REFERENCES nodes,
    time INTEGER NOT NULL,
    since INTEGER NOT NULL,
    addresses BLOB NOT NULL,
    word BLOB NOT NULL
) STRICT;
-- Numbers by name: when this was last compared with others, the highest own sequence that was ever seen.
CREATE TABLE IF NOT EXISTS numbers (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- That the database was lost, one row: what was known before has come back since `began`.
CREATE TABLE IF NOT EXISTS recovery (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    began INTEGER NOT NULL,
    ended INTEGER,
    last_node BLOB,
    last_time INTEGER
) STRICT;
";

/// Opens the one connection that writes, and makes the tables in a new file. The file is for its owner alone.
pub(super) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    make_private(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::NoWriteAheadLog(mode));
    }
    // FULL: in WAL mode a commit returns only after the log was synced.
    connection.execute_batch("PRAGMA synchronous = FULL;")?;
    // A transaction changes pages all over the indexes. Many of these changed again before the log is copied into the
    // database are copied once, and those in the cache are not read again.
    connection.execute_batch(&format!(
        "PRAGMA cache_size = -{WRITER_CACHE_KIB}; PRAGMA wal_autocheckpoint = {LOG_PAGES};
         PRAGMA journal_size_limit = {};",
        LOG_PAGES * PAGE_BYTES
    ))?;
    migrate(&connection)?;
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {ADDED} COMMIT;"))?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection)?;
    Ok(connection)
}

fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // The plan does not depend on what is bound: otherwise a statement is prepared anew for each value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection
        .execute_batch("PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;")
}

fn migrate(connection: &Connection) -> Result<(), OpenError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (found, tables) {
        (LAYOUT, _) => Ok(()),
        (0, 0) => {
            let script = format!("BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {LAYOUT}; COMMIT;");
            Ok(connection.execute_batch(&script)?)
        }
        _ => Err(OpenError::UnknownLayout { found, known: LAYOUT }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_private_and_opens_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("index.db");
        drop(open_writer(&path).expect("made"));
        drop(open_writer(&path).expect("opened"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn another_layout_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("index.db");
        let connection = open_writer(&path).expect("made");
        connection.execute_batch("PRAGMA user_version = 99").expect("set");
        drop(connection);
        assert!(matches!(open_writer(&path), Err(OpenError::UnknownLayout { found: 99, known: LAYOUT })));
    }

    #[test]
    fn a_file_that_is_no_database_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("index.db");
        std::fs::write(&path, [7; 4096]).expect("written");
        assert!(matches!(open_writer(&path), Err(OpenError::Sqlite(_))));
    }
}
