//! `demo`: everything on this machine alone.

use std::path::PathBuf;

use clap::Args;

use super::args::Global;
use super::{Console, Failure, logging};
use crate::control::ApiError;
use crate::demo::DemoOptions;

const EXAMPLES: &str = "\
Examples:
  p2p-node demo
  p2p-node demo ~/film.mkv";

/// Show what the system does: an index and three peers on this machine, in a temporary folder.
///
/// Signs users up, shares a file, finds it, downloads it from one holder and from two at once, verifies it, cleans up.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DemoArgs {
    /// The file to share [default: one of 256 MiB, made for it]
    path: Option<PathBuf>,
}

pub(super) async fn run(args: DemoArgs, global: &Global, console: &mut Console) -> Result<(), Failure> {
    logging::start_command(global, console)?;
    let path = args.path.map(std::path::absolute).transpose();
    let path = path.map_err(|error| ApiError::io("resolve the path", &error))?;
    let options = DemoOptions { path, json: console.json() };
    Ok(crate::demo::run(options, console.out()).await?)
}
