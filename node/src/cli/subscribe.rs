//! `subscribe`: a resource kept up to date.

use std::path::PathBuf;

use clap::Args;

use super::resource::ResourceArg;
use super::subscriptions::sentence;
use super::{Console, Failure};
use crate::control::api::{LocalPath, SubscribeRequest};
use crate::control::{ApiError, Client};
use crate::rate::Rate;

const EXAMPLES: &str = "\
Examples:
  p2p-node subscribe alice/handbook.pdf
  p2p-node subscribe alice/site -o /srv/www/site --on-update systemctl reload nginx
  p2p-node subscribe alice/site --on-update       no program any more
  p2p-node subscribe alice/photos --only '2026/*'
  p2p-node subscribe alice/report.pdf --keep 3    its last 3 old versions stay, and are served

The program of --on-update is run after each update, never through a shell, with P2P_NODE_OWNER, P2P_NODE_NAME,
P2P_NODE_PATH and P2P_NODE_VERSION in its environment.";

/// Keep a resource up to date: what is not here yet comes in the background, and each new version as it is published.
///
/// `p2p-node get` does so too, unless it is told --once. What you edit in between is kept beside the update.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SubscribeArgs {
    /// Whose, and its name
    #[arg(value_name = "OWNER/NAME")]
    resource: ResourceArg,

    /// The file or folder to make, or a folder that exists, to put it in
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,

    /// Make the folders above the target that are not there
    #[arg(short, long, requires = "output")]
    parents: bool,

    /// Do not serve it to others
    #[arg(long)]
    no_share: bool,

    /// At most so many bytes a second, such as 10MB, 500KiB or 2.5m, or none
    #[arg(long, value_name = "RATE")]
    limit: Option<Rate>,

    /// Of a folder only what matches; `*` stands for any text, a folder that matches for all in it. May be repeated
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,

    /// Keep a copy of the installed version of a file, and so many old ones, and serve them; 0 removes them [default: as
    /// before; at first as the daemon is configured]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(..=1000),
        conflicts_with_all = ["no_share", "only"])]
    keep: Option<u32>,

    /// Run this program after each update: it and its arguments are all that follows
    #[arg(long, value_name = "PROGRAM", num_args = 0.., allow_hyphen_values = true)]
    on_update: Option<Vec<String>>,
}

pub(super) async fn run(args: SubscribeArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    let path = args.output.as_ref().map(std::path::absolute).transpose();
    let path = path.map_err(|error| ApiError::io("resolve the path of -o", &error))?;
    let request = SubscribeRequest {
        owner: args.resource.owner,
        name: args.resource.name,
        path: path.map(LocalPath::from),
        share: !args.no_share,
        parents: args.parents,
        limit: args.limit,
        only: args.only,
        keep: args.keep,
        on_update: args.on_update,
    };
    let done = client.subscribe(&request).await;
    let done = done.map_err(|error| error.not_found_hint("`p2p-node list` shows what is shared"))?;
    Ok(console.result(&done, |done| done.items.iter().map(sentence).collect())?)
}
