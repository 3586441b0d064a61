//! `transfers`: what is being moved, either way.

use clap::Args;
use indicatif::HumanBytes;

use super::status::{rate, transfer_cells};
use super::table::{Column, Table};
use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::{Transfer, TransferDetail, TransferPeer, TransferState};

const EXAMPLES: &str = "\
Examples:
  p2p-node transfers
  p2p-node transfers --json | jq 'select(.state == \"waiting\")'
  watch -n 1 p2p-node transfers

The number of a download is what `pause`, `resume` and `cancel` take. LOSS is the part of the packets sent to that
node that was lost; what is lost the other way only that node knows.";

/// Show what this node downloads and uploads, what is paused or failed, what was done in the last hour, and with whom
/// bytes move.
///
/// With --json: one object a line.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TransfersArgs {}

const TRANSFERS: &[Column] = &[
    Column::Right("ID"),
    Column::Left("TRANSFER"),
    Column::Left("OWNER/NAME"),
    Column::Left("STATE"),
    Column::Right("DONE"),
    Column::Right("SIZE"),
    Column::Right("RATE"),
    Column::Right("NODES"),
    Column::Left("PATH"),
    Column::Left("WHY"),
];

const PEERS: &[Column] = &[
    Column::Left("WITH"),
    Column::Left("TRANSFER"),
    Column::Left("OWNER/NAME"),
    Column::Right("BYTES"),
    Column::Right("RATE"),
    Column::Right("RTT"),
    Column::Right("LOSS"),
    Column::Left("NODE"),
];

pub(super) async fn run(client: &Client, console: &mut Console) -> Result<(), Failure> {
    let transfers = client.transfers(&()).await?;
    if console.json() {
        return Ok(transfers.items.iter().try_for_each(|item| console.document(item))?);
    }
    if transfers.items.is_empty() {
        console.note("nothing is being moved");
    }
    let mut lines = Table::new(TRANSFERS).lines(transfers.items.iter().map(row));
    let with_peers = transfers.items.iter().flat_map(|item| item.peers.iter().map(move |peer| (item, peer)));
    let peers = Table::new(PEERS).lines(with_peers.map(|(item, peer)| peer_row(&item.transfer, peer)));
    if !peers.is_empty() {
        lines.push(String::new());
        lines.extend(peers);
    }
    Ok(lines.iter().try_for_each(|line| console.line(line))?)
}

fn row(item: &TransferDetail) -> Vec<String> {
    let transfer = &item.transfer;
    let running = transfer.state == TransferState::Running;
    // What runs is doing something in particular.
    let state = item.stage.filter(|_| running).map_or(transfer.state.name(), |stage| stage.name());
    let mut row = transfer_cells(transfer, state);
    row.extend([transfer.path.to_string(), transfer.error.clone().unwrap_or_default()]);
    row
}

fn peer_row(transfer: &Transfer, peer: &TransferPeer) -> Vec<String> {
    vec![
        peer.user.as_ref().map(ToString::to_string).unwrap_or_default(),
        transfer.direction.name().to_owned(),
        format!("{}/{}", transfer.owner, transfer.name),
        HumanBytes(peer.bytes).to_string(),
        rate(peer.rate),
        peer.rtt_ms.map(|rtt| format!("{rtt:.1} ms")).unwrap_or_default(),
        peer.loss.map(|loss| format!("{:.1} %", loss * 100.0)).unwrap_or_default(),
        peer.node.to_string(),
    ]
}
