//! A network that falls apart, with the index on one side; both sides go on, and are one again.

use std::collections::BTreeSet;

use p2p_node::control::ApiResult;
use p2p_node::control::api::{IndexState, Resource, ShareState, Source};
use p2p_node_tests::{Cluster, PATIENCE, Side, TestNode, fixtures, wait_until};

/// With the index, and without it.
const WITH: Side = Side(1);
const WITHOUT: Side = Side(2);

/// What is listed: owner, name, version, content.
type Listed = BTreeSet<(String, String, u64, String)>;

fn listed(items: &[Resource]) -> Listed {
    let one = |item: &Resource| {
        (item.owner.to_string(), item.name.to_string(), item.version, item.content.to_string())
    };
    items.iter().map(one).collect()
}

fn names(items: &[Resource]) -> Vec<&str> {
    let mut names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    names.sort_unstable();
    names
}

/// The network: alice and bob with the index, carol, dave and alice's second machine without it.
struct Apart {
    cluster: Cluster,
    with: Vec<TestNode>,
    without: Vec<TestNode>,
}

impl Apart {
    async fn start() -> Self {
        let cluster = Cluster::start_with_fallback().await;
        let with = vec![cluster.user("alice").await, cluster.user("bob").await];
        let mut without = vec![cluster.user("carol").await, cluster.user("dave").await];
        without.push(cluster.machine_of("alice", "alice-2").await);
        Self { cluster, with, without }
    }

    fn all(&self) -> impl Iterator<Item = &TestNode> {
        self.with.iter().chain(&self.without)
    }

    async fn share(&self, node: &TestNode, name: &str, seed: u64) {
        let path = node.home().join("own").join(name);
        node.share(&fixtures::file(&path, seed, 20_000)).await.expect("shared");
    }

    fn fall_apart(&self) {
        self.cluster.index.plug().set_side(WITH);
        self.with.iter().for_each(|node| node.plug().set_side(WITH));
        self.without.iter().for_each(|node| node.plug().set_side(WITHOUT));
    }

    async fn come_together(&self) {
        self.cluster.index.plug().set_side(Side::ALL);
        self.all().for_each(|node| node.plug().set_side(Side::ALL));
        for node in self.all() {
            node.wait_for_index(IndexState::Connected).await;
        }
    }

    async fn wait_for_copies(&self, entries: u64) {
        for node in self.all() {
            wait_until(PATIENCE, "the copies are full", async || {
                let fallback = node.status().await.fallback.unwrap_or_default();
                let full = fallback.catalogues == 5 && fallback.entries == entries;
                if full { Ok(()) } else { Err(fallback) }
            })
            .await;
        }
    }
}

/// Waits until the answers of all of these nodes are as wanted; the last one's.
async fn wait_for_lists<'a>(
    nodes: impl Iterator<Item = &'a TestNode>,
    what: &str,
    wanted: impl Fn(&[Resource]) -> bool,
) -> Listed {
    let mut last = Listed::new();
    for node in nodes {
        let what = format!("{} lists {what}", node.home().display());
        let items = wait_until(PATIENCE, &what, async || match node.list().await {
            Ok(items) if wanted(&items) => Ok(items),
            other => Err(other),
        });
        last = listed(&items.await);
    }
    last
}

async fn wait_for_source(nodes: &[TestNode], wanted: impl Fn(Source) -> bool) {
    for node in nodes {
        wait_until(PATIENCE, "it answers from elsewhere", async || {
            let status = node.status().await;
            if wanted(status.source) { Ok(()) } else { Err(status.fallback) }
        })
        .await;
    }
}

/// How it stands with what a node shares under this name.
async fn state_of(node: &TestNode, name: &str) -> ApiResult<Option<ShareState>> {
    let shares = node.shares().await?;
    Ok(shares.into_iter().find(|share| share.name.as_str() == name).map(|share| share.state))
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_are_equal_once_it_is_over() {
    let mut apart = Apart::start().await;
    apart.share(&apart.with[0], "alices.txt", 1).await;
    apart.share(&apart.with[1], "bobs.txt", 2).await;
    apart.share(&apart.without[0], "carols.txt", 3).await;
    apart.share(&apart.without[1], "daves.txt", 4).await;
    apart.wait_for_copies(4).await;
    apart.fall_apart();

    // With the index: a new one, a new version, one taken back. Without: the same; and one name of alice's on both sides.
    apart.share(&apart.with[0], "alices.txt", 11).await;
    apart.share(&apart.with[0], "both.txt", 12).await;
    apart.with[1].unshare("bobs.txt").await.expect("taken back");
    apart.share(&apart.with[1], "bobs-new.txt", 13).await;
    wait_for_source(&apart.without, |source| source != Source::Index).await;
    apart.share(&apart.without[0], "carols.txt", 14).await;
    apart.without[1].unshare("daves.txt").await.expect("taken back");
    apart.share(&apart.without[1], "daves-new.txt", 15).await;
    apart.share(&apart.without[2], "both.txt", 16).await;
    let with = ["alices.txt", "bobs-new.txt", "both.txt", "carols.txt", "daves.txt"];
    let without = ["alices.txt", "bobs.txt", "both.txt", "carols.txt", "daves-new.txt"];
    wait_for_lists(apart.with.iter(), "what is new with the index", |items| names(items) == with).await;
    wait_for_lists(apart.without.iter(), "what is new without it", |items| names(items) == without).await;

    apart.come_together().await;
    let both = ["alices.txt", "bobs-new.txt", "both.txt", "carols.txt", "daves-new.txt"];
    let all_of = |items: &[Resource]| {
        let second = |name: &str| items.iter().any(|item| item.name.as_str() == name && item.version == 2);
        names(items) == both && second("alices.txt") && second("carols.txt")
    };
    wait_for_source(&apart.without, |source| source == Source::Index).await;
    let by_index = wait_for_lists(apart.all(), "what is new on both sides", all_of).await;
    // The second of alice's machines published later, and stands; the first is told.
    wait_until(PATIENCE, "one of alice's machines is told", async || {
        let states =
            [state_of(&apart.with[0], "both.txt").await, state_of(&apart.without[2], "both.txt").await];
        match &states {
            [Ok(Some(ShareState::Superseded)), Ok(Some(ShareState::Shared))]
            | [Ok(Some(ShareState::Shared)), Ok(Some(ShareState::Superseded))] => Ok(()),
            _ => Err(states),
        }
    })
    .await;
    apart.wait_for_copies(5).await;

    apart.cluster.index.kill().await;
    wait_for_source(&apart.with, |source| source != Source::Index).await;
    wait_for_source(&apart.without, |source| source != Source::Index).await;
    let same = |items: &[Resource]| listed(items) == by_index;
    wait_for_lists(apart.all(), "the same from its copy", same).await;
}
