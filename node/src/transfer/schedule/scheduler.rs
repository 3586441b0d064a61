//! The scheduler's state, and what happens to it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use wire::manifest::ChunkTable;

use super::holder::Holder;
use super::ranges::RangeSet;
use super::requests::Asked;
use super::tracker::Tracker;
use super::{
    Action, Arrived, Availability, Config, DropReason, Failure, HolderId, HolderStats, Leave, Progress,
    RequestId,
};

/// Holders in one transfer: twice what one answer to P names. More would only wait for one another.
const MAX_HOLDERS: usize = 2 * wire::limits::HOLDERS;
/// Excluded holders that are remembered. A transfer that met so many takes no new ones.
const MAX_EXCLUDED: usize = 4096;
/// What a request that was sent before brings within this time was there before.
const TAKEN_AT_ONCE: Duration = Duration::from_millis(100);
/// A busy holder is asked again after this at the earliest, whatever it says.
const MIN_BUSY_PAUSE: Duration = Duration::from_millis(100);
/// A busy holder is asked again after this at the latest, whatever it says.
const MAX_BUSY_PAUSE: Duration = Duration::from_secs(60);

/// Owes what is expected from elsewhere: no request of any holder has this number, which is the first one's before the
/// first.
const ELSEWHERE: RequestId = RequestId { serial: 0, holder: HolderId(u32::MAX) };

/// Decides who is asked for which chunks of one content. See the module.
///
/// Every `now` is the time since the start of the transfer, and never less than the one before.
#[derive(Debug)]
pub struct Scheduler {
    pub(super) config: Config,
    pub(super) tracker: Tracker,
    pub(super) holders: BTreeMap<HolderId, Holder>,
    pub(super) requests: BTreeMap<RequestId, Asked>,
    pub(super) actions: Vec<Action>,
    /// Whether something happened that may give somebody a request.
    pub(super) changed: bool,
    /// When to look again for a request to take over, though nothing happened.
    pub(super) look_again: Option<Duration>,
    /// How many bytes may have come in vain, because they were taken over or asked for twice.
    pub(super) spent_bytes: u64,
    /// Who is never asked again.
    pub(super) excluded: BTreeSet<HolderId>,
    /// The number of the last request.
    pub(super) serial: u64,
    /// Whether somebody said that others download the same.
    told_of_others: bool,
}

impl Scheduler {
    /// For these chunks, some of which may be done: ranges in any order, clipped to the chunks that exist.
    pub fn new(chunks: Arc<ChunkTable>, done: impl IntoIterator<Item = Range<u32>>, config: Config) -> Self {
        Self {
            config,
            tracker: Tracker::new(chunks, done),
            holders: BTreeMap::new(),
            requests: BTreeMap::new(),
            actions: Vec::new(),
            changed: true,
            look_again: None,
            spent_bytes: 0,
            excluded: BTreeSet::new(),
            serial: 0,
            told_of_others: false,
        }
    }

    /// Others download the same: from now on requests are short and begin in random places, so that all feed one another.
    /// While partial holders are there, it is so anyway.
    pub fn others_download(&mut self) {
        self.told_of_others = true;
    }

    /// Whether others download the same at the same time, as far as is known.
    pub(super) fn in_company(&self) -> bool {
        self.told_of_others || self.holders.values().any(|holder| !holder.claims_all)
    }

    /// A holder can be asked. `false` if it will not be: it is excluded, or there are enough. Of one that is there
    /// already, this is an update.
    pub fn holder_joined(&mut self, now: Duration, id: HolderId, availability: Availability) -> bool {
        if self.holders.contains_key(&id) {
            self.holder_updated(id, availability);
            return true;
        }
        let full = self.holders.len() >= MAX_HOLDERS || self.excluded.len() >= MAX_EXCLUDED;
        if full || self.excluded.contains(&id) {
            return false;
        }
        let claims_all = availability == Availability::All;
        let available = self.resolve(availability);
        self.tracker.missing_mut().gained(&available);
        let mut holder = Holder::new(now, available);
        holder.claims_all = claims_all;
        self.holders.insert(id, holder);
        self.changed = true;
        true
    }

    /// What a holder has, now: all of it, not only what is new.
    pub fn holder_updated(&mut self, id: HolderId, availability: Availability) {
        let claims_all = availability == Availability::All;
        let available = self.resolve(availability);
        let Some(holder) = self.holders.get_mut(&id) else { return };
        self.tracker.missing_mut().changed(&holder.available, &available);
        holder.claims_all = claims_all;
        holder.available = available;
        self.changed = true;
    }

    /// A holder is gone, and its requests with it: no action follows for them.
    pub fn holder_left(&mut self, now: Duration, id: HolderId, leave: Leave) {
        if leave == Leave::Excluded {
            self.excluded.insert(id);
        }
        self.remove_holder(now, id);
    }

    /// Bytes of chunks came for a request, verified or not. To be told as they come: they show that the holder lives,
    /// and how fast it is.
    pub fn bytes_arrived(&mut self, now: Duration, request: RequestId, bytes: u64) {
        let Some(holder) = self.holders.get_mut(&request.holder) else { return };
        let mut sent_before = false;
        if let Some(asked) = self.requests.get_mut(&request) {
            asked.partial_bytes += bytes;
            sent_before = asked.sent_before && now.saturating_sub(asked.at) < TAKEN_AT_ONCE;
            if std::mem::take(&mut asked.measures_latency) {
                holder.measured_latency(now.saturating_sub(asked.at));
            }
        }
        self.changed |= match sent_before {
            true => holder.had_delivered(now, bytes),
            false => holder.delivered(now, bytes),
        };
    }

    /// A chunk of a request was verified. O(log runs), but at the very end O(open requests · log runs).
    #[must_use]
    pub fn chunk_arrived(&mut self, now: Duration, request: RequestId, chunk: u32) -> Arrived {
        let bytes = self.tracker.table().chunk(chunk).map_or(0, |chunk| u64::from(chunk.length));
        if let Some(asked) = self.requests.get_mut(&request) {
            asked.partial_bytes = asked.partial_bytes.saturating_sub(bytes);
            asked.delivered = true;
        }
        if let Some(holder) = self.holders.get_mut(&request.holder) {
            (holder.failures, holder.refused) = (0, false);
        }
        let arrived = self.settle(now, chunk, Some(request));
        self.skip(now, request, chunk);
        arrived
    }

    /// Chunks that are to come from elsewhere: nobody is asked for them. All of them are missing; called once.
    pub fn expect_elsewhere(&mut self, runs: &[Range<u32>]) {
        self.tracker.ask(ELSEWHERE, runs);
    }

    /// What was to come from elsewhere and has not come is asked for.
    pub fn nothing_elsewhere(&mut self) {
        self.tracker.close(ELSEWHERE);
        self.changed = true;
    }

    /// A verified chunk came from elsewhere: from an older version, or from an equal chunk. O(log runs) where it was
    /// expected.
    #[must_use]
    pub fn chunk_found(&mut self, now: Duration, chunk: u32) -> Arrived {
        self.settle(now, chunk, Some(ELSEWHERE))
    }

    /// The answer to a request came to its end. To be told after all its chunks. If it gave nothing of what it still
    /// owed, this holder does not have that: [`Failure::NotFound`].
    pub fn request_done(&mut self, now: Duration, request: RequestId) {
        if let Some((asked, owed)) = self.close(now, request)
            && !asked.delivered
        {
            self.lacks(now, request.holder, &owed);
        }
    }

    /// A request failed. What it still owed is missing again. What becomes of the holder, see [`Failure`]; one that
    /// fails time and again pauses for longer each time, and is out after 8 failures without a chunk between them.
    ///
    /// Of a request that is over already, as one that was cancelled, only what excludes its holder counts: that we
    /// stopped it says nothing of the holder, least of all that it lives.
    pub fn request_failed(&mut self, now: Duration, request: RequestId, failure: Failure) {
        let id = request.holder;
        let closed = self.close(now, request);
        match failure {
            Failure::WrongChunk => return self.exclude(now, id, DropReason::Lied),
            Failure::Changed => return self.exclude(now, id, DropReason::Changed),
            Failure::Reset | Failure::Busy { .. } | Failure::NotFound | Failure::Timeout => {}
        }
        let Some((_, owed)) = closed else { return };
        if failure != Failure::Timeout
            && let Some(holder) = self.holders.get_mut(&id)
        {
            holder.heard(now);
            holder.refused = true;
        }
        match failure {
            Failure::Busy { retry_after } => {
                self.pause(now, id, retry_after.clamp(MIN_BUSY_PAUSE, MAX_BUSY_PAUSE));
            }
            Failure::NotFound => self.lacks(now, id, &owed),
            _ => self.failed(now, id),
        }
    }

    /// Whether every chunk is verified.
    pub fn is_complete(&self) -> bool {
        self.remaining_bytes() == 0
    }

    /// How many bytes are not verified yet.
    pub fn remaining_bytes(&self) -> u64 {
        self.tracker.table().size() - self.tracker.done_bytes()
    }

    /// How far it is. O(runs that nobody has).
    pub fn progress(&self) -> Progress {
        let missing = self.tracker.missing();
        Progress {
            done_bytes: self.tracker.done_bytes(),
            in_flight_bytes: self.tracker.in_flight_bytes(),
            missing_bytes: missing.bytes(),
            unavailable_bytes: missing.unavailable_bytes(self.tracker.table()),
        }
    }

    /// The verified chunks: ascending ranges that do not touch.
    pub fn done(&self) -> impl DoubleEndedIterator<Item = Range<u32>> + '_ {
        self.tracker.done().iter()
    }

    /// How many chunks are verified from the first one on without a gap: as far as one can hash in order.
    pub fn done_prefix(&self) -> u32 {
        self.tracker.done().next_from(0).filter(|run| run.start == 0).map_or(0, |run| run.end)
    }

    /// The holders and what is known of them, by id.
    pub fn holders(&self, now: Duration) -> impl Iterator<Item = (HolderId, HolderStats)> + '_ {
        self.holders.iter().map(move |(&id, holder)| (id, holder.stats(now)))
    }

    fn resolve(&self, availability: Availability) -> RangeSet {
        let count = self.tracker.table().len();
        match availability {
            Availability::All => RangeSet::from_iter([0..count]),
            Availability::Ranges(ranges) => {
                ranges.into_iter().map(|range| range.start..range.end.min(count)).collect()
            }
        }
    }
}
