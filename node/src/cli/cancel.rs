//! `cancel`: a download dropped.

use clap::Args;

use super::pause::{WHERE_TO_LOOK, sentence};
use super::resource::JobArg;
use super::{Console, Failure};
use crate::control::Client;

const EXAMPLES: &str = "\
Examples:
  p2p-node cancel alice/film.mkv
  p2p-node cancel 7
  p2p-node transfers                              shows the downloads that there are";

/// Drop a download, running, waiting or paused, with what was received of it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CancelArgs {
    /// Its number, or whose resource it is of, and the name
    #[arg(value_name = "ID|OWNER/NAME")]
    download: JobArg,
}

pub(super) async fn run(args: CancelArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    let done = client.cancel(&args.download.request()).await;
    let done = done.map_err(|error| error.not_found_hint(WHERE_TO_LOOK))?;
    Ok(console.result(&done, |done| vec![sentence(done)])?)
}
