//! Two machines of one owner that publish at once.

use std::path::{Path, PathBuf};

use p2p_node::control::api::{Share, ShareState, SubscriptionState as State};
use p2p_node_tests::cluster::refused_with_hint;
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::{Cluster, PATIENCE, TestNode, wait_until};
use wire::ErrorCode;

/// Two machines of Alice's share a file of which both have the first version; Bob and Carol are subscribed to it.
struct Rivals {
    desk: (TestNode, PathBuf),
    laptop: (TestNode, PathBuf),
    subscribers: [TestNode; 2],
    _cluster: Cluster,
}

impl Rivals {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let desk = (cluster.user("alice").await, cluster.path("desk/notes.txt"));
        let laptop = (cluster.machine_of("alice", "laptop").await, cluster.path("laptop/notes.txt"));
        let subscribers = [cluster.user("bob").await, cluster.user("carol").await];
        for (node, path) in [&desk, &laptop] {
            node.share(&fixtures::file(path, 1, MIB)).await.expect("both have the first version");
        }
        for node in &subscribers {
            node.get("alice", "notes.txt").await.expect("got");
        }
        for (seed, (_, path)) in (2..).zip([&desk, &laptop]) {
            fixtures::file(path, seed, MIB);
        }
        Self { desk, laptop, subscribers, _cluster: cluster }
    }

    /// The subscribers end at this file, and have no other.
    async fn end_at(&self, path: &Path) {
        let newest = fixtures::read(path);
        for node in &self.subscribers {
            let path = node.download_path("alice", "notes.txt");
            wait_until(PATIENCE, "a subscriber has the winner's file", async || {
                let one = node.subscriptions().await.remove(0);
                let current = one.state == State::Current && one.version == Some(2);
                if current && fixtures::read(&path) == newest { Ok(()) } else { Err(one) }
            })
            .await;
            let folder = path.parent().expect("a folder");
            assert_eq!(fixtures::names_in(folder), ["notes.txt"], "nobody edited anything");
        }
    }
}

async fn share_of(node: &TestNode) -> Share {
    node.shares().await.expect("local").remove(0)
}

/// Waits until a machine's user is told that another machine has won.
async fn is_told(node: &TestNode) {
    wait_until(PATIENCE, "the loser's user is told", async || {
        let share = share_of(node).await;
        if share.state == ShareState::Superseded { Ok(()) } else { Err(share) }
    })
    .await;
    let names = node.event_names().await;
    assert_eq!(names.iter().filter(|name| **name == "superseded").count(), 1, "{names:?}");
}

/// Of two next versions that of the file which was modified later stands; here it is published first.
#[tokio::test(flavor = "multi_thread")]
async fn what_loses_is_refused_and_stays_where_it_is() {
    let rivals = Rivals::start().await;
    let ((desk, on_desk), (laptop, on_laptop)) = (&rivals.desk, &rivals.laptop);
    fixtures::set_mtime(on_desk, 1_700_000_100);
    fixtures::set_mtime(on_laptop, 1_700_000_000);
    assert_eq!(desk.share(on_desk).await.expect("shared").version, 2);
    refused_with_hint(laptop.share(on_laptop).await, ErrorCode::Superseded);
    rivals.end_at(on_desk).await;
    assert_eq!(fixtures::read(on_laptop), fixtures::bytes(3, MIB));
    assert_eq!(share_of(desk).await.state, ShareState::Shared);
    is_told(laptop).await;
}

/// Here it is published last: what stood until then is told that at its next connection with the index.
#[tokio::test(flavor = "multi_thread")]
async fn what_stood_and_loses_is_told_at_the_next_connection() {
    let mut rivals = Rivals::start().await;
    publish_the_winner_last(&rivals).await;
    rivals.end_at(&rivals.laptop.1).await;
    rivals.desk.0.restart().await;
    is_told(&rivals.desk.0).await;
    assert_eq!(fixtures::read(&rivals.desk.1), fixtures::bytes(2, MIB));
    assert_eq!(share_of(&rivals.laptop.0).await.state, ShareState::Shared);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stood_and_loses_is_told_at_once() {
    let rivals = Rivals::start().await;
    publish_the_winner_last(&rivals).await;
    rivals.end_at(&rivals.laptop.1).await;
    is_told(&rivals.desk.0).await;
}

async fn publish_the_winner_last(rivals: &Rivals) {
    let ((desk, on_desk), (laptop, on_laptop)) = (&rivals.desk, &rivals.laptop);
    fixtures::set_mtime(on_desk, 1_700_000_000);
    fixtures::set_mtime(on_laptop, 1_700_000_100);
    for (node, path) in [(desk, on_desk), (laptop, on_laptop)] {
        assert_eq!(node.share(path).await.expect("shared").version, 2);
    }
}
