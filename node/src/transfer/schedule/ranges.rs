//! A set of chunk indices, kept as runs: its size is that of its gaps, not of the content.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of chunk indices.
///
/// Invariant: the runs are not empty, do not touch one another, and `count` is the sum of their lengths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RangeSet {
    /// First index of each run → the index after its last.
    runs: BTreeMap<u32, u32>,
    count: u32,
}

impl RangeSet {
    /// How many indices there are.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether this index is there. O(log runs).
    pub(super) fn contains(&self, index: u32) -> bool {
        self.runs.range(..=index).next_back().is_some_and(|(_, &end)| index < end)
    }

    /// All runs, ascending.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u32>> + '_ {
        self.runs.iter().map(|(&start, &end)| start..end)
    }

    /// The first run of what lies at `from` or after it. O(log runs).
    pub(super) fn next_from(&self, from: u32) -> Option<Range<u32>> {
        let before = self.runs.range(..=from).next_back().filter(|&(_, &end)| from < end);
        let (&start, &end) = before.or_else(|| self.runs.range(from..).next())?;
        Some(start.max(from)..end)
    }

    /// The last run of what lies before `to`. O(log runs).
    pub(super) fn last_before(&self, to: u32) -> Option<Range<u32>> {
        self.runs.range(..to).next_back().map(|(&start, &end)| start..end.min(to))
    }

    /// The first run, at `from` or after it, that both sets have.
    pub(super) fn first_common(&self, other: &Self, mut from: u32) -> Option<Range<u32>> {
        loop {
            let here = self.next_from(from)?;
            let there = other.next_from(here.start)?;
            if there.start < here.end {
                return Some(there.start..here.end.min(there.end));
            }
            from = there.start;
        }
    }

    /// The last run, before `to`, that both sets have.
    pub(super) fn last_common(&self, other: &Self, mut to: u32) -> Option<Range<u32>> {
        loop {
            let here = self.last_before(to)?;
            let there = other.last_before(here.end)?;
            if here.start < there.end {
                return Some(here.start.max(there.start)..there.end);
            }
            to = there.end;
        }
    }

    /// The runs of what lies in `range`. O(log runs + runs found).
    pub(super) fn within(&self, range: Range<u32>) -> impl Iterator<Item = Range<u32>> + '_ {
        let mut from = range.start;
        std::iter::from_fn(move || {
            let run = self.next_from(from).filter(|run| run.start < range.end)?;
            from = run.end.min(range.end);
            Some(run.start..from)
        })
    }

    /// What is here and not there. O(runs · log runs).
    pub(super) fn without(&self, other: &Self) -> Self {
        let mut left = self.clone();
        other.iter().for_each(|range| left.remove(range));
        left
    }

    /// Adds a range. O(log runs), amortised.
    pub(super) fn insert(&mut self, range: Range<u32>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        if let Some((&before, &its_end)) = self.runs.range(..=start).next_back()
            && its_end >= start
        {
            start = before;
        }
        while let Some((&met, &its_end)) = self.runs.range(start..=end).next() {
            self.runs.remove(&met);
            self.count -= its_end - met;
            end = end.max(its_end);
        }
        self.runs.insert(start, end);
        self.count += end - start;
    }

    /// Takes a range out, as much of it as is there. O(log runs), amortised.
    pub(super) fn remove(&mut self, range: Range<u32>) {
        while let Some(met) = self.next_from(range.start).filter(|met| met.start < range.end) {
            let (&start, &end) = self.runs.range(..=met.start).next_back().expect("next_from found it");
            self.runs.remove(&start);
            let cut = met.start..end.min(range.end);
            for rest in [start..cut.start, cut.end..end] {
                if !rest.is_empty() {
                    self.runs.insert(rest.start, rest.end);
                }
            }
            self.count -= cut.end - cut.start;
        }
    }
}

impl FromIterator<Range<u32>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range<u32>>>(ranges: I) -> Self {
        let mut set = Self::default();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const SPACE: u32 = 40;

    fn runs_of(model: &BTreeSet<u32>, space: Range<u32>) -> Vec<Range<u32>> {
        let mut runs: Vec<Range<u32>> = Vec::new();
        for index in space.filter(|index| model.contains(index)) {
            match runs.last_mut() {
                Some(run) if run.end == index => run.end += 1,
                _ => runs.push(index..index + 1),
            }
        }
        runs
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(steps in proptest::collection::vec(
            (any::<bool>(), any::<bool>(), 0..SPACE, 0..8_u32), 1..60,
        )) {
            let (mut sets, mut models) = (<[RangeSet; 2]>::default(), <[BTreeSet<u32>; 2]>::default());
            for (which, add, start, length) in steps {
                let (set, model) = (&mut sets[usize::from(which)], &mut models[usize::from(which)]);
                let range = start..start + length;
                if add {
                    set.insert(range.clone());
                    model.extend(range);
                } else {
                    set.remove(range.clone());
                    model.retain(|index| !range.contains(index));
                }
                prop_assert_eq!(set.iter().collect::<Vec<_>>(), runs_of(model, 0..SPACE + 8));
                prop_assert_eq!(set.count() as usize, model.len());
            }
            let [a, b] = &sets;
            let common: BTreeSet<u32> = models[0].intersection(&models[1]).copied().collect();
            for at in 0..SPACE + 8 {
                prop_assert_eq!(a.contains(at), models[0].contains(&at));
                prop_assert_eq!(a.next_from(at), runs_of(&models[0], at..SPACE + 8).first().cloned());
                prop_assert_eq!(a.last_before(at), runs_of(&models[0], 0..at).last().cloned());
                let within: Vec<_> = a.within(at / 2..at).collect();
                prop_assert_eq!(within, runs_of(&models[0], at / 2..at));
                prop_assert_eq!(a.first_common(b, at), runs_of(&common, at..SPACE + 8).first().cloned());
                prop_assert_eq!(a.last_common(b, at), runs_of(&common, 0..at).last().cloned());
            }
        }
    }
}
