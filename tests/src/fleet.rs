//! Many users in this process, each with a node and a file of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use p2p_node::control::api::{GetDone, Source};

use crate::node::get_request;
use crate::random::Random;
use crate::{Cluster, PATIENCE, TestNode, fixtures, wait_until};

/// Users that sign up at once: the index hashes two passwords at a time.
const AT_ONCE: usize = 8;

/// The index and the users' nodes. Who is killed keeps its place.
#[derive(Debug)]
pub struct Fleet {
    /// The network.
    pub cluster: Cluster,
    /// The nodes, each under its number.
    pub nodes: Vec<TestNode>,
    /// Numbers of the nodes that run.
    alive: BTreeSet<usize>,
}

/// Who has a file: its owner first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The number of its owner.
    pub owner: usize,
    /// Numbers of all who have it.
    pub holders: Vec<usize>,
}

impl Held {
    /// Under which name it is shared.
    pub fn name(&self) -> String {
        file_name(self.owner)
    }
}

/// The user of a node.
pub fn user(number: usize) -> String {
    format!("user-{number}")
}

fn file_name(number: usize) -> String {
    format!("file-{number}.bin")
}

/// A node of a new user. Where the machine is so busy that the answer comes too late, the account is made all the same.
async fn enrolled(cluster: &Cluster, number: usize) -> TestNode {
    let user = user(number);
    let node = cluster.peer(&user).await;
    if node.signup(&user).await.is_err() {
        wait_until(PATIENCE, "logged in", async || node.login(&user).await).await;
    }
    node
}

/// A node with this number shares a file with that one.
async fn share(cluster: &Cluster, node: &TestNode, (number, file): (usize, usize), size: usize) {
    let path = cluster.path(&format!("{number}/{}", file_name(file)));
    let content = fixtures::bytes(file as u64, size);
    node.share(&fixtures::write(&path, &content)).await.expect("shared");
}

/// Waits until a node's copy has so many catalogues with so many entries.
async fn wait_for_copy(node: &TestNode, whose: &str, patience: Duration, (catalogues, entries): (u64, u64)) {
    wait_until(patience, &format!("the copy of {whose} is full"), async || {
        let fallback = node.status().await.fallback.unwrap_or_default();
        let full = fallback.catalogues == catalogues && fallback.entries == entries;
        if full { Ok(()) } else { Err(fallback) }
    })
    .await;
}

impl Fleet {
    /// Starts so many nodes, each of which shares a file of its own, of this size; some at a time, with a pause after each time.
    /// Whoever has signed up is stopped until all have: else each new one is told to all before it by itself, which of hundreds on one
    /// machine is most of the work. The index has heard of each file by then.
    pub async fn start(count: usize, size: usize, pause: impl AsyncFn()) -> Self {
        let cluster = Cluster::start_with_fallback().await;
        let mut nodes = Vec::with_capacity(count);
        while nodes.len() < count {
            let numbers = nodes.len()..count.min(nodes.len() + AT_ONCE);
            let sharing = numbers.map(async |number| {
                let node = enrolled(&cluster, number).await;
                share(&cluster, &node, (number, number), size).await;
                node
            });
            let mut some = futures_util::future::join_all(sharing).await;
            let all = (nodes.len() + some.len()) as u64;
            wait_for_copy(&cluster.index, "the index", PATIENCE, (all, all)).await;
            futures_util::future::join_all(some.iter_mut().map(TestNode::stop_for_long)).await;
            nodes.extend(some);
        }
        for some in nodes.chunks_mut(AT_ONCE) {
            futures_util::future::join_all(some.iter_mut().map(TestNode::start_again)).await;
            pause().await;
        }
        Self { cluster, nodes, alive: (0..count).collect() }
    }

    /// Numbers of the nodes that run.
    pub fn alive(&self) -> Vec<usize> {
        self.alive.iter().copied().collect()
    }

    /// One of them shares a file with this number.
    pub async fn share(&self, number: usize, file: usize, size: usize) {
        share(&self.cluster, &self.nodes[number], (number, file), size).await;
    }

    /// Each file is fetched by so many others, drawn at random; who has what then.
    pub async fn copy_all(&self, copies: usize, random: &mut Random) -> Vec<Held> {
        let mut held = Vec::new();
        for owner in self.alive() {
            let others = random.some_of(self.nodes.len(), copies + 1);
            let others = others.into_iter().filter(|one| *one != owner).take(copies);
            let holders = std::iter::once(owner).chain(others).collect();
            held.push(Held { owner, holders });
        }
        for one in &held {
            for getter in &one.holders[1..] {
                let (node, owner) = (&self.nodes[*getter], user(one.owner));
                // On a busy machine an owner may answer the index too late.
                wait_until(PATIENCE, "it is fetched", async || node.get(&owner, &one.name()).await).await;
            }
        }
        held
    }

    /// One of them fetches a file, whose content must be right.
    pub async fn get(&self, number: usize, held: &Held) -> GetDone {
        let (owner, node) = (user(held.owner), &self.nodes[number]);
        let done = node.get_with(get_request(&owner, &held.name())).await;
        let done = done.unwrap_or_else(|error| panic!("{number} gets {held:?}: {error:?}"));
        let content = fixtures::read(&node.download_path(&owner, &held.name()));
        assert!(
            content == fixtures::bytes(held.owner as u64, content.len()),
            "{number}: another content of {held:?}"
        );
        done
    }

    /// Waits until each that runs has so many catalogues with so many entries in its copy.
    pub async fn wait_for_copies(&self, catalogues: usize, entries: usize, patience: Duration) {
        for number in self.alive() {
            let wanted = (catalogues as u64, entries as u64);
            wait_for_copy(&self.nodes[number], &number.to_string(), patience, wanted).await;
        }
    }

    /// Waits until each that runs answers from its copy.
    pub async fn wait_for_fallback(&self, patience: Duration) {
        for number in self.alive() {
            let node = &self.nodes[number];
            wait_until(patience, &format!("{number} goes on without the index"), async || {
                let status = node.status().await;
                if status.source == Source::Index { Err(status.fallback) } else { Ok(()) }
            })
            .await;
        }
    }

    /// Kills some, one after the other with a pause between them.
    pub async fn kill(&mut self, numbers: &[usize], pause: Duration) {
        for number in numbers {
            self.nodes[*number].plug().set_side(crate::Side::NOBODY);
            self.alive.remove(number);
            tokio::time::sleep(pause).await;
        }
        let killed = self.nodes.iter_mut().enumerate().filter(|(number, _)| numbers.contains(number));
        futures_util::future::join_all(killed.map(|(_, node)| node.kill())).await;
    }
}
