//! How fast a transfer is, for those who watch it: steady enough to be read, and to say how long it still takes.

use std::time::Duration;

/// The average forgets within about this time.
const MEMORY: Duration = Duration::from_secs(4);

/// An average of bytes a second that forgets. What is measured first counts in full: it does not begin at 0.
#[derive(Debug, Default)]
pub(super) struct Speed {
    /// When it was measured last, and how many bytes there were then; `None` before the first.
    last: Option<(Duration, u64)>,
    /// The weighted sum of the rates, and of the weights.
    rates: f64,
    weights: f64,
}

impl Speed {
    /// So many bytes there are now, of a count that only rises. What there was at the first call came before.
    pub(super) fn measure(&mut self, now: Duration, bytes: u64) {
        let Some((then, before)) = self.last else {
            self.last = Some((now, bytes));
            return;
        };
        let passed = now.saturating_sub(then).as_secs_f64();
        if passed <= 0.0 {
            return;
        }
        let keep = (-passed / MEMORY.as_secs_f64()).exp();
        let rate = bytes.saturating_sub(before) as f64 / passed;
        self.rates = self.rates * keep + rate * (1.0 - keep);
        self.weights = self.weights * keep + (1.0 - keep);
        self.last = Some((now, bytes));
    }

    /// Nothing comes, and when something does, how long that was says nothing of how fast it is.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// In bytes a second; 0 before anything is measured.
    pub(super) fn rate(&self) -> u64 {
        if self.weights > 0.0 { (self.rates / self.weights).round() as u64 } else { 0 }
    }
}

/// How long so many bytes take, in milliseconds; `None` where nothing moves.
pub(crate) fn eta_ms(left: u64, rate: u64) -> Option<u64> {
    let ms = (u128::from(left) * 1000).checked_div(rate.into())?;
    Some(u64::try_from(ms).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Bytes at a steady rate from a moment on, measured each 100 ms.
    fn steady(speed: &mut Speed, from: u64, until: u64, start: u64, rate: u64) -> u64 {
        let mut bytes = start;
        for at in (from..until).step_by(100) {
            speed.measure(ms(at), bytes);
            bytes += rate / 10;
        }
        bytes
    }

    #[test]
    fn the_first_rate_is_not_dragged_down_by_nothing() {
        let mut speed = Speed::default();
        assert_eq!(speed.rate(), 0);
        speed.measure(ms(5000), 1 << 30);
        assert_eq!(speed.rate(), 0, "what came before is no rate");
        speed.measure(ms(5100), (1 << 30) + 100_000);
        assert_eq!(speed.rate(), 1_000_000);
        speed.measure(ms(5100), (1 << 30) + 900_000);
        assert_eq!(speed.rate(), 1_000_000, "no time has passed");
    }

    #[test]
    fn a_burst_is_smoothed_and_a_change_is_followed() {
        let mut speed = Speed::default();
        let bytes = steady(&mut speed, 0, 10_000, 0, 1_000_000);
        assert!(speed.rate().abs_diff(1_000_000) < 1000, "{}", speed.rate());
        // A megabyte at once: ten times the rate for a moment.
        speed.measure(ms(10_000), bytes + 900_000);
        assert!(speed.rate() < 1_300_000, "{}", speed.rate());
        steady(&mut speed, 10_100, 30_000, bytes + 900_000, 200_000);
        assert!(speed.rate().abs_diff(200_000) < 10_000, "{}", speed.rate());
    }

    #[test]
    fn a_pause_is_no_slowness() {
        let mut speed = Speed::default();
        let bytes = steady(&mut speed, 0, 3000, 0, 1_000_000);
        speed.forget();
        assert_eq!(speed.rate(), 0);
        steady(&mut speed, 600_000, 600_300, bytes, 1_000_000);
        assert_eq!(speed.rate(), 1_000_000);
    }

    #[test]
    fn what_is_left_takes_its_time() {
        assert_eq!(eta_ms(1000, 0), None);
        assert_eq!(eta_ms(0, 1), Some(0));
        assert_eq!(eta_ms(1500, 1000), Some(1500));
        assert_eq!(eta_ms(u64::MAX, 1), Some(u64::MAX));
    }
}
