//! The life of a request, and what its end does to its holder.

use std::ops::Range;
use std::time::Duration;

use super::cut;
use super::ranges::RangeSet;
use super::scheduler::Scheduler;
use super::{Action, Arrived, DropReason, HolderId, RequestId};

/// Failed requests in a row after which a holder is out.
const MAX_FAILURES: u32 = 8;
/// The pause after the first failure; it doubles with each.
const FAILURE_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause after a failure.
const MAX_FAILURE_PAUSE: Duration = Duration::from_secs(8);
/// Chunks taken from the middle of a request are let come if they are not more than this: a new request costs as much.
const MAX_SKIPPED_BYTES: u64 = 256 << 10;

/// What is known of an open request, besides what it owes.
#[derive(Debug)]
pub(super) struct Asked {
    /// For what.
    pub(super) runs: Vec<Range<u32>>,
    /// When it was asked.
    pub(super) at: Duration,
    /// Bytes that came of chunks that are not verified yet.
    pub(super) partial_bytes: u64,
    /// Whether a chunk of it was verified.
    pub(super) delivered: bool,
    /// Whether nothing else was open with this holder, and no byte has come yet.
    pub(super) measures_latency: bool,
    /// Whether it was sent before this transfer began: what it brings at first says nothing of its holder's rate.
    pub(super) sent_before: bool,
    /// Whether the holder was asked for more than is owed now, so that it must be told to stop.
    pub(super) shortened: bool,
}

impl Scheduler {
    /// A new request to this holder. Where its chunks come from is for the caller to say.
    pub(super) fn open(&mut self, now: Duration, holder: HolderId, runs: Vec<Range<u32>>) -> RequestId {
        self.serial += 1;
        let request = RequestId { serial: self.serial, holder };
        let mut measures_latency = false;
        if let Some(holder) = self.holders.get_mut(&holder) {
            measures_latency = holder.open.is_empty();
            holder.opened(now, request);
        }
        let asked = Asked {
            runs,
            at: now,
            partial_bytes: 0,
            delivered: false,
            measures_latency,
            sent_before: false,
            shortened: false,
        };
        self.requests.insert(request, asked);
        request
    }

    /// Ends a request, if it is open: what it knew, and what it owed.
    pub(super) fn close(&mut self, now: Duration, request: RequestId) -> Option<(Asked, RangeSet)> {
        let asked = self.requests.remove(&request)?;
        if let Some(holder) = self.holders.get_mut(&request.holder) {
            holder.closed(now, request);
        }
        self.changed = true;
        Some((asked, self.tracker.close(request)))
    }

    /// Ends a request, and has its stream reset.
    pub(super) fn cancel(&mut self, now: Duration, request: RequestId) {
        if self.close(now, request).is_some() {
            self.actions.push(Action::Cancel(request));
        }
    }

    /// Ends a request that owes nothing any more.
    pub(super) fn close_if_paid(&mut self, now: Duration, request: RequestId) {
        if self.tracker.owed_bytes(request) > 0 {
            return;
        }
        if let Some((Asked { shortened: true, .. }, _)) = self.close(now, request) {
            self.actions.push(Action::Cancel(request));
        }
    }

    /// Cancels all requests of a holder, and drops it.
    pub(super) fn drop_holder(&mut self, now: Duration, id: HolderId, reason: DropReason) {
        let cancelled = self.remove_holder(now, id);
        self.actions.extend(cancelled.into_iter().map(Action::Cancel));
        self.actions.push(Action::DropHolder(id, reason));
    }

    /// Takes a holder and its requests out; what is returned has ended, and nobody is told.
    pub(super) fn remove_holder(&mut self, now: Duration, id: HolderId) -> Vec<RequestId> {
        let Some(holder) = self.holders.remove(&id) else { return Vec::new() };
        self.tracker.missing_mut().lost(&holder.available);
        holder.open.iter().for_each(|&request| _ = self.close(now, request));
        self.changed = true;
        holder.open
    }

    /// Drops a holder, and never takes it again.
    pub(super) fn exclude(&mut self, now: Duration, id: HolderId, reason: DropReason) {
        if self.excluded.insert(id) {
            self.drop_holder(now, id, reason);
        }
    }

    /// Asks a holder for nothing for so long.
    pub(super) fn pause(&mut self, now: Duration, id: HolderId, pause: Duration) {
        if let Some(holder) = self.holders.get_mut(&id) {
            holder.paused_until = holder.paused_until.max(Some(now + pause));
        }
    }

    /// A holder failed: it pauses for longer each time, and at last is dropped.
    pub(super) fn failed(&mut self, now: Duration, id: HolderId) {
        let Some(holder) = self.holders.get_mut(&id) else { return };
        holder.failures += 1;
        let failures = holder.failures;
        if failures >= MAX_FAILURES {
            self.drop_holder(now, id, DropReason::Failing);
        } else {
            self.pause(now, id, MAX_FAILURE_PAUSE.min(FAILURE_PAUSE * (1 << (failures - 1))));
        }
    }

    /// A holder does not have these. It would cost a request for each range to find out what else it lacks: one that said
    /// it has all is out, and another one pauses.
    pub(super) fn lacks(&mut self, now: Duration, id: HolderId, chunks: &RangeSet) {
        let Some(holder) = self.holders.get_mut(&id) else { return };
        if holder.claims_all {
            return self.drop_holder(now, id, DropReason::Lacking);
        }
        let left = holder.available.without(chunks);
        self.tracker.missing_mut().changed(&holder.available, &left);
        holder.available = left;
        self.failed(now, id);
    }

    /// A chunk is verified, wherever it came from: it ends the requests that owed nothing else.
    pub(super) fn settle(&mut self, now: Duration, chunk: u32, by: Option<RequestId>) -> Arrived {
        let Some(owers) = self.tracker.arrived(chunk, by) else { return Arrived::Duplicate };
        for request in owers.into_iter().flatten() {
            if let Some(asked) = self.requests.get_mut(&request) {
                asked.shortened |= by != Some(request);
            }
            self.close_if_paid(now, request);
        }
        Arrived::Install
    }

    /// Cancels a request if what comes next of it was taken from it, and is much; the rest is asked for anew.
    pub(super) fn skip(&mut self, now: Duration, request: RequestId, arrived: u32) {
        let Some(asked) = self.requests.get(&request).filter(|asked| asked.shortened) else { return };
        let Some(next) = self.tracker.next_owed(request) else { return };
        let skipped = |run: &Range<u32>| run.start.max(arrived.saturating_add(1))..run.end.min(next);
        let runs = asked.runs.iter().map(skipped).filter(|run| run.start < run.end);
        let bytes: u64 = runs.map(|run| cut::bytes(self.tracker.table(), run)).sum();
        if bytes > MAX_SKIPPED_BYTES {
            self.cancel(now, request);
        }
    }
}
