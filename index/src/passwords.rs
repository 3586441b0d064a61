//! Passwords: Argon2id, off the async threads, two at a time.

use std::sync::{Arc, OnceLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use wire::{ErrorBody, ErrorCode};

use crate::argon::MappedArgon2;

/// Hashes made at once: one for each core that the index plans for, 19 MiB of memory each.
const RUNNING: usize = 2;
/// Those that wait or run: with some 30 ms each, the last waits for a second.
const QUEUE: usize = 64;
/// When a full queue is worth another try.
const BUSY_RETRY_MS: u64 = 1000;

/// Makes and checks hashes.
#[derive(Clone)]
pub(crate) struct Passwords {
    queue: Arc<Semaphore>,
    running: Arc<Semaphore>,
    /// What a password is checked against where there is none, so that it costs the same.
    nobody: Arc<OnceLock<String>>,
}

/// The right to make one hash.
pub(crate) struct Turn {
    passwords: Passwords,
    permits: [OwnedSemaphorePermit; 2],
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self {
            queue: Arc::new(Semaphore::new(QUEUE)),
            running: Arc::new(Semaphore::new(RUNNING)),
            nobody: Arc::new(OnceLock::new()),
        }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// `busy` where too many wait.
    ///
    /// # Cancel safety
    /// Cancelling gives the place in the queue back.
    pub(crate) async fn turn(&self) -> Result<Turn, ErrorBody> {
        let queued = match self.queue.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
                let text = "too many are logging in at once; try again";
                return Err(ErrorBody::new(ErrorCode::Busy, text).retry_after(BUSY_RETRY_MS));
            }
        };
        let running = self.running.clone().acquire_owned().await.map_err(|_| failed())?;
        Ok(Turn { passwords: self.clone(), permits: [queued, running] })
    }
}

impl Turn {
    /// The PHC string of a password, with a salt of its own.
    ///
    /// # Errors
    /// `internal` where the system has no randomness or memory to give.
    ///
    /// # Cancel safety
    /// The work goes on when cancelled, and keeps its turn until done.
    pub(crate) async fn hash(self, password: String) -> Result<String, ErrorBody> {
        self.work(move |_| hash(&password)).await
    }

    /// Whether this is the password; `false` where there is none, at the same cost.
    ///
    /// # Errors
    /// As for [`Turn::hash`].
    ///
    /// # Cancel safety
    /// As for [`Turn::hash`].
    pub(crate) async fn verify(self, password: String, stored: Option<String>) -> Result<bool, ErrorBody> {
        self.work(move |passwords| match stored {
            Some(stored) => matches(&password, &stored),
            None => {
                let nobody = match passwords.nobody.get() {
                    Some(nobody) => nobody,
                    None => {
                        let made = hash("the password of nobody")?;
                        passwords.nobody.get_or_init(|| made)
                    }
                };
                matches(&password, nobody).map(|_| false)
            }
        })
        .await
    }

    async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce(&Passwords) -> Result<T, ErrorBody> + Send + 'static,
    ) -> Result<T, ErrorBody> {
        let Self { passwords, permits } = self;
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&passwords);
            drop(permits);
            result
        });
        done.await.map_err(|_| failed())?
    }
}

fn hash(password: &str) -> Result<String, ErrorBody> {
    let hash = MappedArgon2::default().hash_password(password.as_bytes()).map_err(|error| {
        tracing::error!(%error, "cannot hash a password");
        failed()
    })?;
    Ok(hash.to_string())
}

fn matches(password: &str, stored: &str) -> Result<bool, ErrorBody> {
    let parsed = PasswordHash::new(stored).map_err(|error| {
        tracing::error!(%error, "a stored password hash cannot be read");
        failed()
    })?;
    match MappedArgon2::default().verify_password(password.as_bytes(), &parsed) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => {
            tracing::error!(%error, "cannot check a password");
            Err(failed())
        }
    }
}

fn failed() -> ErrorBody {
    ErrorBody::new(ErrorCode::Internal, "the index could not check the password; its log says why")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_one() {
        let passwords = Passwords::new();
        let stored = passwords.turn().await.expect("a turn").hash("correct horse".to_owned()).await;
        let stored = stored.expect("a hash");
        assert!(stored.starts_with("$argon2id$"));
        for (password, expected) in [("correct horse", true), ("wrong horse", false), ("", false)] {
            let turn = passwords.turn().await.expect("a turn");
            assert_eq!(turn.verify(password.to_owned(), Some(stored.clone())).await, Ok(expected));
        }
        let turn = passwords.turn().await.expect("a turn");
        assert_eq!(turn.verify("the password of nobody".to_owned(), None).await, Ok(false));
    }

    #[tokio::test]
    async fn a_full_queue_is_busy() {
        let passwords = Passwords::new();
        let mut turns: Vec<_> = (0..QUEUE).map(|_| Box::pin(passwords.turn())).collect();
        let mut held = Vec::new();
        for turn in &mut turns {
            // Polled once each: the first two get a turn, the others wait.
            tokio::select! { biased; turn = turn => held.push(turn), () = std::future::ready(()) => {} }
        }
        assert_eq!(held.len(), RUNNING);
        let busy = passwords.turn().await.err().expect("refused");
        assert_eq!(busy.code, ErrorCode::Busy);
        assert!(busy.retry_after_ms.is_some());
        drop((turns, held));
        assert!(passwords.turn().await.is_ok());
    }
}
