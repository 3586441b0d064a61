//! The one queue of what is still to be asked for, ordered by how many holders have it.

use std::collections::BTreeMap;
use std::ops::Range;

use wire::manifest::ChunkTable;

use super::cut;
use super::ranges::RangeSet;
use crate::rng::mix;

/// Of so many runs one is chosen by chance: more would cost more than the choice is worth.
const TRIED_RUNS: usize = 256;

/// Where a request begins, among what is equally rare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// At the lowest chunk, so that what is done grows from the front.
    Front,
    /// At `next`, or where that is not to be had, anywhere, and around the end: so that those who download the same do not
    /// ask for the same, and can feed one another. Then it is of one rarity only: what others have does not fill up a
    /// request for what they lack.
    Spread {
        /// Where the last request ended.
        next: Option<u32>,
        /// Says where else: each chunk that can be had is as likely. (The first one after a random place would often be
        /// the one that somebody else has just asked for, in going on.)
        random: u64,
    },
}

/// What is missing, by rarity.
///
/// Invariant: a missing chunk is in the class of the number of partial holders that have it, and in no other; `bytes`
/// is the length of all of them.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// How many chunks the content has.
    count: u32,
    /// How many holders have all chunks. They make none rarer than another, so they cost nothing here.
    complete: u32,
    /// How many partial holders have a chunk, as a step function: from this index on, so many. What lies before the
    /// first key, none has.
    copies: BTreeMap<u32, u32>,
    classes: BTreeMap<u32, RangeSet>,
    bytes: u64,
}

impl Missing {
    /// Where nothing is missing, of a content with so many chunks, and there are no holders.
    pub(super) fn new(count: u32) -> Self {
        Self { count, ..Self::default() }
    }

    /// How many bytes are missing.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many bytes are missing that no holder has. O(runs of these).
    pub(super) fn unavailable_bytes(&self, table: &ChunkTable) -> u64 {
        let none = self.classes.get(&0).filter(|_| self.complete == 0);
        none.map_or(0, |none| none.iter().map(|run| cut::bytes(table, run)).sum())
    }

    /// Whether this chunk is missing.
    #[cfg(test)]
    pub(super) fn contains(&self, chunk: u32) -> bool {
        self.classes.values().any(|class| class.contains(chunk))
    }

    /// Adds a range, none of which is there yet.
    pub(super) fn insert(&mut self, table: &ChunkTable, range: Range<u32>) {
        self.bytes += cut::bytes(table, range.clone());
        for (part, copies) in self.copies_in(range) {
            self.classes.entry(copies).or_default().insert(part);
        }
    }

    /// Takes out a range, all of which is there.
    pub(super) fn remove(&mut self, table: &ChunkTable, range: Range<u32>) {
        self.bytes -= cut::bytes(table, range.clone());
        for (part, copies) in self.copies_in(range) {
            self.remove_from(copies, part);
        }
    }

    /// One more holder has these. O(1) if these are all; else O((runs + runs missing in them) · log runs), as below.
    pub(super) fn gained(&mut self, ranges: &RangeSet) {
        if self.is_whole(ranges) {
            self.complete += 1;
        } else {
            ranges.iter().for_each(|range| self.recount(range, |copies| copies + 1));
        }
    }

    /// One holder fewer has these.
    pub(super) fn lost(&mut self, ranges: &RangeSet) {
        if self.is_whole(ranges) {
            self.complete -= 1;
        } else {
            ranges.iter().for_each(|range| self.recount(range, |copies| copies - 1));
        }
    }

    /// A holder had these, and has those now.
    pub(super) fn changed(&mut self, from: &RangeSet, to: &RangeSet) {
        if self.is_whole(from) || self.is_whole(to) {
            self.lost(from);
            self.gained(to);
        } else {
            self.gained(&to.without(from));
            self.lost(&from.without(to));
        }
    }

    /// About `bytes` of what is missing and `available`, in at most `max_runs` ascending runs: the rarest first, among
    /// the equally rare by `start`. At least one chunk, if there is one; and where the next request may go on.
    ///
    /// O((runs passed over + runs found) · log runs).
    pub(super) fn pick(
        &self,
        table: &ChunkTable,
        available: &RangeSet,
        (bytes, max_runs): (u64, usize),
        start: Start,
    ) -> (Vec<Range<u32>>, u32) {
        match start {
            Start::Front => {
                let common = self.classes.values().flat_map(|class| commons(class, available, 0));
                cut_off(table, common, bytes, max_runs)
            }
            Start::Spread { next, random } => {
                let has = |class: &&RangeSet| class.first_common(available, 0).is_some();
                let Some(class) = self.classes.values().find(has) else { return (Vec::new(), 0) };
                let goes_on = |next: &u32| class.contains(*next) && available.contains(*next);
                let from =
                    next.filter(goes_on).unwrap_or_else(|| any_common(class, available, self.count, random));
                let before = commons(class, available, 0)
                    .take_while(|run| run.start < from)
                    .map(|run| run.start..run.end.min(from));
                cut_off(table, commons(class, available, from).chain(before), bytes, max_runs)
            }
        }
    }

    fn is_whole(&self, ranges: &RangeSet) -> bool {
        ranges.count() == self.count
    }

    fn recount(&mut self, range: Range<u32>, change: impl Fn(u32) -> u32) {
        let parts = self.copies_in(range.clone());
        let mut moved = Vec::new();
        for (part, copies) in &parts {
            if let Some(class) = self.classes.get(copies) {
                moved.extend(class.within(part.clone()).map(|run| (run, *copies)));
            }
        }
        for (run, copies) in &moved {
            self.remove_from(*copies, run.clone());
        }
        self.set_copies(range, parts, &change);
        for (run, copies) in moved {
            self.classes.entry(change(copies)).or_default().insert(run);
        }
    }

    fn remove_from(&mut self, copies: u32, range: Range<u32>) {
        if let Some(class) = self.classes.get_mut(&copies) {
            class.remove(range);
            if class.is_empty() {
                self.classes.remove(&copies);
            }
        }
    }

    fn copies_at(&self, chunk: u32) -> u32 {
        self.copies.range(..=chunk).next_back().map_or(0, |(_, &copies)| copies)
    }

    /// The parts of a range that differ in how many holders have them.
    fn copies_in(&self, range: Range<u32>) -> Vec<(Range<u32>, u32)> {
        let mut parts = Vec::new();
        if range.is_empty() {
            return parts;
        }
        let (mut start, mut copies) = (range.start, self.copies_at(range.start));
        for (&at, &next) in self.copies.range(range.start..range.end).filter(|&(&at, _)| at > range.start) {
            parts.push((start..at, copies));
            (start, copies) = (at, next);
        }
        parts.push((start..range.end, copies));
        parts
    }

    fn set_copies(&mut self, range: Range<u32>, parts: Vec<(Range<u32>, u32)>, change: impl Fn(u32) -> u32) {
        let after = self.copies_at(range.end);
        for (part, copies) in parts {
            self.copies.insert(part.start, change(copies));
        }
        self.copies.insert(range.end, after);
        // What no longer steps goes, so that the function stays as small as what it says.
        for at in [range.start, range.end] {
            let before = at.checked_sub(1).map_or(0, |before| self.copies_at(before));
            if self.copies.get(&at) == Some(&before) {
                self.copies.remove(&at);
            }
        }
    }
}

/// The front of these runs with about so many bytes, at least one chunk; and where it ends.
fn cut_off(
    table: &ChunkTable,
    runs: impl Iterator<Item = Range<u32>>,
    bytes: u64,
    max_runs: usize,
) -> (Vec<Range<u32>>, u32) {
    let (mut picked, mut room, mut next) = (Vec::new(), bytes, 0);
    for run in runs {
        let mut end = cut::front(table, run.clone(), room);
        if picked.is_empty() {
            end = end.max(run.start + 1);
        }
        let fits = run.start..end;
        if fits.is_empty() {
            break;
        }
        room = room.saturating_sub(cut::bytes(table, fits.clone()));
        next = end;
        picked.push(fits);
        if end < run.end || picked.len() == max_runs {
            break;
        }
    }
    (joined(picked), next)
}

/// One of the chunks that both sets have, each as likely where these are no more than [`TRIED_RUNS`] runs, else about so;
/// 0 if there is none. `count` is how many chunks there are.
fn any_common(a: &RangeSet, b: &RangeSet, count: u32, random: u64) -> u32 {
    let length = |run: &Range<u32>| run.end - run.start;
    let from = (random % u64::from(count.max(1))) as u32;
    let before = commons(a, b, 0).take_while(|run| run.start < from).map(|run| run.start..run.end.min(from));
    let tried: Vec<_> = commons(a, b, from).chain(before).take(TRIED_RUNS).collect();
    let chunks: u32 = tried.iter().map(length).sum();
    let mut place = (mix(random) % u64::from(chunks.max(1))) as u32;
    for run in tried {
        if place < length(&run) {
            return run.start + place;
        }
        place -= length(&run);
    }
    0
}

/// The runs that both sets have, at `from` or after it, ascending.
fn commons<'a>(a: &'a RangeSet, b: &'a RangeSet, mut from: u32) -> impl Iterator<Item = Range<u32>> + 'a {
    std::iter::from_fn(move || {
        let run = a.first_common(b, from)?;
        from = run.end;
        Some(run)
    })
}

/// Ascending, with what touches made one.
fn joined(runs: Vec<Range<u32>>) -> Vec<Range<u32>> {
    runs.into_iter().collect::<RangeSet>().iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::cut::tests::table;
    use super::*;

    fn set(ranges: &[Range<u32>]) -> RangeSet {
        ranges.iter().cloned().collect()
    }

    /// A pick among chunks of 10 bytes, from the front.
    fn front(missing: &Missing, available: &RangeSet, bytes: u64, max_runs: usize) -> Vec<Range<u32>> {
        missing.pick(&table(&[10; 100]), available, (bytes, max_runs), Start::Front).0
    }

    #[test]
    fn the_rarest_comes_first_then_the_lowest() {
        let table = table(&[10; 100]);
        let mut missing = Missing::new(100);
        missing.insert(&table, 0..100);
        assert_eq!(missing.unavailable_bytes(&table), 1000);
        let all = set(&[0..100]);
        missing.gained(&all);
        assert_eq!(missing.unavailable_bytes(&table), 0);
        assert_eq!(front(&missing, &all, 55, 256), [0..5]);
        missing.gained(&set(&[0..20, 50..60]));
        assert_eq!(front(&missing, &all, 300, 256), [20..50]);
        assert_eq!(front(&missing, &all, 350, 256), [20..50, 60..65]);
        assert_eq!(front(&missing, &all, 350, 1), [20..50]);
        assert_eq!(front(&missing, &set(&[5..7, 55..56]), 1000, 256), [5..7, 55..56]);
        missing.remove(&table, 20..50);
        missing.remove(&table, 60..100);
        assert_eq!(front(&missing, &all, 1, 256), [0..1], "one chunk at least");
        missing.lost(&all);
        missing.lost(&set(&[0..20, 50..60]));
        assert_eq!(missing.unavailable_bytes(&table), 300);
        assert!(missing.copies.is_empty(), "no step is left: {:?}", missing.copies);
        assert_eq!(missing.classes.len(), 1);
        assert_eq!(missing.bytes(), 300);
    }

    #[test]
    fn in_company_a_request_goes_on_or_begins_anywhere_and_is_of_one_rarity() {
        let table = table(&[10; 100]);
        let mut missing = Missing::new(100);
        missing.insert(&table, 0..100);
        let all = set(&[0..100]);
        missing.gained(&all);
        let spread = |missing: &Missing, next, random, bytes| {
            missing.pick(&table, &all, (bytes, 256), Start::Spread { next: Some(next), random })
        };
        assert_eq!(spread(&missing, 30, 70, 50), (vec![30..35], 35));
        missing.remove(&table, 30..40);
        let (elsewhere, end) = spread(&missing, 35, 115, 50);
        assert!(elsewhere.iter().all(|run| run.end <= 30 || run.start >= 40), "{elsewhere:?}");
        let begun: std::collections::HashSet<_> =
            (0..1000).map(|n| spread(&missing, 35, mix(n), 10).1).collect();
        assert_eq!(begun.len(), 90, "the next one is not missing: any other may come");
        assert_ne!(end, 40);
        assert_eq!(spread(&missing, 98, 70, 50), (vec![0..3, 98..100], 3), "around the end");
        assert_eq!(spread(&missing, 28, 70, 50), (vec![28..30, 40..43], 43));
        missing.gained(&set(&[0..90]));
        assert_eq!(spread(&missing, 98, 70, 500), (vec![90..100], 98), "the rarest only");
        assert!(spread(&missing, 20, 15, 20).0.iter().all(|run| run.start >= 90), "it is not the rarest");
        missing.remove(&table, 90..100);
        missing.remove(&table, 0..30);
        missing.remove(&table, 40..90);
        assert_eq!(spread(&missing, 95, 75, 60), (vec![], 0));
    }

    #[test]
    fn copies_are_counted_where_ranges_overlap() {
        let table = table(&[1; 30]);
        let mut missing = Missing::new(30);
        let mut sets = [set(&[0..10]), set(&[5..15, 20..30]), set(&[9..21]), set(&[0..29])];
        sets.iter().for_each(|set| missing.gained(set));
        missing.insert(&table, 0..30);
        let check = |missing: &Missing, sets: &[RangeSet]| {
            for chunk in 0..30 {
                let copies = sets.iter().filter(|set| set.contains(chunk)).count() as u32;
                assert_eq!(missing.copies_at(chunk), copies, "{chunk}");
                assert!(missing.classes[&copies].contains(chunk), "{chunk}");
            }
        };
        check(&missing, &sets);
        for to in [set(&[3..7, 28..29]), set(&[0..30]), set(&[0..29])] {
            missing.changed(&sets[3], &to);
            if missing.complete == 0 {
                sets[3] = to;
                check(&missing, &sets);
            } else {
                check(&missing, &sets[..3]);
                sets[3] = to;
            }
        }
        for left in 1..=sets.len() {
            missing.lost(&sets[left - 1]);
            check(&missing, &sets[left..]);
        }
    }
}
