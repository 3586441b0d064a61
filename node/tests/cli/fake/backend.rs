//! What is asked of the fake daemon.

use p2p_node::activity::LoggedEvent;
use p2p_node::control::api::*;
use p2p_node::control::{ApiResult, Backend, EVENTS_QUEUED, Events, Lines};
use p2p_node::options::{LimitChanges, LimitOptions};
use tokio::sync::mpsc;

use super::examples::{
    enrolled, event_examples, got, job, online, share, shared, started, status, subscription, transfers,
    version,
};
use super::{Fake, Long};
use crate::admin::recovery;

impl Backend for Fake {
    async fn status(&self) -> ApiResult<Status> {
        self.answer("Status", status())
    }

    async fn stop(&self) -> ApiResult<()> {
        self.answer("Stop", ())?;
        self.stopping.notify_one();
        Ok(())
    }

    async fn signup(&self, request: SignupRequest) -> ApiResult<Enrolled> {
        let SignupRequest { user, password } = request;
        self.answer(("signup", user.clone(), password.0), enrolled(user))
    }

    async fn login(&self, request: LoginRequest) -> ApiResult<Enrolled> {
        let LoginRequest { user, password, forget } = request;
        self.answer(("login", user.clone(), password.0, forget), enrolled(user))
    }

    async fn logout(&self) -> ApiResult<LoggedOut> {
        self.answer("Logout", LoggedOut { user: "alice".parse().expect("a name") })
    }

    async fn recovery(&self) -> ApiResult<RecoveryStatus> {
        self.answer("Recovery", recovery(true))
    }

    async fn finish_recovery(&self) -> ApiResult<RecoveryStatus> {
        self.answer("FinishRecovery", recovery(false))
    }

    async fn passwd(&self, request: PasswdRequest) -> ApiResult<PasswdDone> {
        let PasswdRequest { user, password } = request;
        self.answer(("passwd", user.clone(), password.0), PasswdDone { user })
    }

    async fn who(&self, request: PageRequest) -> ApiResult<WhoPage> {
        let next = request.cursor.is_none().then(|| "1".to_owned());
        let user = if next.is_some() { "alice" } else { "bob" };
        self.answer(
            ("who", request),
            WhoPage { users: vec![online(user)], next, source: Source::Index, age_seconds: 0 },
        )
    }

    async fn share(&self, request: ShareRequest) -> ApiResult<Events<ShareDone>> {
        let done = shared(&request);
        self.events(request, done)
    }

    async fn shares(&self, request: PageRequest) -> ApiResult<SharesPage> {
        self.answer(("shares", request), SharesPage { items: vec![share()], next: None })
    }

    async fn unshare(&self, request: UnshareRequest) -> ApiResult<Unshared> {
        let owner = request.owner.clone().unwrap_or_else(|| "alice".parse().expect("a name"));
        let name = request.name.clone();
        self.answer(request, Unshared { owner, name, version: 4, pending: false })
    }

    async fn list(&self, request: ListRequest) -> ApiResult<ResourcePage> {
        let cursor = request.page.cursor.clone();
        self.page(request, cursor.as_deref())
    }

    async fn search(&self, request: SearchRequest) -> ApiResult<ResourcePage> {
        let cursor = request.page.cursor.clone();
        self.page(request, cursor.as_deref())
    }

    async fn versions(&self, request: VersionsRequest) -> ApiResult<VersionsPage> {
        let next = request.page.cursor.is_none().then(|| "1".to_owned());
        let items = if next.is_some() { vec![version(12), version(11)] } else { vec![version(9)] };
        self.answer(request, VersionsPage { items, next, source: Source::Index, age_seconds: 0 })
    }

    async fn get(&self, request: GetRequest) -> ApiResult<Events<GetDone>> {
        let done = got(&request);
        self.events(request, done)
    }

    async fn start(&self, request: GetRequest) -> ApiResult<Events<Started>> {
        let started = started(&request);
        self.events(("start", request), started)
    }

    async fn events(&self, request: EventsRequest) -> ApiResult<Lines<LoggedEvent>> {
        let follow = request.follow;
        self.answer(("events", request), ())?;
        let (sender, lines) = mpsc::channel(EVENTS_QUEUED);
        let send = |line| assert!(sender.try_send(line).is_ok(), "there is room");
        event_examples().into_iter().for_each(|event| send(Line::Item(event)));
        match self.long.lock().expect("not poisoned").clone() {
            Long::Fails(error) => send(Line::Error(error)),
            Long::Vanishes => {}
            Long::Ends if !follow => send(Line::End),
            _ => self.goes_on(sender),
        }
        self.begun.notify_one();
        Ok(lines)
    }

    async fn gc(&self, request: GcRequest) -> ApiResult<GcDone> {
        let GcRequest { dry_run } = request;
        self.answer(("gc", dry_run), GcDone { dry_run, versions: 2, bytes: 3 << 20, manifests: 4 })
    }

    async fn transfers(&self) -> ApiResult<Transfers> {
        self.shown.notify_one();
        self.answer("Transfers", transfers())
    }

    async fn pause_all(&self) -> ApiResult<JobsDone> {
        let paused = job(&JobRequest::Id { id: 7 }, JobState::Paused);
        self.answer("PauseAll", JobsDone { items: vec![paused] })
    }

    async fn resume(&self, request: JobRequest) -> ApiResult<JobDone> {
        let done = job(&request, JobState::Running);
        self.answer(("resume", request), done)
    }

    async fn resume_all(&self) -> ApiResult<JobsDone> {
        self.answer("ResumeAll", JobsDone { items: Vec::new() })
    }

    async fn pause(&self, request: JobRequest) -> ApiResult<JobDone> {
        let done = job(&request, JobState::Paused);
        self.answer(("pause", request), done)
    }

    async fn subscribe(&self, request: SubscribeRequest) -> ApiResult<SubscriptionsDone> {
        self.answer(request, SubscriptionsDone { items: vec![subscription(SubscriptionState::Updating)] })
    }

    async fn unsubscribe(&self, request: UnsubscribeRequest) -> ApiResult<Unsubscribed> {
        let path = subscription(SubscriptionState::Current).path;
        let item = UnsubscribedItem {
            path,
            deleted: request.delete,
            kept_because: None,
            stays: Vec::new(),
            stays_count: 0,
        };
        self.answer(request, Unsubscribed { items: vec![item] })
    }

    async fn subscriptions(&self, request: PageRequest) -> ApiResult<SubscriptionsPage> {
        let items = vec![subscription(SubscriptionState::HeldBack)];
        self.answer(("subscriptions", request), SubscriptionsPage { items, next: None })
    }

    async fn accept(&self, request: SubscriptionRequest) -> ApiResult<SubscriptionsDone> {
        let items = vec![subscription(SubscriptionState::Updating)];
        self.answer(("accept", request), SubscriptionsDone { items })
    }

    async fn limit(&self, changes: LimitChanges) -> ApiResult<Limits> {
        let configured = LimitOptions::default();
        self.answer(("limit", changes), Limits { now: configured.with(&changes), configured })
    }

    async fn limit_transfer(&self, request: JobLimitRequest) -> ApiResult<JobLimit> {
        let JobDone { id, owner, name, state } = job(&request.job, JobState::Paused);
        let id = id.expect("of a download");
        let download = request.download.unwrap_or_default();
        self.answer(("limit_transfer", request), JobLimit { id, owner, name, state, download })
    }

    async fn cancel(&self, request: JobRequest) -> ApiResult<JobDone> {
        let done = job(&request, JobState::Cancelled);
        self.answer(("cancel", request), done)
    }
}
