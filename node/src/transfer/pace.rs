//! When it is looked for holders again.

use std::time::{Duration, Instant};

/// How often it is looked for more holders while some are there. At first sooner, from [`FIRST_WAIT`] on: those who began at
/// the same time have something to give by then.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// How soon it is looked again while none is there; it doubles up to [`LOOK_AGAIN`].
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The pause until the next look. It grows with each look that leaves the transfer without holders. One that stayed for
/// no longer than the last pause does not make it short again, so that one that comes and goes costs the index little.
#[derive(Debug)]
pub(super) struct Pace {
    wait: Duration,
    /// Since when holders are there.
    since: Option<Instant>,
    /// The next pause while some are there.
    early: Duration,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self { wait: FIRST_WAIT, since: None, early: FIRST_WAIT }
    }

    /// A holder is there. Returns the new pause where there was none before.
    pub(super) fn joined(&mut self, now: Instant) -> Option<Duration> {
        if self.since.is_some() {
            return None;
        }
        self.since = Some(now);
        self.early = FIRST_WAIT;
        Some(self.next_early())
    }

    /// The last holder left. Returns the new pause.
    pub(super) fn emptied(&mut self, now: Instant) -> Duration {
        if self.since.take().is_some_and(|since| now.saturating_duration_since(since) >= self.wait) {
            self.wait = FIRST_WAIT;
        }
        self.wait
    }

    fn next_early(&mut self) -> Duration {
        let pause = self.early;
        self.early = (self.early * 2).min(LOOK_AGAIN);
        pause
    }

    /// A look is over. Returns the pause until the next one.
    pub(super) fn looked(&mut self) -> Duration {
        if self.since.is_some() {
            return self.next_early();
        }
        let pause = self.wait;
        self.wait = (self.wait * 2).min(LOOK_AGAIN);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn seconds(pauses: impl IntoIterator<Item = Duration>) -> Vec<u64> {
        pauses.into_iter().map(|pause| pause.as_secs()).collect()
    }

    #[test]
    fn without_holders_it_slows_down() {
        let mut pace = Pace::new();
        assert_eq!(seconds((0..6).map(|_| pace.looked())), [1, 2, 4, 8, 15, 15]);
    }

    #[test]
    fn with_holders_it_stays_ready() {
        let (mut pace, begin) = (Pace::new(), clock::monotonic());
        assert_eq!(pace.joined(begin), Some(FIRST_WAIT));
        assert_eq!(pace.joined(begin), None, "one more changes nothing");
        assert_eq!(seconds((0..5).map(|_| pace.looked())), [2, 4, 8, 15, 15]);
        assert_eq!(pace.emptied(begin + Duration::from_secs(60)), FIRST_WAIT);
        assert_eq!(seconds((0..3).map(|_| pace.looked())), [1, 2, 4]);
    }

    #[test]
    fn one_that_comes_and_goes_is_no_reason_to_hurry() {
        let (mut pace, now) = (Pace::new(), clock::monotonic());
        for _ in 0..3 {
            pace.looked();
        }
        pace.joined(now);
        assert_eq!(pace.emptied(now + Duration::from_secs(1)).as_secs(), 8);
        pace.joined(now);
        assert_eq!(pace.emptied(now + Duration::from_secs(8)), FIRST_WAIT);
    }
}
