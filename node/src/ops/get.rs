//! `get`, and the pause and cancel of one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use wire::message::{HolderInfo, ResourceQuery};
use wire::{ContentHash, ErrorBody, ErrorCode};

use super::drive::drive;
use crate::control::api::{
    Event, GetDone, GetRequest, JobDone, JobRequest, JobState as StoppedAs, LocalPath, Progress, Stage,
};
use crate::control::{ApiError, ApiResult, EVENTS_QUEUED, Events, LocalCode};
use crate::peer::Shared;
use crate::store::fs::{FileKind, Fs};
use crate::store::{
    CreatedJob, Job, JobFilter, JobOptions, JobState, NewHolding, NewJob, Offer, Origin, PAGE_ROWS,
};
use crate::transfer::{JobControl, JobView, VerifiedRecord, locate};

/// How much of a file that lies at the target is read at once.
const COMPARE_BYTES: usize = 1 << 20;

impl Shared {
    /// Starts a download, resumes a paused or failed one, or attaches to one that runs.
    pub(crate) async fn get(self: &Arc<Self>, request: GetRequest) -> ApiResult<Events<GetDone>> {
        self.need_login()?;
        let wanted = self.wanted_target(&request).await?;
        if let Some(job) = self.unfinished(&request, wanted.as_deref()).await? {
            let options = JobOptions { force: job.options.force || request.force, ..job.options };
            let control = self.start(Job { options, ..job }, Vec::new()).await?;
            return Ok(self.follow(&control));
        }
        let query = ResourceQuery {
            owner: request.owner.clone(),
            name: request.name.clone(),
            version: None,
            cursor: None,
        };
        let (record, holders) = locate(self, query).await?;
        let content = record.file_content()?;
        let target = wanted.unwrap_or_else(|| self.default_target(&request));
        if self.lies_there(&target, content, record.record.size).await? {
            return self.adopt_file(&request, &record, content, target).await;
        }
        self.refuse_unequal(&target, request.force).await?;
        let job = self.create(&request, &record, target).await?;
        let control = self.start(job, holders).await?;
        Ok(self.follow(&control))
    }

    /// Pauses a running download.
    pub(crate) async fn pause(&self, request: JobRequest) -> ApiResult<JobDone> {
        let job = self.find_job(&request).await?;
        if let Some(control) = self.jobs.find(job.id) {
            control.pause();
            wait_for_end(control.watch()).await;
        }
        Ok(JobDone { owner: request.owner, name: request.name, state: StoppedAs::Paused })
    }

    /// Drops a download.
    pub(crate) async fn cancel(&self, request: JobRequest) -> ApiResult<JobDone> {
        let job = self.find_job(&request).await?;
        match self.jobs.find(job.id) {
            Some(control) => {
                control.cancel();
                wait_for_end(control.watch()).await;
            }
            None => self.forget_job(&job).await?,
        }
        Ok(JobDone { owner: request.owner, name: request.name, state: StoppedAs::Cancelled })
    }

    async fn find_job(&self, request: &JobRequest) -> ApiResult<Job> {
        let jobs = self.open_jobs().await?;
        let found = jobs.into_iter().rfind(|job| job.owner == request.owner && job.name == request.name);
        found.ok_or_else(|| {
            let text = format!("there is no download of {}/{}", request.owner, request.name);
            ErrorBody::new(ErrorCode::NotFound, text).into()
        })
    }

    /// Jobs that are not installed: running, paused, failed.
    pub(crate) async fn open_jobs(&self) -> ApiResult<Vec<Job>> {
        let mut open = Vec::new();
        let mut after = None;
        loop {
            let page =
                self.store.jobs(JobFilter::All, after.take(), PAGE_ROWS).await.map_err(ApiError::internal)?;
            let Some(last) = page.last() else { return Ok(open) };
            after = Some(last.id);
            open.extend(page.into_iter().filter(|job| job.state != JobState::Installed));
        }
    }

    /// A job of this resource that is not installed, to this target if one is named.
    async fn unfinished(&self, request: &GetRequest, target: Option<&Path>) -> ApiResult<Option<Job>> {
        let same = |job: &Job| {
            job.owner == request.owner
                && job.name == request.name
                && target.is_none_or(|target| job.target == target)
        };
        Ok(self.open_jobs().await?.into_iter().rfind(same))
    }

    /// Where the user wants it: a folder means into it.
    async fn wanted_target(&self, request: &GetRequest) -> ApiResult<Option<PathBuf>> {
        let Some(path) = &request.path else { return Ok(None) };
        let path = path.as_path();
        let slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let folder = slash || matches!(self.kind_of(path).await?, Some(FileKind::Folder));
        Ok(Some(if folder { path.join(request.name.as_str()) } else { path.to_owned() }))
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

    /// Whether the target is a file with this content already.
    async fn lies_there(&self, target: &Path, content: ContentHash, size: u64) -> ApiResult<bool> {
        let (fs, target) = (self.store.fs().clone(), target.to_owned());
        tokio::task::spawn_blocking(move || has_content(&*fs, &target, content, size))
            .await
            .map_err(ApiError::internal)
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

    /// The file is there: nothing moves, it is only served from now on.
    async fn adopt_file(
        self: &Arc<Self>,
        request: &GetRequest,
        record: &VerifiedRecord,
        content: ContentHash,
        target: PathBuf,
    ) -> ApiResult<Events<GetDone>> {
        if request.share {
            self.hold_existing(record, content, &target).await?;
        }
        let done = GetDone {
            owner: request.owner.clone(),
            name: request.name.clone(),
            version: record.record.version,
            path: LocalPath::from(target),
            size: record.record.size,
            content,
            bytes_received: 0,
            bytes_reused: record.record.size,
            seconds: 0.0,
            sources: Vec::new(),
        };
        let (events, receiver) = mpsc::channel(EVENTS_QUEUED);
        let _ = events.try_send(Event::Result(done));
        Ok(receiver)
    }

    /// Serves a file that lies there already: its manifest is made from it.
    async fn hold_existing(
        &self,
        record: &VerifiedRecord,
        content: ContentHash,
        target: &Path,
    ) -> ApiResult<()> {
        let known = self.store.holdings_at(target.to_owned()).await.map_err(ApiError::internal)?;
        if known.iter().any(|holding| holding.content == content) {
            return Ok(());
        }
        let (fs, path) = (self.store.fs().clone(), target.to_owned());
        let importing = tokio::task::spawn_blocking(move || {
            crate::store::import(&*fs, &path, None, &|_, _| {}, &|| false)
        });
        let imported = importing.await.map_err(ApiError::internal)??;
        if imported.content != content {
            return Err(ErrorBody::new(ErrorCode::Changed, "the file at the target just changed").into());
        }
        let root = imported.manifest.root_hash;
        self.store.put_manifest(Arc::new(imported.manifest)).await.map_err(ApiError::internal)?;
        let holding = NewHolding {
            path: target.to_owned(),
            stamp: imported.stamp,
            content,
            root,
            record: Arc::new(record.record.clone()),
            receipt: bytes_of(record.bundle.receipt.as_ref()),
            certificate: self.certificate_of(record),
            origin: Origin::Get,
        };
        self.store.put_holding(holding).await.map_err(ApiError::internal)?;
        self.announce_holding(content).await;
        Ok(())
    }

    async fn create(&self, request: &GetRequest, record: &VerifiedRecord, target: PathBuf) -> ApiResult<Job> {
        let job = NewJob {
            target,
            options: JobOptions { force: request.force, share: request.share, once: request.once },
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
    fn certificate_of(&self, record: &VerifiedRecord) -> Option<bytes::Bytes> {
        let known = || self.me().certificate.map(|certificate| certificate.bytes().to_vec().into());
        bytes_of(record.bundle.certificate.as_ref()).or_else(known)
    }

    /// Runs a job, unless it runs already.
    pub(super) async fn start(
        self: &Arc<Self>,
        job: Job,
        holders: Vec<HolderInfo>,
    ) -> ApiResult<Arc<JobControl>> {
        if let Some(running) = self.jobs.find(job.id) {
            return Ok(running);
        }
        let control = JobControl::new(self.tasks.child_token(), view_of(&job));
        if !self.jobs.insert(job.id, &control) {
            return self
                .jobs
                .find(job.id)
                .ok_or_else(|| ApiError::internal("the download just ended; try again"));
        }
        self.store
            .set_job_state(job.id, JobState::Running, self.clock.now())
            .await
            .map_err(ApiError::internal)?;
        self.tasks.spawn(drive(self.clone(), job, holders, control.clone()));
        Ok(control)
    }

    /// Follows a running download: progress, then its end.
    fn follow(&self, control: &Arc<JobControl>) -> Events<GetDone> {
        let (events, receiver) = mpsc::channel(EVENTS_QUEUED);
        let mut views = control.watch();
        self.tasks.spawn_droppable(async move {
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
        });
        receiver
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

fn bytes_of(bytes: Option<&serde_bytes::ByteBuf>) -> Option<bytes::Bytes> {
    bytes.map(|bytes| bytes.to_vec().into())
}

/// Whether a path is a regular file with this content. What cannot be read is not.
fn has_content(fs: &dyn Fs, path: &Path, content: ContentHash, size: u64) -> bool {
    let Ok(file) = fs.open_read(path) else { return false };
    if !file.stat().is_ok_and(|stat| stat.stamp.size == size) {
        return false;
    }
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; COMPARE_BYTES];
    let mut at = 0;
    while at < size {
        match file.read_at(&mut buffer, at) {
            Ok(0) | Err(_) => return false,
            Ok(read) => {
                hasher.update(&buffer[..read]);
                at += read as u64;
            }
        }
    }
    hasher.finalize().as_bytes() == content.as_bytes()
}
