//! What is refused, by the command line and by the daemon.

use p2p_node::cli::Exit;
use p2p_node::control::{ApiError, LocalCode};
use wire::{ErrorBody, ErrorCode};

use crate::daemon::Daemon;
use crate::fake::Long;

/// Every command that needs a daemon.
const COMMANDS: [&[&str]; 16] = [
    &["stop"],
    &["status"],
    &["signup", "alice", "--password-stdin"],
    &["login", "alice", "--password-stdin"],
    &["logout"],
    &["who"],
    &["share", "/etc/hostname"],
    &["shares"],
    &["unshare", "x"],
    &["list"],
    &["search", "x"],
    &["get", "bob/x"],
    &["get", "bob/x", "-o", "/tmp"],
    &["cancel", "bob/x"],
    &["transfers", "--follow"],
    &["limit", "--transfer", "7", "download=1m"],
];

#[tokio::test]
async fn without_a_daemon_every_command_says_how_to_start_it() {
    let daemon = Daemon::absent();
    for command in COMMANDS {
        let (exit, document) = daemon.document(command).await;
        assert_eq!((exit, &document["error"]["code"]), (Exit::NoDaemon, &"no-daemon".into()), "{command:?}");
        assert!(document["error"]["hint"].as_str().expect("text").contains("p2p-node run"));
        let ended = daemon.run(command).await;
        assert_eq!((ended.exit, ended.out.as_str()), (Exit::NoDaemon, ""));
        assert!(ended.err.contains("\nhint: start it with `p2p-node run`\n"), "{}", ended.err);
    }
}

#[tokio::test]
async fn on_the_home_of_an_index_the_hints_name_its_command() {
    let daemon = Daemon::absent();
    std::fs::write(daemon.home.network_key(), "").expect("written");
    let (exit, document) = daemon.document(&["status"]).await;
    assert_eq!(exit, Exit::NoDaemon);
    assert_eq!(document["error"]["hint"], "start it with `p2p-node index`");
}

#[tokio::test]
async fn what_is_not_found_comes_with_the_list_that_shows_it() {
    let daemon = Daemon::start();
    for (command, list) in [
        (&["cancel", "bob/x"][..], "p2p-node transfers"),
        (&["pause", "7"], "p2p-node transfers"),
        (&["resume", "bob/x"], "p2p-node transfers"),
        (&["limit", "-t", "7"], "p2p-node transfers"),
        (&["unshare", "x"], "p2p-node shares"),
    ] {
        let error = ApiError::new(ErrorCode::NotFound, "there is none");
        daemon.fake.errors.lock().expect("not poisoned").push_back(error);
        let (exit, document) = daemon.document(command).await;
        assert_eq!(exit, Exit::NotFound, "{command:?}");
        assert!(document["error"]["hint"].as_str().is_some_and(|hint| hint.contains(list)), "{document}");
    }
}

#[tokio::test]
async fn the_daemons_errors_come_through_every_command() {
    let daemon = Daemon::start();
    for command in COMMANDS {
        let error = ApiError::new(ErrorCode::NotAllowed, "not \u{1b}[31myours").with_hint("ask");
        daemon.fake.errors.lock().expect("not poisoned").push_back(error);
        let command = [command, &["--json"]].concat();
        let ended = daemon.run_with(&command, "correct horse").await;
        let document: serde_json::Value = serde_json::from_str(&ended.out).expect("one document");
        assert_eq!(ended.exit, Exit::NotAllowed, "{command:?}");
        let expected =
            serde_json::json!({"code": "not-allowed", "message": "not \u{1b}[31myours", "hint": "ask"});
        assert_eq!(document["error"], expected);
    }
}

#[tokio::test]
async fn errors_are_escaped_for_people() {
    let daemon = Daemon::start();
    let body = ErrorBody::new(ErrorCode::RateLimited, "too\u{1b}[2J many\nattempts").retry_after(2000);
    daemon.fake.errors.lock().expect("not poisoned").push_back(body.into());
    let ended = daemon.run(&["who"]).await;
    assert_eq!(ended.exit, Exit::Failed);
    assert_eq!(ended.err, "error: too\\u{1b}[2J many\\u{a}attempts\nhint: try again in 2 s\n");
}

#[tokio::test]
async fn a_long_operation_may_fail_at_its_end() {
    let daemon = Daemon::start();
    let error = ApiError::new(LocalCode::DiskFull, "cannot write /x: no space left");
    *daemon.fake.long.lock().expect("not poisoned") = Long::Fails(error);
    for command in [&["get", "bob/x"][..], &["share", "/etc/hostname"]] {
        let (exit, document) = daemon.document(command).await;
        assert_eq!((exit, &document["error"]["code"]), (Exit::Failed, &"disk-full".into()));
    }
    *daemon.fake.long.lock().expect("not poisoned") = Long::Vanishes;
    let (exit, document) = daemon.document(&["get", "bob/x"]).await;
    assert_eq!((exit, &document["error"]["code"]), (Exit::Unreachable, &"shutting-down".into()));
}

#[tokio::test]
async fn bad_arguments_are_one_document_too() {
    let daemon = Daemon::start();
    let long = format!("bob/{}", "x".repeat(300));
    let bad: [&[&str]; 16] = [
        &["frobnicate"],
        &["get", "film.mkv"],
        &["get", "Bob/film.mkv"],
        &["get", "bob/.."],
        &["get", "bob/a/b"],
        &["get", "bob/a\u{202e}b"],
        &["get", &long],
        &["get", "bob/x", "-o", ""],
        &["share", ""],
        &["share", "/"],
        &["share", "/x", "--name", "a/b"],
        &["list", "--limit", "0"],
        &["list", "--limit", "1001"],
        &["search"],
        &["signup", "Alice"],
        &["status", "-v", "-q"],
    ];
    for arguments in bad {
        let (exit, document) = daemon.document(arguments).await;
        assert_eq!((exit, &document["error"]["code"]), (Exit::Usage, &"usage".into()), "{arguments:?}");
        assert!(!document["error"]["message"].as_str().expect("text").is_empty());
        let ended = daemon.run(arguments).await;
        assert_eq!((ended.exit, ended.out.as_str()), (Exit::Usage, ""), "{arguments:?}");
        assert!(ended.err.starts_with("error: "), "{}", ended.err);
    }
    assert_eq!(daemon.asked(), "", "the daemon was asked nothing");
}

#[tokio::test]
async fn a_password_needs_a_terminal_or_standard_input() {
    let daemon = Daemon::start();
    for arguments in [["signup", "alice"], ["login", "alice"]] {
        let ended = daemon.run_with(&arguments, "correct horse\n").await;
        assert_eq!(ended.exit, Exit::Usage);
        assert!(ended.err.contains("--password-stdin"), "{}", ended.err);
    }
    let ended = daemon.run_with(&["signup", "alice", "--password-stdin"], "short\n").await;
    assert_eq!(ended.exit, Exit::Usage);
    assert!(ended.err.contains("8 to 1024 bytes") && !ended.err.contains("short\n"), "{}", ended.err);
    assert_eq!(daemon.asked(), "");
}

#[tokio::test]
async fn a_bad_configuration_stops_a_daemon_before_it_starts() {
    let daemon = Daemon::absent();
    std::fs::write(daemon.home.config(), "log = \"info\"\nindx = \"x\"\n").expect("written");
    for command in ["run", "index"] {
        let (exit, document) = daemon.document(&[command]).await;
        assert_eq!((exit, &document["error"]["code"]), (Exit::Usage, &"bad-config".into()));
        let message = document["error"]["message"].as_str().expect("text");
        assert!(message.contains("config.toml, line 2, key `indx`"), "{message}");
    }
    let (exit, document) = daemon.document(&["run", "--config", "/nowhere.toml"]).await;
    assert_eq!((exit, &document["error"]["code"]), (Exit::Usage, &"bad-config".into()));
    let (exit, _) = daemon.document(&["run", "--index", "localhost:4820"]).await;
    assert_eq!(exit, Exit::Usage);
}
