//! Downloads: what was asked for, how far it is, how it ended.

mod model;
mod rows;
pub(super) mod told;

use std::path::PathBuf;

use certs::UnixMillis;
use rusqlite::Connection;
use wire::RootHash;

use super::columns::{Column, all, run};
use super::install::InstallError;
use super::partial::{PartialError, remove_temporary};
use super::{DbError, PAGE_ROWS, Store, events, subscriptions};
use crate::activity::Activity;
use crate::off_thread::off_thread;
use crate::ranges::RangeSet;

pub use model::{
    Base, CreatedJob, Job, JobError, JobFailure, JobFilter, JobId, JobOptions, JobSource, JobState, Moved,
    NewJob, Offer,
};
pub(super) use rows::{Only, by_id, forget_base, prune, set_state, set_temporary};
use rows::{create, encode_sources, forget_failed, read, remove, revise, set_options, set_root};

impl Store {
    /// Creates a running job, unless one that is not installed (also a failed one) has the same target.
    ///
    /// # Errors
    /// See [`JobError`].
    pub async fn create_job(&self, job: NewJob, now: UnixMillis) -> Result<CreatedJob, JobError> {
        let record = &job.offer.record;
        if record.content.is_none() {
            return Err(JobError::Tombstone(record.name.clone()));
        }
        let change = move |transaction: &rusqlite::Transaction| create(transaction, &job, now);
        Ok(self.db().write("create a job", change).await?)
    }

    /// A job.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn job(&self, id: JobId) -> Result<Option<Job>, DbError> {
        self.db().read("read a job", move |connection| by_id(connection, id)).await
    }

    /// The jobs after a number, in order: at most `limit`, at most [`PAGE_ROWS`].
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn jobs(
        &self,
        filter: JobFilter,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Job>, DbError> {
        let sql = match filter {
            JobFilter::All => "SELECT * FROM job WHERE id > ?1 ORDER BY id LIMIT ?2",
            JobFilter::Unfinished => {
                "SELECT * FROM job WHERE id > ?1 AND state IN ('running', 'paused') ORDER BY id LIMIT ?2"
            }
            JobFilter::Open => {
                "SELECT * FROM job WHERE id > ?1 AND state <> 'installed' ORDER BY id LIMIT ?2"
            }
        };
        let after = after.map_or(0, |id| id.0);
        let query = move |c: &Connection| all(c, sql, (after.sql(), limit.min(PAGE_ROWS)), read);
        self.db().read("read jobs", query).await
    }

    /// All running and paused jobs, in order: what a start takes up again.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn unfinished_jobs(&self) -> Result<Vec<Job>, DbError> {
        self.all_jobs(JobFilter::Unfinished).await
    }

    /// All jobs that are not installed, in order: running, paused, failed.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn open_jobs(&self) -> Result<Vec<Job>, DbError> {
        self.all_jobs(JobFilter::Open).await
    }

    /// The jobs that were installed since a time, the newest first: at most `limit`, at most [`PAGE_ROWS`].
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn installed_jobs(&self, since: UnixMillis, limit: u32) -> Result<Vec<Job>, DbError> {
        let sql = "SELECT * FROM job WHERE state = 'installed' AND finished >= ?1
            ORDER BY finished DESC, id DESC LIMIT ?2";
        let query = move |c: &Connection| all(c, sql, (since.sql(), limit.min(PAGE_ROWS)), read);
        self.db().read("read jobs", query).await
    }

    async fn all_jobs(&self, filter: JobFilter) -> Result<Vec<Job>, DbError> {
        let mut jobs: Vec<Job> = Vec::new();
        loop {
            let after = jobs.last().map(|job| job.id);
            let page = self.jobs(filter, after, PAGE_ROWS).await?;
            if page.is_empty() {
                return Ok(jobs);
            }
            jobs.extend(page);
        }
    }

    /// Keeps how far a job is. What `done` names must be durable in the temporary file. Of the sources the 512 that
    /// sent most are kept.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn checkpoint(&self, id: JobId, done: RangeSet, moved: Moved) -> Result<(), DbError> {
        self.set_progress(id, Some(done), moved).await
    }

    /// Keeps what a job has moved; what is done stays as the last checkpoint said. See [`Store::checkpoint`].
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn note_moved(&self, id: JobId, moved: Moved) -> Result<(), DbError> {
        self.set_progress(id, None, moved).await
    }

    async fn set_progress(&self, id: JobId, done: Option<RangeSet>, moved: Moved) -> Result<(), DbError> {
        let Moved { bytes_received, bytes_reused, elapsed_ms, sources } = moved;
        let sources = encode_sources(sources);
        let sql =
            "UPDATE job SET done = coalesce(?2, done), bytes_received = ?3, elapsed_ms = ?4, sources = ?5, bytes_reused = ?6
            WHERE id = ?1";
        self.db()
            .write("write a job's progress", move |transaction| {
                let values = rusqlite::params![
                    id.0.sql(),
                    done.sql(),
                    bytes_received.sql(),
                    elapsed_ms.sql(),
                    sources,
                    bytes_reused.sql(),
                ];
                run(transaction, sql, values).map(drop)
            })
            .await
    }

    /// Says how things stand with a job; returns whether it is there. One that is installed stays so. The log tells what is
    /// news of it: that it failed, was paused, goes on. Of the finished
    /// ones the last 1,000 are kept; with the others go their temporary files, or they stay until those can go.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn set_job_state(&self, id: JobId, state: JobState, now: UnixMillis) -> Result<bool, DbError> {
        let change = move |transaction: &rusqlite::Transaction| {
            let before = by_id(transaction, id)?;
            let set = set_state(transaction, id, &state, now)?;
            // Of an update that is tried again and again its subscription tells.
            let update = match &before {
                Some(before) => subscriptions::held_version(transaction, before)?.is_some(),
                None => false,
            };
            let told = before.filter(|_| set && !update).and_then(|before| told::turn(&before, &state));
            told.map_or(Ok(()), |activity| events::put(transaction, &activity))?;
            Ok((set, prune(transaction)?))
        };
        let (set, leftovers) = self.db().write("write a job", change).await?;
        if !leftovers.is_empty() {
            let store = self.clone();
            off_thread(move || store.forget_old(leftovers)).await;
        }
        Ok(set)
    }

    /// Changes what the user wants done differently with a job that is not installed.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn set_job_options(&self, id: JobId, options: JobOptions) -> Result<(), DbError> {
        self.db().write("write a job", move |transaction| set_options(transaction, id, options)).await
    }

    /// Chooses the manifest by which a job is downloaded. With another one than before what was received is removed first.
    ///
    /// # Errors
    /// See [`PartialError`].
    pub async fn set_job_root(&self, id: JobId, root: RootHash) -> Result<(), PartialError> {
        self.discard_unless(id, Some(root)).await?;
        let change = move |transaction: &rusqlite::Transaction| set_root(transaction, id, Some(root));
        Ok(self.db().write("write a job", change).await?)
    }

    /// Removes what was received by another manifest than this one.
    async fn discard_unless(&self, id: JobId, root: Option<RootHash>) -> Result<(), PartialError> {
        match self.job(id).await?.and_then(|job| job.root) {
            Some(chosen) if Some(chosen) != root => self.discard_temporary(id).await,
            _ => Ok(()),
        }
    }

    /// Gives a job another version of its resource; returns the job as it is then, or `None` where
    /// there is none that is not installed. For what was received see [`Store::set_job_root`].
    ///
    /// # Errors
    /// See [`JobError`].
    pub async fn revise_job(&self, id: JobId, offer: Offer) -> Result<Option<Job>, JobError> {
        if offer.record.content.is_none() {
            return Err(JobError::Tombstone(offer.record.name.clone()));
        }
        self.discard_unless(id, offer.root).await?;
        let change = move |transaction: &rusqlite::Transaction| {
            revise(transaction, id, &offer)?;
            Ok(by_id(transaction, id)?.filter(|job| job.state != JobState::Installed))
        };
        Ok(self.db().write("write a job", change).await?)
    }

    /// Ends an interrupted installation of a job, then removes its temporary file and forgets the job, in this order;
    /// returns the job as it was then.
    ///
    /// # Errors
    /// See [`JobError`]; the job stays then. Where the interrupted installation is [`InstallError::Unreachable`], it is
    /// forgotten too.
    pub async fn remove_job(&self, id: JobId, now: UnixMillis) -> Result<Option<Job>, JobError> {
        self.remove_job_for(id, None, now).await
    }

    /// The same, and the log tells why.
    ///
    /// # Errors
    /// As [`Store::remove_job`]; then the log tells nothing.
    pub async fn remove_job_for(
        &self,
        id: JobId,
        why: Option<Activity>,
        now: UnixMillis,
    ) -> Result<Option<Job>, JobError> {
        let store = self.clone();
        off_thread(move || {
            let _busy = store.inner.installs.begin(id).ok_or_else(|| InstallError::Busy(id))?;
            match store.resume_blocking(id, now) {
                Ok(_) | Err(InstallError::Unreachable(_)) => {}
                Err(error) => return Err(error.into()),
            }
            store.discard_remnant_blocking(id)?;
            store.discard_blocking(id)?;
            let change = move |transaction: &rusqlite::Transaction| {
                let removed = remove(transaction, id)?;
                let why = why.filter(|_| removed.is_some());
                why.map_or(Ok(()), |activity| events::put(transaction, &activity))?;
                Ok(removed)
            };
            Ok(store.db().write_blocking("remove a job", change)?)
        })
        .await
    }

    /// Forgets failed jobs that are too many, each once its temporary file is removed. What cannot be removed is told in
    /// the log, and tried again when the next job ends.
    pub(super) fn forget_old(&self, jobs: Vec<(JobId, PathBuf)>) {
        for (id, temporary) in jobs {
            // One that just goes on is not too old.
            let Some(_busy) = self.inner.installs.begin(id) else { continue };
            let removed = self
                .discard_remnant_blocking(id)
                .and_then(|()| Ok(remove_temporary(&**self.fs(), &temporary)?));
            let forget = move |transaction: &rusqlite::Transaction| forget_failed(transaction, id);
            let forgotten =
                removed.and_then(|()| Ok(self.db().write_blocking("remove an old job", forget)?));
            if let Err(error) = forgotten {
                tracing::warn!(job = %id, %error, "an old download that failed could not be forgotten");
            }
        }
    }
}

#[cfg(test)]
mod tests;
