//! The same command again: what it changes, what it goes on with, what it does not do twice.

use p2p_node::control::Backend;
use p2p_node::control::api::{GetRequest, JobRequest, Outcome, ShareState, TransferState};
use p2p_node::store::fs::{Fault, FsOp};
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::node::get_request;
use p2p_node_tests::{Cluster, Link, PATIENCE, TestNode, in_time, wait_until};

const SIZE: usize = 6 * MIB;
/// Slow enough that a test sees the middle.
const SLOW: u64 = 1 << 20;

/// Alice shares `film.mkv` over a slow link; Bob is there.
async fn slow(seed: u64) -> (Cluster, Link, TestNode, TestNode) {
    let cluster = Cluster::start().await;
    let link = cluster.link(seed).await;
    let alice = cluster.user_behind("alice", &link).await;
    let bob = cluster.user("bob").await;
    alice.share(&fixtures::file(&cluster.path("film.mkv"), seed, SIZE)).await.expect("shared");
    link.set_rate(SLOW);
    (cluster, link, alice, bob)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_got_is_not_read_again() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    alice.share(&fixtures::file(&cluster.path("film.mkv"), 1, SIZE)).await.expect("shared");
    bob.get("alice", "film.mkv").await.expect("got");
    bob.fs().inject(Fault { op: FsOp::OpenRead, path_contains: "film.mkv".to_owned(), nth: 1, errno: 5 });
    let again = bob.get("alice", "film.mkv").await.expect("there");
    assert_eq!((again.bytes_received, again.bytes_reused), (0, SIZE as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_downloads_of_one_resource_the_named_one_is_paused() {
    let (cluster, link, _alice, bob) = slow(2).await;
    let to =
        |name: &str| GetRequest { path: Some(cluster.path(name).into()), ..get_request("alice", "film.mkv") };
    let first = bob.start_get(to("one.mkv")).await.expect("begun");
    let mut second = bob.start_get(to("two.mkv")).await.expect("begun");
    second.until_bytes(1).await;
    let named = JobRequest::Resource {
        owner: "alice".parse().expect("a name"),
        name: "film.mkv".parse().expect("a name"),
        path: Some(cluster.path("one.mkv").into()),
    };
    in_time("pause", bob.node().pause(named)).await.expect("paused");
    let transfers = bob.status().await.transfers;
    let state_of = |name: &str| {
        let found = transfers.iter().find(|one| one.path.as_path() == cluster.path(name));
        found.map(|one| one.state)
    };
    assert_eq!(state_of("one.mkv"), Some(TransferState::Paused));
    assert_ne!(state_of("two.mkv"), Some(TransferState::Paused));
    drop(first);
    link.set_rate(0);
    second.end().await.expect("got");
    assert_eq!(fixtures::read(&cluster.path("two.mkv")), fixtures::bytes(2, SIZE));
    assert!(!cluster.path("one.mkv").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn force_holds_from_when_it_is_said_also_over_a_restart() {
    let (_cluster, link, _alice, mut bob) = slow(3).await;
    let mut get = bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    get.until_bytes(1).await;
    let target = bob.download_path("alice", "film.mkv");
    fixtures::write(&target, b"somebody's own");
    let forced = GetRequest { force: true, ..get_request("alice", "film.mkv") };
    bob.start_get(forced).await.expect("attached").until_bytes(1).await;
    bob.restart().await;
    link.set_rate(0);
    let whole = async || {
        let found = fixtures::read(&target);
        if found == fixtures::bytes(3, SIZE) { Ok(()) } else { Err(found.len()) }
    };
    wait_until(PATIENCE, "the download replaces the file", whole).await;
    let kept = wait_until(PATIENCE, "the old file is kept", async || {
        let names = fixtures::names_in(target.parent().expect("a folder"));
        names.iter().find(|name| name.contains("sync-conflict")).cloned().ok_or(names)
    })
    .await;
    assert_eq!(fixtures::read(&target.with_file_name(kept)), b"somebody's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn not_to_be_shared_holds_from_when_it_is_said() {
    let (_cluster, link, alice, bob) = slow(4).await;
    let mut get = bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    get.until_bytes(1).await;
    let unshared = GetRequest { share: false, ..get_request("alice", "film.mkv") };
    let mut second = bob.start_get(unshared).await.expect("attached");
    second.until_bytes(1).await;
    link.set_rate(0);
    second.end().await.expect("got");
    assert_eq!(alice.list().await.expect("listed")[0].holders, 1);
}

/// The index has committed a record, and its acknowledgement was lost: by a `kill -9`, say.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_acknowledgement_is_made_good() {
    let cluster = Cluster::start().await;
    let mut alice = cluster.user("alice").await;
    let path = fixtures::file(&cluster.path("film.mkv"), 5, 1000);
    alice.share(&path).await.expect("shared");
    alice.stop().await;
    forget_receipts(&alice);
    alice.start_again().await;
    wait_until(PATIENCE, "the index has acknowledged it", async || {
        let state = alice.shares().await.map_err(|error| error.to_string())?[0].state;
        if state == ShareState::Shared { Ok(()) } else { Err(format!("{state:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_acknowledgement_is_not_published_twice() {
    let mut cluster = Cluster::start().await;
    let mut alice = cluster.user("alice").await;
    let path = fixtures::file(&cluster.path("film.mkv"), 6, 1000);
    alice.share(&path).await.expect("shared");
    alice.stop().await;
    forget_receipts(&alice);
    cluster.stop_index().await;
    alice.start_again().await;
    assert_eq!(alice.shares().await.expect("local")[0].state, ShareState::Pending);
    cluster.index.start_again().await;
    alice.wait_for_index(p2p_node::control::api::IndexState::Connected).await;
    let again = alice.share(&path).await.expect("shared");
    assert_eq!((again.outcome, again.version), (Outcome::Unchanged, 1));
}

/// Makes a stopped node's shares what they are before the index has answered.
fn forget_receipts(node: &TestNode) {
    let database = rusqlite::Connection::open(node.home().join("node.db")).expect("opened");
    let sql = "UPDATE publication SET state = 'pending', receipt = NULL, certificate = NULL";
    assert_eq!(database.execute(sql, []).expect("written"), 1);
}
