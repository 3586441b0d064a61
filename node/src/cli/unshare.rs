//! `unshare`: a resource taken back.

use clap::Args;

use super::resource::OwnResourceArg;
use super::share::PENDING;
use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::UnshareRequest;

const EXAMPLES: &str = "\
Examples:
  p2p-node unshare film.mkv
  p2p-node unshare alice/film.mkv";

/// Take a resource out of the registry, for everybody; the file stays.
///
/// Only its owner may, from any node of the owner.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct UnshareArgs {
    /// Its name, or OWNER/NAME
    #[arg(value_name = "NAME")]
    resource: OwnResourceArg,
}

pub(super) async fn run(args: UnshareArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    let OwnResourceArg { owner, name } = args.resource;
    let unshared = client.unshare(&UnshareRequest { owner, name }).await;
    let unshared =
        unshared.map_err(|error| error.not_found_hint("`p2p-node shares` shows what this node shares"))?;
    Ok(console.result(&unshared, |unshared| {
        let mut lines = vec![format!("{}/{} is no longer shared", unshared.owner, unshared.name)];
        lines.extend(unshared.pending.then(|| PENDING.to_owned()));
        lines
    })?)
}
