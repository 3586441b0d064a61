//! Passwords: Argon2id, off the async threads, two at a time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::{ErrorBody, ErrorCode};

use crate::argon::MappedArgon2;
use crate::registry::lock;

/// Hashes made at once: one for each core that the index plans for, 19 MiB of memory each.
const RUNNING: usize = 2;
/// Those that wait or run: with some 30 ms each, the last waits for a second.
const QUEUE: usize = 64;
/// Of these for one address: a quarter, so that it takes several to keep all others out.
const ADDRESS_SHARE: usize = 16;
/// Of these for one session, which needs one at a time; another may still be at work that was cancelled.
const SESSION_SHARE: usize = 2;
/// When a full queue is worth another try.
const BUSY_RETRY_MS: u64 = 1000;

/// Makes and checks hashes.
#[derive(Clone)]
pub(crate) struct Passwords {
    queue: Arc<Semaphore>,
    running: Arc<Semaphore>,
    /// How many of those in the queue are whose: twice as many keys as there are places, at most.
    shares: Arc<Mutex<HashMap<Key, usize>>>,
    /// What a password is checked against where there is none, so that it costs the same.
    nobody: Arc<OnceLock<String>>,
}

/// Who wants a hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    /// The session's number.
    pub(crate) session: u64,
    /// The address that it is counted by; `None` for the operator's own, which has no bound of its own.
    pub(crate) address: Option<IpAddr>,
}

/// The right to make one hash.
pub(crate) struct Turn {
    passwords: Passwords,
    place: Place,
    running: OwnedSemaphorePermit,
}

/// A place in the queue, given back when dropped.
struct Place {
    shares: Arc<Mutex<HashMap<Key, usize>>>,
    keys: Vec<Key>,
    _queued: OwnedSemaphorePermit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Session(u64),
    Address(IpAddr),
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self {
            queue: Arc::new(Semaphore::new(QUEUE)),
            running: Arc::new(Semaphore::new(RUNNING)),
            shares: Arc::default(),
            nobody: Arc::new(OnceLock::new()),
        }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// `busy` where too many wait, or too many of one asker.
    ///
    /// # Cancel safety
    /// Cancelling gives the place in the queue back.
    pub(crate) async fn turn(&self, asker: Asker) -> Result<Turn, ErrorBody> {
        let Some(place) = self.place(asker) else {
            let text = "too many are logging in at once; try again";
            return Err(ErrorBody::new(ErrorCode::Busy, text).retry_after(BUSY_RETRY_MS));
        };
        let running = self.running.clone().acquire_owned().await.map_err(|_| failed())?;
        Ok(Turn { passwords: self.clone(), place, running })
    }

    fn place(&self, asker: Asker) -> Option<Place> {
        let queued = self.queue.clone().try_acquire_owned().ok()?;
        let session = (Key::Session(asker.session), SESSION_SHARE);
        let address = asker.address.map(|ip| (Key::Address(ip), ADDRESS_SHARE));
        let keys: Vec<_> = [session].into_iter().chain(address).collect();
        let mut shares = lock(&self.shares);
        if keys.iter().any(|(key, share)| shares.get(key).is_some_and(|taken| taken >= share)) {
            return None;
        }
        let keys: Vec<_> = keys.into_iter().map(|(key, _)| key).collect();
        for key in &keys {
            *shares.entry(*key).or_default() += 1;
        }
        Some(Place { shares: self.shares.clone(), keys, _queued: queued })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut shares = lock(&self.shares);
        for key in &self.keys {
            if let Entry::Occupied(mut taken) = shares.entry(*key) {
                *taken.get_mut() -= 1;
                if *taken.get() == 0 {
                    taken.remove();
                }
            }
        }
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
        let Self { passwords, place, running } = self;
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&passwords);
            drop((place, running));
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

    /// A session of the operator's own.
    fn local(session: u64) -> Asker {
        Asker { session, address: None }
    }

    #[tokio::test]
    async fn only_the_right_one() {
        let passwords = Passwords::new();
        let stored = passwords.turn(local(0)).await.expect("a turn").hash("correct horse".to_owned()).await;
        let stored = stored.expect("a hash");
        assert!(stored.starts_with("$argon2id$"));
        for (password, expected) in [("correct horse", true), ("wrong horse", false), ("", false)] {
            let turn = passwords.turn(local(0)).await.expect("a turn");
            assert_eq!(turn.verify(password.to_owned(), Some(stored.clone())).await, Ok(expected));
        }
        let turn = passwords.turn(local(0)).await.expect("a turn");
        assert_eq!(turn.verify("the password of nobody".to_owned(), None).await, Ok(false));
    }

    #[tokio::test]
    async fn a_full_queue_is_busy() {
        let passwords = Passwords::new();
        let mut turns: Vec<_> =
            (0..QUEUE as u64).map(|number| Box::pin(passwords.turn(local(number / 2)))).collect();
        let mut held = Vec::new();
        for turn in &mut turns {
            // Polled once each: the first two get a turn, the others wait.
            tokio::select! { biased; turn = turn => held.push(turn), () = std::future::ready(()) => {} }
        }
        assert_eq!(held.len(), RUNNING);
        let busy = passwords.turn(local(1000)).await.err().expect("refused");
        assert_eq!(busy.code, ErrorCode::Busy);
        assert!(busy.retry_after_ms.is_some());
        drop((turns, held));
        assert!(passwords.turn(local(0)).await.is_ok());
    }

    #[tokio::test]
    async fn nobody_has_the_queue_alone() {
        let passwords = Passwords::new();
        let at = |number: u8, session| Asker { session, address: Some(IpAddr::from([192, 0, 2, number])) };
        let place = |asker| passwords.place(asker);
        let mut places: Vec<_> = (0..SESSION_SHARE).filter_map(|_| place(at(1, 0))).collect();
        assert!(place(at(1, 0)).is_none(), "of one session");
        assert_eq!(places.len(), SESSION_SHARE);
        places.extend((1..100).filter_map(|session| place(at(1, session))));
        assert_eq!(places.len(), ADDRESS_SHARE);
        places.extend([place(at(2, 100)), place(local(101))].into_iter().flatten());
        assert_eq!(places.len(), ADDRESS_SHARE + 2, "others have their own");
        let busy = passwords.turn(at(1, 102)).await.err().map(|error| error.code);
        assert_eq!(busy, Some(ErrorCode::Busy));
        drop(places);
        assert!(lock(&passwords.shares).is_empty());
        assert!(passwords.turn(at(1, 0)).await.is_ok());
    }
}
