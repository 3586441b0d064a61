//! A member whose many nodes are the nearest to a key keeps what lies there from nobody.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use certs::{AccountId, NodeId};
use futures_util::stream::{self, StreamExt};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use libp2p_core::StreamMuxer;
use libp2p_identity::PeerId;
use libp2p_kad::{KBucketDistance, KBucketKey, RecordKey};
use p2p_node_index::dht::address::{peer_of, to_multiaddr};
use p2p_node_index::dht::memory::{MemoryMuxer, MemoryOptions};
use p2p_node_index::dht::protobuf::{field, length_of};
use p2p_node_index::dht::{Accepted, Until};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::harness::{Common, HOUR, Member, Random, grow, key, node, value};

const HONEST: u64 = 100;
const LIARS: usize = 40;
/// Lookups at once.
const AT_ONCE: usize = 16;
/// Keys that the member tries, of which it keeps the nearest.
const TRIED: u64 = 12_000;

/// What the liars answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Withheld {
    /// Nothing, whatever is asked.
    Silent,
    /// Nobody but one another, and no value.
    OneAnother,
    /// One another, at addresses where nobody is, and nodes that do not exist.
    Nowhere,
}

/// The nodes that somebody with patience makes, with the peer ids by which they have their places.
fn tried() -> &'static [(NodeId, PeerId)] {
    static ALL: OnceLock<Vec<(NodeId, PeerId)>> = OnceLock::new();
    ALL.get_or_init(|| {
        let all = (0..TRIED).map(|number| node(1_000_000 + number));
        all.map(|id| (id, peer_of(&id))).collect()
    })
}

fn distance(key: &[u8], peer: PeerId) -> KBucketDistance {
    KBucketKey::new(RecordKey::new(&key)).distance(&KBucketKey::from(peer))
}

/// Those of them that are nearest to a key; `None` where an honest node is nearer than one of these.
fn ground(key: &[u8]) -> Option<Vec<NodeId>> {
    let mut all: Vec<_> = tried().iter().map(|(id, peer)| (distance(key, *peer), *id)).collect();
    all.sort_unstable_by_key(|(distance, _)| *distance);
    all.truncate(LIARS + 20);
    let (farthest, _) = *all.last().expect("there are more");
    let honest = (0..HONEST).map(|number| distance(key, peer_of(&node(number))));
    honest.into_iter().all(|honest| honest > farthest).then(|| all.into_iter().map(|(_, id)| id).collect())
}

/// A key to which they all are nearer than any honest node.
fn besieged_key(name: &str) -> (Vec<u8>, Vec<NodeId>) {
    let keys = (0..).map(|number| key(&format!("{name} {number}")));
    let found = keys.take(100).find_map(|key| ground(&key).map(|nodes| (key, nodes)));
    found.expect("two of three keys are such")
}

/// An answer that names these, of one type of request.
fn answer(kind: u8, named: &[(NodeId, SocketAddr)]) -> Vec<u8> {
    let peer = |(id, at): &(NodeId, SocketAddr)| {
        field(8, &[field(1, &peer_of(id).to_bytes()), field(2, &to_multiaddr(*at, id).to_vec())].concat())
    };
    let message = [vec![8, kind], named.iter().flat_map(peer).collect()].concat();
    [length_of(message.len()), message].concat()
}

/// A node of the member's: answers what it likes.
async fn lie(mut arriving: mpsc::Receiver<Accepted<MemoryMuxer>>, named: Arc<Vec<(NodeId, SocketAddr)>>) {
    let mut connections = JoinSet::new();
    while let Some(Accepted { mut muxer, .. }) = arriving.recv().await {
        let named = named.clone();
        connections.spawn(async move {
            while let Ok(mut stream) = std::future::poll_fn(|cx| Pin::new(&mut muxer).poll_inbound(cx)).await
            {
                let lines: &[u8] = b"\x13/multistream/1.0.0\n\x10/p2p-node/kad/1\n";
                let mut asked = vec![0; lines.len()];
                let _ = stream.write_all(lines).await;
                let _ = stream.read_exact(&mut asked).await;
                // A length of one byte, and the type of the request; else it is a put.
                let mut beginning = [0; 3];
                let _ = stream.read_exact(&mut beginning).await;
                let kind = if beginning[1] == 8 { beginning[2] } else { 0 };
                let _ = stream.write_all(&answer(kind, &named)).await;
                let _ = stream.close().await;
            }
        });
    }
}

/// The nodes of one account that are nearest to a key. They lie until this is dropped.
struct Siege {
    nodes: Vec<NodeId>,
    common: Common,
    _liars: JoinSet<()>,
}

impl Siege {
    async fn lay(common: &Common, honest: &[Member], mut ground: Vec<NodeId>, lie_of: Withheld) -> Self {
        let (account, beyond) = (AccountId::from_bytes([0xee; 16]), ground.split_off(LIARS));
        common.owners.named.lock().expect("whole").extend(ground.iter().map(|id| (*id, account)));
        let joined: Vec<_> = ground.iter().map(|id| (*id, common.memory.join(*id))).collect();
        let nowhere = |at: usize| SocketAddr::from(([10, 250, 0, at as u8 + 1], 4001));
        let named = joined.iter().take(20).enumerate().map(|(at, (id, (_, _, address)))| match lie_of {
            Withheld::Nowhere => (*id, nowhere(at)),
            _ => (*id, *address),
        });
        // As near, and nobody's: they do not exist.
        let nobody: Vec<_> = beyond.iter().map(|id| (*id, nowhere(100))).collect();
        common.owners.nobodys.lock().expect("whole").extend(beyond);
        let named: Arc<Vec<_>> = Arc::new(match lie_of {
            Withheld::Silent => Vec::new(),
            Withheld::OneAnother => named.collect(),
            Withheld::Nowhere => named.chain(nobody).collect(),
        });
        let mut liars = JoinSet::new();
        for (id, (_, arriving, address)) in joined {
            liars.spawn(lie(arriving, named.clone()));
            // They make themselves known to everybody, as to be in every table.
            for member in honest {
                member.dht.add_peer(id, vec![address]).await.expect("it runs");
            }
        }
        Self { nodes: ground, common: common.clone(), _liars: liars }
    }
}

impl Drop for Siege {
    fn drop(&mut self) {
        self.nodes.iter().for_each(|id| self.common.memory.kill(*id));
    }
}

/// What is put where these lie is kept by honest nodes, and found by all.
async fn is_found_all_the_same(common: &Common, honest: &[Member], name: &str, lie_of: Withheld) {
    let ((key, ground), value) = (besieged_key(name), value(1, name));
    let _siege = Siege::lay(common, honest, ground, lie_of).await;
    let before = records(honest).await;
    let answered = honest[0].dht.put(key.clone(), value.clone(), HOUR).await.expect("taken");
    let kept = records(honest).await - before;
    assert!(
        answered >= 10 && kept > 10,
        "{name}, {lie_of:?}: {answered} answered, {kept} honest nodes have it"
    );
    let lookups = stream::iter(&honest[1..]).map(|member| member.dht.get(key.clone(), Until::Agreed));
    let found: Vec<_> = lookups.buffer_unordered(AT_ONCE).collect().await;
    for found in found {
        let found = found.expect("it runs").map(|found| found.value);
        assert_eq!(found, Some(value.clone()), "{name}, {lie_of:?}");
    }
}

/// How many records all of them have.
async fn records(members: &[Member]) -> usize {
    let mut sum = 0;
    for member in members {
        sum += member.dht.status().await.expect("it runs").store.records;
    }
    sum
}

async fn besieged(seed: u64, cases: &[(&str, Withheld)]) {
    println!("seed {seed}");
    let common = Common::new(MemoryOptions { seed, ..MemoryOptions::default() });
    let honest = grow(&common, 0..HONEST, &mut Random(seed)).await;
    for (name, lie_of) in cases {
        is_found_all_the_same(&common, &honest, name, *lie_of).await;
    }
    let (mut left_out, mut refused) = (0, 0);
    for member in &honest {
        let status = member.dht.status().await.expect("it runs");
        (left_out, refused) = (left_out + status.left_out, refused + status.refused_peers);
    }
    assert!(left_out > 0 && refused > 0, "{left_out} left out of lookups, {refused} of tables");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_forty_nodes_nearer_than_any_other_nothing_is_withheld() {
    use Withheld::{Nowhere, OneAnother, Silent};
    besieged(1, &[("a head", OneAnother), ("another head", Silent), ("a third one", Nowhere)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_in_another_network() {
    use Withheld::{Nowhere, OneAnother};
    besieged(2, &[("a head", Nowhere), ("presence", OneAnother)]).await;
}
