//! `unsubscribe`: a resource not kept up to date any more.

use std::path::PathBuf;

use clap::Args;

use super::resource::ResourceArg;
use super::subscriptions::WHERE_TO_LOOK;
use super::{Console, Failure};
use crate::control::api::{LocalPath, UnsubscribeRequest, UnsubscribedItem};
use crate::control::{ApiError, Client};

const EXAMPLES: &str = "\
Examples:
  p2p-node unsubscribe alice/handbook.pdf
  p2p-node unsubscribe alice/handbook.pdf --delete
  p2p-node unsubscribe alice/site -o /srv/www/site";

/// Keep a resource up to date no more; what is installed stays, unless --delete is given.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct UnsubscribeArgs {
    /// Whose, and its name
    #[arg(value_name = "OWNER/NAME")]
    resource: ResourceArg,

    /// The one at this place; without it all of the resource
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,

    /// Remove what is installed, too, unless it was edited here
    #[arg(long)]
    delete: bool,
}

pub(super) async fn run(
    args: UnsubscribeArgs,
    client: &Client,
    console: &mut Console,
) -> Result<(), Failure> {
    let path = args.output.as_ref().map(std::path::absolute).transpose();
    let path = path.map_err(|error| ApiError::io("resolve the path of -o", &error))?;
    let ResourceArg { owner, name } = args.resource;
    let request = UnsubscribeRequest { owner, name, path: path.map(LocalPath::from), delete: args.delete };
    let done = client.unsubscribe(&request).await;
    let done = done.map_err(|error| error.not_found_hint(WHERE_TO_LOOK))?;
    Ok(console.result(&done, |done| done.items.iter().map(sentence).collect())?)
}

fn sentence(item: &UnsubscribedItem) -> String {
    let UnsubscribedItem { path, deleted, kept_because } = item;
    match (deleted, kept_because) {
        (true, _) => format!("{path} is removed, and stays so"),
        (false, Some(why)) => format!("{path} stays as it is, and is not removed: {why}"),
        (false, None) => format!("{path} stays as it is"),
    }
}
