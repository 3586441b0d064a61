//! What the log of activity tells of downloads.

use super::{Job, JobState};
use crate::activity::{Activity, Moved, Version, bounded, local, most};
use crate::control::api::SourceBytes;
use crate::store::install::KeptFile;

/// That a job goes over to another state, where that is news.
pub(super) fn turn(job: &Job, state: &JobState) -> Option<Activity> {
    let what = Version::of(&job.record);
    match (&job.state, state) {
        (_, JobState::Failed(failure)) => Some(Activity::DownloadFailed {
            what,
            code: failure.code.clone(),
            error: bounded(failure.text.clone()),
        }),
        (JobState::Running, JobState::Paused) => Some(Activity::Paused { what }),
        (JobState::Paused | JobState::Failed(_), JobState::Running) => Some(Activity::Resumed { what }),
        _ => None,
    }
}

/// That a job's file or folder is in place, as an update of a subscription that held version `from`, if it is one. What it
/// moved was kept by its last checkpoint.
pub(in crate::store) fn installed(job: &Job, bytes_reused: u64, from: Option<u64>) -> Activity {
    let source = |source: &super::JobSource| SourceBytes {
        node: source.node,
        user: source.user.clone(),
        bytes: source.bytes,
    };
    let moved = Moved {
        bytes_received: job.bytes_received,
        bytes_reused,
        sources: most(job.sources.iter().map(source).collect()),
        seconds: std::time::Duration::from_millis(job.elapsed_ms).as_secs_f64(),
    };
    let (what, path) = (Version::of(&job.record), local(&job.target));
    match from {
        Some(_) => Activity::Updated { what, from_version: from, path, moved },
        None => Activity::Downloaded { what, path, moved },
    }
}

/// That what lay at a job's target, or in it, is kept beside.
pub(in crate::store) fn conflict(job: &Job, kept: &KeptFile) -> Activity {
    let KeptFile { from, path } = kept;
    Activity::Conflict { what: Version::of(&job.record), path: local(from), kept: local(path) }
}
