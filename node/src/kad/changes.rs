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

/// What was put, and when.
#[derive(Default)]
pub(super) struct Put(HashMap<Digest, (Digest, Instant)>);

impl Put {
    /// What says this was put under its key.
    pub(super) fn enter(&mut self, key: Digest, says: Digest, now: Instant) {
        self.0.insert(key, (says, now));
    }

    /// Whether this was put under its key last.
    pub(super) fn has(&self, key: &Digest, says: &Digest) -> bool {
        self.0.get(key).is_some_and(|(last, _)| last == says)
    }

    /// Whether what says this is to be put under its key now. How long after `again` is drawn for each by the key.
    pub(super) fn is_due(&self, key: &Digest, says: &Digest, again: Duration, now: Instant) -> bool {
        let spread = again.mul_f64(f64::from(key.as_bytes()[31]) / 512.0);
        self.0.get(key).is_none_or(|(last, when)| {
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
