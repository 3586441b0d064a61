//! `limit`: how much the daemon gives and takes, in all or for one download.

use clap::Args;

use super::pause::WHERE_TO_LOOK;
use super::resource::JobArg;
use super::table::{Column, Table};
use super::{Console, Failure};
use crate::control::api::{JobLimit, JobLimitRequest, Limits};
use crate::control::{ApiError, ApiResult, Client};
use crate::options::{LimitChanges, LimitOptions};

const EXAMPLES: &str = "\
Examples:
  p2p-node limit                                  what holds now
  p2p-node limit upload=10MB download=none
  p2p-node limit upload_per_peer=500KiB upload_slots=16
  p2p-node limit --transfer 7                     what holds for download 7 of `p2p-node transfers`
  p2p-node limit --transfer 7 download=5m         also while it runs; `off` or `none` takes the limit away
  p2p-node limit --transfer alice/film.mkv download=off

The limits are upload and download (all together), upload_per_peer and download_per_peer (with each node), in bytes a
second such as 10MB, 500KiB or 2.5m, or none; and upload_slots, how many uploads run at once, 1 to 4096. A change
counts at once, and holds until the daemon restarts: what is to stay goes into [limits] in config.toml.
The limit of one download, of `p2p-node get --limit RATE` or --transfer, is kept with it until it is done.";

/// Show the limits of uploads and downloads, or change them until the daemon restarts; with --transfer, of one download
/// for as long as it takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LimitArgs {
    /// What to change, and to what
    #[arg(value_name = "LIMIT=VALUE")]
    changes: Vec<LimitChanges>,

    /// Of one download: its number, or whose resource it is of, and the name. It may run, wait or be paused
    #[arg(short, long, value_name = "ID|OWNER/NAME")]
    transfer: Option<JobArg>,
}

pub(super) async fn run(args: LimitArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    let changes = args.changes.iter().fold(LimitChanges::default(), LimitChanges::and);
    if let Some(transfer) = args.transfer {
        let request = of_one(transfer, changes)?;
        let limit = client.limit_transfer(&request).await;
        let limit = limit.map_err(|error| error.not_found_hint(WHERE_TO_LOOK))?;
        return Ok(console.result(&limit, |limit| vec![sentence(limit)])?);
    }
    let limits = client.limit(&changes).await?;
    Ok(console.result(&limits, lines)?)
}

/// One download has one limit.
fn of_one(transfer: JobArg, changes: LimitChanges) -> ApiResult<JobLimitRequest> {
    let LimitChanges { download, .. } = changes;
    if changes != (LimitChanges { download, ..LimitChanges::default() }) {
        let error = ApiError::usage("of one download nothing but `download` can be limited");
        return Err(error.with_hint("p2p-node limit --transfer ID download=RATE"));
    }
    Ok(JobLimitRequest { job: transfer.request(), download })
}

fn sentence(limit: &JobLimit) -> String {
    let JobLimit { id, owner, name, state, download } = limit;
    let limit = match download.bytes() {
        Some(_) => format!("may take {download}"),
        None => "has no limit of its own".to_owned(),
    };
    format!("download {id} of {owner}/{name} ({}) {limit}", state.name())
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
    fn one_download_has_one_limit() {
        let parse = |text: &str| text.parse::<LimitChanges>().expect(text);
        let request = of_one(JobArg::Id(7), parse("download=off")).expect("a limit");
        assert_eq!(request.download, Some(crate::rate::Rate::UNLIMITED));
        assert_eq!(of_one(JobArg::Id(7), LimitChanges::default()).expect("a question").download, None);
        for other in ["upload=1MB", "download_per_peer=1MB", "upload_slots=3"] {
            let error = of_one(JobArg::Id(7), parse("download=1MB").and(&parse(other))).expect_err(other);
            assert!(error.hint.is_some(), "{error:?}");
        }
    }

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
