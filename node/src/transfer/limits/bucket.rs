//! A token bucket: pure, the time is an argument.

use std::time::{Duration, Instant};

use crate::rate::Rate;

/// What is saved while nothing passes: a timer that is late by less than this costs nothing of the rate.
const BURST: Duration = Duration::from_millis(100);

/// A token bucket that goes into debt: whatever its size, what comes passes as soon as there is no debt, and those after
/// it wait until it is paid. So the rate holds on average, and a piece larger than the burst is no special case.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    /// In bytes, as of `at`; below 0 it is a debt.
    level: f64,
    at: Instant,
}

impl Bucket {
    /// One that is empty and without debt.
    pub(super) const fn new(now: Instant, rate: Rate) -> Self {
        Self { rate, level: 0.0, at: now }
    }

    pub(super) const fn rate(&self) -> Rate {
        self.rate
    }

    /// How long until something may pass; zero is now.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let Some(rate) = self.rate.bytes() else { return Duration::ZERO };
        let debt = -self.level_at(now);
        // Less than a byte is what rounding leaves.
        if debt < 1.0 { Duration::ZERO } else { Duration::from_secs_f64(debt / rate as f64) }
    }

    /// So many bytes pass.
    pub(super) fn charge(&mut self, now: Instant, bytes: u64) {
        if self.rate.bytes().is_some() {
            self.level = self.level_at(now) - bytes as f64;
            self.at = now;
        }
    }

    /// Goes over to another rate. A debt keeps its time, not its bytes: else what is cheap at a high rate would stop
    /// everything at a low one.
    pub(super) fn set_rate(&mut self, now: Instant, rate: Rate) {
        self.level = match (self.rate.bytes(), rate.bytes()) {
            (Some(old), Some(new)) => self.level_at(now) * (new as f64 / old as f64),
            _ => 0.0,
        };
        (self.rate, self.at) = (rate, now);
    }

    fn level_at(&self, now: Instant) -> f64 {
        let Some(rate) = self.rate.bytes() else { return 0.0 };
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * rate as f64;
        (self.level + gained).min(BURST.as_secs_f64() * rate as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn rate(bytes: u64) -> Rate {
        Rate::new(bytes).expect("a rate")
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_is_larger_than_the_burst_passes_and_is_paid_for() {
        let now = clock::monotonic();
        let mut bucket = Bucket::new(now, rate(10_000));
        assert_eq!(bucket.wait(now), Duration::ZERO);
        bucket.charge(now, 50_000);
        assert_eq!(bucket.wait(now), ms(5000));
        assert_eq!(bucket.wait(now + ms(4000)), ms(1000));
        assert_eq!(bucket.wait(now + ms(5000)), Duration::ZERO);
    }

    #[test]
    fn the_rate_holds_on_average_and_no_more_than_the_burst_is_saved() {
        let mut now = clock::monotonic();
        let mut bucket = Bucket::new(now, rate(100_000));
        now += ms(60_000);
        let began = now;
        for size in [1, 700, 40_000, 3, 9_999, 120_000].into_iter().cycle().take(60) {
            now += bucket.wait(now);
            bucket.charge(now, size);
        }
        now += bucket.wait(now);
        let expected =
            (1 + 700 + 40_000 + 3 + 9_999 + 120_000) as f64 * 10.0 / 100_000.0 - BURST.as_secs_f64();
        let took = (now - began).as_secs_f64();
        assert!((took - expected).abs() < 0.01, "{took} {expected}");
    }

    #[test]
    fn a_debt_keeps_its_time_when_the_rate_changes() {
        let now = clock::monotonic();
        let mut bucket = Bucket::new(now, rate(1_000_000));
        bucket.charge(now, 500_000);
        bucket.set_rate(now + ms(100), rate(10_000));
        assert_eq!(bucket.wait(now + ms(100)), ms(400));
        bucket.set_rate(now + ms(100), Rate::UNLIMITED);
        assert_eq!(bucket.wait(now + ms(100)), Duration::ZERO);
        bucket.charge(now + ms(100), 1 << 40);
        bucket.set_rate(now + ms(200), rate(10_000));
        assert_eq!(bucket.wait(now + ms(200)), Duration::ZERO, "nothing is owed for what had no limit");
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_gives_nothing() {
        let now = clock::monotonic();
        let mut bucket = Bucket::new(now + ms(1000), rate(1024));
        bucket.charge(now + ms(1000), 1024);
        assert_eq!(bucket.wait(now), ms(1000));
    }
}
