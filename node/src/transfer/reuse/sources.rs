//! Where chunks of a content may lie on this machine: what this node holds, and what lies at the target.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{debug, info};
use wire::manifest::{ChunkTable, ChunkerParams, Layout};
use wire::{ContentHash, RootHash};

use super::copying::{Copied, Copying, Work};
use super::plan::{Copy, Planner};
use crate::control::api::Stage;
use crate::peer::Shared;
use crate::ranges::RangeSet;
use crate::store::fs::FileKind;
use crate::store::{
    Chosen, DbError, Holding, HoldingState, Job, Like, OpenedRemnant, Partial, Patterns, ServeError, Served,
    Store, open_served, recut,
};
use crate::transfer::disks::Disk;
use crate::transfer::goal::Goal;
use crate::transfer::jobs::JobControl;
use crate::transfer::outcome::JobError;
use crate::transfer::whole::Hashes;

/// Contents that are looked into for one download.
const LOOKED_INTO: usize = 8;
/// Chunks of these together, beside those of the first two: as many as a folder may have entries.
const CHUNKS_LOOKED_AT: u64 = 2 << 20;
/// Smaller contents are not looked for in other resources: that would take longer than they do.
const NEIGHBOURS_FROM: u64 = 1 << 20;
/// A disk that has not answered within this time has nothing.
const OPENED_WITHIN: Duration = Duration::from_secs(2);
/// A file that is more than this many times as large as the new one is not cut anew.
const RECUT_WITHIN: u64 = 4;

/// Something that is read from, open.
#[derive(Debug)]
pub(super) enum LocalSource {
    /// What is held, or lies at the target.
    Held(Served),
    /// What was received of an earlier version.
    Left(Partial),
}

impl LocalSource {
    /// Fills a buffer from an offset among the bytes of all files; `false` where that cannot be, or it changed. Blocks.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let told = |error: &dyn std::fmt::Display| debug!(%error, "what was to be copied is fetched");
        match self {
            Self::Held(served) => served.read(offset, buffer).inspect_err(|error| told(error)).is_ok(),
            Self::Left(partial) => partial.read_at(offset, buffer).inspect_err(|error| told(error)).is_ok(),
        }
    }
}

/// What is copied.
#[derive(Debug)]
pub(in crate::transfer) struct Reuse {
    sources: Vec<LocalSource>,
    copies: Vec<Copy>,
}

impl Reuse {
    /// Looks for the chunks that are missing where only these are `done`. What cannot be opened or read is no source, and
    /// no error.
    ///
    /// # Errors
    /// That the download is stopped, or the database does not answer.
    pub(in crate::transfer) async fn find(
        shared: &Arc<Shared>,
        job: &Job,
        (root, goal): (RootHash, &Goal),
        control: &JobControl,
    ) -> Result<Option<Self>, JobError> {
        let not_fetched = goal.not_fetched(&job.done);
        let missing: RangeSet = not_fetched.gaps(goal.layout.chunks.len()).collect();
        if missing.is_empty() {
            return Ok(None);
        }
        let like = like(job, Some(root));
        let candidates = shared.store.holdings_like(like).await?;
        let patterns = Patterns::new(&job.only).map_err(JobError::internal)?;
        let all = job.only.is_empty();
        let chosen = move |layout: &Layout| if all { Chosen::all() } else { Chosen::by(&patterns, layout) };
        let remnant = shared.store.open_remnant(job.id, chosen.clone()).await.unwrap_or_else(|error| {
            debug!(%error, "what was received of an earlier version cannot be read");
            None
        });
        if candidates.is_empty() && !job.options.force && remnant.is_none() {
            return Ok(None);
        }
        control.stage(Stage::Reusing);
        let chunks = goal.layout.chunks.clone();
        let planner = blocking(move || Planner::new(chunks, missing.iter().flatten())).await?;
        let mut search = Search {
            shared,
            job,
            control,
            layout: &goal.layout,
            planner,
            sources: Vec::new(),
            budget: CHUNKS_LOOKED_AT,
        };
        if let Some(OpenedRemnant { file, layout, done }) = remnant {
            let goal = blocking(move || Goal::new(layout.clone(), chosen(&layout))).await?;
            let there = goal.received(&done);
            search.take(LocalSource::Left(file), goal.layout.chunks.clone(), Some(there)).await?;
        }
        let found = control.stoppable(search.run(candidates)).await??;
        Ok(found.filter(|found| !found.copies.is_empty()))
    }

    /// The chunks that are to be copied, in order.
    pub(in crate::transfer) fn chunks(&self) -> impl Iterator<Item = std::ops::Range<u32>> + '_ {
        self.copies.iter().map(|copy| copy.chunks.clone())
    }

    /// Begins to copy.
    pub(in crate::transfer) fn begin(
        self,
        shared: &Shared,
        (file, hashes): (Arc<Partial>, Arc<Hashes>),
        chunks: ChunkTable,
    ) -> (Copying, mpsc::Receiver<Copied>) {
        let Self { sources, copies } = self;
        Copying::begin(Work { file, hashes, chunks, sources, copies, buffers: shared.batches.clone() })
    }
}

/// Whether much of what a job downloads is likely to be here, so that nothing should be asked for before that is known.
pub(in crate::transfer) async fn is_likely(store: &Store, job: &Job) -> Result<bool, JobError> {
    let like = Like { neighbours: false, ..like(job, None) };
    let held = !store.holdings_like(like).await?.is_empty();
    Ok(held || job.options.force || store.has_remnant(job.id).await?)
}

/// A manifest of a content that this node holds somewhere, unchanged as far as that can be seen, so that none need be
/// fetched: the publisher's own if that is among them.
pub(crate) async fn held_root(
    store: &Store,
    content: ContentHash,
    published: Option<RootHash>,
) -> Result<Option<RootHash>, DbError> {
    let mut holdings = store.holdings_of(content).await?;
    holdings.sort_by_key(|holding| Some(holding.root) != published);
    for holding in holdings {
        let root = holding.root;
        let checking = tokio::time::timeout(OPENED_WITHIN, store.check_holding(holding));
        if matches!(checking.await, Ok(Ok(HoldingState::Ok)))
            && matches!(store.layout(root).await, Ok(Some(_)))
        {
            return Ok(Some(root));
        }
    }
    Ok(None)
}

fn like(job: &Job, root: Option<RootHash>) -> Like {
    Like {
        content: job.content,
        root,
        account: job.record.account,
        name: job.name.clone(),
        target: job.target.clone(),
        neighbours: job.record.size >= NEIGHBOURS_FROM,
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JobError> {
    tokio::task::spawn_blocking(work).await.map_err(JobError::internal)
}

/// The looking.
struct Search<'a> {
    shared: &'a Arc<Shared>,
    job: &'a Job,
    control: &'a JobControl,
    layout: &'a Layout,
    planner: Planner,
    sources: Vec<LocalSource>,
    /// How many chunks may still be looked at.
    budget: u64,
}

impl Search<'_> {
    async fn run(mut self, candidates: Vec<Holding>) -> Result<Option<Reuse>, JobError> {
        let mut roots = Vec::new();
        let mut at_target = false;
        for holding in candidates {
            if self.planner.is_complete() || roots.len() >= LOOKED_INTO {
                break;
            }
            // A second place with the same content would bring nothing, unless the first could not be opened.
            if !roots.contains(&holding.root) {
                at_target |= holding.path == self.job.target;
                let root = holding.root;
                if self.look_into(holding, roots.len()).await? {
                    roots.push(root);
                }
            }
        }
        if self.job.options.force && !at_target && !self.planner.is_complete() {
            self.look_at_target().await?;
        }
        let Self { sources, planner, .. } = self;
        let copies = blocking(move || planner.finish()).await?;
        if !copies.is_empty() {
            info!(sources = sources.len(), runs = copies.len(), "what is here already is copied");
        }
        Ok(Some(Reuse { sources, copies }))
    }

    /// Returns whether it could be.
    async fn look_into(&mut self, holding: Holding, earlier: usize) -> Result<bool, JobError> {
        let Ok(Some(layout)) = self.shared.store.layout(holding.root).await else { return Ok(false) };
        let count = u64::from(layout.chunks.len());
        if earlier >= 2 {
            if count > self.budget {
                return Ok(false);
            }
            self.budget -= count;
        }
        let near = holding.path == self.job.target || holding.name == self.job.name;
        let params = self.new_params().filter(|_| near && !holding.folder);
        let (store, kept) = (self.shared.store.clone(), layout.clone());
        let path = holding.path.clone();
        let opened = self.on_disk(&holding, move |holding| open(&store, holding, kept)).await;
        match (opened, params) {
            (Some(Ok(_)), Some(params)) if Some(params) != params_of(&layout) => {
                self.cut(&path, params).await
            }
            (Some(Ok(source)), _) => {
                self.take(source, layout.chunks.clone(), None).await?;
                Ok(true)
            }
            // Others than its user wrote to it, and most of it may be as it was.
            (Some(Err(ServeError::Changed(_))), Some(params)) => self.cut(&path, params).await,
            (_, _) => Ok(false),
        }
    }

    /// What lies there and is not held.
    async fn look_at_target(&mut self) -> Result<(), JobError> {
        if let Some(params) = self.new_params() {
            let target = self.job.target.clone();
            self.cut(&target, params).await?;
        }
        Ok(())
    }

    /// How the new file is cut; `None` for a folder.
    fn new_params(&self) -> Option<ChunkerParams> {
        params_of(self.layout)
    }

    /// Cuts a file as the new one is cut. Returns whether it could be.
    async fn cut(&mut self, path: &Path, params: ChunkerParams) -> Result<bool, JobError> {
        let (store, path) = (self.shared.store.clone(), path.to_owned());
        let (most, stop) =
            (self.layout.chunks.size().saturating_mul(RECUT_WITHIN), self.control.stop_token().clone());
        let cutting = move || {
            let fs = &**store.fs();
            let looked =
                fs.stat(&path).is_ok_and(|stat| stat.kind == FileKind::Regular && stat.stamp.size <= most);
            looked.then(|| recut(fs, &path, params, &|| stop.is_cancelled()))
        };
        match blocking(cutting).await? {
            Some(Ok((file, chunks))) => {
                self.take(LocalSource::Held(Served::File(file)), chunks, None).await?;
                Ok(true)
            }
            Some(Err(error)) => {
                debug!(%error, "a file was not looked into");
                Ok(false)
            }
            None => Ok(false),
        }
    }

    /// Plans what is copied from a source, of which these chunks are there; `None` means all.
    async fn take(
        &mut self,
        source: LocalSource,
        chunks: ChunkTable,
        there: Option<RangeSet>,
    ) -> Result<(), JobError> {
        let empty = || Planner::new(ChunkTable::default(), std::iter::empty());
        let mut planner = std::mem::replace(&mut self.planner, empty());
        let (planner, found) = blocking(move || {
            let found = planner.add(&chunks, there.as_ref());
            (planner, found)
        })
        .await?;
        self.planner = planner;
        self.sources.extend(Some(source).filter(|_| found));
        Ok(())
    }

    /// `None` where the disk does not answer.
    async fn on_disk<T: Send + 'static>(
        &self,
        holding: &Holding,
        call: impl FnOnce(&Holding) -> T + Send + 'static,
    ) -> Option<T> {
        let (content, disk, holding) =
            (holding.content, Disk::Numbered(holding.stamp.device), holding.clone());
        let opening = async { self.shared.disks.begin(content, disk, move || call(&holding)).await.await };
        tokio::time::timeout(OPENED_WITHIN, opening).await.ok()?.ok()
    }
}

fn params_of(layout: &Layout) -> Option<ChunkerParams> {
    layout.entries.first().filter(|_| !layout.is_folder())?.params
}

fn open(store: &Store, holding: &Holding, layout: Arc<Layout>) -> Result<LocalSource, ServeError> {
    let served = match holding.folder {
        // Each of its files is compared with its own stamp as it is read, whatever was noticed of others.
        true => {
            let holding = Holding { state: HoldingState::Ok, ..holding.clone() };
            Served::Folder(store.open_served_folder(&holding, layout)?)
        }
        false => Served::File(open_served(&**store.fs(), holding)?),
    };
    Ok(LocalSource::Held(served))
}
