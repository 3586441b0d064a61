//! What can be taken from a request: its tail.

use std::ops::Range;

use super::RequestId;
use super::cut;
use super::ranges::RangeSet;
use super::tracker::{Owed, Tracker};

impl Tracker {
    /// Another request that owes something that this one owes. O(open requests · log runs).
    pub(super) fn partner(&self, request: RequestId) -> Option<RequestId> {
        let shared = self.open.get(&request)?.chunks.first_common(&self.twice, 0)?;
        let owes = |owed: &Owed| owed.chunks.contains(shared.start);
        self.open.iter().find(|(other, owed)| **other != request && owes(owed)).map(|(&other, _)| other)
    }

    /// The tail of what this request owes alone and is `available`, as [`last_of`](Self::last_of) cuts it.
    pub(super) fn tail(
        &self,
        request: RequestId,
        available: &RangeSet,
        bytes: u64,
        max_runs: usize,
    ) -> Vec<Range<u32>> {
        let Some(owed) = self.open.get(&request) else { return Vec::new() };
        let alone = if self.shares(request) { &owed.chunks.without(&self.twice) } else { &owed.chunks };
        self.last_of(alone, available, bytes, max_runs)
    }

    /// The tail of what both these requests owe and is `available`, as [`last_of`](Self::last_of) cuts it.
    pub(super) fn shared_tail(
        &self,
        requests: [RequestId; 2],
        available: &RangeSet,
        bytes: u64,
        max_runs: usize,
    ) -> Vec<Range<u32>> {
        let [Some(one), Some(other)] = requests.map(|request| self.open.get(&request)) else {
            return Vec::new();
        };
        let either = one.chunks.without(&other.chunks);
        self.last_of(&one.chunks.without(&either), available, bytes, max_runs)
    }

    /// The last of these chunks that are `available`: at most `bytes`, in at most `max_runs` ascending runs; none if
    /// the very last is longer.
    fn last_of(
        &self,
        chunks: &RangeSet,
        available: &RangeSet,
        mut bytes: u64,
        max_runs: usize,
    ) -> Vec<Range<u32>> {
        let (mut runs, mut to) = (Vec::new(), self.table.len());
        while let Some(common) = chunks.last_common(available, to).filter(|_| runs.len() < max_runs) {
            let fits = cut::back(&self.table, common.clone(), bytes);
            if fits < common.end {
                bytes -= cut::bytes(&self.table, fits..common.end);
                runs.push(fits..common.end);
            }
            if fits > common.start {
                break;
            }
            to = common.start;
        }
        runs.reverse();
        runs
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::HolderId;
    use super::super::cut::tests::table;
    use super::*;

    const A: RequestId = RequestId { serial: 1, holder: HolderId(1) };
    const B: RequestId = RequestId { serial: 2, holder: HolderId(2) };
    const C: RequestId = RequestId { serial: 3, holder: HolderId(3) };

    fn set(ranges: &[Range<u32>]) -> RangeSet {
        ranges.iter().cloned().collect()
    }

    #[test]
    fn a_tail_is_cut_at_chunks() {
        let mut tracker = Tracker::new(Arc::new(table(&[10; 20])), []);
        tracker.ask(A, &[2..10, 12..14]);
        let all = set(&[0..20]);
        assert_eq!(tracker.tail(A, &all, 9, 256), []);
        assert_eq!(tracker.tail(A, &all, 19, 256), [13..14]);
        assert_eq!(tracker.tail(A, &all, 45, 256), [8..10, 12..14]);
        assert_eq!(tracker.tail(A, &all, 45, 1), [12..14]);
        assert_eq!(tracker.tail(A, &set(&[3..4, 5..9, 13..20]), 1000, 256), [3..4, 5..9, 13..14]);
        tracker.ask_again(B, &[8..10, 13..14]);
        assert_eq!(tracker.tail(A, &all, 30, 256), [6..8, 12..13]);
        assert_eq!(tracker.tail(A, &all, 1000, 256), [2..8, 12..13]);
        assert_eq!(tracker.tail(B, &all, 1000, 256), []);
        assert_eq!((tracker.partner(A), tracker.partner(C)), (Some(B), None));
        assert_eq!(tracker.shared_tail([A, B], &all, 1000, 256), [8..10, 13..14]);
        assert_eq!(tracker.shared_tail([B, A], &set(&[0..9]), 25, 256), [8..9]);
        tracker.hand_over(A, C, &[8..10]);
        tracker.check();
        assert_eq!(tracker.arrived(9, Some(B)), Some([Some(B), Some(C)]));
        tracker.check();
    }
}
