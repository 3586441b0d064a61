//! The versions of a resource: listed, and got by their number.

use p2p_node::cli::Exit;
use p2p_node::control::ApiError;
use serde_json::Value;
use wire::ErrorCode;

use crate::daemon::Daemon;
use crate::fake::node;

#[tokio::test]
async fn all_pages_are_one_document_and_one_table() {
    let daemon = Daemon::start();
    let (exit, document) = daemon.document(&["versions", "alice/film.mkv"]).await;
    assert_eq!((exit, &document["next"], &document["source"]), (Exit::Done, &Value::Null, &"index".into()));
    let items = document["items"].as_array().expect("a list");
    let versions: Vec<_> = items.iter().map(|item| item["version"].as_u64().expect("a number")).collect();
    assert_eq!(versions, [12, 11, 9]);
    let mut keys: Vec<_> = items[0].as_object().expect("an object").keys().collect();
    keys.sort_unstable();
    let fields = ["content", "holders", "kind", "mtime", "name", "node", "online", "owner", "published"];
    assert_eq!(keys, [&fields[..], &["size", "version"]].concat());
    assert_eq!((&items[0]["node"], &items[0]["owner"]), (&node(1).to_string().into(), &"alice".into()));
    assert_eq!(items[0]["published"], "2026-11-03T10:24:00Z");
    assert!(daemon.asked().contains("cursor: Some(\"1\")"), "{}", daemon.asked());

    let ended = daemon.run(&["versions", "alice/film.mkv"]).await;
    let by = node(1).short().to_string();
    let blank = " ".repeat(by.len() - 2);
    let expected = format!(
        "\
VERSION       SIZE  PUBLISHED (UTC)   BY{blank}  HOLDERS
     12  12.00 MiB  2026-11-03 10:24  {by}      0/3
     11  11.00 MiB  2026-11-03 10:23  {by}      1/3
      9   9.00 MiB  2026-11-03 10:21  {by}      1/3
"
    );
    assert_eq!((ended.exit, ended.out), (Exit::Done, expected));
    let out = daemon.run(&["versions", "alice/film.mkv", "--limit", "2"]).await.out;
    assert!(out.ends_with("next: 1\n"), "{out}");
}

#[tokio::test]
async fn an_old_one_is_got_by_its_number() {
    let daemon = Daemon::start();
    daemon.run(&["get", "bob/x", "--version", "3"]).await;
    assert!(daemon.asked().contains("version: Some(3), once: true"), "{}", daemon.asked());
    for arguments in [&["bob/x", "bob/y", "--version", "3"][..], &["bob/x", "--version", "0"]] {
        assert_eq!(daemon.run(&[&["get"], arguments].concat()).await.exit, Exit::Usage, "{arguments:?}");
    }
}

#[tokio::test]
async fn one_that_is_not_there_is_a_failure() {
    let daemon = Daemon::start();
    let error = ApiError::new(ErrorCode::NotFound, "there is no bob/x").with_hint("look elsewhere");
    daemon.fake.errors.lock().expect("not poisoned").push_back(error);
    let ended = daemon.run(&["versions", "bob/x"]).await;
    assert_eq!((ended.exit, ended.out.as_str()), (Exit::NotFound, ""));
    assert_eq!(ended.err, "error: there is no bob/x\nhint: look elsewhere\n");
    assert_eq!(daemon.run(&["versions", "x"]).await.exit, Exit::Usage);
}
