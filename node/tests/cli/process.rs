//! The program itself: streams, environment, exit codes.

use std::io::{BufRead, BufReader, PipeWriter, Write};
use std::process::{Command, Output, Stdio};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};

use crate::daemon::Daemon;
use crate::fake::Long;

pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_p2p-node"));
    for variable in ["HOME", "CONFIG", "INDEX", "LISTEN", "SIGNUP", "LOG"] {
        command.env_remove(format!("P2P_NODE_{variable}"));
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

pub(crate) fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("started");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn help_and_version_are_answers() {
    let (code, out, err) = output(&mut program(&["--help"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("Examples:") && out.contains("Exit codes:") && out.contains("  search "), "{out}");
    let (code, out, _) = output(&mut program(&["--version"]));
    assert_eq!((code, out.as_str()), (Some(0), concat!("p2p-node ", env!("CARGO_PKG_VERSION"), "\n")));
    let (code, out, _) = output(&mut program(&["get", "--help"]));
    assert_eq!(code, Some(0));
    assert!(out.contains("Examples:\n  p2p-node get alice/film.mkv"), "{out}");
}

#[test]
fn mistakes_end_with_2_and_no_daemon_with_6() {
    let home = tempfile::tempdir().expect("a folder");
    let (code, out, err) = output(&mut program(&["get"]));
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("OWNER/NAME"), "{err}");
    let (code, out, _) = output(&mut program(&[]));
    assert_eq!((code, out.as_str()), (Some(2), ""));
    let (code, out, err) = output(program(&["status", "--json"]).env("P2P_NODE_HOME", home.path()));
    assert_eq!((code, err.as_str()), (Some(6), ""));
    assert!(out.contains(r#""code":"no-daemon""#), "{out}");
    assert_eq!(home.path().read_dir().expect("a folder").count(), 0, "a command makes no files");
}

#[test]
fn a_closed_pipe_is_success_and_a_full_disk_is_not() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = program(&["--help"]).stdout(writer).stderr(Stdio::null()).status().expect("started");
    assert_eq!(status.code(), Some(0));
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let (code, _, err) = output(program(&["--help"]).stdout(full));
    assert_eq!(code, Some(1));
    assert!(err.starts_with("error: cannot write the output: "), "{err}");
}

#[test]
fn the_environment_is_read_and_flags_go_before_it() {
    let home = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str], variable: &str| {
        let mut command = program(&["--home", home.path().to_str().expect("text")]);
        output(command.args(arguments).env(variable, "nonsense"))
    };
    for (command, variable) in
        [("run", "P2P_NODE_INDEX"), ("run", "P2P_NODE_LISTEN"), ("index", "P2P_NODE_SIGNUP")]
    {
        let (code, _, err) = run(&[command], variable);
        assert_eq!(code, Some(2), "{variable}");
        assert!(err.contains("nonsense"), "{variable}: {err}");
    }
    let (code, _, err) = run(&["status"], "P2P_NODE_HOME");
    assert_eq!(code, Some(6));
    assert!(err.contains(home.path().to_str().expect("text")), "{err}");
    let (code, _, err) = run(&["run"], "P2P_NODE_CONFIG");
    assert_eq!(code, Some(2));
    assert!(err.contains("there is no configuration file nonsense"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_pause_a_download() {
    for signal in [Signal::INT, Signal::TERM] {
        let daemon = Daemon::start();
        *daemon.fake.long.lock().expect("not poisoned") = Long::GoesOn;
        let mut command = program(&["get", "bob/film.mkv", "--json"]);
        command.env("P2P_NODE_HOME", daemon.home.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("started");
        daemon.fake.begun.notified().await;
        kill_process(Pid::from_child(&child), signal).expect("signalled");
        let ended = tokio::task::spawn_blocking(|| child.wait_with_output()).await.expect("no panic");
        let Output { status, stdout, .. } = ended.expect("ended");
        assert_eq!(status.code(), Some(7));
        assert!(String::from_utf8_lossy(&stdout).contains(r#""code":"paused""#));
        assert!(daemon.asked().starts_with("(\"pause\""), "{}", daemon.asked());
    }
}

/// Fills a pipe, so that the next to write to it waits.
fn fill(pipe: &mut PipeWriter) -> std::io::Result<()> {
    fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
    while pipe.write(b"\n").is_ok() {}
    Ok(fcntl_setfl(&pipe, OFlags::empty())?)
}

/// The daemon is caught at `ready`: the pipe for it is full. A signal at that moment ends it as any other does.
#[test]
fn a_signal_at_ready_stops_a_daemon_in_order() {
    for signal in [Signal::INT, Signal::TERM] {
        let home = tempfile::tempdir().expect("a folder");
        let (out, mut full) = std::io::pipe().expect("a pipe");
        fill(&mut full).expect("filled");
        let mut command = program(&["index", "--listen", "127.0.0.1:0"]);
        command.env("P2P_NODE_HOME", home.path()).stdout(full).stderr(Stdio::null());
        let mut child = command.spawn().expect("started");
        // It holds the pipe open.
        drop(command);
        // It answers on its socket before it prints that it is ready.
        let answers = || output(program(&["status"]).env("P2P_NODE_HOME", home.path())).0 == Some(0);
        while !answers() {
            assert_eq!(child.try_wait().expect("a child"), None, "it ended");
        }
        kill_process(Pid::from_child(&child), signal).expect("signalled");
        let lines = BufReader::new(out).lines().map(|line| line.expect("text"));
        let said: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
        assert!(matches!(&said[..], [ready] if ready.starts_with("ready ")), "{said:?}");
        assert_eq!(child.wait().expect("a child").code(), Some(0), "{signal:?}");
    }
}
