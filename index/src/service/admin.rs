//! What the operator of the index asks for, on its machine alone.

use std::sync::atomic::Ordering;

use certs::UserName;
use wire::{ErrorBody, ErrorCode};

use super::IndexService;
use super::signup::check_length;
use crate::passwords::Asker;
use crate::recovery;
use crate::registry::Recovery;

impl IndexService {
    /// Whether the index recovers from the loss of its database, and what came back.
    ///
    /// # Errors
    /// `internal`, `shutting-down`.
    pub async fn recovery(&self) -> Result<Recovery, ErrorBody> {
        Ok(self.inner.registry.recovery(self.is_recovering()).await?)
    }

    /// Ends the recovery, for good: names that nobody has brought back are free. Where there is none it does nothing.
    ///
    /// # Errors
    /// `internal` where that cannot be made durable: then it goes on. `shutting-down`.
    ///
    /// # Cancel safety
    /// It may have ended, and if not can be ended again.
    pub async fn finish_recovery(&self) -> Result<Recovery, ErrorBody> {
        let inner = &self.inner;
        if self.is_recovering() {
            // Whatever interrupts this: the mark alone decides at the next start.
            let database = inner.database.clone();
            let removed = tokio::task::spawn_blocking(move || recovery::finish(&database)).await;
            let removed = removed.map_err(std::io::Error::other).and_then(|removed| removed);
            removed.map_err(|error| {
                tracing::error!(%error, "the recovery cannot be ended");
                ErrorBody::new(
                    ErrorCode::Internal,
                    format!("the mark of the recovery cannot be removed: {error}"),
                )
            })?;
            inner.recovering.store(false, Ordering::Release);
            inner.registry.touch_members();
            inner.registry.end_recovery(self.now()).await?;
            tracing::info!("the operator has ended the recovery");
        }
        self.recovery().await
    }

    /// Gives an account another password. Its nodes stay enrolled.
    ///
    /// # Errors
    /// `not-found` where there is no such account, `bad-password`, `busy`, `internal`, `shutting-down`.
    ///
    /// # Cancel safety
    /// The password is the old one or the new.
    pub async fn set_password(&self, user: UserName, password: String) -> Result<(), ErrorBody> {
        check_length(&password)?;
        let unknown = || ErrorBody::new(ErrorCode::NotFound, format!("there is no account '{user}'"));
        if self.inner.registry.account(user.clone()).await?.is_none() {
            return Err(unknown());
        }
        let asker = Asker { session: OPERATOR, address: None };
        let hash = self.inner.passwords.turn(asker).await?.hash(password).await?;
        if !self.inner.registry.set_password(user.clone(), hash).await? {
            return Err(unknown());
        }
        tracing::info!(%user, "the operator has set a password");
        Ok(())
    }

    pub(super) fn is_recovering(&self) -> bool {
        self.inner.recovering.load(Ordering::Acquire)
    }
}

/// The session of whoever asks without one: sessions count from 1.
const OPERATOR: u64 = 0;
