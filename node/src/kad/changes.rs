//! When it is looked what there is to be put into Kademlia, and when that is due.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use wire::Digest;

/// How often, where something has changed: of what changes within it one is put.
pub(super) const LOOK: Duration = Duration::from_secs(2);
/// The same while nothing has changed.
pub(super) const LOOK_SELDOM: Duration = Duration::from_secs(30);

/// What changes over and over is put again after this: who is connected is told at once, and to put costs some 50 requests.
const SOONEST: Duration = Duration::from_secs(15);

/// What nobody took is put again after this, each time after twice as long, up to [`AGAIN_AT_MOST`]: where nobody answers because
/// all are busy, more requests are no help.
const AGAIN_AT_LEAST: Duration = LOOK;
const AGAIN_AT_MOST: Duration = Duration::from_secs(60);

/// What was put, and when.
#[derive(Default)]
pub(super) struct Put {
    taken: HashMap<Digest, (Digest, Instant)>,
    /// What nobody took, when it is put again, and how long after that the next time.
    refused: HashMap<Digest, (Instant, Duration)>,
}

impl Put {
    /// What says this was put under its key.
    pub(super) fn enter(&mut self, key: Digest, says: Digest, now: Instant) {
        self.refused.remove(&key);
        self.taken.insert(key, (says, now));
    }

    /// It was to be put under this key, and nobody took it.
    pub(super) fn failed(&mut self, key: Digest, now: Instant) {
        let pause = self.refused.get(&key).map_or(AGAIN_AT_LEAST, |(_, pause)| *pause);
        self.refused.insert(key, (now + pause, (pause * 2).min(AGAIN_AT_MOST)));
    }

    /// Whether this was put under its key last.
    pub(super) fn has(&self, key: &Digest, says: &Digest) -> bool {
        self.taken.get(key).is_some_and(|(last, _)| last == says)
    }

    /// Whether what says this is to be put under its key now. How long after `again` is drawn for each by the key.
    pub(super) fn is_due(&self, key: &Digest, says: &Digest, again: Duration, now: Instant) -> bool {
        if self.refused.get(key).is_some_and(|(again, _)| now < *again) {
            return false;
        }
        let spread = again.mul_f64(f64::from(key.as_bytes()[31]) / 512.0);
        self.taken.get(key).is_none_or(|(last, when)| {
            let pause = if last == says { again + spread } else { SOONEST };
            now >= *when + pause
        })
    }
}

/// Waits before the next look: until something `changes`, or for long if all was put that is new.
pub(super) async fn wait_for_changes(all_put: bool, changes: impl Future<Output = ()>) {
    tokio::time::sleep(LOOK).await;
    if all_put {
        let _ = tokio::time::timeout(LOOK_SELDOM, changes).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;
    use crate::clock::monotonic;

    #[test]
    fn what_changed_is_put_soon_and_what_did_not_after_an_hour() {
        let (key, one, two) = (Digest::of(b"key"), Digest::of(b"1"), Digest::of(b"2"));
        let (mut put, now, again) = (Put::default(), monotonic(), Duration::from_secs(3600));
        assert!(put.is_due(&key, &one, again, now));
        put.enter(key, one, now);
        assert!(!put.is_due(&key, &one, again, now + again - LOOK));
        assert!(put.is_due(&key, &two, again, now + SOONEST));
        assert!(put.is_due(&key, &one, again, now + again * 2));
        assert!(
            !put.is_due(&key, &two, again, now + SOONEST - LOOK),
            "what changes over and over waits a little"
        );
    }

    #[test]
    fn what_nobody_takes_is_put_ever_more_seldom() {
        let (key, says) = (Digest::of(b"key"), Digest::of(b"1"));
        let (mut put, began, again) = (Put::default(), monotonic(), Duration::from_secs(3600));
        let mut tries = Vec::new();
        for second in 0..200 {
            let now = began + Duration::from_secs(second);
            if put.is_due(&key, &says, again, now) {
                tries.push(second);
                put.failed(key, now);
            }
        }
        assert_eq!(tries, [0, 2, 6, 14, 30, 62, 122, 182]);
        put.enter(key, says, began);
        assert!(put.has(&key, &says) && !put.is_due(&key, &says, again, began));
        put.failed(key, began + again * 2);
        assert!(put.is_due(&key, &says, again, began + again * 2 + AGAIN_AT_LEAST), "a success forgets it");
    }

    #[tokio::test(start_paused = true)]
    #[expect(clippy::disallowed_methods, reason = "the paused clock is tokio's")]
    async fn what_changes_is_looked_at_then_and_else_seldom() {
        let changes = Notify::new();
        let after = async |all_put| {
            let began = tokio::time::Instant::now();
            wait_for_changes(all_put, changes.notified()).await;
            began.elapsed()
        };
        assert_eq!(after(true).await, LOOK + LOOK_SELDOM, "nothing is looked for every other second");
        assert_eq!(after(false).await, LOOK, "something could not be put");
        changes.notify_one();
        assert_eq!(after(true).await, LOOK);
        let later = async {
            tokio::time::sleep(LOOK * 2).await;
            changes.notify_one();
        };
        assert_eq!(tokio::join!(after(true), later).0, LOOK * 2);
    }
}
