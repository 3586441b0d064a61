//! BLAKE3 of a whole file from its blocks, which may be hashed on any thread.

use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use wire::ContentHash;

/// What a block adds to the hash of the file in which it lies at `offset`. All blocks of a file but the last have one length,
/// a power of two of at least 1,024, and there are two or more of them.
pub(super) fn subtree(block: &[u8], offset: u64) -> ChainingValue {
    Hasher::new().set_input_offset(offset).update(block).finalize_non_root()
}

/// The tree over the blocks that came so far.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// The full trees from the left, each of more blocks than the next: of as many as a one bit in `blocks` says. The last two
    /// may be of as many and not be merged yet, since they could be all that there is.
    trees: Vec<ChainingValue>,
    blocks: u64,
}

impl Whole {
    /// Takes the next block.
    pub(super) fn push(&mut self, block: ChainingValue) {
        while self.trees.len() > self.blocks.count_ones() as usize {
            let (right, left) = (self.trees.pop(), self.trees.pop());
            let merged =
                left.zip(right).map(|(left, right)| merge_subtrees_non_root(&left, &right, Mode::Hash));
            self.trees.extend(merged);
        }
        self.trees.push(block);
        self.blocks += 1;
    }

    /// The hash; `None` where there were fewer than two blocks.
    pub(super) fn finish(mut self) -> Option<ContentHash> {
        let mut right = self.trees.pop()?;
        let root = self.trees.first().copied()?;
        for left in self.trees.drain(1..).rev() {
            right = merge_subtrees_non_root(&left, &right, Mode::Hash);
        }
        Some(ContentHash::from_bytes(*merge_subtrees_root(&root, &right, Mode::Hash).as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::cut::tests::noise;

    #[test]
    fn of_any_number_of_blocks_it_is_the_hash_of_the_bytes() {
        let bytes = noise("whole", 70 << 10);
        for blocks in 2..=70 {
            for length in [(blocks - 1) * 1024 + 1, blocks * 1024 - 1, blocks * 1024] {
                let mut whole = Whole::default();
                for (block, offset) in bytes[..length].chunks(1024).zip((0..).step_by(1024)) {
                    whole.push(subtree(block, offset));
                }
                assert_eq!(whole.finish(), Some(ContentHash::of(&bytes[..length])), "{length}");
            }
        }
        assert_eq!(Whole::default().finish(), None);
    }
}
