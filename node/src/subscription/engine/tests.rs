use std::collections::{BTreeMap, BinaryHeap, HashSet};

use super::*;
use crate::rng::Rng;

const ACCOUNT: AccountId = AccountId::from_bytes([7; 16]);
/// Resources in one question: less than there are.
const BATCH: usize = 3;

fn resource(number: u64) -> Resource {
    (ACCOUNT, format!("r{number}").parse().expect("a name"))
}

fn rank(version: u64, seed: u64) -> RecordRank {
    let mut bytes = [0; 56];
    bytes[..8].copy_from_slice(&version.to_be_bytes());
    bytes[24..32].copy_from_slice(&version.to_be_bytes());
    bytes[32..40].copy_from_slice(&seed.to_be_bytes());
    RecordRank::from_bytes(&bytes)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn begins(number: u64, held: Option<RecordRank>) -> Begins {
    Begins { resource: resource(number), held, paused: false, held_back: None }
}

fn connected() -> Engine {
    let mut engine = Engine::new(BATCH, 1);
    engine.handle(Duration::ZERO, Event::Connected);
    engine
}

/// An engine that follows one resource of which version 1 is held.
fn following(id: SubscriptionId) -> Engine {
    let mut engine = connected();
    engine.handle(Duration::ZERO, Event::Added(id, begins(0, Some(rank(1, 0)))));
    assert_eq!(engine.poll(Duration::ZERO), Some(Action::Follow(vec![resource(0)])));
    engine.handle(Duration::ZERO, Event::Same(resource(0)));
    engine.handle(Duration::ZERO, Event::Followed);
    engine
}

fn told(engine: &mut Engine, version: u64) {
    let (resource, rank) = (resource(0), rank(version, 0));
    engine.handle(Duration::ZERO, Event::Current { resource, rank, gone: false });
}

#[test]
fn a_newer_version_is_fetched_and_an_older_one_is_not() {
    let id = SubscriptionId(1);
    let mut engine = following(id);
    assert_eq!((engine.poll(Duration::ZERO), engine.standing(id)), (None, Some(Standing::Current)));
    told(&mut engine, 3);
    told(&mut engine, 2);
    assert_eq!(engine.poll(Duration::ZERO), Some(Action::Update(id, rank(3, 0))));
    assert_eq!((engine.poll(Duration::ZERO), engine.standing(id)), (None, Some(Standing::Updating)));
    engine.handle(Duration::ZERO, Event::Ended(id, End::Installed(rank(3, 0))));
    assert_eq!((engine.poll(Duration::ZERO), engine.standing(id)), (None, Some(Standing::Current)));
}

#[test]
fn what_comes_during_an_update_is_fetched_after_it() {
    let id = SubscriptionId(1);
    let mut engine = following(id);
    told(&mut engine, 2);
    assert_eq!(engine.poll(Duration::ZERO), Some(Action::Update(id, rank(2, 0))));
    told(&mut engine, 3);
    assert_eq!(engine.poll(Duration::ZERO), None);
    engine.handle(Duration::ZERO, Event::Ended(id, End::Installed(rank(2, 0))));
    assert_eq!(engine.poll(Duration::ZERO), Some(Action::Update(id, rank(3, 0))));
}

#[test]
fn one_that_failed_is_tried_later_and_later_and_at_once_where_a_newer_one_comes() {
    let id = SubscriptionId(1);
    let mut engine = following(id);
    told(&mut engine, 2);
    let mut now = Duration::ZERO;
    for wait in [2, 4, 8] {
        assert_eq!(engine.poll(now), Some(Action::Update(id, rank(2, 0))));
        engine.handle(now, Event::Ended(id, End::Failed));
        assert_eq!((engine.poll(now), engine.standing(id)), (None, Some(Standing::Retrying)));
        let due = engine.next_deadline().expect("it is tried again");
        assert!(due - now <= secs(wait) && due - now >= secs(wait) / 2, "{:?}", due - now);
        now = due;
    }
    assert_eq!(engine.poll(now), Some(Action::Update(id, rank(2, 0))));
    engine.handle(now, Event::Ended(id, End::Failed));
    engine.handle(now, Event::Current { resource: resource(0), rank: rank(3, 0), gone: false });
    assert_eq!(engine.poll(now), Some(Action::Update(id, rank(3, 0))));
}

#[test]
fn one_that_is_held_back_waits_for_its_user_or_for_the_next_version() {
    let id = SubscriptionId(1);
    let mut engine = following(id);
    told(&mut engine, 2);
    assert!(engine.poll(Duration::ZERO).is_some());
    engine.handle(Duration::ZERO, Event::Ended(id, End::HeldBack(rank(2, 0).hash())));
    assert_eq!((engine.poll(secs(1000)), engine.standing(id)), (None, Some(Standing::HeldBack)));
    engine.handle(secs(1000), Event::Accepted(id));
    assert_eq!(engine.poll(secs(1000)), Some(Action::Update(id, rank(2, 0))));
    engine.handle(secs(1000), Event::Ended(id, End::HeldBack(rank(2, 0).hash())));
    told(&mut engine, 3);
    assert_eq!(engine.poll(secs(1000)), Some(Action::Update(id, rank(3, 0))));
}

#[test]
fn what_is_gone_stays_where_it_is_until_it_is_shared_again() {
    let id = SubscriptionId(1);
    let mut engine = following(id);
    engine.handle(Duration::ZERO, Event::Current { resource: resource(0), rank: rank(2, 0), gone: true });
    assert_eq!((engine.poll(Duration::ZERO), engine.standing(id)), (None, Some(Standing::Unshared)));
    told(&mut engine, 3);
    assert_eq!(engine.poll(Duration::ZERO), Some(Action::Update(id, rank(3, 0))));
}

#[test]
fn the_last_one_to_leave_a_resource_ends_that_it_is_followed() {
    let (one, other) = (SubscriptionId(1), SubscriptionId(2));
    let mut engine = following(one);
    engine.handle(Duration::ZERO, Event::Added(other, begins(0, None)));
    assert_eq!(engine.poll(Duration::ZERO), Some(Action::Follow(vec![resource(0)])));
    assert_eq!(engine.poll(Duration::ZERO), Some(Action::Update(other, rank(1, 0))), "another place has it");
    engine.handle(Duration::ZERO, Event::Removed(one));
    assert_eq!(engine.poll(Duration::ZERO), None);
    engine.handle(Duration::ZERO, Event::Removed(other));
    assert_eq!(engine.poll(Duration::ZERO), Some(Action::Unfollow(resource(0))));
    engine.handle(Duration::ZERO, Event::Ended(other, End::Failed));
    assert_eq!((engine.poll(secs(1000)), engine.running), (None, 0));
}

#[test]
fn what_this_node_publishes_is_followed_once_and_never_updated() {
    let mut engine = connected();
    let own = |engine: &mut Engine, version| {
        engine.handle(Duration::ZERO, Event::Own(resource(0), rank(version, 0).hash()));
    };
    own(&mut engine, 1);
    assert_eq!(engine.poll(Duration::ZERO), Some(Action::Follow(vec![resource(0)])));
    assert_eq!(engine.known(&resource(0)), Some(rank(1, 0).hash()));
    engine.handle(Duration::ZERO, Event::Followed);
    own(&mut engine, 2);
    told(&mut engine, 3);
    assert_eq!((engine.poll(secs(1000)), engine.newest(&resource(0))), (None, Some((rank(3, 0), false))));
    engine.handle(Duration::ZERO, Event::Added(SubscriptionId(1), begins(0, Some(rank(3, 0)))));
    engine.handle(Duration::ZERO, Event::Removed(SubscriptionId(1)));
    assert_eq!(engine.poll(Duration::ZERO), Some(Action::Follow(vec![resource(0)])));
    engine.handle(Duration::ZERO, Event::Disconnected);
    engine.handle(Duration::ZERO, Event::Connected);
    assert_eq!(engine.poll(Duration::ZERO), Some(Action::Follow(vec![resource(0)])), "it is still followed");
}

/// What is on its way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Soon {
    /// From the index, on the connection with this number: pushed, or answered.
    Told(u64, u64, RecordRank, bool),
    /// The index takes a question, answers it, or does not.
    Asked(u64, Vec<(u64, Option<RecordHash>)>),
    Answered(u64, bool, Vec<u64>),
    /// An update of this run of the node ends.
    Ends(u64, SubscriptionId, RecordRank),
    /// Something happens to the world.
    Change,
    /// The node notices that the connection ended, or has another.
    Connects(u64),
}

/// A node with its subscriptions, and an index, with what happens to both.
struct World {
    rng: Rng,
    now: Duration,
    soon: BinaryHeap<std::cmp::Reverse<(Duration, u64, Soon)>>,
    serial: u64,
    engine: Engine,
    /// What the node's database has.
    durable: BTreeMap<SubscriptionId, Begins>,
    running: HashSet<SubscriptionId>,
    run: u64,
    /// What the index lists.
    index: BTreeMap<u64, (RecordRank, bool)>,
    /// What the owners published last, whatever the index lists.
    published: BTreeMap<u64, (RecordRank, bool)>,
    followed: HashSet<u64>,
    connection: u64,
    is_connected: bool,
    /// Nothing bad happens any more.
    calm: bool,
    resources: u64,
    updates: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let resources = rng.between(1, 6);
        let mut durable = BTreeMap::new();
        for id in 0..rng.between(1, 20) {
            durable.insert(SubscriptionId(id), begins(rng.between(0, resources - 1), None));
        }
        let engine = Engine::new(BATCH, seed);
        let mut world = Self {
            rng,
            now: Duration::ZERO,
            soon: BinaryHeap::new(),
            serial: 0,
            engine,
            durable,
            running: HashSet::new(),
            run: 0,
            index: BTreeMap::new(),
            published: BTreeMap::new(),
            followed: HashSet::new(),
            connection: 0,
            is_connected: false,
            calm: false,
            resources,
            updates: 0,
        };
        world.restart_node();
        world
    }

    fn later(&mut self, most_ms: u64, soon: Soon) {
        let at = self.now + Duration::from_millis(self.rng.between(0, most_ms));
        self.serial += 1;
        self.soon.push(std::cmp::Reverse((at, self.serial, soon)));
    }

    /// Its memory is gone; what is durable is there.
    fn restart_node(&mut self) {
        self.run += 1;
        self.running.clear();
        self.engine = Engine::new(BATCH, self.rng.next());
        for (id, begins) in self.durable.clone() {
            self.engine.handle(self.now, Event::Added(id, begins));
        }
        self.cut();
    }

    /// The connection ends, and the node makes another.
    fn cut(&mut self) {
        self.connection += 1;
        self.followed.clear();
        if std::mem::take(&mut self.is_connected) {
            self.engine.handle(self.now, Event::Disconnected);
        }
        self.later(20_000, Soon::Connects(self.connection));
    }

    fn publish(&mut self, number: u64) {
        let seed = self.rng.next();
        let last = self.published.get(&number).map_or(0, |(rank, _)| rank.version());
        // Another machine of the owner did not know the last version yet.
        let version = if self.rng.chance(0.2) { last.max(1) } else { last + 1 };
        let new = (rank(version, seed), self.rng.chance(0.1));
        let highest = self.published.entry(number).or_insert(new);
        *highest = new.max(*highest);
        self.index_takes(number, new);
    }

    fn index_takes(&mut self, number: u64, new: (RecordRank, bool)) {
        if self.index.get(&number).is_some_and(|current| *current >= new) {
            return;
        }
        self.index.insert(number, new);
        if self.followed.contains(&number) {
            self.later(300, Soon::Told(self.connection, number, new.0, new.1));
        }
    }

    fn change(&mut self) {
        let number = self.rng.between(0, self.resources - 1);
        let ids: Vec<_> = self.durable.keys().copied().collect();
        let id = ids[self.rng.between(0, ids.len() as u64 - 1) as usize];
        match self.rng.between(0, 12) {
            0..=4 => self.publish(number),
            5 => self.restart_node(),
            6 | 7 => self.cut(),
            // The index has lost its database; owners tell it again, sooner or later.
            8 => {
                self.index.clear();
                self.cut();
            }
            9 => {
                for (number, last) in self.published.clone() {
                    self.index_takes(number, last);
                }
            }
            10 => {
                let paused = self.rng.chance(0.5);
                self.durable.get_mut(&id).expect("it is there").paused = paused;
                self.engine.handle(self.now, Event::Paused(id, paused));
            }
            11 => self.accept(id),
            _ => {
                let held = self.durable[&id].held;
                let at = self.durable[&id].resource.clone();
                self.durable.insert(id, Begins { held, paused: false, held_back: None, resource: at });
                self.engine.handle(self.now, Event::Added(id, self.durable[&id].clone()));
            }
        }
    }

    fn accept(&mut self, id: SubscriptionId) {
        self.durable.get_mut(&id).expect("it is there").held_back = None;
        self.engine.handle(self.now, Event::Accepted(id));
    }

    fn happens(&mut self, soon: Soon) {
        match soon {
            Soon::Change => self.change(),
            Soon::Connects(connection) if connection == self.connection => {
                self.is_connected = true;
                self.engine.handle(self.now, Event::Connected);
            }
            Soon::Told(connection, number, rank, gone) if connection == self.connection => {
                self.engine.handle(self.now, Event::Current { resource: resource(number), rank, gone });
            }
            Soon::Asked(connection, asked) if connection == self.connection => self.is_asked(asked),
            Soon::Answered(connection, answered, asked) if connection == self.connection => {
                let event = match answered {
                    true => Event::Followed,
                    false => Event::NotFollowed(asked.into_iter().map(resource).collect()),
                };
                self.engine.handle(self.now, event);
            }
            Soon::Ends(run, id, rank) if run == self.run => self.update_ends(id, rank),
            _ => {}
        }
    }

    fn is_asked(&mut self, asked: Vec<(u64, Option<RecordHash>)>) {
        let numbers: Vec<_> = asked.iter().map(|(number, _)| *number).collect();
        if !self.calm && self.rng.chance(0.1) {
            // Busy, or the answer took too long.
            let answer = Soon::Answered(self.connection, false, numbers);
            return self.later(5000, answer);
        }
        for (number, known) in asked {
            self.followed.insert(number);
            match self.index.get(&number).copied() {
                Some((rank, _)) if Some(rank.hash()) == known => {
                    self.engine.handle(self.now, Event::Same(resource(number)));
                }
                Some((rank, gone)) => {
                    self.engine.handle(self.now, Event::Current { resource: resource(number), rank, gone });
                }
                None => {}
            }
        }
        self.later(300, Soon::Answered(self.connection, true, numbers));
    }

    fn update_ends(&mut self, id: SubscriptionId, wanted: RecordRank) {
        assert!(self.running.remove(&id));
        let begins = self.durable.get_mut(&id).expect("it is there");
        let end = match self.rng.between(0, 9) {
            0..=2 if !self.calm => End::Failed,
            3 if !self.calm => {
                begins.held_back = Some(wanted.hash());
                End::HeldBack(wanted.hash())
            }
            4 if !self.calm => End::Stopped,
            _ => {
                let number = (0..self.resources).find(|number| resource(*number) == begins.resource);
                let newest = number.and_then(|number| self.index.get(&number)).filter(|(_, gone)| !gone);
                // An update goes over to a newer version by itself.
                let rank = newest.map_or(wanted, |(rank, _)| wanted.max(*rank));
                assert!(begins.held < Some(rank), "a version that is held was fetched");
                begins.held = Some(rank);
                End::Installed(rank)
            }
        };
        self.engine.handle(self.now, Event::Ended(id, end));
        if end == End::Stopped {
            // Its user goes on with it.
            let begins = self.durable[&id].clone();
            self.engine.handle(self.now, Event::Added(id, begins));
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.engine.poll(self.now) {
            match action {
                Action::Follow(resources) => {
                    assert!(self.is_connected && resources.len() <= BATCH && !resources.is_empty());
                    let known = |at: &Resource| {
                        let number = (0..self.resources).find(|number| resource(*number) == *at);
                        (number.expect("one of them"), self.engine.known(at))
                    };
                    let asked = resources.iter().map(known).collect();
                    self.later(300, Soon::Asked(self.connection, asked));
                }
                Action::Unfollow(at) => panic!("{at:?} is still wanted"),
                Action::Update(id, rank) => {
                    assert!(self.running.insert(id), "{id:?} runs already");
                    assert!(self.running.len() <= AT_ONCE);
                    let begins = &self.durable[&id];
                    assert!(begins.held < Some(rank) && !begins.paused, "{begins:?}");
                    self.updates += 1;
                    self.later(20_000, Soon::Ends(self.run, id, rank));
                }
            }
        }
    }

    /// Until nothing is left to happen, at most for so long.
    fn run(&mut self, most: Duration) {
        let end = self.now + most;
        loop {
            self.act();
            let next = self.soon.peek().map(|next| next.0.0);
            let deadline = self.engine.next_deadline();
            assert!(deadline.is_none_or(|at| at > self.now), "due and not done");
            let Some(at) = [next, deadline].into_iter().flatten().min() else { return };
            assert!(at <= end, "it does not come to an end");
            self.now = at;
            while self.soon.peek().is_some_and(|next| next.0.0 <= self.now) {
                let std::cmp::Reverse((_, _, soon)) = self.soon.pop().expect("there is one");
                self.happens(soon);
                self.act();
            }
        }
    }

    /// All faults end, everybody says what there is, users accept and go on.
    fn settle(&mut self) {
        self.calm = true;
        for (number, last) in self.published.clone() {
            self.index_takes(number, last);
        }
        for id in self.durable.keys().copied().collect::<Vec<_>>() {
            self.durable.get_mut(&id).expect("it is there").paused = false;
            self.engine.handle(self.now, Event::Paused(id, false));
            self.accept(id);
        }
        self.run(secs(3600));
    }
}

#[test]
fn every_subscription_ends_at_the_newest_version() {
    let mut updates = 0;
    for seed in 0..2000 {
        let mut world = World::new(seed);
        let changes = world.rng.between(1, 60);
        for _ in 0..changes {
            world.later(changes * 3000, Soon::Change);
        }
        world.run(secs(3600));
        world.settle();
        for (id, begins) in &world.durable {
            let number = (0..world.resources).find(|number| resource(*number) == begins.resource);
            let newest = world.published.get(&number.expect("one of them")).copied();
            let standing = world.engine.standing(*id);
            match newest {
                Some((rank, false)) => {
                    assert_eq!(begins.held, Some(rank), "{id:?}, seed {seed}");
                    assert_eq!(standing, Some(Standing::Current), "seed {seed}");
                }
                Some((rank, true)) => {
                    assert!(begins.held < Some(rank), "seed {seed}");
                    assert_eq!(standing, Some(Standing::Unshared), "seed {seed}");
                }
                None => assert_eq!((begins.held, standing), (None, Some(Standing::Unknown)), "seed {seed}"),
            }
        }
        updates += world.updates;
    }
    assert!(updates > 10_000, "only {updates}");
}
