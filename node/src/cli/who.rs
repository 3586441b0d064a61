//! `who`: the users who are online.

use clap::Args;
use serde_json::{Value, json};

use super::pages::{self, Page, PageArgs};
use super::table::Column;
use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::{UserOnline, WhoPage};

const EXAMPLES: &str = "\
Examples:
  p2p-node who
  p2p-node who --json | jq '.users[].user'";

/// Show who is online: users and their nodes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct WhoArgs {}

pub(super) async fn run(client: &Client, console: &mut Console) -> Result<(), Failure> {
    pages::show(&PageArgs::default(), "nobody is online", console, async |page| client.who(&page).await).await
}

impl Page for WhoPage {
    type Item = UserOnline;
    const KEY: &'static str = "users";
    const COLUMNS: &'static [Column] =
        &[Column::Left("USER"), Column::Left("ADDRESS"), Column::Left("SINCE (UTC)"), Column::Left("NODE")];

    fn items(&self) -> &[UserOnline] {
        &self.users
    }

    fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    fn rows(user: &UserOnline) -> Vec<Vec<String>> {
        let row = |node: &crate::control::api::NodeOnline| {
            vec![
                user.user.to_string(),
                node.address.map_or_else(|| "-".to_owned(), |address| address.to_string()),
                node.since.short(),
                node.node.to_string(),
            ]
        };
        user.nodes.iter().map(row).collect()
    }

    fn tail(&self) -> Vec<(&'static str, Value)> {
        vec![("source", json!(self.source)), ("age_seconds", json!(self.age_seconds))]
    }

    fn remark(&self) -> Option<String> {
        self.source.remark(self.age_seconds)
    }
}
