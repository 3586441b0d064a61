//! The blocks of a file: the nodes of BLAKE3's tree between a file's bytes and its content hash. PROTOCOL.md, "Blocks".
//!
//! Whoever has them can check any block by itself against the content hash, and the whole file is checked with its blocks: no
//! byte is hashed twice for that.

use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::ManifestError;
use crate::hash::ContentHash;
use crate::limits;

/// The size of all blocks of a file but the last: 256 KiB, a whole subtree of BLAKE3.
pub const BLOCK_BYTES: u64 = 256 << 10;

/// What the encoding has for each block.
const VALUE_BYTES: usize = 32;

/// The chaining values of a file's blocks, which are those of its content. Memory: 32 bytes for each 256 KiB of the file.
#[derive(Clone, PartialEq, Eq)]
pub struct Blocks(Vec<u8>);

impl Blocks {
    /// How many bytes the blocks of a file of this size take: 32 each. `None` where it has none: its size is at most
    /// [`BLOCK_BYTES`], so that its one block is all of it, or over [`limits::FILE_BLOCKS`] blocks.
    pub const fn encoded_bytes(size: u64) -> Option<usize> {
        let blocks = size.div_ceil(BLOCK_BYTES);
        if blocks < 2 || blocks > limits::FILE_BLOCKS as u64 {
            return None;
        }
        Some(blocks as usize * VALUE_BYTES)
    }

    /// Takes the encoding of the blocks of a file.
    ///
    /// # Errors
    /// [`ManifestError::Inconsistent`] where a file of this size has another number of blocks, or none;
    /// [`ManifestError::Hash`] where they are not those of this content.
    pub fn checked(bytes: Vec<u8>, size: u64, content: &ContentHash) -> Result<Self, ManifestError> {
        if Self::encoded_bytes(size) != Some(bytes.len()) {
            return Err(ManifestError::Inconsistent("another number of blocks than a file of this size has"));
        }
        let mut tree = BlockTree::new(0);
        bytes.as_chunks::<VALUE_BYTES>().0.iter().for_each(|value| tree.push(*value));
        match tree.finish() {
            Some((root, _)) if root == *content => Ok(Self(bytes)),
            _ => Err(ManifestError::Hash),
        }
    }

    /// What [`subtree`] of a block is to be; `None` where there is no such block.
    pub fn value(&self, block: u64) -> Option<ChainingValue> {
        let at = usize::try_from(block).ok()?;
        self.0.as_chunks::<VALUE_BYTES>().0.get(at).copied()
    }

    /// The encoding: the values in their order.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blocks({})", self.0.len() / VALUE_BYTES)
    }
}

/// What a block adds to the hash of the file in which it lies at `offset`: its chaining value (BLAKE3 paper, section 2.4).
/// All blocks of a file but the last have one length, a power of two of at least 1,024, and there are two or more of them.
pub fn subtree(block: &[u8], offset: u64) -> ChainingValue {
    Hasher::new().set_input_offset(offset).update(block).finalize_non_root()
}

/// The tree over blocks that come in their order.
#[derive(Debug, Default)]
pub struct BlockTree {
    /// The full trees from the left, each of more blocks than the next: of as many as a one bit in `blocks` says. The last two
    /// may be of as many and not be merged yet, since they could be all that there is.
    trees: Vec<ChainingValue>,
    blocks: u64,
    /// The values, where they are kept.
    kept: Option<Vec<u8>>,
}

impl BlockTree {
    /// Of which the values are kept where a file of this size [has them](Blocks::encoded_bytes).
    pub fn new(size: u64) -> Self {
        let kept = Blocks::encoded_bytes(size).map(Vec::with_capacity);
        Self { kept, ..Self::default() }
    }

    /// Takes the [`subtree`] of the next block.
    pub fn push(&mut self, block: ChainingValue) {
        while self.trees.len() > self.blocks.count_ones() as usize {
            let (right, left) = (self.trees.pop(), self.trees.pop());
            let merged =
                left.zip(right).map(|(left, right)| merge_subtrees_non_root(&left, &right, Mode::Hash));
            self.trees.extend(merged);
        }
        self.trees.push(block);
        self.blocks += 1;
        if let Some(kept) = &mut self.kept {
            kept.extend(block);
        }
    }

    /// The hash of all, and the blocks where they were kept and are as many as there were to be; `None` where there were fewer
    /// than two.
    pub fn finish(self) -> Option<(ContentHash, Option<Blocks>)> {
        Some((root_of(self.trees)?, self.kept.map(Blocks)))
    }
}

/// The hash of what these subtrees make up, from the left, of which each is full and at least as large as the next, the last
/// one excepted. `None` where there are fewer than two.
pub fn root_of<T>(subtrees: T) -> Option<ContentHash>
where
    T: IntoIterator<Item = ChainingValue, IntoIter: DoubleEndedIterator>,
{
    let mut subtrees = subtrees.into_iter();
    let (first, last) = (subtrees.next()?, subtrees.next_back()?);
    let right = subtrees.rfold(last, |right, left| merge_subtrees_non_root(&left, &right, Mode::Hash));
    let hash = merge_subtrees_root(&first, &right, Mode::Hash);
    Some(ContentHash::from_bytes(*hash.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        Hasher::new().update(b"blocks").finalize_xof().fill(&mut bytes);
        bytes
    }

    fn tree_of(bytes: &[u8], block: usize, size: u64) -> BlockTree {
        let mut tree = BlockTree::new(size);
        for (block, offset) in bytes.chunks(block).zip((0..).step_by(block)) {
            tree.push(subtree(block, offset));
        }
        tree
    }

    #[test]
    fn of_any_number_of_blocks_it_is_the_hash_of_the_bytes() {
        let bytes = noise(70 << 10);
        for blocks in 2..=70 {
            for length in [(blocks - 1) * 1024 + 1, blocks * 1024 - 1, blocks * 1024] {
                let hash = tree_of(&bytes[..length], 1024, 0).finish();
                assert_eq!(hash, Some((ContentHash::of(&bytes[..length]), None)), "{length}");
            }
        }
        assert_eq!(BlockTree::new(0).finish(), None);
    }

    #[test]
    fn blocks_are_those_of_one_content_and_size() {
        let block = usize::try_from(BLOCK_BYTES).expect("small");
        for length in [block + 1, 2 * block, 2 * block + 1, 5 * block - 1, 5 * block] {
            let bytes = noise(length);
            let size = length as u64;
            let (content, blocks) = tree_of(&bytes, block, size).finish().expect("two or more");
            let blocks = blocks.expect("they are kept");
            assert_eq!(Some(blocks.as_bytes().len()), Blocks::encoded_bytes(size));
            assert_eq!(blocks.value(1), Some(subtree(&bytes[block..length.min(2 * block)], BLOCK_BYTES)));
            assert_eq!(blocks.value(size.div_ceil(BLOCK_BYTES)), None);
            let encoded = blocks.as_bytes().to_vec();
            assert_eq!(Blocks::checked(encoded.clone(), size, &content), Ok(blocks));
            for at in 0..encoded.len() {
                let mut wrong = encoded.clone();
                wrong[at] ^= 1;
                assert_eq!(Blocks::checked(wrong, size, &content), Err(ManifestError::Hash), "byte {at}");
            }
            let other = ContentHash::of(b"another");
            assert_eq!(Blocks::checked(encoded.clone(), size, &other), Err(ManifestError::Hash));
            for wrong in [&encoded[1..], &encoded[32..], &[&encoded[..], &[0; 32]].concat()[..], &[]] {
                let checked = Blocks::checked(wrong.to_vec(), size, &content);
                assert!(matches!(checked, Err(ManifestError::Inconsistent(_))), "{checked:?}");
            }
        }
    }

    #[test]
    fn the_smallest_and_the_largest_files_have_none() {
        let most = limits::FILE_BLOCKS as u64 * BLOCK_BYTES;
        for (size, bytes) in [
            (0, None),
            (BLOCK_BYTES, None),
            (BLOCK_BYTES + 1, Some(64)),
            (most, Some(limits::FILE_BLOCKS * 32)),
            (most + 1, None),
            (u64::MAX, None),
        ] {
            assert_eq!(Blocks::encoded_bytes(size), bytes, "{size}");
        }
    }
}
