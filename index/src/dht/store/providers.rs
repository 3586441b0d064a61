//! Provider entries: who says that it has something.
//!
//! A key has places for 20 (what kad hands out of them), and an account for 5 of those. Whoever has one keeps it as long as
//! it renews it, rather than those nearest to the key: nearness can be had by trying keys, so that one member could push
//! all others out.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use certs::{NodeId, UnixMillis};
use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_kad::{K_VALUE, ProviderRecord, RecordKey};
use wire::limits::ADDRESSES;

use super::records::check_sizes;
use super::{Judges, StoreLimits, millis, own_peer};
use crate::dht::address::{from_multiaddr, to_multiaddr};
use crate::dht::validate::Reject;

/// Providers of one key and of one account.
const OF_ACCOUNT: usize = 5;

/// An entry that is offered.
pub(in crate::dht) struct Provided {
    key: Bytes,
    entry: Entry,
}

struct Entry {
    node: NodeId,
    peer: PeerId,
    addresses: Vec<Multiaddr>,
    expires: UnixMillis,
}

impl Provided {
    /// What kad was told; of the addresses, the first ones that can be any.
    pub(super) fn of(record: &ProviderRecord, node: NodeId, now: UnixMillis, limits: &StoreLimits) -> Self {
        let readable = record.addresses.iter().filter_map(from_multiaddr);
        let addresses = readable.take(ADDRESSES).map(|(at, _)| to_multiaddr(at, &node)).collect();
        let expires = now.plus(millis(limits.provider_ttl));
        let key = Bytes::copy_from_slice(record.key.as_ref());
        Self { key, entry: Entry { node, peer: record.provider, addresses, expires } }
    }
}

/// The entries.
pub(super) struct Providers {
    here: PeerId,
    by_key: HashMap<Bytes, Vec<Entry>>,
    by_end: BTreeSet<(UnixMillis, Bytes, NodeId)>,
    of_node: HashMap<NodeId, usize>,
    own: BTreeSet<Bytes>,
}

impl Providers {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            here: own_peer(node),
            by_key: HashMap::new(),
            by_end: BTreeSet::new(),
            of_node: HashMap::new(),
            own: BTreeSet::new(),
        }
    }

    /// How many there are of others.
    pub(super) fn len(&self) -> usize {
        self.by_end.len()
    }

    /// What this node provides.
    pub(super) fn provided(&self) -> &BTreeSet<Bytes> {
        &self.own
    }

    /// This node provides something; as many keys as one node may.
    pub(super) fn provide(&mut self, key: &[u8], limits: &StoreLimits) -> Result<(), Reject> {
        check_sizes(key, &[])?;
        if !self.own.contains(key) && self.own.len() >= limits.providers_of_node {
            return Err(Reject::SourceQuota);
        }
        self.own.insert(Bytes::copy_from_slice(key));
        Ok(())
    }

    /// Takes an entry or does not.
    pub(super) fn offer(
        &mut self,
        offered: Provided,
        limits: &StoreLimits,
        judges: &Judges,
        now: UnixMillis,
    ) -> Result<(), Reject> {
        let Provided { key, entry } = offered;
        check_sizes(&key, &[])?;
        judges.validator.check_provider(&key, entry.node)?;
        self.drop_ended(&key, now);
        // Its own old entry is in nobody's way.
        self.take_out(&key, &entry.node);
        self.check_room(&key, entry.node, limits, judges)?;
        self.by_end.insert((entry.expires, key.clone(), entry.node));
        *self.of_node.entry(entry.node).or_default() += 1;
        self.by_key.entry(key).or_default().push(entry);
        Ok(())
    }

    fn check_room(
        &self,
        key: &[u8],
        node: NodeId,
        limits: &StoreLimits,
        judges: &Judges,
    ) -> Result<(), Reject> {
        let account = judges.accounts.account_of(node).ok_or(Reject::UnknownNode)?;
        let of_key = self.by_key.get(key).map_or(&[][..], Vec::as_slice);
        let same = of_key.iter().filter(|one| judges.accounts.account_of(one.node) == Some(account));
        if same.count() >= OF_ACCOUNT {
            return Err(Reject::ProvidersOfAccount);
        }
        if of_key.len() >= K_VALUE.get() {
            return Err(Reject::ProvidersOfKey);
        }
        if self.of_node.get(&node).copied().unwrap_or(0) >= limits.providers_of_node {
            return Err(Reject::SourceQuota);
        }
        if self.len() >= limits.providers { Err(Reject::Full) } else { Ok(()) }
    }

    /// The entries of a key as kad takes them. They carry no end: kad would measure it by another clock, and those that
    /// have ended are not among them.
    pub(super) fn of_key(&self, key: &RecordKey, now: UnixMillis) -> Vec<ProviderRecord> {
        let as_kad =
            |provider, addresses| ProviderRecord { key: key.clone(), provider, expires: None, addresses };
        let own = self.own.contains(key.as_ref()).then(|| as_kad(self.here, Vec::new()));
        let others = self.by_key.get(key.as_ref()).map_or(&[][..], Vec::as_slice);
        let live = others.iter().filter(|entry| entry.expires > now);
        own.into_iter().chain(live.map(|entry| as_kad(entry.peer, entry.addresses.clone()))).collect()
    }

    /// Forgets an entry, or that this node provides something.
    pub(super) fn remove(&mut self, key: &[u8], provider: &PeerId) {
        if *provider == self.here {
            self.own.remove(key);
        } else if let Some(node) = crate::dht::address::node_of(provider) {
            self.take_out(key, &node);
        }
    }

    /// Forgets what has ended.
    pub(super) fn sweep(&mut self, now: UnixMillis) {
        while let Some((_, key, node)) = self.by_end.first().filter(|(end, ..)| *end <= now).cloned() {
            self.take_out(&key, &node);
        }
    }

    fn drop_ended(&mut self, key: &[u8], now: UnixMillis) {
        let of_key = self.by_key.get(key).map_or(&[][..], Vec::as_slice);
        let ended: Vec<_> =
            of_key.iter().filter(|entry| entry.expires <= now).map(|entry| entry.node).collect();
        for node in ended {
            self.take_out(key, &node);
        }
    }

    fn take_out(&mut self, key: &[u8], node: &NodeId) {
        let Some((key, mut of_key)) = self.by_key.remove_entry(key) else { return };
        if let Some(at) = of_key.iter().position(|entry| entry.node == *node) {
            let entry = of_key.swap_remove(at);
            self.by_end.remove(&(entry.expires, key.clone(), entry.node));
            if let Some(count) = self.of_node.get_mut(node) {
                *count -= 1;
                if *count == 0 {
                    self.of_node.remove(node);
                }
            }
        }
        if !of_key.is_empty() {
            self.by_key.insert(key, of_key);
        }
    }
}
