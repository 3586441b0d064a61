//! What the operator of an index does: after a loss of its database, with its certificate, when it moves to another machine.

use std::path::Path;

use certs::Enrolment;
use index::IndexClient;
use p2p_node::control::Backend;
use p2p_node::control::api::{IndexState, PasswdRequest, RecoveryStatus};
use p2p_node::options::Role;
use p2p_node_tests::cluster::{refused, user};
use p2p_node_tests::hostile::{Member, manifest_of};
use p2p_node_tests::node::password_of;
use p2p_node_tests::process::{self, Ended};
use p2p_node_tests::{Cluster, PATIENCE, Programs, TestNode, fixtures, wait_until};
use serde_bytes::ByteBuf;
use serde_json::Value;
use wire::ErrorCode;
use wire::message::{RecordBundle, ResourceQuery};

/// Loses `index.db` of an index that does not run.
pub(crate) fn lose_database(home: &Path) {
    for file in ["index.db", "index.db-wal", "index.db-shm"] {
        let removed = std::fs::remove_file(home.join(file));
        assert!(removed.is_ok() || file != "index.db", "{removed:?}");
    }
}

async fn recovery(index: &TestNode) -> RecoveryStatus {
    index.node().recovery().await.expect("a status")
}

/// Waits until the index knows so many accounts and records. Nobody brings back to it what was taken back before.
async fn wait_for_restored(index: &TestNode, accounts: u64, records: u64) -> RecoveryStatus {
    wait_until(PATIENCE, "they are back", async || {
        let status = recovery(index).await;
        let back = status.accounts == accounts && status.records == records;
        if back { Ok(status) } else { Err(status) }
    })
    .await
}

pub(crate) fn membership_of(node: &TestNode) -> Enrolment {
    let bytes = std::fs::read(node.home().join("membership.cbor")).expect("a membership");
    Enrolment::verify_timeless(&bytes, &node.network(), &node.id()).expect("its own")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_comes_back_with_those_who_connect_and_names_stay_theirs() {
    let mut cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut carol = cluster.user("carol").await;
    let film = fixtures::file(&cluster.path("film.mkv"), 1, 100_000);
    let gone = fixtures::file(&cluster.path("gone.txt"), 2, 10);
    for path in [&film, &gone] {
        alice.share(path).await.expect("shared");
    }
    alice.unshare("gone.txt").await.expect("taken back");
    bob.get("alice", "film.mkv").await.expect("got");
    carol.stop().await;
    cluster.stop_index().await;
    lose_database(cluster.index.home());
    cluster.index.start_again().await;
    for peer in [&alice, &bob] {
        peer.wait_for_index(IndexState::Connected).await;
    }
    let status = wait_for_restored(&cluster.index, 2, 1).await;
    assert!(status.recovering && status.ended.is_none(), "{status:?}");
    assert_eq!((status.without_password, status.nodes), (2, 2));
    assert_eq!(status.refused, ["signup", "login"]);
    let last = status.last.expect("somebody").node;
    assert!([alice.id(), bob.id()].contains(&last));

    bob.wait_for_holders("alice", "film.mkv", 2).await;
    let names: Vec<_> = bob.list().await.expect("listed").iter().map(|item| item.name.to_string()).collect();
    assert_eq!(names, ["film.mkv"], "what was taken back stays so");

    let stranger = cluster.peer("stranger").await;
    for name in ["alice", "carol", "dave"] {
        refused(stranger.signup(name).await, ErrorCode::SignupClosed);
    }
    for name in ["alice", "carol"] {
        refused(stranger.login(name).await, ErrorCode::NotAllowed);
    }
    let passwd = PasswdRequest { user: user("alice"), password: password_of("alice") };
    cluster.index.node().passwd(passwd).await.expect("set");
    let second = cluster.machine_of("alice", "alice-2").await;
    assert!(second.get("alice", "film.mkv").await.is_ok());
    carol.start_again().await;
    carol.wait_for_index(IndexState::Connected).await;
    wait_for_restored(&cluster.index, 3, 1).await;

    let over = cluster.index.node().finish_recovery().await.expect("ended");
    assert!(!over.recovering && over.ended.is_some() && over.refused.is_empty(), "{over:?}");
    for name in ["alice", "carol"] {
        refused(stranger.signup(name).await, ErrorCode::NameTaken);
    }
    refused(stranger.login("carol").await, ErrorCode::BadCredentials);
    stranger.signup("dave").await.expect("open again");
    cluster.index.restart().await;
    assert!(!recovery(&cluster.index).await.recovering, "for good");
    stranger.wait_for_index(IndexState::Connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_uses_the_command_line_on_the_index_alone() {
    let mut programs = Programs::start().await;
    let alice = programs.user("alice").await;
    let elsewhere = [
        &["admin", "recovery", "status"][..],
        &["admin", "recovery", "finish"],
        &["admin", "passwd", "alice", "--password-stdin"],
        &["admin", "certify"],
    ];
    for arguments in elsewhere {
        let ended = alice.command(arguments).await;
        assert_eq!((ended.error_code().as_str(), ended.code), ("not-the-index", Some(4)), "{arguments:?}");
        assert!(!ended.hint().is_empty(), "{ended:?}");
    }
    let fine = programs.index.ask(&["admin", "recovery", "status"]).await;
    assert_eq!((&fine["recovering"], &fine["began"]), (&Value::Bool(false), &Value::Null));
    let running = programs.index.command(&["admin", "certify"]).await;
    assert_eq!(running.error_code(), "already-running");

    programs.index.stop().await;
    let home = programs.index.home().to_owned();
    for arguments in &elsewhere[..3] {
        let ended = process::run(&home, arguments, "a good password\n").await;
        assert_eq!((ended.error_code().as_str(), ended.code), ("no-daemon", Some(6)), "{arguments:?}");
        assert!(ended.hint().contains("p2p-node index"), "{ended:?}");
    }
    lose_database(&home);
    programs.index.start_again().await;
    alice.wait_for_state("connected").await;
    let status = programs.index.ask(&["admin", "recovery", "status"]).await;
    assert_eq!((&status["recovering"], &status["accounts"]), (&Value::Bool(true), &1.into()));
    let text = programs.index.plain(&["admin", "recovery", "status"]).output().expect("ended");
    let text = String::from_utf8(text.stdout).expect("text");
    assert!(
        text.contains("recovering since") && text.contains("1 accounts (1 without a password)"),
        "{text}"
    );
    let passwd = ["admin", "passwd", "alice", "--password-stdin"];
    assert_eq!(programs.index.command_with(&passwd, "short\n").await.error_code(), "usage");
    let unknown = ["admin", "passwd", "nobody", "--password-stdin"];
    let ended = programs.index.command_with(&unknown, "a good password\n").await;
    assert_eq!((ended.error_code().as_str(), ended.code), ("not-found", Some(3)));
    let ended = programs.index.command_with(&passwd, "a good password\n").await;
    assert_eq!((ended.code, &ended.json()["user"]), (Some(0), &"alice".into()), "{ended:?}");
    let second = programs.peer("alice-2").await;
    let login = second.command_with(&["login", "alice", "--password-stdin"], "a good password\n").await;
    assert_eq!(login.code, Some(0), "{login:?}");
    assert!(home.join("recovering").exists());
    let over = programs.index.ask(&["admin", "recovery", "finish"]).await;
    assert_eq!((&over["recovering"], &over["without_password"]), (&Value::Bool(false), &0.into()));
    assert!(!home.join("recovering").exists());
    programs.user("bob").await;
    assert!(!programs.index.log().contains("a good password"));
}

/// `admin certify` on a home; the document.
pub(crate) async fn certify(home: &Path, arguments: &[&str]) -> Value {
    let all = [&["admin", "certify"], arguments].concat();
    let ended: Ended = process::run(home, &all, "").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.json()
}

/// A new home that the root key makes the index's, with what the old one knew or without.
async fn move_house(cluster: &Cluster, arguments: &[&str], with_database: bool) -> TestNode {
    let (old, new) = (cluster.index.home(), cluster.home("new-index"));
    let root = old.join("network.key");
    let certified = certify(&new, &[&["--root", root.to_str().expect("text")], arguments].concat()).await;
    assert_eq!(certified["previous_epoch"], Value::Null);
    if with_database {
        std::fs::copy(old.join("index.db"), new.join("index.db")).expect("copied");
    }
    TestNode::start(&new, cluster.ip(), Role::Index { signup_open: true }).await
}

/// A peer on its home, which is told where the index is now.
async fn at_its_new_address(cluster: &Cluster, mut peer: TestNode, home: &str, index: &TestNode) -> TestNode {
    peer.stop().await;
    let peer = cluster.peer_of(home, index.index_address()).await;
    peer.wait_for_index(IndexState::Connected).await;
    peer
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_follow_an_index_that_moved_to_another_key_and_machine() {
    let mut cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 3, 100_000);
    alice.share(&path).await.expect("shared");
    let carol = Member::sign_up(&cluster, "carol").await;
    let bundle = carol.locate("alice", "film.mkv").await.bundle;
    let (before, old, network) = (membership_of(&alice), cluster.index.id(), cluster.index.network());
    let old_address = cluster.index.index_address();
    cluster.stop_index().await;
    let new = move_house(&cluster, &[], true).await;
    assert!(new.id() != old && new.network() == network);
    let alice = at_its_new_address(&cluster, alice, "alice", &new).await;
    let bob = at_its_new_address(&cluster, bob, "bob", &new).await;
    let after = membership_of(&alice);
    assert!(after.certificate.epoch > before.certificate.epoch, "a membership of the new index");
    assert_eq!((after.certificate.node, after.membership.account), (new.id(), before.membership.account));
    assert!(!recovery(&new).await.recovering, "it has the database");

    bob.wait_for_holders("alice", "film.mkv", 1).await;
    let there = carol.connect(new.address()).await;
    let query = ResourceQuery::latest(user("alice"), "film.mkv".parse().expect("a name"));
    let located = IndexClient::new(there).locate(query).await.expect("located, by an old membership");
    assert_eq!(located.bundle, bundle, "with the receipt of the index of before");
    bob.get("alice", "film.mkv").await.expect("got, by that receipt");
    let second = cluster.peer_of("alice-2", new.index_address()).await;
    second.wait_for_index(IndexState::NotEnrolled).await;
    second.login("alice").await.expect("the passwords moved too");

    cluster.index.start_again().await;
    let mut alice = alice;
    alice.stop().await;
    let misled = cluster.peer_of("alice", old_address).await;
    misled.wait_for_index(IndexState::Refused).await;
    assert!(misled.status().await.index.problem.expect("it says why").contains("epoch"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_moved_without_its_database_recovers() {
    let mut cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    let path = fixtures::file(&cluster.path("film.mkv"), 4, 1000);
    alice.share(&path).await.expect("shared");
    cluster.stop_index().await;
    let new = move_house(&cluster, &[], false).await;
    let stranger = cluster.peer_of("stranger", new.index_address()).await;
    stranger.wait_for_index(IndexState::NotEnrolled).await;
    refused(stranger.signup("alice").await, ErrorCode::SignupClosed);
    let _alice = at_its_new_address(&cluster, alice, "alice", &new).await;
    let status = wait_for_restored(&new, 1, 1).await;
    assert!(status.recovering, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_index_signs_once_its_key_is_stolen_is_void_and_what_it_signed_before_stands() {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    let path = fixtures::file(&cluster.path("film.mkv"), 5, 100_000);
    alice.share(&path).await.expect("shared");
    let mallory = Member::sign_up(&cluster, "mallory").await;
    let before = mallory.locate("alice", "film.mkv").await.bundle;
    let new = move_house(&cluster, &["--void-older"], false).await;

    // Who has the old index's key goes on with it.
    let eve = Member::sign_up(&cluster, "eve").await;
    let record = mallory.sign(mallory.record("late.bin", &manifest_of(&path)));
    let receipt = mallory.register(std::slice::from_ref(&record)).await.remove(0).receipt;
    let after = RecordBundle {
        record: ByteBuf::from(record.bytes()),
        receipt: Some(receipt.expect("accepted")),
        certificate: before.certificate.clone(),
        enrolment: None,
    };
    let alice = at_its_new_address(&cluster, alice, "alice", &new).await;
    for address in [alice.address(), new.address()] {
        let refusal = eve.try_connect(address).await.expect_err("a void membership").to_body();
        assert_eq!(refusal.code, ErrorCode::NotMember);
        assert!(refusal.text.contains("void") || refusal.text.contains("no longer its own"), "{refusal}");
    }
    let connection = mallory.connect(alice.address()).await;
    mallory.show(&connection, &before).await.expect("a receipt of before");
    let refusal = mallory.show(&connection, &after).await.expect_err("a void receipt").to_body();
    assert_eq!(refusal.code, ErrorCode::BadRecord);
    assert!(refusal.text.contains("void"), "{refusal}");
    assert!(mallory.try_connect(new.address()).await.is_ok(), "a membership of before");
}
