//! What the fake daemon answers: good examples of everything.

use certs::{NodeId, SecretKey, UnixMillis, UnixNanos};
use p2p_node::activity::{Activity, LoggedEvent, Moved, Version};
use p2p_node::control::api::*;
use wire::{ContentHash, Kind};

pub(super) fn event_examples() -> Vec<LoggedEvent> {
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

pub(super) fn version(version: u64) -> ResourceVersion {
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

pub(super) fn progress(bytes_done: u64) -> Progress {
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

pub(super) fn enrolled(user: certs::UserName) -> Enrolled {
    Enrolled { user, node: node(1), network: node(9) }
}

pub(super) fn online(user: &str) -> UserOnline {
    let online = NodeOnline {
        node: node(1),
        address: Some("192.0.2.1:4821".parse().expect("an address")),
        since: UnixMillis(1_793_700_720_000).into(),
    };
    UserOnline { user: user.parse().expect("a name"), nodes: vec![online] }
}

pub(super) fn shared(request: &ShareRequest) -> ShareDone {
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

pub(super) fn share() -> Share {
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

pub(super) fn subscription(state: SubscriptionState) -> SubscriptionItem {
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

pub(super) fn got(request: &GetRequest) -> GetDone {
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

pub(super) fn job(request: &JobRequest, state: JobState) -> JobDone {
    let (id, owner, name) = match request {
        JobRequest::Id { id } => (*id, "bob".parse().expect("a name"), "x".parse().expect("a name")),
        JobRequest::Resource { owner, name, .. } => (7, owner.clone(), name.clone()),
    };
    JobDone { id: Some(id), owner, name, state }
}

pub(super) fn started(request: &GetRequest) -> Started {
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

pub(super) fn transfers() -> Transfers {
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

pub(super) fn status() -> Status {
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
