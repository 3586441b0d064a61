//! Signing up, logging in and out, who is online.

use p2p_node::control::LocalCode;
use p2p_node::control::api::{IndexState, Password, ShareState};
use p2p_node_tests::cluster::{refused, refused_with_hint};
use p2p_node_tests::hostile::Member;
use p2p_node_tests::node::password_of;
use p2p_node_tests::{Cluster, PATIENCE, fixtures, in_time, wait_until};
use wire::ErrorCode;

#[tokio::test(flavor = "multi_thread")]
async fn sign_up_and_be_seen() {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    let bob = cluster.user("bob").await;
    alice.wait_for_index(IndexState::Connected).await;
    let status = alice.status().await;
    assert_eq!(status.user.expect("logged in").as_str(), "alice");
    assert_eq!((status.node, status.network), (alice.id(), Some(cluster.index.network())));
    let online = bob.who().await.expect("an answer");
    let names: Vec<_> = online.iter().map(|user| user.user.as_str()).collect();
    assert_eq!(names, ["alice", "bob"]);
    assert_eq!(online[0].nodes[0].node, alice.id());
    assert_eq!(online[0].nodes[0].address, Some(alice.address()));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_passwords_that_are_refused() {
    let cluster = Cluster::start().await;
    let _alice = cluster.user("alice").await;
    let other = cluster.peer("other").await;
    refused_with_hint(other.signup("alice").await, ErrorCode::NameTaken);
    let wrong = Password("not the password".to_owned());
    refused_with_hint(other.login_with("alice", wrong, false).await, ErrorCode::BadCredentials);
    refused_with_hint(other.login("nobody").await, ErrorCode::BadCredentials);
    let status = other.status().await;
    assert_eq!((status.user, status.index.state), (None, IndexState::NotEnrolled));
    other.login("alice").await.expect("the right password");
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_cannot_be_guessed_at_will() {
    let cluster = Cluster::start().await;
    let _alice = cluster.user("alice").await;
    let other = cluster.peer("other").await;
    let guess = async |text: &str| other.login_with("alice", Password(text.to_owned()), false).await;
    for number in 0..5 {
        refused(guess(&format!("guess number {number}")).await, ErrorCode::BadCredentials);
    }
    refused_with_hint(guess("guess number 6").await, ErrorCode::RateLimited);
    refused_with_hint(guess(&password_of("alice").0).await, ErrorCode::RateLimited);
    other.signup("someone-else").await.expect("others are not held up");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_logged_in_is_told_so() {
    let cluster = Cluster::start().await;
    let peer = cluster.peer("peer").await;
    let path = fixtures::file(&cluster.path("a.bin"), 1, 1000);
    let code = LocalCode::NotLoggedIn;
    refused_with_hint(peer.share(&path).await, code);
    refused_with_hint(peer.get("alice", "a.bin").await, code);
    refused_with_hint(peer.list().await, code);
    refused_with_hint(peer.search("a").await, code);
    refused_with_hint(peer.who().await, code);
    refused_with_hint(peer.unshare("a.bin").await, code);
    refused_with_hint(peer.logout().await, code);
    assert!(peer.shares().await.expect("local").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_machine_gets_the_first_ones_file() {
    let cluster = Cluster::start().await;
    let first = cluster.user("alice").await;
    let second = cluster.machine_of("alice", "alice-2").await;
    let path = fixtures::file(&cluster.path("notes.txt"), 2, 300_000);
    let shared = first.share(&path).await.expect("shared");
    let refusal = refused_with_hint(first.get("alice", "notes.txt").await, ErrorCode::SelfOwned);
    assert!(refusal.message.contains("alice/notes.txt"), "{refusal:?}");
    let got = second.get("alice", "notes.txt").await.expect("got");
    assert_eq!((got.content, got.version), (shared.content, 1));
    assert_eq!(fixtures::hash_of(got.path.as_path()), shared.content);
    assert_eq!(got.sources.len(), 1);
    assert_eq!((got.sources[0].node, got.sources[0].user.as_str()), (first.id(), "alice"));
    let nodes = second.who().await.expect("an answer").remove(0).nodes;
    assert_eq!(nodes.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_keeps_everything_and_pauses_it() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 3, 100_000);
    alice.share(&path).await.expect("shared");
    assert_eq!(alice.logout().await.expect("logged out").user.as_str(), "alice");
    assert_eq!(alice.status().await.user, None);
    assert!(path.exists());
    assert_eq!(alice.shares().await.expect("local")[0].state, ShareState::Paused);
    let online = bob.who().await.expect("an answer");
    assert_eq!(online.iter().map(|user| user.user.as_str()).collect::<Vec<_>>(), ["bob"]);
    refused_with_hint(bob.get("alice", "film.mkv").await, ErrorCode::NoHolder);

    refused_with_hint(alice.login("bob").await, ErrorCode::OtherAccount);
    alice.login("alice").await.expect("logged in again");
    bob.wait_for_holders("alice", "film.mkv", 1).await;
    bob.get("alice", "film.mkv").await.expect("served again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logged_out_node_serves_nothing() {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    let path = fixtures::file(&cluster.path("film.mkv"), 5, 100_000);
    alice.share(&path).await.expect("shared");
    let bob = Member::sign_up(&cluster, "bob").await;
    let bundle = bob.locate("alice", "film.mkv").await.bundle;
    let before = bob.connect(alice.address()).await;
    bob.show(&before, &bundle).await.expect("granted");
    alice.logout().await.expect("logged out");
    in_time("the end of the connection", before.closed()).await;
    let after = bob.connect(alice.address()).await;
    let granted = bob.show(&after, &bundle).await;
    assert_eq!(granted.expect_err("logged out").to_body().code, ErrorCode::NotFound);
    alice.login("alice").await.expect("logged in again");
    bob.show(&after, &bundle).await.expect("granted again");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_takes_a_home_over_only_with_forget() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 4, 100_000);
    alice.share(&path).await.expect("shared");
    alice.logout().await.expect("logged out");
    refused_with_hint(alice.login("bob").await, ErrorCode::OtherAccount);
    refused_with_hint(alice.signup("carol").await, ErrorCode::OtherAccount);
    alice.login_with("bob", password_of("bob"), true).await.expect("forgotten");
    assert_eq!(alice.status().await.user.expect("logged in").as_str(), "bob");
    assert!(alice.shares().await.expect("local").is_empty());
    assert!(path.exists(), "files are nobody's to forget");
    refused(bob.get("alice", "film.mkv").await, ErrorCode::NoHolder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_node_leaves_who_at_once_and_comes_back() {
    let cluster = Cluster::start().await;
    let (mut alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    alice.stop().await;
    let online = async || {
        let users = bob.who().await.expect("an answer");
        users.iter().map(|user| user.user.to_string()).collect::<Vec<_>>()
    };
    wait_until(PATIENCE, "alice is gone", async || match online().await {
        names if names == ["bob"] => Ok(()),
        names => Err(names),
    })
    .await;
    alice.start_again().await;
    alice.wait_for_index(IndexState::Connected).await;
    assert_eq!(online().await, ["alice", "bob"]);
}
