//! Subscriptions: a resource that was downloaded stays up to date.
//!
//! | concept | file |
//! | --- | --- |
//! | which subscription is followed, updated, left alone, and when: pure | `engine` |
//! | an owner's mass change, which waits for the user: pure | `guard` |
//!
//! What they decide is done in `ops/updates`; what is durable of them is in `store/subscriptions`.

pub(crate) mod engine;
pub(crate) mod guard;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use wire::{RecordHash, RecordRank, limits};

use self::engine::{Action, Begins, Engine, Event, Resource, Standing};
use crate::clock;
use crate::control::Code;
use crate::store::{Subscription, SubscriptionId};

/// All subscriptions of a running node, on its clock. Whoever tells something wakes who acts.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    engine: Mutex<Engine>,
    began: Instant,
    wake: Notify,
    /// Woken when this node is enrolled: the index may be listened to.
    pub(crate) enrolled: Notify,
    /// What was told of those whose last update failed.
    failed: Mutex<HashMap<SubscriptionId, Code>>,
}

impl Subscriptions {
    /// With none yet.
    pub(crate) fn new(seed: u64) -> Self {
        let engine = Mutex::new(Engine::new(limits::BATCH_RECORDS, seed));
        Self {
            engine,
            began: clock::monotonic(),
            wake: Notify::new(),
            enrolled: Notify::new(),
            failed: Mutex::default(),
        }
    }

    /// Takes in what happened.
    pub(crate) fn tell(&self, event: Event) {
        let now = self.now();
        self.engine().handle(now, event);
        self.wake.notify_one();
    }

    /// There is this subscription, or it is not as it was.
    pub(crate) fn tell_of(&self, one: &Subscription) {
        let begins = Begins {
            resource: (one.account, one.name.clone()),
            held: one.held.map(|held| held.rank),
            paused: one.paused,
            held_back: one.held_back.as_ref().map(|(record, _)| *record),
        };
        self.tell(Event::Added(one.id, begins));
    }

    /// What is to be done now.
    pub(crate) fn poll(&self) -> Option<Action> {
        let now = self.now();
        self.engine().poll(now)
    }

    /// Until there may be something to do.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn wait(&self) {
        let deadline = self.engine().next_deadline().map(|at| self.began + at);
        match deadline {
            Some(at) => {
                let _ = tokio::time::timeout_at(at.into(), self.wake.notified()).await;
            }
            None => self.wake.notified().await,
        }
    }

    /// An update failed so; whether that is news.
    pub(crate) fn failed(&self, id: SubscriptionId, code: Code) -> bool {
        self.failures().insert(id, code) != Some(code)
    }

    /// An update succeeded.
    pub(crate) fn succeeded(&self, id: SubscriptionId) {
        self.failures().remove(&id);
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<SubscriptionId, Code>> {
        self.failed.lock().expect("no panic while it is held")
    }

    /// See [`Engine::standing`].
    pub(crate) fn standing(&self, id: SubscriptionId) -> Option<Standing> {
        self.engine().standing(id)
    }

    /// See [`Engine::newest`].
    pub(crate) fn newest(&self, resource: &Resource) -> Option<(RecordRank, bool)> {
        self.engine().newest(resource)
    }

    /// See [`Engine::is_wanted`].
    pub(crate) fn is_wanted(&self, resource: &Resource) -> bool {
        self.engine().is_wanted(resource)
    }

    /// See [`Engine::known`], for each of these.
    pub(crate) fn known(&self, resources: &[Resource]) -> Vec<Option<RecordHash>> {
        let engine = self.engine();
        resources.iter().map(|resource| engine.known(resource)).collect()
    }

    fn now(&self) -> Duration {
        clock::monotonic().saturating_duration_since(self.began)
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().expect("no panic while it is held")
    }
}
