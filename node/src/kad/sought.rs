//! What is looked for in Kademlia: how often, and by how many of those who miss it.
//!
//! What nobody has put is looked for in vain by asking some 40 nodes. A member that is enrolled and never runs is missed by all others,
//! all the time: whoever is there looks for it in turn, and tells what it finds.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use index::jitter;
use wire::Digest;

/// What is not found is looked for again after this, and each time after twice as long.
const AGAIN: Duration = Duration::from_secs(60);
/// At most.
pub(super) const SELDOM: Duration = Duration::from_secs(3600);
/// So many of all nodes look for something each time: whoever finds it tells the others.
const SEEKERS: usize = 8;
/// But at least one of 32: of those who are there by the copy, many may be out of reach.
const LEAST_CHANCE: f64 = 1.0 / 32.0;

/// When something that was looked for is looked for again.
#[derive(Default)]
pub(super) struct Sought(HashMap<Digest, (Instant, Duration)>);

impl Sought {
    /// Whether it is time to look for it, the first time after `first`; then it is looked for now.
    pub(super) fn is_due(&mut self, key: Digest, first: Duration, now: Instant) -> bool {
        let (again, pause) = *self.0.entry(key).or_insert((now + first, AGAIN));
        let due = now >= again;
        if due {
            self.0.insert(key, (now + pause, (pause * 2).min(SELDOM)));
        }
        due
    }

    /// Forgets what was found, or is not looked for any more.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.0.retain(|_, (again, _)| now < *again + SELDOM);
    }
}

/// With which chance a node looks for something, of so many that are `there`.
pub(super) fn chance(there: usize) -> f64 {
    chance_of_one(SEEKERS, there).max(LEAST_CHANCE)
}

/// With which chance each of `all` is one of so many.
pub(super) fn chance_of_one(count: usize, all: usize) -> f64 {
    count as f64 / all.max(1) as f64
}

/// Whether something of this chance happens.
pub(super) fn is_drawn(chance: f64) -> bool {
    // Even over a second, which is more than exact enough.
    jitter(Duration::from_secs(1)).as_secs_f64() <= chance
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::monotonic;

    /// How often it is looked whether something is missing.
    const LOOK: Duration = Duration::from_secs(30);

    #[test]
    fn what_is_not_found_is_looked_for_ever_more_seldom() {
        let (mut sought, key, mut now) = (Sought::default(), Digest::of(b"key"), monotonic());
        let mut times = 0;
        for _ in 0..24 * 3600 / 30 {
            times += u32::from(sought.is_due(key, Duration::ZERO, now));
            now += LOOK;
        }
        // 1, 2, 4, ... 32 minutes, then each hour.
        assert!((29..31).contains(&times), "{times}");
        sought.sweep(now + 2 * SELDOM);
        assert!(sought.0.is_empty());
        let other = Digest::of(b"another");
        let just_before = now + LOOK - Duration::from_millis(1);
        assert!(!sought.is_due(other, LOOK, now) && !sought.is_due(other, LOOK, just_before));
        assert!(sought.is_due(other, LOOK, now + LOOK));
    }

    #[test]
    fn of_few_all_look_and_of_many_some() {
        assert!([0, 1, SEEKERS].iter().all(|there| is_drawn(chance(*there))));
        let looking = |there: usize| (0..there).filter(|_| is_drawn(chance(there))).count();
        let hundred: usize = (0..200).map(|_| looking(100)).sum();
        assert!((1_400..1_800).contains(&hundred), "{hundred} of 20,000, {SEEKERS} of each 100");
        let many = looking(20_000);
        assert!((500..750).contains(&many), "{many} of 20,000, one of 32");
    }
}
