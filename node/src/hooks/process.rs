//! One process of a hook.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tracing::debug;

use super::HookFacts;
use super::queue::Queued;
use crate::activity::{HookEnd, bounded};

/// What is kept of each of its two outputs, from the front, in bytes. The rest is read and thrown away, so that it never
/// waits for a reader.
pub(super) const OUTPUT_BYTES: usize = 4096;
/// How long it may take to end in order once it is told to; then it is killed.
const TERMINATING: Duration = Duration::from_secs(2);
/// How long its output is read once it has ended: what it left running in the background may hold that open for ever.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What it has of the daemon's environment, if that has it: what programs need to find others, to speak the user's language,
/// and to show something on the user's screen.
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
];
/// The same for each variable whose name begins so.
const INHERITED_PREFIX: &str = "LC_";

/// How it ended, and what it said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ran {
    pub(super) end: HookEnd,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ran {
    pub(super) fn not_started(error: impl Into<String>) -> Self {
        let end = HookEnd::NotStarted { error: bounded(error) };
        Self { end, out: String::new(), err: String::new() }
    }
}

/// Runs it to its end, which comes after `limit` at the latest, or once `stopping` is ready; then the whole group of its
/// processes is told to end, and killed 2 s later.
pub(super) async fn run(queued: &Queued, limit: Duration, stopping: impl Future<Output = ()>) -> Ran {
    let mut child = match command(queued).spawn() {
        Ok(child) => child,
        Err(error) => return Ran::not_started(error.to_string()),
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let end = {
        let reading = async { tokio::join!(capture(stdout, &mut out), capture(stderr, &mut err)) };
        let mut reading = pin!(reading);
        let mut all_read = false;
        let (mut late, mut stopping) = (pin!(tokio::time::sleep(limit)), pin!(stopping));
        let ended = loop {
            tokio::select! {
                status = child.wait() => break Ok(status),
                () = &mut late => break Err(HookEnd::TimedOut),
                () = &mut stopping => break Err(HookEnd::Stopped),
                _ = &mut reading, if !all_read => all_read = true,
            }
        };
        let end = match ended {
            Ok(status) => end_of(status),
            Err(end) => {
                kill(&mut child).await;
                end
            }
        };
        if !all_read {
            let _ = tokio::time::timeout(LAST_WORDS, reading).await;
        }
        end
    };
    Ran { end, out: text(out), err: text(err) }
}

fn command(queued: &Queued) -> Command {
    let mut command = Command::new(queued.hook.program());
    command.args(queued.hook.arguments()).env_clear().envs(environment(&queued.facts));
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own, which is killed as a whole; whatever drops this kills at least the program itself.
    command.process_group(0).kill_on_drop(true);
    command
}

fn environment(facts: &HookFacts) -> Vec<(OsString, OsString)> {
    let inherited = |name: &str| INHERITED.contains(&name) || name.starts_with(INHERITED_PREFIX);
    let mut all: Vec<_> =
        std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(inherited)).collect();
    let HookFacts { what, path, content } = facts;
    let told: [(&str, OsString); 6] = [
        ("EVENT", "updated".into()),
        ("OWNER", what.resource.owner.as_str().into()),
        ("NAME", what.resource.name.as_str().into()),
        ("VERSION", what.version.to_string().into()),
        ("PATH", path.into()),
        ("CONTENT", content.to_string().into()),
    ];
    all.extend(told.map(|(name, value)| (format!("P2P_NODE_{name}").into(), value)));
    all
}

/// Keeps the first bytes, reads the rest.
async fn capture(from: Option<impl AsyncRead + Unpin>, to: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; OUTPUT_BYTES];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let room = OUTPUT_BYTES.saturating_sub(to.len());
        to.extend_from_slice(&buffer[..read.min(room)]);
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn end_of(status: io::Result<ExitStatus>) -> HookEnd {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => HookEnd::Exited { code },
            (None, signal) => HookEnd::Signalled { signal: signal.unwrap_or(0) },
        },
        Err(error) => HookEnd::NotStarted { error: format!("cannot wait for it: {error}") },
    }
}

/// Ends all processes of its group. The program itself is waited for only after the last signal: until then its number,
/// which is the group's, is given to nobody else.
async fn kill(child: &mut Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(group) = group {
        let children = signal(SignalKind::child());
        send(group, Signal::TERM);
        if let Ok(mut children) = children {
            let ended = async {
                while !has_ended(group) {
                    children.recv().await;
                }
            };
            let _ = tokio::time::timeout(TERMINATING, ended).await;
        }
        send(group, Signal::KILL);
    }
    if let Err(error) = child.wait().await {
        debug!(%error, "cannot wait for a hook");
    }
}

fn send(group: Pid, signal: Signal) {
    if let Err(error) = kill_process_group(group, signal) {
        debug!(%error, ?signal, "cannot signal a hook");
    }
}

/// Whether a child has ended; it is not waited for.
fn has_ended(child: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(child), options), Ok(None))
}
