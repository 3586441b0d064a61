//! The demonstration: every step, and nothing left behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{output, program};

/// The demonstration in a temporary folder of its own, in the environment of a user who has a node already.
fn demo(temporary: &Path, arguments: &[&str]) -> Command {
    let mut command = program(&["demo"]);
    command.args(arguments).env("TMPDIR", temporary);
    for (variable, value) in
        [("SIGNUP", "closed"), ("LISTEN", "127.0.0.1:1"), ("CONFIG", "/no/such/file"), ("LOG", "trace")]
    {
        command.env(format!("P2P_NODE_{variable}"), value);
    }
    command
}

fn is_empty(folder: &Path) -> bool {
    folder.read_dir().expect("a folder").next().is_none()
}

#[test]
fn every_step_is_shown_and_nothing_is_left() {
    let (files, temporary) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let path = files.path().join("Summer Holiday.mkv");
    std::fs::write(&path, vec![7; 100_000]).expect("written");
    let (code, out, err) = output(&mut demo(temporary.path(), &[path.to_str().expect("text")]));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let steps = [
        ("started an index and 3 peers in ", ""),
        ("signed up alice, bob and carol, one on each peer", ""),
        ("alice shares Summer Holiday.mkv where it lies: content ", "97.66 KiB"),
        ("bob searches \"Summer\" and finds alice/Summer Holiday.mkv, 1 holder online", ""),
        ("bob downloads it, from alice 100 %", "97.66 KiB"),
        ("the installed file has the hash that alice's record names", "97.66 KiB"),
        ("carol downloads it, from ", "97.66 KiB"),
        ("the installed file has the hash that alice's record names", "97.66 KiB"),
        ("online: alice, bob, carol", ""),
        ("alice changes 64 KiB of it and shares it again: version 2", "97.66 KiB"),
        ("bob has the update: ", "97.66 KiB"),
        ("the installed file has the hash that alice's record names", "97.66 KiB"),
        ("carol has the update: ", "97.66 KiB"),
        ("the installed file has the hash that alice's record names", "97.66 KiB"),
        ("stopped the index", ""),
        ("carol searches \"Summer\" all the same, and finds alice/Summer Holiday.mkv, version 2", ""),
        ("bob shares \"note of bob.txt\"; the other members hear it from him", ""),
        ("alice downloads it, from bob 100 %", "41 B"),
        ("started the index again: it lists what was shared before and meanwhile", ""),
        ("stopped all four", ""),
    ];
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), steps.len() + 1, "{out}");
    for (number, ((step, size), line)) in (1..).zip(steps.iter().zip(&lines)) {
        assert!(line.starts_with(&format!("{number:2}. {step}")), "{line}");
        assert!(line.contains(size) && line.ends_with(" s)"), "{line}");
    }
    assert_eq!(lines[steps.len()], "done: everything worked, and the temporary folder is removed");
    assert!(is_empty(temporary.path()), "something is left");
}

#[test]
fn an_interrupted_one_leaves_nothing_either() {
    for signal in [Signal::INT, Signal::TERM] {
        let temporary = tempfile::tempdir().expect("a folder");
        let mut command = demo(temporary.path(), &[]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let begun = lines.find(|line| line.as_ref().expect("text").starts_with(" 1. "));
        assert!(begun.is_some() && !is_empty(temporary.path()));
        kill_process(Pid::from_child(&child), signal).expect("signalled");
        let ended = child.wait_with_output().expect("ended");
        assert_eq!(ended.status.code(), Some(1), "{signal:?}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "error: interrupted\n");
        assert!(is_empty(temporary.path()), "something is left after {signal:?}");
    }
}
