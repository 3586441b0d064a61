//! What belongs to the account whose node this is, as a whole.

use std::path::PathBuf;

use certs::{UnixMillis, UserName};
use rusqlite::{Connection, Transaction};

use super::columns::{all, get};
use super::install::InstallError;
use super::intents;
use super::jobs::{self, JobId};
use super::partial::{PartialError, remove_temporary};
use super::{DbError, Store, events, kept, settings};
use crate::off_thread::off_thread;

/// The setting that remembers whose publications, holdings and jobs these are.
const OWNER: &str = "account";

impl Store {
    /// The user whose publications, holdings and jobs these are, once there was one.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn owner(&self) -> Result<Option<UserName>, DbError> {
        let owner = self.setting(OWNER).await?;
        Ok(owner.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok()))
    }

    /// Remembers the first user.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn set_owner(&self, user: UserName) -> Result<(), DbError> {
        self.set_setting(OWNER, user.as_str().as_bytes().to_vec()).await
    }

    /// Forgets everything of the account: publications, holdings, jobs, the log of activity; first goes what was received for unfinished
    /// ones. Interrupted installations are ended before, or, where the disk is away, forgotten. Installed and shared
    /// files stay where they are. In the same transaction all becomes the `next` user's. No job runs meanwhile.
    ///
    /// # Errors
    /// See [`PartialError`]; nothing is forgotten then, but some of what was received may be gone.
    pub async fn forget_account(&self, next: UserName, now: UnixMillis) -> Result<(), PartialError> {
        let store = self.clone();
        off_thread(move || store.forget_account_blocking(&next, now)).await?;
        self.collect_garbage().await?;
        Ok(())
    }

    fn forget_account_blocking(&self, next: &UserName, now: UnixMillis) -> Result<(), PartialError> {
        for intent in self.db().read_blocking("read intents", intents::list)? {
            match self.resume_blocking(intent.job, now) {
                Ok(_) | Err(InstallError::Unreachable(_)) => {}
                Err(error) => return Err(PartialError::Install(Box::new(error))),
            }
        }
        let sql =
            "SELECT temporary FROM job WHERE temporary IS NOT NULL UNION ALL SELECT temporary FROM remnant";
        let query = |c: &Connection| all(c, sql, [], |row| get::<PathBuf>(row, "temporary"));
        for path in self.db().read_blocking("read jobs", query)? {
            remove_temporary(&**self.fs(), &path)?;
        }
        let sql = "DELETE FROM intent; DELETE FROM remnant; DELETE FROM job; DELETE FROM holding;
            DELETE FROM installed; DELETE FROM publication; DELETE FROM subscription;";
        let owner = next.as_str().as_bytes().to_vec();
        let change = move |transaction: &Transaction| {
            transaction.execute_batch(sql)?;
            events::forget(transaction)?;
            kept::forget(transaction)?;
            settings::set(transaction, OWNER, &owner)
        };
        Ok(self.db().write_blocking("forget the account", change)?)
    }

    /// Removes what was received for a job; nothing of it is done then.
    ///
    /// # Errors
    /// See [`PartialError`]; the job keeps its temporary file's name where that cannot be removed.
    pub async fn discard_temporary(&self, id: JobId) -> Result<(), PartialError> {
        let store = self.clone();
        off_thread(move || store.discard_blocking(id)).await
    }

    pub(super) fn discard_blocking(&self, id: JobId) -> Result<(), PartialError> {
        let job = self.db().read_blocking("read a job", move |connection| jobs::by_id(connection, id))?;
        let Some(temporary) = job.and_then(|job| job.temporary) else { return Ok(()) };
        remove_temporary(&**self.fs(), &temporary)?;
        let change = move |transaction: &Transaction| jobs::set_temporary(transaction, id, &None);
        Ok(self.db().write_blocking("write a job", change)?)
    }
}

#[cfg(test)]
mod tests;
