//! Progress that is told as often as somebody can see it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::monotonic;

/// As often as a bar is drawn anew.
const EVERY: Duration = Duration::from_millis(100);

/// Lets the first through, then one each 100 ms. Any thread may ask.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether it is time for the next.
    pub(super) fn is_time(&self) -> bool {
        self.is_time_at(monotonic())
    }

    fn is_time_at(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.saturating_duration_since(last) >= EVERY);
        if due {
            *last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_while() {
        let (seldom, start) = (Seldom::default(), monotonic());
        let at = |ms| seldom.is_time_at(start + Duration::from_millis(ms));
        assert_eq!([0, 1, 99, 100, 150, 199, 350].map(at), [true, false, false, true, false, false, true]);
    }
}
