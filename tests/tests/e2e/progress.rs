//! How far downloads are, as people see it on a terminal and in a pipe, and as programs read it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command};

use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::{Programs, Terminal, TestProcess, process};
use serde_json::Value;

const SIZE: usize = 2 * MIB;

/// Alice shares a film and a folder; bob takes no more than so much a second.
struct Net {
    programs: Programs,
    /// Runs as long as the test.
    _alice: TestProcess,
    bob: TestProcess,
}

impl Net {
    async fn start(seed: u64, download: &str) -> Self {
        let programs = Programs::start().await;
        let (alice, bob) = (programs.user("alice").await, programs.user("bob").await);
        let film = fixtures::file(&programs.path("film.mkv"), seed, SIZE);
        for (name, seed, size) in
            [("a.jpg", seed + 1000, SIZE / 2), ("b.jpg", seed + 2000, SIZE / 2), ("empty", 0, 0)]
        {
            fixtures::file(&programs.path("photos").join(name), seed, size);
        }
        for path in [film, programs.path("photos")] {
            alice.ask(&["share", path.to_str().expect("text")]).await;
        }
        bob.ask(&["limit", &format!("download={download}")]).await;
        Self { programs, _alice: alice, bob }
    }

    async fn go_on(&self) {
        self.bob.ask(&["limit", "download=none"]).await;
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    p2p_node_tests::in_time("a program", tokio::task::spawn_blocking(work)).await.expect("no panic")
}

/// What a terminal of so many columns has been drawn with, in rows without what moves the cursor.
fn drawn_rows(text: &str) -> Vec<String> {
    let plain = text.split('\x1b').enumerate().map(|(at, part)| match at {
        0 => part,
        _ => part.find(|letter: char| letter.is_ascii_alphabetic()).map_or("", |end| &part[end + 1..]),
    });
    let plain: String = plain.collect();
    plain.split(['\r', '\n']).filter(|row| !row.is_empty()).map(str::to_owned).collect()
}

fn begin_on(terminal_columns: u16, mut command: Command) -> (Terminal, Child) {
    let terminal = Terminal::stderr_of(&mut command, terminal_columns);
    // The command goes with its copy of the far end, so that the program has the last.
    (terminal, command.spawn().expect("started"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_rows_in_place_as_wide_as_it_is() {
    let net = Net::start(61, "200KB").await;
    let get = net.bob.plain(&["get", "alice/film.mkv", "alice/photos"]);
    let (mut terminal, child) = begin_on(100, get);
    let (terminal, wide, narrow) = blocking(move || {
        let complete = |text: &str| {
            ["alice/film.mkv", "from 1: alice", "of 3 files", "KiB/s", "0 of 2 ended", "\x1b[3A"]
                .iter()
                .all(|part| text.contains(part))
        };
        let wide = terminal.until(complete);
        terminal.resize(40);
        // One drawing may have begun before.
        terminal.until(|text| text.matches("\x1b[?7h").count() >= 2);
        let narrow = terminal.until(|text| text.matches("\x1b[?7h").count() >= 2);
        (terminal, wide, narrow)
    })
    .await;
    let too_wide =
        |text: &str, columns| drawn_rows(text).into_iter().find(|row| row.chars().count() >= columns);
    assert_eq!(too_wide(&wide, 100), None);
    assert_eq!(too_wide(&narrow, 40), None);
    assert!(wide.contains('░') && !narrow.contains('░'), "a bar where there is room: {narrow}");
    net.go_on().await;
    let rest = tokio::task::spawn_blocking(|| terminal.rest());
    let ended = process::finish(child).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.out.matches("verified: ").count(), 2, "{ended:?}");
    assert!(!ended.out.contains('\x1b'), "what is no terminal gets no escapes: {ended:?}");
    assert!(rest.await.expect("read").ends_with("\x1b[J"), "the rows are gone at the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_gets_lines_without_escapes_and_ctrl_c_says_how_to_go_on() {
    let net = Net::start(62, "2KiB").await;
    let child = net.bob.plain(&["get", "alice/film.mkv"]).spawn().expect("started");
    net.bob.wait_for_transfer(1).await;
    let ended = process::interrupt(child).await;
    assert_eq!(ended.code, Some(7), "{ended:?}");
    assert!(!ended.err.contains('\x1b') && !ended.out.contains('\x1b'), "{ended:?}");
    for part in ["is paused", "repeat the command", "p2p-node resume alice/film.mkv", "p2p-node cancel"] {
        assert!(ended.err.contains(part), "{part}: {ended:?}");
    }
}

/// The lines of a running program, as it writes them.
fn documents(child: &mut Child) -> impl Iterator<Item = Value> + use<> {
    let out = BufReader::new(child.stdout.take().expect("piped"));
    out.lines().map(|line| serde_json::from_str(&line.expect("read")).expect("a document"))
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_read_how_far_it_is_and_how_it_ended() {
    let net = Net::start(63, "300KB").await;
    let mut child = net.bob.begin(&["get", "alice/photos"]);
    let mut lines = documents(&mut child);
    let (middle, lines) = blocking(move || {
        let moving = |line: &Value| line["rate"].as_u64() > Some(0) && line["bytes_done"].as_u64() > Some(0);
        let middle = lines.find(moving).expect("it moves");
        (middle, lines)
    })
    .await;
    assert_eq!((&middle["event"], &middle["state"]), (&"progress".into(), &"downloading".into()), "{middle}");
    assert_eq!((&middle["owner"], &middle["name"]), (&"alice".into(), &"photos".into()));
    assert_eq!(middle["size"], SIZE, "{middle}");
    assert!(middle["id"].is_u64() && middle["eta_ms"].as_u64() > Some(0), "{middle}");
    assert!(middle["bytes_received"].as_u64() >= middle["bytes_done"].as_u64(), "{middle}");
    assert_eq!(
        (&middle["holders"][0]["user"], &middle["holders"][0]["share"]),
        (&"alice".into(), &100.into())
    );
    assert_eq!(middle["files"]["total"], 3, "{middle}");
    assert!(middle["files"]["current"].as_str().is_some_and(|path| path.ends_with(".jpg")), "{middle}");
    net.go_on().await;
    let rest: Vec<Value> = blocking(move || lines.collect()).await;
    let (done, before) = rest.split_last().expect("an outcome");
    assert!(before.iter().all(|line| line["event"] == "progress"), "{rest:?}");
    assert_eq!((&done["event"], &done["bytes_received"]), (&"done".into(), &SIZE.into()), "{done}");
    assert_eq!(process::finish(child).await.code, Some(0));
    let target = net.bob.home().join("downloads/alice/photos/a.jpg");
    assert_eq!(fixtures::hash_of(&target), fixtures::hash_of(&net.programs.path("photos/a.jpg")));
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_are_followed_until_ctrl_c() {
    let net = Net::start(64, "2KiB").await;
    net.bob.ask(&["get", "alice/film.mkv", "--detach", "--limit", "1m"]).await;
    for arguments in [&["transfers", "--follow"][..], &["transfers", "--follow", "--json"]] {
        let mut command = net.bob.plain(arguments);
        let mut child = command.spawn().expect("started");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        // The film's row, the row of its holder, and both again a second later. The pipe stays open.
        let (seen, open) = blocking(move || {
            let mut lines =
                out.lines().map(|line| line.expect("read")).filter(|line| line.contains("film.mkv"));
            (lines.by_ref().take(4).collect::<Vec<_>>(), lines)
        })
        .await;
        assert_eq!(seen.len(), 4, "{seen:?}");
        let ended = process::interrupt(child).await;
        drop(open);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{arguments:?}: {ended:?}");
        if let Ok(first) = serde_json::from_str::<Value>(&seen[0]) {
            assert!(first["time"].is_string(), "{first}");
            assert_eq!((&first["name"], &first["limit"]), (&"film.mkv".into(), &(1 << 20).into()), "{first}");
        } else {
            assert!(seen[0].contains("1MiB/s") && !seen.concat().contains('\x1b'), "{seen:?}");
        }
    }
}
