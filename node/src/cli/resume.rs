//! `resume`: a download gone on with.

use clap::Args;

use super::pause::{WHERE_TO_LOOK, print_all, sentence};
use super::resource::JobArg;
use super::{Console, Failure};
use crate::control::Client;

const EXAMPLES: &str = "\
Examples:
  p2p-node resume alice/film.mkv
  p2p-node resume 7                               the number that `p2p-node transfers` shows
  p2p-node resume --all                           all that are paused

It returns at once. `p2p-node get OWNER/NAME` resumes a download, too, and follows it.";

/// Go on with a download that is paused or failed, from what was received. It waits where no holder is there.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ResumeArgs {
    /// Its number, or whose resource it is of, and the name
    #[arg(value_name = "ID|OWNER/NAME", required_unless_present = "all", conflicts_with = "all")]
    download: Option<JobArg>,

    /// All that are paused; not those that failed
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(args: ResumeArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    let Some(download) = args.download else {
        return print_all(&client.resume_all(&()).await?, "no download is paused", console);
    };
    let done = client.resume(&download.request()).await;
    let done = done.map_err(|error| error.not_found_hint(WHERE_TO_LOOK))?;
    Ok(console.result(&done, |done| vec![sentence(done)])?)
}
