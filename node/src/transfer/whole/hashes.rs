//! What is known of the hashes of a download's files, from whoever had their bytes in memory.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blake3::hazmat::ChainingValue;
use wire::manifest::{BLOCK_BYTES, Blocks, EntryKind, Placed, Span};

use super::proof::Parts;
use super::tree::{self, BLOCK, Tree};
use crate::transfer::goal::Goal;

/// The trees of the files that are not compared yet. Any thread may add to it. Memory: 2 log n values of 32 bytes for each
/// run of bytes that is there and of no complete file, and nothing for files of less than a block; and the blocks of a file
/// that are known before.
#[derive(Debug)]
pub(in crate::transfer) struct Hashes {
    goal: Arc<Goal>,
    /// Of the one file that there is.
    blocks: Option<Blocks>,
    state: Mutex<State>,
    doubted: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// All before this entry is compared.
    passed: usize,
    files: HashMap<usize, File>,
}

#[derive(Debug)]
enum File {
    Growing(Tree),
    Compared { right: bool },
}

/// Follows what one task or thread writes, in the order in which it does.
#[derive(Debug, Default)]
pub(in crate::transfer) struct Stretch {
    entry: usize,
    stretch: tree::Stretch,
    parts: Parts,
}

/// The hashes of some bytes, for whoever verifies these.
#[derive(Debug, Default)]
pub(in crate::transfer) struct Hashed {
    /// Of each file, by its number.
    files: Vec<(usize, Vec<(u64, ChainingValue)>)>,
    /// See [`Hashed::shows`].
    shown: Vec<Range<u64>>,
}

impl Hashed {
    /// Whether all bytes of this range came in this stretch, and are what the blocks of the file say.
    pub(in crate::transfer) fn shows(&self, bytes: &Range<u64>) -> bool {
        self.shown.iter().any(|shown| shown.start <= bytes.start && bytes.end <= shown.end)
    }

    fn show(&mut self, block: Range<u64>) {
        match self.shown.last_mut() {
            Some(last) if last.end == block.start => last.end = block.end,
            _ => self.shown.push(block),
        }
    }
}

/// How much of a file is hashed.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::transfer) enum Known {
    /// All but this range, and perhaps some behind it: bytes of the file.
    Without(Range<u64>),
    /// All of it, and whether it has the hash that the manifest names.
    All { right: bool },
}

impl Hashes {
    /// `blocks` are those of the content, where that is a file and they are known.
    pub(in crate::transfer) fn new(goal: Arc<Goal>, blocks: Option<Blocks>) -> Self {
        let blocks = blocks.filter(|_| !goal.layout.is_folder());
        Self { goal, blocks, state: Mutex::default(), doubted: AtomicBool::new(false) }
    }

    /// How far the borders are apart at which what comes should be cut, so that whole blocks come; `None` where it does not
    /// matter.
    pub(in crate::transfer) fn borders(&self) -> Option<u64> {
        self.blocks.as_ref().map(|_| BLOCK_BYTES)
    }

    /// The file may have been written to since by somebody who does not know what is in it: what was in memory says nothing.
    pub(in crate::transfer) fn doubt(&self) {
        self.doubted.store(true, Ordering::Release);
    }

    pub(super) fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Acquire)
    }

    /// Whether a file's hash is made of subtrees.
    pub(super) fn covers(entry: &Placed<'_>) -> bool {
        entry.size > BLOCK
    }

    /// Hashes bytes that are verified, chunk by chunk, and are written at this offset among those of all files: see
    /// [`Hashes::hash`].
    pub(in crate::transfer) fn take(&self, stretch: &mut Stretch, offset: u64, bytes: &[u8]) {
        self.enter(self.hash(stretch, offset, bytes));
    }

    /// Hashes bytes that are to be written at this offset among those of all files; but of no file of a folder that is all
    /// there, which whoever writes it compares. Blocks for as long as that takes.
    pub(in crate::transfer) fn hash(&self, stretch: &mut Stretch, offset: u64, bytes: &[u8]) -> Hashed {
        let compared =
            |span: &Span, entry: &Placed<'_>| self.goal.layout.is_folder() && span.len() == entry.size;
        self.hash_but(stretch, offset, bytes, compared)
    }

    /// Takes the hashes of bytes that are verified by now.
    pub(in crate::transfer) fn enter(&self, hashed: Hashed) {
        for (number, blocks) in hashed.files {
            if let Some(entry) = self.goal.layout.entries.get(number) {
                self.state().enter(number, entry, blocks);
            }
        }
    }

    /// [`Hashes::take`] of bytes that were read from what is written, files of a folder that are all there included.
    pub(super) fn take_read(&self, offset: u64, bytes: &[u8]) {
        self.enter(self.hash_but(&mut Stretch::default(), offset, bytes, |_, _| false));
    }

    fn hash_but(
        &self,
        stretch: &mut Stretch,
        offset: u64,
        bytes: &[u8],
        but: impl Fn(&Span, &Placed<'_>) -> bool,
    ) -> Hashed {
        let mut hashed = Hashed::default();
        let end = offset.saturating_add(bytes.len() as u64);
        for span in self.goal.layout.spans(offset..end) {
            let Some(entry) = self.goal.layout.entries.get(span.entry) else { continue };
            let wanted = entry.kind == EntryKind::File && self.goal.chosen.has(span.entry);
            if !wanted || !Self::covers(&entry) || but(&span, &entry) {
                continue;
            }
            if stretch.entry != span.entry {
                *stretch = Stretch { entry: span.entry, ..Stretch::default() };
            }
            let at = |position: u64| usize::try_from(position - offset).unwrap_or(usize::MAX);
            let part = bytes.get(at(span.bytes.start)..at(span.bytes.end)).unwrap_or_default();
            let values = stretch.stretch.take(entry.size, span.offset, part);
            if let Some(blocks) = &self.blocks {
                for (start, value) in &values {
                    let shown = stretch.parts.take((blocks, entry.size), *start, *value);
                    shown.into_iter().for_each(|block| hashed.show(block));
                }
            }
            if !values.is_empty() {
                hashed.files.push((span.entry, values));
            }
        }
        hashed
    }

    /// How much of a file with this number is known, from an offset in it.
    pub(in crate::transfer) fn known(&self, number: usize, entry: Placed<'_>, from: u64) -> Known {
        match self.state().files.get(&number) {
            Some(File::Growing(tree)) => Known::Without(tree.unknown_from(from)),
            Some(File::Compared { right }) => Known::All { right: *right },
            None => Known::Without(from.min(entry.size)..entry.size),
        }
    }

    /// Forgets all before an entry: nobody asks for it any more.
    pub(super) fn pass(&self, entry: usize) {
        let mut state = self.state();
        for passed in state.passed..entry {
            state.files.remove(&passed);
        }
        state.passed = state.passed.max(entry);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, number: usize, entry: Placed<'_>, blocks: Vec<(u64, ChainingValue)>) {
        if number < self.passed {
            return;
        }
        if let std::collections::hash_map::Entry::Vacant(vacant) = self.files.entry(number)
            && let Some(tree) = Tree::new(entry.size)
        {
            vacant.insert(File::Growing(tree));
        }
        let Some(file) = self.files.get_mut(&number) else { return };
        let File::Growing(tree) = file else { return };
        for (start, value) in blocks {
            tree.enter(start, value);
        }
        if let Some(root) = tree.root() {
            *file = File::Compared { right: root == entry.hash };
        }
    }
}
