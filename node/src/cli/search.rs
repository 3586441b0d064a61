//! `search`: what matches a query.

use clap::Args;

use super::pages::{self, PageArgs};
use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::SearchRequest;

const EXAMPLES: &str = "\
Examples:
  p2p-node search holiday film                    names with both words
  p2p-node search report owner:alice              only what alice shares
  p2p-node search --limit 20 film";

/// Find resources by name.
///
/// A word is found anywhere in a name; one of one or two letters only where a word begins. Exact names come first, then
/// the newest. Where nothing matches, it says so, and that is no failure.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SearchArgs {
    /// Words that must all match; also owner:USER
    #[arg(required = true)]
    query: Vec<String>,

    #[command(flatten)]
    page: PageArgs,
}

pub(super) async fn run(args: SearchArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    let query = args.query.join(" ");
    pages::show(&args.page, "nothing matches", console, async |page| {
        client.search(&SearchRequest { query: query.clone(), page }).await
    })
    .await
}
