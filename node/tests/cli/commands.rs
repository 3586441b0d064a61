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
        "event",
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
        "source",
        "age_seconds",
        "kept",
        "conflicts",
        "conflicts_count",
    ];
    assert_keys(&document, &fields);
    assert_keys(&document["sources"][0], &["node", "user", "bytes"]);
    assert_eq!(document["sources"][0]["node"], node(2).to_string());
}

#[tokio::test]
async fn get_says_how_far_it_is() {
    let daemon = Daemon::start();
    let documents = daemon.run(&["get", "bob/film.mkv", "--json"]).await.documents();
    assert_eq!(
        documents.len(),
        2,
        "what changes is told at once, more of the same twice a second: {documents:?}"
    );
    assert_eq!((&documents[0]["event"], &documents[1]["event"]), (&"progress".into(), &"done".into()));
    let fields = [
        "event",
        "id",
        "owner",
        "name",
        "state",
        "size",
        "bytes_done",
        "bytes_received",
        "bytes_reused",
        "rate",
        "eta_ms",
        "holders",
        "files",
        "note",
    ];
    assert_keys(&documents[0], &fields);
    assert_eq!((&documents[0]["state"], &documents[0]["eta_ms"]), (&"downloading".into(), &512_000.into()));
    assert_keys(&documents[0]["holders"][0], &["node", "user", "bytes", "share", "rate", "rtt_ms", "loss"]);
    assert_keys(&documents[0]["files"], &["done", "total", "current"]);
    let quiet = daemon.run(&["get", "bob/film.mkv", "--json", "--quiet"]).await.documents();
    assert_eq!(quiet, [documents[1].clone()]);

    let error = p2p_node::control::ApiError::new(wire::ErrorCode::NoHolder, "nobody has it");
    *daemon.fake.long.lock().expect("not poisoned") = crate::fake::Long::Fails(error);
    let ended = daemon.run(&["get", "bob/film.mkv", "--json"]).await;
    let failed = ended.documents().pop().expect("a document");
    assert_keys(&failed, &["event", "owner", "name", "error"]);
    assert_eq!((ended.exit, &failed["event"]), (Exit::Unreachable, &"failed".into()));
}

#[tokio::test]
async fn the_limit_of_one_download() {
    let document = good(&["limit", "--transfer", "7", "download=5m"]).await;
    assert_keys(&document, &["id", "owner", "name", "state", "download"]);
    assert_eq!((&document["id"], &document["download"]), (&7.into(), &(5 << 20).into()));
    let daemon = Daemon::start();
    let ended = daemon.run(&["limit", "-t", "bob/x", "download=off"]).await;
    assert_eq!(ended.out, "download 7 of bob/x (paused) has no limit of its own\n");
    assert!(daemon.asked().contains("download: Some(Rate(None))"), "{}", daemon.asked());
    let ended = daemon.run(&["limit", "-t", "7", "download=5m"]).await;
    assert_eq!(ended.out, "download 7 of bob/x (paused) may take 5MiB/s\n");
    for wrong in [&["limit", "-t", "x", "download=1m"][..], &["limit", "-t", "7", "upload=1m"]] {
        let (exit, document) = daemon.document(wrong).await;
        assert_eq!((exit, &document["error"]["code"]), (Exit::Usage, &"usage".into()), "{wrong:?}");
    }
}

#[tokio::test]
async fn transfers_are_followed_until_it_is_interrupted() {
    for arguments in [&["transfers", "--follow"][..], &["transfers", "--follow", "--json"]] {
        let daemon = Daemon::start();
        let interrupt = async {
            daemon.fake.shown.notified().await;
            daemon.fake.shown.notified().await;
            daemon.interrupt.notify_one();
        };
        let (ended, ()) = tokio::join!(daemon.run(arguments), interrupt);
        assert_eq!((ended.exit, ended.err.as_str()), (Exit::Done, ""), "{arguments:?}");
        assert!(!ended.out.contains('\u{1b}'), "no terminal: {}", ended.out);
        if arguments.contains(&"--json") {
            let documents = ended.documents();
            assert!(documents.len() >= 2, "{}", ended.out);
            assert!(
                documents.iter().all(|one| one["time"].is_string() && one["id"].is_number()),
                "{}",
                ended.out
            );
        } else {
            assert!(ended.out.matches("OWNER/NAME").count() >= 2, "{}", ended.out);
        }
    }
}

#[tokio::test]
async fn limit_and_get_with_a_limit() {
    let document = good(&["limit"]).await;
    assert_keys(&document, &["now", "configured"]);
    let keys = ["upload", "download", "upload_per_peer", "download_per_peer", "upload_slots"];
    assert_keys(&document["now"], &keys);
    assert_eq!((&document["now"]["upload"], &document["now"]["upload_slots"]), (&0.into(), &256.into()));
    let document = good(&["limit", "upload=10MB", "download=1m", "upload=none"]).await;
    assert_eq!((&document["now"]["upload"], &document["now"]["download"]), (&0.into(), &(1 << 20).into()));
    let daemon = Daemon::start();
    let ended = daemon.run(&["limit", "upload=2KiB"]).await;
    assert!(ended.out.contains("2KiB/s") && ended.out.contains("until the daemon restarts"), "{}", ended.out);
    daemon.run(&["get", "bob/film.mkv", "--limit", "500KiB"]).await;
    assert!(daemon.asked().contains("limit: Some(Rate(Some(512000)))"));
    for wrong in [&["limit", "upload"][..], &["limit", "up=1"], &["get", "bob/x", "--limit", "fast"]] {
        let (exit, document) = daemon.document(wrong).await;
        assert_eq!((exit, &document["error"]["code"]), (Exit::Usage, &"usage".into()), "{wrong:?}");
    }
}

#[tokio::test]
async fn share_shares_and_unshare() {
    let document = good(&["share", "/etc/hostname"]).await;
    let fields = [
        "owner",
        "name",
        "version",
        "outcome",
        "size",
        "content",
        "path",
        "notes",
        "notes_count",
        "kept",
        "pending",
    ];
    assert_keys(&document, &fields);
    assert_eq!((&document["name"], &document["outcome"]), (&"hostname".into(), &"created".into()));
    let document = good(&["shares"]).await;
    assert_keys(&document, &["items"]);
    assert_keys(&document["items"][0], &["name", "path", "version", "size", "state", "watched", "content"]);
    let document = good(&["unshare", "film.mkv"]).await;
    assert_keys(&document, &["owner", "name", "version", "pending"]);
}

#[tokio::test]
async fn who_is_one_document_over_all_pages() {
    let document = good(&["who"]).await;
    assert_keys(&document, &["users", "source", "age_seconds"]);
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
    let fields = [
        "id",
        "direction",
        "owner",
        "name",
        "state",
        "path",
        "size",
        "bytes_done",
        "rate",
        "holders",
        "error",
    ];
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
    assert_keys(&document, &["id", "owner", "name", "state"]);
    assert_eq!(document["state"], "cancelled");
}

#[tokio::test]
async fn pause_and_resume() {
    let daemon = Daemon::start();
    for (arguments, asked, state) in [
        (&["pause", "bob/film.mkv"][..], r#"("pause", Resource { owner: "bob""#, "paused"),
        (&["pause", "7"], r#"("pause", Id { id: 7 })"#, "paused"),
        (&["resume", "7"], r#"("resume", Id { id: 7 })"#, "running"),
        (&["resume", "bob/film.mkv"], r#"("resume", Resource { owner: "bob""#, "running"),
        (&["cancel", "7"], r#"("cancel", Id { id: 7 })"#, "cancelled"),
    ] {
        let (exit, document) = daemon.document(arguments).await;
        assert_eq!(exit, Exit::Done, "{arguments:?}: {document}");
        assert_keys(&document, &["id", "owner", "name", "state"]);
        assert_eq!(document["state"], state, "{arguments:?}");
        assert!(daemon.asked().starts_with(asked), "{}", daemon.asked());
    }
    let (_, document) = daemon.document(&["pause", "--all"]).await;
    assert_keys(&document["items"][0], &["id", "owner", "name", "state"]);
    assert_eq!(daemon.run(&["pause", "--all"]).await.out, "download 7 of bob/x is paused\n");
    let ended = daemon.run(&["resume", "--all"]).await;
    assert_eq!((ended.exit, ended.err.as_str()), (Exit::Done, "no download is paused\n"));
    for arguments in [&["pause"][..], &["resume"], &["pause", "7", "--all"], &["cancel", "film.mkv"]] {
        assert_eq!(daemon.run(arguments).await.exit, Exit::Usage, "{arguments:?}");
    }
}

#[tokio::test]
async fn transfers() {
    let daemon = Daemon::start();
    let ended = daemon.run(&["transfers", "--json"]).await;
    let lines: Vec<Value> =
        ended.out.lines().map(|line| serde_json::from_str(line).expect("a document")).collect();
    assert_eq!(lines.len(), 2, "{}", ended.out);
    let fields = [
        "id",
        "direction",
        "owner",
        "name",
        "state",
        "path",
        "size",
        "bytes_done",
        "rate",
        "holders",
        "error",
        "stage",
        "finished",
        "bytes_received",
        "eta_ms",
        "limit",
        "files",
        "peers",
    ];
    assert_keys(&lines[0], &fields);
    assert_keys(&lines[0]["peers"][0], &["node", "user", "bytes", "share", "rate", "rtt_ms", "loss"]);
    assert_eq!((&lines[0]["state"], &lines[0]["stage"]), (&"running".into(), &"verifying".into()));
    let shown = daemon.run(&["transfers"]).await.out;
    for part in
        ["verifying", "nobody\\u{202e} is there", "12.3 ms", "2.5 %", "45 %", "50 %", "0:55", "5MiB/s"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[tokio::test]
async fn get_detached() {
    let document = good(&["get", "bob/film.mkv", "--detach"]).await;
    assert_keys(&document, &["id", "owner", "name", "version", "path", "size", "state"]);
    let daemon = Daemon::start();
    let ended = daemon.run(&["get", "bob/x", "bob/y", "--detach", "--wait"]).await;
    assert_eq!(ended.out.lines().count(), 2, "{}", ended.out);
    assert!(ended.out.starts_with("download 7 of bob/x version 2 runs: 1.00 GiB, to "), "{}", ended.out);
    let asked = daemon.asked();
    assert!(asked.starts_with("(\"start\", ") && asked.contains("wait: true"), "{asked}");
}

#[tokio::test]
async fn get_of_several() {
    let daemon = Daemon::start();
    let ended = daemon.run(&["get", "bob/x", "bob/y", "-o", "here", "--json"]).await;
    let mut lines = ended.documents();
    lines.retain(|line| line["event"] == "done");
    let mut names: Vec<_> = lines.iter().filter_map(|line| line["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!((ended.exit, names), (Exit::Done, vec!["x", "y"]));
    assert!(lines[0]["path"].as_str().is_some_and(|path| path.ends_with("/here/")), "a folder: {}", lines[0]);

    let error = p2p_node::control::ApiError::new(wire::ErrorCode::NotFound, "there is no bob/x");
    daemon.fake.errors.lock().expect("not poisoned").push_back(error);
    let ended = daemon.run(&["get", "bob/x", "bob/y"]).await;
    assert_eq!(ended.exit, Exit::NotFound);
    assert!(ended.err.starts_with("error: bob/"), "{}", ended.err);
    assert_eq!(ended.out.matches("verified: ").count(), 1, "the other is there: {}", ended.out);
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
    assert!(
        asked
            .contains("name: \"übung\", update: true, onto: None, links: None, gitignore: None, watch: None"),
        "{asked}"
    );
    for (arguments, walked) in [
        (["--links", "skip", "--gitignore"], "links: Some(Skip), gitignore: Some(true), watch: None"),
        (["--links", "keep", "--no-gitignore"], "links: Some(Keep), gitignore: Some(false), watch: None"),
        (["--no-watch", "--watch", "--gitignore"], "gitignore: Some(true), watch: Some(true)"),
        (["--watch", "--no-watch", "--gitignore"], "gitignore: Some(true), watch: Some(false)"),
    ] {
        daemon.run(&[&["share", "docs"], &arguments[..]].concat()).await;
        assert!(daemon.asked().contains(walked), "{}", daemon.asked());
    }
    daemon.run(&["get", "bob/a/../x"]).await;
    daemon.run(&["get", "bob/x", "-o", "new/", "--once", "--no-share", "--force"]).await;
    let asked = daemon.asked();
    assert!(asked.contains(&format!("{}/new/\"", here.display())), "{asked}");
    assert!(asked.contains("once: true, share: false, force: true, wait: false, parents: false"), "{asked}");
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
    let commands: [&[&str]; 13] = [
        &["list"],
        &["search", "x"],
        &["who"],
        &["shares"],
        &["status"],
        &["share", "/etc/hostname"],
        &["get", "bob/x"],
        &["unshare", "x"],
        &["cancel", "bob/x"],
        &["transfers"],
        &["pause", "bob/x"],
        &["resume", "7"],
        &["get", "bob/x", "bob/y"],
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

#[tokio::test]
async fn events() {
    let daemon = Daemon::start();
    let ended = daemon.run(&["events", "--json", "--limit", "3"]).await;
    assert_eq!((ended.exit, ended.err.as_str()), (Exit::Done, ""));
    let lines: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert_keys(&lines[0], &["time", "event", "id"]);
    let fields =
        ["time", "event", "resource", "version", "from_version", "path", "bytes_received", "bytes_reused"];
    assert_keys(&lines[1], &[&fields[..], &["sources", "seconds", "id"]].concat());
    assert_eq!((&lines[1]["event"], &lines[1]["resource"]), (&"updated".into(), &"alice/evil.mkv".into()));
    assert_eq!((&lines[1]["time"], &lines[1]["seconds"]), (&"2026-11-03T10:12:00.008Z".into(), &0.42.into()));
    assert!(daemon.asked().contains("limit: Some(3), since: None, follow: false"), "{}", daemon.asked());

    let ended = daemon.run(&["events"]).await;
    assert_eq!((ended.exit, ended.out.lines().count()), (Exit::Done, 3), "{}", ended.out);
    let updated =
        "  updated alice/evil.mkv to version 4: 1.00 MiB received, 40.00 MiB reused, from bob, in 0.4 s";
    assert!(ended.out.lines().nth(1).expect("a line").ends_with(updated), "{}", ended.out);
    assert!(
        ended.out.contains("/films/evil\\u{202e}.mkv, shared as alice/evil.mkv, is changed"),
        "{}",
        ended.out
    );
    assert!(daemon.asked().contains("limit: Some(50)"), "{}", daemon.asked());
    daemon.run(&["events", "--since", "2026-11-03T10:12:00Z"]).await;
    let asked = daemon.asked();
    assert!(asked.contains("limit: None, since: Some(Moment(2026-11-03T10:12:00Z))"), "{asked}");
}

#[tokio::test]
async fn gc() {
    let daemon = Daemon::start();
    let (exit, document) = daemon.document(&["gc", "--dry-run"]).await;
    assert_eq!((exit, daemon.asked().as_str()), (Exit::Done, "(\"gc\", true)"));
    assert_keys(&document, &["dry_run", "versions", "bytes", "manifests"]);
    assert_eq!(daemon.run(&["gc"]).await.out, "removed 2 old versions (3.00 MiB) and 4 manifests\n");
    let out = daemon.run(&["gc", "--dry-run"]).await.out;
    assert_eq!(out, "would remove 2 old versions (3.00 MiB) and 4 manifests\n");
}
