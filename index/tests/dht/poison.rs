//! What a member that lies can do: nothing to what others believe, and no more than its share of their memory.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use libp2p_core::StreamMuxer;
use p2p_node_index::dht::address::{peer_of, to_multiaddr};
use p2p_node_index::dht::memory::MemoryMuxer;
use p2p_node_index::dht::{Accepted, DhtError, Forgetful, Reject, Until};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wire::limits::DHT_VALUE_BYTES;

use super::harness::{Common, HOUR, Judge, Random, grow, join, key, node, some, value};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_value_is_neither_stored_nor_believed() {
    let common = Common::default();
    let mut random = Random(1);
    let members = grow(&common, 0..20, &mut random).await;
    let credulous = Arc::new(Judge { credulous: true, ..Judge::default() });
    let liar = common.start_with(node(100), credulous, Box::new(Forgetful), Vec::new()).await;
    join(&liar, some(3, &members, &mut random)).await;
    let (forged, good) = (value(9, "bad"), value(1, "good"));
    // The liar keeps it, and serves it to whoever asks.
    liar.dht.put(key("a head"), forged.clone(), HOUR).await.expect("the liar takes it");
    members[0].dht.put(key("a head"), good.clone(), HOUR).await.expect("taken");
    for member in &members {
        let found = member.dht.get(key("a head"), Until::Exhausted).await.expect("it runs");
        assert_eq!(found.map(|found| found.value), Some(good.clone()));
    }
    let mut refused = 0;
    for member in &members {
        let status = member.dht.status().await.expect("it runs").store;
        refused += status.rejected.get("not signed").copied().unwrap_or(0);
        assert_eq!(status.records, 1, "{status:?}");
    }
    assert!(refused >= 20, "writes and reads were refused and counted: {refused}");
    // The liar itself believes what it likes.
    let believed = liar.dht.get(key("a head"), Until::Exhausted).await.expect("it runs");
    assert_eq!(believed.map(|found| found.value), Some(forged));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_or_not_valid_is_refused_where_it_is_put() {
    let common = Common::default();
    let members = grow(&common, 0..3, &mut Random(2)).await;
    let put = |key: Vec<u8>, value: Vec<u8>| members[0].dht.put(key, value, HOUR);
    let largest = [value(1, ""), vec![b'x'; DHT_VALUE_BYTES - 8]].concat();
    assert_eq!(put(key("large"), largest.clone()).await, Ok(2));
    let found = members[2].dht.get(key("large"), Until::Exhausted).await.expect("it runs");
    assert_eq!(found.map(|found| found.value), Some(largest.clone()), "the largest fits a message");
    let refused = |reject| Err(DhtError::Refused(reject));
    assert_eq!(put(key("large"), [largest, vec![0]].concat()).await, refused(Reject::ValueTooLarge));
    assert_eq!(put(Vec::new(), value(1, "x")).await, refused(Reject::Key));
    assert_eq!(put(vec![0; 65], value(1, "x")).await, refused(Reject::Key));
    assert_eq!(put(key("forged"), value(1, "bad")).await, refused(Reject::Invalid("not signed")));
    assert_eq!(members[0].dht.provide(vec![0; 65]).await, Err(DhtError::Refused(Reject::Key)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_takes_its_quota_and_no_more() {
    let mut common = Common::default();
    common.config.store.records_of_author = 50;
    common.config.store.writes_at_once = 200;
    common.config.store.writes_per_minute = 1;
    common.config.store.providers_of_node = 40;
    let mut random = Random(3);
    let members = grow(&common, 0..4, &mut random).await;
    members[0].dht.put(key("honest"), value(1, "honest"), HOUR).await.expect("taken");
    // The flooder has no limits of its own.
    let mut lawless = common.clone();
    lawless.config.store.own_records = 10_000;
    lawless.config.store.providers_of_node = 10_000;
    let flooder = lawless.start(node(100)).await;
    join(&flooder, some(3, &members, &mut random)).await;
    for number in 0..150 {
        flooder.dht.put(key(&format!("flood {number}")), value(1, "flood"), HOUR).await.expect("its own");
    }
    for number in 0..100 {
        flooder.dht.provide(key(&format!("flood {number}"))).await.expect("its own");
    }
    for member in &members {
        let status = super::network::eventually(|| async {
            let status = member.dht.status().await.expect("it runs").store;
            status.rejected.contains_key("source sends too fast").then_some(status)
        })
        .await;
        assert_eq!(status.records, 51, "{status:?}");
        assert!(status.providers <= 40, "{status:?}");
        assert_eq!(status.rejected.get("quota of the author"), Some(&100), "{status:?}");
        let found = member.dht.get(key("honest"), Until::Agreed).await.expect("it runs");
        assert_eq!(found.map(|found| found.value), Some(value(1, "honest")));
    }
}

/// A node that answers every request by hand: with a record of another key, and itself at a hundred addresses.
async fn answer_by_hand(
    mut arriving: mpsc::Receiver<Accepted<MemoryMuxer>>,
    record_key: Vec<u8>,
    named: Vec<u8>,
) {
    let field = |number: u8, bytes: &[u8]| {
        let (low, high) = (bytes.len() as u8 | 0x80, (bytes.len() >> 7) as u8);
        [&[number << 3 | 2, low, high], bytes].concat()
    };
    let record = [field(1, &record_key), field(2, &value(99, "of another key"))].concat();
    let message = [vec![1 << 3, 1], field(3, &record), field(8, &named)].concat();
    let length = [message.len() as u8 | 0x80, (message.len() >> 7) as u8];
    let lines: &[u8] = b"\x13/multistream/1.0.0\n\x10/p2p-node/kad/1\n";
    let answer = [&length[..], &message].concat();
    while let Some(Accepted { mut muxer, .. }) = arriving.recv().await {
        while let Ok(mut stream) = std::future::poll_fn(|cx| Pin::new(&mut muxer).poll_inbound(cx)).await {
            let _ = stream.write_all(lines).await;
            let mut asked = vec![0; 256];
            let mut read = 0;
            // The lines and the request behind them.
            while read <= lines.len() {
                match stream.read(&mut asked[read..]).await {
                    Ok(0) | Err(_) => break,
                    Ok(more) => read += more,
                }
            }
            let _ = stream.write_all(&answer).await;
            let _ = stream.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_for_another_key_is_not_believed_nor_are_all_addresses_dialled() {
    let common = Common::default();
    let (liar, victim) = (node(1), common.start(node(0)).await);
    let (_connector, arriving, address) = common.memory.join(liar);
    let hand = |port: u16| to_multiaddr(([10, 99, 0, 1], port).into(), &node(2)).to_vec();
    // `Peer`: an id, then addresses.
    let id = peer_of(&node(2)).to_bytes();
    let addresses = (1..=100).map(hand).flat_map(|at| [vec![2 << 3 | 2, at.len() as u8], at].concat());
    let named: Vec<u8> =
        [vec![1 << 3 | 2, id.len() as u8], id].concat().into_iter().chain(addresses).collect();
    let mut tasks = JoinSet::new();
    tasks.spawn(answer_by_hand(arriving, key("another"), named));
    victim.dht.add_peer(liar, vec![address]).await.expect("it runs");
    let before = common.memory.dials();
    assert_eq!(victim.dht.get(key("wanted"), Until::Exhausted).await, Ok(None));
    let status = victim.dht.status().await.expect("it runs");
    assert_eq!(status.store.rejected.get("answer for another key"), Some(&1), "{status:?}");
    assert_eq!(common.memory.dials() - before, 1 + 8, "the liar, and eight of the addresses that it named");
}
