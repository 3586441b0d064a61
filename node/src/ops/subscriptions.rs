//! What the user says of subscriptions: begin, end, list, pause, accept.

use std::path::PathBuf;
use std::sync::Arc;

use certs::UserName;
use tokio::sync::mpsc;
use tracing::{info, warn};
use wire::{ErrorBody, ErrorCode, ResourceName};

use super::get::Begun;
use super::keep::{refuse_keep, shown as shown_kept};
use crate::activity::{Activity, Version};
use crate::control::api::{
    GetRequest, JobDone, JobState as StandsAs, LocalPath, PageRequest, ShareNote, SubscribeRequest,
    SubscriptionItem, SubscriptionRequest, SubscriptionState, SubscriptionsDone, SubscriptionsPage,
    UnsubscribeRequest, Unsubscribed, UnsubscribedItem,
};
use crate::control::{ApiError, ApiResult, EVENTS_QUEUED};
use crate::hooks::Hook;
use crate::peer::Shared;
use crate::store::{
    Job, JobId, KeptOf, NewSubscription, PAGE_ROWS, Removed, Stays, Subscription, SubscriptionId,
};
use crate::subscription::engine::{Event, Standing};

impl Shared {
    /// Begins to keep a resource up to date. What is not here yet is downloaded in the background.
    pub(crate) async fn subscribe(
        self: &Arc<Self>,
        request: SubscribeRequest,
    ) -> ApiResult<SubscriptionsDone> {
        self.need_login()?;
        let hook = request.on_update.clone().filter(|words| !words.is_empty()).map(Hook::new).transpose();
        hook.map_err(|error| ApiError::usage(error.to_string()))?;
        let get = GetRequest {
            path: request.path.clone(),
            share: request.share,
            wait: true,
            parents: request.parents,
            limit: request.limit,
            only: request.only.clone(),
            keep: request.keep,
            ..GetRequest::new(request.owner.clone(), request.name.clone())
        };
        refuse_keep(&get)?;
        let known = self.subscribed(&request).await?;
        let mut comes = false;
        let one = match known {
            Some(one) => {
                if let Some(keep) = request.keep {
                    self.keep_subscribed_to(&one, keep).await?;
                }
                one
            }
            None => {
                // Who listens may go away; it goes on all the same.
                let (events, _listens) = mpsc::channel::<crate::control::api::Event<()>>(EVENTS_QUEUED);
                match self.begin(&get, &events).await? {
                    Begun::Runs(job, _) => {
                        comes = true;
                        self.subscribe_to(&job).await?
                    }
                    Begun::There(done) => {
                        let at = self.store.subscription_at(done.path.into_path()).await;
                        let gone = || ApiError::internal("the subscription is gone");
                        at.map_err(ApiError::internal)?.ok_or_else(gone)?
                    }
                }
            }
        };
        if let Some(hook) = request.on_update {
            let set = self.store.set_subscription_hook(one.id, hook, comes);
            // It may have been installed by now.
            if let Some(one) = set.await.map_err(ApiError::internal)?.filter(|_| comes) {
                self.run_hook(&one).await;
            }
        }
        info!(owner = %one.owner, name = %one.name, path = %one.target.display(), "subscribed");
        self.items_of(vec![one.id]).await
    }

    /// The subscription that there is at the place that is asked for; without a place, the first of the resource.
    async fn subscribed(&self, request: &SubscribeRequest) -> ApiResult<Option<Subscription>> {
        let path = request.path.as_ref().map(|path| path.as_path());
        let wanted = self.wanted_target(path, &request.name).await?;
        let all = self.subscriptions_of(&request.owner, &request.name).await?;
        Ok(all.into_iter().find(|one| wanted.as_ref().is_none_or(|wanted| one.target == *wanted)))
    }

    /// Keeps up to date what a download brings.
    async fn subscribe_to(&self, job: &Job) -> ApiResult<Subscription> {
        let new = NewSubscription::of(job, None);
        let one = self.store.subscribe(new, self.clock.now()).await.map_err(ApiError::internal)?;
        self.log(Activity::Subscribed { what: version_of(&one), path: one.target.clone().into() }).await;
        self.subscriptions.tell_of(&one);
        Ok(one)
    }

    /// One page of what stays up to date.
    pub(crate) async fn list_subscriptions(&self, request: PageRequest) -> ApiResult<SubscriptionsPage> {
        let bad = || ErrorBody::new(ErrorCode::BadCursor, "this is not a cursor of an earlier page");
        let after = match &request.cursor {
            Some(cursor) => Some(SubscriptionId(cursor.parse().map_err(|_| bad())?)),
            None => None,
        };
        let limit = request.limit.unwrap_or(PAGE_ROWS).clamp(1, PAGE_ROWS);
        let page = self.store.subscriptions(after, limit).await.map_err(ApiError::internal)?;
        let last = page.last().map(|last| last.id.0.to_string());
        let next = last.filter(|_| page.len() == limit as usize);
        Ok(SubscriptionsPage { items: self.shown(page).await?, next })
    }

    /// Ends subscriptions. What is installed stays, unless it is to be removed.
    pub(crate) async fn unsubscribe(&self, request: UnsubscribeRequest) -> ApiResult<Unsubscribed> {
        let UnsubscribeRequest { owner, name, path, delete } = request;
        let all = self.asked_subscriptions(&SubscriptionRequest { owner, name, path }).await?;
        let mut items = Vec::new();
        for one in all {
            let removed = match delete {
                true => Some(self.delete(&one).await?),
                false => {
                    // First nobody begins another update, then the one that runs ends.
                    self.subscriptions.tell(Event::Removed(one.id));
                    self.store.unsubscribe(one.id).await.map_err(ApiError::internal)?;
                    self.drop_update(&one).await?;
                    None
                }
            };
            info!(owner = %one.owner, name = %one.name, path = %one.target.display(), "unsubscribed");
            self.log(Activity::Unsubscribed { what: version_of(&one) }).await;
            if let Err(error) = self.store.sweep_kept(false).await {
                warn!(%error, "copies of old versions stay for now");
            }
            self.announce.notify_one();
            items.push(unsubscribed(one, removed));
        }
        Ok(Unsubscribed { items })
    }

    /// Ends a subscription once what it has installed is removed, as far as it is as it was. What goes wrong leaves it paused.
    async fn delete(&self, one: &Subscription) -> ApiResult<Removed> {
        // It stays until all is removed, and nothing updates it meanwhile.
        self.store.pause_subscription(one.id, true).await.map_err(ApiError::internal)?;
        self.subscriptions.tell(Event::Paused(one.id, true));
        self.drop_update(one).await?;
        let removed = self.store.remove_subscribed(one.id).await;
        self.own_changed();
        let removed = removed.map_err(|error| {
            let hint = "the subscription is paused; run the same command again to go on";
            ApiError::internal(error).with_hint(hint)
        })?;
        self.subscriptions.tell(Event::Removed(one.id));
        Ok(removed)
    }

    /// Drops the download that brings a subscription to its next version, if one runs or waits.
    async fn drop_update(&self, one: &Subscription) -> ApiResult<()> {
        match self.find_job(&one.owner, &one.name, Some(&one.target)).await? {
            Some(job) => self.drop_job(&job, None).await,
            None => Ok(()),
        }
    }

    /// Pauses the subscriptions of a resource, or goes on with them; `None` where there is none. What runs is not touched.
    pub(super) async fn pause_subscriptions(
        &self,
        owner: &UserName,
        name: &ResourceName,
        target: Option<PathBuf>,
        paused: bool,
    ) -> ApiResult<Option<JobDone>> {
        let all = self.subscriptions_of(owner, name).await?;
        let mut any = None;
        for one in all.into_iter().filter(|one| target.as_ref().is_none_or(|target| one.target == *target)) {
            if one.paused != paused {
                let what = version_of(&one);
                self.log(if paused { Activity::Paused { what } } else { Activity::Resumed { what } }).await;
            }
            self.store.pause_subscription(one.id, paused).await.map_err(ApiError::internal)?;
            self.subscriptions.tell(Event::Paused(one.id, paused));
            let state = if paused { StandsAs::Paused } else { StandsAs::Running };
            any = Some(JobDone { id: None, owner: one.owner, name: one.name, state });
        }
        Ok(any)
    }

    /// Goes on with the versions that wait for their user.
    pub(crate) async fn accept(&self, request: SubscriptionRequest) -> ApiResult<SubscriptionsDone> {
        let all = self.asked_subscriptions(&request).await?;
        let mut accepted = Vec::new();
        for one in all {
            if self.store.accept(one.id).await.map_err(ApiError::internal)?.is_some() {
                self.subscriptions.tell(Event::Accepted(one.id));
                accepted.push(one.id);
            }
        }
        if accepted.is_empty() {
            let text = format!("no version of {}/{} waits for you", request.owner, request.name);
            return Err(ErrorBody::new(ErrorCode::NotFound, text).into());
        }
        self.items_of(accepted).await
    }

    async fn asked_subscriptions(&self, request: &SubscriptionRequest) -> ApiResult<Vec<Subscription>> {
        let path = request.path.as_ref().map(|path| path.as_path());
        let wanted = self.wanted_target(path, &request.name).await?;
        let mut all = self.subscriptions_of(&request.owner, &request.name).await?;
        let asked = path.map(PathBuf::from);
        all.retain(|one| {
            asked.as_ref().is_none_or(|path| one.target == *path) || Some(&one.target) == wanted.as_ref()
        });
        if all.is_empty() {
            let text = format!("there is no subscription to {}/{}", request.owner, request.name);
            return Err(ErrorBody::new(ErrorCode::NotFound, text).into());
        }
        Ok(all)
    }

    async fn subscriptions_of(&self, owner: &UserName, name: &ResourceName) -> ApiResult<Vec<Subscription>> {
        self.store.subscriptions_to(owner.clone(), name.clone()).await.map_err(ApiError::internal)
    }

    async fn items_of(&self, ids: Vec<SubscriptionId>) -> ApiResult<SubscriptionsDone> {
        let mut all = Vec::new();
        for id in ids {
            all.extend(self.store.subscription(id).await.map_err(ApiError::internal)?);
        }
        Ok(SubscriptionsDone { items: self.shown(all).await? })
    }

    /// How these stand, with a look at each file.
    async fn shown(&self, all: Vec<Subscription>) -> ApiResult<Vec<SubscriptionItem>> {
        let resources = all.iter().map(|one| (one.account, one.name.clone())).collect();
        let kept = self.store.kept_of(resources).await.map_err(ApiError::internal)?;
        let fs = self.store.fs().clone();
        let look = move || {
            let edited = |one: &Subscription| {
                one.held.is_some_and(|held| {
                    fs.stat(&one.target).is_ok_and(|stat| {
                        stat.kind == crate::store::fs::FileKind::Regular && !stat.stamp.same_as(&held.stamp)
                    })
                })
            };
            all.into_iter().map(|one| (edited(&one), one)).collect::<Vec<_>>()
        };
        let looked = tokio::task::spawn_blocking(look).await.map_err(ApiError::internal)?;
        let items = looked.into_iter().zip(&kept).map(|((edited, one), kept)| self.item(one, edited, kept));
        Ok(items.collect())
    }

    fn item(&self, one: Subscription, edited: bool, kept: &KeptOf) -> SubscriptionItem {
        let standing = self.subscriptions.standing(one.id);
        let newest = self.subscriptions.newest(&(one.account, one.name.clone())).map(|(rank, _)| rank);
        let newest = newest.max(one.newest.map(|newest| newest.rank)).max(one.held.map(|held| held.rank));
        let state = state_of(standing.unwrap_or(Standing::Unknown));
        let why = one.held_back.map(|(_, why)| why).filter(|_| state == SubscriptionState::HeldBack);
        SubscriptionItem {
            owner: one.owner,
            name: one.name,
            path: LocalPath::from(one.target),
            state,
            version: one.held.map(|held| held.rank.version()),
            newest: newest.map(|rank| rank.version()),
            edited,
            why,
            checked: one.checked.map(Into::into),
            on_update: one.hook,
            keep: kept.wanted,
            kept: shown_kept(kept),
        }
    }

    /// Pauses the subscription at the place to which this download goes, if there is one, or goes on with it.
    pub(super) async fn pause_update(&self, job: &Job, paused: bool) -> ApiResult<()> {
        let Job { owner, name, target, .. } = job;
        self.pause_subscriptions(owner, name, Some(target.clone()), paused).await.map(drop)
    }

    /// Drops a download that may be running, with what was received; the log tells `why`.
    pub(super) async fn drop_job(&self, job: &Job, why: Option<Activity>) -> ApiResult<()> {
        let id: JobId = job.id;
        if let Some(control) = self.jobs.find(id) {
            control.cancel();
            control.ended().await;
        }
        // One that ran is forgotten by now, unless its file could not be removed: then this says why.
        match self.open_job(id).await? {
            Some(_) => self.forget_job(job, why).await,
            None => Ok(()),
        }
    }
}

fn unsubscribed(one: Subscription, removed: Option<Removed>) -> UnsubscribedItem {
    let deleted = removed.as_ref().is_some_and(|removed| removed.kept_because.is_none());
    let Removed { kept_because, stays, stays_count } = removed.unwrap_or_default();
    let note = |Stays { path, why }| ShareNote { path: LocalPath::from(path), text: why };
    let stays = stays.into_iter().map(note).collect();
    UnsubscribedItem { path: LocalPath::from(one.target), deleted, kept_because, stays, stays_count }
}

/// The version that is here, 0 for none yet.
fn version_of(one: &Subscription) -> Version {
    Version::new(&one.owner, &one.name, one.held.map_or(0, |held| held.rank.version()))
}

const fn state_of(standing: Standing) -> SubscriptionState {
    match standing {
        Standing::Current => SubscriptionState::Current,
        Standing::Updating => SubscriptionState::Updating,
        Standing::Retrying => SubscriptionState::Retrying,
        Standing::HeldBack => SubscriptionState::HeldBack,
        Standing::Paused => SubscriptionState::Paused,
        Standing::Unshared => SubscriptionState::Unshared,
        Standing::Unknown => SubscriptionState::Unknown,
    }
}
