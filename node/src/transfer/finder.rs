//! Finding holders for one download: asked of the index, connected, their manifests looked into, time and again.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use certs::NodeId;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Sleep;
use tracing::debug;
use wire::manifest::ChunkTable;
use wire::message::{HeldRoot, HolderInfo};
use wire::{ErrorBody, ErrorCode, RootHash};

use super::known::Known;
use super::latest::{Latest, latest};
use super::limits::Limiter;
use super::opening::Opening;
use super::pace::Pace;
use super::schedule::Availability;
use super::source::Source;
use super::verify::VerifiedRecord;
use crate::clock;
use crate::peer::Shared;

/// How many holders with another manifest are looked into at once: each takes its root and 2 MiB of pages in memory.
const COMPARED_AT_ONCE: usize = 8;
/// All manifests of one holder have been looked into within this time, or it is left out until the next look.
const COMPARE_TIMEOUT: Duration = Duration::from_secs(30);
/// Holders that are being connected or looked into, of those that the index names.
const UNDER_WAY: usize = 64;

/// Where a holder has no place, it is looked so soon for those that got it meanwhile, and at random up to twice as late.
const LOOK_SOON: Duration = Duration::from_millis(100);
/// So often in one transfer, and so many of them are taken at once: what is wanted then is little, or they would be asked
/// anyway.
const SOON_LOOKS: usize = 4;
const TAKEN_SOON: usize = 4;

/// An asker that was of no use is asked in turn again after this.
const ASK_AGAIN: Duration = Duration::from_secs(15);
/// So many askers are remembered for so long; more are not asked in turn.
const REMEMBERED: usize = 256;

/// What a finder reports.
#[derive(Debug)]
pub(super) enum Found {
    /// A holder to be asked for chunks, by the name of its own manifest.
    Holder(Box<Source>, RootHash, Availability),
    /// There is a newer version.
    Newer(Box<VerifiedRecord>),
    /// It is no longer shared, or not by this owner.
    Gone(ErrorBody),
    /// Nobody was found this time, and why.
    Nobody(String),
}

/// Finds holders for one content until the receiver is dropped.
pub(super) struct Finder {
    pub(super) shared: Arc<Shared>,
    pub(super) record: Arc<VerifiedRecord>,
    /// No newer version takes its place.
    pub(super) pinned: bool,
    pub(super) root: RootHash,
    pub(super) chunks: Arc<ChunkTable>,
    pub(super) known: Known,
    /// The download's own limit.
    pub(super) limiter: Arc<Limiter>,
    pub(super) found: mpsc::Sender<Found>,
    /// Who asked this node for the same.
    pub(super) askers: Option<mpsc::Receiver<HolderInfo>>,
}

/// The manifest under which a holder is asked for chunks, and which of them it has.
type Held = (RootHash, Availability);

/// What goes on beside the connecting of holders.
enum Work {
    /// A holder with another manifest was looked into: what it has, if the chunks are the same.
    Compared(Box<Source>, Option<Held>),
    /// The index named these.
    Looked(Vec<HolderInfo>),
}

/// A finder at work. No holder keeps another waiting: each is reported as soon as its chunks are known to be the same.
struct Running<'f> {
    finder: &'f Finder,
    opening: Opening,
    work: FuturesUnordered<Pin<Box<dyn Future<Output = Work> + Send + 'f>>>,
    /// Who is being looked into.
    comparing: HashSet<NodeId>,
    turns: &'f Semaphore,
    looking: bool,
    /// How often it was looked because a holder had no place, and whether the next look is such a one.
    soon_looks: usize,
    soon: bool,
    pace: Pace,
    pause: Pin<Box<Sleep>>,
    askers: Option<mpsc::Receiver<HolderInfo>>,
    /// When askers were asked in turn: not each time that they ask.
    asked: HashMap<NodeId, Instant>,
}

impl Finder {
    /// Takes these holders as they answer, and looks for more.
    pub(super) async fn run(mut self, first: Opening) {
        let askers = self.askers.take();
        let turns = Semaphore::new(COMPARED_AT_ONCE);
        let mut pace = Pace::new();
        let first_look = if first.is_empty() { Duration::ZERO } else { pace.looked() };
        let running = Running {
            finder: &self,
            opening: first,
            work: FuturesUnordered::new(),
            comparing: HashSet::new(),
            turns: &turns,
            looking: false,
            soon_looks: 0,
            soon: false,
            pace,
            pause: Box::pin(tokio::time::sleep(first_look)),
            askers,
            asked: HashMap::new(),
        };
        running.run().await;
    }

    /// One look: who is new. What else the index says is reported.
    async fn look(&self) -> Vec<HolderInfo> {
        match self.ask().await {
            Ok(holders) => holders,
            Err(found) => {
                let _ = self.found.send(found).await;
                Vec::new()
            }
        }
    }

    async fn ask(&self) -> Result<Vec<HolderInfo>, Found> {
        match latest(&self.shared, &self.record, self.pinned).await.map_err(not_located)? {
            Latest::Same(mut holders) => {
                holders.retain(|holder| !self.known.contains(&holder.node));
                Ok(holders)
            }
            Latest::Newer(newer, _) => Err(Found::Newer(newer)),
            Latest::Older => Ok(Vec::new()),
        }
    }

    /// What a holder has of the very manifest of this transfer.
    fn held_as_ours(&self, source: &Source) -> Option<Held> {
        source.granted.roots.iter().find(|held| held.root == self.root).map(held_of)
    }

    /// Equal content that was shared twice can have two manifests: other times, the same chunks.
    async fn held_otherwise(&self, source: &Source) -> Option<Held> {
        let gate = self.shared.limits.download(&self.limiter, source.node);
        for held in &source.granted.roots {
            match source.lists(&self.shared.store, held.root, &self.chunks, &gate).await {
                Ok(true) => return Some(held_of(held)),
                Ok(false) => debug!(peer = %source.node.short(), "it cut the content otherwise"),
                Err(error) => debug!(peer = %source.node.short(), %error, "its manifest is of no use"),
            }
        }
        None
    }

    async fn compare(&self, source: Source, turns: &Semaphore) -> Work {
        let _turn = turns.acquire().await;
        let held = tokio::time::timeout(COMPARE_TIMEOUT, self.held_otherwise(&source)).await;
        Work::Compared(Box::new(source), held.ok().flatten())
    }
}

impl Running<'_> {
    async fn run(mut self) {
        let finder = self.finder;
        loop {
            tokio::select! {
                Some(opened) = self.opening.next() => {
                    if let Ok(source) = opened {
                        self.opened(source).await;
                    }
                }
                Some(done) = self.work.next() => self.done(done).await,
                () = &mut self.pause, if !self.looking => {
                    self.looking = true;
                    self.work.push(Box::pin(async move { Work::Looked(finder.look().await) }));
                }
                Some(asker) = next_asker(&mut self.askers) => self.ask_in_turn(asker),
                () = finder.known.was_refused() => self.look_soon(),
                () = finder.known.emptied() => {
                    if finder.known.is_empty() {
                        let pause = self.pace.emptied(clock::monotonic());
                        self.look_after(pause);
                    }
                }
                () = finder.found.closed() => return,
            }
        }
    }

    /// Who asks for what is being downloaded may have a part of it.
    fn ask_in_turn(&mut self, asker: HolderInfo) {
        let now = clock::monotonic();
        self.asked.retain(|_, at| now.saturating_duration_since(*at) < ASK_AGAIN);
        let unknown = !self.finder.known.contains(&asker.node) && !self.comparing.contains(&asker.node);
        let room = self.opening.len() + self.comparing.len() < UNDER_WAY && self.asked.len() < REMEMBERED;
        if unknown && room && self.asked.insert(asker.node, now).is_none() {
            self.opening.add(&self.finder.shared, &self.finder.record, [asker]);
        }
    }

    async fn opened(&mut self, source: Source) {
        let (finder, turns) = (self.finder, self.turns);
        match finder.held_as_ours(&source) {
            Some(held) => self.report(source, held).await,
            None => {
                self.comparing.insert(source.node);
                self.work.push(Box::pin(finder.compare(source, turns)));
            }
        }
    }

    async fn done(&mut self, work: Work) {
        match work {
            Work::Compared(source, held) => {
                self.comparing.remove(&source.node);
                if let Some(held) = held {
                    self.report(*source, held).await;
                }
            }
            Work::Looked(holders) => {
                self.looking = false;
                let room = UNDER_WAY.saturating_sub(self.opening.len() + self.comparing.len());
                let room = if std::mem::take(&mut self.soon) { room.min(TAKEN_SOON) } else { room };
                let new = holders.into_iter().filter(|holder| !self.comparing.contains(&holder.node));
                self.opening.add(&self.finder.shared, &self.finder.record, new.take(room));
                let pause = self.pace.looked();
                self.look_after(pause);
            }
        }
    }

    async fn report(&mut self, source: Source, (root, available): Held) {
        if self.finder.known.insert(source.node) {
            if let Some(pause) = self.pace.joined(clock::monotonic()) {
                self.look_after(pause);
            }
            let _ = self.finder.found.send(Found::Holder(Box::new(source), root, available)).await;
        }
    }

    /// A holder has no place: those who have got it since the last look may have.
    fn look_soon(&mut self) {
        if self.soon_looks < SOON_LOOKS && !self.looking && !self.soon {
            self.soon_looks += 1;
            self.soon = true;
            self.look_after(LOOK_SOON + index::jitter(LOOK_SOON));
        }
    }

    fn look_after(&mut self, pause: Duration) {
        self.pause.set(tokio::time::sleep(pause));
    }
}

/// The next one who asks this node; never, where nobody can.
async fn next_asker(askers: &mut Option<mpsc::Receiver<HolderInfo>>) -> Option<HolderInfo> {
    match askers {
        Some(askers) => askers.recv().await,
        None => std::future::pending().await,
    }
}

/// That this node is no member at the moment ends nothing: the holders that are there go on, and it may log in again.
fn not_located(body: ErrorBody) -> Found {
    match body.code {
        ErrorCode::NotFound => Found::Gone(body),
        _ => Found::Nobody(body.text),
    }
}

fn held_of(held: &HeldRoot) -> Held {
    (held.root, availability(held))
}

/// What a holder says that it has.
pub(super) fn availability(held: &HeldRoot) -> Availability {
    match &held.chunks {
        None => Availability::All,
        Some(runs) => Availability::Ranges(runs.iter().filter_map(|run| run.range()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_shared_any_more_is_gone() {
        let found = |code| not_located(ErrorBody::new(code, "why"));
        assert!(matches!(found(ErrorCode::NotFound), Found::Gone(_)));
        for code in [ErrorCode::NotMember, ErrorCode::NoHolder, ErrorCode::Busy, ErrorCode::Unavailable] {
            assert!(matches!(found(code), Found::Nobody(text) if text == "why"), "{code:?}");
        }
    }
}
