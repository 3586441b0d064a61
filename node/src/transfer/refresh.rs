//! What a partial holder has by now, asked of it again and again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::debug;
use wire::RootHash;

use super::fetch::FetchEvent;
use super::finder::availability;
use super::schedule::{Availability, HolderId};
use super::source::Source;

/// How soon a partial holder is asked again at the earliest: what it has then is what others can feed on.
const SOONEST: Duration = Duration::from_millis(250);
/// The pause doubles up to this while a holder has nothing new.
const IDLE: Duration = Duration::from_secs(2);
/// An answer has about 8 bytes a run: the more runs, the longer the pause, so that such answers are a small part of what
/// is moved.
const RUNS_PER_PAUSE: usize = 512;
/// The pause is longer in proportion where more partial holders than these are asked.
const HOLDERS_PER_PAUSE: usize = 8;

/// Asks one partial holder.
pub(super) struct Refresh {
    pub(super) source: Source,
    pub(super) root: RootHash,
    pub(super) holder: HolderId,
    /// Shared by all of a transfer: as many are asked as there are of it.
    pub(super) crowd: Arc<()>,
    pub(super) events: mpsc::Sender<FetchEvent>,
}

impl Refresh {
    /// Asks until it has all, does not answer, or nobody wants to know.
    pub(super) async fn run(self, mut known: Availability) {
        let mut pause = SOONEST;
        loop {
            tokio::time::sleep(pause * self.factor(&known)).await;
            let granted = match self.source.granted_now().await {
                Ok(granted) => granted,
                Err(error) => return debug!(peer = %self.source.node.short(), %error, "has nothing to say"),
            };
            // One that goes by another manifest now has its parts under other numbers.
            let held = granted.roots.iter().find(|held| held.root == self.root);
            let now = held.map_or(Availability::Ranges(Vec::new()), availability);
            if now == known {
                pause = (pause * 2).min(IDLE);
                continue;
            }
            (pause, known) = (SOONEST, now.clone());
            let all = now == Availability::All;
            if self.events.send(FetchEvent::Holds(self.holder, now)).await.is_err() || all {
                return;
            }
        }
    }

    fn factor(&self, known: &Availability) -> u32 {
        let runs = match known {
            Availability::All => 0,
            Availability::Ranges(runs) => runs.len(),
        };
        let crowd = Arc::strong_count(&self.crowd).div_ceil(HOLDERS_PER_PAUSE);
        u32::try_from((1 + runs / RUNS_PER_PAUSE) * crowd.max(1)).unwrap_or(u32::MAX)
    }
}
