//! How fast a holder delivers.

use std::time::Duration;

/// The average forgets within about this time: long enough to smooth bursts, short enough to see a holder fade before
/// the end of a download.
const MEMORY: Duration = Duration::from_secs(1);
/// Bytes are gathered for so long before they count: reads come in bursts.
const WINDOW: Duration = Duration::from_millis(100);
/// The first window of a holder is shorter, as nothing is known before it ends.
const FIRST_WINDOW: Duration = Duration::from_millis(20);

/// An exponentially weighted average of bytes per second, over the time in which something was owed.
#[derive(Debug, Default)]
pub(super) struct Meter {
    rate: Option<f64>,
    /// When the current window began; `None` while nothing is owed, and before the first byte: latency is no rate.
    since: Option<Duration>,
    bytes: u64,
}

impl Meter {
    /// Bytes came. Whether the rate is a new one now.
    pub(super) fn add(&mut self, now: Duration, bytes: u64) -> bool {
        let Some(since) = self.since else {
            // They were on their way before anything was measured.
            self.since = Some(now);
            return false;
        };
        self.bytes += bytes;
        let window = if self.rate.is_none() { FIRST_WINDOW } else { WINDOW };
        let full = now.saturating_sub(since) >= window;
        if full {
            self.fold(now);
        }
        full
    }

    /// Nothing is owed any more.
    pub(super) fn pause(&mut self, now: Duration) {
        let passed = self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        if passed >= WINDOW || (self.rate.is_none() && self.bytes > 0 && passed > Duration::ZERO) {
            self.fold(now);
        }
        (self.since, self.bytes) = (None, 0);
    }

    /// The rate in bytes per second, never negative; `None` before the first is measured. It fades while nothing comes.
    pub(super) fn rate(&self, now: Duration) -> Option<f64> {
        let passed = self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        if passed < WINDOW { self.rate } else { self.rate.map(|rate| self.blended(rate, passed)) }
    }

    fn fold(&mut self, now: Duration) {
        let passed = self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        self.rate = Some(match self.rate {
            Some(rate) => self.blended(rate, passed),
            None => self.bytes as f64 / passed.as_secs_f64(),
        });
        (self.since, self.bytes) = (Some(now), 0);
    }

    fn blended(&self, rate: f64, passed: Duration) -> f64 {
        let seconds = passed.as_secs_f64();
        let keep = (-seconds / MEMORY.as_secs_f64()).exp();
        rate * keep + self.bytes as f64 / seconds * (1.0 - keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn near(rate: Option<f64>, expected: f64) -> bool {
        rate.is_some_and(|rate| (rate - expected).abs() < expected / 20.0)
    }

    #[test]
    fn follows_a_steady_flow_and_a_change() {
        let mut meter = Meter::default();
        (5..20).for_each(|tick| _ = meter.add(ms(tick * 10), 1000));
        assert!(near(meter.rate(ms(190)), 100_000.0), "{meter:?}");
        (20..600).for_each(|tick| _ = meter.add(ms(tick * 10), 300));
        assert!(near(meter.rate(ms(6000)), 30_000.0), "{meter:?}");
    }

    #[test]
    fn idle_time_is_no_slowness_and_silence_is() {
        let mut meter = Meter::default();
        (0..20).for_each(|tick| _ = meter.add(ms(tick * 10), 1000));
        meter.pause(ms(200));
        assert!(near(meter.rate(ms(60_000)), 100_000.0));
        meter.add(ms(60_000), 1000);
        assert!(meter.rate(ms(62_000)).is_some_and(|rate| rate < 15_000.0));
    }

    #[test]
    fn one_short_request_is_enough_for_a_first_guess() {
        let mut meter = Meter::default();
        assert_eq!(meter.rate(ms(0)), None);
        meter.add(ms(50), 1000);
        meter.pause(ms(50));
        assert_eq!(meter.rate(ms(60)), None);
        meter.add(ms(100), 1000);
        meter.add(ms(101), 1000);
        meter.pause(ms(101));
        assert!(near(meter.rate(ms(200)), 1_000_000.0));
    }
}
