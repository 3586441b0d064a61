//! Keeps true whom this node asks.

use std::sync::Arc;

use index::IndexClient;

use super::Fallback;
use super::discovery::Event;
use crate::peer::{LinkState, Shared};

/// Lets time pass, and asks the index whether it is back, until the node stops.
pub(crate) async fn keep_discovery(shared: Arc<Shared>) {
    let fallback = &shared.fallback;
    loop {
        let changed = fallback.changed.notified();
        if let Some(pause) = fallback.probe_after() {
            tokio::time::sleep(pause).await;
            probe(&shared).await;
            continue;
        }
        match fallback.deadline() {
            Some(at) => drop(tokio::time::timeout_at(at.into(), changed).await),
            None => changed.await,
        }
        fallback.using();
    }
}

/// Asks the index whether it answers.
async fn probe(shared: &Shared) {
    let session = match &*shared.link.borrow() {
        LinkState::Online { session } => session.clone(),
        LinkState::Connecting { .. } => return,
    };
    let event = match IndexClient::new(session.connection().clone()).ping().await {
        Ok(()) => Event::Answered,
        Err(error) => Event::Failed(error.to_string()),
    };
    shared.fallback.tell(event);
}

impl Fallback {
    fn probe_after(&self) -> Option<std::time::Duration> {
        self.discovery().and_then(|mut discovery| discovery.probe_after())
    }

    fn deadline(&self) -> Option<std::time::Instant> {
        let deadline = self.discovery().and_then(|discovery| discovery.deadline());
        deadline.map(|deadline| self.began + deadline)
    }
}
