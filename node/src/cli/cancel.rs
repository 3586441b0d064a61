//! `cancel`: a download dropped.

use clap::Args;

use super::resource::ResourceArg;
use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::JobRequest;

const EXAMPLES: &str = "\
Examples:
  p2p-node cancel alice/film.mkv
  p2p-node status                                 shows the downloads that there are";

/// Drop a download, running, waiting or paused, with what was received of it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CancelArgs {
    /// Whose, and its name
    #[arg(value_name = "OWNER/NAME")]
    resource: ResourceArg,
}

pub(super) async fn run(args: CancelArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    let ResourceArg { owner, name } = args.resource;
    let done = client.cancel(&JobRequest { owner, name, path: None }).await;
    let done =
        done.map_err(|error| error.not_found_hint("`p2p-node status` shows the downloads that there are"))?;
    Ok(console
        .result(&done, |done| vec![format!("the download of {}/{} is cancelled", done.owner, done.name)])?)
}
