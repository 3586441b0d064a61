//! Idle holders: taking over from slow ones, and asking twice at the very end.

use std::ops::Range;
use std::time::Duration;

use super::choose::{Plan, Source, Speeds, descending, round_trip_bytes};
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
/// What is taken from a request is at least so many times what comes in vain for it.
const MIN_GAIN: f64 = 2.0;
/// The same once [`CHEAP_PART`] of the content may have come in vain.
const MIN_GAIN_LATER: f64 = 16.0;
/// This part of the content's bytes may come in vain so that the download ends sooner.
const CHEAP_PART: u64 = 64;

/// A request that something could be taken from.
#[derive(Debug)]
struct Victim {
    request: RequestId,
    /// In how many seconds its end is expected.
    finish: f64,
    /// Its holder's rate.
    speed: f64,
    /// What its holder still sends of it between our wish to stop and its end.
    overrun_bytes: u64,
}

/// A holder that could take something over.
#[derive(Debug)]
struct Thief<'a> {
    id: HolderId,
    holder: &'a Holder,
    speed: f64,
    /// In how many seconds the first byte of a new request would come.
    start: f64,
    /// Whether it has nothing else to do by then.
    ready: bool,
}

/// All that a plan depends on.
#[derive(Debug, Clone, Copy)]
struct Scene<'a> {
    /// All holders that can be relied on.
    usable: &'a [Thief<'a>],
    /// All open requests, the one that ends last first.
    victims: &'a [Victim],
}

impl Scene<'_> {
    /// Whether nobody who has these is much better at it, even if still busy.
    fn suits(self, thief: &Thief<'_>, runs: &[Range<u32>], bytes: u64) -> bool {
        let Some(first) = runs.first() else { return false };
        let have = self.usable.iter().filter(|other| other.holder.available.contains(first.start));
        let best = have.map(|other| other.finish(bytes)).fold(f64::INFINITY, f64::min);
        thief.finish(bytes) <= best * WORTH_TAKING
    }
}

impl Thief<'_> {
    /// In how many seconds it would have delivered so much.
    fn finish(&self, bytes: u64) -> f64 {
        self.start + bytes as f64 / self.speed
    }
}

impl Scheduler {
    /// The first of these holders that can help another out, and how.
    pub(super) fn plan_theft(&self, now: Duration, ready: &[HolderId], speeds: Speeds) -> Option<Plan> {
        let usable: Vec<Thief> = self.holders.keys().filter_map(|&id| self.thief(now, id, speeds)).collect();
        let by_id = |id: &HolderId| usable.iter().find(|thief| thief.id == *id && thief.ready);
        let thieves: Vec<&Thief> = ready.iter().filter_map(by_id).collect();
        if thieves.is_empty() {
            return None;
        }
        let victims = self.victims(now, speeds);
        let scene = Scene { usable: &usable, victims: &victims };
        let find = |plan: fn(&Self, &Thief<'_>, Scene<'_>) -> Option<Plan>| {
            thieves.iter().find_map(|thief| plan(self, thief, scene))
        };
        find(Self::take).or_else(|| find(Self::share)).or_else(|| find(Self::replace))
    }

    fn thief(&self, now: Duration, id: HolderId, speeds: Speeds) -> Option<Thief<'_>> {
        let holder = self.holders.get(&id).filter(|holder| holder.is_usable())?;
        let speed = holder.cautious_speed(now, speeds.assumed);
        let latency = holder.latency().as_secs_f64();
        let busy = holder.open.iter().map(|&request| self.due_bytes(request)).sum::<u64>() as f64 / speed;
        // It asks ahead by one latency, so as not to idle.
        let start = latency.max(busy) + holder.doubt(now);
        Some(Thief { id, holder, speed, start, ready: busy <= latency })
    }

    /// All open requests, the one that ends last first.
    fn victims(&self, now: Duration, speeds: Speeds) -> Vec<Victim> {
        let mut victims = Vec::new();
        // One that may be as fast as any, for all that is known, is let be.
        let known = |holder: &&Holder| holder.meter.rate(now).is_some() || holder.doubt(now) > 0.0;
        for holder in self.holders.values().filter(known) {
            let speed = holder.cautious_speed(now, speeds.assumed);
            let overrun_bytes = round_trip_bytes(now, holder);
            let mut backlog = 0.0;
            for &request in &holder.open {
                backlog += self.due_bytes(request) as f64;
                let finish = backlog / speed + holder.doubt(now);
                victims.push(Victim { request, finish, speed, overrun_bytes });
            }
        }
        victims.sort_by(|a, b| descending(a.finish, b.finish));
        victims
    }

    /// Splits what a victim owes so that both finish together.
    fn take(&self, thief: &Thief<'_>, scene: Scene<'_>) -> Option<Plan> {
        let slow = scene.victims.iter().take_while(|victim| thief.start * WORTH_TAKING < victim.finish);
        slow.filter(|victim| victim.request.holder != thief.id).find_map(|victim| {
            let pace = 1.0 / victim.speed + 1.0 / thief.speed;
            let even = ((victim.finish - thief.start) / pace) as u64;
            let runs = self.tail(thief, victim, even.min(self.untouched_bytes(victim.request)));
            let taken = self.bytes_of(&runs);
            let all = taken == self.tracker.owed_bytes(victim.request);
            let spent_bytes = if all { 0 } else { victim.overrun_bytes };
            let cheap = self.spent_bytes + spent_bytes <= self.tracker.table().size() / CHEAP_PART;
            let min_gain = if cheap { MIN_GAIN } else { MIN_GAIN_LATER };
            let pays = taken >= MIN_TAKEN_BYTES
                && thief.finish(taken) * WORTH_TAKING <= victim.finish
                && taken as f64 >= min_gain * spent_bytes as f64
                && scene.suits(thief, &runs, taken);
            let from = Source::TakenFrom(victim.request);
            pays.then_some(Plan { holder: thief.id, runs, from, spent_bytes, next: None })
        })
    }

    /// Asks for a little of what a victim owes a second time.
    fn share(&self, thief: &Thief<'_>, scene: Scene<'_>) -> Option<Plan> {
        if !thief.holder.open.is_empty() {
            return None;
        }
        let slow = scene.victims.iter().take_while(|victim| thief.start * WORTH_SHARING < victim.finish);
        slow.filter(|victim| victim.request.holder != thief.id).find_map(|victim| {
            let runs = self.tail(thief, victim, self.little(victim));
            let bytes = self.bytes_of(&runs);
            let pays = thief.finish(bytes) * WORTH_SHARING <= victim.finish;
            let plan = Plan { holder: thief.id, runs, from: Source::Shared, spent_bytes: bytes, next: None };
            (pays && scene.suits(thief, &plan.runs, bytes)).then_some(plan)
        })
    }

    /// Takes the place of the slower of two that are asked for the same, where both are slow.
    fn replace(&self, thief: &Thief<'_>, scene: Scene<'_>) -> Option<Plan> {
        if !self.tracker.shares_any() || !thief.holder.open.is_empty() {
            return None;
        }
        let slow = scene.victims.iter().take_while(|victim| thief.start * WORTH_SHARING < victim.finish);
        let slow: Vec<&Victim> = slow.filter(|victim| victim.request.holder != thief.id).collect();
        slow.iter().enumerate().find_map(|(place, faster)| {
            let partner = self.tracker.partner(faster.request)?;
            let slower = slow.iter().take(place).find(|victim| victim.request == partner)?;
            let (available, max_runs) = (&thief.holder.available, self.config.max_runs);
            let both = [slower.request, faster.request];
            let runs = self.tracker.shared_tail(both, available, self.little(faster), max_runs);
            let bytes = self.bytes_of(&runs);
            let pays = thief.finish(bytes) * WORTH_SHARING <= faster.finish;
            let from = Source::TakenFrom(slower.request);
            let plan = Plan { holder: thief.id, runs, from, spent_bytes: bytes, next: None };
            (pays && scene.suits(thief, &plan.runs, bytes)).then_some(plan)
        })
    }

    /// What is asked for twice at once: the floor, or one chunk.
    fn little(&self, victim: &Victim) -> u64 {
        self.config.floor_bytes.max(self.tracker.next_owed_bytes(victim.request))
    }

    fn tail(&self, thief: &Thief<'_>, victim: &Victim, bytes: u64) -> Vec<Range<u32>> {
        self.tracker.tail(victim.request, &thief.holder.available, bytes, self.config.max_runs)
    }

    fn bytes_of(&self, runs: &[Range<u32>]) -> u64 {
        runs.iter().map(|run| cut::bytes(self.tracker.table(), run.clone())).sum()
    }

    /// What has still to come without the chunk that is coming.
    fn untouched_bytes(&self, request: RequestId) -> u64 {
        let begun = self.requests.get(&request).is_some_and(|asked| asked.partial_bytes > 0);
        let coming = if begun { self.tracker.next_owed_bytes(request) } else { 0 };
        self.due_bytes(request).saturating_sub(coming)
    }
}
