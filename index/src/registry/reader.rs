//! A few threads that read, each on a connection of its own.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::error::{OpenError, RegistryError};
use super::{lock, schema};

/// Reading threads: one for each core that the index plans for.
const THREADS: usize = 2;
/// Reads that may wait. Each is a request on a stream of its own, whose sender waits when the queue is full.
const QUEUE: usize = 1024;

type Work = Box<dyn FnOnce(&Connection) + Send>;

enum Job {
    Work(Work),
    Stop,
}

/// A handle to the reading threads.
pub(super) struct Readers {
    jobs: mpsc::Sender<Job>,
}

impl Readers {
    /// Opens the connections and starts the threads.
    pub(super) fn start(path: &Path) -> Result<Self, OpenError> {
        let (jobs, receiver) = mpsc::channel(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..THREADS {
            let (connection, receiver) = (schema::open_reader(path)?, receiver.clone());
            thread::Builder::new()
                .name(format!("index-reader-{number}"))
                .spawn(move || run(&connection, &receiver))
                .map_err(OpenError::Thread)?;
        }
        Ok(Self { jobs })
    }

    /// Reads: all that the job sees is one state of the database.
    ///
    /// # Cancel safety
    /// Cancelling only loses the result.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let (sender, receiver) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            if !sender.is_closed() {
                // The one who asked may go while it is read.
                let _ = sender.send(in_one_state(connection, job));
            }
        });
        self.jobs.send(Job::Work(work)).await.map_err(|_| RegistryError::Stopped)?;
        receiver.await.map_err(|_| RegistryError::Stopped)?
    }

    /// Ends the threads after what is queued.
    pub(super) async fn stop(&self) {
        for _ in 0..THREADS {
            // An error means that all have stopped already.
            let _ = self.jobs.send(Job::Stop).await;
        }
        self.jobs.closed().await;
    }
}

fn run(connection: &Connection, jobs: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        // Whoever waits for the next job holds the lock; the others wait for the lock instead.
        let next = lock(jobs).blocking_recv();
        match next {
            Some(Job::Work(work)) => work(connection),
            Some(Job::Stop) | None => return,
        }
    }
}

fn in_one_state<T>(
    connection: &Connection,
    job: impl FnOnce(&Connection) -> Result<T, RegistryError>,
) -> Result<T, RegistryError> {
    // Rolled back when dropped, which for a transaction that only read is an end like any other.
    let transaction = connection.unchecked_transaction()?;
    job(&transaction)
}
