//! `stop`: the end of the daemon.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use wire::ErrorCode;

use super::{Console, Failure};
use crate::control::{ApiError, Client};
use crate::home::Home;

/// How long a daemon may take to end: longer than each of its own deadlines.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often to look whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(25);

const EXAMPLES: &str = "\
Examples:
  p2p-node stop
  p2p-node stop && p2p-node run                   start it again";

/// Stop the daemon, and wait until it has ended.
///
/// Downloads go on where they were when it is started again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct StopArgs {}

#[derive(Serialize)]
struct Stopped {
    stopped: bool,
}

pub(super) async fn run(client: &Client, console: &mut Console) -> Result<(), Failure> {
    client.stop(&()).await?;
    let late = || ApiError::new(ErrorCode::Timeout, "the daemon is still ending after 20 s");
    tokio::time::timeout(PATIENCE, ended(client.home())).await.map_err(|_| late())?;
    Ok(console.result(&Stopped { stopped: true }, |_| vec!["the daemon has ended".to_owned()])?)
}

async fn ended(home: &Home) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    while home.is_locked() {
        looks.tick().await;
    }
}
