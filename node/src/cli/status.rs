//! `status`: how this node is.

use clap::Args;
use indicatif::HumanBytes;

use super::progress::percent;
use super::table::{Column, Table};
use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::{
    Direction, IndexState, IndexStatus, ShareProblem, SmallBuffers, Source, Status, Transfer, TransferState,
    WatchStatus,
};

const EXAMPLES: &str = "\
Examples:
  p2p-node status
  p2p-node status --json | jq .transfers";

/// Show this node: whose it is, how it stands with the index, shares with problems, transfers.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct StatusArgs {}

const PROBLEMS: &[Column] = &[Column::Left("SHARE"), Column::Left("PROBLEM"), Column::Left("PATH")];

const TRANSFERS: &[Column] = &[
    Column::Right("ID"),
    Column::Left("TRANSFER"),
    Column::Left("OWNER/NAME"),
    Column::Left("STATE"),
    Column::Right("DONE"),
    Column::Right("SIZE"),
    Column::Right("RATE"),
    Column::Right("NODES"),
    Column::Left("WHY"),
];

pub(super) async fn run(client: &Client, console: &mut Console) -> Result<(), Failure> {
    let status = client.status(&()).await?;
    Ok(console.result(&status, text)?)
}

fn text(status: &Status) -> Vec<String> {
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let user = status.user.as_ref().map(ToString::to_string);
    let mut lines = vec![
        format!("node     {}", status.node),
        format!("user     {}", or_none(user)),
        format!("network  {}", or_none(status.network.map(|network| network.to_string()))),
        format!("address  {}", status.address),
        format!("index    {}", index_text(&status.index)),
        format!("source   {}", status.source.name()),
        format!("shares   {}", status.shares.count),
    ];
    if let Some(SmallBuffers { asked, given }) = &status.small_buffers {
        lines.push(format!(
            "socket   buffers of {}, not {}: fast transfers lose packets; as root: \
            sysctl -w net.core.rmem_max={asked} net.core.wmem_max={asked}, then restart the daemon",
            HumanBytes(*given as u64),
            HumanBytes(*asked as u64)
        ));
    }
    lines.extend(status.watch.as_ref().map(watch_text));
    lines.extend(block(PROBLEMS, status.shares.problems.iter().map(problem_row)));
    lines.extend(block(TRANSFERS, status.transfers.iter().map(transfer_row)));
    lines
}

fn block(columns: &'static [Column], rows: impl Iterator<Item = Vec<String>>) -> Vec<String> {
    let mut lines = Table::new(columns).lines(rows);
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

fn watch_text(watch: &WatchStatus) -> String {
    let WatchStatus { count, unwatched, problem } = watch;
    let plain = format!("watched  {count}");
    match problem {
        None => plain,
        Some(problem) => format!("{plain}, {unwatched} of them looked at once a minute only: {problem}"),
    }
}

fn index_text(index: &IndexStatus) -> String {
    let state = match index.state {
        IndexState::Local => "this node",
        IndexState::Connected => "connected",
        IndexState::NotEnrolled => "connected, no account yet",
        IndexState::Connecting => "connecting",
        IndexState::Refused => "refused",
        IndexState::None => "none configured",
    };
    // The state says that it is refused.
    let problem = index.problem.as_ref().map(|problem| problem.trim_start_matches("refused: ").to_owned());
    let parts = [Some(state.to_owned()), index.address.clone(), problem];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn problem_row(problem: &ShareProblem) -> Vec<String> {
    vec![problem.name.to_string(), problem.state.name().to_owned(), problem.path.to_string()]
}

fn transfer_row(transfer: &Transfer) -> Vec<String> {
    let mut row = transfer_cells(transfer, transfer.state.name());
    row.push(transfer.error.clone().unwrap_or_default());
    row
}

/// What every table of transfers shows of one, in its columns from the number to the nodes.
pub(super) fn transfer_cells(transfer: &Transfer, state: &str) -> Vec<String> {
    let running = transfer.state == TransferState::Running;
    vec![
        transfer.id.map(|id| id.to_string()).unwrap_or_default(),
        transfer.direction.name().to_owned(),
        format!("{}/{}", transfer.owner, transfer.name),
        state.to_owned(),
        done(transfer),
        transfer.size.map(|size| HumanBytes(size).to_string()).unwrap_or_default(),
        if running { rate(transfer.rate) } else { String::new() },
        transfer.holders.to_string(),
    ]
}

pub(super) fn rate(bytes: u64) -> String {
    format!("{}/s", HumanBytes(bytes))
}

/// How much of a transfer is done. Of an upload only the far end knows how much it wants.
fn done(transfer: &Transfer) -> String {
    match (transfer.direction, transfer.size) {
        (Direction::Upload, _) => HumanBytes(transfer.bytes_done).to_string(),
        (_, Some(size)) => format!("{} %", percent(transfer.bytes_done, size)),
        (_, None) => String::new(),
    }
}

impl Source {
    /// Its name, as the JSON has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Dht => "dht",
            Self::Cache => "cache",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_refuses_is_said_to_do_so_once() {
        let index = IndexStatus {
            state: IndexState::Refused,
            address: Some("index.example:4820".to_owned()),
            problem: Some("refused: other-network: a node of another network".to_owned()),
        };
        let text = "refused, index.example:4820, other-network: a node of another network";
        assert_eq!(index_text(&index), text);
    }
}
