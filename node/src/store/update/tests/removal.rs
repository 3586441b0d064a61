//! What is removed of a folder that nobody wants any more: what was installed, and nothing else.

use super::*;
use crate::store::{Removed, SubscriptionId};

fn version() -> Tree {
    tree(&[
        ("a.txt", file("a")),
        ("dir", Node::Folder),
        ("dir/b.txt", file("b")),
        ("dir/inner", Node::Folder),
        ("dir/inner/c.txt", file("c")),
        ("empty", Node::Folder),
        ("link", Node::Link("a.txt".to_owned())),
    ])
}

/// The version, in its place.
async fn subscribed() -> (Fixture, SubscriptionId) {
    let (fixture, ..) = installed(OsFs::new(), &version(), &version()).await;
    let one = fixture.store.subscription_at(fixture.path("docs")).await.expect("read").expect("there");
    (fixture, one.id)
}

async fn remove(fixture: &Fixture, id: SubscriptionId) -> Removed {
    fixture.store.remove_subscribed(id).await.expect("removed")
}

/// What stays, relative to the folder, and whether it was edited.
fn stays(fixture: &Fixture, removed: &Removed) -> Vec<(String, bool)> {
    let root = fixture.path("docs");
    let relative = |path: &Path| path.strip_prefix(&root).expect("below").to_str().expect("UTF-8").to_owned();
    let mut stays: Vec<_> =
        removed.stays.iter().map(|one| (relative(&one.path), one.why == "it was edited here")).collect();
    stays.sort();
    assert_eq!(removed.stays_count, stays.len() as u64);
    stays
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_as_it_was_goes_with_its_subscription() {
    let (fixture, id) = subscribed().await;
    let one = fixture.store.subscription(id).await.expect("read").expect("there");
    // One that was removed before is gone, and a new time is no edit.
    std::fs::remove_file(fixture.path("docs/dir/b.txt")).expect("removed");
    let touched = std::fs::File::options().write(true).open(fixture.path("docs/a.txt")).expect("opened");
    touched.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("set");
    assert_eq!(remove(&fixture, id).await, Removed::default());
    assert!(!fixture.path("docs").exists());
    assert_eq!(fixture.store.subscription(id).await.expect("read"), None);
    assert!(fixture.store.holdings_at(fixture.path("docs")).await.expect("read").is_empty());
    let root = one.held.and_then(|held| held.root).expect("known");
    let manifest = fixture.store.manifest_root(root).await.expect("read");
    assert!(manifest.is_none(), "nothing needs it");
    assert_eq!(remove(&fixture, id).await, Removed::default(), "once more is as good");
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_and_what_is_not_of_it_stay_and_are_named() {
    let (fixture, id) = subscribed().await;
    let at = |path: &str| fixture.path("docs").join(path);
    std::fs::write(at("dir/inner/c.txt"), "a user's").expect("written");
    std::fs::write(at("dir/mine.txt"), "mine").expect("written");
    std::fs::create_dir(at("dir/my folder")).expect("made");
    std::fs::remove_file(at("link")).expect("removed");
    symlink("dir", at("link")).expect("linked");
    std::fs::remove_file(at("a.txt")).expect("removed");
    std::fs::create_dir(at("a.txt")).expect("made");
    let removed = remove(&fixture, id).await;
    let expected = [
        ("a.txt", true),
        ("dir/inner/c.txt", true),
        ("dir/mine.txt", false),
        ("dir/my folder", false),
        ("link", true),
    ];
    assert_eq!(stays(&fixture, &removed), expected.map(|(path, edited)| (path.to_owned(), edited)));
    assert!(removed.kept_because.is_some());
    let left: Vec<_> = disk(&fixture.path("docs")).into_keys().collect();
    let folders = ["a.txt", "dir", "dir/inner", "dir/inner/c.txt", "dir/mine.txt", "dir/my folder", "link"];
    assert_eq!(left, folders);
    assert_eq!(std::fs::read(at("dir/inner/c.txt")).expect("there"), b"a user's");
    assert_eq!(fixture.store.subscription(id).await.expect("read"), None, "it ended all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_part_only_that_goes() {
    let fixture = Fixture::new();
    let all = Version::put(&fixture, 1, &version()).await;
    let job = all.job(&fixture, None, true, &["dir/inner"]).await;
    let partial = all.receive(&fixture, job).await.expect("received");
    all.install(&fixture, job, partial).await.expect("installed");
    let one = fixture.store.subscription_at(fixture.path("docs")).await.expect("read").expect("there");
    // It has the very bytes of a file that was not chosen.
    std::fs::write(fixture.path("docs/a.txt"), "a").expect("written");
    let removed = remove(&fixture, one.id).await;
    assert_eq!(stays(&fixture, &removed), [("a.txt".to_owned(), false)]);
    assert_eq!(disk(&fixture.path("docs")).into_keys().collect::<Vec<_>>(), ["a.txt"]);
}

/// Wherever the machine stops, nothing of a user's is gone, and the same once more ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_stops_at_any_call_can_go_on() {
    for after in 0.. {
        let (mut fixture, id) = subscribed().await;
        std::fs::write(fixture.path("docs/dir/b.txt"), "a user's").expect("written");
        fixture.fs.die_after(after);
        let done = fixture.store.remove_subscribed(id).await;
        let stopped = fixture.fs.is_dead();
        fixture.fs.clear();
        fixture.reopen().await;
        let one = fixture.store.subscription(id).await.expect("read");
        let begun = disk(&fixture.path("docs")).len() < version().len();
        assert!(!begun || one.as_ref().is_none_or(|one| one.paused), "{after}: nothing updates it meanwhile");
        if one.is_some() {
            assert!(done.is_err(), "{after}");
            let removed = remove(&fixture, id).await;
            assert_eq!(stays(&fixture, &removed), [("dir/b.txt".to_owned(), true)], "{after}");
        }
        assert_eq!(std::fs::read(fixture.path("docs/dir/b.txt")).expect("there"), b"a user's");
        let left: Vec<_> = disk(&fixture.path("docs")).into_keys().collect();
        assert_eq!(left, ["dir", "dir/b.txt"], "{after}");
        if !stopped {
            assert!(after > 10, "{after}");
            return;
        }
    }
}
