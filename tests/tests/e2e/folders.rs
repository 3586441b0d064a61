//! Folders: shared, downloaded, interrupted, changed at the holder; and manifests of folders that lie.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use certs::UnixNanos;
use p2p_node::control::LocalCode;
use p2p_node::control::api::{GetRequest, IndexState, Links, Outcome, ShareRequest, ShareState};
use p2p_node_tests::cluster::{refused, refused_with_hint};
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::hostile::Liar;
use p2p_node_tests::node::{get_request, share_request};
use p2p_node_tests::{Cluster, PATIENCE, TestNode, wait_until};
use wire::manifest::{ChunkerParams, Entry, FolderHasher, Item, Manifest, PageRef, Root, encode_page};
use wire::{ContentHash, ErrorCode, PageHash, RootHash};

/// What lies at a path, times left out.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    File(ContentHash, bool),
    Folder,
    Link(PathBuf),
}

/// All that is in a folder, with its modification time in whole seconds since 1970.
fn tree(root: &Path) -> BTreeMap<PathBuf, (Kind, u64)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("listed") {
            let path = entry.expect("an entry").path();
            let metadata = std::fs::symlink_metadata(&path).expect("there");
            let kind = match metadata.file_type() {
                kind if kind.is_symlink() => Kind::Link(std::fs::read_link(&path).expect("a link")),
                kind if kind.is_dir() => {
                    folders.push(path.clone());
                    Kind::Folder
                }
                _ => Kind::File(fixtures::hash_of(&path), metadata.permissions().mode() & 0o100 != 0),
            };
            let modified = metadata.modified().expect("a time").duration_since(UNIX_EPOCH).expect("later");
            let inside = path.strip_prefix(root).expect("below").to_owned();
            found.insert(inside, (kind, modified.as_secs()));
        }
    }
    found
}

const SMALL: u64 = 2000;

/// Empty folders, links, an executable file, 2,000 small files of which some are equal, and a large one.
fn make_tree(cluster: &Cluster) -> PathBuf {
    let root = cluster.path("docs");
    for number in 0..SMALL {
        let path = root.join(format!("many/{:02}/{number:04}.txt", number % 20));
        fixtures::write(&path, &fixtures::bytes(number % 1500, 100 + (number % 1500) as usize));
    }
    fixtures::file(&root.join("large.bin"), 1, 5 * MIB);
    fixtures::file(&root.join("large copy.bin"), 1, 5 * MIB);
    fixtures::write(&root.join("empty"), b"");
    let script = fixtures::write(&root.join("bin/run.sh"), b"#!/bin/sh\n");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("set");
    std::fs::create_dir_all(root.join("nothing/in here")).expect("created");
    symlink("../large.bin", root.join("bin/large")).expect("linked");
    symlink("not there", root.join("dangling")).expect("linked");
    fixtures::set_mtime(&root.join("large.bin"), 1_000_000_000);
    root
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_arrives_as_it_was_and_is_served_on() {
    let cluster = Cluster::start().await;
    let (alice, bob, carol) =
        (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let root = make_tree(&cluster);
    let shared = alice.share(&root).await.expect("shared");
    assert_eq!((shared.outcome, shared.notes_count), (Outcome::Created, 0), "{:?}", shared.notes);
    let listed = bob.list().await.expect("listed");
    assert_eq!((listed[0].kind, listed[0].size), (wire::Kind::Folder, shared.size));

    let got = bob.get("alice", "docs").await.expect("got");
    assert_eq!(got.path.as_path(), bob.download_path("alice", "docs"));
    assert_eq!(tree(got.path.as_path()), tree(&root));
    assert_eq!(got.bytes_received + got.bytes_reused, shared.size);
    // The copy of the large file, and every fourth small file, did not move.
    assert!(got.bytes_reused >= 5 * MIB as u64 + 500 * 100, "{}", got.bytes_reused);
    assert_eq!(fixtures::names_in(&bob.home().join("downloads/alice")), ["docs"]);
    let again = bob.get("alice", "docs").await.expect("here already");
    assert_eq!((again.bytes_received, again.bytes_reused), (0, shared.size));

    carol.wait_for_holders("alice", "docs", 2).await;
    let mut alice = alice;
    alice.stop().await;
    carol.wait_for_holders("alice", "docs", 1).await;
    let got = carol.get("alice", "docs").await.expect("got from bob");
    assert_eq!(tree(got.path.as_path()), tree(&root));
    assert!(got.sources.iter().all(|source| source.node == bob.id()), "{:?}", got.sources);
}

/// Paths so long that the manifest, and how the files are, do not fit in what stays in memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_written_in_parts_serves_as_any() {
    let cluster = Cluster::start().await;
    let (mut alice, mut bob, carol) =
        (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let root = cluster.path("docs");
    let deep = root.join(vec!["a".repeat(250); 12].join("/"));
    for number in 0..3000_u64 {
        fixtures::write(&deep.join(format!("{number}")), &number.to_be_bytes());
    }
    let shared = alice.share(&root).await.expect("shared");
    assert_eq!(alice.share(&root).await.expect("shared again").outcome, Outcome::Unchanged);
    alice.restart().await;
    bob.wait_for_holders("alice", "docs", 1).await;
    let got = bob.get("alice", "docs").await.expect("got");
    assert_eq!((got.bytes_received, tree(got.path.as_path())), (shared.size, tree(&root)));
    bob.restart().await;
    carol.wait_for_holders("alice", "docs", 2).await;
    alice.stop().await;
    carol.wait_for_holders("alice", "docs", 1).await;
    let got = carol.get("alice", "docs").await.expect("got from bob");
    assert_eq!(tree(got.path.as_path()), tree(&root));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touch_alone_is_no_new_version_and_a_change_is() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let root = cluster.path("docs");
    let path = fixtures::write(&root.join("a/one.txt"), b"one");
    fixtures::write(&root.join("two.txt"), b"two");
    alice.share(&root).await.expect("shared");
    fixtures::set_mtime(&path, 1_000_000_000);
    let touched = alice.share(&root).await.expect("shared");
    assert_eq!((touched.outcome, touched.version), (Outcome::Unchanged, 1));
    let once = GetRequest { once: true, ..get_request("alice", "docs") };
    bob.get_with(once).await.expect("the touched one is served");
    fixtures::write(&path, b"another");
    let changed = alice.share(&root).await.expect("shared");
    assert_eq!((changed.outcome, changed.version), (Outcome::Updated, 2));
    let to =
        |path: PathBuf| GetRequest { path: Some(path.into()), once: true, ..get_request("alice", "docs") };
    let got = bob.get_with(to(cluster.path("second"))).await.expect("got");
    assert_eq!(tree(got.path.as_path()), tree(&root));
    let got = bob.get("alice", "docs").await.expect("the first version is brought to the second");
    assert_eq!(got.bytes_received, 0, "what changed lies at the second place");
    assert_eq!(tree(&bob.download_path("alice", "docs")), tree(&root));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_makes_the_folder_changed() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let root = cluster.path("docs");
    let path = fixtures::write(&root.join("a/one.txt"), b"one");
    fixtures::write(&root.join("two.txt"), b"two");
    alice.share(&root).await.expect("shared");
    fixtures::write(&path, b"another");
    let get = bob.start_get(get_request("alice", "docs")).await.expect("begun");
    wait_until(PATIENCE, "the folder is changed", async || {
        let shares = alice.shares().await.expect("local");
        if shares[0].state == ShareState::Changed { Ok(()) } else { Err(shares) }
    })
    .await;
    drop(get);
    alice.share(&root).await.expect("shared anew");
    let got = bob.get("alice", "docs").await.expect("goes over to the new version");
    assert_eq!(tree(got.path.as_path()), tree(&root));
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_in_the_middle_it_goes_on() {
    let cluster = Cluster::start().await;
    let link = cluster.link(7).await;
    let alice = cluster.user_behind("alice", &link).await;
    let mut bob = cluster.user("bob").await;
    let root = make_tree(&cluster);
    let shared = alice.share(&root).await.expect("shared");
    link.set_rate(1 << 20);
    let mut get = bob.start_get(get_request("alice", "docs")).await.expect("begun");
    get.until_bytes(shared.size * 3 / 4).await;
    bob.restart().await;
    assert!(!bob.download_path("alice", "docs").exists());
    let get = bob.start_get(get_request("alice", "docs")).await.expect("attached");
    link.set_rate(0);
    let got = get.end().await.expect("it went on");
    assert_eq!(tree(got.path.as_path()), tree(&root));
    assert!(got.bytes_received <= shared.size - got.bytes_reused + (3 << 20), "{got:?}");
    assert_eq!(fixtures::names_in(&bob.home().join("downloads/alice")), ["docs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_it_leaves_nothing() {
    let cluster = Cluster::start().await;
    let link = cluster.link(8).await;
    let alice = cluster.user_behind("alice", &link).await;
    let bob = cluster.user("bob").await;
    let root = make_tree(&cluster);
    let shared = alice.share(&root).await.expect("shared");
    link.set_rate(1 << 20);
    let mut get = bob.start_get(get_request("alice", "docs")).await.expect("begun");
    get.until_bytes(shared.size * 3 / 4).await;
    bob.cancel("alice", "docs").await.expect("cancelled");
    refused(get.end().await, ErrorCode::Cancelled);
    assert!(fixtures::names_in(&bob.home().join("downloads/alice")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_part_of_it() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let root = make_tree(&cluster);
    alice.share(&root).await.expect("shared");
    let only = |patterns: &[&str]| GetRequest {
        only: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
        ..get_request("alice", "docs")
    };
    refused(bob.get_with(only(&["*.none"])).await, ErrorCode::NotFound);
    refused(bob.get_with(only(&["a["])).await, LocalCode::Usage);
    let got = bob.get_with(only(&["*.sh", "many/07"])).await.expect("got");
    let mut wanted = tree(&root);
    wanted.retain(|path, _| {
        path.starts_with("many/07")
            || [Path::new("many"), Path::new("bin"), Path::new("bin/run.sh")].contains(&&**path)
    });
    assert_eq!(tree(got.path.as_path()), wanted);
    assert!(got.bytes_received < MIB as u64, "{}", got.bytes_received);
    assert_eq!(bob.list().await.expect("listed")[0].holders, 1, "who has a part is no holder");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_told() {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    let root = cluster.path("docs");
    fixtures::write(&root.join("good"), b"x");
    fixtures::write(&root.join("build/x"), b"x");
    fixtures::write(&root.join(".p2pignore"), b"build/\n");
    symlink("good", root.join("link")).expect("linked");
    symlink("/etc/passwd", root.join("out")).expect("linked");
    let shared = alice.share(&root).await.expect("shared");
    assert_eq!((shared.notes_count, shared.notes[0].path.as_path()), (1, Path::new("out")));
    let request = ShareRequest { links: Some(Links::Skip), ..share_request(&root) };
    let shared = alice.start_share(request).await.expect("begun").end().await.expect("shared");
    assert_eq!((shared.outcome, shared.notes_count), (Outcome::Updated, 0));
    let empty = cluster.path("empty");
    std::fs::create_dir(&empty).expect("created");
    refused_with_hint(alice.share(&empty).await, LocalCode::Usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_version_is_walked_like_the_one_before() {
    let cluster = Cluster::start().await;
    let (mut alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let root = cluster.path("docs");
    fixtures::write(&root.join("good"), b"1");
    fixtures::write(&root.join("made"), b"x");
    fixtures::write(&root.join(".gitignore"), b"made\n");
    symlink("good", root.join("link")).expect("linked");
    let share = async |alice: &TestNode, links, gitignore| {
        let request = ShareRequest { links, gitignore, ..share_request(&root) };
        alice.start_share(request).await.expect("begun").end().await.expect("shared").outcome
    };
    let arrives = async |version: &str, expected: &[&str]| {
        let target = cluster.path(version);
        let request = GetRequest { path: Some(target.clone().into()), ..get_request("alice", "docs") };
        bob.get_with(request).await.expect("got");
        assert_eq!(fixtures::names_in(&target), expected, "{version}");
    };
    share(&alice, Some(Links::Skip), Some(true)).await;
    arrives("first", &[".gitignore", "good"]).await;
    fixtures::write(&root.join("good"), b"2 ");
    alice.restart().await;
    alice.wait_for_index(IndexState::Connected).await;
    assert_eq!(share(&alice, None, None).await, Outcome::Updated);
    arrives("second", &[".gitignore", "good"]).await;
    // Each of the two is given up alone.
    assert_eq!(share(&alice, None, Some(false)).await, Outcome::Updated);
    arrives("third", &[".gitignore", "good", "made"]).await;
    assert_eq!(share(&alice, None, None).await, Outcome::Unchanged);
    alice.unshare("docs").await.expect("taken back");
    share(&alice, None, None).await;
    arrives("anew", &[".gitignore", "good", "link", "made"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_at_the_target_stays() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let root = cluster.path("docs");
    fixtures::write(&root.join("one"), b"x");
    alice.share(&root).await.expect("shared");
    let mine = fixtures::write(&bob.download_path("alice", "docs").join("mine"), b"mine");
    for force in [false, true] {
        let request = GetRequest { force, ..get_request("alice", "docs") };
        refused_with_hint(bob.get_with(request).await, LocalCode::Exists);
    }
    assert_eq!(fixtures::read(&mine), b"mine");
    assert_eq!(fixtures::names_in(&bob.download_path("alice", "docs")), ["mine"]);
}

/// The node that shares knows what its keys are.
#[tokio::test(flavor = "multi_thread")]
async fn the_home_is_never_shared() {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    refused_with_hint(share_as(&alice, alice.home(), "home").await, LocalCode::Usage);
    let above = alice.home().parent().expect("a folder");
    // What others write to meanwhile is left aside.
    let others = fixtures::names_in(above).into_iter().filter(|name| !alice.home().ends_with(name));
    let patterns: Vec<_> = others.map(|name| format!("/{name}\n")).collect();
    fixtures::write(&above.join(".p2pignore"), patterns.concat().as_bytes());
    let shared = share_as(&alice, above, "above").await.expect("shared");
    assert!(shared.notes.iter().any(|note| above.join(note.path.as_path()) == alice.home()), "{shared:?}");
}

async fn share_as(
    node: &TestNode,
    path: &Path,
    name: &str,
) -> p2p_node::control::ApiResult<p2p_node::control::api::ShareDone> {
    let request = ShareRequest::new(path.to_owned(), name.parse().expect("a name"));
    node.start_share(request).await?.end().await
}

/// A manifest of one page with these entries, whose root says truly what is in it.
fn manifest_of(entries: &[Entry], content: Option<ContentHash>) -> Manifest {
    let items: Vec<_> = entries.iter().cloned().map(Item::Entry).collect();
    let page = encode_page(&items);
    let mut hasher = FolderHasher::new();
    let listed = entries.iter().all(|entry| hasher.push(entry).is_ok());
    assert!(listed || content.is_none(), "what is out of order has no content hash");
    let root = Root {
        format: 0,
        kind: wire::Kind::Folder,
        content: content.unwrap_or_else(|| hasher.finish()),
        size: 0,
        pages: vec![PageRef {
            hash: PageHash::of(&page),
            length: page.len() as u32,
            entries: entries.len() as u32,
            chunks: 0,
            content_bytes: 0,
        }],
    };
    let root_bytes = root.encode();
    Manifest { root_hash: RootHash::of(&root_bytes), root, root_bytes, pages: vec![page], blocks: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_that_lead_elsewhere_are_refused() {
    let cluster = Cluster::start().await;
    let bob = cluster.user("bob").await;
    let time = UnixNanos(1);
    let empty = |path: &str| Entry {
        path: path.to_owned(),
        ..Entry::file(false, time, 0, ContentHash::of(b""), ChunkerParams::for_size(0))
    };
    let folder = |path: &str| Entry::folder(path.to_owned(), time);
    let link = |path: &str, target: &str| Entry::link(path.to_owned(), time, target.to_owned());
    let manifest = |entries: &[Entry]| manifest_of(entries, None);
    for (number, (what, manifest)) in [
        ("a path upwards", manifest(&[empty("../evil")])),
        ("a path upwards inside", manifest(&[folder("a"), empty("a/../../evil")])),
        ("an absolute path", manifest(&[empty("/tmp/evil")])),
        ("an absolute link", manifest(&[link("a", "/tmp")])),
        ("a link upwards", manifest(&[link("a", "../..")])),
        ("a file in a link", manifest(&[link("a", "b"), empty("a/evil")])),
        ("a file in a file", manifest(&[empty("a"), empty("a/evil")])),
        ("a name twice", manifest(&[empty("a"), empty("a")])),
        ("a file and a folder", manifest(&[empty("a"), folder("a")])),
        ("a folder that is not listed", manifest(&[empty("a/evil")])),
        ("another content", manifest_of(&[empty("a")], Some(ContentHash::of(b"other")))),
    ]
    .into_iter()
    .enumerate()
    {
        let liar = Liar::publish_folder(&cluster, &format!("mallory{number}"), "docs", manifest).await;
        let error = refused(bob.get(&format!("mallory{number}"), "docs").await, ErrorCode::NoHolder);
        assert!(error.message.contains("manifest is wrong"), "{what}: {error:?}");
        assert_eq!(liar.asked(), 0, "{what}");
        let downloads = bob.home().join(format!("downloads/mallory{number}"));
        assert!(fixtures::names_in(&downloads).is_empty(), "{what}");
    }
    let right = manifest(&[folder("a"), empty("a/fine"), link("a/up", "../b"), link("b", "a/fine")]);
    let _mallory = Liar::publish_folder(&cluster, "mallory", "docs", right).await;
    let got = bob.get("mallory", "docs").await.expect("what they show is right otherwise");
    assert_eq!(tree(got.path.as_path()).len(), 4);
}
