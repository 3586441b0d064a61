//! Where the rolling hash would let a cut be, found in any order and on any thread.
//!
//! FastCDC goes from cut to cut. But its hash forgets: each byte shifts the ones before to the left, so that what a byte
//! added is gone after 64 more. Where the hash has zeros in the bits of a mask, a *mark*, is therefore the same wherever
//! the hashing began, at least 64 bytes before. Marks are few; from cut to cut it is then a step from mark to mark.

use std::ops::Range;

use fastcdc::v2020;

use super::Cutter;

/// So many bytes decide the hash at the last of them.
pub(in crate::store) const HISTORY: usize = u64::BITS as usize;
/// Parts of a block that are gone through side by side: each step of the hash waits for the one before, and a processor has
/// time for so many meanwhile. More need more registers than there are.
const LANES: usize = 3;
/// A block with more marks than one in so many bytes, and some, is cut as if none were known. Only repetitions have so many:
/// with the smallest average there is one in 2,048.
const BYTES_PER_MARK: usize = 512;
const SOME_MARKS: usize = 16;

/// Marks of a part of a file, by their places in the file, in order.
#[derive(Debug, Default)]
pub(in crate::store) struct Marks {
    /// Up to the average size, a cut must be here.
    strict: Vec<u64>,
    /// From the average size on.
    loose: Vec<u64>,
    /// Where there are too many to be noted.
    unknown: Vec<Range<u64>>,
}

impl Marks {
    /// Adds those of what follows.
    pub(in crate::store) fn append(&mut self, mut after: Self) {
        self.strict.append(&mut after.strict);
        self.loose.append(&mut after.loose);
        self.unknown.append(&mut after.unknown);
    }

    /// Forgets those before a place.
    pub(in crate::store) fn forget_before(&mut self, place: u64) {
        for marks in [&mut self.strict, &mut self.loose] {
            marks.drain(..marks.partition_point(|mark| *mark < place));
        }
        self.unknown.retain(|range| range.end > place);
    }

    pub(super) fn is_unknown(&self, from: u64, to: u64) -> bool {
        self.unknown.iter().any(|range| range.start < to && from < range.end)
    }

    /// The first one within a range.
    pub(super) fn strict(&self, range: Range<u64>) -> Option<u64> {
        first_in(&self.strict, range)
    }

    /// The first one within a range.
    pub(super) fn loose(&self, range: Range<u64>) -> Option<u64> {
        first_in(&self.loose, range)
    }
}

fn first_in(marks: &[u64], range: Range<u64>) -> Option<u64> {
    marks.get(marks.partition_point(|mark| *mark < range.start)).copied().filter(|mark| *mark < range.end)
}

impl Cutter {
    /// The marks of a block that lies at `at` in the file, but those of its first [`HISTORY`] bytes, which need the bytes
    /// before: see [`marks_at_edge`](Self::marks_at_edge).
    pub(in crate::store) fn marks(&self, block: &[u8], at: u64) -> Marks {
        let tables = Tables::new();
        let pairs = block.len() / LANES / 2;
        let lane = |lane: usize| &block[lane * 2 * pairs..][..2 * pairs];
        let mut marks = Marks::default();
        let mut pair = 0;
        for tried in 0.. {
            if tried > block.len() / BYTES_PER_MARK + SOME_MARKS {
                let all = at..at + block.len() as u64;
                return Marks { unknown: vec![all], ..Marks::default() };
            }
            let hashes = std::array::from_fn(|lane| tables.hash(&block[..lane * 2 * pairs + 2 * pair]));
            let lanes = std::array::from_fn(|number| lane(number)[2 * pair..].as_chunks().0);
            let Some(found) = tables.seek(hashes, lanes, self.mask_s & self.mask_l) else { break };
            pair += found;
            for lane in 0..LANES {
                let place = 2 * (lane * pairs + pair);
                self.look(&tables, block, place..place + 2, at, &mut marks);
            }
            pair += 1;
        }
        self.look(&tables, block, LANES * 2 * pairs..block.len(), at, &mut marks);
        marks.strict.sort_unstable();
        marks.loose.sort_unstable();
        marks
    }

    /// The marks that [`marks`](Self::marks) does not know at the beginning of a block: `bytes` are up to [`HISTORY`] bytes
    /// before it and as many of it, `at` is where in the file they begin.
    pub(in crate::store) fn marks_at_edge(&self, bytes: &[u8], at: u64) -> Marks {
        let mut marks = Marks::default();
        self.look(&Tables::new(), bytes, 0..bytes.len(), at, &mut marks);
        marks
    }

    /// Notes the marks of a range, of the bytes that have their whole history before them.
    fn look(&self, tables: &Tables<'_>, bytes: &[u8], range: Range<usize>, at: u64, marks: &mut Marks) {
        let mut hash = tables.hash(&bytes[..range.start]);
        for place in range {
            hash = tables.roll(hash, bytes[place]);
            if place < HISTORY {
                continue;
            }
            let masks = [(self.mask_s, &mut marks.strict), (self.mask_l, &mut marks.loose)];
            for (_, marks) in masks.into_iter().filter(|(mask, _)| hash & mask == 0) {
                marks.push(at + place as u64);
            }
        }
    }
}

/// What each byte adds to the hash, and the same times two.
struct Tables<'a> {
    gear: &'a [u64; 256],
    doubled: &'a [u64; 256],
}

impl Tables<'static> {
    fn new() -> Self {
        let table = |table: std::borrow::Cow<'static, [u64]>| match table {
            std::borrow::Cow::Borrowed(table) => table.try_into().ok(),
            std::borrow::Cow::Owned(_) => None,
        };
        let (gear, doubled) = v2020::get_gear_with_seed(0);
        let (gear, doubled) = (table(gear), table(doubled));
        let why = "without a seed they are constants, one number for each byte";
        Self { gear: gear.expect(why), doubled: doubled.expect(why) }
    }
}

impl Tables<'_> {
    fn roll(&self, hash: u64, byte: u8) -> u64 {
        (hash << 1).wrapping_add(self.gear[usize::from(byte)])
    }

    /// The hash after these bytes.
    fn hash(&self, bytes: &[u8]) -> u64 {
        let history = &bytes[bytes.len().saturating_sub(HISTORY)..];
        history.iter().fold(0, |hash, byte| self.roll(hash, *byte))
    }

    /// The first pair of bytes in which there may be a mark in one of the lanes, which are equally long.
    ///
    /// Nothing but what is needed for each byte is done here: this loop is what cutting a file takes. As in FastCDC a step is
    /// two bytes, and the hash of the first one is only known doubled.
    #[inline(never)]
    fn seek(&self, mut hashes: [u64; LANES], lanes: [&[[u8; 2]]; LANES], mask: u64) -> Option<usize> {
        let pairs = lanes[0].len();
        let lanes = lanes.map(|lane| &lane[..pairs]);
        let doubled_mask = mask << 1;
        #[expect(clippy::needless_range_loop, reason = "all lanes are looked at in step")]
        for pair in 0..pairs {
            for lane in 0..LANES {
                let [first, second] = lanes[lane][pair];
                hashes[lane] = (hashes[lane] << 2).wrapping_add(self.doubled[usize::from(first)]);
                if hashes[lane] & doubled_mask == 0 {
                    return Some(pair);
                }
                hashes[lane] = hashes[lane].wrapping_add(self.gear[usize::from(second)]);
                if hashes[lane] & mask == 0 {
                    return Some(pair);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::cut::tests::{noise, whole_cuts};
    use proptest::prelude::*;
    use wire::manifest::ChunkerParams;

    /// Cuts by marks that were found block by block.
    fn cuts(bytes: &[u8], params: ChunkerParams, block: usize) -> Vec<usize> {
        let cutter = Cutter::new(params);
        let mut marks = Marks::default();
        for at in (0..bytes.len()).step_by(block) {
            let edge = at.saturating_sub(HISTORY)..bytes.len().min(at + block.min(HISTORY));
            let found = cutter.marks(&bytes[at..bytes.len().min(at + block)], at as u64);
            marks.append(cutter.marks_at_edge(&bytes[edge.clone()], edge.start as u64));
            marks.append(found);
        }
        let (mut at, mut cuts) = (0, Vec::new());
        while at < bytes.len() {
            marks.forget_before(at as u64);
            let cut = cutter.cut_at_mark(&bytes[at..], at as u64, &marks);
            cuts.push(cut);
            at += cut;
        }
        cuts
    }

    #[test]
    fn marks_are_where_the_cuts_are() {
        let bytes = noise("marks", 12 << 20);
        for size in [0, 4 << 20, 2 << 30, 4 << 30, 40 << 30, u64::MAX] {
            let params = ChunkerParams::for_size(size);
            for length in [bytes.len(), bytes.len() - 1, 700_001] {
                assert_eq!(
                    cuts(&bytes[..length], params, 256 << 10),
                    whole_cuts(&bytes[..length], params),
                    "{size}"
                );
            }
        }
    }

    #[test]
    fn of_a_block_with_too_many_marks_none_is_known() {
        let params = ChunkerParams::for_size(4 << 20);
        let cutter = Cutter::new(params);
        let repeated = |pair: u16| pair.to_be_bytes().repeat(50_000);
        let full = (0..u16::MAX).map(repeated).find(|block| !cutter.marks(block, 7).unknown.is_empty());
        let full = full.expect("of so many pairs, one gives a mark when it is repeated");
        let marks = cutter.marks(&full, 7);
        assert_eq!(marks.unknown.as_slice(), std::slice::from_ref(&(7..100_007)));
        assert!(marks.strict.is_empty() && marks.loose.is_empty());
        assert_eq!(cuts(&full, params, 4096), whole_cuts(&full, params));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Noise, one byte again and again, and short repetitions, in blocks of any length.
        #[test]
        fn any_bytes_are_cut_as_the_crate_cuts_them(
            parts in proptest::collection::vec((0_u16..500, 0_usize..200_000), 1..5),
            block in prop_oneof![1_usize..300, 1000_usize..300_000],
            size in prop_oneof![Just(0_u64), Just(4 << 20), Just(1 << 30)],
        ) {
            let mut bytes = Vec::new();
            for (index, (kind, length)) in parts.into_iter().enumerate() {
                match kind {
                    0..256 => bytes.resize(bytes.len() + length, kind as u8),
                    256..300 => bytes.extend(noise("again", usize::from(kind) - 255).iter().cycle().take(length)),
                    _ => bytes.extend(noise(&index.to_string(), length)),
                }
            }
            let params = ChunkerParams::for_size(size);
            prop_assert_eq!(cuts(&bytes, params, block), whole_cuts(&bytes, params));
        }
    }
}
