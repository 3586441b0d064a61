//! `pause`: a download stopped for now.

use clap::Args;

use super::resource::JobArg;
use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::{JobDone, JobState, JobsDone};

const EXAMPLES: &str = "\
Examples:
  p2p-node pause alice/film.mkv
  p2p-node pause 7                                the number that `p2p-node transfers` shows
  p2p-node pause --all

`p2p-node resume` goes on from what was received.";

/// What helps who names a download that is not there.
pub(super) const WHERE_TO_LOOK: &str = "`p2p-node transfers` shows the downloads that there are";

/// Stop a download for now; what was received of it is kept, and it stays paused when the daemon starts again.
///
/// A `get` that follows it ends with exit code 7.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PauseArgs {
    /// Its number, or whose resource it is of, and the name
    #[arg(value_name = "ID|OWNER/NAME", required_unless_present = "all", conflicts_with = "all")]
    download: Option<JobArg>,

    /// All that run
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(args: PauseArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    let Some(download) = args.download else {
        return print_all(&client.pause_all(&()).await?, "no download runs", console);
    };
    let done = client.pause(&download.request()).await;
    let done = done.map_err(|error| error.not_found_hint(WHERE_TO_LOOK))?;
    Ok(console.result(&done, |done| vec![sentence(done)])?)
}

/// What became of several; `nothing` is told where there were none.
pub(super) fn print_all(done: &JobsDone, nothing: &str, console: &mut Console) -> Result<(), Failure> {
    if done.items.is_empty() && !console.json() {
        console.note(nothing);
    }
    Ok(console.result(done, |done| done.items.iter().map(sentence).collect())?)
}

/// How a download stands, for people.
pub(super) fn sentence(done: &JobDone) -> String {
    let JobDone { id, owner, name, state } = done;
    match (id, state) {
        (Some(id), _) => format!("download {id} of {owner}/{name} is {}", state.name()),
        (None, JobState::Paused) => format!("{owner}/{name} gets no updates for now"),
        (None, _) => format!("{owner}/{name} gets updates again"),
    }
}
