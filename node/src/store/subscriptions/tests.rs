use certs::UnixNanos;

use super::super::tests::{Fixture, NOW, manifest_of, record, signed};
use super::super::{
    CreatedJob, Draft, InstallError, InstallFacts, InstalledFile, JobId, JobOptions, NewJob, Offer,
    OpenedPartial, Removed, import,
};
use super::*;
use crate::store::fs::OsFs;
use std::sync::Arc;

const NEW: &[u8] = b"what the owner publishes";

fn rank(version: u64) -> RecordRank {
    rank_of(&signed(record("a", version, &manifest_of(b"x", 1))))
}

fn stamp() -> FileStamp {
    FileStamp { size: 1, mtime: UnixNanos(2), inode: 3, device: 4 }
}

fn held(version: u64) -> HeldVersion {
    let content = ContentHash::of(&version.to_be_bytes());
    HeldVersion { rank: rank(version), content, root: None, stamp: stamp(), since: NOW }
}

fn new(fixture: &Fixture, name: &str, target: &str) -> NewSubscription {
    NewSubscription {
        account: AccountId::from_bytes([5; 16]),
        owner: "alice".parse().expect("a name"),
        name: name.parse().expect("a name"),
        target: fixture.path(target),
        only: vec!["*.txt".to_owned()],
        share: true,
        limit: Rate::UNLIMITED,
        held: None,
    }
}

#[tokio::test]
async fn what_is_subscribed_survives_whole() {
    let mut fixture = Fixture::new();
    let one = fixture.store.subscribe(new(&fixture, "a", "a"), NOW).await.expect("stored");
    let (id, hook) = (one.id, vec!["/bin/true".to_owned(), String::new()]);
    let store = &fixture.store;
    store.set_subscription_hook(id, hook.clone(), false).await.expect("set");
    store.pause_subscription(id, true).await.expect("set");
    let newest = NewestVersion { rank: rank(3), gone: true };
    store.set_newest(one.account, one.name.clone(), newest, NOW.plus(1)).await.expect("set");
    store.hold_back(id, rank(3).hash(), "too much".to_owned()).await.expect("set");
    fixture.reopen().await;
    let found = fixture.store.subscriptions(None, 10).await.expect("read");
    let held_back = Some((rank(3).hash(), "too much".to_owned()));
    let checked = Some(NOW.plus(1));
    assert_eq!(found, [Subscription { hook, paused: true, newest: Some(newest), held_back, checked, ..one }]);
    let accepted = fixture.store.accept(id).await.expect("accepted");
    assert_eq!(accepted, Some(rank(3).hash()));
    assert_eq!(fixture.store.accept(id).await.expect("asked"), None, "nothing waits any more");
    let found = fixture.store.subscription(id).await.expect("read").expect("there");
    assert_eq!((found.held_back, found.accepted), (None, accepted));
}

#[tokio::test]
async fn the_newest_never_becomes_an_older_one() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let one = store.subscribe(new(&fixture, "a", "a"), NOW).await.expect("stored");
    for (version, expected) in [(2, 2), (1, 2), (3, 3)] {
        let newest = NewestVersion { rank: rank(version), gone: false };
        store.set_newest(one.account, one.name.clone(), newest, NOW.plus(version)).await.expect("set");
        let found = store.subscription(one.id).await.expect("read").expect("there");
        assert_eq!(found.newest.map(|newest| newest.rank), Some(rank(expected)));
        assert_eq!(found.checked, Some(NOW.plus(version)), "it was looked at all the same");
    }
}

#[tokio::test]
async fn a_place_has_one_subscription_and_what_it_holds_stays() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let first = NewSubscription { held: Some(held(1)), ..new(&fixture, "a", "a") };
    let one = store.subscribe(first, NOW).await.expect("stored");
    let again = NewSubscription { share: false, ..new(&fixture, "a", "a") };
    let same = store.subscribe(again, NOW.plus(9)).await.expect("stored");
    assert_eq!(same, Subscription { share: false, ..one.clone() });
    let other = store.subscribe(new(&fixture, "b", "a"), NOW).await.expect("stored");
    assert!(other.id > one.id && other.held.is_none());
    assert_eq!(store.subscription_at(fixture.path("a")).await.expect("read"), Some(other.clone()));
    assert_eq!(store.subscription(one.id).await.expect("read"), None);
    assert!(store.unsubscribe(other.id).await.expect("removed"));
    assert!(!store.unsubscribe(other.id).await.expect("asked"));
}

/// A version of a file is downloaded to the target `a`, all of it in one piece, and installed.
pub(in crate::store) async fn install(fixture: &Fixture, name: &str, version: u64, once: bool) -> Job {
    install_as(fixture, name, version, JobOptions { once, ..OPTIONS }).await
}

const OPTIONS: JobOptions = JobOptions { force: true, ..JobOptions::PLAIN };

async fn install_as(fixture: &Fixture, name: &str, version: u64, options: JobOptions) -> Job {
    let job = begin_as(fixture, name, version, options).await;
    put_in_place(fixture, job, version).await.expect("installed");
    fixture.store.job(job).await.expect("read").expect("there")
}

/// All of it is there, and not in place yet.
pub(in crate::store) async fn begin(fixture: &Fixture, name: &str, version: u64) -> JobId {
    begin_as(fixture, name, version, OPTIONS).await
}

async fn begin_as(fixture: &Fixture, name: &str, version: u64, options: JobOptions) -> JobId {
    let store = &fixture.store;
    let path = fixture.path("source");
    std::fs::write(&path, [NEW, &version.to_be_bytes()].concat()).expect("written");
    let imported = import(&OsFs::new(), &path, None, &|_, _| {}, &|| false).expect("imports");
    std::fs::remove_file(&path).expect("removed");
    let record = signed(record(name, version, &imported.manifest));
    let offer = Offer { record, receipt: None, certificate: None, root: None };
    let base = None;
    let new = NewJob { target: fixture.path("a"), options, only: Vec::new(), base, offer };
    let CreatedJob::New(job) = store.create_job(new, NOW).await.expect("created") else { panic!("new") };
    store.set_job_root(job.id, imported.manifest.root_hash).await.expect("set");
    store.put_received(Arc::new(imported.manifest), None::<Draft>).await.expect("put");
    let OpenedPartial { file, .. } = store.open_partial(job.id, NOW).await.expect("opened");
    file.write_chunks(0, &[NEW, &version.to_be_bytes()].concat()).expect("written");
    job.id
}

pub(in crate::store) async fn put_in_place(
    fixture: &Fixture,
    job: JobId,
    version: u64,
) -> Result<InstalledFile, InstallError> {
    let store = &fixture.store;
    let held = store.subscription_at(fixture.path("a")).await.expect("read").and_then(|one| one.held);
    let base = held.map(|held| held.content);
    let user = "alice".parse().expect("a name");
    let facts = InstallFacts { executable: false, mtime: UnixNanos(7), user, base, bytes_reused: 0 };
    store.install(job, facts, NOW.plus(version)).await
}

#[tokio::test]
async fn what_is_installed_is_subscribed_to_and_each_version_stands_for_the_one_before() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let at = async || store.subscription_at(fixture.path("a")).await.expect("read");
    install(&fixture, "a", 1, true).await;
    assert_eq!(at().await, None, "once is once");
    let job = install(&fixture, "a", 2, false).await;
    let one = at().await.expect("subscribed");
    let held = one.held.expect("held");
    assert_eq!((held.rank, held.content, held.root), (rank_of(&job.record), job.content, job.root));
    assert_eq!(held.since, NOW.plus(2));
    let job = install(&fixture, "a", 3, true).await;
    let same = at().await.expect("it stays subscribed");
    assert_eq!((same.id, same.held.expect("held").rank), (one.id, rank_of(&job.record)));
    assert_eq!(store.collect_garbage().await.expect("collected").manifests, 0, "each version before went");
    install(&fixture, "b", 1, false).await;
    let other = at().await.expect("subscribed");
    assert!(other.id > one.id && other.name.as_str() == "b");
}

/// The command is refused there; this is of a subscription that was made while the download ran.
#[tokio::test]
async fn an_old_version_at_its_place_ends_a_subscription() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    install(&fixture, "a", 2, false).await;
    let options = JobOptions { once: true, pinned: true, ..OPTIONS };
    let job = install_as(&fixture, "a", 1, options).await;
    assert!(job.options.pinned, "it is kept with the download");
    assert_eq!(store.subscription_at(fixture.path("a")).await.expect("read"), None);
}

#[tokio::test]
async fn the_manifest_of_what_is_held_stays() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let job = install(&fixture, "a", 1, false).await;
    let root = job.root.expect("chosen");
    let one = store.subscription_at(job.target).await.expect("read").expect("there");
    let forgotten = store.db().write("forget", |transaction| transaction.execute("DELETE FROM holding", []));
    forgotten.await.expect("forgotten");
    store.collect_garbage().await.expect("collected");
    assert!(store.layout(root).await.expect("read").is_some(), "the subscription needs it");
    store.unsubscribe(one.id).await.expect("removed");
    assert!(store.manifest_root(root).await.expect("read").is_none());
}

#[tokio::test]
async fn what_was_edited_is_not_removed() {
    let fixture = Fixture::new();
    let job = install(&fixture, "a", 1, false).await;
    let one = fixture.store.subscription_at(job.target).await.expect("read").expect("there");
    std::fs::write(fixture.path("a"), b"a user's").expect("written");
    let removed = fixture.store.remove_subscribed(one.id).await.expect("asked");
    assert_eq!(removed.kept_because.as_deref(), Some("it was edited here"));
    assert_eq!(std::fs::read(fixture.path("a")).expect("there"), b"a user's");
    assert_eq!(fixture.store.subscription(one.id).await.expect("read"), None, "it ended all the same");
}

#[tokio::test]
async fn what_is_as_it_was_is_removed() {
    let fixture = Fixture::new();
    for edit in [false, true] {
        let job = install(&fixture, "a", 1, false).await;
        let one = fixture.store.subscription_at(job.target).await.expect("read").expect("there");
        if edit {
            // The same bytes are no edit.
            std::fs::write(fixture.path("a"), [NEW, &1_u64.to_be_bytes()].concat()).expect("written");
        }
        assert_eq!(fixture.store.remove_subscribed(one.id).await.expect("asked"), Removed::default());
        assert!(!fixture.path("a").exists());
    }
}
