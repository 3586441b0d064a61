//! `get`, and the pause and cancel of one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs::UserName;
use tokio::sync::{mpsc, watch};
use wire::message::{HolderInfo, ResourceQuery};
use wire::{ErrorBody, ErrorCode, Kind, ResourceName};

use super::drive::drive;
use super::there::abandoned;
use crate::control::api::{
    Event, GetDone, GetRequest, JobDone, JobRequest, JobState as StoppedAs, Progress, Stage,
};
use crate::control::{ApiError, ApiResult, EVENTS_QUEUED, Events, LocalCode};
use crate::peer::Shared;
use crate::store::fs::FileKind;
use crate::store::{CreatedJob, Job, JobOptions, JobState, NewJob, Offer, Patterns};
use crate::transfer::{JobControl, JobView, VerifiedRecord, locate};

/// What a `get` leads to.
enum Begun {
    /// A download, new or not.
    Runs(Arc<JobControl>),
    /// The file is there already.
    There(GetDone),
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
                Ok(Begun::Runs(control)) => {
                    // Where the node stops, whoever follows hears that, not that the download is paused.
                    tokio::select! {
                        () = follow(&control, &events) => {}
                        () = shared.tasks.stopping() => {}
                    }
                }
                Ok(Begun::There(done)) => drop(events.send(Event::Result(done)).await),
                Err(error) => drop(events.send(Event::Error(error)).await),
            }
        });
        Ok(receiver)
    }

    async fn begin(
        self: &Arc<Self>,
        request: &GetRequest,
        events: &mpsc::Sender<Event<GetDone>>,
    ) -> ApiResult<Begun> {
        Patterns::new(&request.only).map_err(|error| ApiError::usage(error.to_string()))?;
        let wanted =
            self.wanted_target(request.path.as_ref().map(|path| path.as_path()), &request.name).await?;
        if let Some(job) = self.find_job(&request.owner, &request.name, wanted.as_deref()).await? {
            return Ok(Begun::Runs(self.go_on(job, request).await?));
        }
        let query = ResourceQuery {
            owner: request.owner.clone(),
            name: request.name.clone(),
            version: None,
            cursor: None,
        };
        let (record, holders) = locate(self, query).await?;
        let target = wanted.unwrap_or_else(|| self.default_target(request));
        if request.only.is_empty() && self.lies_there(&target, &record, request.force, events).await? {
            return self.adopt_file(request, &record, target, events).await.map(Begun::There);
        }
        if record.record.kind == Kind::Folder {
            self.refuse_taken(&target).await?;
        } else if !request.only.is_empty() {
            return Err(ApiError::usage(format!(
                "{}/{} is one file: --only is for folders",
                request.owner, request.name
            )));
        }
        self.refuse_unequal(&target, request.force).await?;
        if events.is_closed() {
            // Interrupted before there was a download to pause: none is begun.
            return Err(abandoned());
        }
        let job = self.create(request, &record, target).await?;
        self.start(job, holders).map(Begun::Runs)
    }

    /// Resumes a job, or attaches to it. `--force` and `--no-share` hold from now on.
    async fn go_on(self: &Arc<Self>, job: Job, request: &GetRequest) -> ApiResult<Arc<JobControl>> {
        if !request.only.is_empty() && request.only != job.only {
            let text = format!("there is a download of {}/{} with other files chosen", job.owner, job.name);
            let hint = format!("let it end, or drop it: p2p-node cancel {}/{}", job.owner, job.name);
            return Err(ApiError::new(LocalCode::Exists, text).with_hint(hint));
        }
        let options = JobOptions {
            force: job.options.force || request.force,
            share: job.options.share && request.share,
            ..job.options
        };
        if options != job.options {
            self.store.set_job_options(job.id, options).await.map_err(ApiError::internal)?;
        }
        self.start(Job { options, ..job }, Vec::new())
    }

    /// Pauses a running download.
    pub(crate) async fn pause(&self, request: JobRequest) -> ApiResult<JobDone> {
        let job = self.asked_job(&request).await?;
        match self.jobs.find(job.id) {
            Some(control) => {
                control.pause();
                wait_for_end(control.watch()).await;
            }
            None if job.state == JobState::Running => self.keep_state(&job, JobState::Paused).await?,
            None => {}
        }
        Ok(JobDone { owner: request.owner, name: request.name, state: StoppedAs::Paused })
    }

    /// Drops a download.
    pub(crate) async fn cancel(&self, request: JobRequest) -> ApiResult<JobDone> {
        let job = self.asked_job(&request).await?;
        if let Some(control) = self.jobs.find(job.id) {
            control.cancel();
            wait_for_end(control.watch()).await;
        }
        // One that ran is forgotten by now, unless its file could not be removed: then this says why.
        let left = self.store.job(job.id).await.map_err(ApiError::internal)?;
        if left.is_some_and(|job| job.state != JobState::Installed) {
            self.forget_job(&job).await?;
        }
        Ok(JobDone { owner: request.owner, name: request.name, state: StoppedAs::Cancelled })
    }

    async fn asked_job(&self, request: &JobRequest) -> ApiResult<Job> {
        let JobRequest { owner, name, path } = request;
        let target = self.wanted_target(path.as_ref().map(|path| path.as_path()), name).await?;
        let found = self.find_job(owner, name, target.as_deref()).await?;
        found.ok_or_else(|| {
            ErrorBody::new(ErrorCode::NotFound, format!("there is no download of {owner}/{name}")).into()
        })
    }

    /// The last job of this resource that is not installed, to this target if one is named.
    async fn find_job(
        &self,
        owner: &UserName,
        name: &ResourceName,
        target: Option<&Path>,
    ) -> ApiResult<Option<Job>> {
        let same = |job: &Job| {
            job.owner == *owner && job.name == *name && target.is_none_or(|target| job.target == target)
        };
        let open = self.store.open_jobs().await.map_err(ApiError::internal)?;
        Ok(open.into_iter().rfind(same))
    }

    /// Where the user wants it: a folder means into it.
    async fn wanted_target(&self, path: Option<&Path>, name: &ResourceName) -> ApiResult<Option<PathBuf>> {
        let Some(path) = path else { return Ok(None) };
        let slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let folder = slash || matches!(self.kind_of(path).await?, Some(FileKind::Folder));
        Ok(Some(if folder { path.join(name.as_str()) } else { path.to_owned() }))
    }

    fn default_target(&self, request: &GetRequest) -> PathBuf {
        self.home.join("downloads").join(request.owner.as_str()).join(request.name.as_str())
    }

    /// What lies at a path, links followed; a link to nothing is a link.
    async fn kind_of(&self, path: &Path) -> ApiResult<Option<FileKind>> {
        let path = path.to_owned();
        let look = move || match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => Some(FileKind::Folder),
            Ok(found) if found.is_file() => Some(FileKind::Regular),
            Ok(_) => Some(FileKind::Other),
            Err(_) => path.is_symlink().then_some(FileKind::Link),
        };
        tokio::task::spawn_blocking(look).await.map_err(ApiError::internal)
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
                Err(ApiError::new(LocalCode::Exists, text)
                    .with_hint("choose another place with -o, or move what lies there elsewhere"))
            }
        }
    }

    /// Something else at the target stays, unless told otherwise.
    async fn refuse_unequal(&self, target: &Path, force: bool) -> ApiResult<()> {
        match self.kind_of(target).await? {
            Some(kind @ (FileKind::Folder | FileKind::Other)) => {
                let text = format!("{} is {}", target.display(), kind.as_str());
                Err(ApiError::new(LocalCode::Exists, text).with_hint("choose another place with -o"))
            }
            Some(_) if !force => {
                let text = format!("{} exists and is another file", target.display());
                Err(ApiError::new(LocalCode::Exists, text).with_hint(
                    "choose another place with -o, or replace it with --force (the old file is kept beside)",
                ))
            }
            _ => Ok(()),
        }
    }

    async fn create(&self, request: &GetRequest, record: &VerifiedRecord, target: PathBuf) -> ApiResult<Job> {
        let job = NewJob {
            target,
            options: JobOptions { force: request.force, share: request.share, once: request.once },
            only: request.only.clone(),
            offer: self.offer(record),
        };
        match self.store.create_job(job, self.clock.now()).await.map_err(ApiError::internal)? {
            CreatedJob::New(job) => Ok(job),
            CreatedJob::Existing(job) if job.owner == request.owner && job.name == request.name => Ok(job),
            CreatedJob::Existing(job) => {
                let text = format!(
                    "{} is the target of the download of {}/{}",
                    job.target.display(),
                    job.owner,
                    job.name
                );
                Err(ApiError::new(LocalCode::Exists, text).with_hint(format!(
                    "choose another place with -o, or: p2p-node cancel {}/{}",
                    job.owner, job.name
                )))
            }
        }
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

    /// The certificate that a receipt hangs from: the one that came with it, or the index's.
    pub(super) fn certificate_of(&self, record: &VerifiedRecord) -> Option<bytes::Bytes> {
        let known = || self.me().certificate.map(|certificate| certificate.bytes().to_vec().into());
        bytes_of(record.bundle.certificate.as_ref()).or_else(known)
    }

    /// Runs a job, unless it runs already. There is no await between entering it and running it, so that none is
    /// entered that nobody runs.
    pub(super) fn start(self: &Arc<Self>, job: Job, holders: Vec<HolderInfo>) -> ApiResult<Arc<JobControl>> {
        let control = JobControl::new(self.tasks.child_token(), view_of(&job));
        if self.jobs.insert(job.id, &control) {
            self.tasks.spawn(drive(self.clone(), job, holders, control.clone()));
            return Ok(control);
        }
        self.jobs.find(job.id).ok_or_else(|| ApiError::internal("the download just ended; try again"))
    }
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

/// Waits until a download has ended.
async fn wait_for_end(mut views: watch::Receiver<JobView>) {
    let _ = views.wait_for(|view| view.end.is_some()).await;
}

fn view_of(job: &Job) -> JobView {
    JobView {
        owner: job.owner.clone(),
        name: job.name.clone(),
        target: job.target.clone(),
        stage: Stage::Locating,
        bytes_done: 0,
        bytes_total: Some(job.record.size),
        rate: 0,
        holders: 0,
        note: None,
        end: None,
    }
}

fn progress_of(view: &JobView) -> Progress {
    Progress {
        stage: view.stage,
        bytes_done: view.bytes_done,
        bytes_total: view.bytes_total,
        rate: view.rate,
        holders: view.holders,
        note: view.note.clone(),
    }
}

pub(super) fn bytes_of(bytes: Option<&serde_bytes::ByteBuf>) -> Option<bytes::Bytes> {
    bytes.map(|bytes| bytes.to_vec().into())
}
