//! What is copied on this machine while the rest is fetched.

use std::ops::Range;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::debug;

use super::Swarm;
use crate::transfer::outcome::JobError;
use crate::transfer::reuse::{Copied, Copying};
use crate::transfer::schedule::Arrived;

/// What was to be copied is fetched after all where nothing came for so long: its disk may hang. What comes later is taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// The copying of a swarm.
pub(super) struct Reusing {
    copying: Copying,
    /// When something was copied last.
    heard: Duration,
    /// Whether nobody is asked for what is not copied yet.
    expected: bool,
}

impl Swarm<'_> {
    /// Begins to copy, if there is anything to be copied. The reports end with it.
    pub(super) fn begin_to_copy(&mut self) -> Option<mpsc::Receiver<Copied>> {
        let reuse = self.parts.reuse.take()?;
        let runs: Vec<_> = reuse.chunks().collect();
        self.scheduler.expect_elsewhere(&runs);
        let target = (self.parts.file.clone(), self.parts.hasher.hashes().clone());
        let (copying, reports) = reuse.begin(&self.parts.shared, target, (*self.parts.chunks).clone());
        self.reusing = Some(Reusing { copying, heard: self.now(), expected: true });
        Some(reports)
    }

    /// Whether something is being copied.
    pub(super) fn copies(&self) -> bool {
        self.reusing.as_ref().is_some_and(|reusing| reusing.expected)
    }

    /// The copying reports; `None` where it is over.
    pub(super) fn copied(&mut self, report: Option<Copied>) -> Result<(), JobError> {
        match report {
            Some(Copied::Written(chunks)) => {
                let now = self.now();
                self.reusing.iter_mut().for_each(|reusing| reusing.heard = now);
                self.found_here(chunks);
                Ok(())
            }
            Some(Copied::Ended(result)) => {
                self.fetch_the_rest();
                Ok(result?)
            }
            None => {
                self.fetch_the_rest();
                Ok(())
            }
        }
    }

    /// A disk that hangs is not waited for.
    pub(super) fn watch_copying(&mut self) {
        let now = self.now();
        let silent = |reusing: &Reusing| now.saturating_sub(reusing.heard) >= PATIENCE;
        if self.reusing.as_ref().is_some_and(|reusing| reusing.expected && silent(reusing)) {
            debug!("a disk does not answer: what was to be copied is fetched");
            self.fetch_the_rest();
        }
    }

    /// Lets nothing more be copied, and takes what was.
    pub(super) async fn end_copying(&mut self, reports: Option<mpsc::Receiver<Copied>>) {
        if let Some(reusing) = &self.reusing {
            reusing.copying.close().await;
        }
        let mut reports = reports;
        while let Some(Ok(report)) = reports.as_mut().map(mpsc::Receiver::try_recv) {
            if let Copied::Written(chunks) = report {
                self.found_here(chunks);
            }
        }
    }

    fn fetch_the_rest(&mut self) {
        if let Some(reusing) = self.reusing.as_mut().filter(|reusing| reusing.expected) {
            reusing.expected = false;
            reusing.copying.set_late();
            self.scheduler.nothing_elsewhere();
        }
    }

    fn found_here(&mut self, chunks: Range<u32>) {
        let now = self.now();
        if let Some(giving) = self.parts.giving {
            giving.add(chunks.clone());
        }
        for chunk in chunks {
            if self.scheduler.chunk_found(now, chunk) == Arrived::Install {
                self.bytes_reused += self.arrived(chunk);
            }
        }
        self.tell_hasher();
    }
}

/// The next report of what is being copied; waits for ever where there is nothing.
pub(super) async fn next_copied(reports: &mut Option<mpsc::Receiver<Copied>>) -> Option<Copied> {
    let Some(receiver) = reports else { return std::future::pending().await };
    let report = receiver.recv().await;
    if report.is_none() {
        *reports = None;
    }
    report
}
