//! Work that nobody waits for: it ends with the index.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of one index.
#[derive(Clone, Default)]
pub(crate) struct Background {
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Background {
    /// Starts a task, which is cancelled when the index stops. The caller bounds how many there are.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.tasks.spawn(async move {
            stopping.run_until_cancelled(task).await;
        });
    }

    /// Cancels all and waits until they have ended.
    pub(crate) async fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
