//! A new share, until every node lists it.

use std::time::Duration;

use p2p_node_tests::{Fleet, Random, clock};

use crate::report::{self, Meter};

/// What a new share may take until it is visible on 99 of 100 nodes.
const P99: Duration = Duration::from_secs(30);
/// What is waited for at most.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often all nodes together are asked: more often, and the asking takes the time.
const LOOK: Duration = Duration::from_millis(4);
/// What takes longer is counted: news take a few seconds, where they are not lost.
const LATE: Duration = Duration::from_secs(10);
/// How many that were late are printed for each share.
const SHOWN: usize = 10;
const SIZE: usize = 64 << 10;

pub(crate) async fn measure(fleet: &mut Fleet, shares: usize, seed: u64) -> bool {
    println!("seed {seed}");
    let mut random = Random(seed);
    let there = round(fleet, "index there", 0, shares, &mut random).await;
    fleet.cluster.index.kill().await;
    fleet.wait_for_fallback(PATIENCE).await;
    let away = round(fleet, "index away", shares, shares, &mut random).await;
    let good = there.max(away) <= P99;
    println!("p99 at most {P99:?}: {}", if good { "yes" } else { "MISSED" });
    good
}

/// Some shares, one after the other; the 99th percentile of the times.
async fn round(fleet: &Fleet, what: &str, first: usize, shares: usize, random: &mut Random) -> Duration {
    let (mut times, mut shared) = (Vec::new(), Vec::new());
    let meter = Meter::start(fleet);
    for number in first..first + shares {
        let (began, file) = (clock::monotonic(), fleet.nodes.len() + number);
        let owner = random.below(fleet.nodes.len());
        fleet.share(owner, file, SIZE).await;
        shared.push(clock::monotonic() - began);
        let name = format!("file-{file}.bin");
        let seeing = fleet.nodes.iter().map(|node| async {
            while node.search(&name).await.expect("an answer").is_empty() {
                let waited = clock::monotonic() - began;
                assert!(waited < PATIENCE, "{}: {:?}", node.home().display(), node.status().await);
                tokio::time::sleep(LOOK * fleet.nodes.len() as u32).await;
            }
            clock::monotonic() - began
        });
        let seen = futures_util::future::join_all(seeing).await;
        let last = seen.iter().max().copied().unwrap_or_default();
        println!("{name} of node {owner}: seen by all after {:.1} s", last.as_secs_f64());
        print_late(fleet, &seen).await;
        times.extend(seen);
    }
    report::times(&format!("{what}: share returns"), shared);
    let late = times.iter().filter(|time| **time > LATE).count();
    println!("{what}: {late} of {} later than {LATE:?}", times.len());
    let p99 = report::times(&format!("{what}: visible on a node"), times);
    meter.print(&format!("{what}: {shares} shares"), fleet);
    report::process();
    p99
}

/// Who was late, and how many neighbours each has now: whether they are always the same.
async fn print_late(fleet: &Fleet, seen: &[Duration]) {
    let late: Vec<_> = seen.iter().enumerate().filter(|(_, time)| **time > LATE).collect();
    for (number, time) in late.iter().take(SHOWN) {
        let fallback = fleet.nodes[*number].status().await.fallback.unwrap_or_default();
        println!("  late: node {number}, {:.1} s, {} neighbours", time.as_secs_f64(), fallback.neighbours);
    }
    if late.len() > SHOWN {
        println!("  late: {} more", late.len() - SHOWN);
    }
}
