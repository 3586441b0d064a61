//! Random numbers that a seed repeats.

#[cfg(test)]
use std::ops::Range;

/// The step of SplitMix64 between two states.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number that SplitMix64 gives in this state: neighbours give numbers that have nothing to do with one another.
pub(crate) fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_mul(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// SplitMix64, for simulations. Prints its seed when a test fails under it.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Rng {
    seed: u64,
    state: u64,
}

#[cfg(test)]
impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(1);
        mix(self.state)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// From 0 to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Some ranges of `0..count`, each chunk with about this probability.
    pub(crate) fn ranges(&mut self, count: u32, part: f64) -> Vec<Range<u32>> {
        let (mut ranges, mut at) = (Vec::new(), 0);
        while at < count {
            let end = at.saturating_add(self.between(1, u64::from(count / 8 + 1)) as u32).min(count);
            if self.chance(part) {
                ranges.push(at..end);
            }
            at = end;
        }
        ranges
    }
}

#[cfg(test)]
impl Drop for Rng {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.seed);
        }
    }
}
