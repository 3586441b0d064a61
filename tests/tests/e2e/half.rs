//! The index is killed, and while it is away half of the nodes: what somebody who is left has is found and fetched.

use std::time::Duration;

use p2p_node::control::api::Source;
use p2p_node_tests::fleet::Held;
use p2p_node_tests::{Fleet, PATIENCE, Random, clock};

const NODES: usize = 12;
const KILLED: usize = 6;
const SIZE: usize = 200_000;
/// Between two that are killed.
const PAUSE: Duration = Duration::from_millis(300);

/// Somebody who runs and has this not yet.
fn getter(fleet: &Fleet, held: &Held, random: &mut Random) -> usize {
    let others: Vec<_> = fleet.alive().into_iter().filter(|one| !held.holders.contains(one)).collect();
    others[random.below(others.len())]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_somewhere_is_found_and_fetched() {
    let seed = clock::wall_millis().0;
    eprintln!("seed {seed}");
    let mut random = Random(seed);
    let mut fleet = Fleet::start(NODES, SIZE, async || {}).await;
    let held = fleet.copy_all(1, &mut random).await;
    fleet.wait_for_copies(NODES, NODES, PATIENCE).await;
    fleet.cluster.index.kill().await;
    let killed = random.some_of(NODES, KILLED);
    fleet.kill(&killed, PAUSE).await;
    fleet.wait_for_fallback(PATIENCE).await;

    let alive = fleet.alive();
    assert_eq!(alive.len(), NODES - KILLED);
    let mut fetched = 0;
    for one in &held {
        for number in &alive {
            let found = fleet.nodes[*number].search(&one.name()).await.expect("found");
            assert_eq!(found.len(), 1, "{number} searches {one:?}");
        }
        if one.holders.iter().any(|holder| alive.contains(holder)) {
            let done = fleet.get(getter(&fleet, one, &mut random), one).await;
            assert_ne!(done.source, Source::Index);
            fetched += 1;
        }
    }
    eprintln!("{fetched} of {NODES} had somebody left");
    assert!(fetched >= NODES - KILLED, "who runs has its own");
}
