//! What can go wrong between the service and the database.

use std::sync::Arc;

use wire::{ErrorBody, ErrorCode};

/// The database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made or opened.
    #[error("cannot open the index's database {path}: {source}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite refuses it.
    #[error("cannot use the index's database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// It was made by a program with another layout of its tables.
    #[error("the index's database has layout {found}, and this program knows only {known}")]
    UnknownLayout {
        /// The number in the file.
        found: i64,
        /// The number that this program writes.
        known: i64,
    },
    /// It keeps no write-ahead log, which some network file systems do not allow.
    #[error("the index's database cannot keep a write-ahead log here (journal mode {0})")]
    NoWriteAheadLog(String),
    /// A thread could not be started.
    #[error("cannot start a thread for the index's database: {0}")]
    Thread(#[source] std::io::Error),
    /// The database was lost, and that cannot be noted.
    #[error("the index's database was lost, and {path} cannot be written: {source}")]
    Recovery {
        /// The file with the note.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something that it keeps cannot be read.
    #[error("the database cannot be read: {0}")]
    Unreadable(String),
    /// The certificate is for another key than the one that would sign.
    #[error("the index certificate names another node than this key's")]
    OtherKey,
}

/// A read or a write of the registry failed: a fault of this machine, but where it says something else.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// SQLite says no.
    #[error("the database failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The transaction in which this was done did not become durable.
    #[error("nothing was stored: {0}")]
    Commit(#[source] Arc<CommitError>),
    /// A stored value is not what was written.
    #[error("the database holds a value that cannot be read: {0}")]
    Corrupt(&'static str),
    /// The node has logged out.
    #[error("the enrolment was ended")]
    Ended,
    /// The registry is closed.
    #[error("the index is stopping")]
    Stopped,
}

/// Why a whole transaction was lost.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    /// BEGIN, the search table or COMMIT failed.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// SQLite took the transaction back in the middle, as it does when the disk is full.
    #[error("the transaction was rolled back")]
    RolledBack,
}

impl From<RegistryError> for ErrorBody {
    /// The asker is told only that it failed; how stands in the operator's log.
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Stopped => Self::new(ErrorCode::ShuttingDown, "the index is stopping"),
            RegistryError::Ended => super::accounts::ended(),
            other => {
                tracing::error!(error = %other, "the registry failed");
                Self::new(ErrorCode::Internal, "the index could not use its database; its log says why")
            }
        }
    }
}
