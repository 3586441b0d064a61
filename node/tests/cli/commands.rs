//! Each command: what it asks the daemon, its document, and what people see.

use p2p_node::cli::Exit;
use serde_json::Value;

use crate::daemon::Daemon;
use crate::fake::node;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[track_caller]
fn assert_keys(value: &Value, expected: &[&str]) {
    let (mut found, mut expected) = (keys(value), expected.to_vec());
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

async fn good(arguments: &[&str]) -> Value {
    let (exit, document) = Daemon::start().document(arguments).await;
    assert_eq!(exit, Exit::Done, "{arguments:?}: {document}");
    document
}

#[tokio::test]
async fn list_and_search() {
    for arguments in [&["list"][..], &["search", "film"]] {
        let document = good(arguments).await;
        assert_keys(&document, &["items", "next", "source", "age_seconds"]);
        let item = &document["items"][0];
        let fields = ["owner", "name", "kind", "version", "size", "mtime", "content", "holders", "online"];
        assert_keys(item, &fields);
        assert_eq!(item["mtime"], "2026-11-03T10:12:00.5Z");
        assert_eq!(item["kind"], "file");
        assert_eq!(item["content"], blake3::hash(b"film.mkv").to_hex().as_str());
        assert_eq!(document["next"], Value::Null);
    }
}

#[tokio::test]
async fn get() {
    let document = good(&["get", "bob/film.mkv"]).await;
    let fields = [
        "owner",
        "name",
        "version",
        "path",
        "size",
        "content",
        "bytes_received",
        "bytes_reused",
        "seconds",
        "sources",
    ];
    assert_keys(&document, &fields);
    assert_keys(&document["sources"][0], &["node", "user", "bytes"]);
    assert_eq!(document["sources"][0]["node"], node(2).to_string());
}

#[tokio::test]
async fn share_shares_and_unshare() {
    let document = good(&["share", "/etc/hostname"]).await;
    let fields = ["owner", "name", "version", "outcome", "size", "content", "path", "notes", "notes_count"];
    assert_keys(&document, &fields);
    assert_eq!((&document["name"], &document["outcome"]), (&"hostname".into(), &"created".into()));
    let document = good(&["shares"]).await;
    assert_keys(&document, &["items"]);
    assert_keys(&document["items"][0], &["name", "path", "version", "size", "state", "content"]);
    let document = good(&["unshare", "film.mkv"]).await;
    assert_keys(&document, &["owner", "name", "version"]);
}

#[tokio::test]
async fn who_is_one_document_over_all_pages() {
    let document = good(&["who"]).await;
    assert_keys(&document, &["users"]);
    assert_eq!(document["users"].as_array().expect("a list").len(), 2);
    assert_keys(&document["users"][1], &["user", "nodes"]);
    let online = &document["users"][0]["nodes"][0];
    assert_keys(online, &["node", "address", "since"]);
    assert_eq!(online["since"], "2026-11-03T10:12:00Z");
}

#[tokio::test]
async fn status() {
    let document = good(&["status"]).await;
    let fields = ["node", "user", "network", "address", "index", "source", "shares", "transfers"];
    assert_keys(&document, &fields);
    assert_keys(&document["index"], &["state", "address"]);
    assert_keys(&document["shares"], &["count", "problems"]);
    let fields =
        ["direction", "owner", "name", "state", "path", "size", "bytes_done", "rate", "holders", "error"];
    assert_keys(&document["transfers"][0], &fields);
}

#[tokio::test]
async fn accounts() {
    let daemon = Daemon::start();
    let ended = daemon.run_with(&["signup", "alice", "--password-stdin"], "correct horse\n").await;
    assert_eq!((ended.exit, daemon.asked()), (Exit::Done, r#"("signup", "alice", "correct horse")"#.into()));
    assert!(ended.out.starts_with("signed up as alice"), "{}", ended.out);
    let login = ["login", "alice", "--forget", "--password-stdin", "--json"];
    let ended = daemon.run_with(&login, "correct horse").await;
    assert_eq!(daemon.asked(), r#"("login", "alice", "correct horse", true)"#);
    let document = serde_json::from_str(&ended.out).expect("one document");
    assert_keys(&document, &["user", "node", "network"]);
    assert_keys(&good(&["logout"]).await, &["user"]);
}

#[tokio::test]
async fn stop_waits_until_the_home_is_free() {
    let daemon = Daemon::start();
    let (exit, document) = daemon.document(&["stop"]).await;
    assert_eq!((exit, document["stopped"].as_bool()), (Exit::Done, Some(true)));
    daemon.home.lock().expect("free");
    assert_eq!(daemon.run(&["stop"]).await.exit, Exit::NoDaemon);
}

#[tokio::test]
async fn cancel() {
    let document = good(&["cancel", "bob/film.mkv"]).await;
    assert_keys(&document, &["owner", "name", "state"]);
    assert_eq!(document["state"], "cancelled");
}

#[tokio::test]
async fn id_needs_no_daemon() {
    let daemon = Daemon::absent();
    let (exit, document) = daemon.document(&["id"]).await;
    assert_eq!((exit, &document["error"]["code"]), (Exit::NotFound, &"no-such-path".into()));
    let key = certs::keystore::load_or_create_key(&daemon.home.identity_key()).expect("a key");
    assert_eq!(daemon.run(&["id"]).await.out, format!("{}\n", key.public()));
    let config = format!("index = \"{}@localhost:4820\"", node(9));
    std::fs::write(daemon.home.config(), config).expect("written");
    let (_, document) = daemon.document(&["id"]).await;
    assert_keys(&document, &["node", "network"]);
    assert_eq!(document["network"], node(9).to_string());
}

#[tokio::test]
async fn arguments_reach_the_daemon() {
    let daemon = Daemon::start();
    let here = std::env::current_dir().expect("a folder");
    daemon.run(&["share", "./a.txt", "--name", "u\u{308}bung", "--update"]).await;
    let asked = daemon.asked();
    assert!(asked.contains(&format!("{:?}", here.join("a.txt"))), "{asked}");
    assert!(asked.contains("name: \"übung\", update: true"), "{asked}");
    daemon.run(&["get", "bob/a/../x"]).await;
    daemon.run(&["get", "bob/x", "-o", "new/", "--once", "--no-share", "--force"]).await;
    let asked = daemon.asked();
    assert!(asked.contains(&format!("{}/new/\"", here.display())), "{asked}");
    assert!(asked.contains("once: true, share: false, force: true"), "{asked}");
    daemon.run(&["list", "--owner", "bob", "--online", "--limit", "7"]).await;
    assert!(
        daemon.asked().contains("owner: Some(\"bob\"), online: true, page: PageRequest { limit: Some(7)")
    );
    daemon.run(&["search", "holiday", "film", "--", "-trailer"]).await;
    assert!(daemon.asked().contains("query: \"holiday film -trailer\""), "{}", daemon.asked());
    daemon.run(&["unshare", "bob/x"]).await;
    assert!(daemon.asked().contains("owner: Some(\"bob\")"), "{}", daemon.asked());
}

#[tokio::test]
async fn people_see_lines_without_what_deceives() {
    let daemon = Daemon::start();
    let commands: [&[&str]; 9] = [
        &["list"],
        &["search", "x"],
        &["who"],
        &["shares"],
        &["status"],
        &["share", "/etc/hostname"],
        &["get", "bob/x"],
        &["unshare", "x"],
        &["cancel", "bob/x"],
    ];
    for command in commands {
        let ended = daemon.run(command).await;
        assert_eq!((ended.exit, ended.err.as_str()), (Exit::Done, ""), "{command:?}");
        assert!(ended.out.ends_with('\n'));
        assert!(!ended.out.chars().any(|char| char == '\u{202e}' || (char.is_control() && char != '\n')));
    }
    let list = daemon.run(&["list"]).await.out;
    let expected = "\
OWNER/NAME      KIND  VERSION      SIZE  MODIFIED (UTC)    HOLDERS
alice/film.mkv  file        3  3.00 GiB  2026-11-03 10:12      2/4
";
    assert_eq!(list, expected);
    let get = daemon.run(&["get", "bob/x"]).await.out;
    assert!(get.starts_with("bob/x version 2: 1.00 GiB in 8.0 s, 128.00 MiB/s\n"), "{get}");
}
