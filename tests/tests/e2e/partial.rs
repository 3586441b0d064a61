//! Downloads that give what they have: receivers of one source feed one another.

use p2p_node::control::api::{GetDone, GetRequest, JobState, SourceBytes, Stage};
use p2p_node_tests::cluster::refused;
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::node::get_request;
use p2p_node_tests::running::Running;
use p2p_node_tests::{Cluster, TestNode};
use wire::ErrorCode;

const SIZE: usize = 24 * MIB;
const HALF: u64 = SIZE as u64 / 2;

fn film() -> GetRequest {
    get_request("alice", "film.mkv")
}

/// Alice shares `film.mkv` and sends no more than 3 MiB a second.
async fn network(seed: u64) -> (Cluster, TestNode) {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    let path = fixtures::file(&cluster.path("film.mkv"), seed, SIZE);
    alice.share(&path).await.expect("shared");
    alice.limit(&["upload=3MiB"]).await;
    (cluster, alice)
}

/// Bob has half of it, and alice is gone.
async fn half(alice: &mut TestNode, bob: &TestNode, request: GetRequest) -> Running<GetDone> {
    let mut running = bob.start_get(request).await.expect("begun");
    running.until_bytes(HALF).await;
    alice.stop().await;
    running.until(|progress| progress.stage == Stage::Waiting).await;
    running
}

fn is_right(cluster: &Cluster, got: &GetDone) {
    assert_eq!(fixtures::hash_of(got.path.as_path()), fixtures::hash_of(&cluster.path("film.mkv")));
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_download_the_same_feed_one_another() {
    let (cluster, alice) = network(1).await;
    let mut running = Vec::new();
    let names = ["bob", "carol", "dave", "erin"];
    let mut receivers = Vec::new();
    for name in names {
        receivers.push(cluster.user(name).await);
    }
    for receiver in &receivers {
        running.push(receiver.start_get(film()).await.expect("begun"));
    }
    let mut from_alice = 0;
    for running in running {
        let got = running.end().await.expect("got");
        is_right(&cluster, &got);
        let of = |source: &&SourceBytes| source.node == alice.id();
        from_alice += got.sources.iter().filter(of).map(|source| source.bytes).sum::<u64>();
        assert!(got.sources.len() > 1, "{got:?}");
    }
    // Each for itself would take four times the file of her.
    assert!(from_alice < 2 * SIZE as u64, "{from_alice} bytes came from alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_has_is_to_be_had_while_the_source_is_gone() {
    let (cluster, mut alice) = network(2).await;
    let (bob, carol) = (cluster.user("bob").await, cluster.user("carol").await);
    let bobs = half(&mut alice, &bob, film()).await;
    let mut carols = carol.start_get(film()).await.expect("begun");
    let there = carols.until_bytes(HALF).await;
    assert!(there.bytes_done < SIZE as u64, "{there:?}");
    alice.start_again().await;
    for got in [bobs.end().await.expect("got"), carols.end().await.expect("got")] {
        is_right(&cluster, &got);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_paused_gives_nothing() {
    let (cluster, mut alice) = network(3).await;
    let (bob, carol) = (cluster.user("bob").await, cluster.user("carol").await);
    let bobs = half(&mut alice, &bob, film()).await;
    assert_eq!(bob.pause("alice", "film.mkv").await.expect("paused").state, JobState::Paused);
    drop(bobs);
    refused(carol.get("alice", "film.mkv").await, ErrorCode::NoHolder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_not_to_be_shared_gives_nothing() {
    let (cluster, mut alice) = network(4).await;
    let (bob, carol) = (cluster.user("bob").await, cluster.user("carol").await);
    let _bobs = half(&mut alice, &bob, GetRequest { share: false, ..film() }).await;
    refused(carol.get("alice", "film.mkv").await, ErrorCode::NoHolder);
}
