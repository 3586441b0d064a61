//! What is on a machine already is copied there: of a new version, only what changed moves.

use std::path::{Path, PathBuf};

use p2p_node::control::api::{GetDone, GetRequest, Stage};
use p2p_node::store::fs::{Fault, FsOp};
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::node::{self, job_request};
use p2p_node_tests::{Cluster, PATIENCE, Programs, TestNode, process, wait_until};

/// A download without what follows it, so that nothing moves but what a test asks for.
fn get_request(owner: &str, name: &str) -> GetRequest {
    GetRequest { once: true, ..node::get_request(owner, name) }
}

const SIZE: usize = 8 * MIB;
/// A change of a few bytes costs a chunk or two, of at most 16 KiB each, and a few pages of the manifest.
const SMALL: u64 = 200_000;

/// Alice has shared a file, and Bob has it.
struct Had {
    cluster: Cluster,
    alice: TestNode,
    bob: TestNode,
    content: Vec<u8>,
}

impl Had {
    async fn start(seed: u64) -> Self {
        let cluster = Cluster::start().await;
        let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
        let had = Self { cluster, alice, bob, content: fixtures::bytes(seed, SIZE) };
        had.share(&had.content).await;
        had.bob.get_with(get_request("alice", "film.mkv")).await.expect("got");
        had
    }

    /// Alice shares this as the next version.
    async fn share(&self, content: &[u8]) {
        let path = fixtures::write(&self.cluster.path("film.mkv"), content);
        self.alice.share(&path).await.expect("shared");
    }

    /// Alice shares the next version, in which some bytes in the middle are others.
    async fn change(&self) -> Vec<u8> {
        let mut content = self.content.clone();
        content[SIZE / 2..SIZE / 2 + 100].fill(7);
        self.share(&content).await;
        content
    }

    /// Bob gets it again, in the place of the one that he has.
    async fn get_again(&self) -> GetDone {
        self.bob.get_with(forced()).await.expect("got again")
    }

    fn target(&self) -> PathBuf {
        self.bob.download_path("alice", "film.mkv")
    }
}

fn forced() -> GetRequest {
    GetRequest { force: true, ..get_request("alice", "film.mkv") }
}

fn to(path: &Path) -> GetRequest {
    GetRequest { path: Some(path.to_owned().into()), parents: true, ..get_request("alice", "film.mkv") }
}

/// It is right, and no more of it moved than this.
fn moved_at_most(got: &GetDone, content: &[u8], most: u64) {
    assert!(fixtures::read(got.path.as_path()) == content, "wrong bytes in {}", got.path.as_path().display());
    assert!(got.bytes_received <= most, "{got:?}");
    assert_eq!(got.bytes_received + got.bytes_reused, got.size, "{got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_new_version_only_what_changed_moves() {
    let had = Had::start(1).await;
    let changed = had.change().await;
    let got = had.get_again().await;
    assert!(got.bytes_received >= 100, "{got:?}");
    moved_at_most(&got, &changed, SMALL);

    let longer = [&fixtures::bytes(2, MIB)[..], &changed[..], &fixtures::bytes(3, 1000)].concat();
    had.share(&longer).await;
    moved_at_most(&had.get_again().await, &longer, MIB as u64 + SMALL);

    had.share(&changed[MIB..]).await;
    moved_at_most(&had.get_again().await, &changed[MIB..], SMALL);
}

#[tokio::test(flavor = "multi_thread")]
async fn to_a_second_place_nothing_moves_and_nobody_is_needed() {
    let mut had = Had::start(4).await;
    had.alice.stop().await;
    had.bob.wait_for_holders("alice", "film.mkv", 1).await;
    let second = had.cluster.path("second/film.mkv");
    moved_at_most(&had.bob.get_with(to(&second)).await.expect("got"), &had.content, 0);
    // A version that is nowhere else any more: no holder is online but this node, which does not ask itself.
    std::fs::remove_file(had.target()).expect("removed");
    let third = had.cluster.path("third/film.mkv");
    moved_at_most(&had.bob.get_with(to(&third)).await.expect("got"), &had.content, 0);
    assert_eq!(fixtures::names_in(third.parent().expect("a folder")), ["film.mkv"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_renamed_in_a_folder_does_not_move() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let root = cluster.path("docs");
    fixtures::file(&root.join("a/large.bin"), 1, 3 * MIB);
    for number in 0..300 {
        fixtures::file(&root.join(format!("b/{number}")), 100 + number, 1000);
    }
    alice.share(&root).await.expect("shared");
    bob.get_with(get_request("alice", "docs")).await.expect("got");
    std::fs::create_dir(root.join("z")).expect("made");
    std::fs::rename(root.join("a/large.bin"), root.join("z/huge.bin")).expect("renamed");
    std::fs::rename(root.join("b"), root.join("0")).expect("renamed");
    let shared = alice.share(&root).await.expect("shared");
    let path = Some(cluster.path("again").into());
    let again = GetRequest { path, parents: true, ..get_request("alice", "docs") };
    let got = bob.get_with(again.clone()).await.expect("got");
    assert_eq!((got.bytes_received, got.bytes_reused), (0, shared.size));
    let read = |path: &str| fixtures::hash_of(&got.path.as_path().join(path));
    assert_eq!(read("z/huge.bin"), fixtures::hash_of(&root.join("z/huge.bin")));
    assert!((0..300).all(|n| read(&format!("0/{n}")) == fixtures::hash_of(&root.join(format!("0/{n}")))));

    // A file of it that was changed is not taken, the others are.
    std::fs::write(got.path.as_path().join("0/17"), b"mine").expect("written");
    fixtures::file(&root.join("new"), 2, 1000);
    alice.share(&root).await.expect("shared");
    std::fs::remove_dir_all(bob.download_path("alice", "docs")).expect("removed");
    let third = GetRequest { path: Some(cluster.path("third").into()), ..again };
    let got = bob.get_with(third).await.expect("got");
    assert_eq!(got.bytes_received, 2000, "{got:?}");
    assert_eq!(fixtures::hash_of(&got.path.as_path().join("0/17")), fixtures::hash_of(&root.join("0/17")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_unchanged_is_not_believed() {
    let had = Had::start(5).await;
    fixtures::corrupt_unseen(&had.target());
    let second = had.cluster.path("second/film.mkv");
    let got = had.bob.get_with(to(&second)).await.expect("got");
    assert!(got.bytes_received >= 4096, "{got:?}");
    moved_at_most(&got, &had.content, SMALL);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_fetched() {
    let had = Had::start(6).await;
    let second = had.cluster.path("second/film.mkv");
    let (op, path_contains) = (FsOp::ReadAt, had.target().display().to_string());
    for nth in 1..=20 {
        had.bob.fs().inject(Fault { op, path_contains: path_contains.clone(), nth, errno: 5 });
    }
    let got = had.bob.get_with(to(&second)).await.expect("got");
    moved_at_most(&got, &had.content, SIZE as u64);
    assert!(got.bytes_received > 0, "{got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_at_the_target_is_looked_into_whoever_put_it_there() {
    let had = Had::start(7).await;
    let changed = had.change().await;
    let edited = [b"edited", &had.content[..]].concat();
    fixtures::write(&had.target(), &edited);
    moved_at_most(&had.get_again().await, &changed, SMALL);
    // What was not shared on is no holding.
    let mine = fixtures::write(&had.cluster.path("mine/film.mkv"), &edited);
    let carol = had.cluster.user("carol").await;
    let got = carol.get_with(GetRequest { force: true, share: false, ..to(&mine) }).await.expect("got");
    moved_at_most(&got, &changed, SMALL);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_newer_version_in_the_middle_what_came_is_kept() {
    let cluster = Cluster::start().await;
    let link = cluster.link(10).await;
    let (alice, bob) = (cluster.user_behind("alice", &link).await, cluster.user("bob").await);
    // More than its holder has read by the middle, and than comes while it is shared anew.
    let size = 4 * SIZE;
    let mut content = fixtures::bytes(10, size);
    let path = fixtures::write(&cluster.path("film.mkv"), &content);
    alice.share(&path).await.expect("shared");
    link.set_rate(2 << 20);
    let mut get = bob.start_get(get_request("alice", "film.mkv")).await.expect("begun");
    let half = SIZE as u64 / 2;
    get.until_bytes(half).await;
    content[1000..2000].fill(7);
    let end = content.len() - 1000;
    content[end..].fill(7);
    fixtures::write(&path, &content);
    alice.share(&path).await.expect("shared anew");
    link.set_rate(0);
    let got = get.end().await.expect("got");
    assert_eq!(got.version, 2, "{got:?}");
    assert!(fixtures::read(got.path.as_path()) == content);
    assert!(got.bytes_reused >= half - SMALL, "{got:?}");
    // What was under way as it changed comes twice at most.
    assert!(got.bytes_received <= size as u64 + (3 << 20), "{got:?}");
    let folder = got.path.as_path().parent().expect("a folder");
    assert_eq!(fixtures::names_in(folder), ["film.mkv"], "nothing is left of the first one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_in_the_middle_of_the_copying_loses_nothing() {
    let mut had = Had::start(8).await;
    let old = had.target().display().to_string();
    let hang = had.bob.fs().hang_after(3, FsOp::ReadAt, &old);
    let second = had.cluster.path("second/film.mkv");
    had.alice.stop().await;
    had.bob.wait_for_holders("alice", "film.mkv", 1).await;
    let mut get = had.bob.start_get(to(&second)).await.expect("begun");
    let middle = get.until(|progress| progress.bytes_reused > 2 * MIB as u64).await;
    assert_eq!((middle.stage, middle.bytes_done), (Stage::Reusing, middle.bytes_reused));
    had.bob.pause("alice", "film.mkv").await.expect("paused");
    let reads = had.bob.fs().clone();
    drop((hang, get));
    // From where it was: the first three pieces are not read again.
    reads.record();
    had.bob.resume(job_request("alice", "film.mkv")).await.expect("resumed");
    let got = had.bob.get_with(to(&second)).await.expect("got");
    moved_at_most(&got, &had.content, 0);
    let of_old = |(op, path): &(Option<FsOp>, PathBuf)| *op == Some(FsOp::ReadAt) && path == Path::new(&old);
    let read = reads.recorded().iter().filter(|call| of_old(call)).count();
    assert!((1..=7).contains(&read), "{read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_of_the_copying_loses_nothing() {
    let mut had = Had::start(9).await;
    let changed = had.change().await;
    let hang = had.bob.fs().hang_after(3, FsOp::ReadAt, &had.target().display().to_string());
    let second = had.cluster.path("second/film.mkv");
    let mut get = had.bob.start_get(to(&second)).await.expect("begun");
    get.until(|progress| progress.bytes_reused > 2 * MIB as u64).await;
    had.bob.stop().await;
    drop((hang, get));
    had.bob.start_again().await;
    let whole = async || match std::fs::read(&second) {
        Ok(found) if found == changed => Ok(()),
        Ok(found) => Err(format!("{} bytes", found.len())),
        Err(error) => Err(error.to_string()),
    };
    wait_until(PATIENCE, "it goes on by itself", whole).await;
    let transfers = had.bob.transfers().await;
    let found = transfers.iter().find(|one| one.transfer.path.as_path() == second).expect("shown");
    assert!(found.bytes_received <= SMALL, "{found:?}");
}

/// Real programs: a daemon that is killed while it copies goes on where it was, without anybody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_the_copying_loses_no_more_than_time() {
    let programs = Programs::start().await;
    let (mut alice, mut bob) = (programs.user("alice").await, programs.user("bob").await);
    let size = 64 * MIB;
    let path = fixtures::file(&programs.path("film.mkv"), 11, size);
    alice.ask(&["share", path.to_str().expect("text")]).await;
    bob.ask(&["get", "alice/film.mkv"]).await;
    alice.stop().await;
    let second = programs.path("second/film.mkv");
    let folder = second.parent().expect("a folder");
    let get = ["get", "--parents", "-o", second.to_str().expect("text"), "alice/film.mkv"];
    let following = bob.begin(&get);
    wait_until(PATIENCE, "it is being copied", async || {
        let names = fixtures::names_in(folder);
        if names.is_empty() { Err(names) } else { Ok(()) }
    })
    .await;
    bob.kill_9().await;
    process::finish(following).await;
    bob.start_again().await;
    let got = bob.ask(&get).await;
    assert_eq!((&got["bytes_received"], &got["bytes_reused"]), (&0.into(), &size.into()), "{got}");
    assert_eq!(fixtures::hash_of(&second), fixtures::hash_of(&path));
    assert_eq!(fixtures::names_in(folder), ["film.mkv"]);
}
