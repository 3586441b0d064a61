//! Disks that are full, read-only, forbidden or broken, while getting and while sharing.

use p2p_node::control::LocalCode;
use p2p_node::control::api::GetRequest;
use p2p_node::store::fs::{Fault, FsOp};
use p2p_node_tests::cluster::refused_with_hint;
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::node::get_request;
use p2p_node_tests::{Cluster, TestNode};

const EIO: i32 = 5;
const EACCES: i32 = 13;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

const SIZE: usize = 2 * MIB;

fn code_of(errno: i32) -> LocalCode {
    match errno {
        EACCES => LocalCode::PermissionDenied,
        ENOSPC => LocalCode::DiskFull,
        EROFS => LocalCode::ReadOnly,
        _ => LocalCode::Io,
    }
}

async fn shared_by_alice(cluster: &Cluster, seed: u64) -> (TestNode, TestNode) {
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("film.mkv"), seed, SIZE);
    alice.share(&path).await.expect("shared");
    (alice, bob)
}

/// Each of these calls fails once, in a get of its own; the next get goes on from there.
async fn get_fails_once(seed: u64, op: FsOp, errnos: &[i32]) {
    let cluster = Cluster::start().await;
    let (_alice, bob) = shared_by_alice(&cluster, seed).await;
    let target = bob.download_path("alice", "film.mkv");
    for &errno in errnos {
        eprintln!("{op:?} fails with {errno}");
        bob.fs().inject(Fault { op, path_contains: "downloads".to_owned(), nth: 1, errno });
        refused_with_hint(bob.get("alice", "film.mkv").await, code_of(errno));
        assert!(!target.exists(), "{op:?} {errno}");
    }
    let got = bob.get("alice", "film.mkv").await.expect("the disk is well again");
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::bytes(seed, SIZE));
    assert_eq!(fixtures::names_in(target.parent().expect("a folder")), ["film.mkv"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn getting_where_the_folder_cannot_be_made() {
    get_fails_once(1, FsOp::CreateDirAll, &[EACCES, EROFS, ENOSPC, EIO]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn getting_where_the_file_cannot_be_made() {
    get_fails_once(2, FsOp::CreateNew, &[EACCES, EROFS, ENOSPC, EIO]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn getting_where_writing_fails() {
    get_fails_once(3, FsOp::WriteAt, &[ENOSPC, EIO, EROFS]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn getting_where_syncing_fails() {
    get_fails_once(4, FsOp::SyncData, &[EIO, ENOSPC]).await;
    get_fails_once(5, FsOp::SyncAll, &[EIO, ENOSPC]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn getting_where_it_cannot_be_put_in_place() {
    get_fails_once(6, FsOp::RenameNew, &[EACCES, EROFS, ENOSPC, EIO]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn getting_where_what_came_cannot_be_read_back() {
    get_fails_once(7, FsOp::ReadAt, &[EIO]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_in_the_middle_keeps_what_came() {
    let cluster = Cluster::start().await;
    let (_alice, bob) = shared_by_alice(&cluster, 8).await;
    bob.fs().inject(Fault {
        op: FsOp::WriteAt,
        path_contains: "downloads".to_owned(),
        nth: 2,
        errno: ENOSPC,
    });
    let error = refused_with_hint(bob.get("alice", "film.mkv").await, LocalCode::DiskFull);
    assert!(error.message.contains("film.mkv"), "{error:?}");
    let transfers = bob.status().await.transfers;
    assert_eq!(transfers.len(), 1);
    assert!(transfers[0].error.is_some(), "{transfers:?}");
    let got = bob.get("alice", "film.mkv").await.expect("resumed");
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::bytes(8, SIZE));
}

#[tokio::test(flavor = "multi_thread")]
async fn replacing_with_force_where_the_exchange_fails_keeps_the_old_file() {
    let cluster = Cluster::start().await;
    let (_alice, bob) = shared_by_alice(&cluster, 9).await;
    let target = fixtures::write(&bob.download_path("alice", "film.mkv"), b"old");
    let force = || GetRequest { force: true, ..get_request("alice", "film.mkv") };
    for errno in [EACCES, EIO, ENOSPC] {
        bob.fs().inject(Fault { op: FsOp::Replace, path_contains: "downloads".to_owned(), nth: 1, errno });
        refused_with_hint(bob.get_with(force()).await, code_of(errno));
        assert_eq!(fixtures::read(&target), b"old");
    }
    bob.get_with(force()).await.expect("replaced");
    assert_eq!(fixtures::read(&target), fixtures::bytes(9, SIZE));
    assert_eq!(fixtures::names_in(target.parent().expect("a folder")).len(), 2, "the old one beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn sharing_what_cannot_be_read() {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    let path = fixtures::file(&cluster.path("film.mkv"), 10, SIZE);
    for (op, errno) in [
        (FsOp::OpenRead, EACCES),
        (FsOp::OpenRead, EIO),
        (FsOp::ReadAt, EIO),
        (FsOp::FileStat, EIO),
        (FsOp::Stat, EACCES),
    ] {
        eprintln!("{op:?} fails with {errno}");
        alice.fs().inject(Fault { op, path_contains: "film.mkv".to_owned(), nth: 1, errno });
        let error = refused_with_hint(alice.share(&path).await, code_of(errno));
        assert!(error.message.contains("film.mkv"), "{error:?}");
        assert!(alice.list().await.expect("listed").is_empty(), "nothing is registered");
        assert!(alice.shares().await.expect("local").is_empty(), "nothing is kept");
    }
    alice.share(&path).await.expect("the disk is well again");
}
