//! `search`: what matches a query.

use clap::Args;

use super::pages::{self, PageArgs};
use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::SearchRequest;

const EXAMPLES: &str = "\
Examples:
  p2p-node search holiday film                    names with both words
  p2p-node search '\"annual report\"' owner:alice   these words in a row
  p2p-node search 'rep*' ext:pdf after:2026-01-01
  p2p-node search 'size:>1g' kind:file
  p2p-node search --limit 20 film
  p2p-node search -- film -trailer                after `--` a word may begin with '-'

Terms, all of which must match:
  word               anywhere in the name; one of one or two letters only where a word begins
  prefix*            where a word of the name begins
  \"a phrase\"         these words in a row, whole
  ext:pdf            the end of the name
  size:>1g           also >=, <, <=, = and 1m..2g; k, m, g and t are powers of 1024
  after:2026-01-31   changed on this day (UTC) or later; before: earlier
  kind:file          or kind:folder
  owner:alice        of this user
  -TERM              what must not match";

/// Find resources by name, size, date, kind and owner.
///
/// Exact names come first, then the newest. Where nothing matches, it says so, and that is no failure.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SearchArgs {
    /// Terms that must all match: words, "phrases", prefix*, ext:, size:, after:, before:, kind:, owner:, and -TERM
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
