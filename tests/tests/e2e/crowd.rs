//! Many subscribers of one file.

use p2p_node::activity::Activity;
use p2p_node_tests::fixtures::{self, MIB};
use p2p_node_tests::node::get_request;
use p2p_node_tests::{Cluster, PATIENCE, TestNode, wait_until};

const SUBSCRIBERS: usize = 40;
const SIZE: usize = 8 * MIB;
/// In so many places it changes, by 1 % in all.
const PLACES: usize = 16;
const CHANGED: usize = SIZE / 100 / PLACES * PLACES;

/// What an update moved: all of it, and what of it the owner's node gave.
async fn moved(node: &TestNode, owner: &TestNode) -> (u64, u64) {
    let events = node.events().await;
    let moved = events.iter().find_map(|event| match &event.activity {
        Activity::Updated { moved, .. } => Some(moved),
        _ => None,
    });
    let moved = moved.unwrap_or_else(|| panic!("no update: {events:?}"));
    let from_owner = moved.sources.iter().filter(|source| source.node == owner.id());
    (moved.bytes_received, from_owner.map(|source| source.bytes).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_subscribers_gets_what_changed_and_no_more() {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    let path = fixtures::file(&cluster.path("film.mkv"), 1, SIZE);
    alice.share(&path).await.expect("shared");
    let mut subscribers = Vec::new();
    for number in 0..SUBSCRIBERS {
        let node = cluster.user(&format!("subscriber-{number}")).await;
        let get = node.start_get(get_request("alice", "film.mkv")).await.expect("begun");
        get.end().await.expect("got");
        subscribers.push(node);
    }
    let mut content = fixtures::read(&path);
    let step = CHANGED / PLACES;
    for (place, change) in (0..).zip(fixtures::bytes(2, CHANGED).chunks(step)) {
        let at = place * (SIZE / PLACES);
        content[at..at + step].copy_from_slice(change);
    }
    fixtures::write(&path, &content);
    alice.share(&path).await.expect("shared anew");
    for node in &subscribers {
        super::subscriptions::wait_for_version(node, "film.mkv", 2).await;
        let target = node.download_path("alice", "film.mkv");
        assert!(fixtures::read(&target) == content, "{} is another", target.display());
    }
    wait_until(PATIENCE, "the index names all of them", async || {
        let online = alice.list().await.expect("listed")[0].online;
        if online == SUBSCRIBERS as u64 + 1 { Ok(()) } else { Err(online) }
    })
    .await;
    let (mut least, mut all, mut from_owner) = (u64::MAX, 0, 0);
    for node in &subscribers {
        let (received, of_owner) = moved(node, &alice).await;
        least = least.min(received);
        all += received;
        from_owner += of_owner;
    }
    eprintln!("{CHANGED} bytes changed; one needs {least}, all received {all}, the owner gave {from_owner}");
    assert!(least >= CHANGED as u64 && least <= SIZE as u64 / 4, "a change of {least} bytes");
    assert!(from_owner <= 10 * least, "the owner gave {from_owner}, of which one needs {least}");
    assert!(all <= 11 * least * SUBSCRIBERS as u64 / 10, "{all} for {SUBSCRIBERS} times {least}");
}
