//! What users type and files are called: names, paths, things that are no files.

use p2p_node::control::LocalCode;
use p2p_node::control::api::{ShareRequest, Stage};
use p2p_node_tests::cluster::{refused, refused_with_hint};
use p2p_node_tests::fixtures;
use p2p_node_tests::node::share_request;
use p2p_node_tests::{Cluster, Programs};
use std::path::Path;
use wire::ErrorCode;

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_refused_and_one_that_is_normalized() {
    let programs = Programs::start().await;
    let (alice, bob) = (programs.user("alice").await, programs.user("bob").await);
    let path = fixtures::file(&programs.path("plain.txt"), 1, 100);
    let path = path.to_str().expect("text");
    let long = "x".repeat(300);
    for name in ["..", ".", "", "a/b", "../x", "a\u{7}b", "a\nb", "a\u{202e}b", "con", "x.", &long] {
        let ended = alice.command(&["share", path, &format!("--name={name}")]).await;
        assert_eq!((ended.code, ended.error_code().as_str()), (Some(2), "usage"), "{name:?}: {ended:?}");
        assert!(!ended.hint().is_empty(), "{ended:?}");
        assert!(!ended.out.contains('\u{7}'), "{ended:?}");
        let ended = bob.command(&["get", &format!("alice/{name}")]).await;
        assert_eq!((ended.code, ended.error_code().as_str()), (Some(2), "usage"), "{name:?}: {ended:?}");
        let ended = alice.command(&["unshare", &format!("alice/{name}")]).await;
        assert_eq!((ended.code, ended.error_code().as_str()), (Some(2), "usage"), "{name:?}: {ended:?}");
    }
    assert_eq!(bob.ask(&["list"]).await["items"].as_array().map(Vec::len), Some(0));

    let decomposed = "u\u{308}bung.txt";
    let shared = alice.ask(&["share", path, "--name", decomposed]).await;
    assert_eq!(shared["name"], "übung.txt");
    let found = bob.ask(&["search", "u\u{308}bung"]).await;
    assert_eq!(found["items"][0]["name"], "übung.txt");
    let got = bob.ask(&["get", &format!("alice/{decomposed}")]).await;
    assert!(got["path"].as_str().is_some_and(|path| path.ends_with("/übung.txt")), "{got}");
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_are_no_files() {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    let file = fixtures::file(&cluster.path("file.txt"), 2, 100);
    let link = cluster.path("link.txt");
    std::os::unix::fs::symlink(&file, &link).expect("linked");
    let dangling = cluster.path("dangling.txt");
    std::os::unix::fs::symlink(cluster.path("nothing"), &dangling).expect("linked");
    let below = file.join("below a file");
    let socket = cluster.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    let share = async |path: &Path| {
        let request = ShareRequest { name: "x".parse().expect("a name"), ..share_request(path) };
        match alice.start_share(request).await {
            Ok(running) => running.end().await,
            Err(error) => Err(error),
        }
    };
    refused_with_hint(share(&cluster.path("nothing")).await, LocalCode::NoSuchPath);
    refused_with_hint(share(alice.home()).await, LocalCode::Usage);
    refused_with_hint(share(&link).await, LocalCode::Usage);
    refused_with_hint(share(&dangling).await, LocalCode::Usage);
    refused_with_hint(share(&socket).await, LocalCode::Usage);
    refused_with_hint(share(Path::new("/dev/zero")).await, LocalCode::Usage);
    refused(share(&below).await, LocalCode::Io);
    assert!(alice.list().await.expect("listed").is_empty());
    assert!(alice.shares().await.expect("local").is_empty());
    share(&file).await.expect("a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_read_is_not_shared() {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    let path = fixtures::write(&cluster.path("growing.log"), b"");
    let file = std::fs::File::options().write(true).open(&path).expect("opened");
    file.set_len(1 << 30).expect("sparse");
    let mut share = alice.start_share(share_request(&path)).await.expect("begun");
    share.until(|progress| progress.stage == Stage::Importing && progress.bytes_done > 0).await;
    file.set_len((1 << 30) + 1).expect("it grows");
    refused(share.end().await, ErrorCode::Changed);
    assert!(alice.list().await.expect("listed").is_empty());
    assert!(alice.shares().await.expect("local").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_share_registers_nothing() {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    let path = fixtures::write(&cluster.path("sparse.img"), b"");
    std::fs::File::options().write(true).open(&path).and_then(|file| file.set_len(4 << 30)).expect("set");
    let mut share = alice.start_share(share_request(&path)).await.expect("begun");
    share.until(|progress| progress.bytes_done > 0).await;
    drop(share);
    std::fs::File::options().write(true).open(&path).and_then(|file| file.set_len(100)).expect("set");
    let shared = alice.share(&path).await.expect("the next one");
    assert_eq!((shared.version, shared.size), (1, 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_got_is_executable_and_as_old_as_what_was_shared() {
    use std::os::unix::fs::PermissionsExt;
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("tool"), 3, 5000);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("set");
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_600_000_000, 123_456_789);
    std::fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(time)).expect("set");
    alice.share(&path).await.expect("shared");
    let got = bob.get("alice", "tool").await.expect("got");
    let metadata = std::fs::metadata(got.path.as_path()).expect("there");
    assert_eq!(metadata.modified().expect("a time"), time);
    assert_eq!(metadata.permissions().mode() & 0o100, 0o100);
    let listed = bob.list().await.expect("listed");
    assert_eq!(listed[0].mtime.to_string(), "2020-09-13T12:26:40.123456789Z");
}
