//! Probes: does a holder still have it? Short, coalesced, and remembered for a moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certs::UnixMillis;
use tokio::sync::OnceCell;
use wire::message::{Probe, Probed, Request, RequestDownload};
use wire::{ContentHash, ErrorCode};

use crate::client::{CallError, call};
use crate::registry::lock;
use crate::session::IndexSession;

/// How long holders have to answer where others have: a round trip around the world, and some work.
pub(crate) const PATIENCE: Duration = Duration::from_millis(300);
/// How long a holder has to answer where none has: an asker is better served by one that is busy than by an error.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer is good for.
const CACHED_MS: u64 = 5000;
/// Answers remembered; beyond that the older ones are forgotten at once.
const CACHED: usize = 8192;

/// What a holder answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It has all of it.
    Whole,
    /// It has a part.
    Partial,
    /// It has nothing of it.
    NotFound,
    /// Its file is another by now.
    Changed,
    /// It did not answer in time, or with something else.
    Silent,
}

/// The probes that run or were answered lately, by content and session: a node that connects again is asked again.
#[derive(Default)]
pub(crate) struct Probes {
    cached: Mutex<HashMap<Key, Cached>>,
}

type Key = (ContentHash, u64);

#[derive(Clone)]
struct Cached {
    at: UnixMillis,
    answer: Arc<OnceCell<Answered>>,
}

impl Probes {
    /// Asks a holder, or takes part in an answer that is under way or fresh.
    ///
    /// # Cancel safety
    /// If the one whose question is under way is cancelled, another one's takes its place.
    pub(crate) async fn probe(&self, holder: &IndexSession, probe: Probe, now: UnixMillis) -> Answered {
        self.coalesced((probe.content, holder.number), now, ask(&holder.connection, probe)).await
    }

    async fn coalesced(&self, key: Key, now: UnixMillis, ask: impl Future<Output = Answered>) -> Answered {
        let cell = self.cell(key, now);
        let answer = *cell.get_or_init(|| ask).await;
        if matches!(answer, Answered::NotFound | Answered::Changed) {
            // It may have it again at once: got anew, or put back and shared again.
            lock(&self.cached).remove(&key);
        }
        answer
    }

    fn cell(&self, key: Key, now: UnixMillis) -> Arc<OnceCell<Answered>> {
        let mut cached = lock(&self.cached);
        let fresh = |cached: &Cached| now.0.saturating_sub(cached.at.0) < CACHED_MS;
        if let Some(found) = cached.get(&key).filter(|found| fresh(found)) {
            return found.answer.clone();
        }
        if cached.len() >= CACHED {
            cached.retain(|_, cached| fresh(cached));
        }
        if cached.len() >= CACHED {
            cached.clear();
        }
        let new = Cached { at: now, answer: Arc::default() };
        cached.insert(key, new.clone());
        new.answer
    }
}

async fn ask(connection: &quinn::Connection, probe: Probe) -> Answered {
    let request = Request::P(RequestDownload { probe: Some(probe), ..RequestDownload::default() });
    match call::<Probed>(connection, &request, TIMEOUT).await {
        Ok(Probed { whole: true }) => Answered::Whole,
        Ok(Probed { whole: false }) => Answered::Partial,
        Err(CallError::Refused(error)) if error.code == ErrorCode::NotFound => Answered::NotFound,
        Err(CallError::Refused(error)) if error.code == ErrorCode::Changed => Answered::Changed,
        Err(error) => {
            tracing::debug!(%error, "a holder did not answer a probe");
            Answered::Silent
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const CONTENT: ContentHash = ContentHash::from_bytes([1; 32]);

    async fn counted(count: &AtomicU32, answer: Answered) -> Answered {
        count.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        answer
    }

    #[tokio::test]
    async fn one_question_for_all_who_ask_at_once_and_for_a_while() {
        let (probes, count) = (Probes::default(), AtomicU32::new(0));
        let ask = |session, at| {
            probes.coalesced((CONTENT, session), UnixMillis(at), counted(&count, Answered::Whole))
        };
        let (first, second) = tokio::join!(ask(1, 0), ask(1, 0));
        assert_eq!((first, second), (Answered::Whole, Answered::Whole));
        ask(1, CACHED_MS - 1).await;
        assert_eq!(count.load(Ordering::Relaxed), 1);
        ask(2, 0).await;
        assert_eq!(count.load(Ordering::Relaxed), 2, "another session");
        ask(1, CACHED_MS).await;
        assert_eq!(count.load(Ordering::Relaxed), 3, "too old");
    }

    #[tokio::test]
    async fn what_may_be_mended_at_once_is_not_remembered() {
        let (probes, count) = (Probes::default(), AtomicU32::new(0));
        for answer in [Answered::NotFound, Answered::Changed, Answered::Whole] {
            probes.coalesced((CONTENT, 1), UnixMillis(0), counted(&count, answer)).await;
        }
        assert_eq!(count.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let probes = Probes::default();
        for session in 0..2 * CACHED as u64 {
            probes.cell((CONTENT, session), UnixMillis(0));
        }
        assert!(lock(&probes.cached).len() <= CACHED);
    }
}
