//! `status`: how this node is.

use std::collections::BTreeMap;

use clap::Args;
use indicatif::HumanBytes;

use super::progress::percent;
use super::table::{Column, Table};
use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::{
    DhtStatus, Direction, FallbackStatus, IndexState, IndexStatus, ShareProblem, SmallBuffers, Source,
    Status, Transfer, TransferState, WatchStatus,
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
        format!("source   {}", source_text(status)),
        format!("shares   {}", status.shares.count),
    ];
    lines.extend(status.fallback.iter().flat_map(fallback_text));
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

/// Who is asked, and why.
fn source_text(status: &Status) -> String {
    let name = status.source.name();
    let why = status.fallback.as_ref().filter(|fallback| fallback.in_use).map(|fallback| &fallback.why);
    why.map_or_else(|| name.to_owned(), |why| format!("{name}: {why}"))
}

fn fallback_text(fallback: &FallbackStatus) -> Vec<String> {
    let FallbackStatus { neighbours, catalogues, entries, age_seconds, refused, dht, .. } = fallback;
    let age = age_seconds.map_or_else(|| "never brought up to date".to_owned(), |age| format!("{age} s old"));
    let copy = format!("copy     {entries} resources of {catalogues} nodes, {age}; {neighbours} neighbours");
    let mut lines = vec![copy];
    lines.extend(dht.as_ref().map(dht_text));
    lines.extend(refused_text("of the copy", refused));
    lines.extend(dht.as_ref().and_then(|dht| refused_text("of the DHT", &dht.refused)));
    lines
}

fn dht_text(dht: &DhtStatus) -> String {
    let DhtStatus { mode, peers, connected, values, bytes, providers, .. } = dht;
    let (mode, bytes) = (mode.name(), HumanBytes(*bytes));
    format!(
        "dht      {mode}, {peers} nodes in the table, {connected} connected; {values} values ({bytes}), {providers} providers"
    )
}

/// What others sent that was not believed, the most frequent first.
fn refused_text(whence: &str, refused: &BTreeMap<String, u64>) -> Option<String> {
    let mut kinds: Vec<_> = refused.iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let kinds: Vec<_> = kinds.into_iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    (!kinds.is_empty()).then(|| format!("refused  {whence}: {}", kinds.join(", ")))
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

    /// What people are told beside an answer that is not the index's.
    pub(super) fn remark(self, age_seconds: u64) -> Option<String> {
        let text = |whence| format!("{whence}, {age_seconds} s old, as the index is away");
        match self {
            Self::Index => None,
            Self::Dht => Some(text("from this machine's copy and other members")),
            Self::Cache => Some(text("from this machine's copy")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::api::DhtMode;

    #[test]
    fn what_was_refused_is_shown_by_kind() {
        let counts = |counts: &[(&str, u64)]| {
            counts.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect()
        };
        let dht = DhtStatus {
            mode: DhtMode::Server,
            peers: 7,
            connected: 2,
            values: 15,
            bytes: 20 << 10,
            providers: 3,
            refused: counts(&[("value too large", 4)]),
        };
        let mut fallback = FallbackStatus { dht: Some(dht), ..FallbackStatus::default() };
        fallback.refused = counts(&[("forged", 1), ("old-sequence", 12)]);
        let lines = fallback_text(&fallback);
        let text = "dht      server, 7 nodes in the table, 2 connected; 15 values (20.00 KiB), 3 providers";
        assert_eq!(lines[1], text);
        assert_eq!(lines[2], "refused  of the copy: old-sequence 12, forged 1");
        assert_eq!(lines[3], "refused  of the DHT: value too large 4");
        assert_eq!(fallback_text(&FallbackStatus::default()).len(), 1, "nothing was");
    }

    #[test]
    fn what_is_not_the_indexs_is_said_to_be_so() {
        assert_eq!(Source::Index.remark(0), None);
        let said = Source::Cache.remark(40).expect("a remark");
        assert_eq!(said, "from this machine's copy, 40 s old, as the index is away");
        assert_ne!(Source::Dht.remark(40), Some(said));
    }

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
