//! Who comes into the table and leaves it; what many callers at once do.

use std::num::NonZeroUsize;
use std::time::Duration;

use certs::AccountId;
use p2p_node_index::dht::memory::MemoryOptions;
use p2p_node_index::dht::{Added, DhtError, Until};
use tokio::task::JoinSet;

use super::harness::{Common, HOUR, Member, Random, grow, key, node, value};
use super::network::eventually;

#[tokio::test]
async fn a_node_alone_keeps_what_it_puts_and_says_that_nobody_answered() {
    let common = Common::default();
    let alone = common.start(node(1)).await;
    assert_eq!(alone.dht.bootstrap().await, Err(DhtError::NoPeers));
    assert_eq!(alone.dht.put(key("mine"), value(1, "mine"), HOUR).await, Ok(0));
    let found = alone.dht.get(key("mine"), Until::Agreed).await.expect("it runs").expect("it is here");
    assert_eq!((found.value, found.agreeing), (value(1, "mine"), 0));
    assert_eq!(alone.dht.get(key("nobody's"), Until::Agreed).await, Ok(None));
}

#[tokio::test]
async fn one_account_has_at_most_five_places_in_a_bucket() {
    let common = Common::default();
    let account = AccountId::from_bytes([9; 16]);
    let victim = common.start(node(0)).await;
    let mut added = 0;
    for number in 1..=60 {
        let id = node(number);
        common.owners.named.lock().expect("whole").insert(id, account);
        let (_, _, address) = common.memory.join(id);
        match victim.dht.add_peer(id, vec![address]).await.expect("it runs") {
            Added::Yes => added += 1,
            other => assert_eq!(other, Added::AccountHasEnough),
        }
    }
    // Sixty nodes fall into the farthest bucket (30), the next one (15), and so on.
    let status = victim.dht.status().await.expect("it runs");
    assert_eq!(status.peers, added);
    assert!((15..=35).contains(&added), "{added} in some six buckets");
    assert_eq!(status.refused_peers, 60 - added as u64);
    let (_, _, address) = common.memory.join(node(100));
    assert_eq!(victim.dht.add_peer(node(100), vec![address]).await, Ok(Added::Yes), "another account");
}

#[tokio::test]
async fn nobody_is_added_without_a_usable_address_nor_this_node_itself() {
    let common = Common::default();
    let member = common.start(node(0)).await;
    let nowhere = ["0.0.0.0:1", "10.0.0.1:0", "224.0.0.1:9"].map(|text| text.parse().expect("an address"));
    assert_eq!(member.dht.add_peer(node(1), nowhere.to_vec()).await, Ok(Added::NoAddress));
    assert_eq!(member.dht.add_peer(member.id, vec![member.address]).await, Ok(Added::NoAddress));
    let many = (1..=20).map(|port| ([10, 9, 9, 9], port).into()).collect::<Vec<_>>();
    for address in &many {
        member.dht.add_peer(node(1), vec![*address]).await.expect("it runs");
    }
    let peers = member.dht.peers().await.expect("it runs");
    assert_eq!(peers, [(node(1), many[12..].to_vec())], "the newest eight");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dead_leave_the_table_and_a_node_without_a_network_keeps_it() {
    let common = Common::default();
    let members = grow(&common, 0..10, &mut Random(1)).await;
    for member in &members[5..] {
        common.memory.kill(member.id);
    }
    eventually(|| async {
        let _ = members[0].dht.get(key("anything"), Until::Exhausted).await;
        let left = members[0].dht.status().await.expect("it runs").peers;
        (left == 4).then_some(())
    })
    .await;
    // Now its own network is gone: it reaches nobody, and forgets nobody.
    common.memory.split([members[0].id].into());
    for _ in 0..5 {
        let _ = members[0].dht.get(key("anything"), Until::Exhausted).await;
    }
    let alone = eventually(|| async {
        let status = members[0].dht.status().await.expect("it runs");
        (status.connected == 0).then_some(status)
    });
    assert!(alone.await.peers >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_wait_their_turn_and_those_who_leave_cost_nothing() {
    // Each request takes a while, so that queries pile up.
    let round_trip = (Duration::from_millis(1), Duration::from_millis(3));
    let common = Common::new(MemoryOptions { seed: 1, round_trip, ..MemoryOptions::default() });
    let members = grow(&common, 0..8, &mut Random(1)).await;
    members[0].dht.put(key("wanted"), value(1, "wanted"), HOUR).await.expect("taken");
    let mut leaving = JoinSet::new();
    for number in 0..300 {
        let dht = members[1].dht.clone();
        leaving.spawn(async move { dht.get(key(&format!("nothing {number}")), Until::Exhausted).await });
    }
    tokio::task::yield_now().await;
    leaving.shutdown().await;
    let mut waiting = JoinSet::new();
    for _ in 0..300 {
        let dht = members[1].dht.clone();
        waiting.spawn(async move { dht.get(key("wanted"), Until::Agreed).await });
    }
    while let Some(found) = waiting.join_next().await {
        let found = found.expect("no panic").expect("it runs").expect("found");
        assert_eq!(found.value, value(1, "wanted"));
    }
}

#[tokio::test]
async fn connections_are_bounded_and_a_node_over_its_bound_still_answers_those_it_has() {
    let mut common = Common::default();
    common.config.connections = 4;
    common.config.paths = NonZeroUsize::MIN;
    let members = grow(&common, 0..12, &mut Random(6)).await;
    for member in &members {
        let connected = member.dht.status().await.expect("it runs").connected;
        assert!(connected <= 4, "{connected}");
    }
}

#[tokio::test]
async fn the_driver_ends_with_its_last_handle_and_the_handle_notices_a_driver_that_is_gone() {
    let common = Common::default();
    let member = common.start(node(1)).await;
    let dht = member.dht.clone();
    drop(member);
    eventually(|| async { (dht.status().await == Err(DhtError::Stopped)).then_some(()) }).await;
    assert_eq!(dht.get(key("x"), Until::Agreed).await, Err(DhtError::Stopped));
}

#[tokio::test]
async fn nobody_looks_around_where_that_is_not_wanted() {
    let (mut quiet, curious) = (Common::default(), Common::default());
    quiet.config.refresh = None;
    let mut networks = Vec::new();
    // In this order: what the quiet ones might do they would have done before the others.
    for common in [&quiet, &curious] {
        let mut members: Vec<Member> = Vec::new();
        for number in 0..6 {
            let member = common.start(node(number)).await;
            for other in &members {
                member.dht.add_peer(other.id, vec![other.address]).await.expect("it runs");
            }
            members.push(member);
        }
        networks.push(members);
    }
    eventually(|| async { (curious.memory.dials() > 0).then_some(()) }).await;
    assert_eq!(quiet.memory.dials(), 0);

    // What it is told to look up it does: its own key, by whom it knows.
    networks[0][5].dht.bootstrap().await.expect("others are known");
    assert!((1..=5).contains(&quiet.memory.dials()), "{}", quiet.memory.dials());
}
