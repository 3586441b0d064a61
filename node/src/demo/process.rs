//! One process of the demonstration: an index or a peer, started as a user would.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use wire::ErrorCode;

use crate::control::{ApiError, ApiResult, Client, LocalCode};
use crate::home::Home;

/// How long a daemon may take to be ready.
const START: Duration = Duration::from_secs(20);
/// How long a daemon may take to stop.
const STOP: Duration = Duration::from_secs(20);

/// A daemon in a process of its own; killed when this is dropped.
pub(super) struct Process {
    child: Child,
    /// What `ready` named: an index's is what a peer's `--index` takes.
    pub(super) address: String,
    /// Talks to it.
    pub(super) client: Client,
}

impl Process {
    /// Starts a daemon with its home at `folder/name`, and waits until it is ready.
    pub(super) async fn start(folder: &Path, name: &str, arguments: &[&str]) -> ApiResult<Self> {
        let home = folder.join(name);
        let log = folder.join(format!("{name}.log"));
        let log = File::create(&log).map_err(|error| ApiError::io("write a log", &error))?;
        let program = std::env::current_exe().map_err(|error| ApiError::io("find this program", &error))?;
        let mut child = Command::new(program)
            .arg("--home")
            .arg(&home)
            .args(arguments)
            .env_remove("P2P_NODE_HOME")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| ApiError::io(format_args!("start {name}"), &error))?;
        let address = ready(&mut child, name).await?;
        let home = Home::resolve(Some(&home))
            .map_err(|error| ApiError::new(LocalCode::BadHome, error.to_string()))?;
        Ok(Self { child, address, client: Client::new(home) })
    }

    /// Stops it and waits for its end.
    pub(super) async fn stop(mut self) -> ApiResult<()> {
        self.client.stop(&()).await?;
        match tokio::time::timeout(STOP, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            _ => Err(ApiError::new(ErrorCode::Internal, "a daemon did not end as it should")),
        }
    }
}

/// The second word of the line that a daemon prints once it is ready.
async fn ready(child: &mut Child, name: &str) -> ApiResult<String> {
    let failed = || ApiError::new(ErrorCode::Internal, format!("{name} did not start"));
    let stdout = child.stdout.take().ok_or_else(failed)?;
    let mut line = String::new();
    let mut reader = BufReader::new(stdout);
    let read = tokio::time::timeout(START, reader.read_line(&mut line)).await;
    let address = line.strip_prefix("ready ").map(|rest| rest.trim_end().to_owned());
    match (read, address) {
        (Ok(Ok(_)), Some(address)) => Ok(address),
        _ => Err(failed()),
    }
}
