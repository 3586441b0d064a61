//! A tree, read from its root down, as its pages come.

use std::collections::{HashMap, HashSet};

use super::page::{CataloguePage, TreeKind};
use crate::cbor::CborError;
use crate::hash::TreeHash;

/// The deepest tree: with two pages in each branch more than anybody may publish.
const MAX_DEPTH: usize = 24;

/// Why a tree is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A page is no page.
    #[error("a page of the tree is not valid: {0}")]
    Page(#[from] CborError),
    /// Its leaves hold something else.
    #[error("a page of the tree is of another kind")]
    OtherKind,
    /// It goes too deep, or has more in it than its head says.
    #[error("the tree is larger than its head says")]
    TooLarge,
    /// All pages are there, and less is in them than the head says.
    #[error("the tree is smaller than its head says")]
    TooSmall,
}

/// Which pages of one tree are still to be had.
///
/// A page that occurs in several places is asked for once. Holds the hashes of the pages, not the pages.
#[derive(Debug)]
pub struct Walk {
    kind: TreeKind,
    /// Items that the head names.
    count: u64,
    items: u64,
    /// Pages that are to be had, with their depth; the next is the last.
    wanted: Vec<(TreeHash, usize)>,
    depths: HashMap<TreeHash, usize>,
    seen: HashSet<TreeHash>,
}

impl Walk {
    /// From the root, of a tree with so many items.
    pub fn new(kind: TreeKind, root: Option<TreeHash>, count: u64) -> Self {
        let mut walk =
            Self { kind, count, items: 0, wanted: Vec::new(), depths: HashMap::new(), seen: HashSet::new() };
        if let Some(root) = root {
            walk.want(root, 1);
        }
        walk
    }

    /// The next pages to be had, at most so many; each is named once.
    pub fn next(&mut self, most: usize) -> Vec<TreeHash> {
        let from = self.wanted.len() - self.wanted.len().min(most);
        let taken = self.wanted.split_off(from);
        self.depths.extend(taken.iter().copied());
        taken.into_iter().map(|(hash, _)| hash).collect()
    }

    /// Asks again for a page that was named and did not come.
    pub fn again(&mut self, hash: TreeHash) {
        if let Some(depth) = self.depths.remove(&hash) {
            self.wanted.push((hash, depth));
        }
    }

    /// A page that was named has come; the caller has checked its hash.
    ///
    /// # Errors
    /// See [`TreeError`]; the tree is then good for nothing.
    pub fn came(&mut self, hash: TreeHash, bytes: &[u8]) -> Result<CataloguePage, TreeError> {
        let page = CataloguePage::decode(bytes)?;
        let depth = self.depths.remove(&hash).unwrap_or(MAX_DEPTH);
        match &page {
            CataloguePage::Pages(pages) => {
                if depth >= MAX_DEPTH {
                    return Err(TreeError::TooLarge);
                }
                // The leftmost is wanted first.
                for child in pages.0.iter().rev() {
                    self.want(*child, depth + 1);
                }
            }
            leaf if leaf.leaf() != Some(self.kind) => return Err(TreeError::OtherKind),
            leaf => self.items += leaf.items() as u64,
        }
        // A branch has two pages or more, a leaf an item or more.
        if self.items > self.count || self.seen.len() as u64 > 2 * self.count {
            return Err(TreeError::TooLarge);
        }
        Ok(page)
    }

    /// A page that was named need not come: it is known that so many items, in order, and so many levels are under it.
    ///
    /// # Errors
    /// [`TreeError::TooLarge`]; the tree is then good for nothing.
    pub fn skip(&mut self, hash: TreeHash, items: u64, levels: u64) -> Result<(), TreeError> {
        let depth = self.depths.remove(&hash).unwrap_or(MAX_DEPTH) as u64;
        self.items = self.items.saturating_add(items);
        match self.items > self.count || depth + levels > MAX_DEPTH as u64 + 1 {
            true => Err(TreeError::TooLarge),
            false => Ok(()),
        }
    }

    /// Whether no page is missing.
    pub fn is_done(&self) -> bool {
        self.wanted.is_empty() && self.depths.is_empty()
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`TreeError::TooSmall`].
    pub fn finish(self) -> Result<(), TreeError> {
        match self.is_done() && self.items == self.count {
            true => Ok(()),
            false => Err(TreeError::TooSmall),
        }
    }

    fn want(&mut self, hash: TreeHash, depth: usize) {
        if self.seen.insert(hash) {
            self.wanted.push((hash, depth));
        }
    }
}
