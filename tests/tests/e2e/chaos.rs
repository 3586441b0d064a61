//! Programs that are killed at random moments, over many versions.
//!
//! The number of versions comes from `P2P_NODE_CHAOS_UPDATES` (25 without it), what happens from `P2P_NODE_CHAOS_SEED`. A
//! long run by hand:
//!
//! ```text
//! P2P_NODE_CHAOS_UPDATES=300 cargo test -p p2p-node-tests --test e2e chaos -- --nocapture
//! ```

mod tree;

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Child;

use p2p_node_tests::fixtures;
use p2p_node_tests::{PATIENCE, Programs, TestProcess, process, wait_until};
use serde_json::Value;
use wire::ContentHash;

use self::tree::{Random, Tree, listing};

const FILE: &str = "film.bin";
const FOLDER: &str = "docs";
const FILE_BYTES: usize = 300_000;
/// So often everybody is given the time to become current.
const QUIET_EVERY: u64 = 9;
/// The longest that a test looks at what is there before it goes on, in looks.
const LOOKS: u64 = 60;
/// Who is killed, by how often: an index that was is looked for at growing intervals, for which all wait.
const VICTIMS: [usize; 8] = [0, 1, 1, 2, 2, 2, 3, 3];

/// An index, an owner and two subscribers.
struct Chaos {
    programs: Programs,
    alice: TestProcess,
    subscribers: Vec<TestProcess>,
    random: Random,
    file: PathBuf,
    content: Vec<u8>,
    contents: HashSet<ContentHash>,
    tree: Tree,
    killed: [u64; 4],
    /// Commands to share that did not end well, as one in the middle of which a program is killed.
    failed: Vec<String>,
}

fn setting(name: &str, otherwise: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return otherwise };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_end_at_the_newest_whoever_is_killed() {
    let updates = setting("P2P_NODE_CHAOS_UPDATES", 25);
    let seed = setting("P2P_NODE_CHAOS_SEED", 1);
    eprintln!("P2P_NODE_CHAOS_SEED={seed} P2P_NODE_CHAOS_UPDATES={updates}");
    let mut chaos = Chaos::start(seed).await;
    for update in 1..=updates {
        chaos.step(update).await;
        if update % QUIET_EVERY == 0 || update == updates {
            chaos.quiet(update).await;
        }
    }
    chaos.nothing_else_happened().await;
    eprintln!("killed: index, alice, bob, carol: {:?}", chaos.killed);
    eprintln!("shares that did not end well: {:?}", chaos.failed);
}

impl Chaos {
    async fn start(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let programs = Programs::start().await;
        let alice = programs.user("alice").await;
        let content = random.bytes(FILE_BYTES);
        let file = fixtures::write(&programs.path(FILE), &content);
        let tree = Tree::make(programs.path(FOLDER), &mut random);
        let contents = HashSet::from([ContentHash::of(&content)]);
        let mut subscribers = Vec::new();
        for path in [&file, tree.root()] {
            alice.ask(&["share", path.to_str().expect("UTF-8")]).await;
        }
        for user in ["bob", "carol"] {
            let node = programs.user(user).await;
            for name in [FILE, FOLDER] {
                node.ask(&["get", &format!("alice/{name}")]).await;
            }
            subscribers.push(node);
        }
        let (killed, failed) = ([0; 4], Vec::new());
        Self { programs, alice, subscribers, random, file, content, contents, tree, killed, failed }
    }

    /// Publishes another version of both; one of the programs is killed before, meanwhile or afterwards.
    async fn step(&mut self, update: u64) {
        let publishes = self.random.below(8);
        if publishes != 0 {
            self.change_file();
        }
        if publishes != 1 {
            self.tree.change(&mut self.random);
        }
        let victim = self.random.one_of(&VICTIMS);
        eprintln!("update {update}: {} is killed", ["the index", "alice", "bob", "carol"][victim]);
        let paths = [&*self.file, self.tree.root()];
        let mut shares = paths.map(|path| self.alice.begin(&["share", path.to_str().expect("UTF-8")])).into();
        if self.random.below(2) == 0 {
            self.finish(&mut shares).await;
        }
        self.look_for_a_while();
        self.killed[victim] += 1;
        self.process(victim).kill_9().await;
        self.look_for_a_while();
        self.process(victim).start_again().await;
        self.finish(&mut shares).await;
        self.look_for_a_while();
    }

    async fn finish(&mut self, shares: &mut Vec<Child>) {
        for share in shares.drain(..) {
            let ended = process::finish(share).await;
            if ended.code != Some(0) {
                self.failed.push(ended.error_code());
            }
        }
    }

    fn change_file(&mut self) {
        if self.random.below(3) == 0 {
            self.content = self.random.bytes(FILE_BYTES);
        } else {
            let at = self.random.below(FILE_BYTES as u64 - 10_000) as usize;
            let part = self.random.bytes(10_000);
            self.content[at..at + 10_000].copy_from_slice(&part);
        }
        self.contents.insert(ContentHash::of(&self.content));
        fixtures::write(&self.file, &self.content);
    }

    fn process(&mut self, number: usize) -> &mut TestProcess {
        match number {
            0 => &mut self.programs.index,
            1 => &mut self.alice,
            other => &mut self.subscribers[other - 2],
        }
    }

    fn look_for_a_while(&mut self) {
        for _ in 0..=self.random.below(LOOKS) {
            self.subscribers.iter().for_each(|one| self.look(one));
        }
    }

    /// Whatever happens, each file that is seen is whole, and of a version that was published.
    fn look(&self, subscriber: &TestProcess) {
        let (file, folder) = (target(subscriber, FILE), target(subscriber, FOLDER));
        let hash = ContentHash::of(&fixtures::read(&file));
        assert!(self.contents.contains(&hash), "{} is of no version", file.display());
        let wrong = self.tree.wrong(&listing(&folder));
        assert!(wrong.is_none(), "{}: {wrong:?} is of no version", folder.display());
    }

    /// All is published, and everybody has it: nothing else is there.
    async fn quiet(&mut self, update: u64) {
        let mut versions = Vec::new();
        for path in [&*self.file, self.tree.root()] {
            let path = path.to_str().expect("UTF-8");
            let shared = wait_until(PATIENCE, "it is published", async || {
                let ended = self.alice.command(&["share", path]).await;
                if ended.code == Some(0) { Ok(ended.json()) } else { Err(ended) }
            });
            versions.push(shared.await["version"].clone());
        }
        for one in &self.subscribers {
            let what = format!("{} has {versions:?}", one.home().display());
            wait_until(PATIENCE, &what, async || {
                let all = one.ask(&["subscriptions"]).await["items"].clone();
                let stands = |item: &Value| [item["state"].clone(), item["version"].clone()];
                let current = |version: &Value| [Value::from("current"), version.clone()];
                let found: Vec<_> = all.as_array().expect("items").iter().map(stands).collect();
                if found == versions.iter().map(current).collect::<Vec<_>>() { Ok(()) } else { Err(all) }
            })
            .await;
            assert!(fixtures::read(&target(one, FILE)) == self.content, "update {update}");
            assert_eq!(listing(&target(one, FOLDER)), listing(self.tree.root()), "update {update}");
            let folder = target(one, "");
            let what = format!("no temporary file is left in {}", folder.display());
            wait_until(PATIENCE, &what, async || {
                let names = fixtures::names_in(&folder);
                if names == [FOLDER, FILE] { Ok(()) } else { Err(listing(&folder)) }
            })
            .await;
        }
    }

    /// Nobody edited anything, and nobody was asked anything.
    async fn nothing_else_happened(&self) {
        for one in &self.subscribers {
            let ended = one.command(&["events", "--limit", "100000"]).await;
            let strange = |event: &&Value| event["event"] == "conflict" || event["event"] == "update-held";
            let documents = ended.documents();
            let found: Vec<_> = documents.iter().filter(strange).collect();
            assert!(found.is_empty(), "{found:?}");
            assert!(documents.iter().any(|event| event["event"] == "updated"), "{ended:?}");
        }
    }
}

fn target(subscriber: &TestProcess, name: &str) -> PathBuf {
    subscriber.home().join("downloads/alice").join(name)
}
