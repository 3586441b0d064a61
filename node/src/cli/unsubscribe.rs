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
  p2p-node unsubscribe alice/site -o /srv/www/site

--delete removes a file, or each file of a folder, that is as it was installed. What was edited, and files of your own, stay where
they are and are named. Interrupted, the same command goes on.";

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

    /// Remove what is installed, too, unless it was edited here; of a folder each file that was not
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
    Ok(console.result(&done, |done| done.items.iter().flat_map(lines).collect())?)
}

fn lines(item: &UnsubscribedItem) -> Vec<String> {
    let UnsubscribedItem { path, deleted, kept_because, stays, stays_count } = item;
    let mut lines = vec![match (deleted, kept_because) {
        (true, _) => format!("{path} is removed, and stays so"),
        (false, Some(why)) if stays.is_empty() => {
            format!("{path} stays as it is, and is not removed: {why}")
        }
        (false, Some(why)) => format!("{path} is removed but for what stays: {why}"),
        (false, None) => format!("{path} stays as it is"),
    }];
    lines.extend(stays.iter().map(|one| format!("stays: {}: {}", one.path, one.text)));
    let more = stays_count.saturating_sub(stays.len() as u64);
    lines.extend((more > 0).then(|| format!("and {more} more")));
    lines
}
