//! Jobs in the database.

use std::path::PathBuf;
use std::sync::Arc;

use certs::{UnixMillis, cbor};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Row};
use wire::{RootHash, SignedRecord};

use super::{Base, CreatedJob, Job, JobFailure, JobId, JobOptions, JobSource, JobState, NewJob, Offer};
use crate::store::columns::{Column, all, first, get, run, unreadable};
use crate::store::{garbage, intents};

/// Finished jobs that are remembered; older ones are forgotten, with what is left of their files.
pub(super) const FINISHED_JOBS: u32 = 1000;
/// Jobs too many whose temporary files are removed at once.
const LEFTOVERS: u32 = 16;
/// Sources that are remembered for a job: those that sent most.
pub(super) const SOURCES: usize = 512;
/// Their encoding: 512 of at most 120 bytes.
pub(super) const SOURCES_BYTES: usize = 64 << 10;

pub(super) fn create(connection: &Connection, job: &NewJob, now: UnixMillis) -> rusqlite::Result<CreatedJob> {
    let same_target = "SELECT * FROM job WHERE target = ?1 AND state <> 'installed'";
    if let Some(existing) = first(connection, same_target, [job.target.sql()], read)? {
        return Ok(CreatedJob::Existing(existing));
    }
    let NewJob { target, options, only, base, offer } = job;
    let (base_root, base_content) = (base.map(|base| base.root), base.map(|base| base.content));
    let sql =
        "INSERT INTO job (user, name, target, force, share, once, record, receipt, certificate, root, done,
            state, bytes_received, sources, created, only, rate_limit, base_root, base_content, pinned)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, x'', 'running', 0, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
        RETURNING *";
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
        (!only.is_empty()).then(|| cbor::encode(only)),
        options.limit.sql(),
        base_root.sql(),
        base_content.sql(),
        options.pinned.sql(),
    ];
    connection.prepare_cached(sql)?.query_row(values, read).map(CreatedJob::New)
}

pub(super) fn remove(connection: &Connection, id: JobId) -> rusqlite::Result<Option<Job>> {
    let job = by_id(connection, id)?;
    intents::remove(connection, id)?;
    run(connection, "DELETE FROM job WHERE id = ?1", [id.0.sql()])?;
    if let Some(job) = &job {
        let roots = [job.root, job.base.map(|base| base.root)];
        roots.into_iter().flatten().try_for_each(|root| garbage::collect(connection, root))?;
    }
    Ok(job)
}

pub(super) fn revise(connection: &Connection, id: JobId, offer: &Offer) -> rusqlite::Result<()> {
    set_root(connection, id, offer.root)?;
    let sql = "UPDATE job SET user = ?2, name = ?3, record = ?4, receipt = ?5, certificate = ?6
        WHERE id = ?1 AND state <> 'installed'";
    let values = rusqlite::params![
        id.0.sql(),
        offer.record.user.sql(),
        offer.record.name.sql(),
        offer.record.sql(),
        offer.receipt.sql(),
        offer.certificate.sql(),
    ];
    run(connection, sql, values).map(drop)
}

pub(super) fn set_options(connection: &Connection, id: JobId, options: JobOptions) -> rusqlite::Result<()> {
    let sql = "UPDATE job SET force = ?2, share = ?3, once = ?4, rate_limit = ?5, pinned = ?6
        WHERE id = ?1 AND state <> 'installed'";
    let JobOptions { force, share, once, pinned, limit } = options;
    let values = (id.0.sql(), force.sql(), share.sql(), once.sql(), limit.sql(), pinned.sql());
    run(connection, sql, values).map(drop)
}

pub(super) fn set_root(connection: &Connection, id: JobId, root: Option<RootHash>) -> rusqlite::Result<()> {
    let sql = "UPDATE job SET root = ?2,
            done = CASE WHEN root IS NULL OR root IS ?2 THEN done ELSE x'' END,
            bytes_reused = CASE WHEN root IS NULL OR root IS ?2 THEN bytes_reused ELSE 0 END,
            temporary = CASE WHEN root IS NULL OR root IS ?2 THEN temporary END
        WHERE id = ?1 AND state <> 'installed'";
    let before = by_id(connection, id)?.and_then(|job| job.root).filter(|before| Some(*before) != root);
    run(connection, sql, (id.0.sql(), root.sql()))?;
    before.map_or(Ok(()), |before| garbage::collect(connection, before))
}

/// A job's target is no version of its resource any more: it is downloaded like a new one, and nothing of it is done.
pub(in crate::store) fn forget_base(connection: &Connection, id: JobId) -> rusqlite::Result<()> {
    let base = by_id(connection, id)?.and_then(|job| job.base);
    run(connection, "UPDATE job SET base_root = NULL, base_content = NULL WHERE id = ?1", [id.0.sql()])?;
    base.map_or(Ok(()), |base| garbage::collect(connection, base.root))
}

/// Gives a job a temporary file, or none, in which nothing is done.
pub(in crate::store) fn set_temporary(
    connection: &Connection,
    id: JobId,
    temporary: &Option<PathBuf>,
) -> rusqlite::Result<()> {
    let sql = "UPDATE job SET temporary = ?2, done = x'', bytes_reused = 0 WHERE id = ?1";
    run(connection, sql, (id.0.sql(), temporary.sql())).map(drop)
}

/// One job.
pub(in crate::store) fn by_id(connection: &Connection, id: JobId) -> rusqlite::Result<Option<Job>> {
    first(connection, "SELECT * FROM job WHERE id = ?1", [id.0.sql()], read)
}

/// See [`Store::set_job_state`](crate::store::Store::set_job_state).
pub(in crate::store) fn set_state(
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

/// The finished jobs that are too many, the oldest.
const TOO_MANY: &str =
    "SELECT id FROM job WHERE state IN ('failed', 'installed') AND id NOT IN (SELECT job FROM intent)
    ORDER BY finished DESC, id DESC LIMIT -1 OFFSET";

/// Forgets all finished jobs but the last ones. Those that still have a temporary file stay and are returned, at most
/// [`LEFTOVERS`] of them: the file has to go first.
pub(in crate::store) fn prune(connection: &Connection) -> rusqlite::Result<Vec<(JobId, PathBuf)>> {
    let no_remnant = "NOT EXISTS (SELECT 1 FROM remnant WHERE remnant.job = job.id)";
    let sql = format!("DELETE FROM job WHERE temporary IS NULL AND {no_remnant} AND id IN ({TOO_MANY} ?1)");
    run(connection, &sql, [FINISHED_JOBS])?;
    let sql = format!(
        "SELECT id, coalesce(job.temporary, remnant.temporary) AS temporary
        FROM job LEFT JOIN remnant ON remnant.job = job.id
        WHERE coalesce(job.temporary, remnant.temporary) IS NOT NULL AND id IN ({TOO_MANY} ?1) LIMIT ?2"
    );
    all(connection, &sql, [FINISHED_JOBS, LEFTOVERS], |row| {
        Ok((JobId(get(row, "id")?), get(row, "temporary")?))
    })
}

/// Forgets a failed job whose temporary file is removed.
pub(super) fn forget_failed(connection: &Connection, id: JobId) -> rusqlite::Result<()> {
    run(connection, "DELETE FROM job WHERE id = ?1 AND state = 'failed'", [id.0.sql()]).map(drop)
}

pub(super) fn encode_sources(mut sources: Vec<JobSource>) -> Vec<u8> {
    sources.sort_by_key(|source| std::cmp::Reverse(source.bytes));
    sources.truncate(SOURCES);
    cbor::encode(&sources)
}

pub(super) struct Sources(pub(super) Vec<JobSource>);

impl Column for Sources {
    fn sql(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Owned(Value::Blob(cbor::encode(&self.0)))
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        cbor::decode(value.as_blob().ok()?, SOURCES_BYTES).ok().map(Self)
    }
}

/// Patterns, as the command line takes them: at most 256 of 4,096 bytes.
#[derive(Default)]
pub(in crate::store) struct Only(pub(in crate::store) Vec<String>);

const ONLY_BYTES: usize = 2 << 20;

impl Column for Only {
    fn sql(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Owned(Value::Blob(cbor::encode(&self.0)))
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        cbor::decode(value.as_blob().ok()?, ONLY_BYTES).ok().map(Self)
    }
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Job> {
    let record: Arc<SignedRecord> = get(row, "record")?;
    let options = JobOptions {
        force: get(row, "force")?,
        share: get(row, "share")?,
        once: get(row, "once")?,
        pinned: get(row, "pinned")?,
        limit: get(row, "rate_limit")?,
    };
    Ok(Job {
        id: JobId(get(row, "id")?),
        owner: get(row, "user")?,
        name: get(row, "name")?,
        target: get(row, "target")?,
        options,
        only: get::<Option<Only>>(row, "only")?.unwrap_or_default().0,
        base: read_base(row)?,
        content: record.content.ok_or_else(|| unreadable(row, "record"))?,
        record,
        receipt: get(row, "receipt")?,
        certificate: get(row, "certificate")?,
        root: get(row, "root")?,
        temporary: get(row, "temporary")?,
        done: get(row, "done")?,
        state: read_state(row)?,
        bytes_received: get(row, "bytes_received")?,
        bytes_reused: get(row, "bytes_reused")?,
        elapsed_ms: get(row, "elapsed_ms")?,
        sources: get::<Sources>(row, "sources")?.0,
        created: get(row, "created")?,
        finished: get(row, "finished")?,
    })
}

fn read_base(row: &Row<'_>) -> rusqlite::Result<Option<Base>> {
    let (root, content) = (get(row, "base_root")?, get(row, "base_content")?);
    Ok(Option::zip(root, content).map(|(root, content)| Base { root, content }))
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
