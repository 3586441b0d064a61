//! What was edited here when an update comes is kept beside it, whenever that happens.

use std::path::{Path, PathBuf};

use p2p_node::activity::{Activity, Version};
use p2p_node::control::api::{SubscriptionState as State, TransferState};
use p2p_node::store::fs::FsOp;
use p2p_node_tests::cluster::user;
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::{Cluster, PATIENCE, TestNode, wait_until};

use super::subscriptions::{conflicts, wait_for_version};

const EDIT: &[u8] = b"what bob wrote";

/// What Alice shares, and which file of it Bob edits.
#[derive(Debug, Clone, Copy)]
enum What {
    File,
    InFolder,
}

/// How Bob's editor saves.
#[derive(Debug, Clone, Copy)]
enum Saves {
    InPlace,
    ByRename,
}

const CASES: [(What, Saves); 4] = [
    (What::File, Saves::InPlace),
    (What::File, Saves::ByRename),
    (What::InFolder, Saves::InPlace),
    (What::InFolder, Saves::ByRename),
];

/// Alice has shared something, and Bob is subscribed to it.
struct Edited {
    cluster: Cluster,
    alice: TestNode,
    bob: TestNode,
    name: &'static str,
    /// The file in what is shared; empty where that is the file.
    inside: &'static str,
    saves: Saves,
}

impl Edited {
    async fn start((what, saves): (What, Saves)) -> Self {
        eprintln!("{what:?}, {saves:?}");
        let cluster = Cluster::start().await;
        let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
        let (name, inside) = match what {
            What::File => ("notes.bin", ""),
            What::InFolder => {
                fixtures::file(&cluster.path("docs/other"), 100, 1000);
                ("docs", "deep/notes.bin")
            }
        };
        let this = Self { cluster, alice, bob, name, inside, saves };
        fixtures::file(&this.source(), 1, MIB);
        this.alice.share(&this.cluster.path(name)).await.expect("shared");
        this.bob.get("alice", name).await.expect("got");
        this
    }

    fn source(&self) -> PathBuf {
        inside(self.cluster.path(self.name), self.inside)
    }

    fn target(&self) -> PathBuf {
        inside(self.bob.download_path("alice", self.name), self.inside)
    }

    fn edit(&self) {
        match self.saves {
            Saves::InPlace => drop(fixtures::write(&self.target(), EDIT)),
            Saves::ByRename => {
                let saved = fixtures::write(&self.bob.home().join("saved"), EDIT);
                std::fs::rename(saved, self.target()).expect("renamed");
            }
        }
    }

    async fn publish(&self) {
        fixtures::file(&self.source(), 2, MIB + 1);
        self.alice.share(&self.cluster.path(self.name)).await.expect("shared");
    }

    /// The new version is there, the edit beside it, and the log tells that.
    async fn is_kept(&self) {
        let one = wait_for_version(&self.bob, self.name, 2).await;
        assert!((one.newest, one.edited, one.why.as_ref()) == (Some(2), false, None), "{one:?}");
        let target = self.target();
        assert!(fixtures::read(&target) == fixtures::bytes(2, MIB + 1), "another content");
        let folder = target.parent().expect("a folder");
        let kept = conflicts(folder);
        assert_eq!(kept.len(), 1, "{kept:?}");
        let kept = folder.join(&kept[0]);
        assert_eq!(fixtures::read(&kept), EDIT);
        let what = Version::new(&user("alice"), &self.name.parse().expect("a name"), 2);
        let expected = Activity::Conflict { what, path: target.clone().into(), kept: kept.into() };
        let events = self.bob.events().await.into_iter().map(|event| event.activity);
        let told: Vec<_> = events.filter(|event| event.name() == "conflict").collect();
        assert_eq!(told, [expected]);
        let names = fixtures::names_in(&self.bob.home().join("downloads/alice"));
        let known = |name: &String| name == self.name || name.contains("sync-conflict");
        assert!(names.iter().all(known), "{names:?}");
        // It goes on from here.
        fixtures::file(&self.source(), 3, MIB);
        self.alice.share(&self.cluster.path(self.name)).await.expect("shared");
        let one = wait_for_version(&self.bob, self.name, 3).await;
        assert!(!one.edited && fixtures::read(&self.target()) == fixtures::bytes(3, MIB), "{one:?}");
        assert_eq!(conflicts(folder).len(), 1, "the copy stays, and there is no other");
    }
}

fn inside(path: PathBuf, inside: &str) -> PathBuf {
    match inside {
        "" => path,
        inside => path.join(Path::new(inside)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_update() {
    for case in CASES {
        let edited = Edited::start(case).await;
        edited.edit();
        edited.publish().await;
        edited.is_kept().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_comes() {
    for case in CASES {
        let edited = Edited::start(case).await;
        edited.bob.limit(&["download=300KiB"]).await;
        edited.publish().await;
        wait_until(PATIENCE, "some of it is there", async || {
            let transfers = edited.bob.status().await.transfers;
            let comes = transfers.iter().any(|one| one.bytes_done > 0);
            if comes { Ok(()) } else { Err(transfers) }
        })
        .await;
        edited.edit();
        let transfers = edited.bob.status().await.transfers;
        assert_eq!(transfers.iter().map(|one| one.state).collect::<Vec<_>>(), [TransferState::Running]);
        let all = edited.bob.subscriptions().await;
        assert_eq!((all[0].state, all[0].version), (State::Updating, Some(1)));
        edited.bob.limit(&["download=none"]).await;
        edited.is_kept().await;
    }
}

/// All of it has come: only the call that puts it in place is missing.
#[tokio::test(flavor = "multi_thread")]
async fn as_it_is_put_in_place() {
    for op in [FsOp::RenameNew, FsOp::Replace] {
        for case in CASES {
            let edited = Edited::start(case).await;
            let hang = edited.bob.fs().hang(op, "downloads/alice");
            edited.publish().await;
            wait_until(PATIENCE, "it is about to be put in place", async || {
                let hanging = edited.bob.fs().hanging();
                if hanging > 0 { Ok(()) } else { Err(edited.bob.subscriptions().await) }
            })
            .await;
            edited.edit();
            drop(hang);
            edited.is_kept().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_node_was_down() {
    for case in CASES {
        let mut edited = Edited::start(case).await;
        edited.bob.stop().await;
        edited.edit();
        edited.publish().await;
        edited.bob.start_again().await;
        edited.is_kept().await;
    }
}

/// Removed here, it comes again: there is nothing to keep.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_here_comes_again() {
    for case in CASES {
        let edited = Edited::start(case).await;
        std::fs::remove_file(edited.target()).expect("removed");
        edited.publish().await;
        wait_for_version(&edited.bob, edited.name, 2).await;
        assert!(fixtures::read(&edited.target()) == fixtures::bytes(2, MIB + 1));
        assert!(conflicts(edited.target().parent().expect("a folder")).is_empty());
    }
}
