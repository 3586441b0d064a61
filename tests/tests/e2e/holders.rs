//! Files that are not what was shared: gone, changed, corrupted, unreadable at the holder.

use p2p_node::control::api::{GetRequest, ShareRequest, ShareState, Stage};
use p2p_node::store::fs::{Fault, FsOp};
use p2p_node_tests::cluster::refused_with_hint;
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::node::{get_request, share_request};
use p2p_node_tests::{Cluster, PATIENCE, TestNode, wait_until};
use wire::ErrorCode;

const SIZE: usize = 3 * MIB;

async fn shared_by_alice(cluster: &Cluster, seed: u64) -> (TestNode, TestNode) {
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), seed, SIZE);
    alice.share(&path).await.expect("shared");
    (alice, bob)
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_since_it_was_shared() {
    let cluster = Cluster::start().await;
    let (alice, bob) = shared_by_alice(&cluster, 1).await;
    std::fs::remove_file(cluster.path("film.mkv")).expect("removed");
    let error = refused_with_hint(bob.get("alice", "film.mkv").await, ErrorCode::NoHolder);
    assert!(error.message.contains("alice/film.mkv"), "{error:?}");
    assert_eq!(alice.shares().await.expect("local")[0].state, ShareState::Missing);
    let problems = alice.status().await.shares.problems;
    assert_eq!(problems.iter().map(|problem| problem.state).collect::<Vec<_>>(), [ShareState::Missing]);
    fixtures::file(&cluster.path("film.mkv"), 1, SIZE);
    alice.share(&cluster.path("film.mkv")).await.expect("shared again");
    bob.get("alice", "film.mkv").await.expect("there again");
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_by_a_newer_version_while_it_is_asked_for() {
    let cluster = Cluster::start().await;
    let (alice, bob) = shared_by_alice(&cluster, 10).await;
    // The first look is that of the index, which names her; the second is that for bob.
    let hang = alice.fs().hang_after(1, FsOp::OpenRead, "film.mkv");
    let get = bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    wait_until(PATIENCE, "bob asks alice", async || match alice.fs().hanging() {
        0 => Err("not yet"),
        _ => Ok(()),
    })
    .await;
    let newer = fixtures::file(&cluster.path("newer.mkv"), 11, SIZE / 2);
    let name = "film.mkv".parse().expect("a name");
    let request = ShareRequest { name, update: true, ..share_request(&newer) };
    alice.start_share(request).await.expect("begun").end().await.expect("shared");
    std::fs::remove_file(cluster.path("film.mkv")).expect("removed");
    drop(hang);
    let got = get.end().await.expect("the newer one");
    assert_eq!((got.version, got.bytes_received), (2, SIZE as u64 / 2));
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::read(&newer));
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_since_it_was_shared() {
    let cluster = Cluster::start().await;
    let (alice, bob) = shared_by_alice(&cluster, 2).await;
    fixtures::file(&cluster.path("film.mkv"), 3, SIZE);
    let error = refused_with_hint(bob.get("alice", "film.mkv").await, ErrorCode::NoHolder);
    assert!(error.message.contains("changed"), "{error:?}");
    assert_eq!(alice.shares().await.expect("local")[0].state, ShareState::Changed);
    assert!(!bob.download_path("alice", "film.mkv").exists());
    alice.share(&cluster.path("film.mkv")).await.expect("shared anew");
    let got = bob.get("alice", "film.mkv").await.expect("the new version");
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::bytes(3, SIZE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_its_place() {
    let cluster = Cluster::start().await;
    let (alice, bob) = shared_by_alice(&cluster, 4).await;
    std::fs::remove_file(cluster.path("film.mkv")).expect("removed");
    std::fs::create_dir(cluster.path("film.mkv")).expect("made");
    refused_with_hint(bob.get("alice", "film.mkv").await, ErrorCode::NoHolder);
    assert_eq!(alice.shares().await.expect("local")[0].state, ShareState::Changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_corrupted_unseen_spoils_nothing() {
    let cluster = Cluster::start().await;
    let (alice, bob) = shared_by_alice(&cluster, 5).await;
    let copy = bob.get("alice", "film.mkv").await.expect("got").path;
    fixtures::corrupt_unseen(copy.as_path());
    let carol = cluster.user("carol").await;
    carol.wait_for_holders("alice", "film.mkv", 2).await;
    let got = carol.get("alice", "film.mkv").await.expect("the right file all the same");
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::bytes(5, SIZE));
    assert!(got.sources.iter().any(|source| source.node == alice.id()), "{got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_a_corrupted_copy_is_nothing_is_installed() {
    let cluster = Cluster::start().await;
    let (_alice, bob) = shared_by_alice(&cluster, 6).await;
    fixtures::corrupt_unseen(&cluster.path("film.mkv"));
    let mut get = bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    let progress = get.until(|progress| progress.stage == Stage::Waiting && progress.note.is_some()).await;
    assert!(progress.bytes_done < SIZE as u64, "{progress:?}");
    assert!(!bob.download_path("alice", "film.mkv").exists());
    bob.cancel("alice", "film.mkv").await.expect("dropped");
    assert!(fixtures::names_in(&bob.home().join("downloads/alice")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_error_at_the_holder_is_got_over() {
    let cluster = Cluster::start().await;
    let (alice, bob) = shared_by_alice(&cluster, 7).await;
    for nth in [1, 3, 5] {
        alice.fs().inject(Fault { op: FsOp::ReadAt, path_contains: "film.mkv".to_owned(), nth, errno: 5 });
    }
    let got = bob.get("alice", "film.mkv").await.expect("got");
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::bytes(7, SIZE));
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_at_the_holder() {
    let cluster = Cluster::start().await;
    let (alice, bob) = shared_by_alice(&cluster, 8).await;
    alice.fs().inject(Fault { op: FsOp::OpenRead, path_contains: "film.mkv".to_owned(), nth: 1, errno: 13 });
    refused_with_hint(bob.get("alice", "film.mkv").await, ErrorCode::NoHolder);
    assert!(!bob.download_path("alice", "film.mkv").exists());
}

/// A copy on a disk that was away is offered again once it is seen to be there.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_away_is_offered_again() {
    let cluster = Cluster::start().await;
    let (_alice, bob) = shared_by_alice(&cluster, 9).await;
    let copy = bob.get("alice", "film.mkv").await.expect("got").path;
    let carol = cluster.user("carol").await;
    carol.wait_for_holders("alice", "film.mkv", 2).await;
    let away = cluster.path("away");
    std::fs::rename(copy.as_path(), &away).expect("away");
    let unshared = GetRequest { share: false, ..get_request("alice", "film.mkv") };
    carol.start_get(unshared).await.expect("begun").end().await.expect("from alice");
    carol.wait_for_holders("alice", "film.mkv", 1).await;
    std::fs::rename(&away, copy.as_path()).expect("back");
    let again = bob.get("alice", "film.mkv").await.expect("there");
    assert_eq!(again.bytes_received, 0);
    carol.wait_for_holders("alice", "film.mkv", 2).await;
}
