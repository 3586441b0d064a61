//! Newer versions of what was downloaded before: files, and folders file by file.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use p2p_node::control::LocalCode;
use p2p_node::control::api::GetRequest;
use p2p_node_tests::cluster::refused_with_hint;
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::node;
use p2p_node_tests::{Cluster, TestNode};

/// A download without what follows it, so that nothing changes but what a test asks for.
fn get_request(owner: &str, name: &str) -> GetRequest {
    GetRequest { once: true, ..node::get_request(owner, name) }
}

/// All files in a folder.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("listed") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let inside = path.strip_prefix(root).expect("below").to_str().expect("UTF-8").to_owned();
                    found.insert(inside, fixtures::read(&path));
                }
            }
        }
    }
    found
}

/// A folder that Alice shares, and that Bob has.
async fn shared(cluster: &Cluster) -> (TestNode, TestNode) {
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let root = cluster.path("docs");
    fixtures::file(&root.join("large.bin"), 1, 3 * MIB);
    fixtures::write(&root.join("a/changes"), b"one");
    fixtures::write(&root.join("a/goes"), b"goes");
    fixtures::write(&root.join("same"), b"same");
    alice.share(&root).await.expect("shared");
    bob.get_with(get_request("alice", "docs")).await.expect("got");
    (alice, bob)
}

/// The next version.
async fn change(cluster: &Cluster, alice: &TestNode) {
    let root = cluster.path("docs");
    std::fs::create_dir(root.join("b")).expect("created");
    std::fs::rename(root.join("large.bin"), root.join("b/renamed.bin")).expect("renamed");
    fixtures::write(&root.join("a/changes"), b"another");
    fixtures::write(&root.join("new"), b"new");
    std::fs::remove_file(root.join("a/goes")).expect("removed");
    alice.share(&root).await.expect("shared anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_folder_only_what_differs_comes() {
    let cluster = Cluster::start().await;
    let (alice, bob) = shared(&cluster).await;
    change(&cluster, &alice).await;
    let target = bob.download_path("alice", "docs");
    let mine = fixtures::write(&target.join("a/mine"), b"mine");
    let same = std::fs::metadata(target.join("same")).expect("there").ino();
    let got = bob.get_with(get_request("alice", "docs")).await.expect("updated");
    assert_eq!((got.version, got.path.as_path(), got.bytes_received), (2, &*target, 7 + 3));
    assert_eq!(got.bytes_received + got.bytes_reused, got.size);
    assert_eq!(fixtures::read(&mine), b"mine");
    std::fs::remove_file(&mine).expect("removed");
    assert_eq!(files(&target), files(&cluster.path("docs")));
    assert_eq!(std::fs::metadata(target.join("same")).expect("there").ino(), same);
    assert_eq!(fixtures::names_in(&bob.home().join("downloads/alice")), ["docs"]);
    // It is served on.
    let carol = cluster.user("carol").await;
    carol.wait_for_holders("alice", "docs", 2).await;
    let mut alice = alice;
    alice.stop().await;
    carol.wait_for_holders("alice", "docs", 1).await;
    let got = carol.get_with(get_request("alice", "docs")).await.expect("got from bob");
    assert_eq!(files(got.path.as_path()), files(&cluster.path("docs")));
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_of_a_folder_are_refused_or_kept_beside() {
    let cluster = Cluster::start().await;
    let (alice, mut bob) = shared(&cluster).await;
    change(&cluster, &alice).await;
    let target = bob.download_path("alice", "docs");
    fixtures::write(&target.join("a/changes"), b"my edit");
    fixtures::write(&target.join("same"), b"edited, and not in the way");
    let before = files(&target);
    refused_with_hint(bob.get_with(get_request("alice", "docs")).await, LocalCode::Exists);
    assert_eq!(files(&target), before);
    bob.restart().await;
    let forced = GetRequest { force: true, ..get_request("alice", "docs") };
    let got = bob.get_with(forced).await.expect("updated");
    assert_eq!(got.version, 2);
    let mut found = files(&target);
    let copy = found.keys().find(|path| path.starts_with("a/changes.sync-conflict-")).cloned();
    let told: Vec<_> = got.conflicts.iter().map(|one| (one.path.as_path(), one.kept.as_path())).collect();
    let at = copy.as_ref().map(|copy| target.join(copy)).expect("a copy");
    assert_eq!((told, got.conflicts_count), (vec![(&*target.join("a/changes"), &*at)], 1));
    assert_eq!(found.remove(&copy.expect("a copy")), Some(b"my edit".to_vec()));
    assert_eq!(found.remove("same"), Some(b"edited, and not in the way".to_vec()));
    let mut expected = files(&cluster.path("docs"));
    expected.remove("same");
    assert_eq!(found, expected);
    assert_eq!(fixtures::names_in(&bob.home().join("downloads/alice")), ["docs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_was_named_by_its_path_is_updated_there() {
    let cluster = Cluster::start().await;
    let (alice, bob) = shared(&cluster).await;
    let to = || GetRequest {
        path: Some(cluster.path("mine/papers").into()),
        parents: true,
        ..get_request("alice", "docs")
    };
    bob.get_with(to()).await.expect("got");
    change(&cluster, &alice).await;
    let got = bob.get_with(to()).await.expect("updated");
    assert_eq!(got.path.as_path(), cluster.path("mine/papers"));
    assert_eq!(files(got.path.as_path()), files(&cluster.path("docs")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_replaced_unless_it_was_edited() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let (path, target) = (cluster.path("a.txt"), bob.download_path("alice", "a.txt"));
    for version in ["one", "number two", "version three"] {
        alice.share(&fixtures::write(&path, version.as_bytes())).await.expect("shared");
        bob.get_with(get_request("alice", "a.txt")).await.expect("got");
        assert_eq!(fixtures::read(&target), version.as_bytes());
    }
    assert_eq!(fixtures::names_in(&bob.home().join("downloads/alice")), ["a.txt"]);
    fixtures::write(&target, b"my edit");
    alice.share(&fixtures::write(&path, b"the fourth")).await.expect("shared");
    refused_with_hint(bob.get_with(get_request("alice", "a.txt")).await, LocalCode::Exists);
    assert_eq!(fixtures::read(&target), b"my edit");
    let forced = GetRequest { force: true, ..get_request("alice", "a.txt") };
    let got = bob.get_with(forced).await.expect("got");
    assert_eq!(fixtures::read(&target), b"the fourth");
    let names = fixtures::names_in(&bob.home().join("downloads/alice"));
    assert_eq!(names.len(), 2, "{names:?}");
    let copy = names.iter().find(|name| name.contains(".sync-conflict-")).expect("a copy");
    assert_eq!(fixtures::read(&target.with_file_name(copy)), b"my edit");
    let told: Vec<_> = got.conflicts.iter().map(|one| (one.path.as_path(), one.kept.as_path())).collect();
    assert_eq!(told, [(&*target, &*target.with_file_name(copy))]);
}

/// Edited while it comes, while the node is down, and after that; the update goes on as one.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_was_interrupted_goes_on_and_keeps_each_edit() {
    let cluster = Cluster::start().await;
    let link = cluster.link(11).await;
    let alice = cluster.user_behind("alice", &link).await;
    let mut bob = cluster.user("bob").await;
    let (root, target) = (cluster.path("docs"), bob.download_path("alice", "docs"));
    let names = ["before", "while it comes", "while it is down", "after"];
    // The first 4 MiB are asked for at once, and may be checked all together: the half is more.
    let size = 5 * MIB / 2;
    let half = (size * names.len() / 2) as u64;
    for (seed, name) in (1..).zip(names) {
        fixtures::file(&root.join(name), seed, size);
    }
    alice.share(&root).await.expect("shared");
    bob.get_with(get_request("alice", "docs")).await.expect("got");
    for (seed, name) in (11..).zip(names) {
        fixtures::file(&root.join(name), seed, size);
    }
    alice.share(&root).await.expect("shared anew");
    let edit = |name: &str| fixtures::write(&target.join(name), format!("edited {name}").as_bytes());
    edit("before");
    link.set_rate(1 << 20);
    let forced = || GetRequest { force: true, ..get_request("alice", "docs") };
    let mut get = bob.start_get(forced()).await.expect("begun");
    get.until_bytes(half).await;
    edit("while it comes");
    bob.stop().await;
    edit("while it is down");
    bob.start_again().await;
    let get = bob.start_get(forced()).await.expect("attached");
    edit("after");
    link.set_rate(0);
    let got = get.end().await.expect("it went on");
    assert!(got.bytes_received <= 2 * half + 3 * MIB as u64, "{got:?}");
    let mut found = files(&target);
    for name in names {
        let copy = found.keys().find(|path| path.starts_with(&format!("{name}.sync-conflict-"))).cloned();
        let copy = copy.unwrap_or_else(|| panic!("no copy of {name}: {:?}", found.keys()));
        assert_eq!(found.remove(&copy), Some(format!("edited {name}").into_bytes()));
    }
    assert_eq!(found, files(&root));
    assert_eq!(fixtures::names_in(&bob.home().join("downloads/alice")), ["docs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_goes_or_moves_needs_no_bytes() {
    let cluster = Cluster::start().await;
    let (alice, bob) = shared(&cluster).await;
    let (root, target) = (cluster.path("docs"), bob.download_path("alice", "docs"));
    std::fs::remove_file(root.join("a/goes")).expect("removed");
    alice.share(&root).await.expect("shared anew");
    assert_eq!(bob.get_with(get_request("alice", "docs")).await.expect("updated").bytes_received, 0);
    assert_eq!(files(&target), files(&root));
    std::fs::rename(root.join("large.bin"), root.join("a/larger.bin")).expect("renamed");
    alice.share(&root).await.expect("shared anew");
    let got = bob.get_with(get_request("alice", "docs")).await.expect("updated");
    assert_eq!((got.bytes_received, got.bytes_reused), (0, got.size));
    assert_eq!(files(&target), files(&root));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_and_what_is_not_given_to_others_is_updated_too() {
    let cluster = Cluster::start().await;
    let (alice, bob) = shared(&cluster).await;
    let (part, own) = (cluster.path("part"), cluster.path("own"));
    let get = |path: &Path, only: &[&str]| {
        let only = only.iter().map(|pattern| (*pattern).to_owned()).collect();
        GetRequest { path: Some(path.to_owned().into()), only, share: false, ..get_request("alice", "docs") }
    };
    bob.get_with(get(&part, &["a"])).await.expect("got");
    bob.get_with(get(&own, &[])).await.expect("got");
    let file = cluster.path("a.txt");
    let to_file = || GetRequest {
        path: Some(cluster.path("got.txt").into()),
        share: false,
        ..get_request("alice", "a.txt")
    };
    alice.share(&fixtures::write(&file, b"one")).await.expect("shared");
    bob.get_with(to_file()).await.expect("got");

    change(&cluster, &alice).await;
    alice.share(&fixtures::write(&file, b"another")).await.expect("shared");
    refused_with_hint(bob.get_with(get(&part, &["a", "new"])).await, LocalCode::Exists);
    let got = bob.get_with(get(&part, &["a"])).await.expect("updated");
    assert_eq!((got.path.as_path(), got.bytes_received), (&*part, 7));
    assert_eq!(files(&part), BTreeMap::from([("a/changes".to_owned(), b"another".to_vec())]));
    let got = bob.get_with(get(&own, &[])).await.expect("updated");
    assert_eq!((got.path.as_path(), got.bytes_received), (&*own, 7 + 3));
    assert_eq!(files(&own), files(&cluster.path("docs")));
    bob.get_with(to_file()).await.expect("updated");
    assert_eq!(fixtures::read(&cluster.path("got.txt")), b"another");
    // What is held is not given up for one that is not.
    let held = bob.download_path("alice", "docs");
    bob.get_with(GetRequest { share: false, ..get_request("alice", "docs") }).await.expect("updated");
    assert_eq!(files(&held), files(&cluster.path("docs")));
    fixtures::write(&cluster.path("docs/new"), b"newer");
    alice.share(&cluster.path("docs")).await.expect("shared");
    let got = bob.get_with(get_request("alice", "docs")).await.expect("updated");
    assert_eq!((got.bytes_received, files(&held)), (5, files(&cluster.path("docs"))));
}
