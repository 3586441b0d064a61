//! Control over downloads: begun without a command that follows, waiting for holders, paused, resumed and cancelled by
//! number, shown both ways.

use p2p_node::control::api::{
    Direction, GetRequest, IndexState, JobRequest, JobState, Stage, TransferDetail, TransferState,
};
use p2p_node::control::{Backend, LocalCode};
use p2p_node::store::fs::{Fault, FsOp};
use p2p_node_tests::cluster::{refused, refused_with_hint};
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::node::get_request;
use p2p_node_tests::{Cluster, Link, PATIENCE, Programs, TestNode, process, wait_until};
use wire::ErrorCode;

use super::interrupted::{HALF, LOST, SIZE, SLOW, Slow};

/// Alice shares `film.mkv` over a slow link; Bob has begun to download it, and nobody follows that.
struct Detached {
    cluster: Cluster,
    link: Link,
    alice: TestNode,
    bob: TestNode,
    id: u64,
}

impl Detached {
    async fn start(seed: u64) -> Self {
        let Slow { cluster, link, alice, bob } = Slow::start(seed).await;
        let started = bob.detach(get_request("alice", "film.mkv")).await.expect("begun");
        assert_eq!((started.state, started.size), (JobState::Running, SIZE as u64));
        let id = started.id.expect("a number");
        Self { cluster, link, alice, bob, id }
    }

    fn job(&self) -> JobRequest {
        JobRequest::Id { id: self.id }
    }

    async fn pause(&self) {
        let paused = self.bob.node().pause(self.job()).await.expect("paused");
        assert_eq!((paused.id, paused.state), (Some(self.id), JobState::Paused));
    }

    /// Bob's only transfer, once it is as wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&TransferDetail) -> bool) -> TransferDetail {
        until(&self.bob, what, wanted).await
    }

    async fn until_half(&self) -> TransferDetail {
        self.until("half of it is there", |one| one.transfer.bytes_done >= HALF).await
    }

    async fn until_done(&self) {
        let done = self.until("it is done", |one| one.transfer.state == TransferState::Done).await;
        assert_eq!((done.transfer.id, done.transfer.bytes_done), (Some(self.id), SIZE as u64));
        assert!(done.finished.is_some() && done.peers.is_empty(), "{done:?}");
        let target = self.bob.download_path("alice", "film.mkv");
        assert_eq!(fixtures::hash_of(&target), fixtures::hash_of(&self.cluster.path("film.mkv")));
    }

    fn nothing_is_there(&self) {
        let names = fixtures::names_in(&self.bob.home().join("downloads/alice"));
        assert!(names.is_empty(), "{names:?}");
    }
}

/// The only transfer of a node, once it is as wanted.
async fn until(node: &TestNode, what: &str, wanted: impl Fn(&TransferDetail) -> bool) -> TransferDetail {
    wait_until(PATIENCE, what, async || match &node.transfers().await[..] {
        [one] if wanted(one) => Ok(one.clone()),
        other => Err(other.to_vec()),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_without_a_command_and_over_a_restart() {
    let mut test = Detached::start(31).await;
    let half = test.until_half().await;
    assert_eq!((half.transfer.state, half.stage), (TransferState::Running, Some(Stage::Downloading)));
    test.bob.restart().await;
    let after = test.bob.transfers().await;
    assert_eq!(after.iter().map(|one| one.transfer.id).collect::<Vec<_>>(), [Some(test.id)]);
    test.link.set_rate(0);
    test.until_done().await;
    assert!(test.bob.status().await.transfers.is_empty(), "what is done is no news for status");
    let again = test.bob.detach(get_request("alice", "film.mkv")).await.expect("there");
    assert_eq!((again.id, again.state), (None, JobState::Installed));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_installed_is_done_though_the_index_cannot_be_told() {
    let mut test = Detached::start(44).await;
    test.until_half().await;
    // The end of the download then waits a second for the index.
    test.cluster.stop_index().await;
    test.link.set_rate(0);
    test.until_done().await;
    let open = test.bob.status().await.transfers;
    assert!(open.is_empty(), "it is done, not running: {open:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_are_shown_with_how_good_the_way_is() {
    let test = Detached::start(32).await;
    let bob = test.until("alice gives", |one| one.peers.iter().any(|peer| peer.bytes > 0)).await;
    assert_eq!((bob.transfer.direction, bob.peers.len()), (Direction::Download, 1));
    assert_eq!((bob.peers[0].node, bob.peers[0].user.as_ref()), (test.alice.id(), Some(&bob.transfer.owner)));
    let given = until(&test.alice, "bob gets", |one| one.transfer.bytes_done > 0).await;
    assert_eq!((given.transfer.direction, given.transfer.id), (Direction::Upload, None));
    assert_eq!(given.transfer.size, Some(SIZE as u64));
    assert_eq!((given.peers[0].node, given.peers.len()), (test.bob.id(), 1));
    assert_eq!(given.peers[0].user.as_ref().map(|user| user.as_str()), Some("bob"));
    for peer in [&bob.peers[0], &given.peers[0]] {
        assert!(peer.rtt_ms.is_some_and(|rtt| rtt > 0.0), "{peer:?}");
        assert!(peer.loss.is_some_and(|loss| (0.0..=1.0).contains(&loss)), "{peer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_it_stays_so_over_a_restart_and_resumed_it_fetches_little_twice() {
    let mut test = Detached::start(33).await;
    let before = test.link.carried_out();
    test.until_half().await;
    test.pause().await;
    test.pause().await;
    test.bob.restart().await;
    test.bob.wait_for_index(IndexState::Connected).await;
    let paused = test.until("it is paused", |one| one.transfer.state == TransferState::Paused).await;
    assert!(paused.transfer.bytes_done >= HALF && paused.peers.is_empty(), "{paused:?}");
    test.link.set_rate(0);
    let resumed = test.bob.resume(test.job()).await.expect("resumed");
    assert_eq!((resumed.id, resumed.state), (Some(test.id), JobState::Running));
    test.until_done().await;
    // Beside the file itself the link carries packet headers and what is said of it.
    let (carried, size) = (test.link.carried_out() - before, SIZE as u64);
    assert!(carried <= size + LOST + size / 5, "{carried} bytes went over the link for {size}");
    refused_with_hint(test.bob.resume(test.job()).await, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_one_leaves_nothing_behind() {
    let test = Detached::start(34).await;
    test.until_half().await;
    let cancelled = test.bob.node().cancel(test.job()).await.expect("cancelled");
    assert_eq!((cancelled.id, cancelled.state), (Some(test.id), JobState::Cancelled));
    test.nothing_is_there();
    assert!(test.bob.transfers().await.is_empty());
    refused_with_hint(test.bob.node().pause(test.job()).await, ErrorCode::NotFound);

    let started = test.bob.detach(get_request("alice", "film.mkv")).await.expect("anew");
    assert_ne!(started.id, Some(test.id), "a number is never given twice");
    let job = JobRequest::Id { id: started.id.expect("a number") };
    test.until("some of it is there", |one| one.transfer.bytes_done > 0).await;
    test.bob.node().pause(job.clone()).await.expect("paused");
    test.bob.node().cancel(job).await.expect("a paused one goes as well");
    test.nothing_is_there();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_paused_and_all_that_are_paused_go_on() {
    let test = Detached::start(35).await;
    let other = fixtures::file(&test.cluster.path("other.mkv"), 36, SIZE);
    test.alice.share(&other).await.expect("shared");
    test.bob.detach(get_request("alice", "other.mkv")).await.expect("begun");
    let states = async || {
        let transfers = test.bob.transfers().await;
        transfers.iter().map(|one| one.transfer.state).collect::<Vec<_>>()
    };
    let paused = test.bob.node().pause_all().await.expect("paused");
    assert_eq!(paused.items.len(), 2);
    assert_eq!(states().await, [TransferState::Paused; 2]);
    assert!(test.bob.node().pause_all().await.expect("nothing runs").items.is_empty());
    test.link.set_rate(0);
    let resumed = test.bob.node().resume_all().await.expect("resumed");
    assert_eq!(resumed.items.len(), 2);
    wait_until(PATIENCE, "both are done", async || {
        let states = states().await;
        if states == [TransferState::Done; 2] { Ok(()) } else { Err(states) }
    })
    .await;
    assert!(test.bob.node().resume_all().await.expect("nothing is paused").items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_a_holder_that_comes_later() {
    let cluster = Cluster::start().await;
    let (mut alice, mut bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 37, 100_000);
    alice.share(&path).await.expect("shared");
    alice.stop().await;
    bob.wait_for_holders("alice", "film.mkv", 0).await;
    refused_with_hint(bob.get("alice", "film.mkv").await, ErrorCode::NoHolder);
    assert!(bob.transfers().await.is_empty(), "nothing waits that was not told to");

    let waiting = GetRequest { wait: true, ..get_request("alice", "film.mkv") };
    let started = bob.detach(waiting.clone()).await.expect("begun");
    assert_eq!((started.version, started.size), (1, 100_000), "the record is known without a holder");
    let waits = |one: &TransferDetail| {
        one.transfer.state == TransferState::Waiting
            && one.transfer.error.as_ref().is_some_and(|why| why.contains("1 not online"))
    };
    until(&bob, "it says why it waits", waits).await;
    let mut follower = bob.start_get(get_request("alice", "film.mkv")).await.expect("attached");
    follower.until(|progress| progress.stage == Stage::Waiting).await;
    bob.restart().await;
    until(&bob, "it waits over a restart", waits).await;
    alice.start_again().await;
    let done = until(&bob, "it is done", |one| one.transfer.state == TransferState::Done).await;
    assert_eq!(done.transfer.id, started.id);
    assert_eq!(fixtures::read(done.transfer.path.as_path()), fixtures::read(&path));
    let nothing = GetRequest { wait: true, ..get_request("alice", "nothing") };
    refused_with_hint(bob.detach(nothing).await, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_that_waits_ends_with_the_file() {
    let cluster = Cluster::start().await;
    let (mut alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 38, 100_000);
    alice.share(&path).await.expect("shared");
    alice.stop().await;
    bob.wait_for_holders("alice", "film.mkv", 0).await;
    let waiting = GetRequest { wait: true, ..get_request("alice", "film.mkv") };
    let mut get = bob.start_get(waiting).await.expect("begun");
    get.until(|progress| progress.stage == Stage::Waiting && progress.note.is_some()).await;
    alice.start_again().await;
    let got = get.end().await.expect("alice came");
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::read(&path));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_forgotten_once_it_is_got_elsewhere() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    alice.share(&fixtures::file(&cluster.path("film.mkv"), 39, MIB)).await.expect("shared");
    let path_contains = "downloads/alice".to_owned();
    bob.fs().inject(Fault { op: FsOp::WriteAt, path_contains, nth: 1, errno: 28 });
    refused(bob.get("alice", "film.mkv").await, LocalCode::DiskFull);
    let failed = until(&bob, "it failed", |one| one.transfer.state == TransferState::Failed).await;
    let paused = bob.node().pause(JobRequest::Id { id: failed.transfer.id.expect("a number") }).await;
    assert_eq!(paused.expect("there").state, JobState::Failed, "one that failed is not called paused");

    let elsewhere = cluster.path("elsewhere.mkv");
    let request = GetRequest { path: Some(elsewhere.into()), ..get_request("alice", "film.mkv") };
    bob.get_with(request).await.expect("got");
    assert!(bob.status().await.transfers.is_empty(), "{:?}", bob.status().await.transfers);
    let names = fixtures::names_in(&bob.home().join("downloads/alice"));
    assert!(names.is_empty(), "what was received of it is gone: {names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_are_made_only_where_that_is_wished_for() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 40, 1000);
    alice.share(&path).await.expect("shared");
    let to = |target: &str| GetRequest {
        path: Some(cluster.path(target).into()),
        ..get_request("alice", "film.mkv")
    };
    for target in ["no/such/folder/x", "no/"] {
        let error = refused_with_hint(bob.get_with(to(target)).await, LocalCode::NoSuchPath);
        assert!(error.message.contains("does not exist"), "{error:?}");
    }
    assert!(!cluster.path("no").exists());
    let error = refused_with_hint(bob.get_with(to("film.mkv/x")).await, LocalCode::NoSuchPath);
    assert!(error.message.contains("is not a folder"), "{error:?}");
    let got = bob.get_with(GetRequest { parents: true, ..to("no/such/folder/x") }).await.expect("got");
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::read(&path));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_two_terminals() {
    let programs = Programs::start().await;
    let (link, alice) = programs.user_behind("alice", 41).await;
    let bob = programs.user("bob").await;
    for (name, seed) in [("a.mkv", 42), ("b.mkv", 43)] {
        let path = fixtures::file(&programs.path(name), seed, SIZE);
        alice.ask(&["share", path.to_str().expect("text")]).await;
    }
    link.set_rate(SLOW);
    let get = bob.begin(&["get", "alice/a.mkv"]);
    bob.wait_for_transfer(1).await;
    let paused = bob.ask(&["pause", "alice/a.mkv"]).await;
    assert_eq!(paused["state"], "paused");
    let ended = process::finish(get).await;
    assert_eq!((ended.code, ended.error_code().as_str()), (Some(7), "paused"), "{ended:?}");
    assert!(ended.hint().contains("p2p-node resume"), "{ended:?}");
    link.set_rate(0);
    let folder = programs.path("new");
    let folder = folder.to_str().expect("text");
    bob.ask(&["cancel", &paused["id"].to_string()]).await;
    let ended = bob.command(&["get", "alice/a.mkv", "alice/b.mkv", "alice/c.mkv", "-o", folder, "-p"]).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let mut lines = ended.documents();
    lines.retain(|line| line["event"] != "progress");
    lines.sort_by_key(|line| line["name"].to_string());
    assert_eq!(lines.len(), 3, "{ended:?}");
    for (line, name) in lines.iter().zip(["a.mkv", "b.mkv"]) {
        assert_eq!(line["bytes_received"], SIZE, "{line}");
        let path = programs.path("new").join(name);
        assert_eq!(fixtures::hash_of(&path), fixtures::hash_of(&programs.path(name)));
    }
    assert_eq!((&lines[2]["name"], &lines[2]["error"]["code"]), (&"c.mkv".into(), &"not-found".into()));
    let shown = bob.command(&["transfers"]).await;
    assert_eq!((shown.code, shown.out.lines().count()), (Some(0), 2), "{shown:?}");
}
