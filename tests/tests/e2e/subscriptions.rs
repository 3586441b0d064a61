//! What was downloaded stays up to date.

use std::path::Path;

use p2p_node::control::api::{GetRequest, SubscriptionItem, SubscriptionState as State, UnsubscribeRequest};
use p2p_node_tests::cluster::refused;
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::node::{get_request, subscribe_request, unsubscribe_request};
use p2p_node_tests::{Cluster, PATIENCE, Programs, TestNode, TestProcess, wait_until};
use wire::ErrorCode;

/// Waits until a node holds this version, and says so.
pub(super) async fn wait_for_version(node: &TestNode, name: &str, version: u64) -> SubscriptionItem {
    let what = format!("version {version} of {name} at {}", node.home().display());
    wait_until(PATIENCE, &what, async || {
        let all = node.subscriptions().await;
        let found = all.into_iter().find(|one| one.name.as_str() == name);
        match found {
            Some(one) if one.version == Some(version) && one.state == State::Current => Ok(one),
            other => Err(other),
        }
    })
    .await
}

pub(super) async fn wait_for_state(node: &TestNode, name: &str, state: State) -> SubscriptionItem {
    let what = format!("{name} is {state:?} at {}", node.home().display());
    wait_until(PATIENCE, &what, async || {
        let all = node.subscriptions().await;
        let found = all.into_iter().find(|one| one.name.as_str() == name);
        found.clone().filter(|one| one.state == state).ok_or(found)
    })
    .await
}

pub(super) fn conflicts(folder: &Path) -> Vec<String> {
    fixtures::names_in(folder).into_iter().filter(|name| name.contains("sync-conflict")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_comes_by_itself() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("notes.txt"), 1, 100_000);
    alice.share(&path).await.expect("shared");
    let got = bob.get("alice", "notes.txt").await.expect("got");
    for version in 2..=4 {
        fixtures::file(&path, version, 100_000 + version as usize);
        alice.share(&path).await.expect("shared");
        wait_for_version(&bob, "notes.txt", version).await;
        assert_eq!(fixtures::read(got.path.as_path()), fixtures::read(&path));
    }
    let folder = got.path.as_path().parent().expect("a folder");
    assert_eq!(fixtures::names_in(folder), ["notes.txt"], "nothing is left of the versions before");
    let listed = bob.list().await.expect("listed");
    assert_eq!((listed[0].version, listed[0].online), (4, 2), "he serves it, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn once_is_once() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("notes.txt"), 1, 1000);
    alice.share(&path).await.expect("shared");
    let once = GetRequest { once: true, ..get_request("alice", "notes.txt") };
    bob.get_with(once).await.expect("got");
    assert!(bob.subscriptions().await.is_empty());
    refused(bob.unsubscribe(unsubscribe_request("alice", "notes.txt")).await, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_comes_at_the_next_start() {
    let mut cluster = Cluster::start().await;
    let (mut alice, mut bob, carol) =
        (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let path = fixtures::file(&cluster.path("notes.txt"), 1, MIB);
    alice.share(&path).await.expect("shared");
    let got = bob.get("alice", "notes.txt").await.expect("got");
    carol.get("alice", "notes.txt").await.expect("got");
    bob.stop().await;
    for version in 2..=4 {
        fixtures::file(&path, version, MIB);
        alice.share(&path).await.expect("shared");
    }
    wait_for_version(&carol, "notes.txt", 4).await;
    alice.stop().await;
    cluster.index.restart().await;
    bob.start_again().await;
    wait_for_version(&bob, "notes.txt", 4).await;
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::read(&path), "from carol, who has it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_edit_is_kept_beside_the_update() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("notes.txt"), 1, 1000);
    alice.share(&path).await.expect("shared");
    let got = bob.get("alice", "notes.txt").await.expect("got");
    std::fs::write(got.path.as_path(), b"what bob wrote").expect("written");
    let all = bob.subscriptions().await;
    assert!(all[0].edited && all[0].state == State::Current, "{all:?}");
    fixtures::file(&path, 2, 1000);
    alice.share(&path).await.expect("shared");
    wait_for_version(&bob, "notes.txt", 2).await;
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::read(&path));
    let folder = got.path.as_path().parent().expect("a folder");
    let kept = conflicts(folder);
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(fixtures::read(&folder.join(&kept[0])), b"what bob wrote");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unshared_stays_and_goes_on_when_it_is_shared_again() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("notes.txt"), 1, 1000);
    alice.share(&path).await.expect("shared");
    let got = bob.get("alice", "notes.txt").await.expect("got");
    alice.unshare("notes.txt").await.expect("unshared");
    wait_for_state(&bob, "notes.txt", State::Unshared).await;
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::read(&path));
    fixtures::file(&path, 2, 1000);
    let again = alice.share(&path).await.expect("shared");
    wait_for_version(&bob, "notes.txt", again.version).await;
    assert_eq!(fixtures::read(got.path.as_path()), fixtures::read(&path));
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_ones_wait_and_those_that_ended_stay_as_they_are() {
    let cluster = Cluster::start().await;
    let (alice, mut bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("notes.txt"), 1, 1000);
    alice.share(&path).await.expect("shared");
    let got = bob.get("alice", "notes.txt").await.expect("got");
    let first = fixtures::read(&path);
    bob.pause("alice", "notes.txt").await.expect("paused");
    fixtures::file(&path, 2, 1000);
    alice.share(&path).await.expect("shared");
    let told = wait_until(PATIENCE, "bob hears of it", async || {
        let all = bob.subscriptions().await;
        if all[0].newest == Some(2) { Ok(all) } else { Err(all) }
    });
    assert_eq!(told.await[0].state, State::Paused);
    bob.restart().await;
    assert_eq!(bob.subscriptions().await[0].state, State::Paused, "also after a restart");
    assert_eq!(fixtures::read(got.path.as_path()), first);
    bob.wait_for_index(p2p_node::control::api::IndexState::Connected).await;
    bob.resume(p2p_node_tests::node::job_request("alice", "notes.txt")).await.expect("resumed");
    wait_for_version(&bob, "notes.txt", 2).await;
    let ended = bob.unsubscribe(unsubscribe_request("alice", "notes.txt")).await.expect("ended");
    assert!(!ended.items[0].deleted);
    let second = fixtures::read(&path);
    fixtures::file(&path, 3, 1000);
    alice.share(&path).await.expect("shared");
    let other = fixtures::file(&cluster.path("other.txt"), 4, 1000);
    alice.share(&other).await.expect("shared");
    bob.get("alice", "other.txt").await.expect("got");
    assert_eq!(fixtures::read(got.path.as_path()), second);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_subscribed_to_before_anybody_has_it_and_removed_in_the_end() {
    let cluster = Cluster::start().await;
    let (mut alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("notes.txt"), 1, 1000);
    alice.share(&path).await.expect("shared");
    alice.stop().await;
    bob.wait_for_holders("alice", "notes.txt", 0).await;
    let begun = bob.subscribe(subscribe_request("alice", "notes.txt")).await.expect("subscribed");
    assert_eq!(begun.items[0].version, None);
    alice.start_again().await;
    let one = wait_for_version(&bob, "notes.txt", 1).await;
    assert_eq!(fixtures::read(one.path.as_path()), fixtures::read(&path));
    let again = bob.subscribe(subscribe_request("alice", "notes.txt")).await.expect("there is one");
    assert_eq!(again.items[0].version, Some(1));
    let mut request = unsubscribe_request("alice", "notes.txt");
    request.delete = true;
    let ended = bob.unsubscribe(request).await.expect("ended");
    assert!(ended.items[0].deleted && !one.path.as_path().exists(), "{ended:?}");
    bob.wait_for_holders("alice", "notes.txt", 1).await;
}

/// The same as [`what_was_missed_comes_at_the_next_start`] for a folder too, with programs that are killed.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_while_all_were_killed_comes_from_another_holder() {
    let mut programs = Programs::start().await;
    let (mut alice, mut bob, carol) =
        (programs.user("alice").await, programs.user("bob").await, programs.user("carol").await);
    let (file, folder) = (programs.path("notes.txt"), programs.path("docs"));
    let publish = async |version: u64| {
        fixtures::file(&file, version, MIB);
        fixtures::file(&folder.join("changes"), version, 100_000);
        fixtures::file(&folder.join(format!("of {version}/new")), version, 1000);
        if version > 1 {
            std::fs::remove_dir_all(folder.join(format!("of {}", version - 1))).expect("removed");
        }
        for path in [&file, &folder] {
            alice.ask(&["share", path.to_str().expect("UTF-8")]).await;
        }
    };
    publish(1).await;
    for node in [&bob, &carol] {
        for name in ["alice/notes.txt", "alice/docs"] {
            node.ask(&["get", name]).await;
        }
    }
    bob.kill_9().await;
    for version in 2..=4 {
        publish(version).await;
    }
    wait_for_current(&carol, 4).await;
    alice.kill_9().await;
    programs.index.kill_9().await;
    programs.index.start_again().await;
    bob.start_again().await;
    wait_for_current(&bob, 4).await;
    let target = bob.home().join("downloads/alice");
    assert_eq!(fixtures::read(&target.join("notes.txt")), fixtures::read(&file));
    assert_eq!(fixtures::read(&target.join("docs/changes")), fixtures::read(&folder.join("changes")));
    assert_eq!(fixtures::names_in(&target.join("docs")), ["changes", "of 4"]);
    assert_eq!(fixtures::read(&target.join("docs/of 4/new")), fixtures::bytes(4, 1000));
    assert_eq!(fixtures::names_in(&target), ["docs", "notes.txt"]);
}

/// Waits until a program has this version of all that it is subscribed to.
async fn wait_for_current(node: &TestProcess, version: u64) {
    let what = format!("version {version} at {}", node.home().display());
    wait_until(PATIENCE, &what, async || {
        let all = node.ask(&["subscriptions"]).await["items"].clone();
        let items = all.as_array().expect("items");
        let current = items.iter().all(|item| item["state"] == "current" && item["version"] == version);
        if current { Ok(()) } else { Err(all) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_goes_with_its_subscription_but_for_what_was_edited() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let folder = cluster.path("docs");
    for (number, name) in ["a.txt", "dir/b.txt", "dir/c.txt"].into_iter().enumerate() {
        fixtures::file(&folder.join(name), number as u64, 1000);
    }
    alice.share(&folder).await.expect("shared");
    let request = || UnsubscribeRequest { delete: true, ..unsubscribe_request("alice", "docs") };
    let target = bob.get("alice", "docs").await.expect("got").path.into_path();
    bob.wait_for_holders("alice", "docs", 2).await;
    fixtures::write(&target.join("dir/b.txt"), b"bob's");
    fixtures::write(&target.join("mine.txt"), b"bob's");
    let done = bob.unsubscribe(request()).await.expect("ended").items.remove(0);
    assert!(!done.deleted && done.kept_because.is_some() && done.stays_count == 2, "{done:?}");
    let mut stays: Vec<_> = done.stays.iter().map(|one| one.path.as_path().to_owned()).collect();
    stays.sort();
    assert_eq!(stays, [target.join("dir/b.txt"), target.join("mine.txt")]);
    assert_eq!(fixtures::names_in(&target), ["dir", "mine.txt"]);
    assert_eq!(fixtures::names_in(&target.join("dir")), ["b.txt"]);
    assert!(bob.subscriptions().await.is_empty());
    bob.wait_for_holders("alice", "docs", 1).await;

    // Without an edit nothing is left, and it can be had again.
    std::fs::remove_dir_all(&target).expect("removed");
    bob.get("alice", "docs").await.expect("got again");
    let done = bob.unsubscribe(request()).await.expect("ended").items.remove(0);
    assert!(done.deleted && done.stays.is_empty() && !target.exists(), "{done:?}");
}
