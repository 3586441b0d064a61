//! When something that changed is published. Pure: time is an argument.
//!
//! *Invariant: what changed is in `pending` until a publication that began after the change has ended well.* A resource
//! is published by one publication at a time; a change meanwhile leads to another one after it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::options::WatchTiming;

/// Publications that run at once. Each may read with two threads or more.
const RUNNING: usize = 2;

/// What changed, and what is to be done about it. Memory grows with what has changed and is not published yet.
#[derive(Debug)]
pub(super) struct Debounce<K> {
    timing: WatchTiming,
    pending: BTreeMap<K, Pending>,
    /// When each is due that is not being published.
    due: BTreeSet<(Instant, K)>,
    running: usize,
    rescan_at: Instant,
    unwatched_at: Instant,
    /// Whether a look at everything, or at the unwatched, has begun and not ended.
    looking: bool,
}

/// Something that changed.
#[derive(Debug)]
struct Pending {
    /// When, for the first and the last time since its last publication began; `None`: not again since then.
    changed: Option<(Instant, Instant)>,
    running: bool,
    /// Publications that failed one after the other.
    failures: u32,
    /// Not before this, after a failure.
    not_before: Option<Instant>,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<K> {
    /// This is to be published; [`Debounce::ended`] says what became of it.
    Publish(K),
    /// All that is watched is to be compared with how it was published.
    Rescan,
    /// The same for what the system does not watch for us.
    RescanUnwatched,
    /// Nothing before this, unless something is told.
    Wait(Instant),
}

/// What became of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It is published, or there was nothing to publish.
    Done,
    /// It changed meanwhile, or is still being written.
    Unsettled,
    /// It is to be tried again later.
    Failed,
}

impl<K: Ord + Clone> Debounce<K> {
    /// Nothing has changed yet; everything is to be looked at once.
    pub(super) fn new(timing: WatchTiming, now: Instant) -> Self {
        let unwatched_at = now + timing.unwatched;
        let (pending, due) = (BTreeMap::new(), BTreeSet::new());
        Self { timing, pending, due, running: 0, rescan_at: now, unwatched_at, looking: false }
    }

    /// Something changed just now.
    pub(super) fn changed(&mut self, key: K, now: Instant) {
        self.set(key, |pending| {
            let first = pending.changed.map_or(now, |(first, _)| first);
            pending.changed = Some((first, now));
        });
    }

    /// Something was found changed; when that was is not known, so that nothing is waited for.
    pub(super) fn found_changed(&mut self, key: K, now: Instant) {
        let long_ago = now.checked_sub(self.timing.longest).unwrap_or(now);
        self.set(key, |pending| {
            let last = pending.changed.map_or(long_ago, |(_, last)| last);
            pending.changed = Some((long_ago, last));
        });
    }

    /// Changes may have been missed: everything is to be looked at, as soon as changes that come in numbers may have ended.
    pub(super) fn missed(&mut self, now: Instant) {
        self.rescan_at = self.rescan_at.min(now + self.timing.quiet);
    }

    /// Something is not watched any more. A publication that runs still ends with [`Debounce::ended`].
    pub(super) fn forget(&mut self, key: &K) {
        if self.pending.contains_key(key) {
            self.set(key.clone(), |pending| *pending = Pending { running: pending.running, ..Pending::NEW });
        }
    }

    /// Whatever failed may be tried again at once, as when the index is back. O(n) of what waits.
    pub(super) fn try_again(&mut self) {
        let failed: Vec<_> = self.pending.iter().filter(|(_, pending)| pending.failures > 0).collect();
        let failed: Vec<_> = failed.into_iter().map(|(key, _)| key.clone()).collect();
        for key in failed {
            self.set(key, |pending| (pending.failures, pending.not_before) = (0, None));
        }
    }

    /// What is to be done. Nothing is published unless it `may_publish`; looks are taken all the same, one at a time.
    pub(super) fn next(&mut self, now: Instant, may_publish: bool) -> Step<K> {
        let looks = self.rescan_at.min(self.unwatched_at);
        if looks <= now && !self.looking {
            self.looking = true;
            self.unwatched_at = now + self.timing.unwatched;
            if self.rescan_at > now {
                return Step::RescanUnwatched;
            }
            self.rescan_at = now + self.timing.rescan;
            return Step::Rescan;
        }
        let looks = if self.looking { now + self.timing.unwatched } else { looks };
        match self.due.first().filter(|_| may_publish && self.running < RUNNING) {
            None => Step::Wait(looks),
            Some((due, _)) if *due > now => Step::Wait(looks.min(*due)),
            Some((_, key)) => {
                let key = key.clone();
                self.running += 1;
                self.set(key.clone(), |pending| (pending.running, pending.changed) = (true, None));
                Step::Publish(key)
            }
        }
    }

    /// A publication that [`Step::Publish`] asked for has ended.
    pub(super) fn ended(&mut self, key: &K, ended: Ended, now: Instant) {
        self.running = self.running.saturating_sub(1);
        let timing = self.timing;
        self.set(key.clone(), |pending| {
            pending.running = false;
            match ended {
                Ended::Done => (pending.failures, pending.not_before) = (0, None),
                Ended::Unsettled => {
                    let first = pending.changed.map_or(now, |(first, _)| first);
                    pending.changed = Some((first, now));
                    pending.not_before = Some(now + timing.quiet);
                }
                Ended::Failed => {
                    pending.changed = pending.changed.or(Some((now, now)));
                    pending.not_before = Some(now + timing.back_off(pending.failures));
                    pending.failures = pending.failures.saturating_add(1);
                }
            }
        });
    }

    /// Changes one of them, and keeps `due` in line; what needs nothing is forgotten.
    fn set(&mut self, key: K, change: impl FnOnce(&mut Pending)) {
        let timing = self.timing;
        let pending = self.pending.entry(key.clone()).or_insert(Pending::NEW);
        let before = pending.due(&timing);
        change(pending);
        let after = pending.due(&timing);
        if pending.changed.is_none() && !pending.running {
            self.pending.remove(&key);
        }
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.due.remove(&(before, key.clone()));
        }
        if let Some(after) = after {
            self.due.insert((after, key));
        }
    }

    /// Everything was looked at; `jitter` is a random number from 0 to 1.
    pub(super) fn rescanned(&mut self, now: Instant, jitter: f64) {
        self.rescanned_unwatched(now);
        // Unless something was missed meanwhile.
        if self.rescan_at > now + self.timing.quiet {
            let rescan = self.timing.rescan;
            self.rescan_at = now + rescan + (rescan / 10).mul_f64(jitter.clamp(0.0, 1.0));
        }
    }

    /// What the system does not watch was looked at.
    pub(super) fn rescanned_unwatched(&mut self, now: Instant) {
        self.looking = false;
        self.unwatched_at = now + self.timing.unwatched;
    }
}

impl Pending {
    const NEW: Self = Self { changed: None, running: false, failures: 0, not_before: None };

    /// From when on it may be published.
    fn due(&self, timing: &WatchTiming) -> Option<Instant> {
        let (first, last) = self.changed.filter(|_| !self.running)?;
        let settled = (last + timing.quiet).min(first + timing.longest);
        Some(self.not_before.map_or(settled, |not_before| settled.max(not_before)))
    }
}

impl WatchTiming {
    fn back_off(&self, failures: u32) -> Duration {
        let factor = 2_u32.checked_pow(failures).unwrap_or(u32::MAX);
        self.first_retry.saturating_mul(factor).min(self.longest_retry)
    }
}

#[cfg(test)]
mod tests;
