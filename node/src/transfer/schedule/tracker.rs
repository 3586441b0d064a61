//! Where every chunk stands. Nothing here decides anything.
//!
//! A chunk is in exactly one of these states:
//!
//! - **missing**: in [`Missing`];
//! - **in flight**: owed by one open request, or by two, and then also in `twice`;
//! - **done**: verified, in `done`.
//!
//! The transitions are the methods: [`ask`](Tracker::ask) (missing → in flight), [`ask_again`](Tracker::ask_again) (one
//! request → two), [`hand_over`](Tracker::hand_over) (a request → another), [`close`](Tracker::close) (two → one, in
//! flight → missing), [`arrived`](Tracker::arrived) (any → done).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use wire::manifest::ChunkTable;

use super::RequestId;
use super::cut;
use super::missing::Missing;
use super::ranges::RangeSet;

/// The state of every chunk of one content.
#[derive(Debug)]
pub(super) struct Tracker {
    pub(super) table: Arc<ChunkTable>,
    missing: Missing,
    pub(super) open: BTreeMap<RequestId, Owed>,
    /// What two open requests owe.
    pub(super) twice: RangeSet,
    done: RangeSet,
    done_bytes: u64,
}

/// What an open request has still to deliver.
#[derive(Debug, Default)]
pub(super) struct Owed {
    pub(super) chunks: RangeSet,
    bytes: u64,
}

impl Tracker {
    /// Where these chunks are done, and all others missing.
    pub(super) fn new(table: Arc<ChunkTable>, done: impl IntoIterator<Item = Range<u32>>) -> Self {
        let count = table.len();
        let done: RangeSet = done.into_iter().map(|range| range.start..range.end.min(count)).collect();
        let mut left = RangeSet::from_iter([0..count]);
        done.iter().for_each(|range| left.remove(range));
        let mut missing = Missing::new(count);
        left.iter().for_each(|range| missing.insert(&table, range));
        let done_bytes = table.size() - missing.bytes();
        Self { table, missing, open: BTreeMap::new(), twice: RangeSet::default(), done, done_bytes }
    }

    /// The chunks' lengths.
    pub(super) fn table(&self) -> &ChunkTable {
        &self.table
    }

    /// What is to be asked for.
    pub(super) fn missing(&self) -> &Missing {
        &self.missing
    }

    /// The same, to say which holder has what.
    pub(super) fn missing_mut(&mut self) -> &mut Missing {
        &mut self.missing
    }

    /// What is verified.
    pub(super) fn done(&self) -> &RangeSet {
        &self.done
    }

    /// How many bytes are verified.
    pub(super) fn done_bytes(&self) -> u64 {
        self.done_bytes
    }

    /// How many bytes are in flight, each counted once.
    pub(super) fn in_flight_bytes(&self) -> u64 {
        self.table.size() - self.done_bytes - self.missing.bytes()
    }

    /// How many bytes a request owes.
    pub(super) fn owed_bytes(&self, request: RequestId) -> u64 {
        self.open.get(&request).map_or(0, |owed| owed.bytes)
    }

    /// The chunk that a request owes next.
    pub(super) fn next_owed(&self, request: RequestId) -> Option<u32> {
        Some(self.open.get(&request)?.chunks.next_from(0)?.start)
    }

    /// The length of the chunk that a request owes next.
    pub(super) fn next_owed_bytes(&self, request: RequestId) -> u64 {
        self.next_owed(request).map_or(0, |chunk| cut::bytes(&self.table, chunk..chunk + 1))
    }

    /// Whether anything is owed by two requests.
    pub(super) fn shares_any(&self) -> bool {
        !self.twice.is_empty()
    }

    /// Whether something that this request owes is owed by another, too.
    pub(super) fn shares(&self, request: RequestId) -> bool {
        self.open.get(&request).is_some_and(|owed| owed.chunks.first_common(&self.twice, 0).is_some())
    }

    /// A new request asks for what is missing.
    pub(super) fn ask(&mut self, request: RequestId, runs: &[Range<u32>]) {
        runs.iter().for_each(|run| self.missing.remove(&self.table, run.clone()));
        self.owe(request, runs);
    }

    /// A new request asks for what one other request owes.
    pub(super) fn ask_again(&mut self, request: RequestId, runs: &[Range<u32>]) {
        runs.iter().for_each(|run| self.twice.insert(run.clone()));
        self.owe(request, runs);
    }

    /// A new request takes over what another owes.
    pub(super) fn hand_over(&mut self, from: RequestId, to: RequestId, runs: &[Range<u32>]) {
        if let Some(owed) = self.open.get_mut(&from) {
            runs.iter().for_each(|run| owed.take(&self.table, run.clone()));
        }
        self.owe(to, runs);
    }

    /// A request ends. What it alone owed is missing again; returned is all that it owed.
    pub(super) fn close(&mut self, request: RequestId) -> RangeSet {
        let owed = self.open.remove(&request).unwrap_or_default().chunks;
        let mut alone = owed.clone();
        while let Some(shared) = alone.first_common(&self.twice, 0) {
            alone.remove(shared.clone());
            self.twice.remove(shared);
        }
        alone.iter().for_each(|run| self.missing.insert(&self.table, run));
        owed
    }

    /// A chunk is verified. `None` if it was before, or does not exist; else the open requests that owed it.
    ///
    /// O(log runs) where `by` alone owed it, or nobody did; else O(open requests · log runs).
    pub(super) fn arrived(&mut self, chunk: u32, by: Option<RequestId>) -> Option<[Option<RequestId>; 2]> {
        if chunk >= self.table.len() || self.done.contains(chunk) {
            return None;
        }
        let one = chunk..chunk + 1;
        let owers = self.owers(chunk, by);
        for request in owers.iter().flatten() {
            if let Some(owed) = self.open.get_mut(request) {
                owed.take(&self.table, one.clone());
            }
        }
        if owers == [None, None] {
            self.missing.remove(&self.table, one.clone());
        }
        self.twice.remove(one.clone());
        self.done_bytes += cut::bytes(&self.table, one.clone());
        self.done.insert(one);
        Some(owers)
    }

    fn owers(&self, chunk: u32, by: Option<RequestId>) -> [Option<RequestId>; 2] {
        let owes = |request: &RequestId| self.open.get(request).is_some_and(|o| o.chunks.contains(chunk));
        let by = by.filter(owes);
        if by.is_some() && !self.twice.contains(chunk) {
            return [by, None];
        }
        let mut found = self.open.keys().copied().filter(owes);
        [found.next(), found.next()]
    }

    fn owe(&mut self, request: RequestId, runs: &[Range<u32>]) {
        let owed = self.open.entry(request).or_default();
        for run in runs {
            owed.bytes += cut::bytes(&self.table, run.clone());
            owed.chunks.insert(run.clone());
        }
    }
}

impl Owed {
    /// Takes out a range, all of which is owed.
    fn take(&mut self, table: &ChunkTable, range: Range<u32>) {
        self.bytes -= cut::bytes(table, range.clone());
        self.chunks.remove(range);
    }
}

#[cfg(test)]
impl Tracker {
    /// Checks the invariant, chunk by chunk.
    pub(super) fn check(&self) {
        let mut bytes = [0; 2];
        for chunk in 0..self.table.len() {
            let length = cut::bytes(&self.table, chunk..chunk + 1);
            let owers = self.open.values().filter(|owed| owed.chunks.contains(chunk)).count();
            let (missing, done) = (self.missing.contains(chunk), self.done.contains(chunk));
            assert!(owers <= 2, "chunk {chunk} is asked of {owers}");
            assert_eq!(usize::from(missing) + usize::from(done) + owers.min(1), 1, "chunk {chunk}");
            assert_eq!(self.twice.contains(chunk), owers == 2, "chunk {chunk}");
            bytes[0] += u64::from(missing) * length;
            bytes[1] += u64::from(done) * length;
        }
        assert_eq!(bytes, [self.missing.bytes(), self.done_bytes]);
        for owed in self.open.values() {
            assert_eq!(owed.bytes, owed.chunks.iter().map(|run| cut::bytes(&self.table, run)).sum::<u64>());
        }
    }

    /// Of how many requests a chunk is asked.
    pub(super) fn asked_of(&self, chunk: u32) -> usize {
        self.open.values().filter(|owed| owed.chunks.contains(chunk)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::HolderId;
    use super::super::cut::tests::table;
    use super::*;

    const A: RequestId = RequestId { serial: 1, holder: HolderId(1) };
    const B: RequestId = RequestId { serial: 2, holder: HolderId(2) };

    fn set(ranges: &[Range<u32>]) -> RangeSet {
        ranges.iter().cloned().collect()
    }

    fn tracker() -> Tracker {
        Tracker::new(Arc::new(table(&[10; 20])), [0..2, 18..40])
    }

    #[test]
    fn a_chunk_goes_from_state_to_state() {
        let mut tracker = tracker();
        assert_eq!((tracker.done_bytes(), tracker.missing().bytes()), (40, 160));
        tracker.ask(A, &[2..6, 8..10]);
        assert_eq!((tracker.in_flight_bytes(), tracker.owed_bytes(A)), (60, 60));
        tracker.hand_over(A, B, &[5..6, 8..10]);
        tracker.ask_again(B, &[4..5]);
        tracker.check();
        assert!(tracker.shares(A));
        assert_eq!(tracker.in_flight_bytes(), 60);
        assert_eq!(tracker.arrived(4, Some(A)), Some([Some(A), Some(B)]));
        assert_eq!(tracker.arrived(4, Some(B)), None);
        assert_eq!(
            tracker.arrived(5, Some(A)),
            Some([Some(B), None]),
            "the first owner was faster after all"
        );
        assert_eq!(tracker.arrived(12, None), Some([None, None]), "it came from elsewhere");
        assert_eq!(tracker.arrived(20, None), None);
        tracker.check();
        assert_eq!(tracker.close(B), set(&[8..10]));
        assert_eq!(tracker.close(B), set(&[]));
        tracker.check();
        assert_eq!((tracker.owed_bytes(A), tracker.next_owed_bytes(A)), (20, 10));
    }

    #[test]
    fn the_end_of_one_of_two_leaves_the_other() {
        let mut tracker = tracker();
        tracker.ask(A, &[2..6]);
        tracker.ask_again(B, &[4..6]);
        assert_eq!(tracker.close(A), set(&[2..6]));
        tracker.check();
        assert_eq!((tracker.owed_bytes(B), tracker.in_flight_bytes()), (20, 20));
        assert_eq!(tracker.close(B), set(&[4..6]));
        tracker.check();
    }
}
