//! How a network does without its index: many real nodes in this process, over loopback.
//!
//!     cargo bench -p p2p-node-tests --bench fallback -- --nodes 100 --kill 50 [--seed N]
//!     cargo bench -p p2p-node-tests --bench fallback -- --nodes 300 --spread [SHARES]
//!     cargo bench -p p2p-node-tests --bench fallback -- --nodes 50 --idle MINUTES
//!
//! Ends with 1 where a figure is missed. The processors are shared by all of these nodes, and by whatever else runs: see the
//! load that is printed. Bytes are those on the network, with the headers of IP and UDP.

mod arguments;
mod idle;
mod kill;
mod report;
mod spread;

use std::process::ExitCode;
use std::time::Duration;

use arguments::{Arguments, Part};
use p2p_node_tests::{Fleet, clock};
use report::Meter;

/// How long the copies may take to be full once all nodes are there.
const FULL: Duration = Duration::from_secs(1200);
/// The file of each node.
const SIZE: usize = 64 << 10;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    println!("{arguments:?}");
    report::allow_files();
    let began = clock::monotonic();
    // One machine does the work of as many as there are nodes: without rest their requests come too late, and are made again.
    let mut fleet = Fleet::start(arguments.nodes, SIZE, report::rest).await;
    report::took("signed up, each with a file, and started", began);
    report::process();
    let (meter, began) = (Meter::start(&fleet), clock::monotonic());
    fleet.wait_for_copies(arguments.nodes, arguments.nodes, FULL).await;
    report::took("every file in every copy", began);
    meter.print("until then", &fleet);
    let good = match arguments.part {
        Part::Kill(count) => kill::measure(&mut fleet, count, arguments.seed).await,
        Part::Spread(shares) => spread::measure(&mut fleet, shares, arguments.seed).await,
        Part::Idle(minutes) => idle::measure(&mut fleet, minutes).await,
    };
    report::process();
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
