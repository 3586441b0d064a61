//! Numbers that are the same for the same seed.

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// The next number below this bound, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.draw() % bound as u64).expect("below a usize")
    }

    /// So many of the numbers below `bound`, each at most once.
    pub fn some_of(&mut self, bound: usize, count: usize) -> Vec<usize> {
        let mut all: Vec<_> = (0..bound).collect();
        for place in 0..count.min(bound) {
            all.swap(place, place + self.below(bound - place));
        }
        all.truncate(count);
        all
    }
}
