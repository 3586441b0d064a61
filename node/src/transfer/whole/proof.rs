//! Which of the bytes that came are shown to be right by the [blocks](Blocks) of their file: they need not be hashed once
//! more as chunks. PROTOCOL.md, "Blocks".

use std::ops::Range;

use blake3::hazmat::ChainingValue;
use wire::manifest::{BLOCK_BYTES, Blocks};

use super::tree::{BLOCK, merged};

/// The block that a stretch of bytes is in, as far as it was hashed from its beginning.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The values of its first parts, of [`BLOCK`] bytes each but for the file's last.
    values: Vec<ChainingValue>,
    /// Where they end.
    next: u64,
}

impl Parts {
    /// Takes the part that begins here, in a file of this size. Returns the bytes of its block, once all parts of that have come
    /// and are what the blocks say.
    pub(super) fn take(
        &mut self,
        (blocks, size): (&Blocks, u64),
        start: u64,
        value: ChainingValue,
    ) -> Option<Range<u64>> {
        let begin = start - start % BLOCK_BYTES;
        if start == begin {
            self.values.clear();
        } else if start != self.next {
            // A part is missing: what follows up to the next block shows nothing.
            return None;
        }
        self.values.push(value);
        self.next = size.min(start + BLOCK);
        let end = size.min(begin + BLOCK_BYTES);
        let all = merged(&self.values).filter(|_| self.next == end)?;
        (blocks.value(begin / BLOCK_BYTES) == Some(all)).then_some(begin..end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::manifest::{BlockTree, subtree};

    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn blocks_of(bytes: &[u8]) -> Blocks {
        let mut tree = BlockTree::new(bytes.len() as u64);
        for (block, offset) in bytes.chunks(BLOCK_BYTES as usize).zip((0..).step_by(BLOCK_BYTES as usize)) {
            tree.push(subtree(block, offset));
        }
        tree.finish().expect("two or more").1.expect("they are kept")
    }

    /// What is shown of these parts of a file, in this order.
    fn shown(blocks: &Blocks, bytes: &[u8], parts: impl IntoIterator<Item = usize>) -> Vec<Range<u64>> {
        let (mut one, size) = (Parts::default(), bytes.len() as u64);
        let take = |part: usize| {
            let start = part * BLOCK as usize;
            let end = bytes.len().min(start + BLOCK as usize);
            one.take((blocks, size), start as u64, subtree(&bytes[start..end], start as u64))
        };
        parts.into_iter().filter_map(take).collect()
    }

    #[test]
    fn a_block_is_shown_once_all_of_it_came() {
        const PARTS: usize = (BLOCK_BYTES / BLOCK) as usize;
        for more in [1, BLOCK, BLOCK + 1, 3 * BLOCK, 4 * BLOCK - 1, 4 * BLOCK] {
            let bytes = noise((2 * BLOCK_BYTES + more) as usize);
            let (blocks, count) = (blocks_of(&bytes), bytes.len().div_ceil(BLOCK as usize));
            let all = [0..BLOCK_BYTES, BLOCK_BYTES..2 * BLOCK_BYTES, 2 * BLOCK_BYTES..bytes.len() as u64];
            assert_eq!(shown(&blocks, &bytes, 0..count), all, "{more}");
            assert_eq!(shown(&blocks, &bytes, 1..count), all[1..], "a part of the first did not come");
            let without = |left_out: usize| (0..count).filter(move |part| *part != left_out);
            assert_eq!(shown(&blocks, &bytes, without(PARTS + 2)), [all[0].clone(), all[2].clone()]);
            assert_eq!(shown(&blocks, &bytes, without(2 * PARTS)), all[..2], "{more}");
            assert_eq!(shown(&blocks, &bytes, [0, 1, 3, 2]), [], "the last part came before its turn");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn one_wrong_byte_leaves_its_block_in_doubt(
            length in BLOCK_BYTES + 1..4 * BLOCK_BYTES,
            at in any::<prop::sample::Index>(),
        ) {
            let right = noise(length as usize);
            let (blocks, mut wrong) = (blocks_of(&right), right.clone());
            let at = at.index(wrong.len());
            wrong[at] ^= 1;
            let shown = shown(&blocks, &wrong, 0..wrong.len().div_ceil(BLOCK as usize));
            prop_assert_eq!(shown.len() as u64, length.div_ceil(BLOCK_BYTES) - 1);
            prop_assert!(!shown.iter().any(|block| block.contains(&(at as u64))));
        }
    }
}
