//! A network of real Kademlia nodes in one process, and a way to say what a value is.

// The tests and the measurement each use a part of it.
#![allow(dead_code, reason = "shared by a test and a bench")]

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use certs::{AccountId, NodeId, SecretKey, UnixMillis};
use p2p_node_index::dht::memory::{MemoryNetwork, MemoryOptions};
use p2p_node_index::dht::{
    Accepted, Accounts, Clock, Dht, DhtConfig, DhtParts, Forgetful, Keep, Kept, Rank, Reject, Validator,
    Verdict,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// An hour, for values that should not end.
pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// Numbers that look random and follow from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// The node of a number.
pub(crate) fn node(number: u64) -> NodeId {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    SecretKey::from_seed(seed).public()
}

/// A key of 32 bytes.
pub(crate) fn key(name: &str) -> Vec<u8> {
    blake3::hash(name.as_bytes()).as_bytes().to_vec()
}

/// A value of a rank: its rank, then a text.
pub(crate) fn value(rank: u64, text: &str) -> Vec<u8> {
    [&rank.to_be_bytes(), text.as_bytes()].concat()
}

/// Takes values that start with their rank and do not say `bad`; providers, all. `credulous` takes everything.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    pub credulous: bool,
    pub conflicts: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
}

impl Validator for Judge {
    fn check(&self, _: &[u8], value: &[u8], source: Option<NodeId>) -> Result<Verdict, Reject> {
        let rank = value.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let good = value.len() >= 8 && !value.ends_with(b"bad");
        if !good && !self.credulous {
            return Err(Reject::Invalid("not signed"));
        }
        Ok(Verdict { rank: Rank(rank.into()), author: source, until: UnixMillis(u64::MAX) })
    }

    fn check_provider(&self, _: &[u8], _: NodeId) -> Result<(), Reject> {
        Ok(())
    }

    fn conflict(&self, _: &[u8], kept: &[u8], other: &[u8]) {
        self.conflicts.lock().expect("whole").push((kept.to_vec(), other.to_vec()));
    }
}

/// Each node is an account of its own, unless it is named here.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    pub named: Mutex<HashMap<NodeId, AccountId>>,
    /// Those that are nobody's.
    pub nobodys: Mutex<HashSet<NodeId>>,
}

impl Accounts for Owners {
    fn account_of(&self, node: NodeId) -> Option<AccountId> {
        if self.nobodys.lock().expect("whole").contains(&node) {
            return None;
        }
        let named = self.named.lock().expect("whole").get(&node).copied();
        let own = || AccountId::from_bytes(*node.as_bytes().first_chunk().expect("32 bytes"));
        Some(named.unwrap_or_else(own))
    }
}

/// The machine's clocks; the wall clock can be set forward.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    pub ahead_ms: AtomicU64,
}

impl Clock for Clocks {
    fn wall(&self) -> UnixMillis {
        UnixMillis(1_800_000_000_000).plus(self.ahead_ms.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Instant {
        now()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Keeps in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf(pub Arc<Mutex<HashMap<Vec<u8>, Kept>>>);

impl Keep for Shelf {
    fn save(&mut self, record: &Kept) {
        self.0.lock().expect("whole").insert(record.key.clone(), record.clone());
    }

    fn forget(&mut self, key: &[u8]) {
        self.0.lock().expect("whole").remove(key);
    }
}

/// What nodes of a network have in common.
#[derive(Clone, Default)]
pub(crate) struct Common {
    pub memory: MemoryNetwork,
    pub config: DhtConfig,
    pub judge: Arc<Judge>,
    pub owners: Arc<Owners>,
    pub clocks: Arc<Clocks>,
}

impl Common {
    pub(crate) fn new(options: MemoryOptions) -> Self {
        Self { memory: MemoryNetwork::new(options), ..Self::default() }
    }

    /// Starts a node, a server that knows nobody.
    pub(crate) async fn start(&self, id: NodeId) -> Member {
        self.start_with(id, self.judge.clone(), Box::new(Forgetful), Vec::new()).await
    }

    pub(crate) async fn start_with(
        &self,
        id: NodeId,
        judge: Arc<Judge>,
        keep: Box<dyn Keep>,
        kept: Vec<Kept>,
    ) -> Member {
        let (connector, mut arriving, address) = self.memory.join(id);
        let (hand_over, accepted) = mpsc::channel(64);
        let parts = DhtParts {
            node: id,
            connector,
            accepted,
            validator: judge,
            accounts: self.owners.clone(),
            clock: self.clocks.clone(),
            keep,
            kept,
        };
        let (dht, driver) = Dht::start(self.config.clone(), parts);
        let mut tasks = JoinSet::new();
        tasks.spawn(driver);
        // What a node's `hello` does: it says where the dialler serves.
        let greeter = dht.clone();
        tasks.spawn(async move {
            while let Some(Accepted { node, remote, muxer }) = arriving.recv().await {
                let _ = hand_over.send(Accepted { node, remote, muxer }).await;
                let _ = greeter.add_peer(node, vec![remote]).await;
            }
        });
        dht.set_server(true).await.expect("it runs");
        Member { id, address, dht, _tasks: tasks }
    }
}

/// A node that runs until it is dropped.
pub(crate) struct Member {
    pub id: NodeId,
    pub address: SocketAddr,
    pub dht: Dht,
    _tasks: JoinSet<()>,
}

/// Starts nodes one after the other, each of which knows some that are there already, and finds its place by them. It
/// knows more than a bucket has: with fewer, kad looks around a second time, and most of a test would be that.
pub(crate) async fn grow(common: &Common, numbers: std::ops::Range<u64>, random: &mut Random) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for number in numbers {
        let member = common.start(node(number)).await;
        join(&member, some(24, &members, random)).await;
        members.push(member);
    }
    members
}

/// Makes a node known to others, and finds its place by them.
pub(crate) async fn join(member: &Member, others: impl Iterator<Item = &Member>) {
    let mut known = 0;
    for other in others {
        member.dht.add_peer(other.id, vec![other.address]).await.expect("it runs");
        known += 1;
    }
    if known > 0 {
        member.dht.bootstrap().await.expect("others are known");
    }
}

/// So many of them, or all if there are fewer.
pub(crate) fn some<'a>(
    count: usize,
    members: &'a [Member],
    random: &mut Random,
) -> impl Iterator<Item = &'a Member> + use<'a> {
    let mut numbers: Vec<_> = (0..members.len()).collect();
    random.shuffle(&mut numbers);
    numbers.into_iter().take(count).map(|number| &members[number])
}
