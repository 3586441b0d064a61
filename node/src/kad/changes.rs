//! When it is looked what there is to be put into Kademlia.

use std::time::Duration;

/// How often, where something has changed: of what changes within it one is put.
pub(super) const LOOK: Duration = Duration::from_secs(2);
/// The same while nothing has changed.
pub(super) const LOOK_SELDOM: Duration = Duration::from_secs(30);

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
