//! The index stops, returns, or is somebody else.

use certs::{Enrolment, IndexCertificate, Membership, keystore};
use p2p_node::control::api::IndexState;
use p2p_node_tests::cluster::refused_with_hint;
use p2p_node_tests::hostile::{Impostor, Member};
use p2p_node_tests::node::{get_request, index_at};
use p2p_node_tests::{Cluster, TestNode, fixtures, wait_until};
use std::time::Duration;
use wire::ErrorCode;

/// Commands wait up to 5 s for the index.
const SOON: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_index_knows_everything_and_the_peers_come_back() {
    let mut cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 1, 100_000);
    alice.share(&path).await.expect("shared");
    let gone = fixtures::file(&cluster.path("gone.txt"), 2, 10);
    alice.share(&gone).await.expect("shared");
    alice.unshare("gone.txt").await.expect("taken back");
    cluster.index.restart().await;
    bob.wait_for_holders("alice", "film.mkv", 1).await;
    assert_eq!(bob.list().await.expect("listed").len(), 1);
    bob.get("alice", "film.mkv").await.expect("got");
    let second = cluster.machine_of("alice", "alice-2").await;
    let users = second.who().await.expect("an answer");
    assert_eq!(users.iter().map(|user| user.nodes.len()).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_say_soon_that_it_is_away() {
    let mut cluster = Cluster::start().await;
    let (alice, bob, new) =
        (cluster.user("alice").await, cluster.user("bob").await, cluster.peer("new").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 3, 100_000);
    alice.share(&path).await.expect("shared");
    cluster.stop_index().await;
    let all = async {
        tokio::join!(
            bob.list(),
            bob.search("film"),
            bob.who(),
            alice.share(&path),
            alice.unshare("film.mkv"),
            bob.get("alice", "film.mkv"),
            new.signup("carol"),
            new.login("alice"),
        )
    };
    let (list, search, who, share, unshare, get, signup, login) =
        tokio::time::timeout(SOON, all).await.expect("within 7 s");
    let code = ErrorCode::Unavailable;
    refused_with_hint(list, code);
    refused_with_hint(search, code);
    refused_with_hint(who, code);
    refused_with_hint(share, code);
    refused_with_hint(unshare, code);
    refused_with_hint(get, code);
    refused_with_hint(signup, code);
    refused_with_hint(login, code);
    let status = bob.status().await;
    assert_eq!(status.index.state, IndexState::Connecting);
    assert!(status.index.problem.is_some(), "{status:?}");
    assert_eq!(alice.shares().await.expect("local").len(), 1, "what is local goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_starts_without_it_and_is_let_in_later() {
    let mut cluster = Cluster::start().await;
    let mut alice = cluster.user("alice").await;
    let path = fixtures::file(&cluster.path("film.mkv"), 4, 100_000);
    alice.share(&path).await.expect("shared");
    alice.stop().await;
    cluster.stop_index().await;
    alice.start_again().await;
    assert_eq!(alice.status().await.user.expect("still logged in").as_str(), "alice");
    alice.wait_for_index(IndexState::Connecting).await;
    cluster.index.start_again().await;
    alice.wait_for_index(IndexState::Connected).await;
    alice.wait_for_holders("alice", "film.mkv", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_index_behind_the_address_is_refused() {
    let (cluster, other) = (Cluster::start().await, Cluster::start().await);
    let index = index_at(cluster.index.network(), other.index.address());
    let peer = cluster.peer_of("misled", index).await;
    peer.wait_for_index(IndexState::Refused).await;
    let problem = peer.status().await.index.problem.expect("it says why");
    assert!(problem.contains(&other.index.network().to_string()), "{problem}");
    refused_with_hint(peer.signup("alice").await, ErrorCode::Unavailable);
    let nobody = other.user("bob").await.login("alice").await;
    refused_with_hint(nobody, ErrorCode::OtherAccount);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_behind_the_address_is_not_the_index() {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    let misled = cluster.peer_of("misled", index_at(cluster.index.network(), alice.address())).await;
    misled.wait_for_index(IndexState::Refused).await;
    refused_with_hint(misled.signup("bob").await, ErrorCode::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impostor_that_takes_over_the_address_is_not_trusted() {
    let mut cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    let address = cluster.index.address();
    cluster.stop_index().await;
    // Another network's index at the very same address.
    let role = p2p_node::options::Role::Index { signup_open: true };
    let mut impostor = TestNode::start_at(&cluster.home("impostor"), address, role).await;
    alice.wait_for_index(IndexState::Refused).await;
    assert_eq!(alice.status().await.user.expect("it stays logged in").as_str(), "alice");
    refused_with_hint(alice.list().await, ErrorCode::Unavailable);
    impostor.stop().await;
    cluster.index.start_again().await;
    alice.wait_for_index(IndexState::Connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_index_ends_a_membership() {
    let cluster = Cluster::start().await;
    let mut alice = cluster.user("alice").await;
    alice.stop().await;
    let impostor = Impostor::start(cluster.ip(), ErrorCode::NotMember);
    let misled = index_at(cluster.index.network(), impostor.address());
    let mut there = cluster.peer_of("alice", misled).await;
    there.wait_for_index(IndexState::Refused).await;
    // Each attempt is one with the membership and one without.
    impostor.wait_until_refused(4).await;
    let status = there.status().await;
    assert_eq!(status.user.expect("it stays logged in").as_str(), "alice");
    let problem = status.index.problem.expect("it says why");
    assert!(problem.contains("does not prove"), "{problem}");
    there.stop().await;
    alice.start_again().await;
    alice.wait_for_index(IndexState::Connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_ends_a_membership_by_not_knowing_it() {
    let cluster = Cluster::start().await;
    let mut alice = cluster.user("alice").await;
    let kept = std::fs::read(alice.home().join("membership.cbor")).expect("a membership");
    alice.logout().await.expect("logged out");
    alice.stop().await;
    std::fs::write(alice.home().join("membership.cbor"), kept).expect("put back");
    alice.start_again().await;
    alice.wait_for_index(IndexState::NotEnrolled).await;
    assert_eq!(alice.status().await.user, None);
    alice.login("alice").await.expect("by password");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_membership_of_another_time_is_the_indexs_to_judge() {
    let mut cluster = Cluster::start().await;
    let mut alice = cluster.user("alice").await;
    let (id, Enrolment { certificate, membership }) = (alice.id(), membership_of(&alice));
    alice.stop().await;
    cluster.stop_index().await;
    // As it looks to a machine whose clock is a month behind.
    let path = alice.home().join("membership.cbor");
    let key = keystore::load_key(&cluster.index.home().join("identity.key")).expect("the index's");
    let (user, then) = (membership.user.clone(), membership.not_after);
    let membership = Membership::issue(&key, &certificate, membership.account, user, id, 2, then);
    std::fs::write(&path, Enrolment { certificate, membership }.to_bytes()).expect("written");
    alice.start_again().await;
    assert_eq!(alice.status().await.user.expect("kept").as_str(), "alice");
    cluster.index.start_again().await;
    alice.wait_for_index(IndexState::NotEnrolled).await;
    assert_eq!(alice.status().await.user, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_seen_a_newer_index_never_goes_back_to_the_older() {
    let mut cluster = Cluster::start().await;
    let mut alice = cluster.user("alice").await;
    let (home, id) = (cluster.index.home().to_owned(), cluster.index.id());
    let first = std::fs::read(home.join("index.cert")).expect("a certificate");
    let root = keystore::load_key(&home.join("network.key")).expect("the root's");
    let begin = membership_of(&alice).membership.not_before;
    cluster.stop_index().await;
    let second = IndexCertificate::issue(&root, id, 2, begin);
    std::fs::write(home.join("index.cert"), second.bytes()).expect("moved house");
    cluster.index.start_again().await;
    alice.wait_for_index(IndexState::Connected).await;
    alice.stop().await;
    cluster.stop_index().await;
    std::fs::write(home.join("index.cert"), first).expect("the old house");
    cluster.index.start_again().await;
    alice.start_again().await;
    alice.wait_for_index(IndexState::Refused).await;
    let status = alice.status().await;
    assert!(status.index.problem.expect("it says why").contains("epoch"));
    assert_eq!(status.user.expect("it stays logged in").as_str(), "alice");
}

fn membership_of(node: &TestNode) -> Enrolment {
    let bytes = std::fs::read(node.home().join("membership.cbor")).expect("a membership");
    Enrolment::verify_timeless(&bytes, &node.network(), &node.id()).expect("its own")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_that_was_refused_for_it_works_once_it_is_back() {
    let mut cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 5, 100_000);
    alice.share(&path).await.expect("shared");
    cluster.stop_index().await;
    let get = bob.get_with(get_request("alice", "film.mkv"));
    cluster.index.start_again().await;
    // It waits for the index, and the peers' pause before the next attempt is at most 10 s.
    bob.wait_for_index(IndexState::Connected).await;
    alice.wait_for_index(IndexState::Connected).await;
    bob.wait_for_holders("alice", "film.mkv", 1).await;
    get.await.expect("got");
    wait_until(SOON, "two holders", async || {
        let items = bob.list().await.expect("listed");
        if items[0].holders == 2 { Ok(()) } else { Err(items) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_is_told_that_the_index_stops() {
    let mut cluster = Cluster::start().await;
    let member = Member::sign_up(&cluster, "alice").await;
    let mut events = member.client().events().await.expect("open");
    cluster.stop_index().await;
    let error = events.next().await.expect_err("over");
    assert_eq!(error.to_body().code, ErrorCode::ShuttingDown);
}
