//! The control API as a program sees it that knows nothing of our client.

use std::os::unix::fs::PermissionsExt;

use p2p_node::cli::Exit;
use p2p_node::control::api::GetRequest;
use p2p_node::control::{Client, socket};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wire::ErrorCode;

use crate::daemon::Daemon;
use crate::fake::Long;

/// The status code, the headers and the body of one exchange.
async fn exchange(daemon: &Daemon, path: &str, body: &str) -> (u16, String, String) {
    let mut stream = socket::connect(&daemon.home).await.expect("connected");
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("received");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    (status, head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn progress_comes_line_by_line_and_one_result_ends_it() {
    let daemon = Daemon::start();
    let request = r#"{"owner":"bob","name":"x","path":null,"once":false,"share":true,"force":false}"#;
    let (status, head, body) = exchange(&daemon, "/v1/get", request).await;
    assert_eq!(status, 200);
    assert!(head.contains("application/x-ndjson"), "{head}");
    let documents: Vec<Value> = body.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let objects: Vec<&Value> = documents.iter().filter(|document| document.is_object()).collect();
    let kinds: Vec<&String> =
        objects.iter().flat_map(|object| object.as_object().expect("an object").keys()).collect();
    assert_eq!(kinds, ["progress", "progress", "result"]);
    assert_eq!(objects[1]["progress"]["stage"], "downloading");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let daemon = Daemon::start();
    let code = |body: &str| -> String {
        let document: Value = serde_json::from_str(body).expect("a document");
        document["error"]["code"].as_str().expect("text").to_owned()
    };
    for (path, body, status, expected) in [
        ("/v1/list", "{", 400, "usage"),
        ("/v1/list", r#"{"owner":"Not A Name","online":false,"page":{}}"#, 400, "usage"),
        ("/v1/cancel", r#"{"owner":"bob","name":"x","more":1}"#, 400, "usage"),
        ("/v1/get", r#"{"owner":"bob","name":".."}"#, 400, "usage"),
        ("/v1/frobnicate", "", 501, "unsupported"),
        ("/", "", 501, "unsupported"),
    ] {
        let (found, _, answer) = exchange(&daemon, path, body).await;
        assert_eq!((found, code(&answer).as_str()), (status, expected), "{path} {body}");
    }
    let (status, _, answer) = exchange(&daemon, "/v1/search", &"x".repeat(70_000)).await;
    assert_eq!((status, code(&answer).as_str()), (413, "too-large"));
    assert_eq!(daemon.asked(), "", "the backend was asked nothing");
}

#[tokio::test]
async fn the_socket_is_its_owners_alone() {
    let daemon = Daemon::start();
    let metadata = std::fs::metadata(daemon.home.control_socket()).expect("exists");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn commands_that_follow_leave_room_for_all_others() {
    let daemon = Daemon::start();
    *daemon.fake.long.lock().expect("not poisoned") = Long::GoesOn;
    let client = Client::new(daemon.home.clone());
    let request = GetRequest::new("bob".parse().expect("a name"), "x".parse().expect("a name"));
    let mut following = Vec::new();
    let refused = loop {
        match client.get(&request).await {
            Ok(one) => following.push(one),
            Err(error) => break error,
        }
    };
    assert_eq!((following.len(), refused.code), (64, ErrorCode::Busy.into()), "{refused}");
    assert!(refused.hint.is_some());
    for command in [&["status"][..], &["cancel", "bob/x"], &["list"]] {
        assert_eq!(daemon.run(command).await.exit, Exit::Done, "{command:?}");
    }
    assert_eq!(daemon.run(&["share", "/etc/hostname"]).await.exit, Exit::Unreachable);
    following.pop();
    daemon.fake.left.notified().await;
    let again = client.get(&request).await.expect("there is room again");
    drop((following, again));
    assert_eq!(daemon.run(&["stop"]).await.exit, Exit::Done);
}
