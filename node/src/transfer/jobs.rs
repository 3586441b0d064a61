//! All downloads of a node: started, attached to, paused, cancelled, resumed at start.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use certs::UserName;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::ResourceName;

use super::limits::Limiter;
use super::outcome::JobError;
use crate::control::ApiError;
use crate::control::api::{FilesProgress, GetDone, Stage, TransferPeer};
use crate::rate::Rate;
use crate::store::JobId;

/// A running download as everyone sees it.
#[derive(Debug, Clone)]
pub(crate) struct JobView {
    pub(crate) id: JobId,
    pub(crate) owner: UserName,
    pub(crate) name: ResourceName,
    pub(crate) target: PathBuf,
    pub(crate) stage: Stage,
    pub(crate) bytes_done: u64,
    pub(crate) bytes_total: Option<u64>,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_reused: u64,
    pub(crate) rate: u64,
    pub(crate) eta_ms: Option<u64>,
    pub(crate) holders: u32,
    /// Who is in the transfer.
    pub(crate) peers: Arc<[TransferPeer]>,
    /// Of a folder.
    pub(crate) files: Option<FilesProgress>,
    pub(crate) note: Option<String>,
    /// How it ended.
    pub(crate) end: Option<Result<GetDone, ApiError>>,
}

/// One running download: how to stop it, and how it is.
#[derive(Debug)]
pub(crate) struct JobControl {
    stop: CancellationToken,
    cancelled: AtomicBool,
    view: watch::Sender<JobView>,
    limiter: Arc<Limiter>,
}

impl JobControl {
    /// Of one with this limit of its own.
    pub(crate) fn new(stop: CancellationToken, limit: Rate, view: JobView) -> Arc<Self> {
        let (cancelled, limiter) = (AtomicBool::new(false), Limiter::new(limit));
        Arc::new(Self { stop, cancelled, view: watch::Sender::new(view), limiter })
    }

    /// Stops it; it goes on later.
    pub(crate) fn pause(&self) {
        self.stop.cancel();
    }

    /// Stops it for good.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.stop.cancel();
    }

    /// Limits it from now on.
    pub(crate) fn limit(&self, rate: Rate) {
        self.limiter.set_rate(rate);
    }

    /// What it passes, besides the limits of the node.
    pub(crate) const fn limiter(&self) -> &Arc<Limiter> {
        &self.limiter
    }

    /// Whether it was told to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits until it has ended, and how it ended is kept.
    pub(crate) async fn ended(&self) {
        let _ = self.watch().wait_for(|view| view.end.is_some()).await;
    }

    /// Follows how it is.
    pub(crate) fn watch(&self) -> watch::Receiver<JobView> {
        self.view.subscribe()
    }

    pub(crate) fn stop_token(&self) -> &CancellationToken {
        &self.stop
    }

    /// The error of a stopped download.
    pub(crate) fn stopped(&self) -> JobError {
        if self.cancelled.load(Ordering::Acquire) { JobError::Cancelled } else { JobError::Stopped }
    }

    /// Runs a future unless the download is stopped.
    pub(crate) async fn stoppable<F: Future>(&self, future: F) -> Result<F::Output, JobError> {
        self.stop.run_until_cancelled(future).await.ok_or_else(|| self.stopped())
    }

    pub(crate) fn stage(&self, stage: Stage) {
        self.update(|view| view.stage = stage);
    }

    /// How it is, and how fast it may be.
    pub(crate) fn view(&self) -> (JobView, Rate) {
        (self.view.borrow().clone(), self.limiter.rate())
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut JobView)) {
        self.view.send_modify(change);
    }

    /// Says how it ended; those who watch it hear that.
    pub(crate) fn end(&self, end: Result<GetDone, ApiError>) {
        self.update(|view| view.end = Some(end));
    }
}

/// The downloads that run, by the number of their job.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Mutex<HashMap<JobId, Arc<JobControl>>>);

impl Jobs {
    /// The control of a running job.
    pub(crate) fn find(&self, job: JobId) -> Option<Arc<JobControl>> {
        self.0.lock().expect("no panic while it is held").get(&job).cloned()
    }

    /// Enters a job that begins to run; `false` if it runs already.
    pub(crate) fn insert(&self, job: JobId, control: &Arc<JobControl>) -> bool {
        let mut running = self.0.lock().expect("no panic while it is held");
        let new = !running.contains_key(&job);
        if new {
            running.insert(job, control.clone());
        }
        new
    }

    /// Removes a job that has ended.
    pub(crate) fn remove(&self, job: JobId) {
        self.0.lock().expect("no panic while it is held").remove(&job);
    }

    /// How all that run are.
    pub(crate) fn views(&self) -> Vec<(JobView, Rate)> {
        let running = self.0.lock().expect("no panic while it is held");
        running.values().map(|control| control.view()).collect()
    }

    /// Pauses all.
    pub(crate) fn pause_all(&self) {
        self.0.lock().expect("no panic while it is held").values().for_each(|control| control.pause());
    }

    /// Pauses all, and waits until none runs any more.
    pub(crate) async fn stop_all(&self) {
        let controls: Vec<_> = self.0.lock().expect("no panic while it is held").values().cloned().collect();
        for control in &controls {
            control.pause();
        }
        for control in &controls {
            control.ended().await;
        }
    }
}
