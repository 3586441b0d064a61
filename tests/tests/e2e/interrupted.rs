//! Downloads that stop in the middle, and go on.

use std::path::PathBuf;

use p2p_node::control::LocalCode;
use p2p_node::control::api::{GetDone, IndexState, JobState, ShareState, Stage, TransferState};
use p2p_node::store::fs::{Fault, FsOp};
use p2p_node_tests::cluster::{refused, refused_with_hint};
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::node::get_request;
use p2p_node_tests::{Cluster, Link, PATIENCE, TestNode, wait_until};
use wire::ErrorCode;

pub(super) const SIZE: usize = 8 * MIB;
/// When a test interrupts: with half of it done, a download that began anew would show.
pub(super) const HALF: u64 = SIZE as u64 / 2;
/// What an interruption may lose: a batch of 1 MiB on each of three streams, received and not yet verified.
pub(super) const LOST: u64 = 3 << 20;
/// Slow enough that a test sees the middle.
pub(super) const SLOW: u64 = 2 << 20;

/// More than the first requests ask for, and than a holder has read once the first bytes have come.
const LONG: usize = 4 * SIZE;

/// Alice shares `film.mkv` over a slow link; Bob is there.
pub(super) struct Slow {
    pub(super) cluster: Cluster,
    pub(super) link: Link,
    pub(super) alice: TestNode,
    pub(super) bob: TestNode,
}

impl Slow {
    pub(super) async fn start(seed: u64) -> Self {
        let cluster = Cluster::start().await;
        let link = cluster.link(seed).await;
        let alice = cluster.user_behind("alice", &link).await;
        let bob = cluster.user("bob").await;
        let path = fixtures::file(&cluster.path("film.mkv"), seed, SIZE);
        alice.share(&path).await.expect("shared");
        link.set_rate(SLOW);
        Self { cluster, link, alice, bob }
    }

    /// Alice shares a file of [`LONG`] bytes, `long.mkv`.
    async fn share_long(&self, seed: u64) -> PathBuf {
        let path = fixtures::file(&self.cluster.path("long.mkv"), seed, LONG);
        self.alice.share(&path).await.expect("shared");
        path
    }

    fn is_right(&self, got: &GetDone) {
        assert_eq!(fixtures::hash_of(got.path.as_path()), fixtures::hash_of(&self.cluster.path("film.mkv")));
        assert!(got.bytes_received >= SIZE as u64, "{got:?}");
        assert!(got.bytes_received <= SIZE as u64 + LOST, "{got:?}");
    }

    fn nothing_is_installed(&self) {
        let target = self.bob.download_path("alice", "film.mkv");
        assert!(!target.exists(), "{} is there", target.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_and_resumed() {
    let slow = Slow::start(1).await;
    let mut get = slow.bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    get.until_bytes(HALF).await;
    let paused = slow.bob.pause("alice", "film.mkv").await.expect("paused");
    assert_eq!(paused.state, JobState::Paused);
    refused(get.end().await, LocalCode::Paused);
    slow.nothing_is_installed();
    let transfers = slow.bob.status().await.transfers;
    assert_eq!(transfers.len(), 1);
    assert_eq!(transfers[0].state, TransferState::Paused);
    assert!(transfers[0].bytes_done >= HALF, "{transfers:?}");
    slow.link.set_rate(0);
    let got = slow.bob.get("alice", "film.mkv").await.expect("resumed");
    slow.is_right(&got);
    assert!(slow.bob.status().await.transfers.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_get_attaches() {
    let slow = Slow::start(2).await;
    let mut first = slow.bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    first.until_bytes(HALF).await;
    let second = slow.bob.start_get(get_request("alice", "film.mkv")).await.expect("attached");
    assert_eq!(slow.bob.status().await.transfers.len(), 1);
    drop(first);
    slow.link.set_rate(0);
    slow.is_right(&second.end().await.expect("the job went on"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_leaves_nothing() {
    let slow = Slow::start(3).await;
    let mut get = slow.bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    get.until_bytes(HALF).await;
    let cancelled = slow.bob.cancel("alice", "film.mkv").await.expect("cancelled");
    assert_eq!(cancelled.state, JobState::Cancelled);
    refused(get.end().await, ErrorCode::Cancelled);
    assert!(fixtures::names_in(&slow.bob.home().join("downloads/alice")).is_empty());
    assert!(slow.bob.status().await.transfers.is_empty());
    refused(slow.bob.cancel("alice", "film.mkv").await, ErrorCode::NotFound);
    refused(slow.bob.pause("alice", "film.mkv").await, ErrorCode::NotFound);
    slow.link.set_rate(0);
    slow.is_right(&slow.bob.get("alice", "film.mkv").await.expect("anew"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_daemon_goes_on_by_itself() {
    let mut slow = Slow::start(4).await;
    let mut get = slow.bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    get.until_bytes(HALF).await;
    slow.bob.restart().await;
    slow.nothing_is_installed();
    let transfers = slow.bob.status().await.transfers;
    assert_eq!(transfers.len(), 1, "{transfers:?}");
    let get = slow.bob.start_get(get_request("alice", "film.mkv")).await.expect("attached");
    slow.link.set_rate(0);
    slow.is_right(&get.end().await.expect("it went on"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_download_stays_paused_over_a_restart() {
    let mut slow = Slow::start(5).await;
    let mut get = slow.bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    get.until_bytes(HALF).await;
    slow.bob.pause("alice", "film.mkv").await.expect("paused");
    slow.bob.restart().await;
    slow.bob.wait_for_index(IndexState::Connected).await;
    let transfers = slow.bob.status().await.transfers;
    assert_eq!(transfers.iter().map(|one| one.state).collect::<Vec<_>>(), [TransferState::Paused]);
    slow.link.set_rate(0);
    slow.is_right(&slow.bob.get("alice", "film.mkv").await.expect("resumed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_pauses_and_logging_in_keeps_it() {
    let slow = Slow::start(6).await;
    let mut get = slow.bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    get.until_bytes(HALF).await;
    slow.bob.logout().await.expect("logged out");
    refused(get.end().await, LocalCode::Paused);
    slow.bob.login("bob").await.expect("logged in");
    slow.link.set_rate(0);
    slow.is_right(&slow.bob.get("alice", "film.mkv").await.expect("resumed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_holder_goes_away_and_comes_back() {
    let mut slow = Slow::start(7).await;
    let mut get = slow.bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    get.until_bytes(HALF).await;
    slow.alice.stop().await;
    get.until(|progress| progress.stage == Stage::Waiting && progress.note.is_some()).await;
    slow.nothing_is_installed();
    slow.link.set_rate(0);
    slow.alice.start_again().await;
    slow.is_right(&get.end().await.expect("it went on"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_link_holds_it_up_and_no_more() {
    let slow = Slow::start(8).await;
    let mut get = slow.bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    get.until_bytes(HALF).await;
    slow.link.set_cut(true);
    get.until(|progress| progress.stage == Stage::Waiting).await;
    slow.link.set_rate(0);
    slow.link.set_cut(false);
    slow.is_right(&get.end().await.expect("it went on"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lossy_and_late_link_only_costs_time() {
    let slow = Slow::start(9).await;
    slow.link.set_rate(0);
    slow.link.set_loss(20);
    slow.link.set_delay(std::time::Duration::from_millis(5));
    let got = slow.bob.get("alice", "film.mkv").await.expect("got");
    slow.is_right(&got);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_dies_is_made_up_for_by_the_others() {
    let mut slow = Slow::start(10).await;
    slow.link.set_rate(0);
    let other = slow.cluster.link(110).await;
    let carol = slow.cluster.user_behind("carol", &other).await;
    carol.get("alice", "film.mkv").await.expect("a second holder");
    slow.bob.wait_for_holders("alice", "film.mkv", 2).await;
    // Together they would need half a minute.
    slow.link.set_rate(SLOW / 16);
    other.set_rate(SLOW / 16);
    let mut get = slow.bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    get.until(|progress| progress.holders == 2).await;
    slow.alice.stop().await;
    let transfers = slow.bob.status().await.transfers;
    assert!(transfers.iter().all(|one| one.bytes_done < HALF), "Alice was needed: {transfers:?}");
    other.set_rate(0);
    let got = get.end().await.expect("from the other");
    slow.is_right(&got);
    let from_carol: u64 =
        got.sources.iter().filter(|source| source.node == carol.id()).map(|source| source.bytes).sum();
    assert!(from_carol >= HALF, "{got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_changed_in_the_middle_never_arrives_mixed() {
    let slow = Slow::start(11).await;
    let path = slow.share_long(20).await;
    let target = slow.bob.download_path("alice", "long.mkv");
    let mut get = slow.bob.start_get(get_request("alice", "long.mkv")).await.expect("begun");
    get.until_bytes(1).await;
    // In place: the same file, other bytes, the same size.
    fixtures::file(&path, 12, LONG);
    slow.link.set_rate(0);
    let waiting = get.until(|progress| progress.stage == Stage::Waiting).await;
    assert!(waiting.note.as_ref().is_some_and(|note| note.contains("has changed")), "{waiting:?}");
    assert!(!target.exists(), "a part is there");
    let shares = slow.alice.shares().await.expect("local");
    assert_eq!(shares[1].state, ShareState::Changed);
    let again = slow.alice.share(&path).await.expect("shared anew");
    assert_eq!(again.version, 2);
    let got = get.end().await.expect("the new version");
    assert_eq!((got.version, got.content), (2, again.content));
    assert_eq!(fixtures::read(&target), fixtures::bytes(12, LONG));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_unlinked_in_the_middle_never_arrives_in_part() {
    let slow = Slow::start(18).await;
    let (path, size) = (slow.share_long(19).await, LONG);
    let target = slow.bob.download_path("alice", "long.mkv");
    let mut get = slow.bob.start_get(get_request("alice", "long.mkv")).await.expect("begun");
    get.until_bytes(1).await;
    std::fs::remove_file(&path).expect("unlinked");
    slow.link.set_rate(0);
    match get.until_or_end(|progress| progress.stage == Stage::Waiting).await {
        // A holder that has the file open may serve it on: then all of it has arrived, and is right.
        Err(end) => drop(end.expect("what ends is whole")),
        Ok(progress) => {
            assert!(progress.note.is_some_and(|note| !note.is_empty()), "nobody says why it waits");
            assert!(!target.exists(), "a part is there");
            let transfer = slow.bob.status().await.transfers.remove(0);
            assert_eq!(transfer.state, TransferState::Waiting, "{transfer:?}");
            assert!(transfer.error.is_some(), "{transfer:?}");
            assert_eq!(slow.alice.shares().await.expect("local")[1].state, ShareState::Missing);
            fixtures::file(&path, 19, size);
            slow.alice.share(&path).await.expect("put back");
            let got = get.end().await.expect("it went on");
            assert!(got.bytes_received <= size as u64 + LOST, "{got:?}");
        }
    }
    assert_eq!(fixtures::read(&target), fixtures::bytes(19, size));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_in_the_middle_is_followed() {
    let slow = Slow::start(13).await;
    let path = slow.share_long(21).await;
    let newer = fixtures::file(&slow.cluster.path("newer/long.mkv"), 14, SIZE / 2);
    let mut get = slow.bob.start_get(get_request("alice", "long.mkv")).await.expect("begun");
    get.until_bytes(1).await;
    std::fs::rename(&newer, &path).expect("renamed over it");
    slow.alice.share(&path).await.expect("shared anew");
    slow.link.set_rate(0);
    let got = get.end().await.expect("got");
    assert_eq!(got.version, 2, "{got:?}");
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::bytes(14, SIZE / 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn unshared_in_the_middle_ends_it() {
    let slow = Slow::start(15).await;
    let mut get = slow.bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    // Early: what is asked for already still comes, and that is not all of it.
    get.until_bytes(1).await;
    slow.alice.unshare("film.mkv").await.expect("taken back");
    slow.link.set_rate(0);
    refused_with_hint(get.end().await, ErrorCode::NotFound);
    slow.nothing_is_installed();
    let transfers = slow.bob.status().await.transfers;
    assert_eq!(transfers.iter().map(|one| one.state).collect::<Vec<_>>(), [TransferState::Failed]);
    slow.bob.cancel("alice", "film.mkv").await.expect("dropped");
    assert!(fixtures::names_in(&slow.bob.home().join("downloads/alice")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_while_the_index_is_away() {
    let mut slow = Slow::start(16).await;
    let mut get = slow.bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    get.until_bytes(HALF).await;
    slow.cluster.stop_index().await;
    slow.link.set_rate(0);
    slow.is_right(&get.end().await.expect("the holder is still there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_put_at_the_target_meanwhile_is_not_overwritten() {
    let slow = Slow::start(17).await;
    let mut get = slow.bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    get.until_bytes(HALF).await;
    let target = slow.bob.download_path("alice", "film.mkv");
    fixtures::write(&target, b"somebody's own");
    slow.link.set_rate(0);
    refused_with_hint(get.end().await, LocalCode::Exists);
    assert_eq!(fixtures::read(&target), b"somebody's own");
    std::fs::remove_file(&target).expect("removed");
    let got = slow.bob.get("alice", "film.mkv").await.expect("goes on");
    slow.is_right(&got);
    wait_until(PATIENCE, "no temporary file is left", async || {
        let names = fixtures::names_in(target.parent().expect("a folder"));
        if names == ["film.mkv"] { Ok(()) } else { Err(names) }
    })
    .await;
}

/// An installation that an error interrupted after the rename is finished by the next `get`, which is a success.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_installation_is_finished_by_the_next_get() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    alice.share(&fixtures::file(&cluster.path("film.mkv"), 3, 100_000)).await.expect("shared");
    // The first makes the temporary file's name durable, the second the renamed file's.
    let path_contains = "downloads/alice".to_owned();
    bob.fs().inject(Fault { op: FsOp::SyncFolder, path_contains, nth: 2, errno: 5 });
    bob.get("alice", "film.mkv").await.expect_err("injected");
    let got = bob.get("alice", "film.mkv").await.expect("finished");
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::bytes(3, 100_000));
    assert_eq!(got.bytes_received, 100_000);
    alice.wait_for_holders("alice", "film.mkv", 2).await;
}
