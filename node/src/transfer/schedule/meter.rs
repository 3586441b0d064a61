//! How fast a holder delivers.

use std::time::Duration;

/// The average forgets within about this time: long enough to smooth bursts.
const MEMORY: Duration = Duration::from_secs(1);
/// A second average forgets within about this time, so that a holder that fades is seen before the end of a download.
const SHORT_MEMORY: Duration = Duration::from_millis(200);
/// Bytes are gathered for so long before they count: reads come in bursts.
const WINDOW: Duration = Duration::from_millis(100);
/// The first window of a holder is shorter, as nothing is known before it ends.
const FIRST_WINDOW: Duration = Duration::from_millis(20);

/// Exponentially weighted averages of bytes per second, over the time in which something was owed.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    rates: Option<Rates>,
    /// When the current window began; `None` while nothing is owed, and before the first byte: latency is no rate.
    since: Option<Duration>,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Rates {
    average: f64,
    recent: f64,
}

impl Meter {
    /// Bytes came. Whether the rate is a new one now.
    pub(crate) fn add(&mut self, now: Duration, bytes: u64) -> bool {
        let Some(since) = self.since else {
            // They were on their way before anything was measured.
            self.since = Some(now);
            return false;
        };
        self.bytes += bytes;
        let window = if self.rates.is_none() { FIRST_WINDOW } else { WINDOW };
        let full = now.saturating_sub(since) >= window;
        if full {
            self.fold(now);
        }
        full
    }

    /// Nothing is owed any more.
    pub(crate) fn pause(&mut self, now: Duration) {
        let passed = self.passed(now);
        if passed >= WINDOW || (self.rates.is_none() && self.bytes > 0 && passed > Duration::ZERO) {
            self.fold(now);
        }
        (self.since, self.bytes) = (None, 0);
    }

    /// The rate in bytes per second, never negative; `None` before the first is measured. It fades while nothing comes.
    pub(crate) fn rate(&self, now: Duration) -> Option<f64> {
        self.rates(now).map(|rates| rates.average)
    }

    /// The same, but if the holder was slower of late, that.
    pub(super) fn cautious_rate(&self, now: Duration) -> Option<f64> {
        self.rates(now).map(|rates| rates.average.min(rates.recent))
    }

    fn rates(&self, now: Duration) -> Option<Rates> {
        let passed = self.passed(now);
        if passed < WINDOW { self.rates } else { self.rates.map(|rates| self.blended(rates, passed)) }
    }

    fn passed(&self, now: Duration) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    fn fold(&mut self, now: Duration) {
        let passed = self.passed(now);
        self.rates = Some(match self.rates {
            Some(rates) => self.blended(rates, passed),
            None => {
                let rate = self.bytes as f64 / passed.as_secs_f64();
                Rates { average: rate, recent: rate }
            }
        });
        (self.since, self.bytes) = (Some(now), 0);
    }

    fn blended(&self, rates: Rates, passed: Duration) -> Rates {
        let seconds = passed.as_secs_f64();
        let window = self.bytes as f64 / seconds;
        let blend = |rate: f64, memory: Duration| {
            let keep = (-seconds / memory.as_secs_f64()).exp();
            rate * keep + window * (1.0 - keep)
        };
        Rates { average: blend(rates.average, MEMORY), recent: blend(rates.recent, SHORT_MEMORY) }
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
        (600..700).for_each(|tick| _ = meter.add(ms(tick * 10), 10));
        assert!(meter.rate(ms(7000)).is_some_and(|rate| rate > 10_000.0), "{meter:?}");
        assert!(meter.cautious_rate(ms(7000)).is_some_and(|rate| rate < 1500.0), "{meter:?}");
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
