//! How a replica does with many entries of others.
//!
//!     cargo bench -p p2p-node-index --bench replica -- [ENTRIES] [NODES]
//!
//! 100,000 entries of 20 nodes by default. Nodes exchange in memory; rates are of this machine. What a node needs after its
//! start is measured in a process of its own.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use certs::{AccountId, Enrolment, IndexCertificate, Membership, SecretKey, Signed, UnixMillis, UnixNanos};
use p2p_node_index::{CallError, Replica, ReplicaLimits, ReplicaOptions, StatementsPeer};
use serde_bytes::ByteBuf;
use wire::message::{List, RecordBundle, Search, Stated, Statements};
use wire::{ContentHash, Kind, Receipt, Record, RootHash, Visibility, record_hash};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
/// The first argument of the process that only opens a replica and searches.
const READER: &str = "--reader";
const WORDS: [&str; 24] = [
    "annual", "report", "draft", "photo", "summer", "budget", "alpine", "backup", "camera", "design",
    "energy", "family", "garden", "holiday", "invoice", "journal", "kitchen", "letter", "meeting", "notes",
    "office", "project", "quarter", "recipe",
];
const QUERIES: [&str; 12] = [
    "report",
    "rep",
    "annual report",
    "file-004242",
    "zzz",
    "a",
    "owner:user3",
    "owner:user3 photo",
    "ext:pdf",
    "\"summer budget\"",
    "kind:folder",
    "meeting notes ext:jpg",
];

struct Net {
    root: SecretKey,
    index: SecretKey,
    certificate: Signed<IndexCertificate>,
}

struct Node {
    key: SecretKey,
    enrolment: Enrolment,
    replica: Replica,
}

/// The other end, in memory.
struct Other<'a>(&'a Replica);

impl StatementsPeer for Other<'_> {
    async fn ask(&self, request: Statements) -> Result<Stated, CallError> {
        match request.news {
            Some(_) => Ok(Stated::default()),
            None => self.0.answer(request).await.map_err(CallError::Refused),
        }
    }
}

impl Net {
    fn new() -> Self {
        let (root, index) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let certificate = IndexCertificate::issue(&root, index.public(), 1, NOW);
        Self { root, index, certificate }
    }

    fn open(&self, path: &Path, key: &SecretKey) -> Replica {
        Replica::open(ReplicaOptions {
            database: path.to_owned(),
            network: self.root.public(),
            node: key.public(),
            certificate: self.certificate.clone(),
            clock: Arc::new(|| NOW),
            limits: ReplicaLimits::default(),
        })
        .expect("opened")
    }

    async fn node(&self, folder: &Path, number: usize) -> Node {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        let key = SecretKey::from_seed(seed);
        let account = AccountId::from_bytes(seed[..16].try_into().expect("16 bytes"));
        let user = format!("user{number}").parse().expect("a name");
        let membership =
            Membership::issue(&self.index, &self.certificate, account, user, key.public(), 1, NOW);
        let enrolment = Enrolment { certificate: self.certificate.clone(), membership };
        let replica = self.open(&folder.join(format!("{number}.db")), &key);
        replica.enrol(&enrolment).await.expect("enrolled");
        Node { key, enrolment, replica }
    }

    fn record(&self, node: &Node, number: usize) -> RecordBundle {
        let word = |at: usize| WORDS[at % WORDS.len()];
        let ending = ["pdf", "jpg", "txt", "tar.gz"][number % 4];
        let (one, two) = (word(number / 7), word(number * 5 + number / 131));
        let membership = &node.enrolment.membership;
        let content = number.to_be_bytes();
        let record = Record {
            format: 0,
            network: self.root.public(),
            account: membership.account,
            user: membership.user.clone(),
            node: node.key.public(),
            name: format!("{one} {two} file-{number:06}.{ending}").parse().expect("a name"),
            kind: Kind::File,
            version: 1,
            revision: 0,
            prev: None,
            size: number as u64,
            mtime: UnixNanos(1),
            published: UnixNanos::from(NOW),
            content: Some(ContentHash::of(&content)),
            root: Some(RootHash::of(&content)),
            visibility: Visibility::Members,
            extensions: Default::default(),
        };
        let record = Signed::sign(&node.key, record);
        let time = NOW.minus((number as u64 * 7919) % 86_400_000);
        let receipt = Receipt::issue(&self.index, &self.certificate, record_hash(&record), time);
        RecordBundle {
            record: ByteBuf::from(record.bytes()),
            receipt: Some(ByteBuf::from(receipt.bytes())),
            certificate: Some(ByteBuf::from(self.certificate.bytes())),
            enrolment: None,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a measurement, not the program")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().filter(|argument| argument != "--bench").collect();
    if arguments.get(1).map(String::as_str) == Some(READER) {
        return read(Path::new(&arguments[2])).await;
    }
    let number = |at: usize, default| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (entries, nodes): (usize, usize) = (number(1, 100_000), number(2, 20));
    let folder = tempfile::tempdir().expect("a folder");
    let net = Net::new();
    let own = net.node(folder.path(), 1_000_000).await;
    println!("{entries} entries of {nodes} nodes");
    for at in 0..nodes {
        let node = net.node(folder.path(), at).await;
        publish(&net, &node, at * entries / nodes..(at + 1) * entries / nodes, at == 0).await;
        let begun = now();
        let synced = own.replica.sync(&Other(&node.replica)).await.expect("synced");
        if at == 0 || at + 1 == nodes {
            let rate = (entries / nodes) as f64 / begun.elapsed().as_secs_f64();
            println!("exchange: {:.0} records a second, {} bytes of pages", rate, synced.bytes);
            again(&net, &own, &node, at).await;
        }
        node.replica.close().await;
    }
    println!("peak memory of all that: {}", status("VmHWM"));
    own.replica.close().await;
    let path = folder.path().join("1000000.db");
    let mib = std::fs::metadata(&path).expect("there").len() >> 20;
    println!("database: {mib} MiB");
    let program = std::env::current_exe().expect("a program");
    let ended = Command::new(program).arg(READER).arg(&path).status().expect("started");
    assert!(ended.success());
}

async fn publish(net: &Net, node: &Node, range: std::ops::Range<usize>, shown: bool) {
    let records: Vec<_> = range.clone().map(|number| net.record(node, number)).collect();
    let contents = range.map(|number| ContentHash::of(&number.to_be_bytes())).collect();
    let (begun, count) = (now(), records.len() as f64);
    node.replica.publish(records).await.expect("published");
    let rate = count / begun.elapsed().as_secs_f64();
    node.replica.set_held(contents).await.expect("held");
    let begun = now();
    node.replica.own_head(&node.key, &node.enrolment).await.expect("made").expect("the first");
    if shown {
        println!("publishing: {rate:.0} records a second; the first head of {count}: {:?}", begun.elapsed());
    }
}

/// One record more.
async fn again(net: &Net, own: &Node, node: &Node, at: usize) {
    node.replica.publish(vec![net.record(node, 500_000 + at)]).await.expect("published");
    let begun = now();
    node.replica.own_head(&node.key, &node.enrolment).await.expect("made").expect("changed");
    let head = begun.elapsed();
    let begun = now();
    let synced = own.replica.sync(&Other(&node.replica)).await.expect("synced");
    println!("one record more: head {head:?}, exchange {:?}, {} bytes", begun.elapsed(), synced.bytes);
}

/// Opens a replica and reads from it.
async fn read(path: &Path) {
    let net = Net::new();
    let mut seed = [9; 32];
    seed[..8].copy_from_slice(&1_000_000_usize.to_be_bytes());
    let begun = now();
    let replica = net.open(path, &SecretKey::from_seed(seed));
    let opened = begun.elapsed();
    println!("open: {opened:?}, memory {}", status("VmRSS"));
    let mut all = Vec::new();
    for query in QUERIES {
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..50 {
            let begun = now();
            let search = Search { query: query.to_owned(), ..Search::default() };
            found = replica.search(search).await.expect("searched").items.len();
            times.push(begun.elapsed());
        }
        times.sort();
        println!("search {query:24} {found:4} found, median {:?}, longest {:?}", times[25], times[49]);
        all.extend(times);
    }
    let p99 = percentile(&mut all, 99);
    println!("search p99: {p99:?}");
    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let begun = now();
        let page = replica.list(List { cursor, ..List::default() }).await.expect("listed");
        pages.push(begun.elapsed());
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    println!("list: {} pages, p99 {:?}", pages.len(), percentile(&mut pages, 99));
    println!("memory {}, peak {}", status("VmRSS"), status("VmHWM"));
    replica.close().await;
    assert!(opened <= Duration::from_secs(2), "a start takes at most 2 s");
    assert!(p99 <= Duration::from_millis(10), "the p99 of searches is at most 10 ms");
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

/// A line of what Linux says of this process.
fn status(name: &str) -> String {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or("unknown".to_owned(), |line| line.trim_start_matches(':').trim().to_owned())
}
