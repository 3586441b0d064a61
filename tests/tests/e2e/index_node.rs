//! The index is a peer too.

use p2p_node::control::Backend;
use p2p_node::control::api::{GetRequest, IndexState, ListRequest};
use p2p_node::options::Role;
use p2p_node_tests::cluster::{refused, refused_with_hint};
use p2p_node_tests::hostile::{Member, ask};
use p2p_node_tests::node::get_request;
use p2p_node_tests::{Cluster, PATIENCE, TestNode, fixtures, wait_until};
use wire::ErrorCode;
use wire::message::{Empty, Request, Who};

#[tokio::test(flavor = "multi_thread")]
async fn it_signs_up_shares_and_gets() {
    let mut cluster = Cluster::start().await;
    cluster.index.wait_for_index(IndexState::Local).await;
    cluster.index.signup("root").await.expect("signed up");
    let bob = cluster.user("bob").await;
    let at_index = fixtures::file(&cluster.path("manual.pdf"), 1, 400_000);
    let at_bob = fixtures::file(&cluster.path("film.mkv"), 2, 400_000);
    cluster.index.share(&at_index).await.expect("shared");
    bob.share(&at_bob).await.expect("shared");
    let got = bob.get("root", "manual.pdf").await.expect("from the index");
    assert_eq!(fixtures::hash_of(got.path.as_path()), fixtures::hash_of(&at_index));
    let got = cluster.index.get("bob", "film.mkv").await.expect("to the index");
    assert_eq!(fixtures::hash_of(got.path.as_path()), fixtures::hash_of(&at_bob));
    refused_with_hint(cluster.index.get("root", "manual.pdf").await, ErrorCode::SelfOwned);
    let names: Vec<_> =
        bob.who().await.expect("an answer").iter().map(|user| user.user.to_string()).collect();
    assert_eq!(names, ["bob", "root"]);

    cluster.index.restart().await;
    bob.wait_for_holders("root", "manual.pdf", 2).await;
    bob.wait_for_holders("bob", "film.mkv", 2).await;
    cluster.index.unshare("manual.pdf").await.expect("taken back");
    assert_eq!(bob.node().list(ListRequest::default()).await.expect("listed").items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_user_logs_out_and_everybody_else_stays() {
    let cluster = Cluster::start().await;
    cluster.index.signup("root").await.expect("signed up");
    let path = fixtures::file(&cluster.path("manual.pdf"), 3, 100_000);
    cluster.index.share(&path).await.expect("shared");
    let mallory = Member::sign_up(&cluster, "mallory").await;
    let bundle = mallory.locate("root", "manual.pdf").await.bundle;
    mallory.show(mallory.index(), &bundle).await.expect("granted");
    mallory.root_of(mallory.index(), &bundle).await.expect("given");
    cluster.index.logout().await.expect("logged out");
    let given = mallory.root_of(mallory.index(), &bundle).await;
    assert_eq!(given.expect_err("its shares rest").to_body().code, ErrorCode::NotFound);
    let granted = mallory.show(mallory.index(), &bundle).await;
    assert_eq!(granted.expect_err("its shares rest").to_body().code, ErrorCode::NotFound);
    ask::<Empty>(mallory.index(), &Request::Ping(Empty {})).await.expect("the connection goes on");
    let page = mallory.client().who(Who::default()).await.expect("as a member's");
    assert_eq!(page.users.iter().map(|user| user.user.as_str()).collect::<Vec<_>>(), ["mallory"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_logged_out_gets_nothing_more_from_it() {
    let cluster = Cluster::start().await;
    cluster.index.signup("root").await.expect("signed up");
    let path = fixtures::file(&cluster.path("manual.pdf"), 4, 100_000);
    cluster.index.share(&path).await.expect("shared");
    let mallory = Member::sign_up(&cluster, "mallory").await;
    let bundle = mallory.locate("root", "manual.pdf").await.bundle;
    mallory.show(mallory.index(), &bundle).await.expect("granted");
    mallory.client().logout().await.expect("logged out");
    let given = mallory.root_of(mallory.index(), &bundle).await;
    assert_eq!(given.expect_err("the grant is of no use").to_body().code, ErrorCode::NotMember);
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_to_sign_ups_it_lets_in_whom_it_knows() {
    let cluster = Cluster::start().await;
    let (alice, other) = (cluster.user("alice").await, cluster.peer("other").await);
    let (home, address) = (cluster.index.home().to_owned(), cluster.index.address());
    let mut cluster = cluster;
    cluster.stop_index().await;
    let closed = TestNode::start_at(&home, address, Role::Index { signup_open: false }).await;
    alice.wait_for_index(IndexState::Connected).await;
    other.wait_for_index(IndexState::NotEnrolled).await;
    refused(other.signup("bob").await, ErrorCode::SignupClosed);
    other.login("alice").await.expect("an account that exists");
    drop(closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let names: Vec<_> = (0..12).map(|number| format!("{number}.bin")).collect();
    let paths: Vec<_> =
        (0..).zip(&names).map(|(seed, name)| fixtures::file(&cluster.path(name), seed, 200_000)).collect();
    let mut shares = Vec::new();
    for path in &paths {
        shares.push(alice.start_share(p2p_node_tests::node::share_request(path)).await.expect("begun"));
    }
    for share in shares {
        share.end().await.expect("shared");
    }
    let mut gets = Vec::new();
    for name in &names {
        let request = p2p_node_tests::node::get_request("alice", name);
        gets.push(bob.start_get(request).await.expect("begun"));
    }
    for (get, path) in gets.into_iter().zip(&paths) {
        let got = get.end().await.expect("got");
        assert_eq!(fixtures::hash_of(got.path.as_path()), fixtures::hash_of(path));
    }
    assert!(bob.status().await.transfers.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_resources_do_not_share_a_target() {
    let cluster = Cluster::start().await;
    let link = cluster.link(5).await;
    let alice = cluster.user_behind("alice", &link).await;
    let bob = cluster.user("bob").await;
    for (seed, name) in [(1, "one.bin"), (2, "two.bin")] {
        alice.share(&fixtures::file(&cluster.path(name), seed, 2_000_000)).await.expect("shared");
    }
    link.set_rate(1 << 20);
    let target = || Some(cluster.path("target.bin").into());
    let to = |name| GetRequest { path: target(), ..get_request("alice", name) };
    let one = bob.start_get(to("one.bin")).await.expect("begun");
    wait_until(PATIENCE, "the first download is accepted", async || {
        let transfers = bob.status().await.transfers;
        if transfers.len() == 1 { Ok(()) } else { Err(transfers) }
    })
    .await;
    refused_with_hint(bob.get_with(to("two.bin")).await, p2p_node::control::LocalCode::Exists);
    link.set_rate(0);
    one.end().await.expect("got");
    assert_eq!(fixtures::read(&cluster.path("target.bin")), fixtures::bytes(1, 2_000_000));
}
