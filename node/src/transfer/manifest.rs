//! Whose manifest is fetched at the start of a download.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tracing::debug;
use wire::{ErrorBody, ErrorCode, Kind, RootHash};

use super::limits::Limiter;
use super::opening::Opening;
use super::source::{Beside, FetchedManifest, Source, SourceError};
use super::verify::VerifiedRecord;
use crate::peer::Shared;

/// So long after the first holder answered, others may still come with the publisher's own manifest.
const GRACE: Duration = Duration::from_millis(250);
/// A manifest that takes longer is fetched from the next holder, too, and the first to be whole counts.
const NEXT_AFTER: Duration = Duration::from_secs(5);
/// The same of a file's, for the second: its manifest mostly has less than 3 MiB, and a slow holder that answered first would
/// keep fast ones idle for seconds. A third would only share a slow line of our own with them.
const SECOND_AFTER: Duration = Duration::from_millis(250);
/// From how many it is fetched at once: each may take as much memory as the layout of a content of this size can.
const AT_ONCE: usize = 4;

/// Fetches a manifest from whichever holder has one that holds: the publisher's own first, since the record names it.
/// One holder that is slow, lies or does not answer keeps the others waiting for a moment only.
pub(super) struct ManifestSearch<'a> {
    shared: &'a Shared,
    /// The download's own limit.
    limiter: &'a Arc<Limiter>,
    record: &'a VerifiedRecord,
    refused: &'a HashSet<RootHash>,
    beside: Beside,
    candidates: Vec<Candidate>,
    answered: Vec<Source>,
    last: Option<SourceError>,
}

/// A manifest that a holder says it has.
struct Candidate {
    /// Lower ones first: not the published one; its place in the holder's list, so that each holder has its turn.
    rank: (bool, usize),
    root: RootHash,
    source: Source,
}

impl<'a> ManifestSearch<'a> {
    /// `refused` are roots that turned out to be of other content. The first chunks are asked for, if at all, of
    /// whoever is asked for the pages first.
    pub(super) const fn new(
        shared: &'a Shared,
        limiter: &'a Arc<Limiter>,
        record: &'a VerifiedRecord,
        refused: &'a HashSet<RootHash>,
        beside: Beside,
    ) -> Self {
        Self {
            shared,
            limiter,
            record,
            refused,
            beside,
            candidates: Vec::new(),
            answered: Vec::new(),
            last: None,
        }
    }

    /// Asks holders as they answer. `holders` has all of them afterwards but those that are of no use.
    ///
    /// # Errors
    /// `no-holder`, with why the last one was of no use.
    pub(super) async fn run(mut self, holders: &mut Opening) -> Result<FetchedManifest, ErrorBody> {
        let found = self.search(holders).await;
        let asked = !self.answered.is_empty();
        holders.put_back(self.answered);
        found.ok_or_else(|| {
            let what = if asked { "no holder gave a manifest" } else { "no holder could be asked" };
            let why = self.last.map_or_else(String::new, |error| format!(": {error}"));
            ErrorBody::new(ErrorCode::NoHolder, format!("{what}{why}"))
        })
    }

    async fn search(&mut self, holders: &mut Opening) -> Option<FetchedManifest> {
        let (shared, limiter) = (self.shared, self.limiter);
        let mut fetching = FuturesUnordered::new();
        let (mut grace, mut slow) = (pin!(tokio::time::sleep(GRACE)), pin!(tokio::time::sleep(NEXT_AFTER)));
        let (mut graced, mut another) = (false, true);
        loop {
            let ready = graced || holders.is_empty();
            if another && let Some(Candidate { root, source, .. }) = self.next(ready) {
                another = false;
                let beside = self.beside;
                self.beside.front = false;
                let gate = shared.limits.download(limiter, source.node);
                let hurries = fetching.is_empty() && self.record.record.kind == Kind::File && gate.is_open();
                slow.set(tokio::time::sleep(if hurries { SECOND_AFTER } else { NEXT_AFTER }));
                fetching.push(async move {
                    (source.manifest(&shared.store, root, &gate, beside).await, source.node)
                });
            }
            if fetching.is_empty() && holders.is_empty() {
                return None;
            }
            tokio::select! {
                Some(opened) = holders.next() => {
                    if self.opened(opened) {
                        grace.set(tokio::time::sleep(GRACE));
                    }
                }
                Some((result, node)) = fetching.next() => match result {
                    Ok(manifest) => return Some(manifest),
                    Err(error) => {
                        debug!(peer = %node.short(), %error, lie = error.is_lie(), "its manifest is of no use");
                        self.last = Some(error);
                        another = true;
                    }
                },
                () = &mut grace, if !graced && !self.answered.is_empty() => graced = true,
                () = &mut slow, if !another && fetching.len() < AT_ONCE => another = true,
            }
        }
    }

    /// Returns whether it is the first that answered.
    fn opened(&mut self, opened: Result<Source, SourceError>) -> bool {
        let mut source = match opened {
            Ok(source) => source,
            Err(error) => {
                self.last = Some(error);
                return false;
            }
        };
        let published = self.record.record.root;
        for (place, held) in source.granted.roots.iter().enumerate() {
            if !self.refused.contains(&held.root) {
                let rank = (Some(held.root) != published, place);
                self.candidates.push(Candidate { rank, root: held.root, source: source.clone() });
            }
        }
        source.root = None;
        self.answered.push(source);
        self.answered.len() == 1
    }

    /// The best candidate; before all are `ready`, only one with the publisher's own manifest.
    fn next(&mut self, ready: bool) -> Option<Candidate> {
        let (at, best) = self.candidates.iter().enumerate().min_by_key(|(_, candidate)| candidate.rank)?;
        let published = !best.rank.0;
        (ready || published).then(|| self.candidates.remove(at))
    }
}
