//! Downloading: sizes, targets, several holders.

use std::path::Path;

use p2p_node::control::LocalCode;
use p2p_node::control::api::{GetDone, GetRequest};
use p2p_node_tests::cluster::{refused, refused_with_hint};
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::node::get_request;
use p2p_node_tests::{Cluster, TestNode};
use wire::ErrorCode;

#[tokio::test(flavor = "multi_thread")]
async fn every_interesting_size() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    for (seed, size) in (0..).zip(fixtures::interesting_sizes()) {
        let name = format!("{size}.bin");
        let path = fixtures::file(&cluster.path(&name), seed, size);
        let shared = alice.share(&path).await.expect("shared");
        assert_eq!(shared.size, size as u64);
        let got = bob.get("alice", &name).await.expect("got");
        assert_eq!((got.size, got.content), (size as u64, shared.content));
        assert_eq!(fixtures::read(got.path.as_path()), fixtures::read(&path), "{size} bytes");
        assert_eq!((got.bytes_received, got.bytes_reused), (size as u64, 0));
        assert_eq!(fixtures::names_in(&bob.home().join("downloads/alice")).len(), seed as usize + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_from_two_holders_at_once() {
    let cluster = Cluster::start().await;
    let (alice, bob, carol) =
        (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let size = 64 * MIB;
    let path = fixtures::file(&cluster.path("large.bin"), 1, size);
    alice.share(&path).await.expect("shared");
    bob.get("alice", "large.bin").await.expect("got from one");
    carol.wait_for_holders("alice", "large.bin", 2).await;
    // Both as fast, and slower than this machine: who of them is let run first decides nothing.
    for holder in [&alice, &bob] {
        holder.limit(&["upload=10MB"]).await;
    }
    let got = carol.get("alice", "large.bin").await.expect("got from two");
    assert_eq!(fixtures::hash_of(got.path.as_path()), fixtures::hash_of(&path));
    for holder in [&alice, &bob] {
        let given = given_by(&got, holder);
        assert!(given >= size as u64 / 4, "{}: {given} of {size}", holder.home().display());
    }
    assert_eq!(got.sources.iter().map(|source| source.bytes).sum::<u64>(), size as u64);
    assert!(got.bytes_received < size as u64 * 110 / 100, "{}", got.bytes_received);
}

fn given_by(got: &GetDone, holder: &TestNode) -> u64 {
    let of_holder = got.sources.iter().filter(|source| source.node == holder.id());
    of_holder.map(|source| source.bytes).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_does_not_share_is_no_holder() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 2, 100_000);
    alice.share(&path).await.expect("shared");
    bob.get_with(GetRequest { share: false, ..get_request("alice", "film.mkv") }).await.expect("got");
    assert_eq!(bob.list().await.expect("listed")[0].holders, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there() {
    let cluster = Cluster::start().await;
    let (mut alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    refused_with_hint(bob.get("alice", "nothing.txt").await, ErrorCode::NotFound);
    refused_with_hint(bob.get("nobody", "nothing.txt").await, ErrorCode::NotFound);
    let path = fixtures::file(&cluster.path("film.mkv"), 3, 100_000);
    alice.share(&path).await.expect("shared");
    alice.stop().await;
    bob.wait_for_holders("alice", "film.mkv", 0).await;
    let error = refused_with_hint(bob.get("alice", "film.mkv").await, ErrorCode::NoHolder);
    assert!(error.message.contains("alice/film.mkv"), "{error:?}");
    assert!(bob.status().await.transfers.is_empty(), "nothing is left of it");
    assert!(fixtures::names_in(&bob.home().join("downloads/alice")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn to_a_path_into_a_folder_and_with_a_slash() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 4, 100_000);
    alice.share(&path).await.expect("shared");
    let folder = cluster.path("here");
    std::fs::create_dir_all(&folder).expect("made");
    let slash = cluster.path("not there yet/");
    for (asked, expected) in [
        (cluster.path("renamed.mkv"), cluster.path("renamed.mkv")),
        (folder.clone(), folder.join("film.mkv")),
        (slash.join(""), slash.join("film.mkv")),
    ] {
        let got = bob.get_with(GetRequest { parents: true, ..to(&asked) }).await.expect("got");
        assert_eq!(got.path.as_path(), expected);
        assert_eq!(fixtures::read(&expected), fixtures::read(&path));
    }
}

fn to(path: &Path) -> GetRequest {
    GetRequest { path: Some(path.to_owned().into()), ..get_request("alice", "film.mkv") }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_at_the_target() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 5, 100_000);
    alice.share(&path).await.expect("shared");

    let equal = fixtures::file(&cluster.path("equal/film.mkv"), 5, 100_000);
    let got = bob.get_with(to(&equal)).await.expect("adopted");
    assert_eq!((got.bytes_received, got.bytes_reused), (0, 100_000));
    bob.wait_for_holders("alice", "film.mkv", 2).await;

    let unequal = fixtures::file(&cluster.path("unequal/film.mkv"), 6, 100_000);
    refused_with_hint(bob.get_with(to(&unequal)).await, LocalCode::Exists);
    assert_eq!(fixtures::read(&unequal), fixtures::bytes(6, 100_000), "it stays");

    bob.get_with(GetRequest { force: true, ..to(&unequal) }).await.expect("replaced");
    assert_eq!(fixtures::read(&unequal), fixtures::read(&path));
    let names = fixtures::names_in(unequal.parent().expect("a folder"));
    assert_eq!(names.len(), 2, "{names:?}");
    let kept = names.iter().find(|name| name.contains(".sync-conflict-")).expect("kept beside");
    assert_eq!(fixtures::read(&unequal.with_file_name(kept)), fixtures::bytes(6, 100_000));

    let folder = cluster.path("folder/film.mkv");
    std::fs::create_dir_all(folder.join("film.mkv")).expect("made");
    refused_with_hint(bob.get_with(to(&folder)).await, LocalCode::Exists);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_symbolic_link_at_the_target_is_not_followed() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 7, 100_000);
    alice.share(&path).await.expect("shared");
    let precious = fixtures::write(&cluster.path("precious"), b"precious");
    let link = cluster.path("target/film.mkv");
    std::fs::create_dir_all(link.parent().expect("a folder")).expect("made");
    std::os::unix::fs::symlink(&precious, &link).expect("linked");
    refused(bob.get_with(to(&link)).await, LocalCode::Exists);
    assert_eq!(fixtures::read(&precious), b"precious");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_got_is_served_after_a_restart() {
    let cluster = Cluster::start().await;
    let (mut alice, mut bob, carol) =
        (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 8, 700_000);
    alice.share(&path).await.expect("shared");
    bob.get("alice", "film.mkv").await.expect("got");
    bob.restart().await;
    alice.stop().await;
    carol.wait_for_holders("alice", "film.mkv", 1).await;
    let got = carol.get("alice", "film.mkv").await.expect("the owner is away, a holder is there");
    assert_eq!(got.sources.iter().map(|source| source.node).collect::<Vec<_>>(), [bob.id()]);
    assert_eq!(fixtures::hash_of(got.path.as_path()), fixtures::hash_of(&path));
}
