//! `shares`: what this node shares.

use clap::Args;
use indicatif::HumanBytes;

use super::pages::{self, Page, PageArgs};
use super::table::Column;
use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::{Share, SharesPage};

const EXAMPLES: &str = "\
Examples:
  p2p-node shares
  p2p-node shares --json | jq '.items[] | select(.state != \"shared\")'";

/// Show what this node shares, where it lies, and whether it is still what was shared.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SharesArgs {}

pub(super) async fn run(client: &Client, console: &mut Console) -> Result<(), Failure> {
    pages::show(&PageArgs::default(), "this node shares nothing", console, async |page| {
        client.shares(&page).await
    })
    .await
}

impl Page for SharesPage {
    type Item = Share;
    const KEY: &'static str = "items";
    const COLUMNS: &'static [Column] = &[
        Column::Left("NAME"),
        Column::Right("VERSION"),
        Column::Right("SIZE"),
        Column::Left("STATE"),
        Column::Left("WATCH"),
        Column::Left("PATH"),
    ];

    fn items(&self) -> &[Share] {
        &self.items
    }

    fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    fn rows(share: &Share) -> Vec<Vec<String>> {
        vec![vec![
            share.name.to_string(),
            share.version.to_string(),
            HumanBytes(share.size).to_string(),
            share.state.name().to_owned(),
            if share.watched { "yes" } else { "no" }.to_owned(),
            share.path.to_string(),
        ]]
    }
}
