//! How many changes are under way at once: who would wait too long for a turn is told at once to come later.
//!
//! Without it, when all nodes have something to say together, each waits in line until it gives up, and what the index
//! then does is no longer wanted: it would be busy for ever, and answer nobody.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use wire::{ErrorBody, ErrorCode};

/// Records and contents whose change is checked or written now: two transactions' worth, so that the next is checked while
/// one is written.
const UNDER_WAY: u32 = 2048;
/// How long a turn is waited for. With the work itself it stays under the 5 s after which nobody waits any more.
const PATIENCE: Duration = Duration::from_secs(2);
/// When to come again.
const RETRY_AFTER_MS: u64 = 1000;

/// The turns, in the order in which they were asked for.
pub(super) struct Admission {
    turns: Semaphore,
}

impl Admission {
    pub(super) fn new() -> Self {
        Self { turns: Semaphore::new(UNDER_WAY as usize) }
    }

    /// Waits for the turn of so many changes; it ends when the permit is dropped. More than are ever under way at once
    /// wait until they are alone.
    ///
    /// # Errors
    /// `busy`, with the time after which to come again.
    ///
    /// # Cancel safety
    /// Cancelling gives the place in the line back.
    pub(super) async fn enter(&self, changes: usize) -> Result<SemaphorePermit<'_>, ErrorBody> {
        let turns = u32::try_from(changes).unwrap_or(UNDER_WAY).clamp(1, UNDER_WAY);
        match tokio::time::timeout(PATIENCE, self.turns.acquire_many(turns)).await {
            Ok(turn) => turn.map_err(|_| ErrorBody::new(ErrorCode::ShuttingDown, "the index is stopping")),
            Err(_) => {
                let text = "too much is registered at once; try again";
                Err(ErrorBody::new(ErrorCode::Busy, text).retry_after(RETRY_AFTER_MS))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_would_wait_too_long_is_told_to_come_later() {
        let admission = Admission::new();
        let first = admission.enter(2000).await.expect("nobody was there");
        let small = admission.enter(48).await.expect("there is room for it");
        let busy = admission.enter(1).await.expect_err("no room");
        assert_eq!((busy.code, busy.retry_after_ms), (ErrorCode::Busy, Some(RETRY_AFTER_MS)));
        let (second, ()) = tokio::join!(admission.enter(4096), async {
            tokio::time::sleep(PATIENCE / 2).await;
            drop((first, small));
        });
        drop(second.expect("more than is ever under way comes in alone"));
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_in_order() {
        let admission = Admission::new();
        let all = admission.enter(usize::MAX).await.expect("nobody was there");
        let order = std::sync::Mutex::new(Vec::new());
        let enter = async |changes| {
            let _turn = admission.enter(changes).await.expect("in time");
            order.lock().expect("whole").push(changes);
        };
        tokio::join!(enter(2048), enter(1500), enter(1000), async { drop(all) });
        assert_eq!(*order.lock().expect("whole"), [2048, 1500, 1000]);
    }
}
