//! The tasks of a node: every one is counted, told to stop, and waited for.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where tasks are started. Cheap to clone; all clones are one set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// An empty set.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Starts a task that watches [`Tasks::stopping`] itself, because it has something to finish.
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(future)
    }

    /// Starts a task that may be dropped at any await when the node stops.
    pub(crate) fn spawn_droppable(&self, future: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move { stop.run_until_cancelled(future).await });
    }

    /// Completes when the node stops.
    pub(crate) async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// A token that is cancelled when the node stops, for what is cancelled on its own as well.
    pub(crate) fn child_token(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// Whether the node stops.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Tells all tasks to stop.
    pub(crate) fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Tells all tasks to stop and waits for them; returns whether all had ended within `deadline`.
    pub(crate) async fn stop(&self, deadline: Duration) -> bool {
        self.begin_stop();
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok()
    }
}
