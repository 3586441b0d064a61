//! What the user says of downloads that there are: pause, resume, cancel.

use std::path::Path;
use std::sync::Arc;

use certs::UserName;
use tracing::{info, warn};
use wire::{ErrorBody, ErrorCode, ResourceName};

use super::drive::{Outset, cancelled};
use super::get::{is_asked, view_of};
use crate::control::api::{
    GetRequest, JobDone, JobLimit, JobLimitRequest, JobRequest, JobState as StandsAs, JobsDone,
};
use crate::control::{ApiError, ApiResult};
use crate::peer::Shared;
use crate::store::{Job, JobId, JobOptions, JobState};
use crate::transfer::{JobControl, JobError};

impl Shared {
    /// Pauses a download.
    pub(crate) async fn pause(&self, request: JobRequest) -> ApiResult<JobDone> {
        let subscribed = self.pause_asked(&request, true).await?;
        let job = match self.asked_job(&request).await {
            Err(error) => return subscribed.ok_or(error),
            Ok(job) => job,
        };
        self.pause_job(&job).await?.or(subscribed).ok_or_else(|| no_download(&job))
    }

    /// Pauses all downloads that run.
    pub(crate) async fn pause_running(&self) -> ApiResult<JobsDone> {
        let open = self.store.open_jobs().await.map_err(ApiError::internal)?;
        // All at once: each takes a moment to make its progress durable.
        self.jobs.pause_all();
        let mut items = Vec::new();
        for job in open.iter().filter(|job| job.state == JobState::Running) {
            self.pause_update(job, true).await?;
            items.extend(self.pause_job(job).await?.filter(|done| done.state == StandsAs::Paused));
        }
        Ok(JobsDone { items })
    }

    /// Goes on with a download.
    pub(crate) async fn resume(self: &Arc<Self>, request: JobRequest) -> ApiResult<JobDone> {
        self.need_login()?;
        let subscribed = self.pause_asked(&request, false).await?;
        let job = match self.asked_job(&request).await {
            Err(error) => return subscribed.ok_or(error),
            Ok(job) => job,
        };
        self.resume_job(&job).await?.or(subscribed).ok_or_else(|| no_download(&job))
    }

    /// Goes on with all downloads that are paused.
    pub(crate) async fn resume_paused(self: &Arc<Self>) -> ApiResult<JobsDone> {
        self.need_login()?;
        let open = self.store.open_jobs().await.map_err(ApiError::internal)?;
        let mut items = Vec::new();
        for job in open.iter().filter(|job| job.state == JobState::Paused) {
            self.pause_update(job, false).await?;
            items.extend(self.resume_job(job).await?);
        }
        Ok(JobsDone { items })
    }

    /// Drops a download.
    pub(crate) async fn cancel(&self, request: JobRequest) -> ApiResult<JobDone> {
        let job = self.asked_job(&request).await?;
        self.drop_job(&job, Some(cancelled(&job))).await?;
        Ok(done(job, StandsAs::Cancelled))
    }

    /// Changes how fast a download may be.
    pub(crate) async fn limit_job(&self, request: JobLimitRequest) -> ApiResult<JobLimit> {
        let mut job = self.asked_job(&request.job).await?;
        if let Some(limit) = request.download {
            job = self.set_options(job, |options| options.limit = limit).await?;
            info!(owner = %job.owner, name = %job.name, %limit, "the limit of a download was changed");
        }
        let (state, download) = (stands(&job.state), job.options.limit);
        Ok(JobLimit { id: job.id.0, owner: job.owner, name: job.name, state, download })
    }

    /// Changes what the user wants of a job: durable, then for the download that runs.
    pub(super) async fn set_options(
        &self,
        mut job: Job,
        change: impl FnOnce(&mut JobOptions),
    ) -> ApiResult<Job> {
        let before = job.options;
        change(&mut job.options);
        if job.options != before {
            self.store.set_job_options(job.id, job.options).await.map_err(ApiError::internal)?;
        }
        if let Some(control) = self.jobs.find(job.id) {
            control.limit(job.options.limit);
        }
        Ok(job)
    }

    /// Forgets the downloads of a resource that failed, with what was received of them: this one is done.
    pub(super) async fn forget_failed(&self, finished: &Job) {
        let open = match self.store.open_jobs().await {
            Ok(open) => open,
            Err(error) => return warn!(%error, "the downloads that failed cannot be read"),
        };
        let moot = |job: &&Job| {
            job.owner == finished.owner
                && job.name == finished.name
                && job.id != finished.id
                && (job.content == finished.content || !(job.options.pinned || finished.options.pinned))
                && matches!(job.state, JobState::Failed(_))
        };
        for job in open.iter().filter(moot) {
            // Entered as one that runs, so that nobody goes on with it meanwhile.
            let claim = JobControl::new(self.tasks.child_token(), job.options.limit, view_of(job));
            if !self.jobs.insert(job.id, &claim) {
                continue;
            }
            match self.forget_job(job, None).await {
                Ok(()) => info!(path = %job.target.display(), "a failed download of the same is forgotten"),
                Err(error) => warn!(%error, "a failed download of the same cannot be forgotten"),
            }
            self.jobs.remove(job.id);
            claim.end(Err(JobError::Cancelled.to_api()));
        }
    }

    /// Pauses one that runs; how it stands then, `None` where it is no longer open.
    async fn pause_job(&self, job: &Job) -> ApiResult<Option<JobDone>> {
        match self.jobs.find(job.id) {
            Some(control) => {
                control.pause();
                control.ended().await;
            }
            None if job.state == JobState::Running => self.keep_state(job, JobState::Paused).await?,
            None => {}
        }
        Ok(self.open_job(job.id).await?.map(|job| {
            let state = stands(&job.state);
            done(job, state)
        }))
    }

    async fn resume_job(self: &Arc<Self>, job: &Job) -> ApiResult<Option<JobDone>> {
        Ok(self.run_again(job).await?.map(|(job, _)| done(job, StandsAs::Running)))
    }

    /// Has a job run, unless it does: that is durable then. `None` where it is no longer open.
    pub(super) async fn run_again(self: &Arc<Self>, job: &Job) -> ApiResult<Option<(Job, Arc<JobControl>)>> {
        if let Some(control) = self.jobs.find(job.id) {
            if !control.is_stopped() {
                return Ok(Some((job.clone(), control)));
            }
            control.ended().await;
        }
        self.keep_state(job, JobState::Running).await?;
        let Some(job) = self.open_job(job.id).await? else { return Ok(None) };
        let control = self.start(job.clone(), Outset::accepted())?;
        Ok(Some((job, control)))
    }

    /// What is said of a resource's downloads is said of its subscriptions, too; and what of an update, of its subscription.
    async fn pause_asked(&self, request: &JobRequest, paused: bool) -> ApiResult<Option<JobDone>> {
        match request {
            JobRequest::Id { id } => {
                if let Some(job) = self.open_job(JobId(*id)).await? {
                    self.pause_update(&job, paused).await?;
                }
                Ok(None)
            }
            JobRequest::Resource { owner, name, path } => {
                let target = self.wanted_target(path.as_ref().map(|path| path.as_path()), name).await?;
                self.pause_subscriptions(owner, name, target, paused).await
            }
        }
    }

    async fn asked_job(&self, request: &JobRequest) -> ApiResult<Job> {
        let (found, what) = match request {
            JobRequest::Id { id } => {
                (self.open_job(JobId(*id)).await?, format!("there is no download {id}, or it is done"))
            }
            JobRequest::Resource { owner, name, path } => {
                let target = self.wanted_target(path.as_ref().map(|path| path.as_path()), name).await?;
                let found = self.find_job(owner, name, target.as_deref()).await?;
                (found, format!("there is no download of {owner}/{name}"))
            }
        };
        found.ok_or_else(|| ErrorBody::new(ErrorCode::NotFound, what).into())
    }

    /// A job that is not installed.
    pub(super) async fn open_job(&self, id: JobId) -> ApiResult<Option<Job>> {
        let job = self.store.job(id).await.map_err(ApiError::internal)?;
        Ok(job.filter(|job| job.state != JobState::Installed))
    }

    /// The last job of this resource that is not installed, to this target if one is named.
    pub(super) async fn find_job(
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

    /// The last job that is not installed of what a `get` asks for, to this target if one is named.
    pub(super) async fn find_same(
        &self,
        request: &GetRequest,
        target: Option<&Path>,
    ) -> ApiResult<Option<Job>> {
        let same = |job: &Job| is_asked(job, request) && target.is_none_or(|target| job.target == target);
        let open = self.store.open_jobs().await.map_err(ApiError::internal)?;
        Ok(open.into_iter().rfind(same))
    }
}

fn done(job: Job, state: StandsAs) -> JobDone {
    JobDone { id: Some(job.id.0), owner: job.owner, name: job.name, state }
}

const fn stands(state: &JobState) -> StandsAs {
    match state {
        JobState::Running => StandsAs::Running,
        JobState::Paused => StandsAs::Paused,
        JobState::Failed(_) => StandsAs::Failed,
        JobState::Installed => StandsAs::Installed,
    }
}

/// It was there a moment ago.
pub(super) fn no_download(job: &Job) -> ApiError {
    let text = format!("the download of {}/{} has just ended", job.owner, job.name);
    ErrorBody::new(ErrorCode::NotFound, text).into()
}
