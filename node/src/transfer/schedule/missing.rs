//! The one queue of what is still to be asked for, ordered by how many holders have it.

use std::collections::BTreeMap;
use std::ops::Range;

use wire::manifest::ChunkTable;

use super::cut;
use super::ranges::RangeSet;

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
    /// the equally rare the lowest. At least one chunk, if there is one.
    ///
    /// O((runs passed over + runs found) · log runs).
    pub(super) fn pick(
        &self,
        table: &ChunkTable,
        available: &RangeSet,
        bytes: u64,
        max_runs: usize,
    ) -> Vec<Range<u32>> {
        let (mut picked, mut room) = (Vec::new(), bytes);
        let common = self.classes.values().flat_map(|class| commons(class, available));
        for run in common {
            let mut end = cut::front(table, run.clone(), room);
            if picked.is_empty() {
                end = end.max(run.start + 1);
            }
            let fits = run.start..end;
            if fits.is_empty() {
                break;
            }
            room = room.saturating_sub(cut::bytes(table, fits.clone()));
            picked.push(fits);
            if end < run.end || picked.len() == max_runs {
                break;
            }
        }
        joined(picked)
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

/// The runs that both sets have, ascending.
fn commons<'a>(a: &'a RangeSet, b: &'a RangeSet) -> impl Iterator<Item = Range<u32>> + 'a {
    let mut from = 0;
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

    #[test]
    fn the_rarest_comes_first_then_the_lowest() {
        let table = table(&[10; 100]);
        let mut missing = Missing::new(100);
        missing.insert(&table, 0..100);
        assert_eq!(missing.unavailable_bytes(&table), 1000);
        let all = set(&[0..100]);
        missing.gained(&all);
        assert_eq!(missing.unavailable_bytes(&table), 0);
        assert_eq!(missing.pick(&table, &all, 55, 256), [0..5]);
        missing.gained(&set(&[0..20, 50..60]));
        assert_eq!(missing.pick(&table, &all, 300, 256), [20..50]);
        assert_eq!(missing.pick(&table, &all, 350, 256), [20..50, 60..65]);
        assert_eq!(missing.pick(&table, &all, 350, 1), [20..50]);
        assert_eq!(missing.pick(&table, &set(&[5..7, 55..56]), 1000, 256), [5..7, 55..56]);
        missing.remove(&table, 20..50);
        missing.remove(&table, 60..100);
        assert_eq!(missing.pick(&table, &all, 1, 256), [0..1], "one chunk at least");
        missing.lost(&all);
        missing.lost(&set(&[0..20, 50..60]));
        assert_eq!(missing.unavailable_bytes(&table), 300);
        assert!(missing.copies.is_empty(), "no step is left: {:?}", missing.copies);
        assert_eq!(missing.classes.len(), 1);
        assert_eq!(missing.bytes(), 300);
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
