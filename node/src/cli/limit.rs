//! `limit`: how much the daemon gives and takes.

use clap::Args;

use super::table::{Column, Table};
use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::Limits;
use crate::options::{LimitChanges, LimitOptions};

const EXAMPLES: &str = "\
Examples:
  p2p-node limit                                  what holds now
  p2p-node limit upload=10MB download=none
  p2p-node limit upload_per_peer=500KiB upload_slots=16

The limits are upload and download (all together), upload_per_peer and download_per_peer (with each node), in bytes a
second such as 10MB, 500KiB or 2.5m, or none; and upload_slots, how many uploads run at once, 1 to 4096. A change
counts at once, and holds until the daemon restarts: what is to stay goes into [limits] in config.toml.
`p2p-node get --limit RATE` limits one download.";

/// Show the limits of uploads and downloads, or change them until the daemon restarts.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LimitArgs {
    /// What to change, and to what
    #[arg(value_name = "LIMIT=VALUE")]
    changes: Vec<LimitChanges>,
}

pub(super) async fn run(args: LimitArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    let changes = args.changes.iter().fold(LimitChanges::default(), LimitChanges::and);
    let limits = client.limit(&changes).await?;
    Ok(console.result(&limits, lines)?)
}

const COLUMNS: &[Column] = &[Column::Left("LIMIT"), Column::Right("VALUE"), Column::Left("CONFIGURED")];

fn lines(limits: &Limits) -> Vec<String> {
    let values = limits.now.values().into_iter().zip(limits.configured.values());
    let rows = LimitOptions::KEYS.into_iter().zip(values);
    let mut lines =
        Table::new(COLUMNS).lines(rows.map(|(key, (now, configured))| vec![key.to_owned(), now, configured]));
    if limits.now != limits.configured {
        let text = "what differs from the configuration holds until the daemon restarts";
        lines.push(format!("{text}; [limits] in config.toml keeps it"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_how_long_it_holds() {
        let configured = LimitOptions::default();
        let same = lines(&Limits { now: configured, configured });
        assert_eq!(same.len(), 1 + LimitOptions::KEYS.len());
        let now = configured.with(&"upload=10MB".parse().expect("a limit"));
        let changed = lines(&Limits { now, configured });
        assert_eq!(changed[1].split_whitespace().collect::<Vec<_>>(), ["upload", "10MB/s", "none"]);
        assert!(changed.last().is_some_and(|line| line.contains("until the daemon restarts")), "{changed:?}");
    }
}
