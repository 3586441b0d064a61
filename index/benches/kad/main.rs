//! How lookups do among many real Kademlia nodes in one process, over a network in memory.
//!
//!     cargo bench -p p2p-node-index --bench kad -- [--sizes 100,300,1000] [--lookups 1000] [--records 200]
//!         [--minutes 5] [--churn 10] [--seed 1]
//!
//! First, for each size, a network in which nobody comes or goes: hops against log2 of its size. Then the last size under
//! churn: so many per cent of the nodes die in a minute, spread evenly, and as many new ones come. Nothing is put again
//! meanwhile. Time is real, since libp2p's timers are; links have a round trip of 2 to 10 ms, and a dial that nobody
//! answers fails after 200 ms.

mod churn;
mod figures;
#[path = "../../tests/dht/harness.rs"]
mod harness;
mod heard;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use harness::{Common, HOUR, Member, Random, join, key, node, now, value};
use p2p_node_index::dht::memory::{MemoryNetwork, MemoryOptions};

use self::figures::{Figures, lookup};
use self::heard::Heard;

/// Nodes that join at once while a network grows, and lookups that run at once.
const AT_ONCE: usize = 16;

/// What is measured.
#[derive(Debug, Clone)]
struct Arguments {
    sizes: Vec<u64>,
    lookups: usize,
    records: usize,
    minutes: f64,
    churn: f64,
    seed: u64,
}

impl Arguments {
    fn parse() -> Self {
        let words: Vec<_> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
        let given: HashMap<_, _> = words.chunks(2).map(|pair| (pair[0].as_str(), pair.get(1))).collect();
        let number = |name: &str, default: f64| {
            let text = given.get(name).copied().flatten();
            text.map_or(default, |text| text.parse().expect("a number"))
        };
        let sizes = given.get("--sizes").copied().flatten().map_or("100,300,1000", String::as_str);
        Self {
            sizes: sizes.split(',').map(|size| size.parse().expect("a size")).collect(),
            lookups: number("--lookups", 1000.0) as usize,
            records: number("--records", 200.0) as usize,
            minutes: number("--minutes", 5.0),
            churn: number("--churn", 10.0),
            seed: number("--seed", 1.0) as u64,
        }
    }
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    println!("{arguments:?}");
    for size in &arguments.sizes {
        let mut network = Network::grow(*size, &arguments).await;
        let figures = network.look_up(arguments.lookups).await;
        figures.print(&format!("{size} nodes, log2 {:.1}", (*size as f64).log2()));
        if arguments.minutes > 0.0 && arguments.sizes.last() == Some(size) {
            churn::run(network, &arguments).await;
        }
    }
}

/// A network, and what was put into it.
struct Network {
    common: Common,
    members: Vec<Arc<Member>>,
    keys: Vec<Vec<u8>>,
    heard: Heard,
    random: Random,
}

impl Network {
    async fn grow(size: u64, arguments: &Arguments) -> Self {
        let heard = Heard::default();
        let options = MemoryOptions {
            seed: arguments.seed,
            round_trip: (Duration::from_millis(2), Duration::from_millis(10)),
            dial_timeout: Duration::from_millis(200),
            ..MemoryOptions::default()
        };
        let common = Common { memory: MemoryNetwork::tapped(options, heard.tap()), ..Common::default() };
        let random = Random(arguments.seed);
        let mut this = Self { common, members: Vec::new(), keys: Vec::new(), heard, random };
        let begun = now();
        let mut number = 0;
        while number < size {
            // The first ones one by one, so that there is somebody to join.
            let batch = if number < 8 { 1 } else { (size - number).min(AT_ONCE as u64) };
            let joining = (number..number + batch).map(|number| this.start(number)).collect::<Vec<_>>();
            let joined: Vec<_> = stream::iter(joining).buffer_unordered(AT_ONCE).collect().await;
            this.members.extend(joined);
            number += batch;
        }
        let grown = begun.elapsed();
        this.put(arguments.records).await;
        println!("{size} nodes joined in {:.1} s; {}", grown.as_secs_f64(), figures::memory());
        this
    }

    /// A node that joins by three others.
    fn start(&mut self, number: u64) -> impl Future<Output = Arc<Member>> + Send + use<> {
        let (common, mut random) = (self.common.clone(), Random(self.random.next()));
        let mut known = Vec::new();
        for _ in 0..3.min(self.members.len()) {
            known.push(self.members[random.below(self.members.len())].clone());
        }
        async move {
            let member = common.start(node(number)).await;
            join(&member, known.iter().map(Arc::as_ref)).await;
            Arc::new(member)
        }
    }

    async fn put(&mut self, records: usize) {
        self.keys = (0..records).map(|number| key(&format!("record {number}"))).collect();
        let puts = self.keys.clone().into_iter().map(|key| {
            let member = self.members[self.random.below(self.members.len())].clone();
            async move { member.dht.put(key, value(1, "a value"), HOUR).await.expect("taken") }
        });
        let puts: Vec<_> = puts.collect();
        let answered: Vec<usize> = stream::iter(puts).buffer_unordered(AT_ONCE).collect().await;
        let least = answered.iter().min().copied().unwrap_or(0);
        let sum: usize = answered.iter().sum();
        println!("{records} puts: {:.1} nodes answered each, {least} at least", sum as f64 / records as f64);
    }

    /// Lookups of random records by random nodes.
    async fn look_up(&mut self, lookups: usize) -> Figures {
        let mut pairs = Vec::new();
        for _ in 0..lookups {
            let member = self.members[self.random.below(self.members.len())].clone();
            pairs.push((member, self.keys[self.random.below(self.keys.len())].clone()));
        }
        let heard = &self.heard;
        let looks = pairs.into_iter().map(|(member, key)| lookup(member, key, heard));
        let looks: Vec<_> = looks.collect();
        stream::iter(looks).buffer_unordered(AT_ONCE).collect().await
    }
}
