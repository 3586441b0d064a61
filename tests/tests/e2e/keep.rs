//! Old versions that are kept: copied at `share`, told, given up.

use std::path::PathBuf;

use p2p_node::control::api::{GcRequest, Outcome, ShareDone, ShareRequest};
use p2p_node::control::{ApiResult, Backend, LocalCode};
use p2p_node::store::fs::{Fault, FsOp};
use p2p_node_tests::cluster::refused_with_hint;
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::node::share_request;
use p2p_node_tests::{Cluster, TestNode};

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

    /// The names of all copies: the hashes of their contents.
    fn copies(&self) -> Vec<String> {
        fixtures::names_in(&self.alice.home().join("versions"))
    }

    async fn gc(&self, dry_run: bool) -> (u64, u64) {
        let done = self.alice.node().gc(GcRequest { dry_run }).await.expect("done");
        assert_eq!(done.dry_run, dry_run);
        (done.versions, done.bytes)
    }
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
