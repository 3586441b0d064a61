//! Old versions that are kept: copied at `share` and where they are received, told, given up.

use std::path::PathBuf;

use p2p_node::control::api::{GcRequest, GetRequest, Outcome, ShareDone, ShareRequest, SubscribeRequest};
use p2p_node::control::{ApiResult, Backend, LocalCode};
use p2p_node::store::fs::{Fault, FsOp};
use p2p_node_tests::cluster::refused_with_hint;
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::node::{get_request, share_request, subscribe_request, unsubscribe_request};
use p2p_node_tests::{Cluster, PATIENCE, TestNode, wait_until};
use wire::{ContentHash, ErrorCode};

use super::subscriptions::wait_for_version;

const NAME: &str = "report.pdf";

struct Keeping {
    cluster: Cluster,
    alice: TestNode,
    path: PathBuf,
}

impl Keeping {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let alice = cluster.user("alice").await;
        let path = cluster.path("report.pdf");
        Self { cluster, alice, path }
    }

    /// Shares a version of the file.
    async fn share(&self, seed: u64, keep: Option<u32>) -> ShareDone {
        fixtures::file(&self.path, seed, MIB);
        self.share_again(keep).await.expect("shared")
    }

    async fn share_again(&self, keep: Option<u32>) -> ApiResult<ShareDone> {
        let request = ShareRequest { keep, ..share_request(&self.path) };
        self.alice.start_share(request).await?.end().await
    }

    fn copies(&self) -> Vec<String> {
        copies(&self.alice)
    }

    async fn gc(&self, dry_run: bool) -> (u64, u64) {
        let done = self.alice.node().gc(GcRequest { dry_run }).await.expect("done");
        assert_eq!(done.dry_run, dry_run);
        (done.versions, done.bytes)
    }
}

/// The names of all copies: the hashes of their contents.
fn copies(node: &TestNode) -> Vec<String> {
    fixtures::names_in(&node.home().join("versions"))
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_are_kept_until_there_are_newer_ones() {
    let mut test = Keeping::start().await;
    assert_eq!(test.share(1, None).await.kept, None);
    assert!(test.copies().is_empty());
    let mut contents = Vec::new();
    for seed in 2..=5 {
        // Said once, it holds for the next versions.
        let done = test.share(seed, (seed == 2).then_some(2)).await;
        contents.push(done.content.to_string());
        let kept = done.kept.expect("kept");
        let versions = contents.len().min(3) as u64;
        assert_eq!((kept.versions, kept.bytes), (versions, versions * MIB as u64));
        assert!(kept.copied == 0 || kept.copied == kept.bytes, "{kept:?}");
    }
    let mut newest = contents[1..].to_vec();
    newest.sort_unstable();
    assert_eq!(test.copies(), newest);
    assert_eq!(test.gc(false).await, (0, 0), "nothing is left over");
    test.alice.restart().await;
    assert_eq!(test.copies(), newest);

    let done = test.share_again(Some(1)).await.expect("unchanged");
    assert_eq!((done.outcome, done.kept.map(|kept| kept.versions)), (Outcome::Unchanged, Some(2)));
    assert_eq!(test.copies().len(), 2);
    let done = test.share_again(Some(0)).await.expect("unchanged");
    assert_eq!((done.kept, test.copies().len()), (None, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_is_kept_no_more() {
    let test = Keeping::start().await;
    test.share(6, Some(3)).await;
    test.share(7, None).await;
    assert_eq!(test.copies().len(), 2);
    test.alice.fs().inject(Fault {
        op: FsOp::Remove,
        path_contains: "versions".to_owned(),
        nth: 1,
        errno: 13,
    });
    test.alice.unshare("report.pdf").await.expect("taken back");
    assert_eq!(test.copies().len(), 2, "they could not be removed");
    assert_eq!(test.gc(true).await, (2, 2 * MIB as u64));
    assert_eq!(test.copies().len(), 2, "it was only looked at");
    assert_eq!(test.gc(false).await, (2, 2 * MIB as u64));
    assert_eq!((test.gc(false).await, test.copies().len()), ((0, 0), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_goes_well_also_where_nothing_can_be_kept() {
    let test = Keeping::start().await;
    test.alice.fs().inject(Fault {
        op: FsOp::SyncAll,
        path_contains: "versions".to_owned(),
        nth: 1,
        errno: 28,
    });
    let done = test.share(8, Some(1)).await;
    assert_eq!((done.outcome, done.kept, done.notes_count), (Outcome::Created, None, 1));
    assert!(done.notes[0].text.contains("No space left"), "{:?}", done.notes);
    assert!(test.copies().is_empty());

    let folder = test.cluster.path("folder");
    fixtures::file(&folder.join("a"), 9, 10);
    let request = ShareRequest { keep: Some(1), ..share_request(&folder) };
    let refused = match test.alice.start_share(request).await {
        Ok(running) => running.end().await.map(drop),
        Err(error) => Err(error),
    };
    refused_with_hint(refused, LocalCode::Usage);
}

/// How many old versions are to be kept by the subscription, and how many copies there are.
async fn kept_by(node: &TestNode) -> (Option<u64>, u64) {
    let one = node.subscriptions().await.remove(0);
    (one.keep, one.kept.map_or(0, |kept| kept.versions))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gets_versions_keeps_them_and_serves_them() {
    let test = Keeping::start().await;
    let (mut alice, mut bob) = (test.alice, test.cluster.user("bob").await);
    fixtures::file(&test.path, 1, MIB);
    alice.share(&test.path).await.expect("shared");
    let got = bob.get_with(GetRequest { keep: Some(1), ..get_request("alice", NAME) }).await.expect("got");
    let kept = got.kept.expect("a copy of the newest");
    assert_eq!((kept.versions, kept.bytes), (1, MIB as u64));
    let mut contents = vec![fixtures::read(&test.path)];
    for version in 2..=3 {
        fixtures::file(&test.path, version, MIB);
        alice.share(&test.path).await.expect("shared");
        wait_for_version(&bob, NAME, version).await;
        contents.push(fixtures::read(&test.path));
        // The copy follows the installation.
        wait_until(PATIENCE, "a copy of it is kept", async || {
            let hash = ContentHash::of(contents.last().expect("one")).to_string();
            if copies(&bob).contains(&hash) && copies(&bob).len() == 2 { Ok(()) } else { Err(copies(&bob)) }
        })
        .await;
    }
    assert_eq!(kept_by(&bob).await, (Some(1), 2));
    assert!(copies(&alice).is_empty(), "its owner keeps none");

    // An old one comes from who received it.
    alice.stop().await;
    bob.restart().await;
    let carol = test.cluster.user("carol").await;
    let old = |version: u64| GetRequest {
        version: Some(version),
        path: Some(test.cluster.path(&format!("old-{version}")).into()),
        ..get_request("alice", NAME)
    };
    carol.wait_for_holders("alice", NAME, 1).await;
    let second = carol.get_with(old(2)).await.expect("got from bob");
    assert_eq!(second.sources.iter().map(|source| source.node).collect::<Vec<_>>(), [bob.id()]);
    assert!(fixtures::read(second.path.as_path()) == contents[1]);
    refused_with_hint(carol.get_with(old(1)).await, ErrorCode::NoHolder);

    // What is followed no more is kept no more; the file stays.
    bob.unsubscribe(unsubscribe_request("alice", NAME)).await.expect("ended");
    assert!(copies(&bob).is_empty());
    assert!(fixtures::read(got.path.as_path()) == contents[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_says_it_the_configuration_does() {
    let test = Keeping::start().await;
    let (mut alice, mut bob) = (test.alice, test.cluster.user("bob").await);
    for node in [&mut alice, &mut bob] {
        node.configure_keep(2);
        node.restart().await;
    }
    let share = async |name: &str, keep: Option<u32>| {
        let path = fixtures::file(&test.cluster.path(name), 1, MIB);
        let request = ShareRequest { keep, ..share_request(&path) };
        alice.start_share(request).await.expect("begun").end().await.expect("shared").kept
    };
    assert_eq!(share("first", None).await.map(|kept| kept.versions), Some(1));
    assert_eq!(share("second", Some(0)).await, None, "who says otherwise is heard");
    let folder = test.cluster.path("folder");
    fixtures::file(&folder.join("a"), 2, 10);
    let done = alice.share(&folder).await.expect("shared");
    assert_eq!((done.kept, done.notes_count), (None, 0), "of folders nothing is kept");

    for (name, keep, versions) in [("first", None, 1), ("second", Some(0), 0)] {
        let got = bob.get_with(GetRequest { keep, ..get_request("alice", name) }).await.expect("got");
        assert_eq!(got.kept.map_or(0, |kept| kept.versions), versions, "{name}");
    }
    assert_eq!(bob.get("alice", "folder").await.expect("got").kept, None);
    let again = bob.subscribe(SubscribeRequest { keep: Some(3), ..subscribe_request("alice", "second") });
    let again = again.await.expect("subscribed").items.remove(0);
    assert_eq!(
        (again.keep, again.kept.map(|kept| kept.versions)),
        (Some(3), Some(1)),
        "also what lies there"
    );
    assert_eq!(copies(&bob).len(), 1, "equal contents have one copy");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_refused_before_anything_comes() {
    let test = Keeping::start().await;
    let bob = test.cluster.user("bob").await;
    test.share(1, None).await;
    let folder = test.cluster.path("folder");
    fixtures::file(&folder.join("a"), 9, 10);
    test.alice.share(&folder).await.expect("shared");
    let keep = |name: &str| GetRequest { keep: Some(1), ..get_request("alice", name) };
    let requests = [
        keep("folder"),
        GetRequest { once: true, ..keep(NAME) },
        GetRequest { version: Some(1), ..keep(NAME) },
        GetRequest { share: false, ..keep(NAME) },
        GetRequest { only: vec!["*".to_owned()], ..keep(NAME) },
    ];
    for request in requests {
        refused_with_hint(bob.get_with(request).await, LocalCode::Usage);
    }
    assert!(bob.subscriptions().await.is_empty() && copies(&bob).is_empty());
    // A download goes well also where its copy does not, which the next start makes good.
    let mut bob = bob;
    bob.fs().inject(Fault { op: FsOp::SyncAll, path_contains: "versions".to_owned(), nth: 1, errno: 28 });
    assert_eq!(bob.get_with(keep(NAME)).await.expect("got").kept, None);
    assert!(copies(&bob).is_empty());
    bob.restart().await;
    wait_until(PATIENCE, "what was missed is kept", async || match kept_by(&bob).await {
        (Some(1), 1) => Ok(()),
        other => Err(other),
    })
    .await;
}
