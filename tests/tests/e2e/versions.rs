//! Versions of one resource: listed, got by their number, published by two machines at once.

use std::path::Path;

use p2p_node::control::api::{
    GetRequest, PageRequest, ResourceVersion, ShareDone, ShareRequest, VersionsRequest,
};
use p2p_node::control::{ApiResult, Backend, LocalCode};
use p2p_node_tests::cluster::refused_with_hint;
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::node::{get_request, share_request, subscribe_request};
use p2p_node_tests::{Cluster, TestNode};
use wire::ErrorCode;

const NAME: &str = "report.pdf";

async fn share(node: &TestNode, path: &Path, keep: Option<u32>) -> ShareDone {
    let request = ShareRequest { keep, ..share_request(path) };
    node.start_share(request).await.expect("begun").end().await.expect("shared")
}

async fn versions(node: &TestNode, name: &str) -> ApiResult<Vec<ResourceVersion>> {
    let request = VersionsRequest {
        owner: "alice".parse().expect("a user name"),
        name: name.parse().expect("a name"),
        page: PageRequest::default(),
    };
    Ok(node.node().versions(request).await?.items)
}

fn version(number: u64, path: &Path) -> GetRequest {
    GetRequest {
        version: Some(number),
        path: Some(path.to_owned().into()),
        parents: true,
        ..get_request("alice", NAME)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_version_comes_from_who_keeps_it() {
    let cluster = Cluster::start().await;
    let (mut alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = cluster.path(NAME);
    let mut contents = Vec::new();
    for seed in 1..=3 {
        fixtures::file(&path, seed, MIB + seed as usize);
        share(&alice, &path, (seed == 1).then_some(2)).await;
        contents.push(fixtures::read(&path));
    }
    let got = bob.get("alice", NAME).await.expect("got");
    assert_eq!(got.version, 3);
    let listed = versions(&bob, NAME).await.expect("listed");
    let shown: Vec<_> = listed.iter().map(|one| (one.version, one.online, one.holders)).collect();
    assert_eq!(shown, [(3, 2, 2), (2, 1, 1), (1, 1, 1)]);
    assert!(listed.iter().all(|one| one.published.is_some() && one.node == alice.id()));
    assert_eq!(listed[2].size, contents[0].len() as u64);
    refused_with_hint(versions(&bob, "other").await, ErrorCode::NotFound);

    // Where a subscription has its place nothing old is put, whatever is said beside.
    let there = GetRequest { version: Some(1), force: true, ..get_request("alice", NAME) };
    refused_with_hint(bob.get_with(there).await, LocalCode::Exists);
    let elsewhere = cluster.path("old/report-1.pdf");
    let old = bob.get_with(version(1, &elsewhere)).await.expect("got");
    assert_eq!((old.version, old.path.as_path()), (1, &*elsewhere));
    assert!(fixtures::read(&elsewhere) == contents[0]);
    assert!(fixtures::read(got.path.as_path()) == contents[2], "the newest is as it was");
    let subscribed: Vec<_> =
        bob.subscriptions().await.into_iter().map(|one| (one.path, one.version)).collect();
    assert_eq!(subscribed, [(got.path, Some(3))]);
    refused_with_hint(bob.get_with(version(9, &cluster.path("old/9"))).await, ErrorCode::NotFound);

    // What Bob got he serves on, also to who asks under the old record.
    alice.stop().await;
    let carol = cluster.user("carol").await;
    let second = carol.get_with(version(1, &cluster.path("carol/report.pdf"))).await.expect("got from bob");
    assert!(fixtures::read(second.path.as_path()) == contents[0]);
    assert_eq!(second.sources.iter().map(|source| source.node).collect::<Vec<_>>(), [bob.id()]);
    refused_with_hint(carol.get_with(version(2, &cluster.path("carol/2"))).await, ErrorCode::NoHolder);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_owner_gets_an_old_version_from_the_copy() {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    let path = fixtures::file(&cluster.path(NAME), 1, MIB);
    share(&alice, &path, Some(1)).await;
    let first = fixtures::read(&path);
    fixtures::file(&path, 2, MIB);
    share(&alice, &path, None).await;
    let back = alice.get_with(version(1, &cluster.path("back.pdf"))).await.expect("got");
    assert_eq!((back.bytes_received, back.bytes_reused), (0, MIB as u64));
    assert!(fixtures::read(&cluster.path("back.pdf")) == first);
}

/// A newer one comes while it runs, and the node is started again.
#[tokio::test(flavor = "multi_thread")]
async fn a_download_of_one_version_stays_with_it() {
    let cluster = Cluster::start().await;
    let (alice, mut bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path(NAME), 1, 3 * MIB);
    share(&alice, &path, Some(1)).await;
    let first = fixtures::read(&path);
    let target = cluster.path("got/report.pdf");
    let slow = GetRequest { limit: Some("300KiB".parse().expect("a rate")), ..version(1, &target) };
    let mut get = bob.start_get(slow).await.expect("begun");
    get.until_bytes(MIB as u64 / 2).await;
    fixtures::file(&path, 2, 3 * MIB);
    share(&alice, &path, None).await;
    // The latest is another download, which cannot go to the same place.
    let latest = GetRequest { version: None, ..version(1, &target) };
    refused_with_hint(bob.get_with(latest).await, LocalCode::Exists);
    let keep = || subscribe_request("alice", NAME);
    let there = p2p_node::control::api::SubscribeRequest { path: Some(target.clone().into()), ..keep() };
    refused_with_hint(bob.subscribe(there).await, LocalCode::Exists);
    bob.restart().await;
    drop(get);
    let quick = GetRequest { limit: Some("none".parse().expect("a rate")), ..version(1, &target) };
    let got = bob.get_with(quick).await.expect("got");
    assert_eq!(got.version, 1);
    assert!(fixtures::read(&target) == first);
    assert!(bob.subscriptions().await.is_empty());
    let newest = bob.get("alice", NAME).await.expect("got");
    assert_eq!(newest.version, 2);
}
