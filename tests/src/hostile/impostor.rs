//! Whoever listens where the index is looked for, and refuses everybody.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quinn::Endpoint;
use tokio::task::JoinSet;
use wire::message::Answer;
use wire::{ErrorBody, ErrorCode, frame, limits};

use super::stranger::Stranger;
use crate::wait::{PATIENCE, wait_until};

/// A node that answers the first request of each connection with the same E.
#[derive(Debug)]
pub struct Impostor {
    stranger: Stranger,
    refused: Arc<AtomicU64>,
    _task: JoinSet<()>,
}

impl Impostor {
    /// One with a new key, on a free port of this address.
    pub fn start(ip: Ipv4Addr, code: ErrorCode) -> Self {
        let (stranger, refused) = (Stranger::new(ip), Arc::default());
        let mut task = JoinSet::new();
        task.spawn(refuse_all(stranger.endpoint().clone(), code, Arc::clone(&refused)));
        Self { stranger, refused, _task: task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.stranger.address()
    }

    /// Waits until it has refused so many.
    pub async fn wait_until_refused(&self, wanted: u64) {
        wait_until(PATIENCE, "the impostor has refused", async || {
            let count = self.refused.load(Ordering::Relaxed);
            if count >= wanted { Ok(()) } else { Err(count) }
        })
        .await;
    }
}

async fn refuse_all(endpoint: Endpoint, code: ErrorCode, refused: Arc<AtomicU64>) {
    while let Some(incoming) = endpoint.accept().await {
        let Ok(connection) = incoming.await else { continue };
        let Ok((mut send, _receive)) = connection.accept_bi().await else { continue };
        let answer = Answer::<()>::E(ErrorBody::new(code, "as the test wants"));
        // Who has hung up hears nothing.
        let _ = frame::write(&mut send, &answer, limits::FRAME_BYTES).await;
        let _ = send.finish();
        let _ = send.stopped().await;
        refused.fetch_add(1, Ordering::Relaxed);
    }
}
