//! The processes of the demonstration: an index and peers, each started as a user would.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use wire::ErrorCode;

use crate::control::{ApiError, ApiResult, Client, LocalCode};
use crate::home::Home;

/// How long a daemon may take to be ready.
const START: Duration = Duration::from_secs(20);
/// How long a daemon may take to stop.
const STOP: Duration = Duration::from_secs(20);

/// A daemon that runs, as the steps see it.
pub(super) struct Process {
    /// What `ready` named: an index's is what a peer's `--index` takes.
    pub(super) address: String,
    /// Talks to it.
    pub(super) client: Client,
}

/// All that were started, in that order. Whoever has this ends them: with [`Processes::stop`], or [`Processes::kill`].
pub(super) struct Processes {
    folder: PathBuf,
    running: Vec<(String, Client, Child)>,
}

impl Processes {
    /// None yet; homes and logs are made in this folder.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), running: Vec::new() }
    }

    /// Starts a daemon with its home at `folder/name`, and waits until it is ready.
    pub(super) async fn start(&mut self, name: &str, arguments: &[&str]) -> ApiResult<Process> {
        let home = Home::resolve(Some(&self.folder.join(name)))
            .map_err(|error| ApiError::new(LocalCode::BadHome, error.to_string()))?;
        let log = self.folder.join(format!("{name}.log"));
        let log_file = File::options().create(true).append(true).open(&log);
        let log_file = log_file.map_err(|error| ApiError::io("write a log", &error))?;
        let mut child = program()?
            .arg("--home")
            .arg(home.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .map_err(|error| ApiError::io(format_args!("start {name}"), &error))?;
        let stdout = child.stdout.take();
        let client = Client::new(home);
        // From here on it is ended with the others, whatever becomes of it.
        self.running.push((name.to_owned(), client.clone(), child));
        let address = ready(stdout).await.ok_or_else(|| did_not_start(name, &log))?;
        Ok(Process { address, client })
    }

    /// Stops all, the last one first, and waits for the end of each.
    pub(super) async fn stop(&mut self) -> ApiResult<()> {
        while let Some(last) = self.running.len().checked_sub(1) {
            self.stop_at(last).await?;
        }
        Ok(())
    }

    /// Stops the one of this name, which can be started again, and waits for its end.
    pub(super) async fn stop_one(&mut self, name: &str) -> ApiResult<()> {
        match self.running.iter().position(|(running, ..)| running == name) {
            Some(at) => self.stop_at(at).await,
            None => Err(ApiError::new(ErrorCode::Internal, format!("{name} does not run"))),
        }
    }

    async fn stop_at(&mut self, at: usize) -> ApiResult<()> {
        let (name, client, child) = &mut self.running[at];
        client.stop(&()).await?;
        match tokio::time::timeout(STOP, child.wait()).await {
            Ok(Ok(status)) if status.success() => drop(self.running.remove(at)),
            _ => return Err(ApiError::new(ErrorCode::Internal, format!("{name} did not end as it should"))),
        }
        Ok(())
    }

    /// Kills what runs still. Once this returns, nothing of it writes any more.
    pub(super) async fn kill(&mut self) {
        for (.., child) in &mut self.running {
            // What cannot be killed has ended.
            let _ = child.kill().await;
        }
        self.running.clear();
    }
}

/// This program, without what the environment says to it: that is for the user's own node.
fn program() -> ApiResult<Command> {
    let program = std::env::current_exe().map_err(|error| ApiError::io("find this program", &error))?;
    let mut command = Command::new(program);
    for (variable, _) in std::env::vars_os() {
        if variable.as_encoded_bytes().starts_with(b"P2P_NODE_") {
            command.env_remove(variable);
        }
    }
    command.kill_on_drop(true);
    Ok(command)
}

/// The second word of the line that a daemon prints once it is ready; `None` where it does not.
async fn ready(stdout: Option<ChildStdout>) -> Option<String> {
    let mut line = String::new();
    let mut reader = BufReader::new(stdout?);
    tokio::time::timeout(START, reader.read_line(&mut line)).await.ok()?.ok()?;
    line.strip_prefix("ready ").map(|rest| rest.trim_end().to_owned())
}

/// With the end of its log, which goes with the folder.
fn did_not_start(name: &str, log: &Path) -> ApiError {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let last: Vec<&str> = log.lines().rev().take(3).collect();
    let said = last.into_iter().rev().collect::<Vec<_>>().join("; ");
    ApiError::new(ErrorCode::Internal, format!("{name} did not start: {said}"))
}
