//! The simulation's loop, and what it checks at each step.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use wire::manifest::ChunkTable;

use super::super::{
    Arrived, Availability, Config, DropReason, Failure, HolderId, Leave, RequestId, Scheduler,
};
use super::holder::{Death, Holder, Piece, Spec};
use crate::rng::Rng;

/// Nothing takes longer than this, whatever happens to it.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What became of a download.
#[derive(Debug)]
pub(super) struct Outcome {
    /// When the last chunk came.
    pub(super) finished: Duration,
    /// Bytes that came for nothing, though nobody lied or died.
    pub(super) wasted_bytes: u64,
    /// The longest time between two good chunks.
    pub(super) longest_gap: Duration,
    /// The most that was done beyond the first chunk that was not.
    pub(super) longest_tail_bytes: u64,
    /// The bytes that each holder contributed.
    pub(super) installed_bytes: Vec<u64>,
    /// How many requests were sent.
    pub(super) requests: usize,
    /// When each was demoted for the first time.
    pub(super) demoted: BTreeMap<HolderId, Duration>,
    /// When who was dropped, and why.
    pub(super) dropped: Vec<(Duration, HolderId, DropReason)>,
}

/// What happens.
#[derive(Debug)]
pub(super) enum Event {
    Joins(usize),
    Grows(usize, Vec<Range<u32>>),
    /// The connection is known to be closed.
    Closed(usize),
    /// A holder can send.
    Turn(usize),
    Received(usize, Piece),
    Failed(RequestId, Failure),
    /// What was cancelled has ended.
    Stopped(RequestId),
    Deadline,
}

/// A request as the asker sees it.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// Bytes of the chunk that is coming.
    pub(super) partial_bytes: u64,
}

/// A download, and the world around it.
pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) table: Arc<ChunkTable>,
    pub(super) scheduler: Scheduler,
    pub(super) holders: Vec<Holder>,
    pub(super) open: BTreeMap<RequestId, Open>,
    pub(super) cancelled: BTreeSet<RequestId>,
    pub(super) installed: Vec<bool>,
    pub(super) now: Duration,
    pub(super) events: BTreeMap<(Duration, u64), Event>,
    pub(super) serial: u64,
    pub(super) deadline: Option<Duration>,
    pub(super) last_install: Duration,
    pub(super) outcome: Outcome,
}

impl World {
    pub(super) fn new(rng: Rng, table: Arc<ChunkTable>, done: Vec<Range<u32>>, specs: Vec<Spec>) -> Self {
        let mut installed = vec![false; table.len() as usize];
        done.iter().cloned().flatten().for_each(|chunk| installed[chunk as usize] = true);
        let outcome = Outcome {
            finished: Duration::ZERO,
            wasted_bytes: 0,
            longest_gap: Duration::ZERO,
            longest_tail_bytes: 0,
            installed_bytes: Vec::new(),
            requests: 0,
            demoted: BTreeMap::new(),
            dropped: Vec::new(),
        };
        let mut world = Self {
            rng,
            scheduler: Scheduler::new(Arc::clone(&table), done, Config::default()),
            table,
            holders: Vec::new(),
            open: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            installed,
            now: Duration::ZERO,
            events: BTreeMap::new(),
            serial: 0,
            deadline: None,
            last_install: Duration::ZERO,
            outcome,
        };
        for (index, spec) in specs.into_iter().enumerate() {
            world.foresee(index, &spec);
            world.holders.push(Holder::new(spec));
        }
        world
    }

    /// Runs until all is there and nothing is under way any more.
    pub(super) fn run(mut self) -> Outcome {
        while let Some(((at, _), event)) = self.events.pop_first() {
            assert!(at < LONGEST, "still not done: {:?}", self.scheduler.progress());
            self.now = at;
            self.happens(event);
            self.drive();
        }
        assert!(self.scheduler.is_complete(), "nothing more happens: {:?}", self.scheduler);
        assert!(self.installed.iter().all(|installed| *installed));
        assert_eq!(self.scheduler.done().collect::<Vec<_>>(), Vec::from_iter(whole(&self.table)));
        assert_eq!(self.open.len(), 0, "what is not needed is cancelled");
        self.outcome.installed_bytes = self.holders.iter().map(|holder| holder.installed_bytes).collect();
        self.outcome
    }

    fn foresee(&mut self, index: usize, spec: &Spec) {
        self.at(spec.joins, Event::Joins(index));
        for (at, ranges) in &spec.grows {
            self.at(*at, Event::Grows(index, ranges.clone()));
        }
        if let Some((at, Death::Closed)) = spec.dies {
            self.at(at + spec.round_trip / 2, Event::Closed(index));
        }
    }

    pub(super) fn at(&mut self, at: Duration, event: Event) {
        self.serial += 1;
        self.events.insert((at, self.serial), event);
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Joins(index) => self.joins(index),
            Event::Grows(index, ranges) => {
                self.holders[index].spec.availability = Availability::Ranges(ranges);
                let availability = self.holders[index].spec.availability.clone();
                self.scheduler.holder_updated(id(index), availability);
            }
            Event::Closed(index) => {
                self.scheduler.holder_left(self.now, id(index), Leave::Closed);
                self.leaves(index);
            }
            Event::Turn(index) => self.turn(index),
            Event::Received(index, piece) => self.received(index, piece),
            Event::Failed(request, failure) => {
                if self.open.remove(&request).is_some() {
                    self.holders[request.holder().0 as usize].ended(self.now, request);
                    self.scheduler.request_failed(self.now, request, failure);
                }
            }
            Event::Stopped(request) => self.scheduler.request_failed(self.now, request, Failure::Reset),
            Event::Deadline => self.deadline = None,
        }
    }

    fn joins(&mut self, index: usize) {
        let availability = self.holders[index].spec.availability.clone();
        let joined = self.scheduler.holder_joined(self.now, id(index), availability);
        assert_eq!(joined, !self.holders[index].excluded);
        self.holders[index].joined = joined;
    }

    pub(super) fn leaves(&mut self, index: usize) {
        self.holders[index].joined = false;
        self.holders[index].forget_all();
        self.open.retain(|request, _| request.holder() != id(index));
    }

    fn turn(&mut self, index: usize) {
        let table = Arc::clone(&self.table);
        let length = |chunk| u64::from(table.chunk(chunk).expect("only chunks are asked for").length);
        match self.holders[index].send(self.now, length) {
            Ok((piece, sent)) => {
                let received = sent + self.holders[index].spec.round_trip / 2;
                self.at(received, Event::Received(index, piece));
                self.at(sent, Event::Turn(index));
            }
            Err(Some(again)) => self.at(again, Event::Turn(index)),
            Err(None) => {}
        }
    }

    fn received(&mut self, index: usize, piece: Piece) {
        if self.holders[index].excluded {
            return;
        }
        let Some(open) = self.open.get_mut(&piece.request) else {
            // Under way when it ended.
            if self.cancelled.contains(&piece.request) {
                self.outcome.wasted_bytes += piece.bytes;
            }
            return;
        };
        open.partial_bytes += piece.bytes;
        self.scheduler.bytes_arrived(self.now, piece.request, piece.bytes);
        if piece.ends_chunk {
            let length = std::mem::take(&mut open.partial_bytes);
            if self.rng.chance(self.holders[index].spec.lies) {
                self.holders[index].excluded = true;
                self.scheduler.request_failed(self.now, piece.request, Failure::WrongChunk);
                self.leaves(index);
                return;
            }
            self.chunk(index, piece, length);
        }
        if piece.ends_request && self.open.remove(&piece.request).is_some() {
            self.scheduler.request_done(self.now, piece.request);
        }
    }

    fn chunk(&mut self, index: usize, piece: Piece, length: u64) {
        let installed = &mut self.installed[piece.chunk as usize];
        let arrived = self.scheduler.chunk_arrived(self.now, piece.request, piece.chunk);
        assert_eq!(arrived == Arrived::Duplicate, *installed, "installed exactly once");
        if std::mem::replace(installed, true) {
            self.outcome.wasted_bytes += length;
            return;
        }
        self.holders[index].installed_bytes += length;
        let front = self.table.bytes_of(0..self.scheduler.done_prefix()).map_or(0, |bytes| bytes.end);
        let tail_bytes = self.scheduler.progress().done_bytes - front;
        self.outcome.longest_tail_bytes = self.outcome.longest_tail_bytes.max(tail_bytes);
        let gap = self.now - self.last_install;
        self.outcome.longest_gap = self.outcome.longest_gap.max(gap);
        (self.last_install, self.outcome.finished) = (self.now, self.now);
    }
}

fn id(index: usize) -> HolderId {
    HolderId(index as u32)
}

fn whole(table: &ChunkTable) -> Option<Range<u32>> {
    (!table.is_empty()).then_some(0..table.len())
}
