//! Shares that publish their next version by themselves.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use p2p_node::control::api::{IndexState, Outcome, Resource, ShareDone, ShareRequest, ShareState};
use p2p_node::options::WatchTiming;
use p2p_node::store::fs::FsOp;
use p2p_node_tests::node::share_request;
use p2p_node_tests::{Cluster, PATIENCE, TestNode, fixtures, wait_until};

/// As is usual, but sooner.
const FAST: WatchTiming = WatchTiming {
    quiet: Duration::from_millis(150),
    longest: Duration::from_secs(1),
    rescan: Duration::from_secs(3600),
    unwatched: Duration::from_millis(200),
    first_retry: Duration::from_millis(100),
    longest_retry: Duration::from_secs(1),
};
/// Long ago.
const OLD: u64 = 1_600_000_000;

async fn user(cluster: &Cluster, user: &str, timing: WatchTiming) -> TestNode {
    let mut node = cluster.user(user).await;
    node.configure_watch(timing);
    node.restart().await;
    node.wait_for_index(IndexState::Connected).await;
    node
}

async fn share_with(node: &TestNode, path: &Path, watch: Option<bool>) -> ShareDone {
    let request = ShareRequest { watch, ..share_request(path) };
    node.start_share(request).await.expect("begun").end().await.expect("shared")
}

async fn watch(node: &TestNode, path: &Path) -> ShareDone {
    share_with(node, path, Some(true)).await
}

/// Waits until the index lists the resource so.
async fn listed(node: &TestNode, name: &str, version: u64) -> Resource {
    wait_until(PATIENCE, &format!("version {version} of {name} is listed"), async || {
        let items = node.list().await.map_err(|error| error.to_string())?;
        let item = items.into_iter().find(|item| item.name.as_str() == name).ok_or("not listed")?;
        if item.version >= version { Ok(item) } else { Err(format!("version {}", item.version)) }
    })
    .await
}

async fn state(node: &TestNode, name: &str) -> ShareState {
    let shares = node.shares().await.expect("local");
    shares.into_iter().find(|share| share.name.as_str() == name).expect("shared").state
}

async fn stands(node: &TestNode, name: &str, wanted: ShareState) {
    wait_until(PATIENCE, &format!("{name} is {wanted:?}"), async || {
        let state = state(node, name).await;
        if state == wanted { Ok(()) } else { Err(state) }
    })
    .await;
}

/// Waits until so many shares are watched.
async fn watches(node: &TestNode, count: u64) {
    wait_until(PATIENCE, &format!("{count} are watched"), async || {
        let watch = node.status().await.watch;
        if watch.as_ref().is_some_and(|watch| watch.count == count) { Ok(()) } else { Err(watch) }
    })
    .await;
}

/// As editors do it: beside the file, then in its place.
fn replace(path: &Path, content: &[u8], mtime: Option<u64>) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, content).expect("written");
    if let Some(mtime) = mtime {
        fixtures::set_mtime(&beside, mtime);
    }
    std::fs::rename(&beside, path).expect("renamed");
}

/// The names of the files that were read since they are recorded.
fn read_files(node: &TestNode) -> BTreeSet<String> {
    let calls = node.fs().recorded().into_iter().filter(|(op, _)| *op == Some(FsOp::ReadAt));
    calls.map(|(_, path)| path.file_name().expect("a name").to_string_lossy().into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_published_by_itself() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (user(&cluster, "alice", FAST).await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("report.txt"), 1, 100_000);
    watch(&alice, &path).await;
    assert!(alice.shares().await.expect("local")[0].watched);
    watches(&alice, 1).await;
    fixtures::file(&path, 2, 90_000);
    let second = listed(&bob, "report.txt", 2).await;
    assert_eq!((second.version, second.size, second.content), (2, 90_000, fixtures::hash_of(&path)));
    replace(&path, b"as an editor saves it", None);
    let third = listed(&bob, "report.txt", 3).await;
    assert_eq!((third.version, third.content), (3, fixtures::hash_of(&path)));
    std::fs::remove_file(&path).expect("removed");
    stands(&alice, "report.txt", ShareState::Missing).await;
    assert_eq!(listed(&bob, "report.txt", 3).await.version, 3, "it is not taken back");
    fixtures::file(&path, 4, 80_000);
    assert_eq!(listed(&bob, "report.txt", 4).await.content, fixtures::hash_of(&path));
    let got = bob.get("alice", "report.txt").await.expect("got");
    assert_eq!((got.version, got.content), (4, fixtures::hash_of(&path)));
    assert_eq!(share_with(&alice, &path, None).await.outcome, Outcome::Unchanged);
    assert!(alice.shares().await.expect("local")[0].watched, "as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_in_pieces_is_published_when_it_is_whole() {
    let cluster = Cluster::start().await;
    let timing = WatchTiming { quiet: Duration::from_secs(2), longest: Duration::from_secs(3), ..FAST };
    let (alice, bob) = (user(&cluster, "alice", timing).await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("growing"), 1, 1000);
    fixtures::set_mtime(&path, OLD);
    watch(&alice, &path).await;
    // Longer than it waits for a file that keeps changing.
    let mut file = std::fs::File::options().append(true).open(&path).expect("opened");
    let mut pace = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..20 {
        pace.tick().await;
        file.write_all(&[7; 1000]).expect("written");
    }
    let item = listed(&bob, "growing", 2).await;
    assert_eq!((item.version, item.size, item.content), (2, 21_000, fixtures::hash_of(&path)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_finds_what_changed_meanwhile_and_reads_nothing_else() {
    let cluster = Cluster::start().await;
    let (mut alice, bob) = (user(&cluster, "alice", FAST).await, cluster.user("bob").await);
    let paths = ["a", "b", "c"].map(|name| fixtures::file(&cluster.path(name), 1, 10_000));
    let docs = cluster.path("docs");
    for number in 0..50 {
        let path = fixtures::file(&docs.join(format!("{number}.txt")), number, 100);
        fixtures::set_mtime(&path, OLD);
    }
    for path in &paths {
        fixtures::set_mtime(path, OLD);
        watch(&alice, path).await;
    }
    watch(&alice, &docs).await;
    alice.stop().await;
    fixtures::file(&paths[1], 2, 10_000);
    fixtures::file(&docs.join("7.txt"), 99, 100);
    alice.fs().record();
    alice.start_again().await;
    assert_eq!(listed(&bob, "b", 2).await.content, fixtures::hash_of(&paths[1]));
    listed(&bob, "docs", 2).await;
    assert_eq!(read_files(&alice), ["b".to_owned(), "7.txt".to_owned()].into());
    let versions =
        bob.list().await.expect("listed").into_iter().map(|item| (item.name.to_string(), item.version));
    let expected =
        [("a", 1), ("b", 2), ("c", 1), ("docs", 2)].map(|(name, version)| (name.to_owned(), version));
    assert_eq!(versions.collect::<BTreeSet<_>>(), expected.into());
    fixtures::file(&paths[2], 3, 10_000);
    assert_eq!(listed(&bob, "c", 2).await.content, fixtures::hash_of(&paths[2]), "it is still watched");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_folder_only_what_changed_is_read() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (user(&cluster, "alice", FAST).await, cluster.user("bob").await);
    let docs = cluster.path("docs");
    for number in 0..600 {
        let path = fixtures::file(&docs.join(format!("{:02}/{number}.txt", number % 20)), number, 50);
        fixtures::set_mtime(&path, OLD);
    }
    watch(&alice, &docs).await;
    alice.fs().record();
    fixtures::file(&docs.join("07/7.txt"), 1000, 60);
    fixtures::file(&docs.join("new/deep/er.txt"), 1001, 70);
    std::fs::remove_file(docs.join("08/8.txt")).expect("removed");
    let expected = ["7.txt".to_owned(), "er.txt".to_owned()].into();
    wait_until(PATIENCE, "all changes are listed", async || {
        let item = listed(&bob, "docs", 2).await;
        if item.size == 600 * 50 + 10 + 70 - 50 { Ok(()) } else { Err(item) }
    })
    .await;
    assert_eq!(read_files(&alice), expected);
    let got = bob.get("alice", "docs").await.expect("got");
    assert_eq!(fixtures::read(&got.path.as_path().join("07/7.txt")), fixtures::bytes(1000, 60));
    assert_eq!(fixtures::read(&got.path.as_path().join("new/deep/er.txt")), fixtures::bytes(1001, 70));
    // In a folder that was made meanwhile.
    fixtures::file(&docs.join("new/deep/er.txt"), 1002, 71);
    let version = listed(&bob, "docs", 1).await.version;
    assert_eq!(listed(&bob, "docs", version + 1).await.size, 600 * 50 + 10 + 71 - 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_watched_any_more_waits() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (user(&cluster, "alice", FAST).await, cluster.user("bob").await);
    let paths = ["waits", "goes", "witness"].map(|name| fixtures::file(&cluster.path(name), 1, 1000));
    for path in &paths {
        watch(&alice, path).await;
    }
    let done = share_with(&alice, &paths[0], Some(false)).await;
    assert_eq!((done.version, done.outcome), (1, Outcome::Unchanged));
    alice.unshare("goes").await.expect("taken back");
    fixtures::file(&paths[0], 2, 900);
    fixtures::file(&paths[1], 2, 900);
    fixtures::file(&paths[2], 2, 900);
    listed(&bob, "witness", 2).await;
    fixtures::file(&paths[2], 3, 900);
    listed(&bob, "witness", 3).await;
    assert_eq!(state(&alice, "waits").await, ShareState::Changed);
    let items = bob.list().await.expect("listed");
    assert!(items.iter().all(|item| item.name.as_str() != "goes"));
    assert_eq!(listed(&bob, "waits", 1).await.version, 1);
    assert_eq!(share_with(&alice, &paths[0], None).await.version, 2);
    watches(&alice, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_machines_newer_version_ends_it_until_its_user_decides() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (user(&cluster, "alice", FAST).await, cluster.user("bob").await);
    let second = cluster.machine_of("alice", "alice-2").await;
    let path = fixtures::file(&cluster.path("one/report"), 1, 1000);
    let witness = fixtures::file(&cluster.path("witness"), 1, 1000);
    watch(&alice, &path).await;
    watch(&alice, &witness).await;
    for seed in [2, 3] {
        let other = fixtures::file(&cluster.path("two/report"), seed, 1000);
        let request = ShareRequest { update: true, ..share_request(&other) };
        second.start_share(request).await.expect("begun").end().await.expect("shared");
    }
    let theirs = listed(&bob, "report", 2).await;
    replace(&path, b"older than that", Some(OLD));
    stands(&alice, "report", ShareState::Superseded).await;
    replace(&path, b"older than that as well", Some(OLD + 1));
    fixtures::file(&witness, 2, 900);
    listed(&bob, "witness", 2).await;
    let still = listed(&bob, "report", 2).await;
    assert_eq!((still.version, still.content), (theirs.version, theirs.content));
    let request = ShareRequest { onto: Some(2), ..share_request(&path) };
    let mine = alice.start_share(request).await.expect("begun").end().await.expect("shared");
    assert_eq!(mine.version, 3);
    replace(&path, b"watched again", None);
    assert_eq!(listed(&bob, "report", 4).await.content, fixtures::hash_of(&path));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_the_index_is_away_is_published_when_it_is_back() {
    let mut cluster = Cluster::start().await;
    let (alice, bob) = (user(&cluster, "alice", FAST).await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("report"), 1, 1000);
    watch(&alice, &path).await;
    cluster.stop_index().await;
    alice.wait_for_index(IndexState::Connecting).await;
    fixtures::file(&path, 2, 900);
    cluster.index.start_again().await;
    bob.wait_for_index(IndexState::Connected).await;
    assert_eq!(listed(&bob, "report", 2).await.content, fixtures::hash_of(&path));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_was_away_and_another_one_in_its_place() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (user(&cluster, "alice", FAST).await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("disk/report"), 1, 1000);
    let docs = fixtures::file(&cluster.path("disk/docs/a"), 1, 1000).parent().expect("a folder").to_owned();
    watch(&alice, &path).await;
    watch(&alice, &docs).await;
    std::fs::rename(cluster.path("disk"), cluster.path("away")).expect("renamed");
    stands(&alice, "report", ShareState::Missing).await;
    wait_until(PATIENCE, "it is told that they are not watched", async || {
        let watch = alice.status().await.watch.unwrap_or_default();
        if watch.unwatched == 2 && watch.problem.is_some() { Ok(()) } else { Err(watch) }
    })
    .await;
    fixtures::file(&cluster.path("away/report"), 2, 900);
    fixtures::file(&cluster.path("away/docs/a"), 2, 900);
    std::fs::rename(cluster.path("away"), cluster.path("disk")).expect("renamed");
    assert_eq!(listed(&bob, "report", 2).await.content, fixtures::hash_of(&path));
    listed(&bob, "docs", 2).await;
    wait_until(PATIENCE, "both are watched", async || {
        let watch = alice.status().await.watch.unwrap_or_default();
        if watch.unwatched == 0 && watch.problem.is_none() { Ok(()) } else { Err(watch) }
    })
    .await;
    fixtures::file(&path, 3, 800);
    assert_eq!(listed(&bob, "report", 3).await.content, fixtures::hash_of(&path));
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_as_it_is_configured() {
    let cluster = Cluster::start().await;
    let mut alice = cluster.user("alice").await;
    let before = fixtures::file(&cluster.path("before"), 1, 10);
    share_with(&alice, &before, None).await;
    alice.configure_watch_by_default(true);
    alice.restart().await;
    alice.wait_for_index(IndexState::Connected).await;
    let (new, not) =
        (fixtures::file(&cluster.path("new"), 2, 10), fixtures::file(&cluster.path("not"), 3, 10));
    share_with(&alice, &before, None).await;
    share_with(&alice, &new, None).await;
    share_with(&alice, &not, Some(false)).await;
    let shares = alice.shares().await.expect("local").into_iter();
    let watched: Vec<_> = shares.map(|share| (share.name.to_string(), share.watched)).collect();
    let expected = [("before", false), ("new", true), ("not", false)];
    assert_eq!(watched, expected.map(|(name, watched)| (name.to_owned(), watched)));
}
