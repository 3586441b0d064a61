//! A network of five users, of whom bob and alice have the film, erin and carol a text, and dave a folder; what its nodes list.

use std::path::Path;
use std::time::Duration;

use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::{PATIENCE, Programs, TestProcess, wait_until};
use serde_json::Value;

/// Within this time after the end of the index every node lists what it listed before.
pub(crate) const OVER: Duration = Duration::from_secs(20);
/// What is new in the meantime is known everywhere after this.
pub(crate) const HEARD: Duration = Duration::from_secs(10);

/// The five, with the index.
pub(crate) struct Five {
    pub(crate) programs: Programs,
    pub(crate) users: Vec<TestProcess>,
}

impl Five {
    pub(crate) async fn start() -> Self {
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

    pub(crate) fn of(&self, user: &str) -> &TestProcess {
        let home = self.programs.home(user);
        self.users.iter().find(|one| one.home() == home).expect("one of the five")
    }

    pub(crate) fn of_mut(&mut self, user: &str) -> &mut TestProcess {
        let home = self.programs.home(user);
        self.users.iter_mut().find(|one| one.home() == home).expect("one of the five")
    }

    pub(crate) async fn share(&self, user: &str, name: &str, seed: u64, size: usize) -> Value {
        let path = fixtures::file(&self.programs.path(name), seed, size);
        self.of(user).ask(&["share", text(&path)]).await
    }

    /// Waits until every node has all that the others share in its own copy.
    pub(crate) async fn wait_for_copies(&self) {
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
pub(crate) async fn wait_for_list(node: &TestProcess, wanted: &Value, patience: Duration) {
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
pub(crate) async fn wait_for_names(node: &TestProcess, wanted: &[&str], patience: Duration) -> Value {
    let what = format!("{} lists {wanted:?}", node.home().display());
    wait_until(patience, &what, async || {
        let listed = node.ask(&["list"]).await;
        if names(&listed) == wanted { Ok(listed) } else { Err(listed) }
    })
    .await
}

pub(crate) fn names(listed: &Value) -> Vec<String> {
    let name = |item: &Value| item["name"].as_str().expect("a name").to_owned();
    listed["items"].as_array().expect("items").iter().map(name).collect()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}
