//! The network without its index: everything goes on that does not need it, and comes together when it is back.

use std::path::Path;
use std::time::Duration;

use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::{PATIENCE, Programs, TestProcess, wait_until};
use serde_json::Value;

/// Within this time after the end of the index every node lists what it listed before.
const OVER: Duration = Duration::from_secs(20);
/// What is new in the meantime is known everywhere after this.
const HEARD: Duration = Duration::from_secs(10);
/// A node that knows one other one has learnt everything after this.
const LEARNT: Duration = Duration::from_secs(15);
/// An index that is back knows everything after this.
const MERGED: Duration = Duration::from_secs(30);

/// Five users, of whom bob and alice have the film, carol a text, and dave a folder.
struct Five {
    programs: Programs,
    users: Vec<TestProcess>,
}

impl Five {
    async fn start() -> Self {
        let programs = Programs::start_with_fallback().await;
        let mut users = Vec::new();
        for user in ["alice", "bob", "carol", "dave", "erin"] {
            users.push(programs.user(user).await);
        }
        let five = Self { programs, users };
        five.share("alice", "film.mkv", 1, 12 * MIB).await;
        five.share("carol", "text.txt", 2, 1000).await;
        let folder = five.programs.path("photos");
        fixtures::file(&folder.join("one.jpg"), 3, 30_000);
        fixtures::file(&folder.join("two.jpg"), 4, 50_000);
        five.of("dave").ask(&["share", text(&folder)]).await;
        five.of("bob").ask(&["get", "alice/film.mkv"]).await;
        five.of("erin").ask(&["get", "carol/text.txt"]).await;
        five
    }

    fn of(&self, user: &str) -> &TestProcess {
        let home = self.programs.home(user);
        self.users.iter().find(|one| one.home() == home).expect("one of the five")
    }

    async fn share(&self, user: &str, name: &str, seed: u64, size: usize) -> Value {
        let path = fixtures::file(&self.programs.path(name), seed, size);
        self.of(user).ask(&["share", text(&path)]).await
    }

    /// Waits until every node has all that the others share in its own copy.
    async fn wait_for_copies(&self) {
        for user in &self.users {
            wait_until(PATIENCE, "the copies are full", async || {
                let fallback = user.ask(&["status"]).await["fallback"].clone();
                let full = fallback["catalogues"] == 5 && fallback["entries"] == 3;
                if full { Ok(()) } else { Err(fallback) }
            })
            .await;
        }
    }
}

/// Waits until a node lists exactly this, not from the index.
async fn wait_for_list(node: &TestProcess, wanted: &Value, patience: Duration) {
    let what = format!("{} lists it", node.home().display());
    wait_until(patience, &what, async || {
        let ended = node.command(&["list"]).await;
        if ended.code != Some(0) {
            return Err(ended.json());
        }
        let listed = ended.json();
        let alone = listed["source"] == "cache" || listed["source"] == "dht";
        if alone && listed["items"] == *wanted { Ok(()) } else { Err(listed) }
    })
    .await;
}

/// Waits until a node lists such names.
async fn wait_for_names(node: &TestProcess, wanted: &[&str], patience: Duration) -> Value {
    let what = format!("{} lists {wanted:?}", node.home().display());
    wait_until(patience, &what, async || {
        let listed = node.ask(&["list"]).await;
        if names(&listed) == wanted { Ok(listed) } else { Err(listed) }
    })
    .await
}

fn names(listed: &Value) -> Vec<String> {
    let name = |item: &Value| item["name"].as_str().expect("a name").to_owned();
    listed["items"].as_array().expect("items").iter().map(name).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn five_go_on_when_the_index_is_killed() {
    let mut five = Five::start().await;
    five.wait_for_copies().await;
    let before = five.of("erin").ask(&["list"]).await;
    assert_eq!((&before["source"], before["items"].as_array().map(Vec::len)), (&"index".into(), Some(3)));
    five.programs.index.kill_9().await;
    for user in &five.users {
        wait_for_list(user, &before["items"], OVER).await;
        let found = user.ask(&["search", "film"]).await;
        assert_eq!(names(&found), ["film.mkv"], "{found}");
        assert_ne!(found["source"], "index");
    }
    let status = five.of("erin").ask(&["status"]).await;
    assert_eq!(status["fallback"]["in_use"], true, "{status}");
    assert!(status["fallback"]["why"].as_str().is_some_and(|why| why.contains("the index")), "{status}");
    let who = five.of("erin").ask(&["who"]).await;
    assert_eq!(who["users"].as_array().map(Vec::len), Some(5), "{who}");
    assert_ne!(who["source"], "index");

    for holder in ["alice", "bob"] {
        five.of(holder).ask(&["limit", "upload=4MB"]).await;
    }
    let got = five.of("erin").ask(&["get", "alice/film.mkv"]).await;
    let sources: Vec<_> =
        got["sources"].as_array().expect("sources").iter().map(|one| &one["user"]).collect();
    assert!(sources.contains(&&"alice".into()) && sources.contains(&&"bob".into()), "{got}");
    assert_ne!(got["source"], "index");

    let shared = five.share("dave", "new.bin", 5, 200_000).await;
    assert_eq!((&shared["outcome"], &shared["pending"]), (&"created".into(), &true.into()));
    for user in &five.users {
        wait_for_names(user, &["film.mkv", "text.txt", "new.bin", "photos"], HEARD).await;
    }
    let got = five.of("alice").ask(&["get", "dave/new.bin"]).await;
    assert_eq!(got["content"], shared["content"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_lost_its_databases_learns_everything_from_one_that_it_knows() {
    let mut five = Five::start().await;
    let mut frank = five.programs.user("frank").await;
    frank.stop().await;
    five.programs.index.kill_9().await;
    for database in ["node.db", "replica.db", "dht.db"] {
        for ending in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(frank.home().join(format!("{database}{ending}")));
        }
    }
    let names = ["film.mkv", "text.txt", "photos"];
    wait_for_names(five.of("alice"), &names, OVER).await;
    let frank = five.programs.peer_that_knows("frank", five.of("bob")).await;
    wait_until(LEARNT, "frank lists everything", async || {
        let ended = frank.command(&["list"]).await;
        let listed = ended.json();
        if ended.code == Some(0) && self::names(&listed) == names { Ok(()) } else { Err(listed) }
    })
    .await;
    let got = frank.ask(&["get", "carol/text.txt"]).await;
    assert_ne!(got["source"], "index");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_meanwhile_is_merged() {
    let mut five = Five::start().await;
    five.wait_for_copies().await;
    five.programs.index.kill_9().await;
    wait_for_names(five.of("bob"), &["film.mkv", "text.txt", "photos"], OVER).await;

    // A new version of what bob has: he gets it by itself.
    let updated = five.share("alice", "film.mkv", 7, MIB).await;
    assert_eq!((&updated["version"], &updated["pending"]), (&2.into(), &true.into()));
    let film = five.of("bob").home().join("downloads/alice/film.mkv");
    let content = fixtures::hash_of(&five.programs.path("film.mkv"));
    wait_until(PATIENCE, "bob has the new version", async || match fixtures::hash_of(&film) == content {
        true => Ok(()),
        false => Err(five.of("bob").ask(&["subscriptions"]).await),
    })
    .await;
    let gone = five.of("carol").ask(&["unshare", "text.txt"]).await;
    assert_eq!(gone["pending"], true);
    five.share("erin", "late.bin", 8, 5000).await;
    let names = ["film.mkv", "photos", "late.bin"];
    for user in &five.users {
        wait_for_names(user, &names, HEARD).await;
    }

    five.programs.index.start_again().await;
    for user in &five.users {
        user.wait_for_state("connected").await;
    }
    let what = "the index lists what was done meanwhile";
    let listed = wait_until(MERGED, what, async || {
        let listed = five.of("dave").ask(&["list"]).await;
        let merged = listed["source"] == "index" && self::names(&listed) == names;
        if merged { Ok(listed) } else { Err(listed) }
    })
    .await;
    assert_eq!(listed["items"][0]["version"], 2);
    for (user, name) in [("alice", "film.mkv"), ("erin", "late.bin")] {
        wait_until(MERGED, "the receipt has come", async || {
            let share = five.of(user).ask(&["shares"]).await;
            let item =
                share["items"].as_array().expect("items").iter().find(|item| item["name"] == name).cloned();
            if item.as_ref().is_some_and(|item| item["state"] == "shared") { Ok(()) } else { Err(share) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_the_index_says_so() {
    let mut programs = Programs::start_with_fallback().await;
    let (alice, new) = (programs.user("alice").await, programs.peer("new").await);
    programs.index.kill_9().await;
    for arguments in [&["signup", "carol", "--password-stdin"][..], &["login", "alice", "--password-stdin"]] {
        let ended = new.command_with(arguments, "some password\n").await;
        assert_eq!((ended.code, ended.error_code().as_str()), (Some(5), "unavailable"), "{ended:?}");
    }
    let ended = alice.command(&["logout"]).await;
    assert_eq!((ended.code, ended.error_code().as_str()), (Some(5), "unavailable"), "{ended:?}");
    assert_eq!(alice.ask(&["status"]).await["user"], "alice");
    // She knows nobody whom she could ask.
    let ended = alice.command(&["list"]).await;
    assert_eq!((ended.code, ended.error_code().as_str()), (Some(5), "unavailable"), "{ended:?}");
    assert!(ended.out.contains("--peer HOST:PORT"), "{ended:?}");
}
