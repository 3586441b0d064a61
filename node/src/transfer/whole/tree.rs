//! The BLAKE3 tree of one input whose parts come in any order (BLAKE3 paper, sections 2.1 and 5.1.2): of whatever is
//! complete only the chaining values at the top are kept.

use std::collections::BTreeMap;
use std::ops::Range;

use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root};
use wire::ContentHash;
use wire::manifest::root_of;

/// The smallest subtree that is kept, in bytes: a power of two of BLAKE3's 1 KiB. What comes beside the border of one is
/// hashed in pieces only where the rest follows at once.
pub(in crate::transfer) const BLOCK: u64 = 64 << 10;

/// What is known of an input of more than one block. 2 log n values for each run of bytes that is known.
#[derive(Debug)]
pub(super) struct Tree {
    size: u64,
    /// Subtrees by where they begin; none overlaps another, and no two are the halves of a larger one.
    subtrees: BTreeMap<u64, Subtree>,
}

#[derive(Debug, Clone, Copy)]
struct Subtree {
    length: u64,
    value: ChainingValue,
}

impl Tree {
    /// Of which nothing is known; `None` for an input of one block or less, whose hash has no subtrees.
    pub(super) fn new(size: u64) -> Option<Self> {
        (size > BLOCK).then(|| Self { size, subtrees: BTreeMap::new() })
    }

    /// Enters the block that begins at a multiple of [`BLOCK`]. One that is known already changes nothing.
    pub(super) fn enter(&mut self, start: u64, value: ChainingValue) {
        if start >= self.size || self.known_from(start) > start {
            return;
        }
        let (mut start, mut new) = (start, Subtree { length: BLOCK.min(self.size - start), value });
        // The last block may be shorter, and is half of nothing. All of the input is the root, which is another kind of node.
        while new.length.is_power_of_two() && new.length >= BLOCK && 2 * new.length < self.size {
            let is_left = start.is_multiple_of(2 * new.length);
            let beside = if is_left { start + new.length } else { start - new.length };
            let Some(other) = self.subtrees.get(&beside).filter(|other| other.length == new.length) else {
                break;
            };
            let (left, right) = if is_left { (new.value, other.value) } else { (other.value, new.value) };
            let value = merge_subtrees_non_root(&left, &right, Mode::Hash);
            self.subtrees.remove(&beside);
            (start, new) = (start.min(beside), Subtree { length: 2 * new.length, value });
        }
        self.subtrees.insert(start, new);
    }

    /// Up to where all from an offset on is known; the offset itself where nothing is.
    fn known_from(&self, offset: u64) -> u64 {
        let mut end = offset;
        let around = self.subtrees.range(..=offset).next_back();
        if let Some((start, subtree)) = around {
            end = end.max(start + subtree.length);
        }
        for (start, subtree) in self.subtrees.range(end..) {
            if *start != end {
                break;
            }
            end += subtree.length;
        }
        end
    }

    /// The first range that is not known, from an offset on.
    pub(super) fn unknown_from(&self, offset: u64) -> Range<u64> {
        let start = self.known_from(offset).min(self.size);
        let end = self.subtrees.range(start..).next().map_or(self.size, |(start, _)| *start);
        start..end
    }

    /// The hash of the whole input, once all of it is known.
    pub(super) fn root(&self) -> Option<ContentHash> {
        if self.known_from(0) < self.size {
            return None;
        }
        root_of(self.subtrees.values().map(|subtree| subtree.value))
    }
}

/// The value of the subtree over blocks that follow on one another: all of [`BLOCK`] but the last, together a power of two of
/// them, or up to the end of the input. `None` of nothing.
pub(super) fn merged(blocks: &[ChainingValue]) -> Option<ChainingValue> {
    let (last, before) = blocks.split_last()?;
    // The left half is the largest power of two that leaves something to the right.
    let Some(log) = before.len().checked_ilog2() else { return Some(*last) };
    let (left, right) = blocks.split_at_checked(1 << log)?;
    Some(merge_subtrees_non_root(&merged(left)?, &merged(right)?, Mode::Hash))
}

/// Hashes what comes in order, block by block. What comes before the first border of a block is passed over, and what comes
/// after a gap begins anew.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    next: u64,
    /// Of the block that `next` lies in, where its beginning has come.
    begun: Option<Box<Hasher>>,
}

impl Stretch {
    /// Takes the bytes at an offset into an input of this size, and returns the blocks that are complete now.
    pub(super) fn take(&mut self, size: u64, offset: u64, mut bytes: &[u8]) -> Vec<(u64, ChainingValue)> {
        let mut blocks = Vec::new();
        if offset != self.next {
            self.begun = None;
        }
        self.next = offset;
        while !bytes.is_empty() {
            let start = self.next - self.next % BLOCK;
            let left =
                usize::try_from(size.min(start + BLOCK).saturating_sub(self.next)).unwrap_or(usize::MAX);
            let Some((part, rest)) = bytes.split_at_checked(left.min(bytes.len())).filter(|_| left > 0)
            else {
                break;
            };
            if self.next == start {
                let mut hasher = Box::<Hasher>::default();
                hasher.set_input_offset(start);
                self.begun = Some(hasher);
            }
            if let Some(begun) = &mut self.begun {
                begun.update(part);
                if part.len() == left {
                    blocks.push((start, begun.finalize_non_root()));
                    self.begun = None;
                }
            }
            self.next += part.len() as u64;
            bytes = rest;
        }
        blocks
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    /// Takes these ranges in turn, each by a stretch of its own, in pieces of this many bytes.
    fn take(tree: &mut Tree, bytes: &[u8], ranges: impl IntoIterator<Item = Range<usize>>, piece: usize) {
        for range in ranges {
            let mut stretch = Stretch::default();
            let mut at = range.start;
            while at < range.end {
                let end = (at + piece).min(range.end);
                for (start, value) in stretch.take(tree.size, at as u64, &bytes[at..end]) {
                    tree.enter(start, value);
                }
                at = end;
            }
        }
    }

    const BLOCK_LENGTH: usize = BLOCK as usize;

    #[test]
    fn one_block_has_no_subtrees() {
        assert!(Tree::new(0).is_none() && Tree::new(BLOCK).is_none() && Tree::new(BLOCK + 1).is_some());
    }

    #[test]
    fn sizes_around_powers_of_two_have_the_hash_that_they_have_in_order() {
        for blocks in 1..=9 {
            for more in [1, 1023, 1024, 1025, BLOCK_LENGTH - 1, BLOCK_LENGTH] {
                let bytes = noise(blocks * BLOCK_LENGTH + more);
                let mut tree = Tree::new(bytes.len() as u64).expect("more than a block");
                assert_eq!(tree.root(), None);
                let first_half = 0..bytes.len() / 2 / BLOCK_LENGTH * BLOCK_LENGTH;
                take(&mut tree, &bytes, [first_half.end..bytes.len(), first_half], 100_000);
                assert_eq!(tree.root(), Some(ContentHash::of(&bytes)), "{blocks} blocks and {more}");
                assert!(tree.subtrees.len() <= 6, "only the tops are kept: {}", tree.subtrees.len());
            }
        }
    }

    #[test]
    fn what_is_not_known_is_found() {
        let bytes = noise(10 * BLOCK_LENGTH + 5);
        let mut tree = Tree::new(bytes.len() as u64).expect("more than a block");
        take(
            &mut tree,
            &bytes,
            [BLOCK_LENGTH - 1..4 * BLOCK_LENGTH + 1, 9 * BLOCK_LENGTH..bytes.len()],
            1 << 20,
        );
        assert_eq!(tree.unknown_from(0), 0..BLOCK);
        assert_eq!(tree.unknown_from(BLOCK), 4 * BLOCK..9 * BLOCK);
        assert_eq!(tree.unknown_from(9 * BLOCK), tree.size..tree.size);
    }

    proptest! {
        #[test]
        fn any_order_gives_the_same_hash(
            length in BLOCK_LENGTH + 1..40 * BLOCK_LENGTH,
            cuts in proptest::collection::vec(any::<(prop::sample::Index, u64)>(), 0..12),
            piece in 1000..300_000_usize,
        ) {
            let bytes = noise(length);
            let mut tree = Tree::new(length as u64).expect("more than a block");
            let mut places: Vec<_> = cuts.iter().map(|(at, _)| at.index(length)).chain([0, length]).collect();
            places.sort_unstable();
            let mut ranges: Vec<_> = places.windows(2).map(|pair| pair[0]..pair[1]).collect();
            for (number, (_, key)) in cuts.iter().enumerate() {
                let other = (*key as usize) % ranges.len();
                ranges.swap(number, other);
            }
            take(&mut tree, &bytes, ranges, piece);
            // What lies on the borders comes last, and some of it a second time.
            let mut at = 0;
            loop {
                let unknown = tree.unknown_from(at);
                if unknown.is_empty() {
                    break;
                }
                prop_assert!(unknown.start.is_multiple_of(BLOCK));
                take(&mut tree, &bytes, std::iter::once(unknown.start as usize..unknown.end as usize), piece);
                at = unknown.end;
            }
            take(&mut tree, &bytes, std::iter::once(0..length), piece);
            prop_assert_eq!(tree.root(), Some(ContentHash::of(&bytes)));
        }
    }
}
