//! The database: one thread owns the connection, everybody else sends it closures through a bounded queue.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::{events, schema};

/// Commands that wait for the thread; who comes after that waits to send.
const QUEUE: usize = 64;
/// How long to wait for another program (a backup, a person with `sqlite3`) that has the file locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements that are kept: more than the store has.
const STATEMENTS: usize = 128;

/// The write-ahead log is written back once it has so many pages of 4 KiB, 16 MiB: more than the manifest of some 50,000 files,
/// whose download would wait for that twice otherwise.
const LOG_PAGES: u32 = 4096;

/// Why something could not be read from or written to the node's database.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The file could not be created.
    #[error("cannot create the database {}: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file was written by a newer version of the program.
    #[error(
        "the database {} has schema {found}, this program knows schemas up to {known}: it was written by a newer version",
        path.display()
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The schema number found.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// The file is no database, is damaged, or holds what this program never wrote.
    #[error("the database {} is damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// Anything else that the database refuses.
    #[error("cannot {action} in the database {}: {source}", path.display())]
    Failed {
        /// What was being done, as a verb and what belongs to it.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: rusqlite::Error,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl DbError {
    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Create { source, .. } => super::io_hint(source),
            Self::NewerSchema { .. } => Some("run the version of the program that wrote it, or a newer one"),
            Self::Damaged { .. } => {
                Some("move the file away and start again; what was shared has to be shared again")
            }
            Self::Failed { source, .. } => match source.sqlite_error_code()? {
                ErrorCode::DiskFull => Some("the disk is full; free some space and try again"),
                ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen => Some(
                    "check who owns the file and its folder, and whether the disk is mounted for writing",
                ),
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                    Some("another program has the database open; close it and try again")
                }
                ErrorCode::SystemIoFailure => Some("look at the system's log and check the disk"),
                _ => None,
            },
            Self::Closed => None,
        }
    }

    fn new(action: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
        let path = path.to_owned();
        let damaged = match &source {
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) => true,
            other => {
                let code = other.sqlite_error_code();
                matches!(code, Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
            }
        };
        match damaged {
            true => Self::Damaged { path, detail: source.to_string() },
            false => Self::Failed { action, path, source },
        }
    }
}

type Work = Box<dyn FnOnce(&mut Connection) + Send>;

enum Command {
    Work(Work),
    Close(oneshot::Sender<()>),
}

/// A handle on the database thread. When the last one is dropped, the thread ends once its queue is empty.
#[derive(Debug, Clone)]
pub(super) struct Db {
    queue: mpsc::Sender<Command>,
    path: Arc<Path>,
    /// The number of the last event that is durable in the log, as far as this program wrote one.
    logged: watch::Sender<u64>,
    #[cfg(test)]
    pub(super) stops_with: Option<super::fs::FaultyFs>,
}

impl Db {
    /// Opens the file, or creates it with mode 0600, brings it to the current schema, and starts its thread. Blocks.
    pub(super) fn open(path: &Path) -> Result<Self, DbError> {
        let connection = open_connection(path)?;
        let (queue, commands) = mpsc::channel(QUEUE);
        thread::Builder::new()
            .name("store-db".to_owned())
            .spawn(move || run(connection, commands))
            .map_err(|source| DbError::Create { path: path.to_owned(), source })?;
        Ok(Self {
            queue,
            path: path.into(),
            logged: watch::Sender::new(0),
            #[cfg(test)]
            stops_with: None,
        })
    }

    /// Runs a query.
    ///
    /// Cancel safe: it changes nothing.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        action: &'static str,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DbError> {
        let (work, reply) = self.command(action, move |connection| query(connection));
        self.queue.send(work).await.map_err(|_| DbError::Closed)?;
        reply.await.map_err(|_| DbError::Closed)?
    }

    /// Runs a transaction; it is durable when this returns.
    ///
    /// Dropped while it waits, it may or may not happen; never in part.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        action: &'static str,
        change: impl FnOnce(&Transaction) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DbError> {
        self.step()?;
        let (work, reply) = self.transaction(action, change);
        self.queue.send(work).await.map_err(|_| DbError::Closed)?;
        reply.await.map_err(|_| DbError::Closed)?
    }

    /// [`Db::read`] for threads that may block.
    pub(super) fn read_blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DbError> {
        let (work, reply) = self.command(action, move |connection| query(connection));
        self.queue.blocking_send(work).map_err(|_| DbError::Closed)?;
        reply.blocking_recv().map_err(|_| DbError::Closed)?
    }

    /// [`Db::write`] for threads that may block.
    pub(super) fn write_blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        change: impl FnOnce(&Transaction) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DbError> {
        self.step()?;
        let (work, reply) = self.transaction(action, change);
        self.queue.blocking_send(work).map_err(|_| DbError::Closed)?;
        reply.blocking_recv().map_err(|_| DbError::Closed)?
    }

    /// Runs a transaction at some time, if there is room in the queue; nobody learns how it went.
    pub(super) fn write_some_time(
        &self,
        action: &'static str,
        change: impl FnOnce(&Transaction) -> rusqlite::Result<()> + Send + 'static,
    ) {
        if self.step().is_ok() {
            let (work, _) = self.transaction(action, change);
            // Without room it is left undone, which callers allow for.
            let _ = self.queue.try_send(work);
        }
    }

    /// Closes the file after what is queued; later calls answer [`DbError::Closed`].
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Command::Close(done)).await.is_ok() {
            // An error says that the thread has ended already.
            let _ = closed.await;
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Tells of each event once it is durable: its number.
    pub(super) fn logged(&self) -> watch::Receiver<u64> {
        self.logged.subscribe()
    }

    fn transaction<T: Send + 'static>(
        &self,
        action: &'static str,
        change: impl FnOnce(&Transaction) -> rusqlite::Result<T> + Send + 'static,
    ) -> (Command, oneshot::Receiver<Result<T, DbError>>) {
        let logged = self.logged.clone();
        self.command(action, move |connection| transact(connection, change, &logged))
    }

    fn command<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> (Command, oneshot::Receiver<Result<T, DbError>>) {
        let (answer, reply) = oneshot::channel();
        let path = self.path.clone();
        let work = move |connection: &mut Connection| {
            let result = work(connection).map_err(|source| DbError::new(action, &path, source));
            // Who asked may have gone; what was done stays done.
            let _ = answer.send(result);
        };
        (Command::Work(Box::new(work)), reply)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests stop the machine here")]
    fn step(&self) -> Result<(), DbError> {
        Ok(())
    }

    /// A transaction is a point where the machine may stop.
    #[cfg(test)]
    fn step(&self) -> Result<(), DbError> {
        match &self.stops_with {
            Some(fs) => fs.step().map_err(|_| DbError::Closed),
            None => Ok(()),
        }
    }
}

fn transact<T>(
    connection: &mut Connection,
    change: impl FnOnce(&Transaction) -> rusqlite::Result<T>,
    logged: &watch::Sender<u64>,
) -> rusqlite::Result<T> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = change(&transaction)?;
    let last = events::last(&transaction)?;
    transaction.commit()?;
    logged.send_if_modified(|known| std::mem::replace(known, last) != last);
    Ok(value)
}

fn run(mut connection: Connection, mut commands: mpsc::Receiver<Command>) {
    let mut closing = None;
    while let Some(command) = commands.blocking_recv() {
        match command {
            Command::Work(work) => work(&mut connection),
            Command::Close(done) => {
                closing = Some(done);
                break;
            }
        }
    }
    drop(commands);
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "the database did not close cleanly");
    }
    if let Some(done) = closing {
        let _ = done.send(());
    }
}

fn open_connection(path: &Path) -> Result<Connection, DbError> {
    // SQLite would create it with the umask's mode; its other files copy the mode of this one.
    let create = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path);
    create.map_err(|source| DbError::Create { path: path.to_owned(), source })?;
    let fail = |source| DbError::new("open tables", path, source);
    let mut connection = Connection::open(path).map_err(fail)?;
    let found = prepare(&connection).map_err(fail)?;
    if !(0..=schema::SCHEMA).contains(&found) {
        return Err(DbError::NewerSchema { path: path.to_owned(), found, known: schema::SCHEMA });
    }
    schema::migrate(&mut connection, found).map_err(fail)?;
    Ok(connection)
}

/// Sets up the connection; returns the file's schema number.
fn prepare(connection: &Connection) -> rusqlite::Result<i64> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", LOG_PAGES, |_| Ok(()))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.execute_batch(super::garbage::SPARED)?;
    Ok(found)
}

#[cfg(test)]
mod tests;
