//! A seeded discrete-event simulation of a download, in virtual time: the scheduler on one side, on the other holders
//! with rates, latencies and faults.

mod asker;
mod faults;
mod feeding;
mod holder;
mod operations;
mod rates;
mod refusals;
mod scale;
mod world;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use wire::ChunkHash;
use wire::manifest::{Chunk, ChunkTable};

use holder::{Death, Spec};
use world::{Outcome, World};

use crate::rng::Rng;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// A million bits in a second, in bytes.
const MBIT: f64 = 125_000.0;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The chunks of a file of this size, cut as the real ones are: from a quarter of the average to four times as much.
fn file(rng: &mut Rng, size: u64, average: u64) -> Arc<ChunkTable> {
    let (mut chunks, mut left) = (Vec::new(), size);
    while left > 0 {
        // Mostly near the average, sometimes up to the maximum.
        let length = if rng.chance(0.05) {
            rng.between(average, 4 * average)
        } else {
            rng.between(average / 4, 3 * average / 2)
        };
        let length = length.clamp(1, left);
        left -= length;
        chunks.push(Chunk { length: length as u32, hash: ChunkHash::from_bytes([0; 32]) });
    }
    Arc::new(ChunkTable::new(chunks))
}

/// The average chunk of a file of this size.
fn average(size: u64) -> u64 {
    (size / 65_536).max(1).next_power_of_two().clamp(16 * KIB, 4 * MIB)
}

/// Runs a download to its end and returns what became of it.
fn run(rng: Rng, chunks: Arc<ChunkTable>, specs: Vec<Spec>) -> Outcome {
    World::new(rng, chunks, Vec::<Range<u32>>::new(), specs).run()
}
