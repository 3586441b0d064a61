//! Downloads: what was asked for, how far it is, how it ended.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use certs::{NodeId, UnixMillis, UserName, cbor};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};
use wire::{ContentHash, ResourceName, RootHash, SignedRecord};

use super::columns::{Column, all, first, get, run, unreadable};
use super::{DbError, PAGE_ROWS, Store, off_thread};
use crate::ranges::RangeSet;

/// Finished jobs that are remembered; older ones are forgotten, with what is left of their files.
const FINISHED_JOBS: u32 = 1000;
/// Sources that are remembered for a job: those that sent most.
const SOURCES: usize = 512;
/// Their encoding: 512 of at most 120 bytes.
const SOURCES_BYTES: usize = 64 << 10;

/// A job's number in the database. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What the user wants done differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobOptions {
    /// A file that lies at the target may be replaced; it is kept beside.
    pub force: bool,
    /// The file is served to others once it is there.
    pub share: bool,
    /// The resource is not subscribed to.
    pub once: bool,
}

/// How things stand with a job. Every state but `Installed` may become any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// It is worked on, or will be after the next start.
    Running,
    /// The user stopped it for now.
    Paused,
    /// It ended without the file. Its temporary file is kept, so that it can go on.
    Failed(JobFailure),
    /// The file is at its target.
    Installed,
}

impl JobState {
    /// Its word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Failed(_) => "failed",
            Self::Installed => "installed",
        }
    }

    const fn is_finished(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Installed)
    }
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFailure {
    /// For programs.
    pub code: String,
    /// For people.
    pub text: String,
}

/// A node from which bytes of a job came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSource {
    /// The node.
    pub node: NodeId,
    /// Its user.
    pub user: UserName,
    /// How many verified bytes it sent.
    pub bytes: u64,
}

/// A download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// The user who owns the resource.
    pub owner: UserName,
    /// The resource's name.
    pub name: ResourceName,
    /// Where the file is to be.
    pub target: PathBuf,
    /// What the user wants done differently.
    pub options: JobOptions,
    /// The record of the version that is downloaded.
    pub record: Arc<SignedRecord>,
    /// The index's receipt for the record.
    pub receipt: Option<Bytes>,
    /// The index certificate that the receipt hangs from.
    pub certificate: Option<Bytes>,
    /// The record's content.
    pub content: ContentHash,
    /// The manifest by which the file is downloaded, once it is chosen.
    pub root: Option<RootHash>,
    /// The temporary file, once there is one.
    pub temporary: Option<PathBuf>,
    /// The chunks that are verified and durable in the temporary file.
    pub done: RangeSet,
    /// How things stand.
    pub state: JobState,
    /// Verified bytes that came over the network.
    pub bytes_received: u64,
    /// From whom they came: those that sent most.
    pub sources: Vec<JobSource>,
    /// When it was asked for.
    pub created: UnixMillis,
    /// When it failed or was installed.
    pub finished: Option<UnixMillis>,
}

/// What [`Store::create_job`] needs to know. Owner and name are the record's.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Where the file is to be.
    pub target: PathBuf,
    /// What the user wants done differently.
    pub options: JobOptions,
    /// The version to download.
    pub offer: Offer,
}

/// A version of a resource, as the index or a replica offers it.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Its record: not a tombstone.
    pub record: Arc<SignedRecord>,
    /// The index's receipt for the record.
    pub receipt: Option<Bytes>,
    /// The index certificate that the receipt hangs from.
    pub certificate: Option<Bytes>,
    /// The manifest by which to download it, where that is known already.
    pub root: Option<RootHash>,
}

/// What [`Store::create_job`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreatedJob {
    /// There is a new job, running.
    New(Job),
    /// There was a job with the same target that is not installed: nothing was changed.
    Existing(Job),
}

/// Why a job was not created or changed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The database did not answer.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The record is a tombstone.
    #[error("{0} was taken back by its owner: there is nothing to download")]
    Tombstone(ResourceName),
}

/// Which jobs [`Store::jobs`] lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobFilter {
    /// All.
    All,
    /// Running and paused ones.
    Unfinished,
    /// Failed and installed ones.
    Finished,
}

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
            JobFilter::Finished => {
                "SELECT * FROM job WHERE id > ?1 AND state IN ('failed', 'installed') ORDER BY id LIMIT ?2"
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
        let mut jobs: Vec<Job> = Vec::new();
        loop {
            let after = jobs.last().map(|job| job.id);
            let page = self.jobs(JobFilter::Unfinished, after, PAGE_ROWS).await?;
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
    pub async fn checkpoint(
        &self,
        id: JobId,
        done: RangeSet,
        bytes_received: u64,
        sources: Vec<JobSource>,
    ) -> Result<(), DbError> {
        let sources = encode_sources(sources);
        let sql = "UPDATE job SET done = ?2, bytes_received = ?3, sources = ?4 WHERE id = ?1";
        self.db()
            .write("write a job's progress", move |transaction| {
                run(transaction, sql, (id.0.sql(), done.sql(), bytes_received.sql(), sources)).map(drop)
            })
            .await
    }

    /// Says how things stand with a job; returns whether it is there. One that is installed stays so. Of the finished
    /// ones the last 1,000 are kept; with the others go their temporary files.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn set_job_state(&self, id: JobId, state: JobState, now: UnixMillis) -> Result<bool, DbError> {
        let change = move |transaction: &rusqlite::Transaction| {
            let set = set_state(transaction, id, &state, now)?;
            Ok((set, prune(transaction)?))
        };
        let (set, leftovers) = self.db().write("write a job", change).await?;
        self.remove_leftovers(leftovers).await;
        Ok(set)
    }

    /// Chooses the manifest by which a job is downloaded. With another one than before nothing is done yet: the
    /// temporary file is the job's no longer, and the caller discards it.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn set_job_root(&self, id: JobId, root: RootHash) -> Result<(), DbError> {
        self.db().write("write a job", move |transaction| set_root(transaction, id, Some(root))).await
    }

    /// Gives a job other options and another version of its resource; returns the job as it is then, or `None` where
    /// there is none that is not installed. For the temporary file see [`Store::set_job_root`].
    ///
    /// # Errors
    /// See [`JobError`].
    pub async fn revise_job(
        &self,
        id: JobId,
        options: JobOptions,
        offer: Offer,
    ) -> Result<Option<Job>, JobError> {
        if offer.record.content.is_none() {
            return Err(JobError::Tombstone(offer.record.name.clone()));
        }
        let change = move |transaction: &rusqlite::Transaction| {
            revise(transaction, id, options, &offer)?;
            Ok(by_id(transaction, id)?.filter(|job| job.state != JobState::Installed))
        };
        Ok(self.db().write("write a job", change).await?)
    }

    /// Forgets a job; returns it as it was. Its temporary file is the caller's to discard.
    ///
    /// # Errors
    /// See [`DbError`]; also where an installation of it is unfinished: see [`Store::recover`].
    pub async fn remove_job(&self, id: JobId) -> Result<Option<Job>, DbError> {
        self.db()
            .write("remove a job", move |transaction| {
                let job = by_id(transaction, id)?;
                run(transaction, "DELETE FROM job WHERE id = ?1", [id.0.sql()])?;
                Ok(job)
            })
            .await
    }

    /// Removes what is left of forgotten jobs. What cannot be removed stays, and is told in the log.
    async fn remove_leftovers(&self, leftovers: Vec<PathBuf>) {
        if leftovers.is_empty() {
            return;
        }
        let fs = self.fs().clone();
        off_thread(move || {
            for path in leftovers {
                super::partial::remove_temporary(&*fs, &path);
            }
        })
        .await;
    }
}

fn create(connection: &Connection, job: &NewJob, now: UnixMillis) -> rusqlite::Result<CreatedJob> {
    let same_target = "SELECT * FROM job WHERE target = ?1 AND state <> 'installed'";
    if let Some(existing) = first(connection, same_target, [job.target.sql()], read)? {
        return Ok(CreatedJob::Existing(existing));
    }
    let NewJob { target, options, offer } = job;
    let sql =
        "INSERT INTO job (user, name, target, force, share, once, record, receipt, certificate, root, done,
            state, bytes_received, sources, created)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, x'', 'running', 0, ?11, ?12) RETURNING *";
    let values = rusqlite::params![
        offer.record.user.sql(),
        offer.record.name.sql(),
        target.sql(),
        options.force.sql(),
        options.share.sql(),
        options.once.sql(),
        offer.record.sql(),
        offer.receipt.sql(),
        offer.certificate.sql(),
        offer.root.sql(),
        encode_sources(Vec::new()),
        now.sql(),
    ];
    connection.prepare_cached(sql)?.query_row(values, read).map(CreatedJob::New)
}

fn revise(connection: &Connection, id: JobId, options: JobOptions, offer: &Offer) -> rusqlite::Result<()> {
    set_root(connection, id, offer.root)?;
    let sql =
        "UPDATE job SET force = ?2, share = ?3, once = ?4, user = ?5, name = ?6, record = ?7, receipt = ?8,
            certificate = ?9 WHERE id = ?1 AND state <> 'installed'";
    let values = rusqlite::params![
        id.0.sql(),
        options.force.sql(),
        options.share.sql(),
        options.once.sql(),
        offer.record.user.sql(),
        offer.record.name.sql(),
        offer.record.sql(),
        offer.receipt.sql(),
        offer.certificate.sql(),
    ];
    run(connection, sql, values).map(drop)
}

fn set_root(connection: &Connection, id: JobId, root: Option<RootHash>) -> rusqlite::Result<()> {
    let sql = "UPDATE job SET root = ?2,
            done = CASE WHEN root IS NULL OR root IS ?2 THEN done ELSE x'' END,
            temporary = CASE WHEN root IS NULL OR root IS ?2 THEN temporary END
        WHERE id = ?1 AND state <> 'installed'";
    run(connection, sql, (id.0.sql(), root.sql())).map(drop)
}

/// Gives a job a temporary file, or none, in which nothing is done.
pub(super) fn set_temporary(
    connection: &Connection,
    id: JobId,
    temporary: &Option<PathBuf>,
) -> rusqlite::Result<()> {
    let sql = "UPDATE job SET temporary = ?2, done = x'' WHERE id = ?1";
    run(connection, sql, (id.0.sql(), temporary.sql())).map(drop)
}

/// One job.
pub(super) fn by_id(connection: &Connection, id: JobId) -> rusqlite::Result<Option<Job>> {
    first(connection, "SELECT * FROM job WHERE id = ?1", [id.0.sql()], read)
}

/// See [`Store::set_job_state`].
pub(super) fn set_state(
    connection: &Connection,
    id: JobId,
    state: &JobState,
    now: UnixMillis,
) -> rusqlite::Result<bool> {
    let failure = match state {
        JobState::Failed(failure) => Some(failure),
        _ => None,
    };
    let sql = "UPDATE job SET state = ?2, failure_code = ?3, failure_text = ?4, finished = ?5,
            temporary = CASE WHEN ?2 = 'installed' THEN NULL ELSE temporary END
        WHERE id = ?1 AND state <> 'installed'";
    let finished = state.is_finished().then_some(now);
    let values = rusqlite::params![
        id.0.sql(),
        state.as_str(),
        failure.map(|failure| &failure.code),
        failure.map(|failure| &failure.text),
        finished.sql(),
    ];
    Ok(run(connection, sql, values)? > 0)
}

/// Forgets all finished jobs but the last ones; returns their temporary files.
pub(super) fn prune(connection: &Connection) -> rusqlite::Result<Vec<PathBuf>> {
    let sql = "DELETE FROM job WHERE id IN (
            SELECT id FROM job WHERE state IN ('failed', 'installed') AND id NOT IN (SELECT job FROM intent)
            ORDER BY finished DESC, id DESC LIMIT -1 OFFSET ?1
        ) RETURNING temporary";
    let temporaries: Vec<Option<PathBuf>> =
        all(connection, sql, [FINISHED_JOBS], |row| get(row, "temporary"))?;
    Ok(temporaries.into_iter().flatten().collect())
}

fn encode_sources(mut sources: Vec<JobSource>) -> Vec<u8> {
    sources.sort_by_key(|source| std::cmp::Reverse(source.bytes));
    sources.truncate(SOURCES);
    cbor::encode(&sources)
}

struct Sources(Vec<JobSource>);

impl Column for Sources {
    fn sql(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Owned(Value::Blob(cbor::encode(&self.0)))
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        cbor::decode(value.as_blob().ok()?, SOURCES_BYTES).ok().map(Self)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Job> {
    let record: Arc<SignedRecord> = get(row, "record")?;
    let options =
        JobOptions { force: get(row, "force")?, share: get(row, "share")?, once: get(row, "once")? };
    Ok(Job {
        id: JobId(get(row, "id")?),
        owner: get(row, "user")?,
        name: get(row, "name")?,
        target: get(row, "target")?,
        options,
        content: record.content.ok_or_else(|| unreadable(row, "record"))?,
        record,
        receipt: get(row, "receipt")?,
        certificate: get(row, "certificate")?,
        root: get(row, "root")?,
        temporary: get(row, "temporary")?,
        done: get(row, "done")?,
        state: read_state(row)?,
        bytes_received: get(row, "bytes_received")?,
        sources: get::<Sources>(row, "sources")?.0,
        created: get(row, "created")?,
        finished: get(row, "finished")?,
    })
}

fn read_state(row: &Row<'_>) -> rusqlite::Result<JobState> {
    Ok(match get::<String>(row, "state")?.as_str() {
        "running" => JobState::Running,
        "paused" => JobState::Paused,
        "installed" => JobState::Installed,
        "failed" => {
            JobState::Failed(JobFailure { code: get(row, "failure_code")?, text: get(row, "failure_text")? })
        }
        _ => return Err(unreadable(row, "state")),
    })
}

#[cfg(test)]
mod tests;
