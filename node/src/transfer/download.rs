//! One download, from a record to an installed file.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use wire::manifest::{Blocks, Layout};
use wire::message::HolderInfo;
use wire::{ErrorBody, ErrorCode, RootHash};

use super::finder::Found;
use super::front::Front;
use super::goal::Goal;
use super::jobs::JobControl;
use super::latest::{Latest, latest};
use super::manifest::ManifestSearch;
use super::opening::Opening;
use super::outcome::{Finished, JobError};
use super::parts::{Giving, Part};
use super::reuse::{Reuse, is_likely};
use super::source::{Beside, Early};
use super::swarm::{Swarm, SwarmParts};
use super::verify::VerifiedRecord;
use super::whole::WholeHasher;
use crate::activity::{Activity, Version};
use crate::control::api::Stage;
use crate::peer::Shared;
use crate::store::{Chosen, InstallFacts, Job, Kept, Offer, Partial, PartialError, Patterns, Update};
use crate::subscription::guard::{Guard, new_bytes};

/// How often manifests that lead to other content are left behind before the download fails.
const WRONG_MANIFESTS: usize = 3;

/// How long the end of a download waits until the index knows of the new holder.
const ANNOUNCE_PATIENCE: Duration = Duration::from_secs(1);

/// What is being downloaded.
pub(crate) struct Download {
    shared: Arc<Shared>,
    job: Job,
    record: Arc<VerifiedRecord>,
    control: Arc<JobControl>,
    /// Manifests that led to other content.
    refused: HashSet<RootHash>,
    /// See [`Download::guarded`].
    guarded: bool,
}

/// The manifest of a download.
struct Plan {
    root: RootHash,
    layout: Arc<Layout>,
    /// Of the file, where they are known.
    blocks: Option<Blocks>,
    /// Holders that answered, and those that may yet.
    holders: Opening,
    /// Chunks that are on their way.
    front: Option<Front>,
}

impl Download {
    /// For a job whose record is verified.
    pub(crate) fn new(
        shared: Arc<Shared>,
        job: Job,
        record: Arc<VerifiedRecord>,
        control: Arc<JobControl>,
    ) -> Self {
        Self { shared, job, record, control, refused: HashSet::new(), guarded: false }
    }

    /// As an update: where its owner changed so much that the user is to be asked, it ends with that.
    pub(crate) const fn guarded(mut self) -> Self {
        self.guarded = true;
        self
    }

    /// Runs it until the file is installed. `holders` are those that the index named just now, if it did.
    ///
    /// # Errors
    /// See [`JobError`]. What was received and synced stays for the next run, except where it turned out wrong.
    pub(crate) async fn run(mut self, holders: Vec<HolderInfo>) -> Result<Finished, JobError> {
        let mut holders = holders;
        for _ in 0..WRONG_MANIFESTS {
            let plan = self.plan(std::mem::take(&mut holders)).await?;
            let root = plan.root;
            if let Some(finished) = self.transfer(plan).await? {
                return Ok(finished);
            }
            warn!(%root, "the chunks of this manifest are not the content that it names; trying another");
            self.refused.insert(root);
            holders = self.locate_again().await?;
        }
        Err(ErrorBody::new(ErrorCode::BadRecord, "the manifests of this content lead to other content")
            .into())
    }

    /// The manifest: the one of an earlier run, or from the holders.
    async fn plan(&mut self, holders: Vec<HolderInfo>) -> Result<Plan, JobError> {
        self.control.stage(Stage::Locating);
        if let Some(root) = self.job.root.filter(|root| !self.refused.contains(root))
            && let Some(layout) = self.shared.store.layout(root).await?
        {
            let holders = Opening::new(&self.shared, &self.record, holders, Early::Nothing);
            let blocks = self.shared.store.blocks(root).await?;
            let blocks = blocks.and_then(|bytes| {
                Blocks::checked(bytes.into(), layout.chunks.size(), self.record.record.content.as_ref()?).ok()
            });
            return Ok(Plan { root, layout, blocks, holders, front: None });
        }
        let all_is_to_come = self.job.only.is_empty()
            && self.job.done.is_empty()
            && !is_likely(&self.shared.store, &self.job).await?;
        // Of several holders one would have done much before the others join, and nobody knows yet which is the best.
        let front = all_is_to_come && holders.len() == 1;
        let beside = Beside { front, blocks: all_is_to_come };
        let early = if front { Early::RootAndFront } else { Early::Root };
        let mut holders = Opening::new(&self.shared, &self.record, holders, early);
        let search =
            ManifestSearch::new(&self.shared, self.control.limiter(), &self.record, &self.refused, beside);
        let fetched = self.control.stoppable(search.run(&mut holders)).await??;
        let root = fetched.manifest.root_hash;
        let blocks = fetched.manifest.blocks.clone();
        // The reference first: a manifest to which nothing refers is collected.
        self.shared.store.set_job_root(self.job.id, root).await?;
        self.shared.store.put_received(Arc::new(fetched.manifest), fetched.draft).await?;
        self.shared.store.keep_layout(root, &fetched.layout);
        self.job.root = Some(root);
        Ok(Plan { root, layout: fetched.layout, blocks, holders, front: fetched.front })
    }

    /// Moves the chunks and installs. `None` if the whole is not what the record says.
    async fn transfer(&mut self, plan: Plan) -> Result<Option<Finished>, JobError> {
        let Plan { root, layout, blocks, holders, front } = plan;
        let chosen = self.chosen(&layout)?;
        self.ask_first(&layout).await?;
        let update = self.plan_update(&layout).await?;
        // What an update leaves as it is need not come.
        let (picked, chosen) = match &update {
            Some(update) => (chosen.bytes(&layout), update.brought()),
            None => (chosen.bytes(&layout), chosen),
        };
        let mut bytes_reused = picked - chosen.bytes(&layout).min(picked);
        let goal = Arc::new(Goal::new(layout.clone(), chosen));
        let Some(file) = self.open_partial(&goal).await? else {
            let Job { bytes_received, bytes_reused, sources, .. } = self.job.clone();
            // What that has kept beside the log of activity tells.
            return Ok(Some(Finished { bytes_received, bytes_reused, sources, kept: Kept::default() }));
        };
        if let Some(update) = &update {
            bytes_reused += self.take_moved(update, &file).await?;
        }
        let reuse = Reuse::find(&self.shared, &self.job, (root, &goal), &self.control).await?;
        let hasher = WholeHasher::start(file.clone(), goal.clone(), blocks).map_err(|error| {
            ErrorBody::new(ErrorCode::Internal, format!("no thread for hashing: {error}"))
        })?;
        let chunks = Arc::new(layout.chunks.clone());
        let (giving, askers) = self.give(root, &goal, &file).unzip();
        let mut swarm = Swarm::new(SwarmParts {
            shared: self.shared.clone(),
            job: self.job.clone(),
            record: self.record.clone(),
            root,
            chunks: chunks.clone(),
            goal: goal.clone(),
            file: file.clone(),
            hasher: &hasher,
            reuse,
            front,
            control: self.control.clone(),
            giving: giving.as_ref(),
            askers,
        });
        let mut finished = swarm.run(holders).await?;
        finished.bytes_reused += bytes_reused;
        // See `Swarm::save_last`; dropped where it is not needed.
        let checkpoint = layout.is_folder().then(|| swarm.save());
        self.control.stage(Stage::Verifying);
        let verified = self.control.stoppable(hasher.finish(chunks.size())).await;
        if matches!(verified, Ok(Ok(false))) {
            drop(giving);
            self.start_over().await?;
            return Ok(None);
        }
        // File by file it is no part of the new version any more.
        let giving = giving.filter(|_| update.is_none());
        let installed = match verified.and_then(|verified| Ok(verified?)) {
            Ok(_) => self.install(&layout, file, giving.as_ref(), finished.bytes_reused).await,
            Err(error) => Err(error),
        };
        match installed {
            Ok(kept) => Ok(Some(Finished { kept, ..finished })),
            Err(error) => {
                if let Some(checkpoint) = checkpoint
                    && self.is_kept().await
                    && let Err(error) = checkpoint.await
                {
                    debug!(?error, "progress could not be saved");
                }
                Err(error)
            }
        }
    }

    /// Whether what was received is still there: an installation may have given it up.
    async fn is_kept(&self) -> bool {
        let job = self.shared.store.job(self.job.id).await;
        job.is_ok_and(|job| job.is_some_and(|job| job.temporary.is_some()))
    }

    /// Whether its user is to be asked before it goes on.
    async fn ask_first(&self, layout: &Layout) -> Result<(), JobError> {
        let store = &self.shared.store;
        let Some(one) = store.subscription_at(self.job.target.clone()).await?.filter(|_| self.guarded) else {
            return Ok(());
        };
        if one.accepted == Some(self.record.hash) {
            return Ok(());
        }
        let base = match one.held.and_then(|held| held.root) {
            Some(root) => store.layout(root).await?,
            None => None,
        };
        let (fs, folder) = (store.fs().clone(), self.job.target.parent().map(std::path::Path::to_owned));
        let look = move || folder.and_then(|folder| fs.free_space(&folder).ok());
        let free = tokio::task::spawn_blocking(look).await.map_err(JobError::internal)?.unwrap_or(u64::MAX);
        let done = self.job.done.iter().filter_map(|run| layout.chunks.bytes_of(run));
        let done: u64 = done.map(|bytes| bytes.end - bytes.start).sum();
        let held = base.as_ref().map(|base| base.chunks.size());
        let needed = new_bytes(base.as_deref(), layout).saturating_sub(done);
        let guard = Guard(self.shared.updates);
        let why = guard
            .holds_back(held, layout.chunks.size(), needed, free)
            .or_else(|| guard.mass_deletion(base.as_deref()?, layout));
        let Some(why) = why else { return Ok(()) };
        warn!(owner = %one.owner, name = %one.name, why, "an update waits for its user");
        store.hold_back(one.id, self.record.hash, why.clone()).await?;
        let what = Version::of(&self.record.record);
        self.shared.log(Activity::UpdateHeld { what, why: why.clone() }).await;
        Err(JobError::HeldBack(why))
    }

    /// From now on others get what is there, if this node is to share it.
    fn give(
        &self,
        root: RootHash,
        goal: &Goal,
        file: &Arc<Partial>,
    ) -> Option<(Giving, mpsc::Receiver<HolderInfo>)> {
        if !self.job.options.share || !self.job.only.is_empty() {
            return None;
        }
        let named = (self.job.owner.clone(), self.job.name.clone(), self.job.target.clone());
        let manifest = (root, &*goal.layout);
        let (part, askers) = Part::new(named, manifest, (file.clone(), goal.received(&self.job.done)));
        Some((Giving::begin(&self.shared, part), askers))
    }

    /// What of it is wanted.
    fn chosen(&self, layout: &Layout) -> Result<Chosen, JobError> {
        if self.job.only.is_empty() {
            return Ok(Chosen::all());
        }
        let unusable = |text: String| ErrorBody::new(ErrorCode::NotFound, text);
        let patterns = Patterns::new(&self.job.only).map_err(|error| unusable(error.to_string()))?;
        let chosen = Chosen::by(&patterns, layout);
        match layout.is_folder() && !chosen.is_nothing(layout) {
            true => Ok(chosen),
            false => Err(unusable("nothing in it matches --only".to_owned()).into()),
        }
    }

    /// Forgets what was received, and the manifest by which it was.
    async fn start_over(&mut self) -> Result<(), JobError> {
        let id = self.job.id;
        let offer = Offer {
            record: self.job.record.clone(),
            receipt: self.job.receipt.clone(),
            certificate: self.job.certificate.clone(),
            root: None,
        };
        self.shared.store.discard_temporary(id).await?;
        self.shared.store.revise_job(id, offer).await?;
        self.job.root = None;
        self.job.done = Default::default();
        Ok(())
    }

    /// Who holds the content now.
    async fn locate_again(&self) -> Result<Vec<HolderInfo>, JobError> {
        match self.control.stoppable(latest(&self.shared, &self.record, self.job.options.pinned)).await?? {
            Latest::Same(holders) => Ok(holders),
            Latest::Newer(newer, _) => Err(JobError::Newer(newer)),
            Latest::Older => Ok(Vec::new()),
        }
    }

    /// The partial file of an earlier run, or a new one; `None` where an interrupted installation could be finished now.
    async fn open_partial(&mut self, goal: &Goal) -> Result<Option<Arc<Partial>>, JobError> {
        let (store, id, now) = (&self.shared.store, self.job.id, self.shared.clock.now());
        let opened = match goal.layout.is_folder() {
            true => store.open_partial_folder(id, goal.layout.clone(), goal.chosen.clone(), now).await,
            false => store.open_partial(id, now).await,
        };
        let opened = match opened {
            Err(PartialError::Installed(_)) => {
                info!(path = %self.job.target.display(), "installed");
                self.shared.own_changed();
                return Ok(None);
            }
            opened => opened?,
        };
        if opened.done.is_empty() && !self.job.done.is_empty() {
            warn!("what was received earlier is gone; beginning anew");
        }
        self.job.done = opened.done;
        Ok(Some(Arc::new(opened.file)))
    }

    /// How the folder at the target gets to this version, where an older one lies there.
    async fn plan_update(&mut self, layout: &Layout) -> Result<Option<Arc<Update>>, JobError> {
        let update = match layout.is_folder() {
            true => self.shared.store.plan_update(self.job.id).await?,
            false => None,
        };
        if update.is_none() && layout.is_folder() && self.job.base.take().is_some() {
            self.job.done = Default::default();
        }
        Ok(update)
    }

    /// Files that only moved within the folder do not come over the network. Returns how many bytes of them are there now.
    async fn take_moved(&mut self, update: &Arc<Update>, file: &Arc<Partial>) -> Result<u64, JobError> {
        let (store, id, done) = (self.shared.store.clone(), self.job.id, self.job.done.clone());
        let chunks = update.chunks();
        let (update, file, token) = (update.clone(), file.clone(), CancellationToken::new());
        let (stop, stopped) = (token.clone().drop_guard(), token);
        let taking = tokio::task::spawn_blocking(move || {
            store.take_moved(id, &update, (&file, &done), &|| !stopped.is_cancelled())
        });
        let taken = self.control.stoppable(taking).await?.map_err(JobError::internal)??;
        drop(stop);
        let bytes =
            taken.iter().filter_map(|run| chunks.bytes_of(run)).map(|bytes| bytes.end - bytes.start).sum();
        taken.iter().for_each(|run| self.job.done.insert(run));
        Ok(bytes)
    }

    async fn install(
        &self,
        layout: &Layout,
        file: Arc<Partial>,
        giving: Option<&Giving>,
        bytes_reused: u64,
    ) -> Result<Kept, JobError> {
        self.control.stage(Stage::Installing);
        let record = &self.record.record;
        let facts = InstallFacts {
            executable: !layout.is_folder() && layout.entries.first().is_some_and(|entry| entry.executable),
            mtime: record.mtime,
            user: record.user.clone(),
            base: self.job.base.map(|base| base.content),
            bytes_reused,
        };
        let (store, id, now) = (&self.shared.store, self.job.id, self.shared.clock.now());
        let installed = match layout.is_folder() {
            true => store.install_folder(id, facts, file, now).await?,
            false => store.install(id, facts, now).await?,
        };
        info!(path = %installed.path.display(), "installed");
        for kept in &installed.kept.files {
            info!(path = %kept.path.display(), "what lay there is kept");
        }
        // They may have changed while it ran.
        let options = self.shared.store.job(self.job.id).await?.map_or(self.job.options, |job| job.options);
        if options.share
            && self.job.only.is_empty()
            && let Some(content) = record.content
        {
            if self.job.base.is_some() {
                // The version before is here no more.
                self.shared.own_changed();
            }
            giving.inspect(|giving| giving.installed());
            let announced = self.shared.announce_holding(content, true);
            if tokio::time::timeout(ANNOUNCE_PATIENCE, announced).await.is_err() {
                self.shared.own_changed();
            }
        }
        Ok(installed.kept)
    }
}

impl From<Found> for Option<JobError> {
    /// What ends a download; `None` for what does not.
    fn from(found: Found) -> Self {
        match found {
            Found::Newer(record) => Some(JobError::Newer(record)),
            Found::Gone(body) => Some(JobError::Refused(body)),
            Found::Holder(..) | Found::Nobody(_) => None,
        }
    }
}
