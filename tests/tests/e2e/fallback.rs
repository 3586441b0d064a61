//! The network without its index: everything goes on that does not need it.

use std::time::Duration;

use p2p_node_tests::{Programs, wait_until};

use super::five::{Five, HEARD, OVER, names, wait_for_list, wait_for_names};

/// A node that knows one other one has learnt everything after this.
const LEARNT: Duration = Duration::from_secs(15);

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
        if ended.code == Some(0) && super::five::names(&listed) == names { Ok(()) } else { Err(listed) }
    })
    .await;
    let got = frank.ask(&["get", "carol/text.txt"]).await;
    assert_ne!(got["source"], "index");
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
