//! What belongs to the account whose node this is, as a whole.

use std::path::PathBuf;

use super::columns::{all, get};
use super::jobs::{self, JobId};
use super::partial::remove_temporary;
use super::{DbError, Store, off_thread};

impl Store {
    /// Forgets everything of the account: publications, holdings, jobs, with the temporary files of unfinished ones.
    /// Installed and shared files stay where they are.
    ///
    /// # Errors
    /// See [`DbError`]; also where an installation is unfinished: see [`Store::recover`].
    pub async fn forget_account(&self) -> Result<(), DbError> {
        let leftovers = self
            .db()
            .write("forget the account", |transaction| {
                let sql = "SELECT temporary FROM job WHERE temporary IS NOT NULL AND state <> 'installed'";
                let leftovers = all(transaction, sql, [], |row| get::<PathBuf>(row, "temporary"))?;
                transaction
                    .execute_batch("DELETE FROM job; DELETE FROM holding; DELETE FROM publication;")?;
                Ok(leftovers)
            })
            .await?;
        let fs = self.fs().clone();
        off_thread(move || leftovers.iter().for_each(|path| remove_temporary(&*fs, path))).await;
        self.collect_garbage().await.map(drop)
    }

    /// Removes what was received for a job; nothing of it is done then.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn discard_temporary(&self, id: JobId) -> Result<(), DbError> {
        let removed = self
            .db()
            .write("write a job", move |transaction| {
                let job = jobs::by_id(transaction, id)?;
                jobs::set_temporary(transaction, id, &None)?;
                Ok(job.and_then(|job| job.temporary))
            })
            .await?;
        let fs = self.fs().clone();
        off_thread(move || removed.iter().for_each(|path| remove_temporary(&*fs, path))).await;
        Ok(())
    }
}
