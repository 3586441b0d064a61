//! `list`: everything that is shared.

use certs::UserName;
use clap::Args;
use indicatif::HumanBytes;
use serde_json::{Value, json};
use wire::Kind;

use super::pages::{self, Page, PageArgs};
use super::table::Column;
use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::{ListRequest, Resource, ResourcePage};

const EXAMPLES: &str = "\
Examples:
  p2p-node list
  p2p-node list --owner alice --online
  p2p-node list --limit 50                        one page; its last line names the next
  p2p-node list --limit 50 --cursor CURSOR
  p2p-node list --json | jq -r '.items[].name'";

/// List everything that is shared in the network.
///
/// HOLDERS says how many of the nodes that have it are online, and how many there are.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ListArgs {
    /// This user's alone
    #[arg(long, value_name = "USER")]
    owner: Option<UserName>,

    /// Only what somebody who is online has
    #[arg(long)]
    online: bool,

    #[command(flatten)]
    page: PageArgs,
}

pub(super) async fn run(args: ListArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    let ListArgs { owner, online, page } = args;
    let empty = if owner.is_some() || online { "nothing found" } else { "nothing is shared" };
    pages::show(&page, empty, console, async |page| {
        client.list(&ListRequest { owner: owner.clone(), online, page }).await
    })
    .await
}

impl Page for ResourcePage {
    type Item = Resource;
    const KEY: &'static str = "items";
    const COLUMNS: &'static [Column] = &[
        Column::Left("OWNER/NAME"),
        Column::Left("KIND"),
        Column::Right("VERSION"),
        Column::Right("SIZE"),
        Column::Left("MODIFIED (UTC)"),
        Column::Right("HOLDERS"),
    ];

    fn items(&self) -> &[Resource] {
        &self.items
    }

    fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    fn rows(item: &Resource) -> Vec<Vec<String>> {
        vec![vec![
            format!("{}/{}", item.owner, item.name),
            kind(item.kind).to_owned(),
            item.version.to_string(),
            HumanBytes(item.size).to_string(),
            item.mtime.short(),
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

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Folder => "folder",
        Kind::Gone => "gone",
    }
}
