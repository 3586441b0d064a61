//! `status` and `shares`: how this node is.

use std::sync::Arc;

use crate::control::api::{
    DhtMode, DhtStatus, FallbackStatus, IndexState, IndexStatus, LocalPath, PageRequest, Share, ShareProblem,
    ShareState, ShareSummary, SharesPage, SmallBuffers, Status,
};
use crate::control::{ApiError, ApiResult};
use crate::peer::{LinkState, Shared};
use crate::store::{HoldingState, PAGE_ROWS, Publication, PublicationState, Surveyed};
use wire::{ErrorBody, ErrorCode, ResourceName};

/// Entries of one kind in `status`.
pub(super) const SHOWN: usize = 1000;

impl Shared {
    /// Who and how this node is.
    pub(crate) async fn status(self: &Arc<Self>) -> ApiResult<Status> {
        let me = self.me();
        Ok(Status {
            node: self.node(),
            user: me.enrolment.as_ref().map(|enrolment| enrolment.membership.user.clone()),
            network: Some(me.network),
            address: self.shown_address(),
            index: self.index_status(),
            small_buffers: self.net.small_buffers().map(|(asked, given)| SmallBuffers { asked, given }),
            source: self.origin().0,
            fallback: self.fallback_status().await,
            shares: self.share_summary().await?,
            watch: self.watching.status(),
            transfers: self.open_transfers().await?.into_iter().map(|detail| detail.transfer).collect(),
        })
    }

    /// One page of what this node shares.
    pub(crate) async fn shares(self: &Arc<Self>, request: PageRequest) -> ApiResult<SharesPage> {
        let after: Option<ResourceName> = match &request.cursor {
            Some(cursor) => Some(cursor.parse().map_err(|_| {
                ApiError::from(ErrorBody::new(
                    ErrorCode::BadCursor,
                    "this is not a cursor of an earlier page",
                ))
            })?),
            None => None,
        };
        let limit = request.limit.unwrap_or(PAGE_ROWS).clamp(1, PAGE_ROWS);
        let page = self.store.publications(after, limit).await.map_err(ApiError::internal)?;
        let next =
            (page.len() == limit as usize).then(|| page.last().map(|last| last.name.to_string())).flatten();
        let mut items = Vec::new();
        for publication in page.iter().filter(|publication| !publication.record.is_gone()) {
            items.push(self.share_of(publication).await?);
        }
        Ok(SharesPage { items, next })
    }

    async fn share_of(self: &Arc<Self>, publication: &Publication) -> ApiResult<Share> {
        let record = &publication.record;
        Ok(Share {
            name: publication.name.clone(),
            path: LocalPath::from(publication.path.clone()),
            version: record.version,
            size: record.size,
            state: self.share_state(publication).await?,
            watched: publication.watch,
            content: record.content.ok_or_else(|| ApiError::internal("a tombstone"))?,
        })
    }

    /// How a share stands: what the index knows, and the file as it is now.
    async fn share_state(self: &Arc<Self>, publication: &Publication) -> ApiResult<ShareState> {
        let file = self.look_at(publication).await?;
        Ok(self.stands(file, publication.state))
    }

    /// The same, from what is wrong with the file, if something is.
    fn stands(&self, file: Option<ShareState>, state: PublicationState) -> ShareState {
        match (file, state) {
            // To share it again does not help before its user has decided.
            (Some(ShareState::Changed), PublicationState::Superseded) => ShareState::Superseded,
            (Some(problem), _) => problem,
            (None, PublicationState::Superseded) => ShareState::Superseded,
            (None, _) if self.membership().is_none() => ShareState::Paused,
            (None, PublicationState::Pending | PublicationState::Withdrawing) => ShareState::Pending,
            (None, _) => ShareState::Shared,
        }
    }

    /// What is wrong with the file of a share, if something is.
    async fn look_at(self: &Arc<Self>, publication: &Publication) -> ApiResult<Option<ShareState>> {
        let holdings = self.store.holdings_at(publication.path.clone()).await.map_err(ApiError::internal)?;
        let Some(holding) =
            holdings.into_iter().find(|holding| Some(holding.content) == publication.record.content)
        else {
            return Ok(Some(ShareState::Missing));
        };
        let checked = self.store.check_holding(holding.clone()).await.ok();
        if let Some(state) = checked {
            self.note_file(&holding, state).await;
        }
        Ok(file_problem(checked))
    }

    /// How many shares there are, and what is wrong with some: a look at so many files as are shown, those first that
    /// were a problem before.
    async fn share_summary(self: &Arc<Self>) -> ApiResult<ShareSummary> {
        let survey = self.store.survey(SHOWN as u32).await.map_err(ApiError::internal)?;
        if survey.news {
            self.own_changed();
        }
        let problem = |Surveyed { name, path, state, file }| {
            let state = self.stands(file_problem(file), state);
            (state != ShareState::Shared).then(|| ShareProblem { name, path: LocalPath::from(path), state })
        };
        let problems = survey.shares.into_iter().filter_map(problem).collect();
        Ok(ShareSummary { count: survey.count, problems })
    }

    /// How the copy stands.
    async fn fallback_status(&self) -> Option<FallbackStatus> {
        let replica = self.replica()?;
        let sizes = replica.sizes().await.unwrap_or_default();
        let (in_use, age) = (!self.fallback.uses_index(), replica.origin().age_ms / 1000);
        Some(FallbackStatus {
            in_use,
            why: self.fallback.why().unwrap_or_else(|| "this node is the index".to_owned()),
            neighbours: self.fallback.neighbours_count() as u64,
            catalogues: sizes.catalogues,
            entries: sizes.entries,
            // One that was never compared is as old as time.
            age_seconds: Some(age).filter(|age| *age < self.clock.now().0 / 2000),
            refused: replica.counters().into_iter().map(|(kind, count)| (kind.to_string(), count)).collect(),
            dht: self.dht_status().await,
        })
    }

    /// How its part in Kademlia stands.
    async fn dht_status(&self) -> Option<DhtStatus> {
        let status = self.kad.get()?.status().await?;
        let mode = if status.server { DhtMode::Server } else { DhtMode::Client };
        let of_accounts =
            [("table full of one account", status.refused_peers), ("not in a lookup", status.left_out)];
        let reasons = status.store.rejected.into_iter().chain(of_accounts);
        Some(DhtStatus {
            mode,
            peers: status.peers as u64,
            connected: status.connected as u64,
            values: status.store.records as u64,
            bytes: status.store.bytes as u64,
            providers: status.store.providers as u64,
            refused: reasons
                .filter(|(_, count)| *count > 0)
                .map(|(why, count)| (why.to_owned(), count))
                .collect(),
        })
    }

    fn index_status(&self) -> IndexStatus {
        let address = Some(self.index_address.clone());
        let (state, problem) = match &*self.link.borrow() {
            _ if self.service.is_some() => (IndexState::Local, None),
            LinkState::Online { .. } if self.membership().is_none() => (IndexState::NotEnrolled, None),
            LinkState::Online { .. } => (IndexState::Connected, None),
            LinkState::Connecting { error, refused: true } => (IndexState::Refused, error.clone()),
            LinkState::Connecting { error, .. } => (IndexState::Connecting, error.clone()),
        };
        IndexStatus { state, address, problem }
    }
}

/// What is wrong with a file, if something is; `None` is one that cannot be read.
const fn file_problem(file: Option<HoldingState>) -> Option<ShareState> {
    match file {
        Some(HoldingState::Ok) => None,
        Some(HoldingState::Changed) => Some(ShareState::Changed),
        Some(HoldingState::Missing) => Some(ShareState::Missing),
        None => Some(ShareState::Unreadable),
    }
}
