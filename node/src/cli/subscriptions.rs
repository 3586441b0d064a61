//! `subscriptions`: what stays up to date.

use clap::Args;

use super::pages::{self, Page, PageArgs};
use super::resource::ResourceArg;
use super::table::Column;
use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::{SubscriptionItem, SubscriptionRequest, SubscriptionsPage};

const EXAMPLES: &str = "\
Examples:
  p2p-node subscriptions
  p2p-node subscriptions --accept alice/photos    a version that waits, since the owner changed so much
  p2p-node subscriptions --json | jq '.items[] | select(.state != \"current\")'

A version waits where more than half of a folder's files are gone, where it is ten times as large as before and 1 GiB
larger, or where it would leave less than 512 MiB free on the disk; [updates] in config.toml has these limits.";

/// What helps who names a subscription that is not there.
pub(super) const WHERE_TO_LOOK: &str = "`p2p-node subscriptions` shows those that there are";

/// Show what stays up to date: where it lies, which version is installed, which is the newest.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SubscriptionsArgs {
    #[command(flatten)]
    page: PageArgs,

    /// Install the version of this resource that waits for you
    #[arg(long, value_name = "OWNER/NAME", conflicts_with_all = ["limit", "cursor"])]
    accept: Option<ResourceArg>,
}

pub(super) async fn run(
    args: SubscriptionsArgs,
    client: &Client,
    console: &mut Console,
) -> Result<(), Failure> {
    if let Some(ResourceArg { owner, name }) = args.accept {
        let done = client.accept(&SubscriptionRequest { owner, name, path: None }).await;
        let done = done.map_err(|error| error.not_found_hint(WHERE_TO_LOOK))?;
        return Ok(console.result(&done, |done| done.items.iter().map(sentence).collect())?);
    }
    let empty = "nothing here is subscribed to; `p2p-node get` and `p2p-node subscribe` do that";
    pages::show(&args.page, empty, console, async |page| client.subscriptions(&page).await).await
}

/// How one stands, for people.
pub(super) fn sentence(item: &SubscriptionItem) -> String {
    let SubscriptionItem { owner, name, path, state, .. } = item;
    format!("{owner}/{name} at {path}: {}", state.name())
}

impl Page for SubscriptionsPage {
    type Item = SubscriptionItem;
    const KEY: &'static str = "items";
    const COLUMNS: &'static [Column] = &[
        Column::Left("RESOURCE"),
        Column::Right("VERSION"),
        Column::Right("NEWEST"),
        Column::Left("STATE"),
        Column::Left("CHECKED"),
        Column::Left("PATH"),
    ];

    fn items(&self) -> &[SubscriptionItem] {
        &self.items
    }

    fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    fn rows(item: &SubscriptionItem) -> Vec<Vec<String>> {
        let number = |version: Option<u64>| version.map_or_else(|| "-".to_owned(), |it| it.to_string());
        let mut state = item.state.name().to_owned();
        if let Some(kept) = &item.kept {
            state.push_str(&format!(", {} kept", kept.versions));
        }
        if item.edited {
            state.push_str(", edited here");
        }
        if let Some(why) = &item.why {
            state = format!("{state}: {why}");
        }
        vec![vec![
            format!("{}/{}", item.owner, item.name),
            number(item.version),
            number(item.newest),
            state,
            item.checked.as_ref().map_or_else(|| "never".to_owned(), |at| at.short()),
            item.path.to_string(),
        ]]
    }
}
