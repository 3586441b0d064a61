//! Subscriptions kept up to date: does what their engine says.

use std::sync::Arc;

use tracing::{debug, info, warn};
use wire::message::{FollowOutcomeKind, Followed, ResourceKey, ResourceQuery};
use wire::{ErrorBody, ErrorCode, RecordHash, RecordRank, ResourceName, SignedRecord};

use super::drive::Outset;
use super::listen::{Teller, listen};
use crate::activity::{Activity, Version, bounded};
use crate::control::api::GetDone;
use crate::control::{ApiError, Code, LocalCode};
use crate::hooks::{Hook, HookFacts, WAITING};
use crate::peer::Shared;
use crate::store::{
    Base, CreatedJob, HOOK_BEGUN, HookDue, Job, NewJob, NewestVersion, PublicationState, Subscription,
    SubscriptionId, rank_of,
};
use crate::subscription::engine::{Action, End, Event, Resource};
use crate::transfer::{JobControl, VerifiedRecord, locate, verify_off_thread};

/// Keeps all subscriptions up to date until the node stops; those that there are have been [loaded](load_subscriptions).
pub(crate) async fn keep_subscribed(shared: Arc<Shared>) {
    let mut teller = None;
    let following = shared.clone();
    let (tellers, mut news) = tokio::sync::watch::channel(None);
    shared.tasks.spawn_droppable(async move { listen(following, tellers).await });
    loop {
        while let Some(action) = shared.subscriptions.poll() {
            act(&shared, teller.as_ref(), action);
        }
        tokio::select! {
            () = shared.subscriptions.wait() => {}
            Ok(()) = news.changed() => {}
        }
        // Who asks next asks where the followers of the answers are told.
        teller.clone_from(&news.borrow_and_update());
    }
}

/// Takes up the subscriptions that there are: about a second for 100,000.
///
/// # Errors
/// Where they cannot be read.
pub(crate) async fn load_subscriptions(shared: &Arc<Shared>) -> Result<(), crate::store::DbError> {
    let mut after = None;
    loop {
        let page = shared.store.subscriptions(after, u32::MAX).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        for one in &page {
            shared.subscriptions.tell_of(one);
            if let Some(NewestVersion { rank, gone }) = one.newest {
                let resource = (one.account, one.name.clone());
                shared.subscriptions.tell(Event::Current { resource, rank, gone });
            }
        }
    }
}

/// Runs the programs that were to be run when the node stopped.
pub(crate) async fn run_due_hooks(shared: &Arc<Shared>) {
    // What is more than may wait is left for the next start.
    let due = match shared.store.hooks_due(WAITING as u32).await {
        Ok(due) => due,
        Err(error) => return warn!(%error, "which hooks are to be run cannot be read"),
    };
    for due in due {
        match shared.store.subscription(due.subscription).await {
            Ok(Some(one)) => shared.run_due(&one, due).await,
            Ok(None) => {}
            Err(error) => warn!(%error, "a subscription cannot be read"),
        }
    }
}

/// Begins what the engine wants; it hears how that ended.
fn act(shared: &Arc<Shared>, teller: Option<&Teller>, action: Action) {
    let (shared, teller) = (shared.clone(), teller.cloned());
    let tasks = shared.tasks.clone();
    match action {
        Action::Follow(resources) => tasks.spawn_droppable(async move {
            let followed = match teller {
                Some(teller) => follow(&shared, &teller, &resources).await,
                None => Err(ErrorBody::new(ErrorCode::Unavailable, "no connection")),
            };
            let event = match followed {
                Ok(()) => Event::Followed,
                Err(body) => {
                    debug!(%body, "nobody says what is newest");
                    Event::NotFollowed(resources)
                }
            };
            shared.subscriptions.tell(event);
        }),
        Action::Unfollow((account, name)) => tasks.spawn_droppable(async move {
            if let Some(teller) = teller {
                teller.unfollow(ResourceKey { account, name }).await;
            }
        }),
        Action::Update(id, _) => tasks.spawn_droppable(async move {
            let end = update(&shared, id).await.unwrap_or_else(|error| {
                warn!(%error, "an update could not begin");
                End::Failed
            });
            shared.subscriptions.tell(Event::Ended(id, end));
        }),
    }
}

/// Asks for these, and to be told of what comes.
async fn follow(shared: &Arc<Shared>, teller: &Teller, resources: &[Resource]) -> Result<(), ErrorBody> {
    let known = shared.subscriptions.known(resources);
    let followed = resources.iter().zip(&known).map(|((account, name), known)| Followed {
        account: *account,
        name: name.clone(),
        have: *known,
    });
    let outcomes = teller.follow(followed.collect()).await?;
    let mut same = Vec::new();
    for (resource, outcome) in resources.iter().zip(outcomes) {
        match (outcome.outcome, outcome.bundle) {
            (FollowOutcomeKind::Same, _) => {
                shared.subscriptions.tell(Event::Same(resource.clone()));
                same.push(resource.clone());
            }
            (FollowOutcomeKind::Other, Some(bundle)) => match verify_off_thread(shared, bundle).await {
                Ok(record) if (record.record.account, &record.record.name) == (resource.0, &resource.1) => {
                    shared.heard_of(&record).await;
                }
                Ok(_) => debug!("the index answered with another resource's record"),
                Err(body) => debug!(%body, "the index answered with a record that does not hold"),
            },
            // An index that has lost its database knows nothing: that is no word of the owner's.
            _ => {}
        }
    }
    if !same.is_empty()
        && let Err(error) = shared.store.set_checked(same, shared.clock.now()).await
    {
        warn!(%error, "what the index said of subscriptions is not kept");
    }
    Ok(())
}

/// Brings one to the version that the index has now.
async fn update(shared: &Arc<Shared>, id: SubscriptionId) -> Result<End, ApiError> {
    let Some(one) = shared.store.subscription(id).await.map_err(ApiError::internal)? else {
        return Ok(End::Stopped);
    };
    let query = ResourceQuery::latest(one.owner.clone(), one.name.clone());
    let (record, holders) = match locate(shared, query).await {
        Ok(located) => located,
        Err(body) => {
            debug!(owner = %one.owner, name = %one.name, %body, "no update yet");
            return Ok(End::Failed);
        }
    };
    if record.record.account != one.account {
        // A name that was freed and taken again inherits nothing.
        return Ok(End::Failed);
    }
    let rank = record.rank();
    if let Some(held) = one.held {
        if held.rank >= rank {
            // What was told of is not to be had there: an index that has lost its database lists what it is told again.
            let newest = shared.subscriptions.newest(&(one.account, one.name.clone()));
            let behind = newest.is_some_and(|(newest, gone)| !gone && newest > held.rank);
            return Ok(if behind { End::Failed } else { End::Installed(held.rank) });
        }
        if record.record.content == Some(held.content) {
            shared.store.set_held_rank(id, rank).await.map_err(ApiError::internal)?;
            return Ok(End::Installed(rank));
        }
    }
    let Some(job) = shared.update_job(&one, &record).await? else { return Ok(End::Failed) };
    let control = shared.start(job.clone(), Outset::update(holders))?;
    let end = ended(&control).await;
    shared.concluded(&one, end).await
}

/// How a download that runs ends.
async fn ended(control: &JobControl) -> Result<GetDone, ApiError> {
    let mut views = control.watch();
    let view = views.wait_for(|view| view.end.is_some()).await;
    let end = view.ok().and_then(|view| view.end.clone());
    end.unwrap_or_else(|| Err(ApiError::internal("the download is gone")))
}

impl Shared {
    /// Takes in a record that the index, or whoever has it, shows: subscriptions go by it.
    pub(crate) async fn heard_of(&self, record: &VerifiedRecord) {
        let (record, rank) = (&record.record, record.rank());
        let gone = record.is_gone();
        let resource = (record.account, record.name.clone());
        let before = self.subscriptions.newest(&resource);
        let wanted = self.subscriptions.is_wanted(&resource);
        self.subscriptions.tell(Event::Current { resource, rank, gone });
        if self.is_beaten(record, rank).await {
            // The index says so, and what beats it, when it is told of ours again.
            self.announce.notify_one();
        }
        if !wanted {
            return;
        }
        if gone && before.is_none_or(|(before, _)| before < rank) {
            info!(owner = %record.user, name = %record.name, "its owner does not share it any more");
            self.log(Activity::OwnerUnshared { what: Version::of(record) }).await;
        }
        let newest = NewestVersion { rank, gone };
        let kept = self.store.set_newest(record.account, record.name.clone(), newest, self.clock.now());
        if let Err(error) = kept.await {
            warn!(%error, "what is newest of a subscription is not kept");
        }
    }

    /// Whether a record stands above one that this node publishes, and does not know yet that it was beaten.
    async fn is_beaten(&self, record: &SignedRecord, rank: RecordRank) -> bool {
        let mine = self.membership().is_some_and(|mine| mine.account == record.account);
        if !mine || record.node == self.node() {
            return false;
        }
        let publication = self.store.publication(record.name.clone()).await.ok().flatten();
        publication.is_some_and(|publication| {
            let published = publication.record.node == self.node();
            let beaten = publication.state == PublicationState::Superseded;
            published && !beaten && rank_of(&publication.record) < rank
        })
    }

    /// This node publishes a record: it wants to hear of what beats it.
    pub(super) fn hear_of_own(&self, name: &ResourceName, record: RecordHash) {
        if let Some(mine) = self.membership() {
            self.subscriptions.tell(Event::Own((mine.account, name.clone()), record));
        }
    }

    /// The job that brings a subscription to a version: a new one, or that of an earlier attempt. `None` where a download of
    /// something else, or of one version alone, goes to the same place.
    async fn update_job(
        self: &Arc<Self>,
        one: &Subscription,
        record: &VerifiedRecord,
    ) -> Result<Option<Job>, ApiError> {
        let new = NewJob {
            target: one.target.clone(),
            options: one.options(),
            only: one.only.clone(),
            base: self.base_of(one).await?,
            offer: self.offer(record),
        };
        let created = self.store.create_job(new, self.clock.now()).await.map_err(ApiError::internal)?;
        let job = match created {
            CreatedJob::New(job) => return Ok(Some(job)),
            CreatedJob::Existing(job) => job,
        };
        if job.owner != one.owner || job.name != one.name || job.options.pinned {
            return Ok(None);
        }
        if self.jobs.find(job.id).is_some() || rank_of(&job.record) >= record.rank() {
            return Ok(Some(job));
        }
        let mut job = job;
        let revised = super::drive::revise(self, &mut job, record.clone()).await;
        revised.map_err(|error| error.to_api())?;
        Ok(Some(job))
    }

    /// What this node put at the place before: what is there and is something else was edited here, and is kept.
    async fn base_of(&self, one: &Subscription) -> Result<Option<Base>, ApiError> {
        let installed = self.store.installed_at(one.target.clone(), one.name.clone(), Some(one.account));
        let installed = installed.await.map_err(ApiError::internal)?.map(|installed| installed.base);
        let held = || one.held.and_then(|held| Some(Base { root: held.root?, content: held.content }));
        Ok(installed.or_else(held))
    }

    /// What the end of an update means for its subscription.
    async fn concluded(
        self: &Arc<Self>,
        one: &Subscription,
        end: Result<GetDone, ApiError>,
    ) -> Result<End, ApiError> {
        let now = self.store.subscription(one.id).await.map_err(ApiError::internal)?;
        let Some(now) = now else { return Ok(End::Stopped) };
        if let Err(error) = &end {
            self.tell_failure(one, error).await;
        }
        Ok(match end.map_err(|error| error.code) {
            Ok(_) => {
                self.subscriptions.succeeded(one.id);
                let before = one.held.map(|held| held.rank);
                let held = now.held.map(|held| held.rank).filter(|held| Some(*held) > before);
                held.map_or(End::Failed, End::Installed)
            }
            Err(Code::Local(LocalCode::Paused) | Code::Protocol(ErrorCode::Cancelled)) => End::Stopped,
            // The download has said which version it is.
            Err(Code::Local(LocalCode::HeldBack)) => {
                now.held_back.map_or(End::Failed, |(record, _)| End::HeldBack(record))
            }
            Err(_) => End::Failed,
        })
    }

    /// Tells why an update failed: once, however often it is tried, until it fails otherwise or succeeds. That it was stopped, or
    /// that nobody who has it is there, is no failure to be told.
    async fn tell_failure(&self, one: &Subscription, error: &ApiError) {
        let expected = match error.code {
            Code::Local(code) => matches!(code, LocalCode::Paused | LocalCode::HeldBack),
            Code::Protocol(code) => code == ErrorCode::Cancelled || code.retry(),
        };
        if expected || !self.subscriptions.failed(one.id, error.code) {
            return;
        }
        let newest = self.subscriptions.newest(&(one.account, one.name.clone()));
        let version = newest.map_or(0, |(newest, _)| newest.version());
        let what = Version::new(&one.owner, &one.name, version);
        let (code, error) = (error.code.name().to_owned(), bounded(error.message.clone()));
        self.log(Activity::UpdateFailed { what, code, error }).await;
    }

    /// Runs the program that its user wants to be run after an update, where that is due.
    pub(super) async fn run_hook(&self, one: &Subscription) {
        match self.store.hook_due(one.id).await {
            Ok(Some(due)) => self.run_due(one, due).await,
            Ok(None) => {}
            Err(error) => warn!(%error, "whether a hook is to be run cannot be read"),
        }
    }

    async fn run_due(&self, one: &Subscription, due: HookDue) {
        let Ok(hook) = Hook::new(one.hook.clone()) else { return };
        let what = Version::new(&one.owner, &one.name, due.version);
        let facts = HookFacts { what, path: one.target.clone(), content: due.content };
        match due.begun < HOOK_BEGUN {
            true => self.hooks.run_due(hook, facts, due.id),
            false => self.hooks.give_up(hook, facts, due.id).await,
        }
    }

    /// Whether a download is an update: those begin and go on as the subscription wants it.
    pub(super) async fn is_update(&self, job: &Job) -> bool {
        let at = self.store.subscription_at(job.target.clone()).await.ok().flatten();
        at.is_some_and(|one| {
            let newer = !job.options.pinned && one.held.is_none_or(|held| held.rank < rank_of(&job.record));
            one.owner == job.owner && one.name == job.name && newer
        })
    }

    /// A download was installed: perhaps there is a subscription now, or one that is not as it was.
    pub(super) async fn installed_at(&self, job: &Job) {
        match self.store.subscription_at(job.target.clone()).await {
            Ok(Some(one)) => {
                self.subscriptions.tell_of(&one);
                self.run_hook(&one).await;
            }
            Ok(None) => {}
            Err(error) => warn!(%error, "a subscription cannot be read"),
        }
    }
}
