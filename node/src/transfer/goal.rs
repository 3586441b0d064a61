//! What of a content a download is to have, and what of that need not come: chunks that are equal to another one.

use std::sync::Arc;

use wire::manifest::Layout;

use crate::ranges::RangeSet;
use crate::store::Chosen;

/// What a download is to have.
#[derive(Debug)]
pub(super) struct Goal {
    pub(super) layout: Arc<Layout>,
    pub(super) chosen: Chosen,
    /// Chunks of files that are not wanted.
    unwanted: RangeSet,
    /// Chunks that are copied on this machine from the first of their kind, in order, each with that one. Identical
    /// chunks are fetched once.
    pub(super) repeats: Vec<(u32, u32)>,
}

impl Goal {
    /// The chosen entries of a layout. Sorts the chunks: O(n log n).
    pub(super) fn new(layout: Arc<Layout>, chosen: Chosen) -> Self {
        let unwanted = chosen.unwanted(&layout);
        let repeats = layout.chunks.repeats(|chunk| !unwanted.contains(chunk));
        Self { layout, chosen, unwanted, repeats }
    }

    /// The chunks that need not be fetched where these are `done`.
    pub(super) fn not_fetched(&self, done: &RangeSet) -> RangeSet {
        let repeats = self.repeats.iter().map(|(repeat, _)| *repeat..repeat + 1);
        done.iter().chain(self.unwanted.iter()).chain(repeats).collect()
    }

    /// Which of the chunks that are `done` were received: those that need not be fetched may be done without their bytes.
    pub(super) fn received(&self, done: &RangeSet) -> RangeSet {
        let mut received = done.clone();
        self.not_fetched(&RangeSet::new()).iter().for_each(|range| received.remove(range));
        received
    }

    /// How many bytes are not wanted.
    pub(super) fn unwanted_bytes(&self) -> u64 {
        self.unwanted
            .iter()
            .filter_map(|run| self.layout.chunks.bytes_of(run))
            .map(|bytes| bytes.end - bytes.start)
            .sum()
    }

    /// How many bytes are copied on this machine.
    pub(super) fn repeated_bytes(&self) -> u64 {
        let chunks = self.repeats.iter().filter_map(|(repeat, _)| self.layout.chunks.chunk(*repeat));
        chunks.map(|chunk| u64::from(chunk.length)).sum()
    }
}
