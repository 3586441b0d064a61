//! Idle holders: taking over from slow ones, and asking twice at the very end.

use std::ops::Range;
use std::time::Duration;

use super::choose::{Plan, Source, Speeds, descending};
use super::cut;
use super::holder::Holder;
use super::scheduler::Scheduler;
use super::{HolderId, RequestId};

/// Taking over pays if the later of the two then finishes in this part of the time.
const WORTH_TAKING: f64 = 1.5;
/// Asking twice pays if the second is so many times faster.
const WORTH_SHARING: f64 = 3.0;
/// Less is not taken over: a request has its price, too.
const MIN_TAKEN_BYTES: u64 = 64 << 10;

/// A request that something could be taken from.
#[derive(Debug)]
struct Victim {
    request: RequestId,
    /// In how many seconds its end is expected.
    finish: f64,
    /// How many bytes come until then, with those of the requests before it.
    backlog: f64,
    /// What its holder still sends between our wish to stop and its end.
    overrun: f64,
}

/// A holder with nothing left to ask for.
#[derive(Debug)]
struct Thief<'a> {
    id: HolderId,
    holder: &'a Holder,
    speed: f64,
    /// In how many seconds the first byte of a new request would come.
    start: f64,
}

impl Scheduler {
    /// The first of these holders that can help another out, and how.
    pub(super) fn plan_theft(&self, now: Duration, ready: &[HolderId], speeds: Speeds) -> Option<Plan> {
        let thieves: Vec<Thief> = ready.iter().filter_map(|&id| self.thief(now, id, speeds)).collect();
        if thieves.is_empty() {
            return None;
        }
        let victims = self.victims(now, speeds);
        let taking = thieves.iter().find_map(|thief| victims.iter().find_map(|v| self.take(thief, v)));
        taking.or_else(|| thieves.iter().find_map(|thief| victims.iter().find_map(|v| self.share(thief, v))))
    }

    fn thief(&self, now: Duration, id: HolderId, speeds: Speeds) -> Option<Thief<'_>> {
        let holder = self.holders.get(&id).filter(|holder| holder.is_usable())?;
        let speed = holder.speed(now, speeds.assumed);
        let latency = holder.latency().as_secs_f64();
        let busy = holder.open.iter().map(|&request| self.due_bytes(request)).sum::<u64>() as f64 / speed;
        // It asks ahead by one latency, so as not to idle.
        (busy <= latency).then_some(Thief { id, holder, speed, start: latency.max(busy) })
    }

    /// All open requests, the one that ends last first.
    fn victims(&self, now: Duration, speeds: Speeds) -> Vec<Victim> {
        let mut victims = Vec::new();
        for holder in self.holders.values() {
            let speed = holder.speed(now, speeds.assumed);
            let overrun = holder.meter.rate(now).unwrap_or(0.0) * holder.latency().as_secs_f64();
            let mut backlog = 0.0;
            for &request in &holder.open {
                backlog += self.due_bytes(request) as f64;
                // One that has been silent for so long may well be for as long again.
                let finish = backlog / speed + holder.silence(now);
                victims.push(Victim { request, finish, backlog, overrun });
            }
        }
        victims.sort_by(|a, b| descending(a.finish, b.finish));
        victims
    }

    /// Splits what the victim owes so that both finish together.
    fn take(&self, thief: &Thief<'_>, victim: &Victim) -> Option<Plan> {
        if thief.id == victim.request.holder || thief.start * WORTH_TAKING >= victim.finish {
            return None;
        }
        let even =
            (victim.finish - thief.start) / (victim.finish / victim.backlog.max(1.0) + 1.0 / thief.speed);
        let bytes = (even as u64).min(self.untouched_bytes(victim.request));
        let runs = self.tail(thief, victim, bytes);
        let taken = self.bytes_of(&runs);
        let finish = thief.start + taken as f64 / thief.speed;
        let begun = self.requests.get(&victim.request).is_some_and(|asked| asked.partial_bytes > 0);
        let pays = taken >= MIN_TAKEN_BYTES
            && finish * WORTH_TAKING <= victim.finish
            && (!begun || taken as f64 >= 2.0 * victim.overrun);
        pays.then_some(Plan { holder: thief.id, runs, from: Source::TakenFrom(victim.request) })
    }

    /// Asks for a little of what the victim owes a second time.
    fn share(&self, thief: &Thief<'_>, victim: &Victim) -> Option<Plan> {
        if thief.id == victim.request.holder || !thief.holder.open.is_empty() {
            return None;
        }
        let seconds = victim.finish / WORTH_SHARING - thief.start;
        let little = self.config.floor_bytes.max(self.tracker.next_owed_bytes(victim.request));
        let runs = self.tail(thief, victim, ((seconds * thief.speed) as u64).min(little));
        (!runs.is_empty()).then_some(Plan { holder: thief.id, runs, from: Source::Shared })
    }

    fn tail(&self, thief: &Thief<'_>, victim: &Victim, bytes: u64) -> Vec<Range<u32>> {
        self.tracker.tail(victim.request, &thief.holder.available, bytes, self.config.max_runs)
    }

    fn bytes_of(&self, runs: &[Range<u32>]) -> u64 {
        runs.iter().map(|run| cut::bytes(self.tracker.table(), run.clone())).sum()
    }

    /// What has still to come for a request.
    fn due_bytes(&self, request: RequestId) -> u64 {
        let partial = self.requests.get(&request).map_or(0, |asked| asked.partial_bytes);
        self.tracker.owed_bytes(request).saturating_sub(partial)
    }

    /// What has still to come without the chunk that is coming.
    fn untouched_bytes(&self, request: RequestId) -> u64 {
        let begun = self.requests.get(&request).is_some_and(|asked| asked.partial_bytes > 0);
        let coming = if begun { self.tracker.next_owed_bytes(request) } else { 0 };
        self.due_bytes(request).saturating_sub(coming)
    }
}
