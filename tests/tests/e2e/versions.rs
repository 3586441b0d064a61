//! Versions of one resource: listed, got by their number, published by two machines at once.

use std::path::{Path, PathBuf};

use p2p_node::activity::Activity;
use p2p_node::control::api::{
    GetRequest, Outcome, PageRequest, ResourceVersion, ShareDone, ShareRequest, ShareState, VersionsRequest,
};
use p2p_node::control::{ApiResult, Backend, LocalCode};
use p2p_node_tests::cluster::refused_with_hint;
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::node::{get_request, share_request, subscribe_request};
use p2p_node_tests::{Cluster, PATIENCE, TestNode, wait_until};
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

async fn onto(node: &TestNode, path: &Path, version: u64) -> ApiResult<ShareDone> {
    let request = ShareRequest { onto: Some(version), ..share_request(path) };
    node.start_share(request).await?.end().await
}

async fn wait_until_superseded(node: &TestNode) {
    wait_until(PATIENCE, "it is told that it lost", async || {
        let shares = node.shares().await.map_err(|error| error.to_string())?;
        if shares[0].state == ShareState::Superseded { Ok(()) } else { Err(format!("{shares:?}")) }
    })
    .await;
}

async fn wait_for_file(path: &Path, content: &[u8]) {
    wait_until(PATIENCE, "the subscriber has the file that stands", async || {
        let found = std::fs::read(path).map_err(|error| error.to_string())?;
        if found == content { Ok(()) } else { Err(format!("{} other bytes", found.len())) }
    })
    .await;
}

/// Two machines of Alice that share the same file, and Bob, who keeps it up to date.
struct Two {
    cluster: Cluster,
    machines: [TestNode; 2],
    paths: [PathBuf; 2],
    bob: TestNode,
    got: PathBuf,
}

impl Two {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let machines = [cluster.user("alice").await, cluster.machine_of("alice", "alice-2").await];
        let paths = [cluster.path("1/report.pdf"), cluster.path("2/report.pdf")];
        for (machine, path) in machines.iter().zip(&paths) {
            fixtures::file(path, 1, 1000);
            machine.share(path).await.expect("shared");
        }
        let bob = cluster.user("bob").await;
        let got = bob.get("alice", NAME).await.expect("got").path.into_path();
        Self { cluster, machines, paths, bob, got }
    }

    /// Both files change; the one of `newer` was modified last.
    fn edit(&self, newer: usize) -> [Vec<u8>; 2] {
        let edit = |machine: usize| {
            fixtures::file(&self.paths[machine], 10 + machine as u64, 2000 + machine);
            fixtures::set_mtime(&self.paths[machine], 1_000_000_000 + u64::from(machine == newer));
            fixtures::read(&self.paths[machine])
        };
        [edit(0), edit(1)]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_machines_at_once_lose_nothing_and_the_loser_is_told() {
    for winner in [0, 1] {
        let mut two = Two::start().await;
        let loser = 1 - winner;
        let files = two.edit(winner);
        let [first, second] = &two.machines;
        let done = tokio::join!(first.share(&two.paths[0]), second.share(&two.paths[1]));
        let mut done = [done.0, done.1];
        assert_eq!(done[winner].as_ref().expect("it stands").version, 2);
        match &mut done[loser] {
            // It came later.
            Err(error) => assert_eq!(error.code, ErrorCode::Superseded.into(), "{error:?}"),
            // It came first, and hears of it at its next word with the index.
            Ok(_) => two.machines[loser].restart().await,
        }
        wait_until_superseded(&two.machines[loser]).await;
        let told = |activity: &Activity| matches!(activity, Activity::Superseded { by: Some(2), .. });
        assert!(two.machines[loser].events().await.iter().any(|event| told(&event.activity)));
        assert_eq!(two.machines[loser].status().await.shares.problems.len(), 1);
        wait_for_file(&two.got, &files[winner]).await;
        for (path, file) in two.paths.iter().zip(&files) {
            assert!(&fixtures::read(path) == file, "it lies where it lay");
        }

        // On top of it only who knows what stands.
        let (node, path) = (&two.machines[loser], &two.paths[loser]);
        let refused = refused_with_hint(node.share(path).await, ErrorCode::Superseded);
        let hint = refused.hint.expect("a hint");
        assert!(hint.contains("--onto 2") && hint.contains("p2p-node get alice/report.pdf"), "{hint}");
        let refused = refused_with_hint(onto(node, path, 1).await, ErrorCode::Superseded);
        let by = two.machines[winner].id().short().to_string();
        assert!(refused.message.contains("version 2 ") && refused.message.contains(&by), "{refused:?}");
        let done = onto(node, path, 2).await.expect("published");
        assert_eq!((done.version, done.outcome), (3, Outcome::Updated));
        wait_for_file(&two.got, &files[loser]).await;
        refused_with_hint(onto(&two.machines[winner], &two.paths[winner], 2).await, ErrorCode::Superseded);
        assert_eq!(two.bob.subscriptions().await[0].version, Some(3));
    }
}

/// It published first, lost, and is not told yet.
#[tokio::test(flavor = "multi_thread")]
async fn what_lost_unknown_to_its_machine_is_not_built_on_either() {
    let two = Two::start().await;
    let files = two.edit(1);
    for (machine, path) in two.machines.iter().zip(&two.paths) {
        assert_eq!(machine.share(path).await.expect("shared").version, 2);
    }
    fixtures::file(&two.paths[0], 20, 3000);
    refused_with_hint(two.machines[0].share(&two.paths[0]).await, ErrorCode::Superseded);
    wait_until_superseded(&two.machines[0]).await;
    wait_for_file(&two.got, &files[1]).await;
    // What has the very content of the winner is its next holder.
    fixtures::write(&two.paths[0], &files[1]);
    let done = two.machines[0].share(&two.paths[0]).await.expect("taken over");
    assert_eq!((done.version, done.outcome), (2, Outcome::Unchanged));
    fixtures::file(&two.paths[0], 21, 3000);
    assert_eq!(two.machines[0].share(&two.paths[0]).await.expect("on top of it").version, 3);
    let other = fixtures::file(&two.cluster.path("other"), 22, 10);
    refused_with_hint(onto(&two.machines[0], &other, 1).await, ErrorCode::NotFound);
}
