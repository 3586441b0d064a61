//! The log of activity: what is in it, also after a restart; followed while it is written.

use std::io::{BufRead, BufReader};

use p2p_node::activity::{Activity, HookEnd, Version};
use p2p_node::control::api::{EventsRequest, IndexState, Line, LoggedEvent};
use p2p_node::control::{Lines, LocalCode};
use p2p_node::hooks::{Hook, HookFacts};
use p2p_node::store::fs::{Fault, FsOp};
use p2p_node_tests::cluster::{refused, user};
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::node::get_request;
use p2p_node_tests::{Cluster, PATIENCE, Programs, in_time, process, wait_until};
use serde_json::Value;
use wire::ContentHash;

const FOLLOW: EventsRequest = EventsRequest { limit: Some(0), since: None, follow: true };

async fn next(lines: &mut Lines<LoggedEvent>) -> Activity {
    match in_time("the next event", lines.recv()).await {
        Some(Line::Item(event)) => event.activity,
        other => panic!("{other:?}"),
    }
}

fn version(name: &str, version: u64) -> Version {
    Version::new(&user("alice"), &name.parse().expect("a name"), version)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_there_after_a_restart() {
    let cluster = Cluster::start().await;
    let (mut alice, mut bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 1, 3 * MIB);
    alice.share(&path).await.expect("shared");
    alice.share(&path).await.expect("unchanged: that is no event");
    fixtures::file(&path, 2, MIB);
    alice.share(&path).await.expect("shared anew");
    let got = bob.get("alice", "film.mkv").await.expect("got");
    bob.get("alice", "film.mkv").await.expect("there: that is no event");
    alice.unshare("film.mkv").await.expect("taken back");

    wait_until(PATIENCE, "bob hears of it", async || {
        let names = bob.event_names().await;
        if names.last().is_some_and(|name| *name == "owner-unshared") { Ok(()) } else { Err(names) }
    })
    .await;

    bob.restart().await;
    bob.wait_for_index(IndexState::Connected).await;
    let before = ["started", "index-connected", "signed-up", "downloaded", "owner-unshared", "stopped"];
    let expected = [before.as_slice(), &["started", "index-connected"]].concat();
    assert_eq!(bob.event_names().await, expected);
    let events = bob.events().await;
    let Activity::Downloaded { what, path: target, moved } = &events[3].activity else {
        panic!("{events:?}")
    };
    assert_eq!((what, target), (&version("film.mkv", 2), &got.path));
    assert_eq!((moved.bytes_received, moved.bytes_reused), (MIB as u64, 0));
    assert_eq!((moved.sources.len(), moved.sources[0].node), (1, alice.id()));
    assert!(moved.seconds > 0.0 && moved.seconds <= got.seconds, "{moved:?} {got:?}");
    assert!(events.iter().map(|event| event.id).eq(1..=events.len() as u64));

    alice.restart().await;
    alice.wait_for_index(IndexState::Connected).await;
    let names = alice.event_names().await;
    let shared =
        ["started", "index-connected", "signed-up", "shared", "shared", "unshared", "stopped", "started"];
    assert_eq!(names[..8], shared, "what the index is told again is no event: {names:?}");
    let events = alice.events().await;
    let Activity::Shared { what, size, .. } = &events[4].activity else { panic!("{events:?}") };
    assert_eq!((what, *size), (&version("film.mkv", 2), MIB as u64));
    assert_eq!(events[5].activity, Activity::Unshared { what: version("film.mkv", 3) });
    let names = cluster.index.event_names().await;
    assert_eq!(names, ["started"], "an index is not told that it is connected to itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_told_once() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 3, MIB);
    alice.share(&path).await.expect("shared");
    let path_contains = "downloads/alice".to_owned();
    bob.fs().inject(Fault { op: FsOp::WriteAt, path_contains, nth: 1, errno: 28 });
    refused(bob.get("alice", "film.mkv").await, LocalCode::DiskFull);
    bob.get("alice", "film.mkv").await.expect("got");
    let all = bob.event_names().await;
    assert_eq!(all[3..], ["download-failed", "resumed", "downloaded"], "{all:?}");
    let failed = &bob.events().await[3].activity;
    let Activity::DownloadFailed { what, code, error } = failed else { panic!("{failed:?}") };
    assert_eq!((what, code.as_str()), (&version("film.mkv", 1), "disk-full"));
    assert!(!error.is_empty());

    fixtures::file(&path, 4, MIB);
    for _ in 0..3 {
        alice.shares().await.expect("local");
        alice.status().await;
    }
    fixtures::write(&bob.download_path("alice", "film.mkv"), b"changed here");
    let carol = cluster.user("carol").await;
    for _ in 0..2 {
        carol.get("alice", "film.mkv").await.expect_err("nobody has it any more");
    }
    for (node, path) in [(&alice, path), (&bob, bob.download_path("alice", "film.mkv"))] {
        let changed = Activity::FileChanged {
            what: version("film.mkv", 1),
            path: path.into(),
            state: "changed".to_owned(),
        };
        let events = node.events().await;
        assert_eq!(events.iter().filter(|event| event.activity == changed).count(), 1, "{events:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_sees_each_event_once_and_in_order() {
    let mut cluster = Cluster::start().await;
    let (mut alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut following = alice.follow_events(FOLLOW).await;
    let mut all = alice.follow_events(EventsRequest { limit: Some(1), ..FOLLOW }).await;
    assert_eq!(next(&mut all).await.name(), "signed-up", "the newest, then what comes");
    let mut expected = Vec::new();
    for number in 1..=40 {
        let name = format!("{number}.txt");
        let path = fixtures::file(&cluster.path(&name), number, 100);
        alice.share(&path).await.expect("shared");
        let path = path.into();
        expected.push(Activity::Shared { what: version(&name, 1), path, size: 100 });
    }
    for shared in &expected {
        assert_eq!((&next(&mut following).await, &next(&mut all).await), (shared, shared));
    }
    bob.logout().await.expect("logged out");
    assert_eq!(*bob.event_names().await.last().expect("some"), "logged-out");
    cluster.stop_index().await;
    assert_eq!(next(&mut following).await.name(), "index-lost");
    alice.stop().await;
    assert_eq!(in_time("the end", following.recv()).await, None, "the server makes an error of that");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_goes_leaves_room() {
    let cluster = Cluster::start().await;
    let bob = cluster.peer("bob").await;
    let following = bob.follow_events(FOLLOW).await;
    drop(following);
    bob.signup("bob").await.expect("signed up");
    let mut following = bob.follow_events(EventsRequest { limit: None, ..FOLLOW }).await;
    for expected in ["started", "index-connected", "signed-up"] {
        assert_eq!(next(&mut following).await.name(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_resumed_cancelled_and_forgotten() {
    let cluster = Cluster::start().await;
    let link = cluster.link(5).await;
    let (alice, bob) = (cluster.user_behind("alice", &link).await, cluster.user("bob").await);
    alice.share(&fixtures::file(&cluster.path("film.mkv"), 6, 8 * MIB)).await.expect("shared");
    link.set_rate(1 << 20);
    bob.detach(get_request("alice", "film.mkv")).await.expect("begun");
    bob.pause("alice", "film.mkv").await.expect("paused");
    bob.detach(get_request("alice", "film.mkv")).await.expect("goes on");
    bob.cancel("alice", "film.mkv").await.expect("cancelled");
    let names = bob.event_names().await;
    assert_eq!(names[3..], ["paused", "resumed", "cancelled"], "{names:?}");
    bob.logout().await.expect("logged out");
    let carol = cluster.user("carol").await;
    drop(carol);
    let password = p2p_node_tests::node::password_of("carol");
    bob.login_with("carol", password, true).await.expect("another account");
    assert_eq!(bob.event_names().await, ["logged-in"], "what the account before did is forgotten with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_prints_and_follows() {
    let programs = Programs::start().await;
    let (alice, mut bob) = (programs.user("alice").await, programs.user("bob").await);
    let mut following = bob.plain(&["events", "--follow"]).spawn().expect("started");
    let out = following.stdout.take().expect("piped");
    let path = fixtures::file(&programs.path("film.mkv"), 7, MIB);
    alice.ask(&["share", path.to_str().expect("text")]).await;
    bob.ask(&["get", "alice/film.mkv"]).await;
    let lines = tokio::task::spawn_blocking(move || {
        let mut lines = Vec::new();
        for line in BufReader::new(out).lines().map(|line| line.expect("text")) {
            lines.push(line);
            if lines[lines.len() - 1].contains("1.00 MiB received, from alice, in ") {
                break;
            }
        }
        lines
    });
    let lines = in_time("the download is printed", lines).await.expect("no panic");
    assert!(lines.iter().any(|line| line.contains("  signed up as bob")), "{lines:?}");
    assert!(lines[lines.len() - 1].contains("  downloaded alice/film.mkv version 1: "), "{lines:?}");
    bob.kill_9().await;
    let ended = process::finish(following).await;
    assert_eq!(ended.code, Some(6), "{ended:?}");

    let bob = programs.peer("bob").await;
    let ended = bob.command(&["events"]).await;
    let names: Vec<_> = ended.documents().iter().map(|line| line["event"].clone()).collect();
    let expected = ["started", "index-connected", "signed-up", "downloaded", "started"];
    assert_eq!(names[..5], expected.map(Value::from), "no `stopped`: it was killed");
    let ended = bob.command(&["events", "--limit", "1", "--since", "2300-01-01"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""));
    wait_until(PATIENCE, "it is connected again", async || {
        let ended = bob.command(&["events", "-n", "1"]).await;
        let last = ended.documents().pop().expect("an event");
        if last["event"] == "index-connected" { Ok(()) } else { Err(last) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_told_in_the_log_and_ends_with_the_node() {
    let cluster = Cluster::start().await;
    let mut bob = cluster.user("bob").await;
    let facts = |version| HookFacts {
        what: self::version("film.mkv", version),
        path: cluster.path("film.mkv"),
        content: ContentHash::of(b"x"),
    };
    let hook =
        |script: &str| Hook::new(["/bin/sh", "-c", script].map(str::to_owned).to_vec()).expect("a hook");
    let mut following = bob.follow_events(FOLLOW).await;
    bob.node().hooks().run(hook("exit $P2P_NODE_VERSION"), facts(4));
    let Activity::HookRan { what, program, end, .. } = next(&mut following).await else { panic!("another") };
    assert_eq!((what, program.as_str()), (version("film.mkv", 4), "/bin/sh"));
    assert_eq!(end, HookEnd::Exited { code: 4 });
    bob.node().hooks().run(hook("sleep 600"), facts(5));
    bob.restart().await;
    let ended = bob.events().await.into_iter().find_map(|event| match event.activity {
        Activity::HookRan { what, end, .. } if what.version == 5 => Some(end),
        _ => None,
    });
    assert_eq!(ended, Some(HookEnd::Stopped));
}
