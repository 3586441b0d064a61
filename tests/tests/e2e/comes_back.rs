//! The index is back, with its database or without: what was done meanwhile is merged, nothing is lost and nothing risen.

use std::time::Duration;

use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::{PATIENCE, TestProcess, wait_until};
use serde_json::Value;

use super::admin::lose_database;
use super::five::{Five, HEARD, OVER, names, wait_for_names};

/// An index that is back knows everything after this.
const MERGED: Duration = Duration::from_secs(30);
/// What is shared after the outage.
const AFTER: [&str; 3] = ["film.mkv", "photos", "late.bin"];

/// Shares, updates, and takes back while the index is away: what it has not heard of at all, too.
async fn change_everything(five: &Five) {
    let updated = five.share("alice", "film.mkv", 7, MIB).await;
    assert_eq!((&updated["version"], &updated["pending"]), (&2.into(), &true.into()));
    let gone = five.of("carol").ask(&["unshare", "text.txt"]).await;
    assert_eq!(gone["pending"], true);
    five.share("erin", "short.txt", 9, 10).await;
    five.of("erin").ask(&["unshare", "short.txt"]).await;
    five.share("erin", "late.bin", 8, 5000).await;
}

/// Waits until all that a user shares has its receipt.
async fn wait_for_receipts(user: &TestProcess) {
    wait_until(MERGED, &format!("{} has its receipts", user.home().display()), async || {
        let shares = user.ask(&["shares"]).await;
        let items = shares["items"].as_array().expect("items");
        let accepted = items.iter().all(|item| item["state"] == "shared");
        if accepted { Ok(()) } else { Err(shares) }
    })
    .await;
}

/// Waits until the index answers this node, and lists what is shared after the outage.
async fn wait_for_merged(node: &TestProcess) -> Value {
    wait_until(MERGED, "the index lists what was done meanwhile", async || {
        let listed = node.ask(&["list"]).await;
        let merged = listed["source"] == "index" && names(&listed) == AFTER;
        if merged { Ok(listed) } else { Err(listed) }
    })
    .await
}

/// Waits until all copies and the index say the same, holders and who of them is online among it.
async fn wait_until_equal(five: &Five) {
    for user in &five.users {
        user.wait_for_state("connected").await;
        wait_for_receipts(user).await;
    }
    wait_until(PATIENCE, "all list the same", async || {
        let index = five.of("alice").ask(&["list"]).await["items"].clone();
        let mut seen = Vec::new();
        for user in &five.users {
            let (listed, status) = (user.ask(&["list"]).await, user.ask(&["status"]).await);
            let full = status["fallback"]["catalogues"] == 5 && status["fallback"]["entries"] == AFTER.len();
            if listed["items"] != index || listed["source"] != "index" || !full {
                seen.push((listed, status["fallback"].clone()));
            }
        }
        if seen.is_empty() { Ok(()) } else { Err((index, seen)) }
    })
    .await;
}

/// Waits until the index knows the five and their five records, two of them of what was taken back.
async fn wait_for_recovered(index: &TestProcess, patience: Duration) {
    wait_until(patience, "all is back, once", async || {
        let status = index.ask(&["admin", "recovery", "status"]).await;
        let counts = ["accounts", "without_password", "nodes", "records"].map(|count| status[count].as_u64());
        if counts == [Some(5); 4] && status["recovering"] == true { Ok(()) } else { Err(status) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_meanwhile_is_merged() {
    let mut five = Five::start().await;
    five.wait_for_copies().await;
    five.programs.index.kill_9().await;
    wait_for_names(five.of("bob"), &["film.mkv", "text.txt", "photos"], OVER).await;
    change_everything(&five).await;
    // Of what bob has there is a new version: he gets it by itself.
    let film = five.of("bob").home().join("downloads/alice/film.mkv");
    let content = fixtures::hash_of(&five.programs.path("film.mkv"));
    wait_until(PATIENCE, "bob has the new version", async || match fixtures::hash_of(&film) == content {
        true => Ok(()),
        false => Err(five.of("bob").ask(&["subscriptions"]).await),
    })
    .await;
    for user in &five.users {
        wait_for_names(user, &AFTER, HEARD).await;
    }

    five.programs.index.start_again().await;
    let listed = wait_for_merged(five.of("bob")).await;
    assert_eq!(listed["items"][0]["version"], 2);
    wait_until_equal(&five).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_without_its_database_learns_everything_from_those_who_are_there() {
    let mut five = Five::start().await;
    five.wait_for_copies().await;
    // From now on others speak for dave.
    five.of_mut("dave").stop().await;
    five.programs.index.kill_9().await;
    wait_for_names(five.of("bob"), &["film.mkv", "text.txt", "photos"], OVER).await;
    change_everything(&five).await;
    for user in five.users.iter().filter(|user| user.home() != five.programs.home("dave")) {
        wait_for_names(user, &AFTER, HEARD).await;
    }

    lose_database(five.programs.index.home());
    five.programs.index.start_again().await;
    let listed = wait_for_merged(five.of("bob")).await;
    assert_eq!(listed["items"][0]["version"], 2);
    let stranger = five.programs.peer("stranger").await;
    stranger.wait_for_state("not-enrolled").await;
    for name in ["alice", "dave", "nobody"] {
        let line = "a good password\n";
        let signup = stranger.command_with(&["signup", name, "--password-stdin"], line).await;
        assert_eq!(signup.error_code(), "signup-closed", "{name}");
        let login = stranger.command_with(&["login", name, "--password-stdin"], line).await;
        assert_eq!(login.error_code(), "not-allowed", "{name}");
    }
    wait_for_recovered(&five.programs.index, MERGED).await;

    five.of_mut("dave").start_again().await;
    wait_until_equal(&five).await;
    wait_for_recovered(&five.programs.index, PATIENCE).await;
    let over = five.programs.index.ask(&["admin", "recovery", "finish"]).await;
    assert_eq!(over["recovering"], false, "{over}");
    for name in ["alice", "dave"] {
        let signup = stranger.command_with(&["signup", name, "--password-stdin"], "a good password\n").await;
        assert_eq!(signup.error_code(), "name-taken", "{name}");
    }
    stranger.signup("frank").await;
    wait_for_names(&stranger, &AFTER, HEARD).await;
    let got = stranger.ask(&["get", "dave/photos"]).await;
    assert_eq!(got["version"], 1, "{got}");
}
