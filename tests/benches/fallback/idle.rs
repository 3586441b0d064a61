//! Nothing is done: what that costs each node.

use std::time::Duration;

use p2p_node_tests::{Fleet, clock};

use crate::report::{self, Messages, Meter};

/// What an idle node may send, and receive, in bytes a second.
const BYTES_A_SECOND: f64 = 2000.0;
/// After a change, until nothing comes of it any more.
const SETTLE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn measure(fleet: &mut Fleet, minutes: u64) -> bool {
    let there = round(fleet, "index there, idle", minutes).await;
    fleet.cluster.index.kill().await;
    fleet.wait_for_fallback(PATIENCE).await;
    let away = round(fleet, "index away, idle", minutes).await;
    let good = there && away;
    println!("at most {BYTES_A_SECOND} bytes/s each way: {}", if good { "yes" } else { "MISSED" });
    good
}

async fn round(fleet: &Fleet, what: &str, minutes: u64) -> bool {
    tokio::time::sleep(SETTLE).await;
    let (meter, mut messages, began) = (Meter::start(fleet), Messages::start(fleet), clock::monotonic());
    while clock::monotonic() - began < Duration::from_secs(60 * minutes) {
        tokio::time::sleep(LOOK).await;
        messages.look(fleet);
    }
    let rates = meter.print(what, fleet);
    messages.print(fleet, (clock::monotonic() - began).as_secs_f64());
    report::process();
    let all = rates.sent.iter().chain(&rates.received);
    all.fold(0.0, |most: f64, rate| most.max(*rate)) <= BYTES_A_SECOND
}
