//! Waiting for a token bucket, in the order of asking.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;

use super::bucket::Bucket;
use crate::clock;
use crate::rate::Rate;

/// What passes at once is at least this part of a second's bytes, so that a slow transfer looks steady to the far end
/// and to the scheduler, which averages over 200 ms.
const SLICES: u64 = 32;
/// What passes at once, at least: about a packet.
const MIN_SLICE_BYTES: u64 = 1 << 10;
/// What passes at once, at most.
const MAX_SLICE_BYTES: u64 = 256 << 10;

/// A limit that several transfers share. Whoever waits has the turn in the order of asking, and a change of the rate
/// counts at once, for those that wait, too.
#[derive(Debug)]
pub(crate) struct Limiter {
    bucket: Mutex<Bucket>,
    /// Told when the rate changes.
    changed: Notify,
    /// Who is next; tokio's mutex is given in the order of asking.
    turn: tokio::sync::Mutex<()>,
    /// How many have the turn or wait for it.
    waiting: AtomicUsize,
}

/// The right to be the next that passes a limiter, until it is dropped.
struct Turn<'a> {
    _turn: tokio::sync::MutexGuard<'a, ()>,
    _waiting: Waiting<'a>,
}

/// One that is counted in [`Limiter::waiting`].
struct Waiting<'a>(&'a AtomicUsize);

impl Limiter {
    /// Of this rate.
    pub(crate) fn new(rate: Rate) -> Arc<Self> {
        Arc::new(Self {
            bucket: Mutex::new(Bucket::new(clock::timer(), rate)),
            changed: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            waiting: AtomicUsize::new(0),
        })
    }

    /// The rate at present.
    pub(crate) fn rate(&self) -> Rate {
        self.bucket().rate()
    }

    /// Goes over to another rate, at once. Where it is the same nothing changes.
    pub(crate) fn set_rate(&self, rate: Rate) {
        if self.rate() != rate {
            self.bucket().set_rate(clock::timer(), rate);
            self.changed.notify_waiters();
        }
    }

    /// Whether what passed is paid for.
    pub(super) fn is_paid(&self) -> bool {
        self.wait().is_zero()
    }

    /// Waits until it is our turn and nothing is owed.
    async fn turn(&self) -> Turn<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        let turn = self.turn.lock().await;
        loop {
            // Before the look at the bucket, so that no change is missed.
            let changed = self.changed.notified();
            let wait = self.wait();
            if wait.is_zero() {
                return Turn { _turn: turn, _waiting: waiting };
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = changed => {}
            }
        }
    }

    fn wait(&self) -> Duration {
        self.bucket().wait(clock::timer())
    }

    fn charge(&self, bytes: u64) {
        self.bucket().charge(clock::timer(), bytes);
    }

    /// How much should pass at once; less where many wait, so that each has something about once a second.
    fn slice(&self) -> u64 {
        let Some(rate) = self.rate().bytes() else { return MAX_SLICE_BYTES };
        let parts = SLICES.max(self.waiting.load(Ordering::Relaxed) as u64);
        (rate / parts).clamp(MIN_SLICE_BYTES, MAX_SLICE_BYTES)
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().expect("no panic while it is held")
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All limits that one transfer passes: its own, then its peer's, then everybody's. Who waits for everybody's keeps the
/// turn at its peer's, so that each peer waits there once, however many streams it has, and peers come in turn. The turn
/// at its own is not kept: streams from other peers need not wait for what one peer is held up by.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    own: Option<Arc<Limiter>>,
    peer: Arc<Limiter>,
    total: Arc<Limiter>,
}

impl Gate {
    /// Of these limits.
    pub(super) const fn new(own: Option<Arc<Limiter>>, peer: Arc<Limiter>, total: Arc<Limiter>) -> Self {
        Self { own, peer, total }
    }

    /// Of one limit.
    #[cfg(test)]
    pub(in crate::transfer) fn of(total: Arc<Limiter>) -> Self {
        Self { own: None, peer: Limiter::new(Rate::UNLIMITED), total }
    }

    /// How many bytes should pass at once, 1 to 256 KiB; 256 KiB where there is no limit.
    pub(crate) fn slice(&self) -> u64 {
        self.limiters().map(Limiter::slice).min().unwrap_or(MAX_SLICE_BYTES)
    }

    /// Whether there is no limit at present.
    pub(crate) fn is_open(&self) -> bool {
        self.limiters().all(|limiter| limiter.rate() == Rate::UNLIMITED)
    }

    /// Waits until so many bytes may pass. With a limit, more than [`Gate::slice`] pass too, and others wait the longer.
    ///
    /// # Cancel safety
    /// Where the future is dropped, nothing has passed but the transfer's own limit at most, and the next in turn goes
    /// on.
    pub(crate) async fn pass(&self, bytes: u64) {
        if self.is_open() {
            return;
        }
        if let Some(own) = &self.own {
            let _turn = own.turn().await;
            own.charge(bytes);
        }
        let _turns = (self.peer.turn().await, self.total.turn().await);
        self.peer.charge(bytes);
        self.total.charge(bytes);
    }

    fn limiters(&self) -> impl Iterator<Item = &Limiter> {
        self.own.iter().chain([&self.peer, &self.total]).map(|limiter| &**limiter)
    }
}

#[cfg(test)]
mod tests;
