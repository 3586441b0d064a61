//! Pauses drawn at random.

use std::time::Duration;

/// A time between zero and `pause`, so that those who all lost the same thing at once do not all come back at once.
pub fn jitter(pause: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness the pause is whole, which is safe.
    let drawn = getrandom::fill(&mut random)
        .map_or(1.0, |()| f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX));
    pause.mul_f64(drawn)
}
