//! What downloads that run have already, and give to others.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use certs::UserName;
use tokio::sync::mpsc;
use wire::manifest::Layout;
use wire::message::{HolderInfo, Run};
use wire::{ContentHash, ResourceName, RootHash, limits};

use crate::net::Session;
use crate::peer::Shared;
use crate::ranges::RangeSet;
use crate::store::Partial;

/// Nodes that asked and wait to be asked in turn, for each download. One that finds no room asks again.
const ASKERS: usize = 16;

/// A download that is over within this time is not told to the index: nobody would come in time.
const WORTH_TELLING: Duration = Duration::from_millis(200);

/// All downloads that run and give.
#[derive(Debug, Default)]
pub(crate) struct PartialHoldings(Mutex<HashMap<ContentHash, Vec<Arc<Part>>>>);

/// What one download has.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) content: ContentHash,
    pub(crate) owner: UserName,
    pub(crate) name: ResourceName,
    /// Where it will be.
    pub(crate) path: PathBuf,
    pub(crate) root: RootHash,
    pub(crate) file: Arc<Partial>,
    verified: Verified,
    /// Who asked for it: likely one that downloads the same.
    askers: mpsc::Sender<HolderInfo>,
}

/// The chunks of a download that are verified and written.
#[derive(Debug, Default)]
struct Verified(Mutex<RangeSet>);

impl Verified {
    /// These, too. Returns whether they are the first.
    fn add(&self, chunks: Range<u32>) -> bool {
        let mut set = self.set();
        let first = set.is_empty();
        set.insert(chunks);
        first
    }

    /// As P answers: at most [`limits::RANGES`] runs, the first ones.
    fn runs(&self) -> Vec<Run> {
        self.set().iter().take(limits::RANGES).map(Run::from).collect()
    }

    /// The front of these runs that is there: the last one perhaps shortened, none if the first chunk is not there.
    fn front_of(&self, runs: &[Run]) -> Vec<Run> {
        let set = self.set();
        let mut front = Vec::new();
        for run in runs.iter().filter_map(|run| run.range()) {
            let Some(end) = set.end_of(run.start) else { break };
            front.push(Run::from(run.start..end.min(run.end)));
            if end < run.end {
                break;
            }
        }
        front
    }

    fn set(&self) -> MutexGuard<'_, RangeSet> {
        self.0.lock().expect("no panic while it is held")
    }
}

impl Part {
    /// What a download has: the job's owner, name and target; its manifest; the file, and what is verified in it. Also:
    /// who asks for some of it.
    pub(super) fn new(
        (owner, name, path): (UserName, ResourceName, PathBuf),
        (root, layout): (RootHash, &Layout),
        (file, verified): (Arc<Partial>, RangeSet),
    ) -> (Self, mpsc::Receiver<HolderInfo>) {
        let (askers, asked) = mpsc::channel(ASKERS);
        let (content, verified) = (layout.content, Verified(Mutex::new(verified)));
        (Self { content, owner, name, path, root, file, verified, askers }, asked)
    }

    /// What P answers: at most [`limits::RANGES`] runs, the first ones.
    pub(super) fn runs(&self) -> Vec<Run> {
        self.verified.runs()
    }

    /// The front of these runs that is there: the last one perhaps shortened, none if the first chunk is not there.
    pub(super) fn front_of(&self, runs: &[Run]) -> Vec<Run> {
        self.verified.front_of(runs)
    }

    /// Whether nothing is there yet.
    pub(super) fn is_empty(&self) -> bool {
        self.verified.set().is_empty()
    }

    /// The far end may have other parts. It is connected: no address is needed.
    pub(super) fn asked_by(&self, session: &Session) {
        self.file.keep_cached();
        if let Some(user) = session.user() {
            let asker = HolderInfo { node: session.node(), user, addresses: Vec::new(), whole: false };
            let _ = self.askers.try_send(asker);
        }
    }
}

impl PartialHoldings {
    /// The download of a content that has most of it; of this manifest, if one is named.
    pub(crate) fn find(&self, content: &ContentHash, root: Option<&RootHash>) -> Option<Arc<Part>> {
        let all = self.all();
        let of_root = |part: &&Arc<Part>| root.is_none_or(|root| part.root == *root);
        all.get(content)?.iter().filter(of_root).max_by_key(|part| part.verified.set().len()).cloned()
    }

    /// Whether something of a content is there.
    fn has(&self, content: &ContentHash) -> bool {
        self.all().get(content).is_some_and(|parts| have_any(parts))
    }

    /// The contents of which something is there.
    pub(crate) fn contents(&self) -> Vec<ContentHash> {
        let all = self.all();
        all.iter().filter(|(_, parts)| have_any(parts)).map(|(content, _)| *content).collect()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ContentHash, Vec<Arc<Part>>>> {
        self.0.lock().expect("no panic while it is held")
    }
}

fn have_any(parts: &[Arc<Part>]) -> bool {
    parts.iter().any(|part| !part.is_empty())
}

/// As long as it lives, a download gives what it has.
pub(super) struct Giving {
    shared: Arc<Shared>,
    part: Arc<Part>,
    /// Whether all of it is in place by now, and the index knows.
    installed: AtomicBool,
}

impl Giving {
    /// Begins. Where something is there already, the index is told.
    pub(super) fn begin(shared: &Arc<Shared>, part: Part) -> Self {
        let part = Arc::new(part);
        shared.partial.all().entry(part.content).or_default().push(part.clone());
        let giving = Self { shared: shared.clone(), part, installed: AtomicBool::new(false) };
        if !giving.part.is_empty() {
            giving.tell();
        }
        giving
    }

    /// These chunks are verified and written.
    pub(super) fn add(&self, chunks: Range<u32>) {
        if self.part.verified.add(chunks) {
            self.tell();
        }
    }

    /// It ends because all of it is held as a file now.
    pub(super) fn installed(&self) {
        self.installed.store(true, Ordering::Relaxed);
    }

    /// Tells the index that there is something to be had, if it is worth it.
    fn tell(&self) {
        let (shared, content) = (self.shared.clone(), self.part.content);
        self.shared.tasks.spawn_droppable(async move {
            tokio::time::sleep(WORTH_TELLING).await;
            if !shared.partial.has(&content) {
                return;
            }
            shared.announce_holding(content, false).await;
            if !shared.partial.has(&content) {
                // It may have said later that it has a part than that it has all, or nothing.
                shared.announce.notify_one();
            }
        });
    }
}

impl Drop for Giving {
    fn drop(&mut self) {
        let mut all = self.shared.partial.all();
        if let Some(parts) = all.get_mut(&self.part.content) {
            parts.retain(|part| !Arc::ptr_eq(part, &self.part));
            if parts.is_empty() {
                all.remove(&self.part.content);
            }
        }
        drop(all);
        if !self.installed.load(Ordering::Relaxed) && !self.part.is_empty() {
            self.shared.announce.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(chunks: impl IntoIterator<Item = Range<u32>>) -> Verified {
        Verified(Mutex::new(chunks.into_iter().collect()))
    }

    #[test]
    fn what_is_there_is_given_from_the_front_of_what_is_asked_for() {
        let verified = verified([2..5, 7..9]);
        assert_eq!(verified.front_of(&[Run(2, 3), Run(7, 1)]), [Run(2, 3), Run(7, 1)]);
        assert_eq!(verified.front_of(&[Run(3, 4), Run(7, 1)]), [Run(3, 2)], "shortened, and the last");
        assert_eq!(verified.front_of(&[Run(2, 1), Run(5, 4)]), [Run(2, 1)]);
        assert_eq!(verified.front_of(&[Run(1, 2)]), [], "the first one is not there");
        assert_eq!(verified.runs(), [Run(2, 3), Run(7, 2)]);
        assert!(!verified.add(5..7));
        assert_eq!(verified.front_of(&[Run(3, 4), Run(7, 1)]), [Run(3, 4), Run(7, 1)]);
    }

    #[test]
    fn the_first_chunks_are_news_once() {
        let verified = Verified::default();
        assert!(verified.add(3..4) && !verified.add(4..5));
    }

    #[test]
    fn no_more_runs_are_named_than_an_answer_may_have() {
        let every_second = (0..10_000).map(|n| 2 * n..2 * n + 1);
        assert_eq!(verified(every_second).runs().len(), limits::RANGES);
    }
}
