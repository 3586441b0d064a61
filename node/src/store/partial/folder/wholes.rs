//! Files of a folder in progress that came in one piece and are finished: nothing is left to do with them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Nothing is known of a file or folder.
const UNKNOWN: u64 = 0;
/// Of a folder: this run made it.
const MADE: u64 = 1;
/// It is, or was, written otherwise than in one piece.
const TOUCHED: u64 = u64::MAX;

/// By entry the inode of each file that this run wrote in one piece, whose hash was compared before that, and which had
/// its mode and time when it was closed; size and time are those of the manifest. And the folders that this run made, which
/// have their mode. 8 bytes an entry.
///
/// *A file that is written a second time, by whomever, is never among them again*: [`Wholes::touch`] comes before the
/// write, and what is entered after it does not count.
#[derive(Debug)]
pub(super) struct Wholes(Vec<AtomicU64>);

impl Wholes {
    pub(super) fn new(entries: usize) -> Self {
        Self(std::iter::repeat_with(|| AtomicU64::new(UNKNOWN)).take(entries).collect())
    }

    /// Enters a file that was created, written and finished.
    pub(super) fn enter(&self, entry: usize, inode: u64) {
        if let Some(state) = self.0.get(entry) {
            let _ = state.compare_exchange(UNKNOWN, inode, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// Enters a folder that was created with its mode.
    pub(super) fn enter_folder(&self, entry: usize) {
        self.enter(entry, MADE);
    }

    /// Whether this run made a folder.
    pub(super) fn has_folder(&self, entry: usize) -> bool {
        self.inode(entry).is_some()
    }

    /// Before a file is written in any other way.
    pub(super) fn touch(&self, entry: usize) {
        if let Some(state) = self.0.get(entry) {
            state.store(TOUCHED, Ordering::Release);
        }
    }

    /// The inode of a file that is finished.
    pub(super) fn inode(&self, entry: usize) -> Option<u64> {
        let state = self.0.get(entry)?.load(Ordering::Acquire);
        (state != UNKNOWN && state != TOUCHED).then_some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_touched_is_not_entered() {
        let wholes = Wholes::new(3);
        wholes.enter(0, 7);
        wholes.touch(1);
        wholes.enter(1, 8);
        wholes.enter(3, 9);
        assert_eq!([0, 1, 2, 3].map(|entry| wholes.inode(entry)), [Some(7), None, None, None]);
        wholes.touch(0);
        wholes.enter(0, 7);
        assert_eq!(wholes.inode(0), None);
    }
}
