//! Any events in any order, sensible or not, against the scheduler's invariants.

use std::collections::BTreeSet;

use super::super::{
    Action, Arrived, Availability, Config, Failure, HolderId, Leave, Request, RequestId, Scheduler,
};
use super::*;

const HOLDERS: u64 = 6;

/// A scheduler under test, and what it must agree with.
struct Bench {
    rng: Rng,
    now: Duration,
    scheduler: Scheduler,
    count: u32,
    /// Requests that were given out, ended ones too.
    requests: Vec<Request>,
    done: BTreeSet<u32>,
    excluded: BTreeSet<HolderId>,
    /// What is to come from elsewhere.
    elsewhere: BTreeSet<u32>,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let average = [1000, 100_000, MIB][rng.between(0, 2) as usize];
        let size = average * rng.between(0, 60);
        let chunks = file(&mut rng, size, average);
        let count = chunks.len();
        let resumed = if rng.chance(0.3) { rng.ranges(count, 0.3) } else { Vec::new() };
        let done: BTreeSet<u32> = resumed.iter().cloned().flatten().collect();
        let mut scheduler = Scheduler::new(chunks, resumed, Config::default());
        let expected = if rng.chance(0.3) { rng.ranges(count, 0.5) } else { Vec::new() };
        let elsewhere: BTreeSet<u32> =
            expected.into_iter().flatten().filter(|chunk| *chunk < count && !done.contains(chunk)).collect();
        let runs: Vec<_> = elsewhere.iter().map(|&chunk| chunk..chunk + 1).collect();
        scheduler.expect_elsewhere(&runs);
        let (now, requests, excluded) = (Duration::ZERO, Vec::new(), BTreeSet::new());
        Self { rng, now, scheduler, count, requests, done, excluded, elsewhere }
    }

    fn step(&mut self) {
        self.now += ms([0, 0, 1, 30, 400, 3000][self.rng.between(0, 5) as usize]);
        let holder = HolderId(self.rng.between(0, HOLDERS - 1) as u32);
        let request = self.any_request();
        match (self.rng.between(0, 11), request) {
            (0, _) => self.join(holder),
            (1, _) => self.scheduler.holder_updated(holder, self.rng.availability(self.count)),
            (2, _) => self.leave(holder),
            (3..=5, Some(request)) => {
                let bytes = self.rng.between(0, 300_000);
                self.scheduler.bytes_arrived(self.now, request.id, bytes);
            }
            (6..=8, Some(request)) => self.chunks(&request),
            (9, Some(request)) => self.scheduler.request_done(self.now, request.id),
            (10, Some(request)) => self.fail(request.id),
            _ => self.found(),
        }
        self.drive();
        self.check();
    }

    /// Mostly one of the last ones, which are likely to be open.
    fn any_request(&mut self) -> Option<Request> {
        let recent = self.requests.len().min(if self.rng.chance(0.8) { 8 } else { usize::MAX });
        let back = self.rng.between(1, recent.max(1) as u64) as usize;
        self.requests.len().checked_sub(back).map(|place| self.requests[place].clone())
    }

    fn join(&mut self, holder: HolderId) {
        let availability = self.rng.availability(self.count);
        let joined = self.scheduler.holder_joined(self.now, holder, availability);
        assert_eq!(joined, !self.excluded.contains(&holder));
    }

    fn leave(&mut self, holder: HolderId) {
        let leave = if self.rng.chance(0.03) { Leave::Excluded } else { Leave::Closed };
        if leave == Leave::Excluded {
            self.excluded.insert(holder);
        }
        self.scheduler.holder_left(self.now, holder, leave);
    }

    fn fail(&mut self, request: RequestId) {
        let retry_after = ms(self.rng.between(0, 100_000));
        let failures = [Failure::Reset, Failure::Timeout, Failure::NotFound, Failure::Busy { retry_after }];
        let failure = match self.rng.between(0, 40) {
            0 => Failure::WrongChunk,
            1 => Failure::Changed,
            any => failures[any as usize % 4],
        };
        if matches!(failure, Failure::WrongChunk | Failure::Changed) {
            self.excluded.insert(request.holder());
        }
        self.scheduler.request_failed(self.now, request, failure);
    }

    fn chunks(&mut self, request: &Request) {
        let chunks: Vec<u32> = request.runs.iter().cloned().flatten().collect();
        let from = self.rng.between(0, chunks.len() as u64 - 1) as usize;
        let many = self.rng.between(1, 10) as usize;
        for &chunk in chunks.iter().skip(from).take(many) {
            let arrived = self.scheduler.chunk_arrived(self.now, request.id, chunk);
            self.arrived(chunk, arrived);
        }
    }

    fn found(&mut self) {
        // Beyond the end, too.
        let chunk = self.rng.between(0, u64::from(self.count) + 3) as u32;
        if self.rng.chance(0.02) {
            self.nothing_elsewhere();
        }
        if self.rng.chance(0.1) {
            let arrived = self.scheduler.chunk_found(self.now, chunk);
            self.arrived(chunk, arrived);
        }
    }

    fn nothing_elsewhere(&mut self) {
        self.elsewhere.clear();
        self.scheduler.nothing_elsewhere();
    }

    fn arrived(&mut self, chunk: u32, arrived: Arrived) {
        let first = chunk < self.count && self.done.insert(chunk);
        assert_eq!(arrived == Arrived::Install, first, "chunk {chunk}");
    }

    fn drive(&mut self) {
        self.obey();
        while let Some(request) = self.scheduler.next_request(self.now) {
            assert!(!self.excluded.contains(&request.id.holder()));
            assert!(!request.runs.is_empty() && request.runs.iter().all(|run| run.start < run.end));
            assert!(request.runs.iter().cloned().flatten().all(|chunk| !self.done.contains(&chunk)));
            let asked = request.runs.iter().cloned().flatten();
            assert!(asked.into_iter().all(|chunk| !self.elsewhere.contains(&chunk)));
            self.requests.push(request);
            self.scheduler.tracker.check();
            assert!(self.requests.len() < 100_000, "it asks without end");
        }
        self.obey();
    }

    fn obey(&mut self) {
        for action in self.scheduler.tick(self.now) {
            if let Action::Cancel(request) = action {
                assert!(self.requests.iter().any(|known| known.id == request));
                assert!(!self.scheduler.requests.contains_key(&request));
            }
        }
    }

    fn check(&self) {
        let scheduler = &self.scheduler;
        scheduler.tracker.check();
        let open: BTreeSet<RequestId> = scheduler.requests.keys().copied().collect();
        let listed = scheduler.holders.values().flat_map(|holder| holder.open.iter().copied());
        assert_eq!(open, listed.clone().collect(), "each open request is listed by its holder");
        assert_eq!(open.len(), listed.count(), "and once");
        assert!(open.iter().all(|request| scheduler.holders[&request.holder()].open.contains(request)));
        assert!(open.iter().all(|request| scheduler.tracker.owed_bytes(*request) > 0), "each owes something");
        let most = scheduler.config.max_depth;
        assert!(scheduler.holders.values().all(|holder| holder.open.len() <= most));
        assert_eq!(scheduler.done().flatten().collect::<BTreeSet<_>>(), self.done);
        let prefix = (0..).find(|chunk| !self.done.contains(chunk)).unwrap_or(0);
        assert_eq!(scheduler.done_prefix(), prefix);
        let progress = scheduler.progress();
        let left = progress.in_flight_bytes + progress.missing_bytes;
        assert_eq!(left, scheduler.remaining_bytes());
        assert_eq!(scheduler.is_complete(), left == 0);
        assert!(progress.unavailable_bytes <= progress.missing_bytes);
        let after = scheduler.next_deadline();
        assert!(after.is_none_or(|at| at > self.now), "{after:?} is over at {:?}", self.now);
    }

    /// One honest holder finishes whatever state things are in.
    fn finish(&mut self) {
        let honest = HolderId(HOLDERS as u32);
        self.nothing_elsewhere();
        assert!(self.scheduler.holder_joined(self.now, honest, Availability::All));
        let mut seen = self.requests.len();
        for _ in 0..100_000 {
            self.drive();
            while let Some(request) = self.requests.get(seen).cloned() {
                seen += 1;
                if request.id.holder() == honest {
                    self.serve(&request);
                }
            }
            if self.scheduler.is_complete() {
                return self.obey();
            }
            self.now = self.scheduler.next_deadline().unwrap_or(self.now).max(self.now);
        }
        panic!("not done: {:?}", self.scheduler);
    }

    fn serve(&mut self, request: &Request) {
        for chunk in request.runs.iter().cloned().flatten() {
            self.scheduler.bytes_arrived(self.now, request.id, 1);
            let arrived = self.scheduler.chunk_arrived(self.now, request.id, chunk);
            self.arrived(chunk, arrived);
        }
        self.scheduler.request_done(self.now, request.id);
    }
}

impl Rng {
    fn availability(&mut self, count: u32) -> Availability {
        if self.chance(0.4) {
            return Availability::All;
        }
        Availability::Ranges(self.ranges(count.saturating_add(2), 0.5))
    }
}

#[test]
fn every_chunk_is_in_one_state_whatever_happens() {
    for seed in 0..600 {
        let mut bench = Bench::new(seed);
        for _ in 0..bench.rng.between(0, 150) {
            bench.step();
        }
        bench.finish();
        bench.check();
    }
}
