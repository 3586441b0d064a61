//! Lists of many pages.

use p2p_node::cli::Exit;
use p2p_node::control::ApiError;
use serde_json::Value;
use wire::ErrorCode;

use crate::daemon::Daemon;
use crate::fake::page;

fn with_pages(last: Result<&[&str], ApiError>) -> Daemon {
    let daemon = Daemon::start();
    let last = last.map(|names| page(names, None));
    let pages = vec![Ok(page(&["a", "b"], Some("1"))), Ok(page(&["c", "d"], Some("2"))), last];
    *daemon.fake.pages.lock().expect("not poisoned") = pages;
    daemon
}

fn names(document: &Value) -> Vec<&str> {
    let items = document["items"].as_array().expect("a list");
    items.iter().map(|item| item["name"].as_str().expect("text")).collect()
}

#[tokio::test]
async fn everything_is_one_document_and_one_table() {
    let daemon = with_pages(Ok(&["e"]));
    let (exit, document) = daemon.document(&["list"]).await;
    assert_eq!((exit, names(&document)), (Exit::Done, vec!["a", "b", "c", "d", "e"]));
    assert_eq!((&document["next"], &document["source"]), (&Value::Null, &"index".into()));
    let out = daemon.run(&["search", "x"]).await.out;
    assert_eq!(out.lines().count(), 6, "{out}");
    assert_eq!(out.matches("OWNER/NAME").count(), 1);
}

#[tokio::test]
async fn a_limit_or_a_cursor_means_one_page() {
    let daemon = with_pages(Ok(&["e"]));
    let (_, document) = daemon.document(&["list", "--limit", "2"]).await;
    assert_eq!((names(&document), &document["next"]), (vec!["a", "b"], &"1".into()));
    let (_, document) = daemon.document(&["list", "--cursor", "2"]).await;
    assert_eq!((names(&document), &document["next"]), (vec!["e"], &Value::Null));
    let out = daemon.run(&["list", "--limit", "2"]).await.out;
    assert!(out.ends_with("next: 1\n"), "{out}");
}

#[tokio::test]
async fn nothing_found_is_no_failure() {
    let daemon = Daemon::start();
    *daemon.fake.pages.lock().expect("not poisoned") = vec![Ok(page(&[], None))];
    let ended = daemon.run(&["search", "nothing"]).await;
    assert_eq!((ended.exit, ended.out.as_str()), (Exit::Done, "nothing matches\n"));
    assert_eq!(daemon.run(&["list"]).await.out, "nothing is shared\n");
    assert_eq!(daemon.run(&["list", "--owner", "bob"]).await.out, "nothing found\n");
    let (exit, document) = daemon.document(&["search", "nothing"]).await;
    assert_eq!((exit, names(&document)), (Exit::Done, vec![]));
}

#[tokio::test]
async fn a_failure_in_the_middle_ends_the_one_document() {
    let daemon = with_pages(Err(ApiError::new(ErrorCode::Unavailable, "the index went away")));
    let (exit, document) = daemon.document(&["list"]).await;
    assert_eq!((exit, names(&document)), (Exit::Unreachable, vec!["a", "b", "c", "d"]));
    assert_eq!((&document["next"], &document["error"]["code"]), (&"2".into(), &"unavailable".into()));
    let ended = daemon.run(&["list"]).await;
    assert_eq!((ended.exit, ended.out.lines().count()), (Exit::Unreachable, 5));
    assert!(ended.err.starts_with("error: the index went away\nhint: "), "{}", ended.err);
}

#[tokio::test]
async fn a_list_that_leads_back_to_itself_ends() {
    let daemon = Daemon::start();
    let pages = vec![Ok(page(&["a"], Some("1"))), Ok(page(&["b"], Some("1")))];
    *daemon.fake.pages.lock().expect("not poisoned") = pages;
    let (exit, document) = daemon.document(&["list"]).await;
    assert_eq!((exit, &document["error"]["code"]), (Exit::Failed, &"bad-answer".into()));
}

#[tokio::test]
async fn an_answer_of_the_cache_says_so() {
    let daemon = Daemon::start();
    let mut old = page(&["a"], None);
    (old.source, old.age_seconds) = (p2p_node::control::api::Source::Cache, 40);
    *daemon.fake.pages.lock().expect("not poisoned") = vec![Ok(old)];
    assert_eq!(daemon.run(&["list"]).await.err, "from this machine's copy, 40 s old, as the index is away\n");
    assert_eq!(daemon.run(&["list", "-q"]).await.err, "");
}
