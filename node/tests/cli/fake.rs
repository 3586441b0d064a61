//! A backend whose answers the tests choose.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use certs::{NodeId, SecretKey, UnixMillis, UnixNanos};
use p2p_node::activity::{Activity, LoggedEvent, Moved, Version};
use p2p_node::control::api::*;
use p2p_node::control::{ApiError, ApiResult, Backend, EVENTS_QUEUED, Events, Lines};
use p2p_node::options::{LimitChanges, LimitOptions};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use wire::{ContentHash, Kind};

use crate::admin::recovery;

/// Answers everything with good examples, unless told otherwise.
#[derive(Default)]
pub(crate) struct Fake {
    /// What was asked, as debug text, in order.
    pub(crate) asked: Mutex<Vec<String>>,
    /// What the next operations fail with.
    pub(crate) errors: Mutex<VecDeque<ApiError>>,
    /// The pages of lists: the cursor is the number. Without any, one page of one item.
    pub(crate) pages: Mutex<Vec<ApiResult<ResourcePage>>>,
    /// How long operations go.
    pub(crate) long: Mutex<Long>,
    /// A long operation has begun.
    pub(crate) begun: Arc<Notify>,
    /// The client of a long operation went away.
    pub(crate) left: Arc<Notify>,
    /// `transfers` was asked.
    pub(crate) shown: Arc<Notify>,
    /// `stop` was asked.
    pub(crate) stopping: Arc<Notify>,
    tasks: Mutex<JoinSet<()>>,
}

/// How a long operation goes, after two events of progress.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Long {
    /// It ends well.
    #[default]
    Ends,
    /// It fails.
    Fails(ApiError),
    /// It goes on until the client goes away.
    GoesOn,
    /// The daemon drops it without a word.
    Vanishes,
}

impl Fake {
    fn answer<T>(&self, asked: impl Debug, good: T) -> ApiResult<T> {
        self.asked.lock().expect("not poisoned").push(format!("{asked:?}"));
        let error = self.errors.lock().expect("not poisoned").pop_front();
        error.map_or(Ok(good), Err)
    }

    fn page(&self, asked: impl Debug, cursor: Option<&str>) -> ApiResult<ResourcePage> {
        self.answer(asked, ())?;
        let pages = self.pages.lock().expect("not poisoned");
        let number: usize = cursor.map_or(0, |cursor| cursor.parse().expect("a cursor of ours"));
        pages.get(number).cloned().unwrap_or_else(|| Ok(page(&["film.mkv"], None)))
    }

    fn events<T: Send + 'static>(&self, asked: impl Debug, result: T) -> ApiResult<Events<T>> {
        self.answer(asked, ())?;
        let (sender, events) = mpsc::channel(EVENTS_QUEUED);
        let send = |event| assert!(sender.try_send(event).is_ok(), "there is room");
        send(Event::Progress(progress(0)));
        send(Event::Progress(progress(1 << 29)));
        match self.long.lock().expect("not poisoned").clone() {
            Long::Ends => send(Event::Result(result)),
            Long::Fails(error) => send(Event::Error(error)),
            Long::Vanishes => {}
            Long::GoesOn => {
                let left = self.left.clone();
                self.tasks.lock().expect("not poisoned").spawn(async move {
                    sender.closed().await;
                    left.notify_one();
                });
            }
        }
        self.begun.notify_one();
        Ok(events)
    }
}

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
            _ => {
                let left = self.left.clone();
                self.tasks.lock().expect("not poisoned").spawn(async move {
                    sender.closed().await;
                    left.notify_one();
                });
            }
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

fn event_examples() -> Vec<LoggedEvent> {
    let name = "evil.mkv".parse().expect("a name");
    let what = Version::new(&"alice".parse().expect("a name"), &name, 4);
    let path = LocalPath::from(std::path::PathBuf::from("/films/evil\u{202e}.mkv"));
    let sources = vec![SourceBytes { node: node(2), user: "bob".parse().expect("a name"), bytes: 1 << 20 }];
    let moved = Moved { bytes_received: 1 << 20, bytes_reused: 40 << 20, sources, seconds: 0.42 };
    let updated = Activity::Updated { what: what.clone(), from_version: Some(3), path: path.clone(), moved };
    let changed = Activity::FileChanged { what, path, state: "changed".to_owned() };
    let event =
        |(id, activity)| LoggedEvent { time: UnixMillis(1_793_700_720_000 + id).into(), activity, id };
    [(7, Activity::Started), (8, updated), (9, changed)].into_iter().map(event).collect()
}

pub(crate) fn node(seed: u8) -> NodeId {
    SecretKey::from_seed([seed; 32]).public()
}

pub(crate) fn page(names: &[&str], next: Option<&str>) -> ResourcePage {
    let items = names.iter().map(|name| resource(name)).collect();
    ResourcePage { items, next: next.map(str::to_owned), source: Source::Index, age_seconds: 0 }
}

fn resource(name: &str) -> Resource {
    Resource {
        owner: "alice".parse().expect("a name"),
        name: name.parse().expect("a name"),
        kind: Kind::File,
        version: 3,
        size: 3 << 30,
        mtime: UnixNanos(1_793_700_720_500_000_000).into(),
        content: ContentHash::of(name.as_bytes()),
        holders: 4,
        online: 2,
    }
}

fn version(version: u64) -> ResourceVersion {
    let Resource { owner, name, kind, mtime, content, .. } = resource("film.mkv");
    let published = Some(UnixNanos(1_793_700_720_000_000_000 + version as i64 * 60_000_000_000).into());
    let (node, holders, online) = (node(1), 3, version % 2);
    ResourceVersion {
        owner,
        name,
        kind,
        version,
        size: version << 20,
        mtime,
        published,
        node,
        content,
        holders,
        online,
    }
}

fn progress(bytes_done: u64) -> Progress {
    let files = FilesProgress { done: 3, total: 7, current: Some("a\u{202e}.jpg".to_owned()) };
    Progress {
        id: Some(7),
        bytes_received: bytes_done,
        rate: 1 << 20,
        eta_ms: Some(512_000),
        holders: 1,
        peers: vec![peer(2, Some(12.34), Some(0.025))],
        files: Some(files),
        ..Progress::of(Stage::Downloading, bytes_done, 1 << 30)
    }
}

fn enrolled(user: certs::UserName) -> Enrolled {
    Enrolled { user, node: node(1), network: node(9) }
}

fn online(user: &str) -> UserOnline {
    let online = NodeOnline {
        node: node(1),
        address: Some("192.0.2.1:4821".parse().expect("an address")),
        since: UnixMillis(1_793_700_720_000).into(),
    };
    UserOnline { user: user.parse().expect("a name"), nodes: vec![online] }
}

fn shared(request: &ShareRequest) -> ShareDone {
    ShareDone {
        owner: "alice".parse().expect("a name"),
        name: request.name.clone(),
        version: 1,
        outcome: Outcome::Created,
        size: 5,
        content: ContentHash::of(b"hello"),
        path: request.path.clone(),
        notes: Vec::new(),
        notes_count: 0,
        kept: None,
        pending: false,
    }
}

fn share() -> Share {
    Share {
        name: "film.mkv".parse().expect("a name"),
        path: LocalPath::from(std::path::PathBuf::from("/films/film.mkv")),
        version: 1,
        size: 5,
        watched: true,
        state: ShareState::Shared,
        content: ContentHash::of(b"hello"),
    }
}

fn subscription(state: SubscriptionState) -> SubscriptionItem {
    SubscriptionItem {
        owner: "bob".parse().expect("a name"),
        name: "film.mkv".parse().expect("a name"),
        path: LocalPath::from(std::path::PathBuf::from("/films/film.mkv")),
        state,
        version: Some(2),
        newest: Some(3),
        edited: true,
        why: (state == SubscriptionState::HeldBack).then(|| "12 of its 20 files are gone".to_owned()),
        checked: Some(UnixMillis(1_793_700_720_000).into()),
        on_update: vec!["/bin/true".to_owned()],
        keep: None,
        kept: None,
    }
}

fn got(request: &GetRequest) -> GetDone {
    GetDone {
        owner: request.owner.clone(),
        name: request.name.clone(),
        version: 2,
        path: request.path.clone().unwrap_or_else(|| std::path::PathBuf::from("/downloads/x").into()),
        size: 1 << 30,
        content: ContentHash::of(b"hello"),
        bytes_received: 1 << 30,
        bytes_reused: 0,
        seconds: 8.0,
        sources: vec![SourceBytes { node: node(2), user: "bob".parse().expect("a name"), bytes: 1 << 30 }],
        source: Source::Index,
        age_seconds: 0,
        kept: None,
        conflicts: Vec::new(),
        conflicts_count: 0,
    }
}

fn job(request: &JobRequest, state: JobState) -> JobDone {
    let (id, owner, name) = match request {
        JobRequest::Id { id } => (*id, "bob".parse().expect("a name"), "x".parse().expect("a name")),
        JobRequest::Resource { owner, name, .. } => (7, owner.clone(), name.clone()),
    };
    JobDone { id: Some(id), owner, name, state }
}

fn started(request: &GetRequest) -> Started {
    let GetDone { owner, name, version, path, size, .. } = got(request);
    Started { id: Some(7), owner, name, version, path, size, state: JobState::Running }
}

fn transfer() -> Transfer {
    Transfer {
        id: Some(7),
        direction: Direction::Download,
        owner: "bob".parse().expect("a name"),
        name: "song.ogg".parse().expect("a name"),
        state: TransferState::Running,
        path: LocalPath::from(std::path::PathBuf::from("/downloads/bob/song.ogg")),
        size: Some(1000),
        bytes_done: 450,
        rate: 10,
        holders: 2,
        error: None,
    }
}

fn peer(seed: u8, rtt_ms: Option<f64>, loss: Option<f64>) -> TransferPeer {
    TransferPeer {
        node: node(seed),
        user: Some("carol".parse().expect("a name")),
        bytes: 225,
        share: Some(50),
        rate: 5,
        rtt_ms,
        loss,
    }
}

fn transfers() -> Transfers {
    let peers = vec![peer(2, Some(12.34), Some(0.025)), peer(3, None, None)];
    let running = TransferDetail {
        transfer: transfer(),
        stage: Some(Stage::Verifying),
        finished: None,
        bytes_received: 460,
        eta_ms: Some(55_000),
        limit: "5m".parse().expect("a rate"),
        files: None,
        peers,
    };
    let waiting = Transfer {
        id: Some(8),
        state: TransferState::Waiting,
        error: Some("nobody\u{202e} is there".to_owned()),
        ..transfer()
    };
    let waiting = TransferDetail {
        transfer: waiting,
        stage: Some(Stage::Waiting),
        eta_ms: None,
        peers: Vec::new(),
        ..running.clone()
    };
    Transfers { items: vec![running, waiting] }
}

fn status() -> Status {
    let problem = ShareProblem {
        name: "film.mkv".parse().expect("a name"),
        path: LocalPath::from(std::path::PathBuf::from("/films/evil\u{202e}.mkv")),
        state: ShareState::Changed,
    };
    Status {
        node: node(1),
        user: Some("alice".parse().expect("a name")),
        network: Some(node(9)),
        address: "0.0.0.0:4821".parse().expect("an address"),
        index: IndexStatus {
            state: IndexState::Connected,
            address: Some("index.example:4820".to_owned()),
            problem: None,
        },
        small_buffers: None,
        source: Source::Index,
        fallback: None,
        shares: ShareSummary { count: 3, problems: vec![problem] },
        watch: None,
        transfers: vec![transfer()],
    }
}
