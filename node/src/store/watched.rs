//! What publishes its next version by itself: how each was published, and whether it is still so.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, Row};
use wire::{ResourceName, RootHash};

use super::columns::{Column, all, first, get, stamp};
use super::fs::{FileKind, FileStamp, failed};
use super::holdings::{HoldingId, HoldingState};
use super::import::{Before, FolderOptions, ImportError, is_unchanged};
use super::publications::Walked;
use super::{DbError, PAGE_ROWS, Store};

/// A publication that is watched. To read one costs no check of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Its name.
    pub name: ResourceName,
    /// Where it lies.
    pub path: PathBuf,
    /// The file's stamp when it was hashed.
    pub stamp: FileStamp,
    /// Whether a write after that may have left the stamp as it is.
    pub racy: bool,
    /// How its folder was walked.
    pub walked: Walked,
    /// What is held there under its record.
    pub held: Option<WatchedHolding>,
}

/// What is held of something watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedHolding {
    /// Which it is.
    pub id: HoldingId,
    /// How it was found last.
    pub state: HoldingState,
    /// Whether it is a folder.
    pub folder: bool,
    /// Its manifest.
    pub root: RootHash,
}

/// How something watched was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// As it was published.
    Same,
    /// Nothing is there.
    Missing,
    /// Otherwise than it was published, as far as stamps say.
    Changed,
    /// The same, but it was modified so short a time ago that it may not be whole.
    BeingWritten,
}

/// Superseded ones wait until their user decides.
/// The plus keeps SQLite from the index of states, by which it would read and sort all of them for each page.
const WATCHED: &str = "SELECT publication.name, publication.path, publication.size, publication.mtime, publication.inode,
        publication.device, racy, links, gitignore, holding.id, holding.state AS held, holding.folder, holding.root AS held_root
    FROM publication LEFT JOIN holding
        ON holding.path = publication.path AND holding.record_hash = publication.record_hash
    WHERE publication.watch AND +publication.state IN ('pending', 'published', 'changed', 'missing')";

impl Store {
    /// What is watched after a name, in the order of the names' bytes: at most `limit`, at most [`PAGE_ROWS`].
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn watched(&self, after: Option<ResourceName>, limit: u32) -> Result<Vec<Watched>, DbError> {
        let sql = format!("{WATCHED} AND publication.name > ?1 ORDER BY publication.name LIMIT ?2");
        let query = move |connection: &Connection| {
            let after = after.as_ref().map_or("", ResourceName::as_str);
            all(connection, &sql, (after, limit.min(PAGE_ROWS)), read)
        };
        self.db().read("read what is watched", query).await
    }

    /// The one of this name, if it is watched.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn watched_as(&self, name: ResourceName) -> Result<Option<Watched>, DbError> {
        let sql = format!("{WATCHED} AND publication.name = ?1");
        self.db()
            .read("read what is watched", move |connection| first(connection, &sql, [name.sql()], read))
            .await
    }

    /// Looks whether something is as it was published, by stamps alone: nothing is read. `options` say with what else it
    /// was shared; `quiet` is how long ago a file must have been modified to be whole. Blocks.
    ///
    /// # Errors
    /// Where the system does not say; [`ImportError::Cancelled`] where `cancelled` said so.
    pub fn look_at_watched(
        &self,
        watched: &Watched,
        home: PathBuf,
        quiet: Duration,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Look, ImportError> {
        let path = &watched.path;
        let stat = match self.fs().stat(path) {
            Ok(stat) => stat,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Look::Missing);
            }
            Err(error) => return Err(failed("look at", path, error).into()),
        };
        let held = watched.held.as_ref().filter(|held| held.folder == (stat.kind == FileKind::Folder));
        let same = match (stat.kind, held) {
            (FileKind::Folder, Some(held)) => {
                self.is_folder_unchanged(watched, held.root, home, cancelled)?
            }
            (FileKind::Regular, Some(_)) => stat.stamp.same_as(&watched.stamp) && !watched.racy,
            _ => false,
        };
        Ok(match stat.kind {
            _ if same => Look::Same,
            FileKind::Regular if stat.stamp.is_recent(quiet) => Look::BeingWritten,
            _ => Look::Changed,
        })
    }

    fn is_folder_unchanged(
        &self,
        watched: &Watched,
        root: RootHash,
        home: PathBuf,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<bool, ImportError> {
        let Ok(Some(layout)) = self.layout_blocking(root) else { return Ok(false) };
        let options = FolderOptions {
            links: watched.walked.links,
            before: Some(Before { layout, stamps: Some((root, watched.path.clone())) }),
            home: Some(home),
            gitignore: watched.walked.gitignore,
            store: Some(self.clone()),
            quiet: None,
        };
        match is_unchanged(&**self.fs(), &watched.path, &options, cancelled) {
            Err(ImportError::NotFound(_) | ImportError::ChangedWhileReading(_)) => Ok(false),
            other => other,
        }
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Watched> {
    let held = match get::<Option<u64>>(row, "id")? {
        None => None,
        Some(id) => Some(WatchedHolding {
            id: HoldingId(id),
            state: get(row, "held")?,
            folder: get(row, "folder")?,
            root: get(row, "held_root")?,
        }),
    };
    Ok(Watched {
        name: get(row, "name")?,
        path: get(row, "path")?,
        stamp: stamp(row)?,
        racy: get(row, "racy")?,
        walked: Walked { links: get(row, "links")?, gitignore: get(row, "gitignore")? },
        held,
    })
}

#[cfg(test)]
mod tests;
