//! Ctrl-C.

use p2p_node::cli::Exit;
use p2p_node::control::ApiError;
use wire::ErrorCode;

use crate::daemon::{Daemon, Ended};
use crate::fake::Long;

/// Runs a command that goes on until it is interrupted in the middle.
async fn interrupted(daemon: &Daemon, arguments: &[&str]) -> Ended {
    *daemon.fake.long.lock().expect("not poisoned") = Long::GoesOn;
    let interrupt = async {
        daemon.fake.begun.notified().await;
        daemon.interrupt.notify_one();
    };
    tokio::join!(daemon.run(arguments), interrupt).0
}

#[tokio::test]
async fn get_pauses_and_says_how_to_go_on() {
    let daemon = Daemon::start();
    let ended = interrupted(&daemon, &["get", "bob/film.mkv"]).await;
    assert_eq!((ended.exit, ended.out.as_str()), (Exit::Paused, ""));
    assert!(daemon.asked().starts_with("(\"pause\", Resource { owner: \"bob\""), "{}", daemon.asked());
    assert!(
        ended.err.contains("paused") && ended.err.contains("p2p-node cancel bob/film.mkv"),
        "{}",
        ended.err
    );
    let ended = interrupted(&daemon, &["get", "bob/film.mkv", "--json"]).await;
    let document = ended.documents().pop().expect("a document");
    assert_eq!((ended.exit, &document["event"]), (Exit::Paused, &"paused".into()));
    assert_eq!(document["error"]["code"], "paused");
    assert!(document["error"]["hint"].to_string().contains("p2p-node resume bob/film.mkv"), "{document}");
}

#[tokio::test]
async fn several_are_paused_together() {
    let daemon = Daemon::start();
    let ended = interrupted(&daemon, &["get", "bob/film.mkv", "bob/song.ogg", "--json"]).await;
    let mut lines = ended.documents();
    lines.retain(|line| line["event"] != "progress");
    assert_eq!((ended.exit, lines.len()), (Exit::Paused, 2), "{}", ended.out);
    for (line, name) in lines.iter().zip(["film.mkv", "song.ogg"]) {
        assert_eq!((&line["name"], &line["error"]["code"]), (&name.into(), &"paused".into()));
    }
    let asked = daemon.fake.asked.lock().expect("not poisoned").join("\n");
    assert_eq!(asked.matches("(\"pause\", ").count(), 2, "{asked}");
}

#[tokio::test]
async fn get_of_a_job_that_is_not_there_any_more() {
    let daemon = Daemon::start();
    let interrupt = async {
        daemon.fake.begun.notified().await;
        let error = ApiError::new(ErrorCode::NotFound, "no such job");
        daemon.fake.errors.lock().expect("not poisoned").push_back(error);
        daemon.interrupt.notify_one();
    };
    *daemon.fake.long.lock().expect("not poisoned") = Long::GoesOn;
    let (ended, ()) = tokio::join!(daemon.run(&["get", "bob/film.mkv"]), interrupt);
    assert_eq!(ended.exit, Exit::Failed);
    assert!(ended.err.starts_with("error: interrupted; there is no download"), "{}", ended.err);
}

#[tokio::test]
async fn share_is_cancelled_by_leaving() {
    let daemon = Daemon::start();
    let ended = interrupted(&daemon, &["share", "/etc/hostname"]).await;
    assert_eq!(ended.exit, Exit::Failed);
    assert!(ended.err.starts_with("error: sharing hostname was cancelled"), "{}", ended.err);
    daemon.fake.left.notified().await;
}

#[tokio::test]
async fn whoever_follows_events_ends_well_and_hears_that_the_daemon_stops() {
    let daemon = Daemon::start();
    let ended = interrupted(&daemon, &["events", "--follow"]).await;
    assert_eq!((ended.exit, ended.err.as_str()), (Exit::Done, ""));
    daemon.fake.left.notified().await;
    *daemon.fake.long.lock().expect("not poisoned") = Long::Vanishes;
    let ended = daemon.run(&["events", "--follow", "--json"]).await;
    let documents = ended.documents();
    assert_eq!((ended.exit, documents.len()), (Exit::Unreachable, 4), "{}", ended.out);
    assert_eq!(documents[3]["error"]["code"], "shutting-down");
}
