//! `transfers`: what is being moved, either way.

use std::collections::{HashMap, HashSet};

use crate::control::api::{
    Direction, LocalPath, Moment, Stage, Transfer, TransferDetail, TransferPeer, TransferState, Transfers,
};
use crate::control::{ApiError, ApiResult};
use crate::peer::Shared;
use crate::rate::Rate;
use crate::store::{Job, JobState};
use crate::transfer::{JobView, UploadView, peer};

use super::status::SHOWN;

/// For how long a download that is done is shown, in milliseconds: an hour.
const DONE_SHOWN_MS: u64 = 3_600_000;

impl Shared {
    /// What is being moved, is paused or failed, or was done lately.
    pub(crate) async fn transfers(&self) -> ApiResult<Transfers> {
        let open = self.open_transfers().await?;
        let since = self.clock.now().minus(DONE_SHOWN_MS);
        let done = self.store.installed_jobs(since, SHOWN as u32).await.map_err(ApiError::internal)?;
        // In this order: one that was done in between is shown once, and none is left out.
        let ids: HashSet<_> = done.iter().map(|job| job.id.0).collect();
        let mut items: Vec<_> = done.iter().map(stopped_job).collect();
        items.extend(open.into_iter().filter(|one| one.transfer.id.is_none_or(|id| !ids.contains(&id))));
        sort(&mut items);
        items.truncate(SHOWN);
        Ok(Transfers { items })
    }

    /// The same, without what is done: what is installed is done, though the index may still be told of it.
    pub(super) async fn open_transfers(&self) -> ApiResult<Vec<TransferDetail>> {
        let views: HashMap<_, _> = self.jobs.views().into_iter().map(|one| (one.0.id, one)).collect();
        // After the views: one that was done in between is no longer open.
        let open = self.store.open_jobs().await.map_err(ApiError::internal)?;
        let download = |job: &Job| match views.get(&job.id) {
            Some((view, limit)) => running(view, *limit),
            None => stopped_job(job),
        };
        let mut items: Vec<_> = open.iter().map(download).collect();
        items.extend(self.uploads.running().into_iter().map(|upload| self.upload(upload)));
        sort(&mut items);
        items.truncate(SHOWN);
        Ok(items)
    }

    fn upload(&self, upload: UploadView) -> TransferDetail {
        let session = self.pool.find(&upload.to);
        let peer = TransferPeer {
            node: upload.to,
            user: upload.user,
            bytes: upload.bytes,
            rate: upload.rate,
            ..peer(upload.to, session.as_deref())
        };
        let transfer = Transfer {
            id: None,
            direction: Direction::Upload,
            owner: upload.owner,
            name: upload.name,
            state: TransferState::Running,
            path: LocalPath::from(upload.path),
            size: Some(upload.size),
            bytes_done: upload.bytes,
            rate: upload.rate,
            holders: 1,
            error: None,
        };
        TransferDetail { limit: self.limits.upload_rate(), peers: vec![peer], ..detail(transfer) }
    }
}

/// Downloads by number, then uploads.
fn sort(items: &mut [TransferDetail]) {
    items.sort_by_key(|item| item.transfer.id.unwrap_or(u64::MAX));
}

fn running(view: &JobView, limit: Rate) -> TransferDetail {
    let waits = view.stage == Stage::Waiting;
    let transfer = Transfer {
        id: Some(view.id.0),
        direction: Direction::Download,
        owner: view.owner.clone(),
        name: view.name.clone(),
        state: if waits { TransferState::Waiting } else { TransferState::Running },
        path: LocalPath::from(view.target.clone()),
        size: view.bytes_total,
        bytes_done: view.bytes_done,
        rate: view.rate,
        holders: view.holders,
        error: view.note.clone(),
    };
    TransferDetail {
        stage: Some(view.stage),
        bytes_received: view.bytes_received,
        eta_ms: view.eta_ms,
        limit,
        files: view.files.clone(),
        peers: view.peers.to_vec(),
        ..detail(transfer)
    }
}

fn stopped_job(job: &Job) -> TransferDetail {
    let (state, error) = match &job.state {
        JobState::Failed(failure) => (TransferState::Failed, Some(failure.text.clone())),
        JobState::Running => (TransferState::Waiting, None),
        JobState::Paused => (TransferState::Paused, None),
        JobState::Installed => (TransferState::Done, None),
    };
    let size = job.record.size;
    let bytes_done = if state == TransferState::Done { size } else { job.bytes_received.min(size) };
    let transfer = Transfer {
        id: Some(job.id.0),
        direction: Direction::Download,
        owner: job.owner.clone(),
        name: job.name.clone(),
        state,
        path: LocalPath::from(job.target.clone()),
        size: Some(size),
        bytes_done,
        rate: 0,
        holders: 0,
        error,
    };
    let finished = job.finished.filter(|_| state == TransferState::Done).map(Moment::from);
    let (limit, bytes_received) = (job.options.limit, job.bytes_received);
    TransferDetail { finished, limit, bytes_received, ..detail(transfer) }
}

/// A transfer of which nothing else is known.
const fn detail(transfer: Transfer) -> TransferDetail {
    TransferDetail {
        transfer,
        stage: None,
        finished: None,
        bytes_received: 0,
        eta_ms: None,
        limit: Rate::UNLIMITED,
        files: None,
        peers: Vec::new(),
    }
}
