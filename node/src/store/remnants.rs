//! What was received of a version that a newer one has replaced in the middle of its download: until the chunks that both
//! have are taken over.
//!
//! *Invariant: a temporary file has a name in the database as long as it may be there.* It goes over from the job to the
//! remnant in the transaction that gives the job its new version, and is forgotten only after it is removed.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::{Connection, Row, Transaction};
use wire::RootHash;
use wire::manifest::Layout;

use super::chosen::Chosen;
use super::columns::{Column, first, get, run};
use super::jobs::{self, Job, JobError, JobId, JobState, Offer};
use super::partial::{Partial, PartialError, PartialFile, PartialFolder, Shape, remove_temporary};
use super::{DbError, Store, garbage};
use crate::off_thread::off_thread;
use crate::ranges::RangeSet;

/// What is left of an earlier version, open for reading.
#[derive(Debug)]
pub struct OpenedRemnant {
    /// Where its bytes are.
    pub file: Partial,
    /// Where they belong.
    pub layout: Arc<Layout>,
    /// The chunks that a checkpoint named. Those that are equal to an earlier one may not be there.
    pub done: RangeSet,
}

#[derive(Debug)]
struct Remnant {
    temporary: PathBuf,
    root: RootHash,
    done: RangeSet,
}

impl Store {
    /// Gives a job a newer version, as [`Store::revise_job`] does, but keeps what was received of the one before as its
    /// remnant. Where the job has one already, that one stays: it is of the version of which most came, and this one was
    /// only begun.
    ///
    /// # Errors
    /// See [`JobError`].
    pub async fn supersede_job(&self, id: JobId, offer: Offer) -> Result<Option<Job>, JobError> {
        if offer.record.content.is_none() {
            return Err(JobError::Tombstone(offer.record.name.clone()));
        }
        let keep = move |transaction: &Transaction| keep(transaction, id);
        if !self.db().write("write a job", keep).await? {
            self.discard_temporary(id).await?;
        }
        self.revise_job(id, offer).await
    }

    /// What is left of an earlier version of a job, if anything is and can be opened. `chosen` says what of a folder was
    /// wanted.
    ///
    /// # Errors
    /// See [`PartialError`].
    pub async fn open_remnant(
        &self,
        id: JobId,
        chosen: impl FnOnce(&Layout) -> Chosen + Send + 'static,
    ) -> Result<Option<OpenedRemnant>, PartialError> {
        let found = self.db().read("read a job", move |connection| of_job(connection, id)).await?;
        let Some(Remnant { temporary, root, mut done }) = found else { return Ok(None) };
        let Ok(Some(layout)) = self.layout(root).await else { return Ok(None) };
        let updates = self.job(id).await?.is_some_and(|job| job.base.is_some());
        let shape = if updates { Shape::Update } else { Shape::Whole };
        let (fs, kept) = (self.fs().clone(), layout.clone());
        off_thread(move || {
            let file = match layout.is_folder() {
                false => PartialFile::reopen(fs, &temporary, layout.chunks.size())?.map(Partial::File),
                true => {
                    let chosen = chosen(&layout);
                    PartialFolder::reopen(fs, &temporary, layout, chosen, shape, &mut done)?
                        .map(Partial::Folder)
                }
            };
            Ok(file.map(|file| OpenedRemnant { file, layout: kept, done }))
        })
        .await
    }

    /// Whether anything is left of an earlier version of a job.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn has_remnant(&self, id: JobId) -> Result<bool, DbError> {
        Ok(self.db().read("read a job", move |connection| of_job(connection, id)).await?.is_some())
    }

    /// Removes what is left of an earlier version of a job: what is needed of it has been taken over, durably.
    ///
    /// # Errors
    /// See [`PartialError`]; its name is kept where it cannot be removed.
    pub async fn discard_remnant(&self, id: JobId) -> Result<(), PartialError> {
        let store = self.clone();
        off_thread(move || store.discard_remnant_blocking(id)).await
    }

    pub(super) fn discard_remnant_blocking(&self, id: JobId) -> Result<(), PartialError> {
        let found = self.db().read_blocking("read a job", move |connection| of_job(connection, id))?;
        let Some(Remnant { temporary, root, .. }) = found else { return Ok(()) };
        remove_temporary(&**self.fs(), &temporary)?;
        let change = move |transaction: &Transaction| {
            run(transaction, "DELETE FROM remnant WHERE job = ?1", [id.0.sql()])?;
            garbage::collect(transaction, root)
        };
        Ok(self.db().write_blocking("write a job", change)?)
    }
}

/// Makes a remnant of what a job has, and takes it from the job; `false` where there is nothing worth it, or one already.
fn keep(transaction: &Transaction, id: JobId) -> rusqlite::Result<bool> {
    let job = jobs::by_id(transaction, id)?.filter(|job| job.state != JobState::Installed);
    let Some(Job { temporary: Some(temporary), root: Some(root), done, .. }) = job else { return Ok(false) };
    if done.is_empty() || of_job(transaction, id)?.is_some() {
        return Ok(false);
    }
    let sql = "INSERT INTO remnant (job, temporary, root, done) VALUES (?1, ?2, ?3, ?4)";
    run(transaction, sql, (id.0.sql(), temporary.sql(), root.sql(), done.sql()))?;
    jobs::set_temporary(transaction, id, &None)?;
    Ok(true)
}

fn of_job(connection: &Connection, id: JobId) -> rusqlite::Result<Option<Remnant>> {
    first(connection, "SELECT * FROM remnant WHERE job = ?1", [id.0.sql()], read)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Remnant> {
    Ok(Remnant { temporary: get(row, "temporary")?, root: get(row, "root")?, done: get(row, "done")? })
}

#[cfg(test)]
mod tests;
