//! What a node does without the index: whom it asks, its copy of what all members share, and how that is kept.
//!
//! | concept | file |
//! | --- | --- |
//! | whom to ask: the index, or the copy; pure | `discovery` |
//! | that, kept true: time passes, the index is asked whether it is back | `watch` |
//! | a question, and who answers it | `ask` |

mod ask;
pub(crate) mod discovery;
mod watch;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use certs::UnixMillis;
use tokio::sync::{Notify, watch as channel};

use self::discovery::{Discovery, Event, Using};
pub(crate) use self::watch::keep_discovery;
use crate::clock::{self, Clock};
use crate::control::api::Source;
use crate::options::FallbackOptions;

/// For so long after other members brought the copy up to date its answers are theirs, not a memory.
const FRESH_MS: u64 = 60_000;

/// The fallback of a node.
#[derive(Debug)]
pub(crate) struct Fallback {
    options: FallbackOptions,
    clock: Arc<Clock>,
    began: Instant,
    /// `None` where the index is always asked: at the index itself, and where the fallback is off.
    discovery: Option<Mutex<Discovery>>,
    using: channel::Sender<Using>,
    /// Woken when the discovery's deadline may be another one, or the index may be asked whether it is back.
    changed: Notify,
    /// When the copy was last brought up to date, by whomever; 0 for never.
    refreshed_ms: AtomicU64,
    /// The same, by a member that is not the index.
    by_members_ms: AtomicU64,
}

impl Fallback {
    /// As a node starts. At the index (`is_index`) answers come from the index always.
    pub(crate) fn new(options: FallbackOptions, is_index: bool, clock: Arc<Clock>, seed: u64) -> Self {
        let discovery = || Mutex::new(Discovery::new(Duration::ZERO, seed));
        Self {
            discovery: (options.enabled && !is_index).then(discovery),
            options,
            clock,
            began: clock::monotonic(),
            using: channel::Sender::new(Using::Index),
            changed: Notify::new(),
            refreshed_ms: AtomicU64::new(0),
            by_members_ms: AtomicU64::new(0),
        }
    }

    /// What it was started with.
    pub(crate) const fn options(&self) -> &FallbackOptions {
        &self.options
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

    /// Whom to ask, for those who want to hear when that changes.
    pub(crate) fn subscribe(&self) -> channel::Receiver<Using> {
        self.using.subscribe()
    }

    /// Why, for people; `None` where there is no fallback.
    pub(crate) fn why(&self) -> Option<String> {
        self.discovery().map(|discovery| discovery.why(self.now()))
    }

    /// Where answers come from now.
    pub(crate) fn source(&self) -> Source {
        match self.using() {
            Using::Index => Source::Index,
            Using::Copy => self.source_of_copy(),
        }
    }

    /// What the copy's answers are.
    pub(crate) fn source_of_copy(&self) -> Source {
        let by_members = self.by_members_ms.load(Ordering::Relaxed);
        match self.clock.now().0.saturating_sub(by_members) <= FRESH_MS {
            true => Source::Dht,
            false => Source::Cache,
        }
    }

    /// How old answers are now: 0 from the index.
    pub(crate) fn age_seconds(&self) -> u64 {
        match self.using() {
            Using::Index => 0,
            Using::Copy => self.age_of_copy().unwrap_or(0),
        }
    }

    /// How long ago the copy was brought up to date, in seconds.
    pub(crate) fn age_of_copy(&self) -> Option<u64> {
        let refreshed = self.refreshed_ms.load(Ordering::Relaxed);
        (refreshed > 0).then(|| self.clock.now().0.saturating_sub(refreshed) / 1000)
    }

    /// The copy was just brought up to date, by the index or another member.
    pub(crate) fn refreshed(&self, by_index: bool) {
        let now = self.clock.now().0;
        self.refreshed_ms.fetch_max(now, Ordering::Relaxed);
        if !by_index {
            self.by_members_ms.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// When the copy was last brought up to date, to be remembered over a restart.
    pub(crate) fn refreshed_at(&self) -> UnixMillis {
        UnixMillis(self.refreshed_ms.load(Ordering::Relaxed))
    }

    /// What was remembered of that.
    pub(crate) fn was_refreshed_at(&self, time: UnixMillis) {
        // A clock that was wrong then makes no copy new.
        self.refreshed_ms.fetch_max(time.0.min(self.clock.now().0), Ordering::Relaxed);
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

    fn now(&self) -> Duration {
        clock::monotonic().saturating_duration_since(self.began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fallback(enabled: bool, is_index: bool) -> Fallback {
        let options = FallbackOptions { enabled, ..FallbackOptions::default() };
        Fallback::new(options, is_index, Arc::new(Clock::new()), 1)
    }

    #[test]
    fn where_it_is_off_and_at_the_index_the_index_is_asked_always() {
        for (enabled, is_index, using) in
            [(true, false, Using::Copy), (false, false, Using::Index), (true, true, Using::Index)]
        {
            let fallback = fallback(enabled, is_index);
            (0..5).for_each(|_| fallback.tell(Event::Failed("no answer".to_owned())));
            assert_eq!(fallback.using(), using, "{enabled} {is_index}");
            assert_eq!(*fallback.subscribe().borrow(), using);
            assert_eq!(fallback.why().is_some(), using == Using::Copy);
        }
    }

    #[test]
    fn a_copy_that_members_keep_up_to_date_is_no_memory() {
        let fallback = fallback(true, false);
        (0..3).for_each(|_| fallback.tell(Event::Failed("no answer".to_owned())));
        assert_eq!((fallback.source(), fallback.age_of_copy()), (Source::Cache, None));
        fallback.was_refreshed_at(UnixMillis(fallback.clock.now().0 - 90_000));
        assert!(fallback.age_seconds() >= 90);
        fallback.refreshed(true);
        assert_eq!((fallback.source(), fallback.age_seconds()), (Source::Cache, 0));
        fallback.refreshed(false);
        assert_eq!(fallback.source(), Source::Dht);
    }
}
