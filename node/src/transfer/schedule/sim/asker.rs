//! The asking side of the simulation: what the I/O does after each event.

use std::time::Duration;

use super::super::{Action, Failure, Request, RequestId};
use super::holder::Death;
use super::world::{Event, Open, World};

/// A stream that is reset says so after this.
const STOPPED_AFTER: Duration = Duration::from_millis(1);

impl World {
    /// What the I/O does after each event.
    pub(super) fn drive(&mut self) {
        for action in self.scheduler.tick(self.now) {
            match action {
                Action::Cancel(request) => self.cancel(request),
                Action::DropHolder(holder, reason) => {
                    self.outcome.dropped.push((self.now, holder, reason));
                    let index = holder.0 as usize;
                    self.leaves(index);
                    // It tries to come back, welcome or not.
                    let again = self.now + Duration::from_millis(self.rng.between(0, 10_000));
                    let closed = self.holders[index]
                        .spec
                        .dies
                        .is_some_and(|(at, how)| how == Death::Closed && at < again);
                    if !closed && !self.scheduler.is_complete() {
                        self.at(again, Event::Joins(index));
                    }
                }
            }
        }
        while let Some(request) = self.scheduler.next_request(self.now) {
            self.check(&request);
            self.send(&request);
        }
        // Taking over can end a request.
        for action in self.scheduler.tick(self.now) {
            let Action::Cancel(request) = action else { panic!("{action:?} without an event") };
            self.cancel(request);
        }
        self.wait();
        for (holder, _) in self.scheduler.holders(self.now).filter(|(_, stats)| stats.demoted) {
            self.outcome.demoted.entry(holder).or_insert(self.now);
        }
    }

    fn wait(&mut self) {
        let Some(at) = self.scheduler.next_deadline() else { return };
        assert!(at > self.now, "a deadline that is over: {at:?}");
        if self.deadline.is_none_or(|deadline| at < deadline) {
            self.deadline = Some(at);
            self.at(at, Event::Deadline);
        }
    }

    fn cancel(&mut self, request: RequestId) {
        if let Some(open) = self.open.remove(&request) {
            self.outcome.wasted_bytes += open.partial_bytes;
            self.cancelled.insert(request);
            self.at(self.now + STOPPED_AFTER, Event::Stopped(request));
            let holder = &mut self.holders[request.holder().0 as usize];
            holder.ended(self.now + holder.spec.round_trip / 2, request);
        }
    }

    fn send(&mut self, request: &Request) {
        self.outcome.requests += 1;
        let index = request.id.holder().0 as usize;
        self.open.insert(request.id, Open::default());
        let holder = &mut self.holders[index];
        let round_trip = holder.spec.round_trip;
        if self.rng.chance(holder.spec.busy) {
            let retry_after = Duration::from_millis(self.rng.between(0, 500));
            self.at(self.now + round_trip, Event::Failed(request.id, Failure::Busy { retry_after }));
            return;
        }
        if self.rng.chance(holder.spec.resets) {
            let at = self.now + round_trip + Duration::from_millis(self.rng.between(0, 300));
            self.at(at, Event::Failed(request.id, Failure::Reset));
        }
        let there = self.holders[index].asked(self.now, request);
        self.at(there, Event::Turn(index));
    }

    fn check(&self, request: &Request) {
        let holder = &self.holders[request.id.holder().0 as usize];
        assert!(holder.joined && !holder.excluded, "asked one that is out");
        assert!((1..=wire::limits::RUNS).contains(&request.runs.len()));
        assert!(request.runs.iter().all(|run| run.start < run.end && run.end <= self.table.len()));
        assert!(request.runs.windows(2).all(|pair| pair[0].end < pair[1].start), "ascending, not touching");
        for run in &request.runs {
            assert!(holder.has(run), "asked for what it does not have");
            for chunk in [run.start, run.end - 1] {
                assert!(!self.installed[chunk as usize], "asked for what is there");
                assert!(self.scheduler.tracker.asked_of(chunk) <= 2);
            }
        }
    }
}
