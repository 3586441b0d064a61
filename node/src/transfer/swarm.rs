//! The transfer itself: drives the scheduler, opens streams, takes what they report, and makes progress durable.

mod reuse;
mod save;
mod show;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use certs::{NodeId, UserName};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use wire::RootHash;
use wire::manifest::ChunkTable;
use wire::message::HolderInfo;

use self::reuse::{Reusing, next_copied};
use self::save::Unsaved;
use super::encoding;
use super::fetch::{Fetch, FetchError, FetchEvent, Flow};
use super::files::Files;
use super::finder::{Finder, Found};
use super::front::Front;
use super::goal::Goal;
use super::jobs::JobControl;
use super::known::Known;
use super::opening::Opening;
use super::outcome::{Finished, JobError};
use super::parts::Giving;
use super::refresh::Refresh;
use super::reuse::{Copied, Reuse};
use super::schedule::{
    Action, Arrived, Availability, Config, DropReason, Failure, HolderId, Leave, Request, RequestId,
    Scheduler,
};
use super::source::Source;
use super::speed::Speed;
use super::verify::VerifiedRecord;
use super::whole::WholeHasher;
use crate::clock;
use crate::net::DATA_STREAMS_PER_CONNECTION;
use crate::peer::Shared;
use crate::store::{Job, Kept, Partial};

/// How often counters are read, and progress shown, while nothing else happens.
const TICK: Duration = Duration::from_millis(100);
/// The same while it waits for holders: that may be for days.
const WAITING_TICK: Duration = Duration::from_secs(2);
/// Reports of fetches that wait; a full queue holds the streams back.
const EVENTS: usize = 256;
/// Holders found that wait to join.
const FOUND: usize = 8;

/// What a swarm needs.
pub(super) struct SwarmParts<'a> {
    pub(super) shared: Arc<Shared>,
    pub(super) job: Job,
    pub(super) record: Arc<VerifiedRecord>,
    pub(super) root: RootHash,
    pub(super) chunks: Arc<ChunkTable>,
    pub(super) goal: Arc<Goal>,
    pub(super) file: Arc<Partial>,
    pub(super) hasher: &'a WholeHasher,
    /// What of it is here already.
    pub(super) reuse: Option<Reuse>,
    /// Of the holder that gave the manifest: its first request.
    pub(super) front: Option<Front>,
    pub(super) control: Arc<JobControl>,
    /// Where others get what is verified, if they may.
    pub(super) giving: Option<&'a Giving>,
    /// Who asks for it there.
    pub(super) askers: Option<mpsc::Receiver<HolderInfo>>,
}

/// A download from several holders at once.
pub(super) struct Swarm<'a> {
    parts: SwarmParts<'a>,
    scheduler: Scheduler,
    began: Instant,
    members: HashMap<HolderId, Member>,
    ids: HashMap<NodeId, HolderId>,
    running: HashMap<RequestId, Running>,
    known: Known,
    events: mpsc::Sender<FetchEvent>,
    bytes_received: u64,
    /// What was copied, over all runs.
    bytes_reused: u64,
    reusing: Option<Reusing>,
    /// What came since the last checkpoint began.
    unsaved: Unsaved,
    saved_at: Duration,
    saving: Option<JoinHandle<Result<(), JobError>>>,
    note: Option<String>,
    /// Whose file was found to be another by now, since the last holder joined.
    changed: Option<UserName>,
    /// Whether the last that was heard of the holders is that they have no place.
    refused: bool,
    unwanted_bytes: u64,
    /// Since when nothing is under way.
    idle_since: Option<Duration>,
    speed: Speed,
    /// Of a folder.
    files: Option<Files>,
    stop: CancellationToken,
    /// See [`Refresh`].
    crowd: Arc<()>,
    /// Whether what is to come is little enough to be asked for encoded.
    zstd: bool,
}

/// A holder in the swarm, or one that was.
struct Member {
    source: Source,
    root: RootHash,
    user: UserName,
    /// Verified bytes that came from it and were new.
    bytes: u64,
    present: bool,
}

/// A fetch that runs.
struct Running {
    flow: Arc<Flow>,
    counted: u64,
    stop: CancellationToken,
}

impl<'a> Swarm<'a> {
    /// With what an earlier run has received.
    pub(super) fn new(parts: SwarmParts<'a>) -> Self {
        // Others who begin at the same time begin elsewhere.
        let seed = parts.job.id.0
            ^ u64::from_le_bytes(*parts.shared.node().as_bytes().first_chunk().expect("32 bytes"));
        let config = Config { max_depth: DATA_STREAMS_PER_CONNECTION, seed, ..Config::default() };
        let not_fetched = parts.goal.not_fetched(&parts.job.done);
        let scheduler = Scheduler::new(parts.chunks.clone(), not_fetched.iter(), config);
        let (events, _) = mpsc::channel(1);
        Self {
            scheduler,
            began: clock::monotonic(),
            members: HashMap::new(),
            ids: HashMap::new(),
            running: HashMap::new(),
            known: Known::default(),
            events,
            bytes_received: parts.job.bytes_received,
            bytes_reused: parts.job.bytes_reused,
            reusing: None,
            unsaved: Unsaved::default(),
            saved_at: Duration::ZERO,
            saving: None,
            note: None,
            changed: None,
            refused: false,
            unwanted_bytes: parts.goal.unwanted_bytes(),
            idle_since: None,
            speed: Speed::default(),
            files: Files::new(&parts.goal, &not_fetched),
            stop: parts.control.stop_token().child_token(),
            crowd: Arc::default(),
            zstd: false,
            parts,
        }
    }

    /// Runs until every chunk is verified and written.
    ///
    /// # Errors
    /// See [`JobError`]; progress is durable then, where the disk allows.
    pub(super) async fn run(&mut self, holders: Opening) -> Result<Finished, JobError> {
        let (events, mut reports) = mpsc::channel(EVENTS);
        self.events = events;
        let mut found = self.start_finder(holders);
        self.tell_hasher();
        let mut copied = self.begin_to_copy();
        self.zstd = encoding::are_few(self.scheduler.progress().missing_bytes);
        let result = self.work(&mut reports, &mut found, &mut copied).await;
        self.stop.cancel();
        drop(found);
        self.end_copying(copied).await;
        self.drain(&mut reports).await;
        let saved = self.save_last(result.is_ok()).await;
        self.show_nobody();
        result?;
        saved?;
        let (bytes_received, bytes_reused) = (self.bytes_received, self.reused());
        Ok(Finished { bytes_received, bytes_reused, sources: self.sources(), kept: Kept::default() })
    }

    async fn work(
        &mut self,
        reports: &mut mpsc::Receiver<FetchEvent>,
        found: &mut mpsc::Receiver<Found>,
        copied: &mut Option<mpsc::Receiver<Copied>>,
    ) -> Result<(), JobError> {
        let stop = self.stop.clone();
        let mut show_at = clock::monotonic();
        while !self.scheduler.is_complete() {
            let now = self.now();
            self.act(now);
            self.ask(now);
            // Taking over can end a request.
            self.act(now);
            self.checkpoint().await?;
            show_at = show_at.min(clock::monotonic() + self.tick());
            let deadline = self.scheduler.next_deadline().map(|at| self.began + at);
            tokio::select! {
                Some(report) = reports.recv() => self.reported(report)?,
                Some(found) = found.recv() => self.found(found)?,
                report = next_copied(copied) => self.copied(report)?,
                () = tokio::time::sleep_until(deadline.map_or(show_at, |at| at.min(show_at)).into()) => {
                    // Before anybody is taken to be silent.
                    self.count();
                    self.watch_copying();
                    if clock::monotonic() >= show_at {
                        self.show();
                        show_at = clock::monotonic() + self.tick();
                    }
                }
                () = stop.cancelled() => return Err(self.parts.control.stopped()),
            }
        }
        Ok(())
    }

    fn start_finder(&mut self, first: Opening) -> mpsc::Receiver<Found> {
        let (found, receiver) = mpsc::channel(FOUND);
        let finder = Finder {
            shared: self.parts.shared.clone(),
            record: self.parts.record.clone(),
            pinned: self.parts.job.options.pinned,
            root: self.parts.root,
            chunks: self.parts.chunks.clone(),
            known: self.known.clone(),
            limiter: self.parts.control.limiter().clone(),
            found,
            askers: self.parts.askers.take(),
        };
        let stop = self.stop.clone();
        self.parts.shared.tasks.spawn_droppable(async move {
            stop.run_until_cancelled(finder.run(first)).await;
        });
        receiver
    }

    fn now(&self) -> Duration {
        clock::monotonic().saturating_duration_since(self.began)
    }

    /// How long until progress is shown again.
    fn tick(&self) -> Duration {
        if self.running.is_empty() && self.waits() { WAITING_TICK } else { TICK }
    }

    /// Does what the scheduler says.
    fn act(&mut self, now: Duration) {
        for action in self.scheduler.tick(now) {
            match action {
                Action::Cancel(request) => {
                    if let Some(running) = self.running.get(&request) {
                        running.stop.cancel();
                    }
                }
                Action::DropHolder(holder, reason) => self.dropped(holder, reason),
            }
        }
    }

    fn dropped(&mut self, holder: HolderId, reason: DropReason) {
        let Some(member) = self.members.get_mut(&holder) else { return };
        member.present = false;
        let node = member.source.node;
        info!(peer = %node.short(), user = %member.user, ?reason, "a holder is out");
        match reason {
            DropReason::Lied => self.known.exclude(node),
            DropReason::Silent | DropReason::Failing | DropReason::Lacking => self.known.remove(&node),
            // The scheduler excludes it under this id; with the right file back, it joins under another.
            DropReason::Changed => {
                self.changed = Some(member.user.clone());
                self.known.remove(&node);
                self.ids.remove(&node);
            }
        }
    }

    /// Opens streams for what the scheduler wants asked.
    fn ask(&mut self, now: Duration) {
        let present: Vec<_> =
            self.members.iter().filter(|(_, member)| member.present).map(|(id, _)| *id).collect();
        for holder in present {
            let open = self.members.get(&holder).is_some_and(|member| member.source.session.is_open());
            if !open {
                self.left(now, holder);
            }
        }
        while let Some(request) = self.scheduler.next_request(now) {
            self.fetch(request);
        }
    }

    fn fetch(&mut self, request: Request) {
        let Some(member) = self.members.get(&request.id.holder()) else { return };
        let flow = Arc::new(Flow::default());
        let stop = self.stop.child_token();
        let mut front = None;
        if self.parts.front.as_ref().is_some_and(|front| front.node == member.source.node) {
            // If its first request is another, it came in vain.
            front = self.parts.front.take().filter(|front| front.answers(member.root, &request));
        }
        if front.is_some() {
            self.scheduler.request_was_sent_before(request.id);
        }
        self.running.insert(request.id, Running { flow: flow.clone(), counted: 0, stop: stop.clone() });
        let fetch = Fetch {
            source: member.source.clone(),
            root: member.root,
            zstd: self.zstd,
            chunks: self.parts.chunks.clone(),
            file: self.parts.file.clone(),
            hashes: self.parts.hasher.hashes().clone(),
            flow,
            buffers: self.parts.shared.batches.clone(),
            gate: self.parts.shared.limits.download(self.parts.control.limiter(), member.source.node),
            events: self.events.clone(),
            stop,
            front,
            request,
        };
        // Not droppable: a stopped fetch still reports what it has written.
        self.parts.shared.tasks.spawn(fetch.run());
    }

    /// The connection of a holder is gone.
    fn left(&mut self, now: Duration, holder: HolderId) {
        if let Some(member) = self.members.get_mut(&holder) {
            member.present = false;
            self.known.remove(&member.source.node);
            debug!(peer = %member.source.node.short(), "a holder left");
        }
        self.scheduler.holder_left(now, holder, Leave::Closed);
    }

    fn found(&mut self, found: Found) -> Result<(), JobError> {
        match found {
            Found::Holder(source, root, available) => self.join(*source, root, available),
            Found::Nobody(text) => self.note = Some(text),
            other => {
                if let Some(error) = Option::<JobError>::from(other) {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn join(&mut self, source: Source, root: RootHash, available: Availability) {
        let now = self.now();
        let next = HolderId(u32::try_from(self.members.len()).unwrap_or(u32::MAX));
        let id = *self.ids.entry(source.node).or_insert(next);
        if !self.scheduler.holder_joined(now, id, available.clone()) {
            self.known.exclude(source.node);
            return;
        }
        info!(peer = %source.node.short(), user = %source.user, "a holder joins");
        if source.granted.others || !matches!(available, Availability::All) {
            // They are going to ask this node for it.
            self.parts.file.keep_cached();
        }
        if source.granted.others {
            self.scheduler.others_download();
        }
        if let Availability::Ranges(_) = &available {
            self.keep_asking(&source, root, id, available.clone());
        }
        (self.note, self.changed) = (None, None);
        let user = source.user.clone();
        let bytes = self.members.get(&id).map_or(0, |member| member.bytes);
        self.members.insert(id, Member { source, root, user, bytes, present: true });
    }

    /// Learns time and again what a partial holder has by now.
    fn keep_asking(&self, source: &Source, root: RootHash, holder: HolderId, known: Availability) {
        let (source, crowd, events) = (source.clone(), self.crowd.clone(), self.events.clone());
        let (refresh, stop) = (Refresh { source, root, holder, crowd, events }, self.stop.clone());
        self.parts.shared.tasks.spawn_droppable(async move {
            stop.run_until_cancelled(refresh.run(known)).await;
        });
    }

    fn reported(&mut self, report: FetchEvent) -> Result<(), JobError> {
        if let FetchEvent::Written(request, _) | FetchEvent::Ended(request, _) = &report {
            self.count_one(*request);
        }
        let now = self.now();
        match report {
            FetchEvent::Holds(holder, available) => {
                if self.members.get(&holder).is_some_and(|member| member.present) {
                    self.scheduler.holder_updated(holder, available);
                }
            }
            FetchEvent::Written(request, chunks) => self.written(now, request, &chunks),
            FetchEvent::Ended(request, result) => {
                self.running.remove(&request);
                match result {
                    Ok(()) => self.scheduler.request_done(now, request),
                    Err(FetchError::Disk(error)) => return Err(error.into()),
                    Err(FetchError::Stopped) => self.scheduler.request_failed(now, request, Failure::Reset),
                    Err(FetchError::Holder(failure, text)) => {
                        debug!(?failure, text, "a request failed");
                        self.note = Some(text);
                        self.refused = matches!(failure, Failure::Busy { .. });
                        if self.refused {
                            self.known.refused();
                        }
                        self.scheduler.request_failed(now, request, failure);
                    }
                }
            }
        }
        Ok(())
    }

    fn written(&mut self, now: Duration, request: RequestId, chunks: &[std::ops::Range<u32>]) {
        let mut new = 0;
        if let Some(giving) = self.parts.giving {
            chunks.iter().for_each(|range| giving.add(range.clone()));
        }
        for chunk in chunks.iter().cloned().flatten() {
            if self.scheduler.chunk_arrived(now, request, chunk) == Arrived::Install {
                new += self.arrived(chunk);
            }
        }
        if let Some(member) = self.members.get_mut(&request.holder()) {
            member.bytes += new;
        }
        self.tell_hasher();
    }

    /// A chunk is verified and written that was not before; returns how many bytes it has.
    fn arrived(&mut self, chunk: u32) -> u64 {
        let whole = self.files.as_mut().is_some_and(|files| files.arrived(chunk));
        let bytes = self.parts.chunks.chunk(chunk).map_or(0, |chunk| u64::from(chunk.length));
        self.unsaved.bytes += bytes;
        self.unsaved.files += u32::from(whole);
        bytes
    }

    /// How many bytes were here already: those that were copied from elsewhere, and of chunks that are equal to another.
    fn reused(&self) -> u64 {
        self.bytes_reused + self.parts.goal.repeated_bytes()
    }

    /// How far the file is complete from its front.
    fn tell_hasher(&self) {
        let front = self.scheduler.done_prefix();
        if let Some(bytes) = self.parts.chunks.bytes_of(0..front) {
            self.parts.hasher.front(bytes.end);
        }
    }

    /// Reads the counters of all fetches.
    fn count(&mut self) {
        let requests: Vec<_> = self.running.keys().copied().collect();
        requests.into_iter().for_each(|request| self.count_one(request));
    }

    fn count_one(&mut self, request: RequestId) {
        let now = self.now();
        let Some(running) = self.running.get_mut(&request) else { return };
        if !running.flow.asked.load(Ordering::Relaxed) {
            return self.scheduler.request_waits(now, request);
        }
        let received = running.flow.received.load(Ordering::Relaxed);
        let new = received - running.counted;
        if new > 0 {
            running.counted = received;
            self.bytes_received += new;
            self.refused = false;
            self.scheduler.bytes_arrived(now, request, new);
        }
        if running.flow.held.load(Ordering::Relaxed) {
            self.scheduler.request_held(now, request);
        }
    }

    /// Takes what the stopped fetches still report.
    async fn drain(&mut self, reports: &mut mpsc::Receiver<FetchEvent>) {
        let (unused, _) = mpsc::channel(1);
        self.events = unused;
        while let Some(report) = reports.recv().await {
            if let Err(error) = self.reported(report) {
                debug!(?error, "a fetch failed while stopping");
            }
        }
    }
}
