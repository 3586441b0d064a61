//! Which files of a folder are complete, counted as their chunks come.

use std::sync::Arc;

use wire::manifest::{EntryKind, Layout};

use super::goal::Goal;
use crate::control::api::FilesProgress;
use crate::ranges::RangeSet;

/// The files of a folder. 4 bytes for each of its entries.
#[derive(Debug)]
pub(super) struct Files {
    layout: Arc<Layout>,
    /// How many chunks of each entry are still to come.
    left: Vec<u32>,
    done: u64,
    total: u64,
    /// The entry of which a chunk came last.
    current: Option<usize>,
}

impl Files {
    /// Of a goal where these chunks need not come; `None` where it is no folder. O(n log n) in the chunks.
    pub(super) fn new(goal: &Goal, not_fetched: &RangeSet) -> Option<Self> {
        let layout = goal.layout.clone();
        if !layout.is_folder() {
            return None;
        }
        let mut left = vec![0; layout.entries.len()];
        for chunk in (0..layout.chunks.len()).filter(|chunk| !not_fetched.contains(*chunk)) {
            if let Some(left) = layout.entries.of_chunk(chunk).and_then(|entry| left.get_mut(entry)) {
                *left += 1;
            }
        }
        let entries = layout.entries.iter().zip(&left).enumerate();
        let files = entries.filter(|(at, (entry, _))| entry.kind == EntryKind::File && goal.chosen.has(*at));
        let (mut done, mut total) = (0, 0);
        for (_, (_, left)) in files {
            total += 1;
            done += u64::from(*left == 0);
        }
        Some(Self { layout, left, done, total, current: None })
    }

    /// A chunk came that was still to come; returns whether its file is whole now.
    pub(super) fn arrived(&mut self, chunk: u32) -> bool {
        let Some(entry) = self.layout.entries.of_chunk(chunk) else { return false };
        let Some(left) = self.left.get_mut(entry).filter(|left| **left > 0) else { return false };
        *left -= 1;
        let whole = *left == 0;
        self.done += u64::from(whole);
        self.current = Some(entry);
        whole
    }

    /// How they stand.
    pub(super) fn progress(&self) -> FilesProgress {
        let current = self.current.and_then(|entry| self.layout.entries.get(entry));
        let current = current.map(|entry| entry.path.to_string());
        FilesProgress { done: self.done, total: self.total, current }
    }
}
