//! The one thread that writes: group commit.
//!
//! It takes all jobs that wait, up to a bound, into one transaction with a savepoint each, and answers none of them
//! before COMMIT has returned. A job that fails is rolled back alone; when the transaction fails, all of its jobs do.
//!
//! The search table is changed after the last job, since FTS5 writes a segment at every savepoint that it sees.

use std::ops::Deref;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, oneshot};

use super::error::{CommitError, RegistryError};
use super::upkeep::Upkeep;
use super::{Seq, Tell};
use crate::followers::Changed;

/// Jobs that may wait. Each is a request on a stream of its own, whose sender waits when the queue is full.
const QUEUE: usize = 1024;
/// Jobs in one transaction.
const BATCH_JOBS: usize = 256;
/// Records and holdings that the jobs of one transaction change, after which no further job is taken into it: some tens
/// of milliseconds of work.
const BATCH_CHANGES: usize = 1000;
/// How long no job must have come until the upkeep begins: longer than between two of a load.
const QUIET: Duration = Duration::from_millis(200);

type Fate = Result<(), Arc<CommitError>>;
type Answer = Box<dyn FnOnce(Fate) + Send>;
type Work = Box<dyn FnOnce(&mut Batch<'_>) -> Answer + Send>;

enum Job {
    Work { changes: usize, work: Work },
    Stop,
}

/// A handle to the writing thread.
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    ended: std::sync::Mutex<Option<oneshot::Receiver<()>>>,
}

/// What a job sees: the connection, within the transaction.
pub(crate) struct Batch<'a> {
    connection: &'a Connection,
    search: Vec<SearchChange>,
    changed: Vec<Changed>,
    members_changed: bool,
}

/// A change to the search table.
pub(super) enum SearchChange {
    Add { seq: Seq, text: String },
    Remove { seq: Seq },
}

impl Writer {
    /// Starts the thread. What has changed is told when its transaction is durable, after those who asked for it have
    /// their answers; `members` then, where it was who the members are.
    pub(super) fn start(connection: Connection, tell: Tell, members: Arc<Notify>) -> std::io::Result<Self> {
        let (jobs, receiver) = mpsc::channel(QUEUE);
        let (end, ended) = oneshot::channel();
        let timer = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        thread::Builder::new().name("index-writer".to_owned()).spawn(move || {
            run(&connection, receiver, &timer, &tell, &members);
            drop(connection);
            // Whoever waits for the end may have gone.
            let _ = end.send(());
        })?;
        Ok(Self { jobs, ended: std::sync::Mutex::new(Some(ended)) })
    }

    /// Does a job that changes about so many records or holdings, and returns once it is durable.
    ///
    /// # Cancel safety
    /// If cancelled before it was queued, nothing happens; after that the job is done all the same.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        changes: usize,
        job: impl FnOnce(&mut Batch<'_>) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let (sender, receiver) = oneshot::channel();
        let work: Work = Box::new(move |batch| {
            let result = batch.savepoint(job);
            Box::new(move |fate| {
                let result = fate.map_err(RegistryError::Commit).and(result);
                // The one who asked may have gone; the job is done all the same.
                let _ = sender.send(result);
            })
        });
        self.jobs.send(Job::Work { changes, work }).await.map_err(|_| RegistryError::Stopped)?;
        receiver.await.map_err(|_| RegistryError::Stopped)?
    }

    /// Finishes what is queued, takes nothing more, and returns when the database is closed.
    pub(super) async fn stop(&self) {
        // An error means that it has stopped already.
        let _ = self.jobs.send(Job::Stop).await;
        let ended = super::lock(&self.ended).take();
        if let Some(ended) = ended {
            let _ = ended.await;
        }
    }
}

impl Batch<'_> {
    /// Notes a change to the search table: made in the same transaction, after its last job.
    pub(super) fn search(&mut self, change: SearchChange) {
        self.search.push(change);
    }

    /// Notes that a resource has a new record.
    pub(super) fn changed(&mut self, change: Changed) {
        self.changed.push(change);
    }

    /// Notes that the members, or their serials, may have changed.
    pub(super) fn members_changed(&mut self) {
        self.members_changed = true;
    }

    fn savepoint<T>(
        &mut self,
        job: impl FnOnce(&mut Self) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        // Never outside of the transaction: there a savepoint would commit by itself.
        if self.connection.is_autocommit() {
            return Err(RegistryError::Commit(Arc::new(CommitError::RolledBack)));
        }
        let noted = (self.search.len(), self.changed.len());
        self.connection.execute_batch("SAVEPOINT job")?;
        let result = job(self);
        if result.is_err() {
            self.search.truncate(noted.0);
            self.changed.truncate(noted.1);
            self.connection.execute_batch("ROLLBACK TO job")?;
        }
        self.connection.execute_batch("RELEASE job")?;
        result
    }

    fn change_search_table(&mut self) -> rusqlite::Result<()> {
        for change in self.search.drain(..) {
            match &change {
                SearchChange::Add { seq, text } => self
                    .connection
                    .prepare_cached("INSERT INTO search(rowid, text) VALUES (?1, ?2)")?
                    .execute((seq.0, text))?,
                SearchChange::Remove { seq } => {
                    self.connection.prepare_cached("DELETE FROM search WHERE rowid = ?1")?.execute([seq.0])?
                }
            };
        }
        Ok(())
    }
}

impl Deref for Batch<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

fn run(
    connection: &Connection,
    mut jobs: mpsc::Receiver<Job>,
    timer: &Runtime,
    tell: &Tell,
    members: &Notify,
) {
    // What a process that was killed has left is still to be done.
    let mut upkeep = Upkeep::Merge;
    let mut quiet = QUIET;
    loop {
        let job = match upkeep {
            Upkeep::Nothing => jobs.blocking_recv(),
            _ => match timer.block_on(async { tokio::time::timeout(quiet, jobs.recv()).await }) {
                Ok(job) => job,
                Err(_) => {
                    upkeep = upkeep.step(connection);
                    quiet = Duration::ZERO;
                    continue;
                }
            },
        };
        let Some(job) = job else { return };
        let batch = gather(job, &mut jobs);
        if !batch.is_empty() {
            let (changed, members_changed) = commit(connection, batch);
            tell(changed);
            if members_changed {
                members.notify_one();
            }
            (upkeep, quiet) = (Upkeep::Merge, QUIET);
        }
    }
}

/// The job and all that wait behind it, up to the bounds. A stop closes the queue; what is in it is still done.
fn gather(first: Job, jobs: &mut mpsc::Receiver<Job>) -> Vec<Work> {
    let (mut batch, mut total) = (Vec::new(), 0);
    let mut next = Some(first);
    while let Some(job) = next {
        match job {
            Job::Work { changes, work } => {
                batch.push(work);
                total += changes;
            }
            Job::Stop => jobs.close(),
        }
        if batch.len() >= BATCH_JOBS || total >= BATCH_CHANGES {
            break;
        }
        next = jobs.try_recv().ok();
    }
    batch
}

/// What has changed for good, in order; and whether the members have.
fn commit(connection: &Connection, jobs: Vec<Work>) -> (Vec<Changed>, bool) {
    let mut answers = Vec::with_capacity(jobs.len());
    let stored = transaction(connection, jobs, &mut answers).map_err(Arc::new);
    let (fate, changed) = match stored {
        Ok(changed) => (Ok(()), changed),
        Err(error) => (Err(error), (Vec::new(), false)),
    };
    if let Err(error) = &fate {
        tracing::error!(%error, jobs = answers.len(), "a transaction of the index failed");
        if !connection.is_autocommit() {
            // If even this fails, the next BEGIN says so.
            let _ = connection.execute_batch("ROLLBACK");
        }
    }
    for answer in answers {
        answer(fate.clone());
    }
    changed
}

fn transaction(
    connection: &Connection,
    jobs: Vec<Work>,
    answers: &mut Vec<Answer>,
) -> Result<(Vec<Changed>, bool), CommitError> {
    let begun = connection.execute_batch("BEGIN IMMEDIATE");
    let mut batch = Batch { connection, search: Vec::new(), changed: Vec::new(), members_changed: false };
    for work in jobs {
        answers.push(work(&mut batch));
    }
    begun?;
    if connection.is_autocommit() {
        return Err(CommitError::RolledBack);
    }
    batch.change_search_table()?;
    connection.execute_batch("COMMIT")?;
    Ok((batch.changed, batch.members_changed))
}
