//! Programs that run after updates.

use std::path::Path;

use p2p_node::activity::{Activity, HookEnd};
use p2p_node::control::api::SubscribeRequest;
use p2p_node_tests::fixtures;
use p2p_node_tests::node::subscribe_request;
use p2p_node_tests::{Cluster, PATIENCE, Programs, TestProcess, wait_until};

use super::subscriptions::wait_for_version;

/// What the script has written, a line a run: the version and the path.
fn runs(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn wait_for_run(file: &Path, expected: &str) {
    wait_until(PATIENCE, &format!("the hook writes {expected}"), async || {
        let runs = runs(file);
        if runs.last().is_some_and(|last| last == expected) { Ok(()) } else { Err(runs) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_after_each_update_and_ends_with_the_newest() {
    let cluster = Cluster::start().await;
    let (alice, mut bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("a name; with $(touch x).txt"), 1, 1000);
    let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
    alice.share(&path).await.expect("shared");
    let written = cluster.path("written");
    let script = r#"printf '%s %s\n' "$P2P_NODE_VERSION" "$P2P_NODE_PATH" >> "$0""#;
    let words = ["/bin/sh", "-c", script, written.to_str().expect("UTF-8")].map(str::to_owned).to_vec();
    let request = || SubscribeRequest { on_update: Some(words.clone()), ..subscribe_request("alice", name) };
    let begun = bob.subscribe(request()).await.expect("subscribed");
    assert_eq!(begun.items[0].on_update, words);
    wait_for_version(&bob, name, 1).await;
    let target = bob.download_path("alice", name);
    let line = |version: u64| format!("{version} {}", target.display());
    for version in 2..=3 {
        fixtures::file(&path, version, 1000);
        alice.share(&path).await.expect("shared");
        wait_for_run(&written, &line(version)).await;
    }
    wait_until(PATIENCE, "the third run is over", async || {
        let events = bob.events().await;
        let third =
            |activity: &Activity| matches!(activity, Activity::HookRan { what, .. } if what.version == 3);
        if events.iter().any(|event| third(&event.activity)) { Ok(()) } else { Err(events) }
    })
    .await;
    bob.restart().await;
    for version in 4..=9 {
        fixtures::file(&path, version, 1000);
        alice.share(&path).await.expect("shared");
    }
    wait_for_run(&written, &line(9)).await;
    let versions: Vec<u64> = runs(&written)
        .iter()
        .map(|run| run.split_once(' ').expect("two words").0.parse().expect("a version"))
        .collect();
    assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    wait_until(PATIENCE, "each run is in the log", async || {
        let events = bob.events().await;
        let ran = events.iter().filter_map(|event| match &event.activity {
            Activity::HookRan { what, end, .. } => Some((what.version, end.clone())),
            _ => None,
        });
        let ran: Vec<_> = ran.collect();
        let good = |version: &u64| (*version, HookEnd::Exited { code: 0 });
        if ran == versions.iter().map(good).collect::<Vec<_>>() { Ok(()) } else { Err(ran) }
    })
    .await;

    bob.subscribe(SubscribeRequest { on_update: Some(Vec::new()), ..request() }).await.expect("none now");
    fixtures::file(&path, 10, 1000);
    alice.share(&path).await.expect("shared");
    wait_for_version(&bob, name, 10).await;
    bob.stop().await;
    assert_eq!(runs(&written).last(), Some(&line(9)), "the node has stopped, and none ran");
}

/// With this hook, to which all words after it belong.
async fn subscribe(node: &TestProcess, hook: &[&str]) {
    let words = [&["subscribe", "alice/a.txt", "--on-update"], hook].concat();
    let ended = node.command(&words).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// Killed while it runs, it is begun once more; what ended is not.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_a_crash_interrupted_runs_once_more() {
    let programs = Programs::start().await;
    let (alice, mut bob) = (programs.user("alice").await, programs.user("bob").await);
    let path = fixtures::file(&programs.path("a.txt"), 1, 1000);
    let share = async || alice.ask(&["share", path.to_str().expect("UTF-8")]).await;
    share().await;
    let (written, go_on) = (programs.path("written"), programs.path("go on"));
    let script = r#"echo "$P2P_NODE_VERSION" >> "$0"; until [ -e "$1" ]; do sleep 0.05; done"#;
    let (file, end) = (written.to_str().expect("UTF-8"), go_on.to_str().expect("UTF-8"));
    bob.ask(&["get", "alice/a.txt"]).await;
    subscribe(&bob, &["/bin/sh", "-c", script, file, end]).await;
    fixtures::file(&path, 2, 1000);
    share().await;
    wait_for_run(&written, "2").await;
    bob.kill_9().await;
    bob.start_again().await;
    let twice = async || if runs(&written) == ["2", "2"] { Ok(()) } else { Err(runs(&written)) };
    wait_until(PATIENCE, "it is begun once more", twice).await;
    std::fs::write(&go_on, "").expect("written");
    let ended = async || {
        let events = bob.command(&["events"]).await.documents();
        let ran: Vec<_> = events.iter().filter(|event| event["event"] == "hook-ran").collect();
        match &ran[..] {
            [one] if one["version"] == 2 && one["outcome"] == "exited" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    };
    wait_until(PATIENCE, "its end is in the log", ended).await;
    bob.kill_9().await;
    bob.start_again().await;
    fixtures::file(&path, 3, 1000);
    share().await;
    wait_for_run(&written, "3").await;
    assert_eq!(runs(&written), ["2", "2", "3"]);
}

/// It was killed each time: what may be what kills it is not tried for ever.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_ends_is_given_up() {
    let programs = Programs::start().await;
    let (alice, mut bob) = (programs.user("alice").await, programs.user("bob").await);
    let path = fixtures::file(&programs.path("a.txt"), 1, 1000);
    alice.ask(&["share", path.to_str().expect("UTF-8")]).await;
    let written = programs.path("written");
    let (script, file) = (r#"echo x >> "$0"; exec sleep 300"#, written.to_str().expect("UTF-8"));
    subscribe(&bob, &["/bin/sh", "-c", script, file]).await;
    for times in 1..=2 {
        let begun = async || if runs(&written).len() == times { Ok(()) } else { Err(runs(&written)) };
        wait_until(PATIENCE, "it is begun", begun).await;
        bob.kill_9().await;
        bob.start_again().await;
    }
    let given_up = async || {
        let events = bob.command(&["events"]).await.documents();
        let told = events.iter().any(|event| event["outcome"] == "not-started");
        if told { Ok(()) } else { Err(format!("{events:?}")) }
    };
    wait_until(PATIENCE, "it is given up", given_up).await;
    assert_eq!(runs(&written).len(), 2);
}
