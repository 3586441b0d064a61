//! What to ask whom for: how much at once, and how many requests.

use std::cmp::Ordering;
use std::ops::Range;
use std::time::Duration;

use super::holder::Holder;
use super::missing::Start;
use super::scheduler::Scheduler;
use super::{HolderId, Request, RequestId};
use crate::rng::mix;

/// The rate of a holder before any holder's is known, in bytes per second. High, so that a request is not taken over
/// before its first bytes show that this pays.
const NOMINAL_RATE: f64 = (32 << 20) as f64;
/// How often idle holders look for something to take over.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// How much sooner than a round trip before its end a holder's work is added to: rates, after which we look, are
/// measured each 100 ms.
const LOOK_AHEAD: Duration = Duration::from_millis(150);

/// Requests are so many times shorter where others download the same.
const IN_COMPANY: u32 = 4;

/// What to ask a holder for.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) holder: HolderId,
    pub(super) runs: Vec<Range<u32>>,
    pub(super) from: Source,
    /// How many bytes may come in vain for it.
    pub(super) spent_bytes: u64,
    /// Where the holder's next request may go on.
    pub(super) next: Option<u32>,
}

/// Where the chunks of a new request come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Nobody is asked for them.
    Missing,
    /// This request owes them, and will not any more.
    TakenFrom(RequestId),
    /// One request owes them, and will still.
    Shared,
}

/// The rates of all holders.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speeds {
    /// What to assume of a holder whose rate is not known: the average of the others.
    pub(super) assumed: f64,
    /// All together.
    sum: f64,
}

impl Scheduler {
    /// The next request to send, or `None`: nothing for anybody now. To be called until it gives none, after each
    /// event and each [`tick`](Self::tick); where nothing can have changed it returns at once.
    pub fn next_request(&mut self, now: Duration) -> Option<Request> {
        if !self.changed && self.look_again.is_none_or(|at| now < at) {
            return None;
        }
        let speeds = self.speeds(now);
        let ready = self.ready(now, speeds);
        let missing = ready.iter().find_map(|&id| self.plan_missing(now, id, speeds));
        let plan = missing.or_else(|| self.plan_theft(now, &ready, speeds));
        if plan.is_none() {
            self.changed = false;
            self.look_again = (!ready.is_empty() && !self.requests.is_empty()).then_some(now + LOOK_AGAIN);
        }
        plan.map(|plan| self.issue(now, plan))
    }

    fn issue(&mut self, now: Duration, plan: Plan) -> Request {
        let id = self.open(now, plan.holder, plan.runs.clone());
        self.spent_bytes += plan.spent_bytes;
        if let Some(holder) = self.holders.get_mut(&plan.holder) {
            holder.next = plan.next;
        }
        match plan.from {
            Source::Missing => self.tracker.ask(id, &plan.runs),
            Source::Shared => self.tracker.ask_again(id, &plan.runs),
            Source::TakenFrom(victim) => {
                self.tracker.hand_over(victim, id, &plan.runs);
                if let Some(asked) = self.requests.get_mut(&victim) {
                    asked.shortened = true;
                }
                self.close_if_paid(now, victim);
            }
        }
        Request { id, runs: plan.runs }
    }

    fn plan_missing(&self, now: Duration, id: HolderId, speeds: Speeds) -> Option<Plan> {
        let holder = self.holders.get(&id)?;
        let bytes = self.request_bytes(now, holder, speeds);
        let (missing, table) = (self.tracker.missing(), self.tracker.table());
        let most = (bytes, self.config.max_runs);
        let start = self.start(holder);
        let (runs, next) = missing.pick(table, &holder.available, most, start);
        // Where all begin, at the front, none of several goes on.
        let next = (start != Start::Front).then_some(next);
        (!runs.is_empty()).then_some(Plan { holder: id, runs, from: Source::Missing, spent_bytes: 0, next })
    }

    /// Where a request for what is missing begins.
    fn start(&self, holder: &Holder) -> Start {
        if !self.in_company() {
            return Start::Front;
        }
        let random = mix(self.config.seed.wrapping_add(self.serial));
        Start::Spread { next: holder.next, random }
    }

    fn speeds(&self, now: Duration) -> Speeds {
        let known: Vec<f64> = self.holders.values().filter_map(|holder| holder.meter.rate(now)).collect();
        let assumed =
            if known.is_empty() { NOMINAL_RATE } else { known.iter().sum::<f64>() / known.len() as f64 };
        let usable = self.holders.values().filter(|holder| holder.paused_until.is_none());
        Speeds { assumed, sum: usable.map(|holder| holder.speed(now, assumed)).sum() }
    }

    /// Who can take another request: the idle ones first, then the fast ones; those that were silent, last.
    fn ready(&self, now: Duration, speeds: Speeds) -> Vec<HolderId> {
        let mut ready: Vec<_> = self
            .holders
            .iter()
            .filter(|(_, holder)| self.has_room(now, holder))
            .map(|(&id, holder)| (holder.demoted, holder.open.len(), holder.speed(now, speeds.assumed), id))
            .collect();
        ready.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(descending(a.2, b.2)).then(a.3.cmp(&b.3)));
        ready.into_iter().map(|(.., id)| id).collect()
    }

    /// How much to ask this holder for at once.
    fn request_bytes(&self, now: Duration, holder: &Holder, speeds: Speeds) -> u64 {
        let config = &self.config;
        // What we have asked for, others do not know, and ask for too.
        let (target, min_bytes) = match self.in_company() {
            true => (config.target / IN_COMPANY, config.floor_bytes),
            false => (config.target, config.min_bytes),
        };
        let wish = match holder.meter.rate(now) {
            Some(rate) => (rate * target.as_secs_f64()) as u64,
            // Of an only holder all comes, so that no request is too large for it: the path is not to be idle until its rate is
            // known.
            None if !self.in_company() && (holder.open.is_empty() || self.holders.len() == 1) => {
                config.first_bytes
            }
            None => min_bytes,
        };
        let wish = wish.clamp(min_bytes, config.max_bytes);
        let part = holder.speed(now, speeds.assumed) / speeds.sum.max(1.0);
        // With nobody to finish together with, half a share would be a round trip too many.
        let part = if self.holders.len() > 1 { part / 2.0 } else { part };
        let share = (self.tracker.missing().bytes() as f64 * part) as u64;
        wish.min(share.max(config.floor_bytes).max(round_trip_bytes(now, holder)))
    }

    /// Whether this holder should have another request: a second one always waits behind the first, and more come if
    /// less is under way than covers a round trip and the time until we look again. A holder may serve its requests
    /// side by side, so that all end at once.
    fn has_room(&self, now: Duration, holder: &Holder) -> bool {
        if holder.paused_until.is_some() || holder.demoted {
            return holder.paused_until.is_none() && holder.open.is_empty();
        }
        let rate = holder.meter.rate(now).unwrap_or(0.0);
        let low_water_bytes = rate * (holder.latency() + LOOK_AHEAD).as_secs_f64();
        let due_bytes: u64 = holder.open.iter().map(|&request| self.due_bytes(request)).sum();
        let low = (due_bytes as f64) < low_water_bytes;
        holder.open.len() < if low { self.config.max_depth } else { 2 }
    }

    /// What has still to come for a request.
    pub(super) fn due_bytes(&self, request: RequestId) -> u64 {
        let partial_bytes = self.requests.get(&request).map_or(0, |asked| asked.partial_bytes);
        self.tracker.owed_bytes(request).saturating_sub(partial_bytes)
    }
}

/// What a holder of known rate delivers between a request and its first byte.
pub(super) fn round_trip_bytes(now: Duration, holder: &Holder) -> u64 {
    let rate = holder.meter.rate(now).unwrap_or(0.0);
    (rate * holder.latency().as_secs_f64()) as u64
}

/// The larger one first.
pub(super) fn descending(a: f64, b: f64) -> Ordering {
    b.total_cmp(&a)
}
