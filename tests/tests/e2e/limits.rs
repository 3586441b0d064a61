//! Limits: rates, and places for uploads. Times have lower bounds alone, since a busy machine is slower, never faster.

use std::time::Duration;

use p2p_node::control::Backend;
use p2p_node::control::api::{
    Direction, GetDone, GetRequest, IndexState, JobLimitRequest, JobRequest, JobState, Stage, TransferState,
};
use p2p_node::options::{LimitOptions, UploadSlots};
use p2p_node::rate::Rate;
use p2p_node_tests::cluster::refused_with_hint;
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::node::get_request;
use p2p_node_tests::{Cluster, PATIENCE, TestNode, clock, wait_until};
use wire::ErrorCode;

/// A rate that makes [`SIZE`] take some seconds.
const RATE: u64 = 1_000_000;
const SIZE: usize = 3 * MIB;
/// What passes a limit of [`RATE`] at once at the beginning: the burst of 100 ms, and a slice of each of three streams.
const AHEAD: u64 = RATE / 10 + 3 * (RATE / 32);

/// The least time in which so many bytes pass at [`RATE`].
fn least(bytes: usize) -> Duration {
    Duration::from_secs_f64((bytes as u64 - AHEAD) as f64 / RATE as f64)
}

fn film() -> GetRequest {
    get_request("alice", "film.mkv")
}

/// Bob gets alice's film from her alone; how long that took.
async fn timed(alice: &TestNode, bob: &TestNode, request: GetRequest) -> (GetDone, Duration) {
    let began = clock::monotonic();
    let got = bob.get_with(request).await.expect("got");
    let took = clock::monotonic() - began;
    assert_eq!(got.sources.iter().map(|source| source.node).collect::<Vec<_>>(), [alice.id()]);
    (got, took)
}

/// A network with alice's film of so many bytes, and bob.
async fn network(seed: u64, size: usize) -> (Cluster, TestNode, TestNode) {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), seed, size);
    alice.share(&path).await.expect("shared");
    (cluster, alice, bob)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_upload_takes_its_time() {
    for limit in ["upload=1MB", "upload_per_peer=1MB"] {
        let (cluster, alice, bob) = network(1, SIZE).await;
        alice.limit(&[limit]).await;
        let (got, took) = timed(&alice, &bob, film()).await;
        assert!(took >= least(SIZE), "{limit}: {took:?}");
        assert_eq!(fixtures::hash_of(got.path.as_path()), fixtures::hash_of(&cluster.path("film.mkv")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_download_takes_its_time() {
    let own = GetRequest { limit: Rate::new(RATE).ok(), ..film() };
    for (limit, request) in
        [("download=1MB", film()), ("download_per_peer=1MB", film()), ("download=none", own)]
    {
        let (cluster, alice, bob) = network(2, SIZE).await;
        bob.limit(&[limit]).await;
        let (got, took) = timed(&alice, &bob, request).await;
        assert!(took >= least(SIZE), "{limit}: {took:?}");
        assert_eq!(got.bytes_received, SIZE as u64, "nothing is fetched twice because it is slow");
        assert_eq!(fixtures::hash_of(got.path.as_path()), fixtures::hash_of(&cluster.path("film.mkv")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_raised_counts_for_what_runs() {
    // At 2 KiB/s it takes 26 minutes.
    for (who, limit) in [("alice", "upload"), ("alice", "upload_per_peer"), ("bob", "download")] {
        let (_cluster, alice, bob) = network(3, 3 * MIB).await;
        let limited = if who == "alice" { &alice } else { &bob };
        limited.limit(&[&format!("{limit}=2KiB")]).await;
        let mut running = bob.start_get(film()).await.expect("begun");
        running.until(|progress| progress.stage == Stage::Downloading && progress.holders > 0).await;
        limited.limit(&[&format!("{limit}=none")]).await;
        assert_eq!(running.end().await.expect("got").size, 3 * MIB as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_one_download_changes_with_the_next_get() {
    let (_cluster, _alice, bob) = network(4, 3 * MIB).await;
    let slowly = GetRequest { limit: Rate::new(2048).ok(), ..film() };
    let mut running = bob.start_get(slowly).await.expect("begun");
    running.until(|progress| progress.stage == Stage::Downloading && progress.holders > 0).await;
    let mut second = bob.start_get(film()).await.expect("attached");
    let progress =
        second.until(|progress| progress.stage == Stage::Downloading && progress.holders > 0).await;
    assert!(progress.bytes_done < MIB as u64, "without --limit it goes on as slowly: {progress:?}");
    let freely = GetRequest { limit: Some(Rate::UNLIMITED), ..film() };
    bob.get_with(freely).await.expect("got");
    running.end().await.expect("the same");
}

/// Small files of a folder whose manifest is far larger than they are.
const FILES: u64 = 1000;
/// What their manifest has at least, however well it is encoded: for each a hash of 32 bytes. That of its one chunk is the
/// same.
const MANIFEST: u64 = FILES * 32;

#[tokio::test(flavor = "multi_thread")]
async fn manifests_are_limited_like_what_they_list() {
    for (who, limit) in [("alice", "upload=20KB"), ("bob", "download=20KB")] {
        let cluster = Cluster::start().await;
        let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
        for number in 0..FILES {
            fixtures::write(
                &cluster.path("many").join(format!("a file of {number:04}.txt")),
                &number.to_be_bytes(),
            );
        }
        alice.share(&cluster.path("many")).await.expect("shared");
        if who == "alice" { &alice } else { &bob }.limit(&[limit]).await;
        let began = clock::monotonic();
        let mut running = bob.start_get(get_request("alice", "many")).await.expect("begun");
        // What follows the manifest waits until that is paid for. Putting 1,000 files in place takes time, too.
        running.until(|progress| matches!(progress.stage, Stage::Verifying | Stage::Installing)).await;
        let took = clock::monotonic() - began;
        // What passes at once at first: a tenth of a second, and a slice.
        let least = Duration::from_secs_f64((MANIFEST - 20_000 / 10 - 1024) as f64 / 20_000.0);
        assert!(took >= least, "{limit}: {took:?}, not {least:?}");
        alice.limit(&["upload=none"]).await;
        bob.limit(&["download=none"]).await;
        assert_eq!(running.end().await.expect("got").size, FILES * 8);
    }
}

/// Waits until bob's only transfer is a download that gets something.
async fn until_downloading(bob: &TestNode) {
    wait_until(PATIENCE, "bytes come", async || match &bob.transfers().await[..] {
        [one] if one.stage == Some(Stage::Downloading) && one.transfer.holders > 0 => Ok(()),
        other => Err(other.to_vec()),
    })
    .await;
}

/// How fast bob's only transfer may be, and how it stands.
async fn limit_of(bob: &TestNode) -> (Rate, TransferState) {
    let transfers = bob.transfers().await;
    assert_eq!(transfers.len(), 1, "{transfers:?}");
    (transfers[0].limit, transfers[0].transfer.state)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_one_download_is_kept_over_a_pause_and_a_restart() {
    let (_cluster, _alice, mut bob) = network(8, 8 * MIB).await;
    let slow = Rate::new(2048).expect("a rate");
    let started = bob.detach(GetRequest { limit: Some(slow), ..film() }).await.expect("begun");
    assert_eq!(limit_of(&bob).await.0, slow);
    bob.pause("alice", "film.mkv").await.expect("paused");
    assert_eq!(limit_of(&bob).await, (slow, TransferState::Paused));
    bob.restart().await;
    bob.wait_for_index(IndexState::Connected).await;
    assert_eq!(limit_of(&bob).await, (slow, TransferState::Paused));
    let job = JobRequest::Id { id: started.id.expect("a number") };
    bob.resume(job.clone()).await.expect("resumed");
    until_downloading(&bob).await;
    bob.restart().await;
    until_downloading(&bob).await;
    let (limit, _) = limit_of(&bob).await;
    assert_eq!(limit, slow, "it went on by itself as slowly");

    bob.pause("alice", "film.mkv").await.expect("paused");
    let ask = |download| JobLimitRequest { job: job.clone(), download };
    let slower = Rate::new(1024).ok();
    let changed = bob.node().limit_transfer(ask(slower)).await.expect("changed");
    assert_eq!((changed.state, Some(changed.download)), (JobState::Paused, slower));
    let running = bob.start_get(film()).await.expect("resumed");
    until_downloading(&bob).await;
    let asked = bob.node().limit_transfer(ask(None)).await.expect("asked");
    assert_eq!(
        (asked.state, Some(asked.download)),
        (JobState::Running, slower),
        "a `get` without one keeps it"
    );
    // At 1 KiB/s it takes over two hours.
    let freed = bob.node().limit_transfer(ask(Some(Rate::UNLIMITED))).await.expect("changed");
    assert_eq!(freed.download, Rate::UNLIMITED);
    assert_eq!(running.end().await.expect("got").size, 8 * MIB as u64);
    refused_with_hint(bob.node().limit_transfer(ask(slower)).await, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_shows_the_lower_one_of_its_limits() {
    let (_cluster, alice, bob) = network(9, 8 * MIB).await;
    alice.limit(&["upload=4KiB", "upload_per_peer=2KiB"]).await;
    let _running = bob.start_get(film()).await.expect("begun");
    until_one_upload(&alice).await;
    let transfers = alice.transfers().await;
    assert_eq!(transfers[0].transfer.direction, Direction::Upload);
    assert_eq!(transfers[0].limit.bytes(), Some(2048));
    alice.limit(&["upload=none", "upload_per_peer=none"]).await;
    assert_eq!(alice.transfers().await[0].limit, Rate::UNLIMITED);
}

/// What alice has sent to each that takes something of her.
async fn sent(alice: &TestNode) -> Vec<u64> {
    let transfers = alice.status().await.transfers;
    let uploads = transfers.iter().filter(|transfer| transfer.direction == Direction::Upload);
    let mut sent: Vec<_> = uploads.map(|upload| upload.bytes_done).collect();
    sent.sort_unstable();
    sent
}

/// Waits until alice has two uploads, and has sent so much.
async fn until_sent(alice: &TestNode, bytes: u64) -> [u64; 2] {
    wait_until(PATIENCE, "two uploads", async || match sent(alice).await[..] {
        [one, two] if one > 0 && one + two >= bytes => Ok([one, two]),
        ref other => Err(other.to_vec()),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_receivers_share_an_upload_limit_alike() {
    let (cluster, alice, bob) = network(5, 16 * MIB).await;
    let carol = cluster.user("carol").await;
    alice.limit(&["upload=1MB"]).await;
    let _runs = (bob.start_get(film()).await.expect("begun"), carol.start_get(film()).await.expect("begun"));
    // Counted from when both have begun. The one behind then stays so, but falls no further behind.
    let before = until_sent(&alice, 0).await;
    let after = until_sent(&alice, before[0] + before[1] + 3 * RATE).await;
    let [one, two] = [after[0].abs_diff(before[0]), after[1].abs_diff(before[1])];
    assert!(one.min(two) * 2 >= one.max(two), "{before:?} {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_holders_slowed_by_our_own_limit_are_both_kept() {
    let (cluster, alice, bob) = network(6, SIZE).await;
    let carol = cluster.user("carol").await;
    bob.get_with(film()).await.expect("got");
    carol.wait_for_holders("alice", "film.mkv", 2).await;
    carol.limit(&["download=1MB"]).await;
    let began = clock::monotonic();
    let got = carol.get_with(film()).await.expect("got");
    let took = clock::monotonic() - began;
    assert!(took >= least(SIZE), "{took:?}");
    let mut nodes: Vec<_> = got.sources.iter().map(|source| source.node).collect();
    nodes.sort_unstable();
    let mut both = vec![alice.id(), bob.id()];
    both.sort_unstable();
    assert_eq!(nodes, both);
    assert!(got.bytes_received <= SIZE as u64 * 110 / 100, "{}", got.bytes_received);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_place_is_in_a_queue_and_told_where() {
    let (cluster, alice, bob) = network(7, 4 * MIB).await;
    let (carol, dave) = (cluster.user("carol").await, cluster.user("dave").await);
    alice.limit(&["upload_slots=1", "upload=2KiB"]).await;
    let mut first = bob.start_get(film()).await.expect("begun");
    first.until(|progress| progress.holders > 0).await;
    until_one_upload(&alice).await;
    let note = |text: &'static str| {
        move |progress: &p2p_node::control::api::Progress| {
            progress.stage == Stage::Waiting && progress.note.as_deref() == Some(text)
        }
    };
    let mut second = carol.start_get(film()).await.expect("begun");
    second.until(note("waits for a place: 1st in the queue of alice")).await;
    let mut third = dave.start_get(film()).await.expect("begun");
    third.until(note("waits for a place: 2nd in the queue of alice")).await;
    alice.limit(&["upload=none"]).await;
    for running in [first, second, third] {
        assert_eq!(running.end().await.expect("each has its turn").size, 4 * MIB as u64);
    }
}

async fn until_one_upload(alice: &TestNode) {
    wait_until(PATIENCE, "an upload runs", async || match sent(alice).await[..] {
        [_] => Ok(()),
        ref other => Err(other.len()),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_hold_until_a_restart_and_the_configuration_after_it() {
    let cluster = Cluster::start().await;
    let mut alice = cluster.user("alice").await;
    assert_eq!(alice.limit(&[]).await.now, LimitOptions::default());
    let changed = alice.limit(&["upload=10MB", "download_per_peer=500KiB", "upload_slots=3"]).await;
    assert_eq!(changed.now.values(), ["10MB/s", "none", "none", "500KiB/s", "3"]);
    assert_eq!(changed.configured, LimitOptions::default());
    assert_eq!(alice.limit(&["upload_slots=4"]).await.now.upload, changed.now.upload, "the others stay");
    let upload_slots = UploadSlots::try_from(7).expect("within the bounds");
    alice.configure_limits(LimitOptions { upload_slots, ..LimitOptions::default() });
    alice.restart().await;
    let after = alice.limit(&[]).await;
    assert_eq!((after.now, after.now.upload_slots), (after.configured, upload_slots));
    assert_eq!(after.now.upload, Rate::UNLIMITED);
}
