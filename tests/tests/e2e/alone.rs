//! What a network goes through without its index, or while that is elsewhere: all of it starts again at once, a month passes,
//! the index moves to another machine, a membership ends.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use p2p_node::control::api::{IndexState, ShareState};
use p2p_node::options::{FallbackOptions, Role};
use p2p_node_tests::cluster::refused;
use p2p_node_tests::hostile::Member;
use p2p_node_tests::{Cluster, PATIENCE, TestNode, fixtures, in_time, wait_until};
use wire::ErrorCode;

use super::admin::{certify, membership_of};
use super::five::{Five, names, wait_for_names};

/// A network that started again has found together after this.
const TOGETHER: Duration = Duration::from_secs(30);
/// What the index has just signed is known everywhere after this: its debounce is a second, a comparison at least 15 s.
const PUSHED: Duration = Duration::from_secs(5);
const MONTH: Duration = Duration::from_secs(31 * 86_400);

const SHARED: [&str; 3] = ["film.mkv", "text.txt", "photos"];

fn lose(home: &Path, database: &str) {
    for ending in ["", "-wal", "-shm"] {
        let removed = std::fs::remove_file(home.join(format!("{database}{ending}")));
        assert!(removed.is_ok() || !ending.is_empty(), "{removed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_start_again_at_once_and_find_together_by_whom_they_remember() {
    let mut five = Five::start().await;
    five.wait_for_copies().await;
    five.programs.index.kill_9().await;
    for user in &mut five.users {
        user.keep_address();
        user.kill_9().await;
    }
    // One has nothing left but whom it remembers.
    lose(&five.programs.home("erin"), "replica.db");
    for user in &mut five.users {
        user.start_again().await;
    }
    for user in &five.users {
        wait_until(TOGETHER, "it lists and finds everything", async || {
            let ended = user.command(&["list"]).await;
            if ended.code != Some(0) || names(&ended.json()) != SHARED {
                return Err(ended);
            }
            let found = user.command(&["search", "film"]).await;
            let whole = found.code == Some(0) && names(&found.json()) == ["film.mkv"];
            if whole { Ok(()) } else { Err(found) }
        })
        .await;
    }
    let wanted = [
        ("alice", "dave/photos"),
        ("bob", "carol/text.txt"),
        ("carol", "alice/film.mkv"),
        ("dave", "alice/film.mkv"),
        ("erin", "dave/photos"),
    ];
    for (user, resource) in wanted {
        let got = five.of(user).ask(&["get", resource]).await;
        assert_ne!(got["source"], "index", "{got}");
    }
    five.share("erin", "new.bin", 5, 10_000).await;
    for user in &five.users {
        wait_for_names(user, &["film.mkv", "text.txt", "photos", "new.bin"], TOGETHER).await;
    }
}

/// Waits until a node lists such names.
async fn wait_for(node: &TestNode, wanted: &[&str]) {
    wait_until(PATIENCE, &format!("{} lists {wanted:?}", node.home().display()), async || {
        let items = node.list().await.map_err(|error| error.to_string())?;
        let found: Vec<_> = items.iter().map(|item| item.name.to_string()).collect();
        if found == wanted { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

/// Waits until a node has the catalogues of so many in its copy.
async fn wait_for_copy(node: &TestNode, catalogues: u64) {
    wait_until(PATIENCE, &format!("{} has all catalogues", node.home().display()), async || {
        let fallback = node.status().await.fallback.expect("it is on");
        if fallback.catalogues == catalogues { Ok(()) } else { Err(fallback) }
    })
    .await;
}

/// Waits until a node sees such users online.
async fn wait_for_who(node: &TestNode, wanted: &[&str]) {
    wait_until(PATIENCE, &format!("{} sees {wanted:?}", node.home().display()), async || {
        let users = node.who().await.map_err(|error| error.to_string())?;
        let there: Vec<_> = users.iter().map(|user| user.user.to_string()).collect();
        if there == wanted { Ok(()) } else { Err(format!("{there:?}")) }
    })
    .await;
}

/// Waits until the index has accepted all that a node shares.
async fn wait_for_receipts(node: &TestNode) {
    wait_until(PATIENCE, "the index has accepted it", async || {
        let shares = node.shares().await.map_err(|error| error.to_string())?;
        let accepted = shares.iter().all(|share| share.state == ShareState::Shared);
        if accepted { Ok(()) } else { Err(format!("{shares:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_without_the_index() {
    let mut cluster = Cluster::start_with_fallback().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut carol = cluster.user("carol").await;
    let path = |name: &str| cluster.path(name);
    let film = fixtures::file(&path("film.mkv"), 1, 300_000);
    let (new, late) = (fixtures::file(&path("new.bin"), 2, 5000), fixtures::file(&path("new-2.bin"), 3, 10));
    alice.share(&film).await.expect("shared");
    for node in [&alice, &bob, &carol] {
        wait_for_copy(node, 3).await;
    }
    let before = membership_of(&alice).membership.not_after;
    let wall = cluster.wall().clone();
    cluster.stop_index().await;
    wall.advance(MONTH);

    for node in [&alice, &bob, &carol] {
        wait_for_who(node, &["alice", "bob", "carol"]).await;
        wait_for_copy(node, 3).await;
        wait_for(node, &["film.mkv"]).await;
    }
    bob.get("alice", "film.mkv").await.expect("got, by a membership in its grace");
    alice.share(&new).await.expect("shared");
    carol.restart().await;
    for node in [&bob, &carol] {
        wait_for(node, &["film.mkv", "new.bin"]).await;
    }
    carol.get("alice", "new.bin").await.expect("got, over a new connection");
    bob.share(&late).await.expect("shared");
    alice.unshare("film.mkv").await.expect("taken back");
    for node in [&alice, &carol] {
        wait_for(node, &["new.bin", "new-2.bin"]).await;
    }

    cluster.index.start_again().await;
    for node in [&alice, &bob, &carol] {
        node.wait_for_index(IndexState::Connected).await;
        assert!(membership_of(node).membership.not_after > before.plus(30 * 86_400_000), "renewed");
        wait_for_receipts(node).await;
        wait_for(node, &["new.bin", "new-2.bin"]).await;
    }
    alice.get("bob", "new-2.bin").await.expect("got");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_for_a_month_with_the_index_brings_back_what_it_published() {
    let mut cluster = Cluster::start_with_fallback().await;
    let alice = cluster.user("alice").await;
    let mut dave = cluster.user("dave").await;
    for node in [&alice, &dave] {
        wait_for_copy(node, 2).await;
    }
    cluster.stop_index().await;
    dave.share(&fixtures::file(&cluster.path("late.bin"), 4, 10)).await.expect("shared");
    wait_for(&alice, &["late.bin"]).await;
    dave.stop().await;
    cluster.wall().advance(MONTH);
    wait_for(&alice, &["late.bin"]).await;

    // The index does not take it from others: dave's head is over, and so is his membership.
    cluster.index.start_again().await;
    alice.wait_for_index(IndexState::Connected).await;
    wait_for(&alice, &[]).await;
    dave.start_again().await;
    dave.wait_for_index(IndexState::Connected).await;
    wait_for_receipts(&dave).await;
    wait_for(&alice, &["late.bin"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_moved_is_followed_by_who_is_told_and_by_those_who_are_not() {
    let mut cluster = Cluster::start_with_fallback().await;
    let (mut alice, mut bob) = (cluster.user("alice").await, cluster.user("bob").await);
    alice.share(&fixtures::file(&cluster.path("film.mkv"), 1, 10_000)).await.expect("shared");
    for node in [&alice, &bob] {
        wait_for_copy(node, 2).await;
    }
    cluster.stop_index().await;
    let home = cluster.home("new-index");
    let root = cluster.index.home().join("network.key");
    certify(&home, &["--root", root.to_str().expect("text")]).await;
    // Without the database: it comes back from the members.
    let fallback = FallbackOptions { enabled: true, peers: Vec::new() };
    let (role, listen) = (Role::Index { signup_open: true }, SocketAddr::new(cluster.ip().into(), 0));
    let new = TestNode::start_with(&home, listen, role, fallback, cluster.wall().clone()).await;

    alice.stop().await;
    let alice = cluster.peer_of("alice", new.index_address()).await;
    alice.wait_for_index(IndexState::Connected).await;
    wait_for(&alice, &["film.mkv"]).await;
    alice.share(&fixtures::file(&cluster.path("new.bin"), 2, 10_000)).await.expect("shared");
    wait_for_receipts(&alice).await;
    // Bob, who is not told, hears of the new index and of what it accepted by alice, and where it is by its own word.
    wait_for(&bob, &["film.mkv", "new.bin"]).await;
    bob.wait_for_index(IndexState::Connected).await;
    bob.get("alice", "new.bin").await.expect("got, with a receipt of the new index");
    bob.wait_for_holders("alice", "new.bin", 2).await;
    let epoch = |node: &TestNode| membership_of(node).certificate.epoch;
    assert_eq!(epoch(&bob), epoch(&alice), "a membership of the new index");
    // Where he was told that it is there may be an index again that is none any more.
    cluster.index.start_again().await;
    bob.restart().await;
    wait_for(&bob, &["film.mkv", "new.bin"]).await;
    bob.wait_for_index(IndexState::Connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_membership_is_refused_by_all_at_once() {
    let cluster = Cluster::start_with_fallback().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    for node in [&alice, &bob] {
        wait_for_copy(node, 2).await;
    }
    let mallory = Member::sign_up(&cluster, "mallory").await;
    let open = mallory.connect(alice.address()).await;
    mallory.client().logout().await.expect("logged out");
    for node in [&alice, &bob] {
        wait_until(PUSHED, "it refuses who has logged out", async || {
            match mallory.try_connect(node.address()).await.map_err(|error| error.to_body()) {
                Err(body) if body.code == ErrorCode::NotMember => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
    in_time("the end of the open connection", open.closed()).await;
    refused(alice.get("mallory", "nothing").await, ErrorCode::NotFound);
}
