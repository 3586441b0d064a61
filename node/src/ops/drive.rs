//! Running one download to its end, over newer versions, restarts and times without holders.

use std::sync::Arc;
use std::time::Duration;

use index::jitter;
use tracing::{info, warn};
use wire::message::{HolderInfo, RecordBundle};
use wire::{ErrorBody, ErrorCode};

use super::keep::is_kept;
use crate::activity::{Activity, Version, bounded};
use crate::clock;
use crate::control::api::{ConflictCopy, GetDone, LocalPath, SourceBytes, Stage};
use crate::control::{ApiError, ApiResult};
use crate::peer::Shared;
use crate::store::{Job, JobFailure, JobState, KeptFile, Offer};
use crate::transfer::{
    Download, Finished, JobControl, JobError, Latest, VerifiedRecord, latest, verify_bundle,
};

/// How long a download waits between questions for holders, at first and at most.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Takes up the downloads that ran when the node stopped.
pub(crate) async fn resume_all(shared: &Arc<Shared>) {
    let jobs = match shared.store.unfinished_jobs().await {
        Ok(jobs) => jobs,
        Err(error) => return warn!(%error, "the downloads of the last run cannot be read"),
    };
    for job in jobs.into_iter().filter(|job| job.state == JobState::Running) {
        if shared.is_update(&job).await {
            continue;
        }
        info!(owner = %job.owner, name = %job.name, "a download goes on");
        if let Err(error) = shared.start(job, Outset::accepted()) {
            warn!(%error, "a download cannot go on");
        }
    }
}

/// How a download begins: whom the index just named, and what becomes of it where nobody can give anything.
#[derive(Debug)]
pub(super) struct Outset {
    holders: Vec<HolderInfo>,
    /// It waits. Otherwise it fails, and is forgotten where nothing of it has come.
    patient: bool,
    /// It is an update, and may be such that its user is asked first.
    guarded: bool,
}

impl Outset {
    /// Of one that was accepted before: holders are looked for, and waited for.
    pub(super) const fn accepted() -> Self {
        Self { holders: Vec::new(), patient: true, guarded: false }
    }

    /// Of a new one: it waits for holders if that is wished for, or if the index knows that some will follow.
    pub(super) fn first(holders: Vec<HolderInfo>, wait: bool) -> Self {
        let patient = wait || holders.is_empty();
        Self { holders, patient, guarded: false }
    }

    /// Of an update: whoever wants it tries again later.
    pub(super) const fn update(holders: Vec<HolderInfo>) -> Self {
        Self { holders, patient: false, guarded: true }
    }
}

/// Runs a job to its end, and says how it ended.
pub(super) async fn drive(shared: Arc<Shared>, job: Job, outset: Outset, control: Arc<JobControl>) {
    let (began, before) = (clock::monotonic(), Duration::from_millis(job.elapsed_ms));
    let id = job.id;
    let patient = outset.patient;
    let mut job = job;
    let result = run_versions(&shared, &mut job, outset, &control).await;
    let elapsed = before + clock::monotonic().saturating_duration_since(began);
    let end = conclude(&shared, &job, result, patient, elapsed).await;
    shared.jobs.remove(id);
    control.end(end);
}

/// Runs it, and again with each newer version that appears.
async fn run_versions(
    shared: &Arc<Shared>,
    job: &mut Job,
    outset: Outset,
    control: &Arc<JobControl>,
) -> Result<Finished, JobError> {
    if job.state != JobState::Running {
        shared.keep_state(job, JobState::Running).await.map_err(JobError::Local)?;
        job.state = JobState::Running;
    }
    let Outset { mut holders, patient, guarded } = outset;
    let mut record = Arc::new(verify_stored(shared, job)?);
    let mut wait = FIRST_WAIT;
    loop {
        if holders.is_empty() && job.root.is_none() {
            let looking = look(shared, job, record, control, patient.then_some(&mut wait));
            (record, holders) = looking.await?;
        }
        let download = Download::new(shared.clone(), job.clone(), record.clone(), control.clone());
        let download = if guarded { download.guarded() } else { download };
        match download.run(std::mem::take(&mut holders)).await {
            Err(JobError::Newer(newer)) => {
                info!(owner = %job.owner, name = %job.name, version = newer.record.version, "a newer version");
                record = revise(shared, job, *newer).await?;
            }
            Err(JobError::Refused(body)) if patient && may_pass(body.code) => {
                pause(control, body.text, &mut wait).await?;
                // It may have left its manifest behind.
                *job = shared.store.job(job.id).await?.ok_or_else(gone)?;
            }
            // Whoever had it may have published a newer version since the index named it.
            Err(JobError::Refused(body)) if body.code == ErrorCode::NoHolder => {
                match control.stoppable(latest(shared, &record, job.options.pinned)).await? {
                    Ok(Latest::Newer(newer, found)) => {
                        record = revise(shared, job, *newer).await?;
                        holders = found;
                    }
                    _ => return Err(body.into()),
                }
            }
            other => return other,
        }
    }
}

/// Finds holders of the record's content, or of a newer version, which the job then goes over to. It waits for them, if
/// there is a time for that.
async fn look(
    shared: &Arc<Shared>,
    job: &mut Job,
    record: Arc<VerifiedRecord>,
    control: &Arc<JobControl>,
    mut wait: Option<&mut Duration>,
) -> Result<(Arc<VerifiedRecord>, Vec<HolderInfo>), JobError> {
    loop {
        match control.stoppable(latest(shared, &record, job.options.pinned)).await? {
            Ok(Latest::Same(holders)) => return Ok((record, holders)),
            Ok(Latest::Newer(newer, holders)) => {
                return Ok((revise(shared, job, *newer).await?, holders));
            }
            Ok(Latest::Older) => match &mut wait {
                Some(wait) => pause(control, "the index lists an older version".to_owned(), wait).await?,
                None => {
                    return Err(
                        ErrorBody::new(ErrorCode::NoHolder, "the index lists an older version").into()
                    );
                }
            },
            Err(body) => match &mut wait {
                Some(wait) if may_pass(body.code) => pause(control, body.text, wait).await?,
                _ => return Err(body.into()),
            },
        }
    }
}

/// Waits, each time longer, and says why. Half of the time is random: many may wait for the same.
async fn pause(control: &JobControl, why: String, wait: &mut Duration) -> Result<(), JobError> {
    control.waits(why);
    control.stoppable(tokio::time::sleep(*wait / 2 + jitter(*wait / 2))).await?;
    *wait = (*wait * 2).min(LONGEST_WAIT);
    Ok(())
}

fn gone() -> ErrorBody {
    ErrorBody::new(ErrorCode::Internal, "the download is gone")
}

/// The record of a job as it was stored.
fn verify_stored(shared: &Shared, job: &Job) -> Result<VerifiedRecord, ErrorBody> {
    let proof = job.certificate.as_ref().map(|proof| proof.to_vec().into());
    let (certificate, enrolment) = if job.receipt.is_some() { (proof, None) } else { (None, proof) };
    let bundle = RecordBundle {
        record: job.record.bytes().to_vec().into(),
        receipt: job.receipt.as_ref().map(|receipt| receipt.to_vec().into()),
        certificate,
        enrolment,
    };
    verify_bundle(shared, &bundle)
}

/// Goes over to another version, which takes over what it has of what was received of the old one.
pub(super) async fn revise(
    shared: &Arc<Shared>,
    job: &mut Job,
    newer: VerifiedRecord,
) -> Result<Arc<VerifiedRecord>, JobError> {
    newer.content()?;
    let offer: Offer = shared.offer(&newer);
    let revised = shared.store.supersede_job(job.id, offer).await?;
    *job = revised.ok_or_else(gone)?;
    Ok(Arc::new(newer))
}

/// Whether it may be otherwise later without the user's doing.
const fn may_pass(code: ErrorCode) -> bool {
    code.retry() || matches!(code, ErrorCode::NotMember)
}

/// Keeps how a download ended, and turns it into what the user is told.
async fn conclude(
    shared: &Arc<Shared>,
    job: &Job,
    result: Result<Finished, JobError>,
    patient: bool,
    elapsed: Duration,
) -> ApiResult<GetDone> {
    let error = match result {
        Ok(finished) => {
            shared.forget_failed(job).await;
            shared.installed_at(job).await;
            let kept = match is_kept(&job.options, &job.only) {
                true => shared.keep_got(&job.record, &job.target).await,
                false => None,
            };
            return Ok(GetDone { kept, ..done(shared, job, finished, elapsed) });
        }
        Err(error) => error,
    };
    let told = error.to_api();
    let kept = match &error {
        // Of what is held back hardly anything is there.
        JobError::HeldBack(_) => shared.forget_job(job, None).await,
        JobError::Cancelled => match shared.forget_job(job, Some(cancelled(job))).await {
            Ok(()) => Ok(()),
            // What was received could not be removed: the job stays, so that its file is known.
            Err(why) => shared.keep_state(job, JobState::Paused).await.and(Err(why)),
        },
        JobError::Stopped if shared.tasks.is_stopping() => Ok(()),
        JobError::Stopped => shared.keep_state(job, JobState::Paused).await,
        // Nothing came of a first attempt: there is nothing to go on from.
        JobError::Refused(_) if !patient && job.temporary.is_none() => {
            shared.forget_untouched(job, &told).await
        }
        _ => shared.keep_state(job, JobState::Failed(failure(&told))).await,
    };
    if let Err(error) = kept {
        warn!(%error, "how a download ended could not be kept");
    }
    if !matches!(error, JobError::Stopped | JobError::Cancelled | JobError::HeldBack(_)) {
        warn!(owner = %job.owner, name = %job.name, error = %told, "a download failed");
    }
    Err(told)
}

impl Shared {
    /// Keeps how things stand with a job.
    pub(super) async fn keep_state(&self, job: &Job, state: JobState) -> ApiResult<()> {
        self.store.set_job_state(job.id, state, self.clock.now()).await.map(drop).map_err(ApiError::internal)
    }

    /// Removes a job and what was received; the log tells why, if that is to be told.
    pub(super) async fn forget_job(&self, job: &Job, why: Option<Activity>) -> ApiResult<()> {
        let removed = self.store.remove_job_for(job.id, why, self.clock.now()).await;
        removed.map(drop).map_err(|error| JobError::from(error).to_api())
    }

    /// Removes a job of which nothing was received; otherwise keeps it as failed.
    async fn forget_untouched(&self, job: &Job, told: &ApiError) -> ApiResult<()> {
        let current = self.store.job(job.id).await.map_err(ApiError::internal)?;
        match current {
            Some(current) if current.temporary.is_some() => {
                self.keep_state(job, JobState::Failed(failure(told))).await
            }
            _ => {
                let (what, failure) = (Version::of(&job.record), failure(told));
                let JobFailure { code, text } = failure;
                let failed = Activity::DownloadFailed { what, code, error: bounded(text) };
                self.forget_job(job, Some(failed)).await
            }
        }
    }
}

/// What the log tells of a download that its user dropped.
pub(super) fn cancelled(job: &Job) -> Activity {
    Activity::Cancelled { what: Version::of(&job.record) }
}

fn failure(error: &ApiError) -> JobFailure {
    JobFailure { code: error.code.name().to_owned(), text: error.message.clone() }
}

fn done(shared: &Shared, job: &Job, finished: Finished, elapsed: Duration) -> GetDone {
    let (source, age_seconds) = shared.origin();
    GetDone {
        owner: job.owner.clone(),
        name: job.name.clone(),
        version: job.record.version,
        path: LocalPath::from(job.target.clone()),
        size: job.record.size,
        content: job.content,
        bytes_received: finished.bytes_received,
        bytes_reused: finished.bytes_reused,
        seconds: elapsed.as_secs_f64(),
        sources: finished
            .sources
            .into_iter()
            .map(|source| SourceBytes { node: source.node, user: source.user, bytes: source.bytes })
            .collect(),
        source,
        age_seconds,
        kept: None,
        conflicts_count: finished.kept.count,
        conflicts: finished.kept.files.into_iter().map(copy).collect(),
    }
}

fn copy(KeptFile { from, path }: KeptFile) -> ConflictCopy {
    ConflictCopy { path: LocalPath::from(from), kept: LocalPath::from(path) }
}

impl JobControl {
    /// Says why it waits.
    fn waits(&self, why: String) {
        self.update(|view| {
            view.stage = Stage::Waiting;
            (view.rate, view.eta_ms, view.holders, view.peers) = (0, None, 0, Arc::default());
            view.note = Some(why);
        });
    }
}
