//! The tables of `node.db`, and how an older file becomes a newer one.

use rusqlite::Connection;

/// One step for each schema number from 1 upwards. A step that was released is never changed: a new one follows it.
const STEPS: &[&str] = &[
    SCHEMA_1,
    SCHEMA_2,
    SCHEMA_3,
    SCHEMA_4,
    SCHEMA_5,
    SCHEMA_6,
    SUBSCRIPTIONS,
    UPDATES,
    REUSE,
    WATCH,
    EVENTS,
    KEPT,
    PINNED,
    HOOKS_DUE,
    SUBSCRIPTION_NAMES,
    BLOCKS,
];

/// The schema that this program writes, as it stands in `user_version`.
pub(super) const SCHEMA: i64 = STEPS.len() as i64;

/// Applies the steps that are missing after `found`, each in a transaction with its number.
pub(super) fn migrate(connection: &mut Connection, found: i64) -> rusqlite::Result<()> {
    let done = usize::try_from(found).unwrap_or(0);
    for (number, step) in (1_i64..).zip(STEPS).skip(done) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Paths are bytes, hashes and keys are blobs, times are Unix milliseconds (`mtime`: nanoseconds), inode and device are
/// 64 bits in two's complement, states are words.
const SCHEMA_1: &str = "
CREATE TABLE setting (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Roots of manifests, complete or on their way.
CREATE TABLE manifest (
    id INTEGER PRIMARY KEY,
    root BLOB NOT NULL UNIQUE,
    content BLOB NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
CREATE INDEX manifest_content ON manifest (content);

-- Which pages a root names. A page may stand in several, and more than once in one.
CREATE TABLE manifest_page (
    manifest INTEGER NOT NULL REFERENCES manifest (id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (manifest, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX manifest_page_hash ON manifest_page (hash);

CREATE TABLE page (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    bytes BLOB NOT NULL
) STRICT;

-- This node's own resources.
CREATE TABLE publication (
    name TEXT PRIMARY KEY,
    path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    device INTEGER NOT NULL,
    record BLOB NOT NULL,
    record_hash BLOB NOT NULL,
    -- Who signed the record: usually this node.
    node BLOB NOT NULL,
    receipt BLOB,
    certificate BLOB,
    state TEXT NOT NULL
) STRICT;
CREATE INDEX publication_path ON publication (path);

-- What this node can serve, and under which record.
CREATE TABLE holding (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    device INTEGER NOT NULL,
    content BLOB NOT NULL,
    root BLOB NOT NULL REFERENCES manifest (root),
    account BLOB NOT NULL,
    user TEXT NOT NULL,
    name TEXT NOT NULL,
    record BLOB NOT NULL,
    record_hash BLOB NOT NULL,
    receipt BLOB,
    certificate BLOB,
    origin TEXT NOT NULL,
    state TEXT NOT NULL,
    UNIQUE (path, account, name)
) STRICT;
CREATE INDEX holding_content ON holding (content);
CREATE INDEX holding_root ON holding (root);
CREATE INDEX holding_resource ON holding (account, name);

CREATE TABLE job (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL,
    name TEXT NOT NULL,
    target BLOB NOT NULL,
    force INTEGER NOT NULL,
    share INTEGER NOT NULL,
    once INTEGER NOT NULL,
    record BLOB NOT NULL,
    receipt BLOB,
    certificate BLOB,
    root BLOB,
    temporary BLOB,
    done BLOB NOT NULL,
    state TEXT NOT NULL,
    failure_code TEXT,
    failure_text TEXT,
    bytes_received INTEGER NOT NULL,
    sources BLOB NOT NULL,
    created INTEGER NOT NULL,
    finished INTEGER
) STRICT;
-- At most one job that is not installed for each target.
CREATE UNIQUE INDEX job_target ON job (target) WHERE state <> 'installed';
CREATE INDEX job_state ON job (state, finished);

-- An installation that was begun and not yet committed as done.
CREATE TABLE intent (
    job INTEGER PRIMARY KEY REFERENCES job (id),
    target BLOB NOT NULL,
    temporary BLOB NOT NULL,
    keep BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    device INTEGER NOT NULL,
    content BLOB NOT NULL,
    base BLOB,
    force INTEGER NOT NULL
) STRICT;
";

/// For how long a job ran.
const SCHEMA_2: &str = "ALTER TABLE job ADD COLUMN elapsed_ms INTEGER NOT NULL DEFAULT 0";

/// The manifest that a publication's record names; indexes for what asks whether anything refers to a manifest, and for
/// `status`.
const SCHEMA_3: &str = "
ALTER TABLE publication ADD COLUMN root BLOB;
UPDATE publication SET root = (SELECT root FROM holding
    WHERE holding.path = publication.path AND holding.record_hash = publication.record_hash);
CREATE INDEX publication_root ON publication (root);
CREATE INDEX publication_state ON publication (state, name);
CREATE INDEX holding_problem ON holding (id) WHERE state <> 'ok';
CREATE INDEX job_root ON job (root);
";

/// Folders: how their files were when they were hashed, as long as the manifest is there; `first` is the entry of the
/// first file in a row. `folder` in a holding: its path leads to one. `only`: the chosen paths of a folder.
const SCHEMA_4: &str = "
CREATE TABLE folder (
    id INTEGER PRIMARY KEY,
    root BLOB NOT NULL REFERENCES manifest (root) ON DELETE CASCADE,
    path BLOB NOT NULL,
    UNIQUE (root, path)
) STRICT;
CREATE TABLE folder_file (
    folder INTEGER NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
    first INTEGER NOT NULL,
    files BLOB NOT NULL,
    PRIMARY KEY (folder, first)
) STRICT;
ALTER TABLE holding ADD COLUMN folder INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN only BLOB;
";

/// How fast a job may be, in bytes a second; 0 is no limit.
const SCHEMA_5: &str = "ALTER TABLE job ADD COLUMN rate_limit INTEGER NOT NULL DEFAULT 0";

/// How the folder of a publication was walked.
const SCHEMA_6: &str = "
ALTER TABLE publication ADD COLUMN links TEXT NOT NULL DEFAULT 'keep';
ALTER TABLE publication ADD COLUMN gitignore INTEGER NOT NULL DEFAULT 0;
";

/// `held` and `newest` are places in the total order; `accepted` and `held_back` hashes of records; size, mtime, inode and
/// device those of the held file when it was installed.
const SUBSCRIPTIONS: &str = "
CREATE TABLE subscription (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account BLOB NOT NULL,
    user TEXT NOT NULL,
    name TEXT NOT NULL,
    target BLOB NOT NULL UNIQUE,
    only BLOB NOT NULL,
    share INTEGER NOT NULL,
    rate_limit INTEGER NOT NULL,
    -- An empty list, as CBOR.
    hook BLOB NOT NULL DEFAULT x'80',
    paused INTEGER NOT NULL DEFAULT 0,
    held BLOB,
    held_content BLOB,
    held_root BLOB,
    size INTEGER,
    mtime INTEGER,
    inode INTEGER,
    device INTEGER,
    held_since INTEGER,
    newest BLOB,
    newest_gone INTEGER NOT NULL DEFAULT 0,
    held_back BLOB,
    held_back_why TEXT,
    accepted BLOB,
    checked INTEGER,
    created INTEGER NOT NULL
) STRICT;
CREATE INDEX subscription_resource ON subscription (account, name);
CREATE INDEX subscription_root ON subscription (held_root);
";

/// The version at a job's target that it replaces; whether an installation brings a folder from one to another; what was
/// downloaded and is not given to others.
const UPDATES: &str = "
ALTER TABLE job ADD COLUMN base_root BLOB;
ALTER TABLE job ADD COLUMN base_content BLOB;
ALTER TABLE intent ADD COLUMN base_root BLOB;
ALTER TABLE intent ADD COLUMN began INTEGER;
CREATE INDEX job_base_root ON job (base_root) WHERE base_root IS NOT NULL;

-- What was downloaded and is not held.
CREATE TABLE installed (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    device INTEGER NOT NULL,
    content BLOB NOT NULL,
    root BLOB NOT NULL,
    folder INTEGER NOT NULL,
    account BLOB NOT NULL,
    name TEXT NOT NULL,
    record BLOB NOT NULL,
    only BLOB
) STRICT;
CREATE INDEX installed_root ON installed (root);
";

/// How much of a job was on this machine already. What was received of a version that a newer one has replaced, until its
/// chunks are taken over: at most one for each job.
const REUSE: &str = "
ALTER TABLE job ADD COLUMN bytes_reused INTEGER NOT NULL DEFAULT 0;
CREATE TABLE remnant (
    job INTEGER PRIMARY KEY REFERENCES job (id),
    temporary BLOB NOT NULL,
    root BLOB NOT NULL,
    done BLOB NOT NULL
) STRICT;
CREATE INDEX remnant_root ON remnant (root);
";

/// Whether a publication is published anew by itself when its file changes. `racy`: a later write of its file may have left
/// the stamp as it is; of folders, between which times (Unix nanoseconds) the files were looked at of which that is so.
const WATCH: &str = "
ALTER TABLE publication ADD COLUMN watch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE publication ADD COLUMN racy INTEGER NOT NULL DEFAULT 0;
CREATE INDEX publication_watch ON publication (name) WHERE watch;
ALTER TABLE folder ADD COLUMN hashed_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE folder ADD COLUMN hashed_to INTEGER NOT NULL DEFAULT 0;
";

/// The log of activity. `details` is the event as JSON; the other columns repeat some of it, for who looks with `sqlite3`.
const EVENTS: &str = "
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    event TEXT NOT NULL,
    user TEXT,
    name TEXT,
    version INTEGER,
    details TEXT NOT NULL
) STRICT;
";

/// Kept versions, each named before its file is there; how many old ones of a resource are to be kept.
const KEPT: &str = "
CREATE TABLE kept (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account BLOB NOT NULL,
    user TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    content BLOB NOT NULL,
    path BLOB NOT NULL,
    size INTEGER NOT NULL,
    created INTEGER NOT NULL,
    reflinked INTEGER NOT NULL,
    ready INTEGER NOT NULL,
    UNIQUE (account, name, version)
) STRICT;
CREATE INDEX kept_path ON kept (path);
CREATE TABLE keep_rule (
    account BLOB NOT NULL,
    name TEXT NOT NULL,
    versions INTEGER NOT NULL,
    PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;
";

/// Whether a job is of its one version, whatever is newer.
const PINNED: &str = "
ALTER TABLE job ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
";

/// Programs that are still to be run after an installation, and how often each was begun.
const HOOKS_DUE: &str = "
CREATE TABLE hook_due (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription INTEGER NOT NULL UNIQUE REFERENCES subscription (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    content BLOB NOT NULL,
    begun INTEGER NOT NULL DEFAULT 0
) STRICT;
";

/// By which a subscription is found whose owner is known by the user name alone, as commands name it.
const SUBSCRIPTION_NAMES: &str = "
CREATE INDEX subscription_named ON subscription (user, name);
";

/// The blocks of a file beside its manifest, where they are known.
const BLOCKS: &str = "
ALTER TABLE manifest ADD COLUMN blocks BLOB;
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publications_of_an_older_file_were_walked_as_is_usual() {
        let mut connection = Connection::open_in_memory().expect("opens");
        for step in &STEPS[..5] {
            connection.execute_batch(step).expect("applied");
        }
        let publication = "INSERT INTO publication (name, path, size, mtime, inode, device, record, record_hash, node, state)
            VALUES ('x', x'2f78', 0, 0, 0, 0, x'', x'', x'', 'published')";
        connection.execute(publication, []).expect("inserted");
        migrate(&mut connection, 5).expect("migrated");
        let walked = connection.query_row("SELECT links, gitignore FROM publication", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))
        });
        assert_eq!(walked, Ok(("keep".to_owned(), false)));
        let watched = connection.query_row("SELECT watch, racy FROM publication", [], |row| {
            Ok((row.get::<_, bool>(0)?, row.get::<_, bool>(1)?))
        });
        assert_eq!(watched, Ok((false, false)));
    }

    #[test]
    fn subscriptions_of_an_older_file_are_found_by_the_names_of_their_owners() {
        let mut connection = Connection::open_in_memory().expect("opens");
        for step in &STEPS[..7] {
            connection.execute_batch(step).expect("applied");
        }
        let one = "INSERT INTO subscription (account, user, name, target, only, share, rate_limit, created)
            VALUES (x'05', 'alice', 'x', x'2f78', x'80', 1, 0, 0)";
        connection.execute(one, []).expect("inserted");
        migrate(&mut connection, 7).expect("migrated");
        let sql = crate::store::subscriptions::TO;
        let plan = connection.query_row(&format!("EXPLAIN QUERY PLAN {sql}"), ("alice", "x", 10), |row| {
            row.get::<_, String>("detail")
        });
        assert!(plan.expect("a plan").contains("subscription_named"));
        let found = connection.query_row(sql, ("alice", "x", 10), |row| row.get::<_, String>("user"));
        assert_eq!(found, Ok("alice".to_owned()));
    }

    #[test]
    fn downloads_of_an_older_file_have_no_limit_and_go_over_to_newer_versions() {
        let mut connection = Connection::open_in_memory().expect("opens");
        for step in &STEPS[..4] {
            connection.execute_batch(step).expect("applied");
        }
        let job = "INSERT INTO job (user, name, target, force, share, once, record, done, state, bytes_received, sources,
            created) VALUES ('alice', 'x', x'2f78', 0, 1, 0, x'', x'', 'paused', 0, x'', 0)";
        connection.execute(job, []).expect("inserted");
        migrate(&mut connection, 4).expect("migrated");
        let found = connection.query_row("SELECT rate_limit, pinned FROM job", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?))
        });
        assert_eq!(found, Ok((0, false)));
        assert_eq!(connection.pragma_query_value(None, "user_version", |row| row.get(0)), Ok(SCHEMA));
    }
}
