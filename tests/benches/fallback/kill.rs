//! Some nodes are killed at random while the index is away: what is left somewhere is found and fetched.

use std::time::Duration;

use futures_util::StreamExt;
use p2p_node_tests::fleet::Held;
use p2p_node_tests::{Fleet, Random, clock, wait_until};

use crate::report::{self, Meter};

/// Others that have each file.
const COPIES: usize = 1;
/// Between two that are killed.
const PAUSE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(60);
/// Downloads at once, of different nodes.
const AT_ONCE: usize = 8;

pub(crate) async fn measure(fleet: &mut Fleet, count: usize, seed: u64) -> bool {
    println!("seed {seed}");
    let mut random = Random(seed);
    let held = fleet.copy_all(COPIES, &mut random).await;
    let nodes = fleet.nodes.len();
    fleet.wait_for_copies(nodes, nodes, crate::FULL).await;
    fleet.cluster.index.kill().await;
    let began = clock::monotonic();
    fleet.wait_for_fallback(PATIENCE).await;
    report::took("everybody goes on without the index", began);
    wait_for_holders(fleet).await;
    let killed = random.some_of(nodes, count);
    fleet.kill(&killed, PAUSE).await;
    println!("killed: {killed:?}");
    let meter = Meter::start(fleet);
    let found = find_all(fleet, &held).await;
    let fetched = fetch_all(fleet, &held, &mut random).await;
    meter.print("from the last one killed on", fleet);
    report::process();
    found && fetched
}

/// Waits until each copy knows of all who have each file.
async fn wait_for_holders(fleet: &Fleet) {
    // What was fetched is told under a head, as everything.
    for node in &fleet.nodes {
        wait_until(crate::FULL, "all holders are in every copy", async || {
            let items = node.list().await.expect("listed");
            let short = items.iter().filter(|item| item.holders <= COPIES as u64).count();
            if short == 0 { Ok(()) } else { Err(short) }
        })
        .await;
    }
}

/// Every file, by every node that is left.
async fn find_all(fleet: &Fleet, held: &[Held]) -> bool {
    let (mut times, mut missed) = (Vec::new(), 0);
    for number in fleet.alive() {
        for one in held {
            let began = clock::monotonic();
            let found = fleet.nodes[number].search(&one.name()).await.map_or(0, |found| found.len());
            times.push(clock::monotonic() - began);
            missed += usize::from(found != 1);
        }
    }
    report::times("search", times);
    println!("{missed} searches did not find the file");
    missed == 0
}

/// Every file that somebody has who is left, by one who has it not.
async fn fetch_all(fleet: &Fleet, held: &[Held], random: &mut Random) -> bool {
    let alive = fleet.alive();
    let left = held.iter().filter(|one| one.holders.iter().any(|holder| alive.contains(holder)));
    let mut wanted = Vec::new();
    for one in left {
        let others: Vec<_> = alive.iter().copied().filter(|other| !one.holders.contains(other)).collect();
        wanted.push((others[random.below(others.len())], one));
    }
    let count = wanted.len();
    let getting = futures_util::stream::iter(wanted).map(|(getter, one)| async move {
        let began = clock::monotonic();
        fleet.get(getter, one).await;
        clock::monotonic() - began
    });
    let times: Vec<_> = getting.buffer_unordered(AT_ONCE).collect().await;
    println!("{count} of {} files had somebody left; {} were fetched", held.len(), times.len());
    report::times("get", times);
    true
}
