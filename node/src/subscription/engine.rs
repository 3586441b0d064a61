//! What becomes of each subscription: pure, on a clock that is an argument.
//!
//! *Invariants.* An update is begun only for a record that is above the held one in the total order, so that nobody is ever
//! brought back to an older version. At most one update of a subscription runs, and [`AT_ONCE`] of all. Whatever is lost on the
//! way (a push, an answer, the process), the next connection asks for everything anew: as long as connections come back, each
//! subscription that is neither paused nor held back ends at the newest version.
//!
//! ```text
//! Idle ──newer record──▶ Due ──place free──▶ Running ──ended──▶ Idle, or Due again
//!   ▲                     ▲                     │
//!   │                     └────── later ────────┤ failed
//!   └── until the user accepts it ──────────────┘ held back
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use certs::AccountId;
use wire::{RecordHash, RecordRank, ResourceName};

use crate::rng::mix;
use crate::store::SubscriptionId;

/// Updates that run at once: each may wait for its holders or for its disk.
pub(crate) const AT_ONCE: usize = 8;
/// Of so many of its own resources a node wants to hear what beats them; of the others it hears when it connects to the index.
const OWN: usize = 50_000;
/// How long after a failed update the next is begun: doubled each time up to [`LONGEST`], and half of it at random.
const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(300);
/// The same for a question that the index did not answer, on a connection that stands.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Which resource.
pub(crate) type Resource = (AccountId, ResourceName);

/// A subscription as it begins: after a start, or as the user asked for it.
#[derive(Debug, Clone)]
pub(crate) struct Begins {
    pub(crate) resource: Resource,
    /// The version that is installed.
    pub(crate) held: Option<RecordRank>,
    pub(crate) paused: bool,
    /// A version that waits until the user accepts it.
    pub(crate) held_back: Option<RecordHash>,
}

/// What happened.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// The index is there.
    Connected,
    /// It is not.
    Disconnected,
    /// There is a new subscription, or it is not as it was: of the same resource always.
    Added(SubscriptionId, Begins),
    /// This node publishes this record itself: it wants to hear of what beats it.
    Own(Resource, RecordHash),
    /// There is none any more.
    Removed(SubscriptionId),
    /// The user wants no updates for now, or wants them again.
    Paused(SubscriptionId, bool),
    /// The user wants the version that is held back.
    Accepted(SubscriptionId),
    /// The index has this record of a resource; `gone` for a tombstone.
    Current { resource: Resource, rank: RecordRank, gone: bool },
    /// The record of which it was told when it was asked is the one that it has.
    Same(Resource),
    /// All that was asked for last is answered: the index tells what comes.
    Followed,
    /// The index did not say, and may be asked again.
    NotFollowed(Vec<Resource>),
    /// An update ended.
    Ended(SubscriptionId, End),
}

/// How an update ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// This version is installed now.
    Installed(RecordRank),
    /// It may succeed later.
    Failed,
    /// This version waits for the user.
    HeldBack(RecordHash),
    /// The user stopped it, or it is not needed any more.
    Stopped,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ask the index for these, and to be told of what comes. Answered by `Current`, `Followed` and `NotFollowed`.
    Follow(Vec<Resource>),
    /// Nobody wants to hear of it any more. Not answered.
    Unfollow(Resource),
    /// Bring it to this version, or a newer one. Answered by `Ended`.
    Update(SubscriptionId, RecordRank),
}

/// How it stands with one, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is at the newest version that is known.
    Current,
    /// It is being brought to it, or will be at once.
    Updating,
    /// The last attempt failed; the next follows.
    Retrying,
    /// It waits for the user.
    HeldBack,
    /// The user wants no updates for now.
    Paused,
    /// The owner does not share it any more.
    Unshared,
    /// Nothing is known of it yet.
    Unknown,
}

/// All subscriptions of a node. About 200 bytes each.
#[derive(Debug)]
pub(crate) struct Engine {
    all: BTreeMap<SubscriptionId, Subscription>,
    resources: HashMap<Resource, Following>,
    connected: bool,
    /// To be asked for, in the order in which they came.
    asked: BTreeMap<u64, Resource>,
    next_asked: u64,
    /// A question is under way.
    asking: bool,
    ask_at: Option<Duration>,
    unfollow: Vec<Resource>,
    /// Due to be updated, each since when.
    due: BTreeSet<(Duration, SubscriptionId)>,
    running: usize,
    /// Of the resources those that this node publishes.
    own: usize,
    /// Resources in one question.
    batch: usize,
    /// Of the random numbers: the next one's state.
    random: u64,
}

#[derive(Debug)]
struct Subscription {
    resource: Resource,
    held: Option<RecordRank>,
    paused: bool,
    held_back: Option<RecordHash>,
    running: bool,
    due: Option<Duration>,
    failures: u32,
}

/// A resource, and who wants it.
#[derive(Debug, Default)]
struct Following {
    wanted_by: BTreeSet<SubscriptionId>,
    /// What this node publishes of it.
    own: Option<RecordHash>,
    newest: Option<(RecordRank, bool)>,
    /// Its place in `asked`.
    asked: Option<u64>,
}

impl Engine {
    /// With no subscription. At most `batch` resources are asked for at once.
    pub(crate) fn new(batch: usize, seed: u64) -> Self {
        Self {
            all: BTreeMap::new(),
            resources: HashMap::new(),
            connected: false,
            asked: BTreeMap::new(),
            next_asked: 0,
            asking: false,
            ask_at: None,
            unfollow: Vec::new(),
            due: BTreeSet::new(),
            running: 0,
            own: 0,
            batch,
            random: seed,
        }
    }

    /// Takes in what happened.
    pub(crate) fn handle(&mut self, now: Duration, event: Event) {
        match event {
            Event::Connected => self.connected(now),
            Event::Disconnected => self.disconnected(),
            Event::Added(id, begins) => self.added(now, id, begins),
            Event::Own(resource, record) => self.own(resource, record),
            Event::Removed(id) => self.removed(id),
            Event::Paused(id, paused) => self.change(now, id, |one| one.paused = paused),
            Event::Accepted(id) => self.change(now, id, |one| one.held_back = None),
            Event::Current { resource, rank, gone } => self.current(now, &resource, rank, gone),
            Event::Same(resource) => self.same(now, &resource),
            Event::Followed => self.asking = false,
            Event::NotFollowed(resources) => self.not_followed(now, resources),
            Event::Ended(id, end) => self.ended(now, id, end),
        }
    }

    /// What is to be done now; to be asked until there is nothing.
    pub(crate) fn poll(&mut self, now: Duration) -> Option<Action> {
        if self.connected {
            if let Some(resource) = self.unfollow.pop() {
                return Some(Action::Unfollow(resource));
            }
            if let Some(batch) = self.next_question(now) {
                return Some(Action::Follow(batch));
            }
        }
        self.next_update(now)
    }

    /// When [`Engine::poll`] may have something without a further event.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let update = self.due.first().map(|(at, _)| *at).filter(|_| self.running < AT_ONCE);
        let ask = self.ask_at.filter(|_| self.connected && !self.asking && !self.asked.is_empty());
        [update, ask].into_iter().flatten().min()
    }

    /// How it stands with one.
    pub(crate) fn standing(&self, id: SubscriptionId) -> Option<Standing> {
        let one = self.all.get(&id)?;
        let newest = self.resources.get(&one.resource).and_then(|resource| resource.newest);
        Some(match newest {
            Some((rank, true)) if one.held.is_none_or(|held| held < rank) => Standing::Unshared,
            _ if one.paused => Standing::Paused,
            _ if one.running => Standing::Updating,
            None => one.held.map_or(Standing::Unknown, |_| Standing::Current),
            Some((rank, _)) if one.held.is_some_and(|held| held >= rank) => Standing::Current,
            Some((rank, _)) if one.held_back == Some(rank.hash()) => Standing::HeldBack,
            Some(_) if one.failures > 0 => Standing::Retrying,
            Some(_) => Standing::Updating,
        })
    }

    /// The newest record of a resource that is known, and whether it is a tombstone.
    pub(crate) fn newest(&self, resource: &Resource) -> Option<(RecordRank, bool)> {
        self.resources.get(resource)?.newest
    }

    /// Whether anything here is subscribed to a resource.
    pub(crate) fn is_wanted(&self, resource: &Resource) -> bool {
        self.resources.get(resource).is_some_and(|following| !following.wanted_by.is_empty())
    }

    /// The record of a resource that the index need not send: the highest that is known or held, or the one that this node
    /// publishes.
    pub(crate) fn known(&self, resource: &Resource) -> Option<RecordHash> {
        let own = || self.resources.get(resource)?.own;
        self.highest(resource).map(|rank| rank.hash()).or_else(own)
    }

    fn highest(&self, resource: &Resource) -> Option<RecordRank> {
        let following = self.resources.get(resource)?;
        let held = following.wanted_by.iter().filter_map(|id| self.all.get(id)?.held).max();
        following.newest.map(|(newest, _)| newest).max(held)
    }

    fn connected(&mut self, now: Duration) {
        self.connected = true;
        self.asking = false;
        self.ask_at = None;
        self.unfollow.clear();
        let all: Vec<Resource> = self.resources.keys().cloned().collect();
        all.into_iter().for_each(|resource| self.ask(resource));
        // Whoever could not be reached may be there, too.
        let failed: Vec<_> = self.all.iter().filter(|(_, one)| one.failures > 0).map(|(id, _)| *id).collect();
        for id in failed {
            self.change(now, id, |one| one.failures = 0);
        }
    }

    fn disconnected(&mut self) {
        self.connected = false;
        self.asking = false;
    }

    fn added(&mut self, now: Duration, id: SubscriptionId, begins: Begins) {
        let Begins { resource, held, paused, held_back } = begins;
        let running = self.all.get(&id).is_some_and(|one| one.running);
        let before = self.all.get(&id).and_then(|one| one.due);
        before.map(|at| self.due.remove(&(at, id)));
        let one = Subscription {
            resource: resource.clone(),
            held,
            paused,
            held_back,
            running,
            due: None,
            failures: 0,
        };
        self.all.insert(id, one);
        self.resources.entry(resource.clone()).or_default().wanted_by.insert(id);
        self.unfollow.retain(|other| *other != resource);
        self.ask(resource);
        self.consider(now, id);
    }

    fn own(&mut self, resource: Resource, record: RecordHash) {
        let known = self.resources.get(&resource).is_some_and(|following| following.own.is_some());
        if !known {
            if self.own >= OWN {
                return;
            }
            self.own += 1;
        }
        self.resources.entry(resource.clone()).or_default().own = Some(record);
        if !known {
            self.unfollow.retain(|other| *other != resource);
            self.ask(resource);
        }
    }

    fn removed(&mut self, id: SubscriptionId) {
        let Some(one) = self.all.remove(&id) else { return };
        one.due.map(|at| self.due.remove(&(at, id)));
        if one.running {
            self.running -= 1;
        }
        let Some(following) = self.resources.get_mut(&one.resource) else { return };
        following.wanted_by.remove(&id);
        if following.wanted_by.is_empty() && following.own.is_none() {
            following.asked.map(|place| self.asked.remove(&place));
            self.resources.remove(&one.resource);
            if self.connected {
                self.unfollow.push(one.resource);
            }
        }
    }

    fn current(&mut self, now: Duration, resource: &Resource, rank: RecordRank, gone: bool) {
        let Some(following) = self.resources.get_mut(resource) else { return };
        if following.newest.is_some_and(|(newest, _)| newest >= rank) {
            return;
        }
        following.newest = Some((rank, gone));
        for id in following.wanted_by.clone() {
            // What stood in the way of an older version need not stand in the way of this one.
            self.change(now, id, |one| one.failures = 0);
        }
    }

    fn same(&mut self, now: Duration, resource: &Resource) {
        // Of several subscriptions to one resource some may hold less.
        if let Some(held) = self.highest(resource) {
            self.current(now, resource, held, false);
        }
    }

    fn not_followed(&mut self, now: Duration, resources: Vec<Resource>) {
        self.asking = false;
        self.ask_at = Some(now + half_random(&mut self.random, ASK_AGAIN));
        resources.into_iter().for_each(|resource| self.ask(resource));
    }

    fn ended(&mut self, now: Duration, id: SubscriptionId, end: End) {
        let Some(one) = self.all.get_mut(&id).filter(|one| one.running) else { return };
        one.running = false;
        self.running -= 1;
        match end {
            End::Installed(rank) => {
                one.held = one.held.max(Some(rank));
                one.failures = 0;
                let resource = one.resource.clone();
                // It may have gone over to a version that nobody has told of yet.
                self.current(now, &resource, rank, false);
            }
            End::Failed => one.failures = one.failures.saturating_add(1),
            End::HeldBack(record) => one.held_back = Some(record),
            // Whoever stopped it says what follows.
            End::Stopped => return,
        }
        self.consider(now, id);
    }

    fn change(&mut self, now: Duration, id: SubscriptionId, change: impl FnOnce(&mut Subscription)) {
        if let Some(one) = self.all.get_mut(&id) {
            change(one);
            one.due.take().map(|at| self.due.remove(&(at, id)));
            self.consider(now, id);
        }
    }

    /// Makes it due, if there is something to do for it.
    fn consider(&mut self, now: Duration, id: SubscriptionId) {
        let Some(one) = self.all.get_mut(&id) else { return };
        let newest = self.resources.get(&one.resource).and_then(|resource| resource.newest);
        let Some((rank, false)) = newest else { return };
        let wanted = one.held.is_none_or(|held| held < rank) && one.held_back != Some(rank.hash());
        if one.running || one.paused || one.due.is_some() || !wanted {
            return;
        }
        let at = match one.failures {
            0 => now,
            failures => {
                now + half_random(&mut self.random, (FIRST * (1 << (failures - 1).min(16))).min(LONGEST))
            }
        };
        one.due = Some(at);
        self.due.insert((at, id));
    }

    fn next_update(&mut self, now: Duration) -> Option<Action> {
        let (at, id) = *self.due.first()?;
        if at > now || self.running >= AT_ONCE {
            return None;
        }
        self.due.remove(&(at, id));
        let one = self.all.get_mut(&id)?;
        one.due = None;
        one.running = true;
        self.running += 1;
        let (rank, _) = self.resources.get(&one.resource)?.newest?;
        Some(Action::Update(id, rank))
    }

    fn ask(&mut self, resource: Resource) {
        let Some(following) = self.resources.get_mut(&resource) else { return };
        if following.asked.is_none() {
            following.asked = Some(self.next_asked);
            self.asked.insert(self.next_asked, resource);
            self.next_asked += 1;
        }
    }

    fn next_question(&mut self, now: Duration) -> Option<Vec<Resource>> {
        if self.asking || self.asked.is_empty() || self.ask_at.is_some_and(|at| at > now) {
            return None;
        }
        let mut batch = Vec::new();
        while batch.len() < self.batch
            && let Some((_, resource)) = self.asked.pop_first()
        {
            if let Some(following) = self.resources.get_mut(&resource) {
                following.asked = None;
                batch.push(resource);
            }
        }
        self.ask_at = None;
        self.asking = true;
        Some(batch)
    }
}

/// From half of it to all of it.
fn half_random(state: &mut u64, all: Duration) -> Duration {
    *state = state.wrapping_add(1);
    all / 2 + (all / 2).mul_f64((mix(*state) >> 11) as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests;
