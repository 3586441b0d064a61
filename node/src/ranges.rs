//! Sets of `u32` kept as ranges: which chunks of a file are there.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of numbers from 0 to `u32::MAX - 1`, kept as sorted half-open ranges.
///
/// Invariant: no range is empty, and between two there is at least one number that is not in the set. Memory and
/// iteration cost grow with the number of ranges, not of numbers; every other operation is O(log n) amortized.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// Start to end.
    ranges: BTreeMap<u32, u32>,
    len: u32,
}

/// Why bytes are no encoded [`RangeSet`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeSetError {
    /// The bytes end within a number or between the two of one range.
    #[error("the ranges end in the middle of one")]
    Truncated,
    /// A range that is empty, touches the one before it, or reaches past `u32::MAX`.
    #[error("a range that is empty, touches the one before it, or is out of bounds")]
    Range,
    /// A number that is not in its shortest form.
    #[error("a number that is not in its shortest form")]
    Number,
}

impl RangeSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds all of a range; an empty or reversed one adds nothing.
    pub fn insert(&mut self, range: Range<u32>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        // Ranges that overlap or touch: those that start at or before `end`, from the last backwards.
        while let Some((&other_start, &other_end)) = self.ranges.range(..=end).next_back() {
            if other_end < start {
                break;
            }
            self.ranges.remove(&other_start);
            self.len -= other_end - other_start;
            start = start.min(other_start);
            end = end.max(other_end);
        }
        self.ranges.insert(start, end);
        self.len += end - start;
    }

    /// Takes all of a range out.
    pub fn remove(&mut self, range: Range<u32>) {
        if range.is_empty() {
            return;
        }
        while let Some((&start, &end)) = self.ranges.range(..range.end).next_back() {
            if end <= range.start {
                break;
            }
            self.ranges.remove(&start);
            self.len -= end - start;
            self.put_back(start..range.start.max(start));
            self.put_back(range.end.min(end)..end);
        }
    }

    fn put_back(&mut self, rest: Range<u32>) {
        if !rest.is_empty() {
            self.len += rest.end - rest.start;
            self.ranges.insert(rest.start, rest.end);
        }
    }

    /// Whether a number is in the set.
    pub fn contains(&self, number: u32) -> bool {
        self.end_of(number).is_some()
    }

    /// Whether all of a range is in the set; true for an empty one.
    pub fn contains_all(&self, range: Range<u32>) -> bool {
        range.is_empty()
            || self.ranges.range(..=range.start).next_back().is_some_and(|(_, &end)| range.end <= end)
    }

    /// Where the range ends in which a number is, if it is in the set.
    pub fn end_of(&self, number: u32) -> Option<u32> {
        self.ranges.range(..=number).next_back().map(|(_, &end)| end).filter(|&end| number < end)
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u32>> {
        self.ranges.iter().map(|(&start, &end)| start..end)
    }

    /// What is missing of `0..end`, in order.
    pub fn gaps(&self, end: u32) -> impl Iterator<Item = Range<u32>> {
        let starts = std::iter::once(0).chain(self.ranges.values().copied());
        let ends = self.ranges.keys().copied().chain(std::iter::once(end));
        starts.zip(ends).map(move |(start, stop)| start..stop.min(end)).filter(|gap| !gap.is_empty())
    }

    /// How many numbers are in the set.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many ranges the set takes.
    pub fn range_count(&self) -> usize {
        self.ranges.len()
    }

    /// One more than the largest number in the set; 0 for the empty set.
    pub fn end(&self) -> u32 {
        self.ranges.last_key_value().map_or(0, |(_, &end)| end)
    }

    /// Its compact form: for each range the distance from the end of the one before and its length, as LEB128.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.ranges.len() * 4);
        let mut at = 0;
        for (&start, &end) in &self.ranges {
            write_number(&mut bytes, start - at);
            write_number(&mut bytes, end - start);
            at = end;
        }
        bytes
    }

    /// Takes the compact form back. Memory: at most 16 times the bytes.
    ///
    /// # Errors
    /// See [`RangeSetError`]; there is one encoding for each set, and nothing else is accepted.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, RangeSetError> {
        let mut set = Self::new();
        let mut at = 0_u32;
        while !bytes.is_empty() {
            let gap = read_number(&mut bytes)?;
            let length = read_number(&mut bytes)?;
            let start = at.checked_add(gap).ok_or(RangeSetError::Range)?;
            let end = start.checked_add(length).ok_or(RangeSetError::Range)?;
            if length == 0 || (gap == 0 && !set.is_empty()) {
                return Err(RangeSetError::Range);
            }
            set.ranges.insert(start, end);
            set.len += length;
            at = end;
        }
        Ok(set)
    }
}

impl FromIterator<Range<u32>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range<u32>>>(ranges: I) -> Self {
        let mut set = Self::new();
        set.extend(ranges);
        set
    }
}

impl Extend<Range<u32>> for RangeSet {
    fn extend<I: IntoIterator<Item = Range<u32>>>(&mut self, ranges: I) {
        ranges.into_iter().for_each(|range| self.insert(range));
    }
}

impl From<Range<u32>> for RangeSet {
    fn from(range: Range<u32>) -> Self {
        Self::from_iter([range])
    }
}

fn write_number(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Result<u32, RangeSetError> {
    let mut number = 0_u64;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, rest) = bytes.split_first().ok_or(RangeSetError::Truncated)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            if byte == 0 && shift > 0 {
                return Err(RangeSetError::Number);
            }
            return u32::try_from(number).map_err(|_| RangeSetError::Number);
        }
    }
    Err(RangeSetError::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The numbers of the model tests: few, so that ranges meet.
    const END: u32 = 60;

    fn numbers(set: &RangeSet) -> Vec<u32> {
        set.iter().flatten().collect()
    }

    #[test]
    fn the_ends_of_the_numbers() {
        let mut set = RangeSet::from(0..u32::MAX);
        assert_eq!(set.len(), u32::MAX);
        assert_eq!(RangeSet::decode(&set.encode()), Ok(set.clone()));
        set.remove(5..u32::MAX - 1);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0..5, u32::MAX - 1..u32::MAX]);
        set.insert(4..u32::MAX);
        assert_eq!(set.range_count(), 1);
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
    fn empty_and_reversed_ranges_are_nothing() {
        let mut set = RangeSet::from(3..7);
        set.insert(5..5);
        set.insert(9..8);
        set.remove(6..4);
        assert_eq!(numbers(&set), [3, 4, 5, 6]);
        assert!(set.contains_all(9..9));
    }

    #[test]
    fn only_the_one_encoding() {
        let set: RangeSet = [1..3, 400..401].into_iter().collect();
        assert_eq!(set.encode(), [1, 2, 0x8d, 3, 1]);
        assert_eq!(RangeSet::decode(&[]), Ok(RangeSet::new()));
        assert_eq!(RangeSet::decode(&[1]), Err(RangeSetError::Truncated));
        assert_eq!(RangeSet::decode(&[1, 0x80]), Err(RangeSetError::Truncated));
        assert_eq!(RangeSet::decode(&[1, 0]), Err(RangeSetError::Range), "empty");
        assert_eq!(RangeSet::decode(&[1, 2, 0, 2]), Err(RangeSetError::Range), "touching");
        assert_eq!(RangeSet::decode(&[0x81, 0, 1]), Err(RangeSetError::Number), "not the shortest");
        assert_eq!(RangeSet::decode(&[0xff, 0xff, 0xff, 0xff, 0x1f, 1]), Err(RangeSetError::Number));
        assert_eq!(RangeSet::decode(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1]), Err(RangeSetError::Range));
    }

    proptest! {
        #[test]
        fn as_the_model(steps: Vec<(bool, u8, u8)>) {
            let (mut set, mut model) = (RangeSet::new(), BTreeSet::new());
            for (insert, start, length) in steps {
                let start = u32::from(start) % END;
                let range = start..(start + u32::from(length) % 12).min(END);
                if insert {
                    set.insert(range.clone());
                    model.extend(range.clone());
                } else {
                    set.remove(range.clone());
                    model.retain(|number| !range.contains(number));
                }
                prop_assert_eq!(numbers(&set), model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(set.len() as usize, model.len());
                prop_assert_eq!(set.end(), model.last().map_or(0, |last| last + 1));
                let all = range.clone().all(|number| model.contains(&number));
                prop_assert_eq!(set.contains_all(range), all);
            }
            for end in [0, 1, END / 2, END, END + 5] {
                let missing: Vec<u32> = (0..end).filter(|number| !model.contains(number)).collect();
                prop_assert_eq!(set.gaps(end).flatten().collect::<Vec<_>>(), missing);
            }
            prop_assert!((0..END).all(|number| set.contains(number) == model.contains(&number)));
            let ranges: Vec<_> = set.iter().collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert_eq!(RangeSet::decode(&set.encode()), Ok(set));
        }

        #[test]
        fn what_decodes_encodes_back(bytes: Vec<u8>) {
            if let Ok(set) = RangeSet::decode(&bytes) {
                prop_assert_eq!(set.encode(), bytes);
            }
        }
    }
}
