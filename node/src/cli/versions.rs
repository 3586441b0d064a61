//! `versions`: which versions of a resource can be had.

use clap::Args;
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::pages::{self, Page, PageArgs};
use super::resource::ResourceArg;
use super::table::Column;
use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::{ResourceVersion, VersionsPage, VersionsRequest};

const EXAMPLES: &str = "\
Examples:
  p2p-node versions alice/report.pdf
  p2p-node versions alice/report.pdf --limit 10   the last ten
  p2p-node versions alice/report.pdf --json | jq '.items[] | select(.online > 0) | .version'
  p2p-node get alice/report.pdf --version 3 -o report-3.pdf";

/// List the versions of a resource that the index knows, the newest first.
///
/// HOLDERS says how many of the nodes that have it are online, and how many there are: `p2p-node get --version` gets what
/// somebody who is online has. Old versions are kept with `p2p-node share --keep` and `p2p-node get --keep`. BY is the node that
/// published it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct VersionsArgs {
    /// Whose, and its name
    #[arg(value_name = "OWNER/NAME")]
    resource: ResourceArg,

    #[command(flatten)]
    page: PageArgs,
}

pub(super) async fn run(args: VersionsArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    let VersionsArgs { resource: ResourceArg { owner, name }, page } = args;
    pages::show(&page, "no further versions", console, async |page| {
        client.versions(&VersionsRequest { owner: owner.clone(), name: name.clone(), page }).await
    })
    .await
}

impl Page for VersionsPage {
    type Item = ResourceVersion;
    const KEY: &'static str = "items";
    const COLUMNS: &'static [Column] = &[
        Column::Right("VERSION"),
        Column::Right("SIZE"),
        Column::Left("PUBLISHED (UTC)"),
        Column::Left("BY"),
        Column::Right("HOLDERS"),
    ];

    fn items(&self) -> &[ResourceVersion] {
        &self.items
    }

    fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    fn rows(item: &ResourceVersion) -> Vec<Vec<String>> {
        vec![vec![
            item.version.to_string(),
            HumanBytes(item.size).to_string(),
            item.published.as_ref().map_or_else(|| "unknown".to_owned(), |published| published.short()),
            item.node.short().to_string(),
            format!("{}/{}", item.online, item.holders),
        ]]
    }

    fn tail(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("next", json!(self.next)),
            ("source", json!(self.source)),
            ("age_seconds", json!(self.age_seconds)),
        ]
    }

    fn remark(&self) -> Option<String> {
        self.source.remark(self.age_seconds)
    }
}
