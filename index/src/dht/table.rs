//! Who is in kad's table of nodes, and why: at most five servers of one account in a bucket, so that somebody with many
//! nodes cannot have whole neighbourhoods; nobody who is not known as a member; nobody who has not answered twice.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use certs::{AccountId, NodeId};
use libp2p_identity::PeerId;
use libp2p_kad::{Addresses, Behaviour, RoutingUpdate};
use wire::limits::ADDRESSES;

use super::address::{from_multiaddr, node_of, peer_of, to_multiaddr};
use super::handle::Added;
use super::nodes::Nodes;
use super::store::Store;
use super::validate::Accounts;

/// Servers of one account in one bucket of 20.
const OF_ACCOUNT: usize = 5;

/// Dials in a row that fail before a node leaves the table. kad itself keeps it until a new one needs the place, so that
/// lookups try it over and over.
const FAILURES: u32 = 2;

type Kad = Behaviour<Store>;

/// The rules of the table, and what they must remember.
pub(super) struct Table {
    accounts: Arc<dyn Accounts>,
    nodes: Arc<Nodes>,
    failures: HashMap<PeerId, u32>,
    refused: u64,
}

impl Table {
    pub(super) fn new(accounts: Arc<dyn Accounts>, nodes: Arc<Nodes>) -> Self {
        Self { accounts, nodes, failures: HashMap::new(), refused: 0 }
    }

    /// How many nodes were not added because of their account.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Adds a node with addresses, by the rules.
    pub(super) fn add(&mut self, kad: &mut Kad, node: NodeId, addresses: &[SocketAddr]) -> Added {
        let peer = peer_of(&node);
        let usable = |at: &&SocketAddr| from_multiaddr(&to_multiaddr(**at, &node)).is_some();
        let addresses: Vec<_> = addresses.iter().filter(usable).take(ADDRESSES).collect();
        if addresses.is_empty() {
            return Added::NoAddress;
        }
        match self.room_for(kad, node, peer) {
            Room::Yes => {}
            Room::No(why) => return why,
        }
        let mut added = Added::NoAddress;
        for at in addresses {
            added = match kad.add_address(&peer, to_multiaddr(*at, &node)) {
                RoutingUpdate::Success => Added::Yes,
                RoutingUpdate::Pending => Added::Pending,
                // Of this node's own id there is no bucket; `room_for` saw that.
                RoutingUpdate::Failed => return Added::Full,
            };
        }
        forget_old_addresses(kad, &peer);
        added
    }

    /// A node has come in that waited for a place: others of its account may have come before it.
    pub(super) fn entered(&mut self, kad: &mut Kad, peer: &PeerId) {
        let Some(account) = self.account_of(peer) else {
            kad.remove_peer(peer);
            return;
        };
        if self.count(kad, *peer, account) > OF_ACCOUNT {
            self.refused += 1;
            kad.remove_peer(peer);
        }
    }

    /// Whether nobody knows whose a node is, any more.
    pub(super) fn is_stranger(&self, peer: &PeerId) -> bool {
        self.account_of(peer).is_none()
    }

    /// A node was reached.
    pub(super) fn reached(&mut self, peer: &PeerId) {
        self.failures.remove(peer);
    }

    /// A node was not reached. It leaves the table the second time, if others are connected: else it is this node's own
    /// network that is gone, and the table must not go with it.
    pub(super) fn failed(&mut self, kad: &mut Kad, peer: &PeerId, others_are_connected: bool) {
        if !others_are_connected || !is_in(kad, peer) {
            return;
        }
        let failures = self.failures.entry(*peer).or_default();
        *failures += 1;
        if *failures >= FAILURES {
            self.failures.remove(peer);
            kad.remove_peer(peer);
        }
    }

    /// Takes a node out.
    pub(super) fn remove(&mut self, kad: &mut Kad, peer: &PeerId) {
        self.failures.remove(peer);
        kad.remove_peer(peer);
    }

    /// Forgets what it knows of nodes that are in the table no more.
    pub(super) fn sweep(&mut self, kad: &mut Kad) {
        self.failures.retain(|peer, _| is_in(kad, peer));
    }

    fn room_for(&mut self, kad: &mut Kad, node: NodeId, peer: PeerId) -> Room {
        let Some(account) = self.accounts.account_of(node) else { return Room::No(Added::Unknown) };
        if kad.kbucket(peer).is_none() {
            return Room::No(Added::NoAddress);
        }
        if !is_in(kad, &peer) && self.count(kad, peer, account) >= OF_ACCOUNT {
            self.refused += 1;
            return Room::No(Added::AccountHasEnough);
        }
        Room::Yes
    }

    /// How many nodes of an account are in a peer's bucket.
    fn count(&self, kad: &mut Kad, peer: PeerId, account: AccountId) -> usize {
        let Some(bucket) = kad.kbucket(peer) else { return 0 };
        bucket.iter().filter(|entry| self.account_of(entry.node.key.preimage()) == Some(account)).count()
    }

    fn account_of(&self, peer: &PeerId) -> Option<AccountId> {
        self.accounts.account_of(self.nodes.node_of(peer)?)
    }
}

enum Room {
    Yes,
    No(Added),
}

/// How many nodes are in the table.
pub(super) fn count(kad: &mut Kad) -> usize {
    kad.kbuckets().map(|bucket| bucket.num_entries()).sum()
}

/// The nodes in the table, and where they are.
pub(super) fn peers(kad: &mut Kad) -> Vec<(NodeId, Vec<SocketAddr>)> {
    let mut peers = Vec::new();
    for bucket in kad.kbuckets() {
        for entry in bucket.iter() {
            let Some(node) = node_of(entry.node.key.preimage()) else { continue };
            peers.push((node, addresses(entry.node.value)));
        }
    }
    peers
}

fn addresses(of_peer: &Addresses) -> Vec<SocketAddr> {
    of_peer.iter().filter_map(from_multiaddr).map(|(at, _)| at).collect()
}

fn is_in(kad: &mut Kad, peer: &PeerId) -> bool {
    kad.kbucket(*peer).is_some_and(|bucket| bucket.iter().any(|entry| entry.node.key.preimage() == peer))
}

/// kad keeps every address that it was ever told; the newest are enough.
fn forget_old_addresses(kad: &mut Kad, peer: &PeerId) {
    let Some(bucket) = kad.kbucket(*peer) else { return };
    let entry = bucket.iter().find(|entry| entry.node.key.preimage() == peer);
    let all: Vec<_> = entry.map(|entry| entry.node.value.iter().cloned().collect()).unwrap_or_default();
    let old = all.len().saturating_sub(ADDRESSES);
    for address in all.iter().take(old) {
        kad.remove_address(peer, address);
    }
}
