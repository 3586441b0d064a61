use std::sync::Arc;

use super::super::fs::{Fault, FsOp, OsFs};
use super::super::tests::{Fixture, NOW, publication, tombstone};
use super::*;
use crate::rate::Rate;
use crate::store::{NewSubscription, Publication, import};

/// Writes a version of a file, publishes it, and returns it as it is to be kept.
async fn share(fixture: &Fixture, version: u64, bytes: &[u8]) -> (Publication, NewHolding) {
    let path = fixture.path("a.txt");
    std::fs::write(&path, bytes).expect("written");
    let imported = import(&OsFs::new(), &path, None, &|_, _| {}, &|| false).expect("imports");
    let (root, content) = (imported.manifest.root_hash, imported.content);
    let published = publication("a.txt", version, &path, imported.stamp, &imported.manifest);
    let manifest = Some(Arc::new(imported.manifest));
    fixture.store.put_publication(published.clone(), manifest).await.expect("put");
    let holding = NewHolding {
        path,
        stamp: published.stamp,
        content,
        root,
        record: published.record.clone(),
        receipt: None,
        certificate: None,
        origin: Origin::Share,
    };
    (published, holding)
}

fn named(publication: &Publication) -> (AccountId, ResourceName) {
    (publication.record.account, publication.name.clone())
}

/// The names of all copies, sorted.
fn copies(fixture: &Fixture) -> Vec<String> {
    let folder = parent_of(fixture.store.db().path()).join(FOLDER);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("listed").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

async fn versions(fixture: &Fixture, publication: &Publication) -> Vec<u64> {
    let (account, name) = named(publication);
    let kept = fixture.store.kept_versions(account, name).await.expect("read");
    kept.iter().map(|kept| kept.version).collect()
}

async fn rows_left(fixture: &Fixture) -> usize {
    fixture.store.db().read("read rows", rows).await.expect("read").len()
}

#[tokio::test]
async fn old_versions_are_held_until_they_are_too_many() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let mut last = None;
    for version in 1..=4_u64 {
        let (published, source) = share(&fixture, version, format!("version {version}").as_bytes()).await;
        store.keep_version(source.clone(), NOW).await.expect("kept");
        store.keep_version(source, NOW).await.expect("kept already");
        let (account, name) = named(&published);
        store.set_keep_rule(account, name, 2).await.expect("swept");
        last = Some(published);
    }
    let last = last.expect("some");
    assert_eq!(versions(&fixture, &last).await, [4, 3, 2]);
    assert_eq!(copies(&fixture).len(), 3);
    for version in 2..=4 {
        let content = ContentHash::of(format!("version {version}").as_bytes());
        let held = store.holdings_of(content).await.expect("read");
        let kept = held.iter().find(|held| held.origin == Origin::Kept).expect("held");
        assert_eq!(std::fs::read(&kept.path).expect("read"), format!("version {version}").as_bytes());
        assert!(store.open_served(kept.clone()).await.is_ok());
        assert_eq!(store.roots_of(content).await.expect("read"), [kept.root], "its manifest is there");
    }
    assert!(store.holdings_of(ContentHash::of(b"version 1")).await.expect("read").is_empty());
    let (account, name) = named(&last);
    assert_eq!(store.keep_rule(account, name.clone()).await.expect("read"), Some(2));
    let swept = store.set_keep_rule(account, name, 0).await.expect("swept");
    assert_eq!(swept, Swept { versions: 3, bytes: 27 });
    assert!(copies(&fixture).is_empty());
}

#[tokio::test]
async fn equal_contents_have_one_file_that_goes_with_the_last() {
    let fixture = Fixture::new();
    let mut published = None;
    for (version, bytes) in [(1, b"same".as_slice()), (2, b"other"), (3, b"same")] {
        let (one, source) = share(&fixture, version, bytes).await;
        fixture.store.keep_version(source, NOW).await.expect("kept");
        let (account, name) = named(&one);
        fixture.store.set_keep_rule(account, name, 9).await.expect("swept");
        published = Some(one);
    }
    let published = published.expect("some");
    assert_eq!((versions(&fixture, &published).await, copies(&fixture).len()), (vec![3, 2, 1], 2));
    let (account, name) = named(&published);
    let swept = fixture.store.set_keep_rule(account, name, 1).await.expect("swept");
    assert_eq!(swept, Swept { versions: 1, bytes: 0 }, "version 3 needs the file of version 1");
    assert_eq!(copies(&fixture).len(), 2);
    let held = fixture.store.holdings_of(ContentHash::of(b"same")).await.expect("read");
    assert!(held.iter().any(|held| held.origin == Origin::Kept), "{held:?}");
}

#[tokio::test]
async fn what_is_taken_back_is_not_served_and_its_copies_go() {
    let fixture = Fixture::new();
    let (published, source) = share(&fixture, 1, b"one").await;
    fixture.store.keep_version(source, NOW).await.expect("kept");
    let (account, name) = named(&published);
    fixture.store.set_keep_rule(account, name, 5).await.expect("swept");
    fixture.store.put_publication(tombstone(&published), None).await.expect("put");
    assert!(fixture.store.holdings_of(ContentHash::of(b"one")).await.expect("read").is_empty());
    let dry = fixture.store.sweep_kept(true).await.expect("asked");
    assert_eq!((dry, copies(&fixture).len()), (Swept { versions: 1, bytes: 3 }, 1));
    assert_eq!(fixture.store.sweep_kept(false).await.expect("swept"), dry);
    assert_eq!((rows_left(&fixture).await, copies(&fixture).len()), (0, 0));
}

#[tokio::test]
async fn a_file_that_changed_is_not_kept() {
    let fixture = Fixture::new();
    let (published, source) = share(&fixture, 1, b"one").await;
    std::fs::write(&source.path, b"another").expect("written");
    let kept = fixture.store.keep_version(source, NOW).await;
    assert!(matches!(kept, Err(KeepError::Changed(_))), "{kept:?}");
    assert!(versions(&fixture, &published).await.is_empty());
    assert_eq!((rows_left(&fixture).await, copies(&fixture).len()), (0, 0));
}

/// Wherever the machine stops or the disk fails, a sweep after the restart leaves the version whole and held, or nothing.
#[tokio::test]
async fn a_crash_anywhere_leaves_no_file_without_a_row() {
    let mut steps = 0;
    loop {
        let mut fixture = Fixture::new();
        let (published, source) = share(&fixture, 1, b"one").await;
        let (account, name) = named(&published);
        fixture.store.set_keep_rule(account, name, 5).await.expect("set");
        fixture.fs.die_after(steps);
        let done = fixture.store.keep_version(source, NOW).await.is_ok();
        fixture.fs.clear();
        fixture.reopen().await;
        assert!(copies(&fixture).len() <= rows_left(&fixture).await, "after {steps} calls");
        fixture.store.sweep_kept(false).await.expect("swept");
        let held = fixture.store.holdings_of(ContentHash::of(b"one")).await.expect("read");
        let kept = held.iter().filter(|held| held.origin == Origin::Kept).count();
        assert_eq!((kept, copies(&fixture).len()), (rows_left(&fixture).await, kept), "after {steps} calls");
        if done {
            assert!(kept == 1 && steps > 8, "{steps}");
            return;
        }
        steps += 1;
    }
}

#[tokio::test]
async fn a_full_disk_leaves_nothing() {
    let fixture = Fixture::new();
    let (_, source) = share(&fixture, 1, b"one").await;
    fixture.fs.inject(Fault { op: FsOp::WriteAt, path_contains: FOLDER.to_owned(), nth: 1, errno: 28 });
    let kept = fixture.store.keep_version(source, NOW).await;
    // Where the file system reflinks, nothing is written.
    if let Err(error) = kept {
        assert!(matches!(error, KeepError::File(_)), "{error:?}");
        assert_eq!((rows_left(&fixture).await, copies(&fixture).len()), (0, 0));
    }
}

/// What was downloaded has a rule before its copy, and loses both with its last subscription.
#[tokio::test]
async fn what_is_subscribed_to_is_kept_until_nobody_follows_it() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let (published, shared) = share(&fixture, 1, b"one").await;
    store.put_publication(tombstone(&published), None).await.expect("not shared here");
    let got = NewHolding { origin: Origin::Get, ..shared };
    let manifest = import(&OsFs::new(), &got.path, None, &|_, _| {}, &|| false).expect("imports").manifest;
    store.put_holding(got.clone(), Some(Arc::new(manifest))).await.expect("held");
    let (account, name) = named(&published);
    let unkept = async || store.unkept(None, 10).await.expect("read").len();
    assert_eq!(unkept().await, 0, "nobody wants it");
    store.set_keep_rule(account, name.clone(), 2).await.expect("set");
    let missed = store.unkept(None, 10).await.expect("read");
    assert_eq!(missed.iter().map(|one| &one.path).collect::<Vec<_>>(), [&got.path]);
    assert!(store.unkept(Some(missed[0].id), 10).await.expect("read").is_empty());
    store.keep_version(NewHolding { origin: Origin::Kept, ..got }, NOW).await.expect("kept");
    assert_eq!(unkept().await, 0);
    let kept = store.kept_of(vec![(account, "b".parse().expect("a name")), (account, name.clone())]).await;
    let [none, kept] = kept.expect("read").try_into().expect("one each");
    assert_eq!(none, KeptOf::default());
    assert_eq!((kept.wanted, kept.versions, kept.bytes), (Some(2), 1, 3));

    let subscribe = async |target: &str| {
        let new = NewSubscription {
            account,
            owner: published.record.user.clone(),
            name: name.clone(),
            target: fixture.path(target),
            only: Vec::new(),
            share: true,
            limit: Rate::UNLIMITED,
            held: None,
        };
        store.subscribe(new, NOW).await.expect("subscribed").id
    };
    let (one, other) = (subscribe("a").await, subscribe("b").await);
    store.unsubscribe(one).await.expect("ended");
    assert_eq!(versions(&fixture, &published).await, [1], "the other follows it");
    store.unsubscribe(other).await.expect("ended");
    assert!(versions(&fixture, &published).await.is_empty());
    assert_eq!(store.keep_rule(account, name).await.expect("read"), None);
    store.sweep_kept(false).await.expect("swept");
    assert!(copies(&fixture).is_empty());
}
