//! `get`: a download begun, attached to or gone on with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;
use wire::message::{HolderInfo, ResourceQuery};
use wire::{ErrorCode, Kind, ResourceName, RootHash};

use super::drive::{Outset, drive};
use super::jobs::no_download;
use super::keep::refuse_keep;
use super::there::abandoned;
use crate::control::api::{Event, GetDone, GetRequest, JobState, LocalPath, Progress, Stage, Started};
use crate::control::{ApiError, ApiResult, EVENTS_QUEUED, Events, LocalCode};
use crate::peer::Shared;
use crate::store::fs::FileKind;
use crate::store::{Base, CreatedJob, Job, JobOptions, NewJob, Offer, Patterns};
use crate::transfer::{JobControl, JobView, VerifiedRecord, held_root, locate};

/// What a `get` leads to.
pub(super) enum Begun {
    /// A download, new or not.
    Runs(Box<Job>, Arc<JobControl>),
    /// The file is there already.
    There(Box<GetDone>),
}

impl Shared {
    /// Starts a download, resumes a paused or failed one, or attaches to one that runs.
    ///
    /// What it begins goes on if nobody listens any more: a job that is accepted is run.
    pub(crate) async fn get(self: &Arc<Self>, request: GetRequest) -> ApiResult<Events<GetDone>> {
        self.need_login()?;
        let (events, receiver) = mpsc::channel(EVENTS_QUEUED);
        let shared = self.clone();
        self.tasks.spawn(async move {
            match shared.begin(&request, &events).await {
                Ok(Begun::Runs(_, control)) => {
                    // Where the node stops, whoever follows hears that, not that the download is paused.
                    tokio::select! {
                        () = follow(&control, &events) => {}
                        () = shared.tasks.stopping() => {}
                    }
                }
                Ok(Begun::There(done)) => drop(events.send(Event::Result(*done)).await),
                Err(error) => drop(events.send(Event::Error(error)).await),
            }
        });
        Ok(receiver)
    }

    /// The same, up to where the download runs.
    pub(crate) fn start_get(self: &Arc<Self>, request: GetRequest) -> ApiResult<Events<Started>> {
        self.need_login()?;
        let (events, receiver) = mpsc::channel(EVENTS_QUEUED);
        let shared = self.clone();
        self.tasks.spawn(async move {
            let begun = shared.begin(&request, &events).await;
            drop(events.send(begun.map_or_else(Event::Error, |begun| Event::Result(started(begun)))).await);
        });
        Ok(receiver)
    }

    pub(super) async fn begin<T: Send + 'static>(
        self: &Arc<Self>,
        request: &GetRequest,
        events: &mpsc::Sender<Event<T>>,
    ) -> ApiResult<Begun> {
        Patterns::new(&request.only).map_err(|error| ApiError::usage(error.to_string()))?;
        refuse_keep(request)?;
        let wanted =
            self.wanted_target(request.path.as_ref().map(|path| path.as_path()), &request.name).await?;
        if let Some(job) = self.find_same(request, wanted.as_deref()).await? {
            return self.go_on(job, request).await;
        }
        if let Some(target) = wanted.as_deref().filter(|_| !request.parents) {
            need_folder(target).await?;
        }
        let target = wanted.unwrap_or_else(|| self.default_target(request));
        self.refuse_subscribed(&target, request).await?;
        let query = ResourceQuery {
            anyway: request.wait,
            version: request.version,
            ..ResourceQuery::latest(request.owner.clone(), request.name.clone())
        };
        let located = self.locate_or_held(query).await;
        let (record, holders) = located.map_err(|error| of_version(error, request))?;
        self.keep_from_now_on(request, &record.record).await?;
        if request.only.is_empty() && self.lies_there(&target, &record, request.force, events).await? {
            return self
                .adopt_file(request, &record, target, events)
                .await
                .map(|done| Begun::There(Box::new(done)));
        }
        let base = self.base_at(&target, &record, &request.only, request.force).await?;
        if record.record.kind == Kind::Folder && base.is_none() {
            self.refuse_taken(&target).await?;
        } else if record.record.kind == Kind::File && !request.only.is_empty() {
            return Err(ApiError::usage(format!(
                "{}/{} is one file: --only is for folders",
                request.owner, request.name
            )));
        }
        if base.is_none() {
            self.refuse_unequal(&target, request.force).await?;
        }
        if events.is_closed() {
            // Interrupted before there was a download to pause: none is begun.
            return Err(abandoned());
        }
        let job = self.create(request, &record, target, base).await?;
        let control = self.start(job.clone(), Outset::first(holders, request.wait))?;
        Ok(Begun::Runs(Box::new(job), control))
    }

    /// What the index lists, and who holds it. Nobody is needed for what is here.
    async fn locate_or_held(
        self: &Arc<Self>,
        query: ResourceQuery,
    ) -> ApiResult<(VerifiedRecord, Vec<HolderInfo>)> {
        match locate(self, query.clone()).await {
            Err(body) if body.code == ErrorCode::NoHolder => {
                let (record, holders) = locate(self, ResourceQuery { anyway: true, ..query }).await?;
                match self.held_root(&record).await? {
                    Some(_) => Ok((record, holders)),
                    None => Err(body.into()),
                }
            }
            located => Ok(located?),
        }
    }

    /// Resumes a job, or attaches to it. `--force`, `--no-share` and `--limit` hold from now on.
    async fn go_on(self: &Arc<Self>, job: Job, request: &GetRequest) -> ApiResult<Begun> {
        if !request.only.is_empty() && request.only != job.only {
            let text = format!("there is a download of {}/{} with other files chosen", job.owner, job.name);
            let hint = format!("let it end, or drop it: p2p-node cancel {}/{}", job.owner, job.name);
            return Err(exists(text).with_hint(hint));
        }
        if request.keep.is_some() {
            self.keep_from_now_on(request, &job.record).await?;
        }
        let change = |options: &mut JobOptions| {
            options.force |= request.force;
            options.share &= request.share;
            options.limit = request.limit.unwrap_or(options.limit);
        };
        let job = self.set_options(job, change).await?;
        let (job, control) = self.run_again(&job).await?.ok_or_else(|| no_download(&job))?;
        Ok(Begun::Runs(Box::new(job), control))
    }

    /// Where the user wants it: a folder means into it, unless it is what was downloaded before.
    pub(super) async fn wanted_target(
        &self,
        path: Option<&Path>,
        name: &ResourceName,
    ) -> ApiResult<Option<PathBuf>> {
        let Some(path) = path else { return Ok(None) };
        let slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let folder = slash
            || matches!(self.kind_of(path).await?, Some(FileKind::Folder))
                && !self.is_installed_folder(path, name).await?;
        Ok(Some(if folder { path.join(name.as_str()) } else { path.to_owned() }))
    }

    fn default_target(&self, request: &GetRequest) -> PathBuf {
        self.home.join("downloads").join(request.owner.as_str()).join(request.name.as_str())
    }

    /// What stays up to date does not go back to an old version.
    async fn refuse_subscribed(&self, target: &Path, request: &GetRequest) -> ApiResult<()> {
        let Some(version) = request.version else { return Ok(()) };
        let at = self.store.subscription_at(target.to_owned()).await.map_err(ApiError::internal)?;
        let Some(one) = at else { return Ok(()) };
        let text = format!("{} is kept up to date with {}/{}", target.display(), one.owner, one.name);
        Err(exists(text).with_hint(format!("choose another place for version {version} with -o")))
    }

    /// A folder is put where nothing lies.
    async fn refuse_taken(&self, target: &Path) -> ApiResult<()> {
        match self.kind_of(target).await? {
            None => Ok(()),
            Some(_) => {
                let text = format!(
                    "{} exists, and a folder is not put in the place of what lies there",
                    target.display()
                );
                Err(exists(text).with_hint("choose another place with -o, or move what lies there elsewhere"))
            }
        }
    }

    /// Something else at the target stays, unless told otherwise.
    async fn refuse_unequal(&self, target: &Path, force: bool) -> ApiResult<()> {
        match self.kind_of(target).await? {
            Some(kind @ (FileKind::Folder | FileKind::Other)) => {
                let text = format!("{} is {}", target.display(), kind.as_str());
                Err(exists(text).with_hint("choose another place with -o"))
            }
            Some(_) if !force => {
                let text = format!("{} exists and is another file", target.display());
                Err(exists(text).with_hint(
                    "choose another place with -o, or replace it with --force (the old file is kept beside)",
                ))
            }
            _ => Ok(()),
        }
    }

    async fn create(
        &self,
        request: &GetRequest,
        record: &VerifiedRecord,
        target: PathBuf,
        base: Option<Base>,
    ) -> ApiResult<Job> {
        let job = NewJob {
            target,
            options: options_of(request),
            only: request.only.clone(),
            base,
            offer: Offer { root: self.held_root(record).await?, ..self.offer(record) },
        };
        match self.store.create_job(job, self.clock.now()).await.map_err(ApiError::internal)? {
            CreatedJob::New(job) => Ok(job),
            CreatedJob::Existing(job) if is_asked(&job, request) => Ok(job),
            CreatedJob::Existing(job) => {
                let version = pin(&job).map_or_else(String::new, |version| format!(" version {version}"));
                let text = format!(
                    "{} is the target of the download of {}/{}{version}",
                    job.target.display(),
                    job.owner,
                    job.name
                );
                Err(exists(text).with_hint(format!(
                    "choose another place with -o, or: p2p-node cancel {}/{}",
                    job.owner, job.name
                )))
            }
        }
    }

    /// A manifest of what a record names that is here already, with the content.
    async fn held_root(&self, record: &VerifiedRecord) -> ApiResult<Option<RootHash>> {
        let held = held_root(&self.store, record.content()?, record.record.root).await;
        held.map_err(ApiError::internal)
    }

    /// A verified record as the store keeps it for a job.
    pub(super) fn offer(&self, record: &VerifiedRecord) -> Offer {
        Offer {
            record: Arc::new(record.record.clone()),
            receipt: bytes_of(record.bundle.receipt.as_ref()),
            certificate: self.certificate_of(record),
            root: None,
        }
    }

    /// The certificate that a receipt hangs from: the one that came with it, or the index's. Of a record without a receipt the
    /// enrolment of its publisher.
    pub(super) fn certificate_of(&self, record: &VerifiedRecord) -> Option<bytes::Bytes> {
        if record.bundle.receipt.is_none() {
            return bytes_of(record.bundle.enrolment.as_ref());
        }
        let known = || self.me().certificate.map(|certificate| certificate.bytes().to_vec().into());
        bytes_of(record.bundle.certificate.as_ref()).or_else(known)
    }

    /// Runs a job, unless it runs already. There is no await between entering it and running it, so that none is
    /// entered that nobody runs.
    pub(super) fn start(self: &Arc<Self>, job: Job, outset: Outset) -> ApiResult<Arc<JobControl>> {
        let control = JobControl::new(self.tasks.child_token(), job.options.limit, view_of(&job));
        if self.jobs.insert(job.id, &control) {
            self.tasks.spawn(drive(self.clone(), job, outset, control.clone()));
            return Ok(control);
        }
        self.jobs.find(job.id).ok_or_else(|| ApiError::internal("the download just ended; try again"))
    }
}

/// How it is asked for.
pub(super) fn options_of(request: &GetRequest) -> JobOptions {
    let GetRequest { force, share, version, limit, .. } = *request;
    let (once, pinned) = (request.once || version.is_some(), version.is_some());
    JobOptions { force, share, once, pinned, limit: limit.unwrap_or_default() }
}

/// The version that a job is of, whatever is newer.
fn pin(job: &Job) -> Option<u64> {
    job.options.pinned.then_some(job.record.version)
}

/// Whether a job is the download that is asked for, to whatever place.
pub(super) fn is_asked(job: &Job, request: &GetRequest) -> bool {
    job.owner == request.owner && job.name == request.name && pin(job) == request.version
}

/// Where there is no such version, what lists those that there are.
fn of_version(error: ApiError, request: &GetRequest) -> ApiError {
    let GetRequest { owner, name, version, .. } = request;
    match version {
        Some(_) if error.code == ErrorCode::NotFound.into() => {
            error.with_hint(format!("`p2p-node versions {owner}/{name}` lists those that there are"))
        }
        _ => error,
    }
}

/// What lies there stays.
pub(super) fn exists(text: String) -> ApiError {
    ApiError::new(LocalCode::Exists, text)
}

/// Follows a running download: progress, then its end.
async fn follow(control: &Arc<JobControl>, events: &mpsc::Sender<Event<GetDone>>) {
    let mut views = control.watch();
    loop {
        let (end, progress) = {
            let view = views.borrow_and_update();
            (view.end.clone(), progress_of(&view))
        };
        if let Some(end) = end {
            let _ = events.send(end.map_or_else(Event::Error, Event::Result)).await;
            return;
        }
        let _ = events.try_send(Event::Progress(progress));
        tokio::select! {
            changed = views.changed() => if changed.is_err() { return },
            () = events.closed() => return,
        }
    }
}

/// A target's folder has to be there, unless it is wished for otherwise.
async fn need_folder(target: &Path) -> ApiResult<()> {
    let Some(folder) = target.parent().map(Path::to_owned) else { return Ok(()) };
    let look = move || match std::fs::metadata(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = format!("the folder {} does not exist", folder.display());
            Err(ApiError::new(LocalCode::NoSuchPath, text)
                .with_hint("make it first, or let `p2p-node get --parents` make it"))
        }
        Ok(found) if !found.is_dir() => {
            let text = format!("{} is not a folder", folder.display());
            Err(ApiError::new(LocalCode::NoSuchPath, text).with_hint("choose another place with -o"))
        }
        // What else is wrong with it is told where the file is made.
        _ => Ok(()),
    };
    tokio::task::spawn_blocking(look).await.map_err(ApiError::internal)?
}

fn started(begun: Begun) -> Started {
    match begun {
        Begun::Runs(job, _) => Started {
            id: Some(job.id.0),
            owner: job.owner,
            name: job.name,
            version: job.record.version,
            path: LocalPath::from(job.target),
            size: job.record.size,
            state: JobState::Running,
        },
        Begun::There(done) => Started {
            id: None,
            owner: done.owner,
            name: done.name,
            version: done.version,
            path: done.path,
            size: done.size,
            state: JobState::Installed,
        },
    }
}

pub(super) fn view_of(job: &Job) -> JobView {
    JobView {
        id: job.id,
        owner: job.owner.clone(),
        name: job.name.clone(),
        target: job.target.clone(),
        stage: Stage::Locating,
        bytes_done: 0,
        bytes_total: Some(job.record.size),
        bytes_received: job.bytes_received,
        bytes_reused: job.bytes_reused,
        rate: 0,
        eta_ms: None,
        holders: 0,
        peers: Arc::default(),
        files: None,
        note: None,
        end: None,
    }
}

fn progress_of(view: &JobView) -> Progress {
    Progress {
        id: Some(view.id.0),
        stage: view.stage,
        bytes_done: view.bytes_done,
        bytes_total: view.bytes_total,
        bytes_received: view.bytes_received,
        bytes_reused: view.bytes_reused,
        rate: view.rate,
        eta_ms: view.eta_ms,
        holders: view.holders,
        peers: view.peers.to_vec(),
        files: view.files.clone(),
        note: view.note.clone(),
    }
}

pub(super) fn bytes_of(bytes: Option<&serde_bytes::ByteBuf>) -> Option<bytes::Bytes> {
    bytes.map(|bytes| bytes.to_vec().into())
}
