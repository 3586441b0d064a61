//! Changes so large that the user is asked first.

use std::path::Path;

use p2p_node::control::api::{IndexState, SubscriptionState as State};
use p2p_node::options::UpdateOptions;
use p2p_node_tests::cluster::refused;
use p2p_node_tests::fixtures;
use p2p_node_tests::{Cluster, PATIENCE, TestNode, wait_until};
use wire::ErrorCode;

use super::subscriptions::{wait_for_state, wait_for_version};

const FILES: u64 = 100;
const REMOVED: u64 = 60;

/// Alice has shared 100 files and removed 60 of them; Bob has the 100.
struct Held {
    cluster: Cluster,
    alice: TestNode,
    bob: TestNode,
}

impl Held {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
        let this = Self { cluster, alice, bob };
        this.make(0..FILES);
        this.share().await;
        this.bob.get("alice", "photos").await.expect("got");
        this.remove(0..REMOVED);
        this.share().await;
        this.waits_with("60 of its 100 files are gone").await;
        this
    }

    fn make(&self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let content = fixtures::bytes(number, 100 + number as usize);
            fixtures::write(&self.cluster.path("photos").join(name(number)), &content);
        }
    }

    fn remove(&self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            std::fs::remove_file(self.cluster.path("photos").join(name(number))).expect("removed");
        }
    }

    async fn share(&self) {
        self.alice.share(&self.cluster.path("photos")).await.expect("shared");
    }

    async fn waits_with(&self, why: &str) {
        let one = wait_for_state(&self.bob, "photos", State::HeldBack).await;
        assert_eq!((one.version, one.why.as_deref()), (Some(1), Some(why)));
        self.has(0..FILES);
    }

    /// These files are there, and nothing else.
    fn has(&self, numbers: std::ops::Range<u64>) {
        let target = self.bob.download_path("alice", "photos");
        let names: Vec<_> = numbers.clone().map(name).collect();
        assert_eq!(fixtures::names_in(&target), names);
        for number in numbers {
            assert_eq!(read(&target, number), fixtures::bytes(number, 100 + number as usize));
        }
        let folder = target.parent().expect("a folder");
        assert_eq!(fixtures::names_in(folder), ["photos"], "no temporary folder");
    }

    async fn count_held(&self) -> usize {
        self.bob.event_names().await.iter().filter(|name| **name == "update-held").count()
    }
}

fn name(number: u64) -> String {
    format!("{number:03}.jpg")
}

fn read(folder: &Path, number: u64) -> Vec<u8> {
    fixtures::read(&folder.join(name(number)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mass_deletion_waits_also_over_a_restart_until_it_is_accepted() {
    let mut held = Held::start().await;
    held.bob.restart().await;
    held.bob.wait_for_index(IndexState::Connected).await;
    held.waits_with("60 of its 100 files are gone").await;
    // What comes after it is asked for, too.
    fixtures::write(&held.cluster.path("photos/099.jpg"), b"another");
    held.share().await;
    wait_until(PATIENCE, "the version after it waits", async || {
        let one = held.bob.subscriptions().await.remove(0);
        let waits = one.state == State::HeldBack && one.newest == Some(3);
        if waits { Ok(()) } else { Err(one) }
    })
    .await;
    held.has(0..FILES);
    held.bob.restart().await;
    held.bob.wait_for_index(IndexState::Connected).await;
    held.bob.accept("alice", "photos").await.expect("accepted");
    wait_for_version(&held.bob, "photos", 3).await;
    assert_eq!(fixtures::read(&held.bob.download_path("alice", "photos/099.jpg")), b"another");
    fixtures::write(&held.bob.download_path("alice", "photos/099.jpg"), &fixtures::bytes(99, 199));
    held.has(REMOVED..FILES);
    assert_eq!(held.count_held().await, 2);
    assert!(!held.bob.event_names().await.contains(&"conflict"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_brings_the_files_back_goes_through() {
    let mut held = Held::start().await;
    assert_eq!(held.count_held().await, 1);
    held.bob.restart().await;
    held.bob.wait_for_index(IndexState::Connected).await;
    held.waits_with("60 of its 100 files are gone").await;
    assert_eq!(held.count_held().await, 1, "it is told once");
    held.make(0..FILES + 1);
    held.share().await;
    let one = wait_for_version(&held.bob, "photos", 3).await;
    assert_eq!((one.why, one.newest), (None, Some(3)));
    held.has(0..FILES + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_accepted_and_installed() {
    let held = Held::start().await;
    held.bob.accept("alice", "photos").await.expect("accepted");
    wait_for_version(&held.bob, "photos", 2).await;
    held.has(REMOVED..FILES);
    assert_eq!(held.count_held().await, 1);
    refused(held.bob.accept("alice", "photos").await, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_as_the_user_has_configured() {
    let cluster = Cluster::start().await;
    let (alice, mut bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let changes = UpdateOptions {
        deleted_share: "5%".parse().expect("a share"),
        largest_growth: "1000".parse().expect("a size"),
        growth_factor: 2.try_into().expect("a factor"),
        ..UpdateOptions::default()
    };
    bob.configure_updates(changes);
    bob.restart().await;
    let mut this = Held { cluster, alice, bob };
    this.make(0..FILES);
    this.share().await;
    this.bob.get("alice", "photos").await.expect("got");
    this.remove(0..6);
    this.share().await;
    this.waits_with("6 of its 100 files are gone").await;

    let path = fixtures::file(&this.cluster.path("film"), 1, 1000);
    this.alice.share(&path).await.expect("shared");
    this.bob.get("alice", "film").await.expect("got");
    fixtures::file(&path, 2, 4000);
    this.alice.share(&path).await.expect("shared");
    let one = wait_for_state(&this.bob, "film", State::HeldBack).await;
    assert_eq!(one.why.as_deref(), Some("it grows from 1000 to 4000 bytes"));

    // Who wants never to be asked is not.
    let never = "100%".parse().expect("a share");
    this.bob.configure_updates(UpdateOptions { deleted_share: never, ..UpdateOptions::default() });
    this.bob.restart().await;
    this.remove(6..FILES - 1);
    this.share().await;
    wait_for_version(&this.bob, "photos", 3).await;
    let left = fixtures::names_in(&this.bob.download_path("alice", "photos"));
    assert_eq!(left, [name(FILES - 1)]);
}
