//! A [`Keep`] in a SQLite file.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use certs::{NodeId, UnixMillis};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use tracing::{debug, warn};

use super::{Keep, Kept};

/// Changes that may wait to be written. What does not fit is lost: a record that is not written comes again from others, and
/// one that is not forgotten is judged anew when it is read.
const QUEUE: usize = 4096;
/// Changes in one transaction.
const BATCH: usize = 256;
/// How long the file may be in use by the process before.
const PATIENCE: Duration = Duration::from_secs(5);
/// The number of the layout, in `user_version`; a file of another one is made anew.
const LAYOUT: i64 = 1;
const TABLE: &str = "
CREATE TABLE IF NOT EXISTS records (
    key BLOB PRIMARY KEY,
    value BLOB NOT NULL,
    source BLOB,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

enum Change {
    Save(Kept),
    Forget(Vec<u8>),
}

/// Writes what the store has into a file, on a thread of its own, which ends once this is dropped and what waits is written.
///
/// It is a cache: a power cut takes the last moments, and a file that cannot be read is made anew.
#[derive(Debug)]
pub struct KeepFile {
    changes: SyncSender<Change>,
}

impl KeepFile {
    /// Opens a file, or makes it; with what is in it and has not ended, in the order of the keys. Blocks on the disk.
    ///
    /// # Errors
    /// The file can be neither opened nor made anew.
    pub fn open(path: &Path, now: UnixMillis) -> std::io::Result<(Self, Vec<Kept>)> {
        let opened = open(path, now).or_else(|error| {
            warn!(%error, file = %path.display(), "what the DHT kept cannot be read; it is made anew");
            remove(path)?;
            open(path, now).map_err(std::io::Error::other)
        });
        let (connection, kept) = opened?;
        let (changes, queue) = sync_channel(QUEUE);
        thread::Builder::new().name("dht-keep".to_owned()).spawn(move || run(connection, &queue))?;
        Ok((Self { changes }, kept))
    }

    fn change(&self, change: Change) {
        if self.changes.try_send(change).is_err() {
            debug!("the disk is slower than the DHT: a change is not kept");
        }
    }
}

impl Keep for KeepFile {
    fn save(&mut self, record: &Kept) {
        self.change(Change::Save(record.clone()));
    }

    fn forget(&mut self, key: &[u8]) {
        self.change(Change::Forget(key.to_vec()));
    }
}

fn open(path: &Path, now: UnixMillis) -> rusqlite::Result<(Connection, Vec<Kept>)> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let layout: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if layout != LAYOUT {
        connection.execute_batch("DROP TABLE IF EXISTS records;")?;
    }
    connection.execute_batch(TABLE)?;
    connection.pragma_update(None, "user_version", LAYOUT)?;
    connection.execute("DELETE FROM records WHERE expires <= ?", params![integer(now.0)])?;
    let kept = {
        let mut statement = connection.prepare("SELECT key, value, source, expires FROM records")?;
        statement.query_map([], of_row)?.collect::<Result<_, _>>()?
    };
    Ok((connection, kept))
}

fn of_row(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let bad = |error| rusqlite::Error::FromSqlConversionFailure(2, Type::Blob, Box::new(error));
    let source =
        row.get::<_, Option<[u8; 32]>>("source")?.map(NodeId::from_bytes).transpose().map_err(bad)?;
    let expires: i64 = row.get("expires")?;
    Ok(Kept {
        key: row.get("key")?,
        value: row.get("value")?,
        source,
        expires: UnixMillis(expires.unsigned_abs()),
    })
}

/// SQLite has signed numbers alone; times are far below their bound.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn remove(path: &Path) -> std::io::Result<()> {
    for ending in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        match std::fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn run(mut connection: Connection, queue: &Receiver<Change>) {
    let mut failed = false;
    while let Ok(first) = queue.recv() {
        let written = write(&mut connection, std::iter::once(first).chain(queue.try_iter()).take(BATCH));
        match written {
            Ok(()) => failed = false,
            Err(error) if !failed => {
                failed = true;
                warn!(%error, "what the DHT has is not kept: after a restart it comes from others");
            }
            Err(error) => debug!(%error, "what the DHT has is not kept"),
        }
    }
}

fn write(connection: &mut Connection, changes: impl Iterator<Item = Change>) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for change in changes {
        match change {
            Change::Save(Kept { key, value, source, expires }) => {
                let source = source.as_ref().map(NodeId::as_bytes);
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)")?
                    .execute(params![key, value, source, integer(expires.0)])?;
            }
            Change::Forget(key) => {
                transaction.prepare_cached("DELETE FROM records WHERE key = ?")?.execute(params![key])?;
            }
        }
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn kept(key: u8, expires: UnixMillis) -> Kept {
        let source = key.is_multiple_of(2).then(|| certs::SecretKey::from_seed([key; 32]).public());
        Kept { key: vec![key; 32], value: vec![key; 100], source, expires }
    }

    /// Opens it once the thread that wrote it has let go of it, when all of `wanted` is there.
    fn reopened(path: &Path, now: UnixMillis, wanted: &[Kept]) {
        let deadline = std::time::Duration::from_secs(20);
        let mut waited = Duration::ZERO;
        loop {
            let (_, found) = open(path, now).expect("opened");
            if found == wanted {
                return;
            }
            assert!(waited < deadline, "{found:?}");
            thread::sleep(Duration::from_millis(5));
            waited += Duration::from_millis(5);
        }
    }

    #[test]
    fn what_was_saved_is_there_again_until_it_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("dht.db");
        let (mut file, before) = KeepFile::open(&path, NOW).expect("made");
        assert!(before.is_empty());
        let (one, two, gone) = (kept(1, NOW.plus(10)), kept(2, NOW.plus(20)), kept(3, NOW.plus(20)));
        file.save(&kept(1, NOW.plus(5)));
        for record in [&one, &two, &gone] {
            file.save(record);
        }
        file.forget(&gone.key);
        drop(file);
        reopened(&path, NOW, &[one, two.clone()]);
        reopened(&path, NOW.plus(10), &[two]);
    }

    #[test]
    fn what_is_no_database_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("dht.db");
        std::fs::write(&path, "no database, but a text that is longer than the head of one")
            .expect("written");
        let (mut file, before) = KeepFile::open(&path, NOW).expect("made anew");
        assert!(before.is_empty());
        file.save(&kept(1, NOW.plus(10)));
        drop(file);
        reopened(&path, NOW, &[kept(1, NOW.plus(10))]);
    }

    #[test]
    fn another_layout_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("dht.db");
        let other = Connection::open(&path).expect("made");
        other.execute_batch("CREATE TABLE records (other TEXT); PRAGMA user_version = 7;").expect("filled");
        drop(other);
        assert!(KeepFile::open(&path, NOW).expect("made anew").1.is_empty());
    }
}
