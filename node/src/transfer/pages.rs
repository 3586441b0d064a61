//! How long the pages of a manifest may take, and how fast they are taken.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use quinn::RecvStream;
use tokio::time::timeout;

use super::limits::Gate;
use super::source::SourceError;

/// Nothing of a manifest has come for so long: it is given up.
const SILENT_AFTER: Duration = Duration::from_secs(30);
/// All of a manifest has come within [`SILENT_AFTER`] and the time that it takes at this rate: 4 KiB/s, what one of 25
/// receivers gets of a holder that gives 100 KB/s in all. Lower, and a holder that lies holds a download up for longer.
const SLOWEST: u64 = 4 << 10;
/// In such steps time is counted.
const STEP: Duration = Duration::from_secs(1);

/// The reading of one manifest, by several streams at once.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    gate: &'a Gate,
    /// Bytes that came.
    came: AtomicU64,
    /// How many requests wait for our own limits.
    held: AtomicUsize,
}

/// One that is counted in [`Reading::held`].
struct Held<'a>(&'a AtomicUsize);

impl<'a> Reading<'a> {
    /// Of what passes this gate.
    pub(super) const fn new(gate: &'a Gate) -> Self {
        Self { gate, came: AtomicU64::new(0), held: AtomicUsize::new(0) }
    }

    /// Waits until so many bytes may be asked for: more than that never comes of one request.
    pub(super) async fn pass(&self, bytes: u64) {
        self.held.fetch_add(1, Ordering::Relaxed);
        let _held = Held(&self.held);
        self.gate.pass(bytes).await;
    }

    /// Reads a stream to its end, at most so many bytes. It may be slow, as long as something comes of this or of another
    /// stream of the same manifest.
    ///
    /// # Errors
    /// `Timeout` where nothing came for 30 s; `Stream` where it breaks off, or is longer.
    pub(super) async fn all(&self, stream: &mut RecvStream, limit: usize) -> Result<Vec<u8>, SourceError> {
        let broken = |error: &dyn std::fmt::Display| SourceError::Stream(error.to_string());
        let mut bytes = Vec::new();
        loop {
            let before = self.came.load(Ordering::Relaxed);
            match timeout(SILENT_AFTER, stream.read_chunk(limit + 1 - bytes.len(), true)).await {
                Ok(Ok(Some(chunk))) => {
                    self.came.fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
                    bytes.extend_from_slice(&chunk.bytes);
                }
                Ok(Ok(None)) => return Ok(bytes),
                Ok(Err(error)) => return Err(broken(&error)),
                Err(_) if self.came.load(Ordering::Relaxed) > before => {}
                Err(_) => return Err(SourceError::Timeout),
            }
            if bytes.len() > limit {
                return Err(broken(&"it is longer than it was said to be"));
            }
        }
    }

    /// Waits for what needs so many bytes, as long as they may take at the slowest. The time in which our own limits hold
    /// something back does not count.
    ///
    /// # Errors
    /// `Timeout`.
    pub(super) async fn patiently<T>(
        &self,
        bytes: u64,
        reading: impl Future<Output = Result<T, SourceError>>,
    ) -> Result<T, SourceError> {
        let mut reading = pin!(reading);
        let mut left = SILENT_AFTER + Duration::from_secs(bytes / SLOWEST);
        while !left.is_zero() {
            let step = left.min(STEP);
            match timeout(step, &mut reading).await {
                Ok(read) => return read,
                Err(_) if self.held.load(Ordering::Relaxed) > 0 => {}
                Err(_) => left -= step,
            }
        }
        Err(SourceError::Timeout)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::Limiter;
    use super::*;
    use crate::clock;
    use crate::rate::Rate;

    fn gate(rate: Rate) -> Gate {
        Gate::of(Limiter::new(rate))
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_comes_is_given_up_in_time() {
        let gate = gate(Rate::UNLIMITED);
        let reading = Reading::new(&gate);
        let began = clock::timer();
        let never = std::future::pending::<Result<(), SourceError>>();
        let read = reading.patiently(40 << 10, never).await;
        assert!(matches!(read, Err(SourceError::Timeout)), "{read:?}");
        assert_eq!((clock::timer() - began).as_secs(), 30 + 10);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_our_own_limit_holds_it_back_is_not_the_holders() {
        let gate = gate(Rate::new(1024).expect("a rate"));
        let reading = Reading::new(&gate);
        let began = clock::timer();
        let slowly = async {
            for _ in 0..10 {
                reading.pass(100 << 10).await;
            }
            Ok(())
        };
        reading.patiently(1000 << 10, slowly).await.expect("it is not given up");
        let took = (clock::timer() - began).as_secs();
        // The first passes at once, each other when the one before is paid for.
        assert_eq!(took, 900);
    }
}
