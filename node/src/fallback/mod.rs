//! What a node does without the index: whom it asks, its copy of what all members share, and how that is kept.
//!
//! | concept | file |
//! | --- | --- |
//! | whom to ask: the index, or the copy; pure | `discovery` |
//! | that, kept true: time passes, the index is asked whether it is back | `watch` |
//! | a question, and who answers it | `ask` |
//! | the copy, opened | `copy` |
//! | what this node publishes and holds in it, its head, its presence | `own` |
//! | what becomes of a record while the index is away | `settle` |
//! | members that are connected for what is new | `neighbours`, found how: `peers` |
//! | what is told them and heard from them; whom what is told, pure | `gossip`; `told` |
//! | where the index is, said by it | `place` |

mod ask;
mod copy;
pub(crate) mod discovery;
mod gossip;
mod neighbours;
mod own;
mod peers;
mod place;
mod settle;
mod told;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::{Duration, Instant};

use index::Replica;
use tokio::sync::{Notify, mpsc, watch as channel};
use wire::message::{ENTRY_SOURCE_DHT, ENTRY_SOURCE_INDEX};

pub(crate) use self::ask::{Answered, Reach, Whom, is_away};
use self::discovery::{Discovery, Event, Using};
use self::gossip::{Busy, QUEUE, Spread};
use self::neighbours::Neighbours;
use self::told::Heard;
pub(crate) use self::watch::keep_discovery;
use crate::clock;
use crate::control::api::Source;
use crate::options::FallbackOptions;
use crate::peer::Shared;

/// The fallback of a node.
pub(crate) struct Fallback {
    options: FallbackOptions,
    began: Instant,
    /// `None` where the index is always asked: at the index itself, and where the fallback is off.
    discovery: Option<Mutex<Discovery>>,
    using: channel::Sender<Using>,
    /// Woken when the discovery's deadline may be another one, or the index may be asked whether it is back.
    changed: Notify,
    /// The copy of what all members share.
    replica: RwLock<Option<Replica>>,
    /// Woken when this node publishes or holds something else.
    own_changed: Notify,
    /// Woken when others may not know where this node is.
    say_again: Notify,
    /// Woken when this node is enrolled.
    enrolled: Notify,
    neighbours: Mutex<Neighbours>,
    /// Held while another one is remembered: the list is read and written.
    remembering: tokio::sync::Mutex<()>,
    /// Woken when this node tells something of its own that is new: a head, where it is, at the index a list of members.
    told_own: Notify,
    /// Woken when there may be others to be taken as neighbours, or need of them.
    look_for_neighbours: Notify,
    busy: Mutex<Busy>,
    heard: Mutex<Heard>,
    spread: mpsc::Sender<Spread>,
    /// Of those, for the task that tells them on.
    queue: Mutex<Option<mpsc::Receiver<Spread>>>,
}

impl Fallback {
    /// As a node starts. At the index (`is_index`) answers come from the index always.
    pub(crate) fn new(options: FallbackOptions, is_index: bool, seed: u64) -> Self {
        let discovery = || Mutex::new(Discovery::new(Duration::ZERO, seed));
        let (spread, queue) = mpsc::channel(QUEUE);
        Self {
            discovery: (options.enabled && !is_index).then(discovery),
            options,
            began: clock::monotonic(),
            using: channel::Sender::new(Using::Index),
            changed: Notify::new(),
            replica: RwLock::default(),
            own_changed: Notify::new(),
            say_again: Notify::new(),
            enrolled: Notify::new(),
            told_own: Notify::new(),
            neighbours: Mutex::new(Neighbours::new(seed)),
            remembering: tokio::sync::Mutex::default(),
            look_for_neighbours: Notify::new(),
            busy: Mutex::default(),
            heard: Mutex::default(),
            spread,
            queue: Mutex::new(Some(queue)),
        }
    }

    /// Takes in what happened with the index.
    pub(crate) fn tell(&self, event: Event) {
        let Some(mut discovery) = self.discovery() else { return };
        discovery.handle(self.now(), event);
        self.publish(&mut discovery);
        self.changed.notify_one();
    }

    /// Whom to ask now.
    pub(crate) fn using(&self) -> Using {
        self.discovery().map_or(Using::Index, |mut discovery| self.publish(&mut discovery))
    }

    /// Whether the index is asked.
    pub(crate) fn uses_index(&self) -> bool {
        self.using() == Using::Index
    }

    /// Whom to ask, for those who want to hear when that changes.
    pub(crate) fn subscribe(&self) -> channel::Receiver<Using> {
        self.using.subscribe()
    }

    /// Why, for people; `None` where there is no fallback.
    pub(crate) fn why(&self) -> Option<String> {
        self.discovery().map(|discovery| discovery.why(self.now()))
    }

    /// How many members hear at once what is new.
    pub(crate) fn neighbours_count(&self) -> usize {
        self.neighbours().all().len()
    }

    /// This node may publish or hold something else by now.
    pub(crate) fn note_own(&self) {
        self.own_changed.notify_one();
    }

    /// Waits until this node tells something of its own that is new; at once where it did since the last time.
    ///
    /// # Cancel safety
    /// Nothing is missed.
    pub(crate) async fn own_told(&self) {
        self.told_own.notified().await;
    }

    /// There are other members that this node may need, or that may need it.
    pub(crate) fn meet_others(&self) {
        self.look_for_neighbours.notify_one();
    }

    /// This node is enrolled, or has a copy now: others may be told of it.
    pub(crate) fn enrolled(&self) {
        self.own_changed.notify_one();
        self.say_again.notify_one();
        self.enrolled.notify_one();
        self.look_for_neighbours.notify_one();
    }

    /// Applies what time has changed, and tells of it.
    fn publish(&self, discovery: &mut Discovery) -> Using {
        let using = discovery.using(self.now());
        self.using.send_if_modified(|before| std::mem::replace(before, using) != using);
        using
    }

    fn discovery(&self) -> Option<MutexGuard<'_, Discovery>> {
        self.discovery.as_ref().map(|discovery| discovery.lock().expect("no panic while it is held"))
    }

    fn neighbours(&self) -> MutexGuard<'_, Neighbours> {
        self.neighbours.lock().expect("no panic while it is held")
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().expect("no panic while it is held")
    }

    fn busy(&self) -> MutexGuard<'_, Busy> {
        self.busy.lock().expect("no panic while it is held")
    }

    fn now(&self) -> Duration {
        clock::monotonic().saturating_duration_since(self.began)
    }
}

/// Starts the fallback's tasks. Where it is off there are none.
pub(crate) fn begin(shared: &Arc<Shared>) {
    let queue = shared.fallback.queue.lock().expect("no panic while it is held").take();
    let Some(queue) = queue.filter(|_| shared.fallback.options.enabled) else { return };
    let tasks = &shared.tasks;
    tasks.spawn_droppable(keep_discovery(shared.clone()));
    tasks.spawn_droppable(own::keep_own(shared.clone()));
    tasks.spawn_droppable(own::keep_present(shared.clone()));
    tasks.spawn_droppable(neighbours::keep_neighbours(shared.clone()));
    tasks.spawn_droppable(gossip::keep_compared(shared.clone()));
    tasks.spawn_droppable(gossip::keep_compared_with_index(shared.clone()));
    tasks.spawn_droppable(gossip::keep_spread(shared.clone(), queue));
    tasks.spawn_droppable(gossip::keep_members_told(shared.clone()));
    tasks.spawn_droppable(place::keep_place_said(shared.clone()));
}

impl Shared {
    /// Where answers come from now, and how old they are in seconds.
    pub(crate) fn origin(&self) -> (Source, u64) {
        match self.fallback.using() {
            Using::Index => (Source::Index, 0),
            Using::Copy => self.origin_of_copy(),
        }
    }

    /// The same of what the copy answers.
    pub(crate) fn origin_of_copy(&self) -> (Source, u64) {
        let origin = self.replica().map(|replica| replica.origin());
        origin.map_or((Source::Cache, 0), |origin| (source_of(origin.source), origin.age_ms / 1000))
    }
}

/// The source that an answer names.
pub(crate) fn source_of(source: &str) -> Source {
    match source {
        ENTRY_SOURCE_INDEX => Source::Index,
        ENTRY_SOURCE_DHT => Source::Dht,
        _ => Source::Cache,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_is_off_and_at_the_index_the_index_is_asked_always() {
        for (enabled, is_index, using) in
            [(true, false, Using::Copy), (false, false, Using::Index), (true, true, Using::Index)]
        {
            let options = FallbackOptions { enabled, ..FallbackOptions::default() };
            let fallback = Fallback::new(options, is_index, 1);
            (0..5).for_each(|_| fallback.tell(Event::Failed("no answer".to_owned())));
            assert_eq!(fallback.using(), using, "{enabled} {is_index}");
            assert_eq!(*fallback.subscribe().borrow(), using);
            assert_eq!(fallback.why().is_some(), using == Using::Copy);
        }
    }
}
