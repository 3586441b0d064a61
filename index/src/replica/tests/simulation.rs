//! Many replicas, seeded: publications, exchanges in random order that break at random, crashes. In the end all have the same,
//! which is what the total order says of all that was ever published.

use std::collections::{BTreeMap, HashMap};

use wire::RecordRank;

use super::*;

/// A generator of its own, so that a seed means the same for ever (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

struct World {
    net: Net,
    random: Random,
    nodes: Vec<Node>,
    /// All that was ever published, by owner and name: the highest.
    highest: BTreeMap<(String, String), (RecordRank, SignedRecord)>,
    /// What each node last saw of a resource when it published: by node and name.
    seen: HashMap<(usize, String), SignedRecord>,
}

impl World {
    async fn new(seed: u64, count: usize) -> Self {
        let net = Net::new();
        let mut nodes = Vec::new();
        for at in 0..count {
            // Two nodes of each account.
            let user = format!("{}user", char::from(b'a' + (at / 2) as u8));
            nodes.push(net.node(&user, 10 + at as u8).await);
        }
        Self { net, random: Random(seed), nodes, highest: BTreeMap::new(), seen: HashMap::new() }
    }

    async fn step(&mut self) {
        self.net.pass(self.random.next() % 50);
        let at = self.random.below(self.nodes.len());
        match self.random.below(10) {
            0..=3 => self.publish(at).await,
            4 => self.nodes[at].reopen().await,
            5 => self.hold(at).await,
            _ => self.exchange(at).await,
        }
    }

    /// A first version, another one, or a tombstone, built on what the node has seen of it.
    async fn publish(&mut self, at: usize) {
        let node = &self.nodes[at];
        let text = format!("file {}", self.random.below(6));
        let standing = self.standing(at, &text).await;
        let record = match standing {
            None => node.record(&text, 1, None, &format!("{}", self.random.next())),
            Some(last) if !last.is_gone() && self.random.one_in(3) => node.tombstone(&last),
            Some(last) => node.next(&last, &format!("{}", self.random.next())),
        };
        let bundle = match self.random.one_in(2) {
            true => accepted(&self.net, &record),
            false => bare(&record),
        };
        node.replica.publish(vec![bundle]).await.expect("published");
        let rank = record.rank(record_hash(&record));
        let key = (node.user.to_string(), text.clone());
        self.seen.insert((at, text), record.clone());
        let highest = self.highest.entry(key).or_insert_with(|| (rank, record.clone()));
        if rank > highest.0 {
            *highest = (rank, record);
        }
    }

    async fn standing(&self, at: usize, text: &str) -> Option<SignedRecord> {
        let node = &self.nodes[at];
        let followed = wire::message::Followed { account: node.account, name: name(text), have: None };
        let bundle = node.replica.standing(vec![followed]).await.expect("read").remove(0).bundle?;
        Some(Signed::parse(&bundle.record).expect("a record"))
    }

    async fn hold(&mut self, at: usize) {
        let contents = vec![content(&self.random.below(50).to_string())];
        let node = &self.nodes[at];
        match self.random.one_in(3) {
            true => node.replica.unhold(contents).await.expect("unheld"),
            false => node.replica.hold(contents).await.expect("held"),
        }
    }

    /// Two nodes, of whom one may have a new head; the connection may break, and one may crash then.
    async fn exchange(&mut self, at: usize) {
        let with = self.random.below(self.nodes.len());
        if with == at {
            return;
        }
        if self.random.one_in(2) {
            self.nodes[at].head().await;
        }
        let breaks = if self.random.one_in(3) { self.random.next() % 8 } else { u64::MAX };
        let link = Link::new(&self.nodes[at].replica, &self.nodes[with].replica).breaking_after(breaks);
        let synced = self.nodes[at].replica.sync(&link).await;
        assert!(breaks < u64::MAX || synced.is_ok(), "{synced:?}");
        if synced.is_err() && self.random.one_in(2) {
            self.nodes[at].reopen().await;
        }
    }

    /// Everybody exchanges with everybody until nothing is new any more.
    async fn come_to_rest(&mut self) {
        for round in 0.. {
            let mut moved = false;
            for node in &self.nodes {
                moved |= node.head().await.is_some();
            }
            for at in 0..self.nodes.len() {
                let with = (at + 1 + round) % self.nodes.len();
                if with != at {
                    let link = Link::new(&self.nodes[at].replica, &self.nodes[with].replica);
                    let before = self.nodes[with].replica.digest();
                    let synced = self.nodes[at].replica.sync(&link).await.expect("synced");
                    moved |= synced != super::super::Synced::default();
                    moved |= self.nodes[with].replica.digest() != before;
                }
            }
            let same = self.nodes.windows(2).all(|pair| pair[0].replica.digest() == pair[1].replica.digest());
            if !moved && same {
                return;
            }
            assert!(round < 50, "it comes to rest");
        }
    }

    async fn check(&self) {
        let live = self.highest.iter().filter(|(_, (_, record))| !record.is_gone());
        let expected: Vec<_> =
            live.map(|((user, text), (rank, _))| format!("{user}/{text} {:?}", rank.hash())).collect();
        for node in &self.nodes {
            let listed = node.entries().await;
            let listed: Vec<_> = listed
                .iter()
                .map(|entry| format!("{}/{} {:?}", entry.owner, entry.name, entry.record))
                .collect();
            assert_eq!(listed, expected, "at {}", node.user);
            assert!(
                node.replica.counters().keys().all(|refusal| !refusal.is_a_lie()),
                "{:?}",
                node.replica.counters()
            );
        }
        let first = holders(&self.nodes[0].replica).await;
        for node in &self.nodes[1..] {
            assert_eq!(holders(&node.replica).await, first);
        }
    }
}

/// Who holds what, by the nodes' ids.
async fn holders(replica: &Replica) -> Vec<(Vec<u8>, Vec<u8>)> {
    let read = replica.inner.registry.read(|database| {
        let sql = "SELECT n.node, h.content FROM holders AS h JOIN nodes AS n ON n.id = h.node ORDER BY 1, 2";
        let mut statement = database.prepare(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    });
    read.await.expect("read")
}

async fn run(seed: u64, nodes: usize, steps: usize) {
    eprintln!("seed {seed}");
    let mut world = World::new(seed, nodes).await;
    for _ in 0..steps {
        world.step().await;
    }
    world.come_to_rest().await;
    world.check().await;
}

#[tokio::test]
async fn five_replicas_end_with_what_the_total_order_says() {
    for seed in 1..=6 {
        run(seed, 5, 120).await;
    }
}

#[tokio::test]
async fn twenty_replicas_end_with_what_the_total_order_says() {
    run(77, 20, 200).await;
}
