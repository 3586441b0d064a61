//! Making the progress of a transfer durable.

use std::time::Duration;

use tracing::warn;

use super::Swarm;
use crate::ranges::RangeSet;
use crate::store::Moved;
use crate::transfer::outcome::JobError;

/// Progress is made durable after so many bytes, or so many whole files of a folder, or so long, whichever comes first.
/// Of many small files the file system has most on the disk by the time when the last has come, and installing does not
/// wait for all of them.
const CHECKPOINT_BYTES: u64 = 64 << 20;
const CHECKPOINT_FILES: u32 = 1024;
const CHECKPOINT_AFTER: Duration = Duration::from_secs(5);

/// What was received and is not durable.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Unsaved {
    pub(super) bytes: u64,
    /// Of a folder those that became whole.
    pub(super) files: u32,
}

impl Unsaved {
    fn is_due(self, waited: Duration) -> bool {
        self.bytes >= CHECKPOINT_BYTES
            || self.files >= CHECKPOINT_FILES
            || (self.bytes > 0 && waited >= CHECKPOINT_AFTER)
    }
}

impl Swarm<'_> {
    /// Makes progress durable now and then, beside the transfer.
    pub(super) async fn checkpoint(&mut self) -> Result<(), JobError> {
        if self.saving.as_ref().is_some_and(|saving| !saving.is_finished()) {
            return Ok(());
        }
        self.saved().await?;
        let now = self.now();
        if self.unsaved.is_due(now.saturating_sub(self.saved_at)) {
            self.saved_at = now;
            self.unsaved = Unsaved::default();
            self.saving = Some(self.parts.shared.tasks.spawn(self.save()));
        }
        Ok(())
    }

    /// The result of the checkpoint that ran, if one did.
    async fn saved(&mut self) -> Result<(), JobError> {
        match self.saving.take() {
            Some(saving) => saving.await.map_err(JobError::internal)?,
            None => Ok(()),
        }
    }

    pub(super) async fn save_now(&mut self) -> Result<(), JobError> {
        let earlier = self.saved().await;
        if let Err(error) = self.save().await {
            warn!(?error, "progress could not be saved");
            return earlier.and(Err(error));
        }
        earlier
    }

    /// At the end of a transfer. All of a folder is made durable as it is put in place, which follows at once, and each sync
    /// of many files takes its time: only what was moved is kept now. Where it does not come to that, there is
    /// [`Swarm::save`].
    pub(super) async fn save_last(&mut self, ended_well: bool) -> Result<(), JobError> {
        if !ended_well || self.files.is_none() {
            return self.save_now().await;
        }
        self.saved().await?;
        Ok(self.parts.shared.store.note_moved(self.parts.job.id, self.moved()).await?)
    }

    fn moved(&self) -> Moved {
        let ran = u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX);
        Moved {
            bytes_received: self.bytes_received,
            bytes_reused: self.bytes_reused,
            elapsed_ms: self.parts.job.elapsed_ms.saturating_add(ran),
            sources: self.sources(),
        }
    }

    /// Syncs the data, then says in the database that it is there.
    pub(in crate::transfer) fn save(&self) -> impl Future<Output = Result<(), JobError>> + Send + 'static {
        let done: RangeSet = self.scheduler.done().collect();
        let (file, store) = (self.parts.file.clone(), self.parts.shared.store.clone());
        let (job, moved) = (self.parts.job.id, self.moved());
        let taken_over = !self.copies();
        async move {
            let synced = tokio::task::spawn_blocking(move || file.sync_data()).await;
            synced.map_err(JobError::internal)??;
            store.checkpoint(job, done, moved).await?;
            // Its chunks are durable here by now.
            if taken_over && let Err(error) = store.discard_remnant(job).await {
                warn!(%error, "what was received of an earlier version stays for now");
            }
            Ok(())
        }
    }
}
