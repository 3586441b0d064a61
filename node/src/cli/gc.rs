//! `gc`: what nothing needs goes.

use clap::Args;
use indicatif::HumanBytes;

use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::{GcDone, GcRequest};

const EXAMPLES: &str = "\
Examples:
  p2p-node gc --dry-run                           what would be removed
  p2p-node gc

Copies of old versions are made by `share`, `get` and `subscribe` with --keep; they go by themselves when there are more
than wanted. This removes what was left when that did not work, as where a disk was away.";

/// Remove what nothing needs: copies of old versions that are too many, and descriptions of files that are not held any
/// more.
///
/// Shared and downloaded files are never touched.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct GcArgs {
    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: GcArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    let done = client.gc(&GcRequest { dry_run: args.dry_run }).await?;
    Ok(console.result(&done, |done| vec![text(done)])?)
}

fn text(done: &GcDone) -> String {
    let GcDone { dry_run, versions, bytes, manifests } = *done;
    let verb = if dry_run { "would remove" } else { "removed" };
    format!("{verb} {versions} old versions ({}) and {manifests} manifests", HumanBytes(bytes))
}
