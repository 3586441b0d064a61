//! `transfers`: what is being moved, either way.

use std::time::Duration;

use clap::Args;
use indicatif::HumanBytes;
use serde::Serialize;

use super::progress::clock;
use super::screen::{Screen, Size};
use super::status::{rate, transfer_cells};
use super::table::{Column, Table};
use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::{Moment, Transfer, TransferDetail, TransferPeer, TransferState, Transfers};
use crate::rate::Rate;

/// How often `--follow` looks.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  p2p-node transfers
  p2p-node transfers --follow                     again each second, until Ctrl-C
  p2p-node transfers --json | jq 'select(.state == \"waiting\")'
  p2p-node transfers --json --follow | jq -r '[.time, .name, .rate] | @tsv'

The number of a download is what `pause`, `resume`, `cancel` and `limit --transfer` take. LIMIT is what a download was
limited to by `get --limit` or `limit --transfer`; of an upload, the lower one of `upload` and `upload_per_peer`. LOSS is
the part of the packets sent to that node that was lost; what is lost the other way only that node knows.";

/// Show what this node downloads and uploads, what is paused or failed, what was done in the last hour, and with whom
/// bytes move.
///
/// With --json: one object a line.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TransfersArgs {
    /// Show them again each second until Ctrl-C, on a terminal in place; with --json all of them again, with the time
    #[arg(short, long)]
    follow: bool,
}

const TRANSFERS: &[Column] = &[
    Column::Right("ID"),
    Column::Left("TRANSFER"),
    Column::Left("OWNER/NAME"),
    Column::Left("STATE"),
    Column::Right("DONE"),
    Column::Right("SIZE"),
    Column::Right("RATE"),
    Column::Right("NODES"),
    Column::Right("LEFT"),
    Column::Right("LIMIT"),
    Column::Left("PATH"),
    Column::Left("WHY"),
];

const PEERS: &[Column] = &[
    Column::Left("WITH"),
    Column::Left("TRANSFER"),
    Column::Left("OWNER/NAME"),
    Column::Right("BYTES"),
    Column::Right("SHARE"),
    Column::Right("RATE"),
    Column::Right("RTT"),
    Column::Right("LOSS"),
    Column::Left("NODE"),
];

pub(super) async fn run(args: TransfersArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    if args.follow {
        return follow(client, console).await;
    }
    let transfers = client.transfers(&()).await?;
    if console.json() {
        return Ok(transfers.items.iter().try_for_each(|item| console.document(item))?);
    }
    if transfers.items.is_empty() {
        console.note(NOTHING);
    }
    Ok(lines(&transfers).iter().try_for_each(|line| console.line(line))?)
}

const NOTHING: &str = "nothing is being moved";

/// Shows them each second until it is interrupted: that is how it ends well.
async fn follow(client: &Client, console: &mut Console) -> Result<(), Failure> {
    let mut interrupt = console.interrupt();
    let mut ticks = tokio::time::interval(FOLLOW_EVERY);
    // After a time without the machine (it slept, say) one look is enough.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut screen = (!console.json() && console.terminals().out).then(Screen::default);
    loop {
        tokio::select! {
            biased;
            () = &mut interrupt => return Ok(()),
            _ = ticks.tick() => {}
        }
        let transfers = tokio::select! {
            () = &mut interrupt => return Ok(()),
            transfers = client.transfers(&()) => transfers?,
        };
        match &mut screen {
            Some(screen) => draw(screen, &transfers, console)?,
            None => print(&transfers, console)?,
        }
        console.flush()?;
    }
}

/// What was found when.
#[derive(Serialize)]
struct Found<'a> {
    time: Moment,
    #[serde(flatten)]
    item: &'a TransferDetail,
}

/// One look, where it is no terminal that sees it: an empty line parts it from the next.
fn print(transfers: &Transfers, console: &mut Console) -> Result<(), Failure> {
    if console.json() {
        let time = Moment::from(crate::clock::wall());
        return Ok(transfers.items.iter().try_for_each(|item| console.document(&Found { time, item }))?);
    }
    lines(transfers).iter().try_for_each(|line| console.line(line))?;
    Ok(console.line("")?)
}

/// The same on a terminal, over the look before. Tables are free of what moves the cursor.
fn draw(screen: &mut Screen, transfers: &Transfers, console: &mut Console) -> Result<(), Failure> {
    let mut rows = lines(transfers);
    if rows.is_empty() {
        rows.push(NOTHING.to_owned());
    }
    let size = Size::now();
    let hidden = rows.len().saturating_sub(size.usable_rows());
    if hidden > 0 {
        rows.truncate(size.usable_rows().saturating_sub(1));
        rows.push(format!("and {} more lines", hidden + 1));
    }
    let drawn = screen.draw(&rows, size);
    Ok(console.out().write_all(drawn.as_bytes())?)
}

fn lines(transfers: &Transfers) -> Vec<String> {
    let mut lines = Table::new(TRANSFERS).lines(transfers.items.iter().map(row));
    let with_peers = transfers.items.iter().flat_map(|item| item.peers.iter().map(move |peer| (item, peer)));
    let peers = Table::new(PEERS).lines(with_peers.map(|(item, peer)| peer_row(&item.transfer, peer)));
    if !peers.is_empty() {
        lines.push(String::new());
        lines.extend(peers);
    }
    lines
}

fn row(item: &TransferDetail) -> Vec<String> {
    let transfer = &item.transfer;
    let running = transfer.state == TransferState::Running;
    // What runs is doing something in particular.
    let state = item.stage.filter(|_| running).map_or(transfer.state.name(), |stage| stage.name());
    let mut row = transfer_cells(transfer, state);
    row.push(item.eta_ms.map(clock).unwrap_or_default());
    row.push(if item.limit == Rate::UNLIMITED { String::new() } else { item.limit.to_string() });
    row.extend([transfer.path.to_string(), transfer.error.clone().unwrap_or_default()]);
    row
}

fn peer_row(transfer: &Transfer, peer: &TransferPeer) -> Vec<String> {
    vec![
        peer.user.as_ref().map(ToString::to_string).unwrap_or_default(),
        transfer.direction.name().to_owned(),
        format!("{}/{}", transfer.owner, transfer.name),
        HumanBytes(peer.bytes).to_string(),
        peer.share.map(|share| format!("{share} %")).unwrap_or_default(),
        rate(peer.rate),
        peer.rtt_ms.map(|rtt| format!("{rtt:.1} ms")).unwrap_or_default(),
        peer.loss.map(|loss| format!("{:.1} %", loss * 100.0)).unwrap_or_default(),
        peer.node.to_string(),
    ]
}
