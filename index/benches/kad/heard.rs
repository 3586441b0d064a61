//! What is said on streams, read well enough to count hops: kad's messages are protobuf, after two lines of negotiation.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use certs::NodeId;
use libp2p_kad::KBucketKey;
use p2p_node_index::dht::address::{node_of, peer_of};
use p2p_node_index::dht::memory::{Exchange, Tap};

/// The type of a message that asks for a record.
const GET_VALUE: u64 = 1;

/// Nodes that a lookup starts from.
const START: usize = 20;

type Lookups = HashMap<(NodeId, Vec<u8>), Lookup>;

/// The lookups that are listened to.
#[derive(Clone, Default)]
pub(crate) struct Heard {
    lookups: Arc<Mutex<Lookups>>,
}

/// What was heard of one lookup.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    /// How many hops away each node is that was named: 1 for those that the asker knew.
    distance: HashMap<NodeId, usize>,
    /// Requests that were answered.
    pub(crate) requests: usize,
    /// Bytes both ways.
    pub(crate) bytes: usize,
    /// How many hops away the record was.
    pub(crate) hops: Option<usize>,
}

impl Heard {
    pub(crate) fn tap(&self) -> Tap {
        let lookups = self.lookups.clone();
        Arc::new(move |exchange| hear(&lookups, &exchange))
    }

    /// Listens to a lookup of a node, which knows these others. False if one is on already.
    pub(crate) fn begin(&self, asker: NodeId, key: &[u8], known: impl Iterator<Item = NodeId>) -> bool {
        let target = KBucketKey::new(libp2p_kad::RecordKey::new(&key));
        let distance = |node: &NodeId| target.distance(&KBucketKey::from(peer_of(node)));
        let mut known: Vec<_> = known.map(|node| (distance(&node), node)).collect();
        known.sort_unstable();
        let distance = known.into_iter().take(START).map(|(_, node)| (node, 1)).collect();
        let mut lookups = self.lookups.lock().expect("whole");
        let before = lookups.insert((asker, key.to_vec()), Lookup { distance, ..Lookup::default() });
        before.is_none()
    }

    pub(crate) fn end(&self, asker: NodeId, key: &[u8]) -> Lookup {
        let ended = self.lookups.lock().expect("whole").remove(&(asker, key.to_vec()));
        ended.unwrap_or_default()
    }
}

fn hear(lookups: &Mutex<Lookups>, exchange: &Exchange) {
    let asked = fields(message(&exchange.asked));
    if !asked.contains(&Field::Number(1, GET_VALUE)) {
        return;
    }
    let Some(key) = asked.iter().find_map(|field| field.bytes(2)) else { return };
    let mut lookups = lookups.lock().expect("whole");
    let Some(lookup) = lookups.get_mut(&(exchange.from, key.to_vec())) else { return };
    let answered = fields(message(&exchange.answered));
    if answered.is_empty() {
        return;
    }
    lookup.requests += 1;
    lookup.bytes += exchange.asked.len() + exchange.answered.len();
    let here = lookup.distance.get(&exchange.to).copied().unwrap_or(1);
    if answered.iter().any(|field| field.bytes(3).is_some()) {
        lookup.hops.get_or_insert(here);
    }
    let named: HashSet<_> = answered.iter().filter_map(|field| field.bytes(8)).filter_map(named).collect();
    for node in named {
        lookup.distance.entry(node).or_insert(here + 1);
    }
}

/// The node of a `Peer` message.
fn named(peer: &[u8]) -> Option<NodeId> {
    let id = fields(peer).into_iter().find_map(|field| field.bytes(1).map(<[u8]>::to_vec))?;
    node_of(&libp2p_identity::PeerId::from_bytes(&id).ok()?)
}

/// The message after two lines of negotiation; empty if there is none.
fn message(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    for _ in 0..2 {
        rest = piece(rest).map_or(&[][..], |(_, rest)| rest);
    }
    piece(rest).map_or(&[][..], |(message, _)| message)
}

/// A piece with its length before it, and what follows.
fn piece(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = varint(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)?;
    let (number, rest) = bytes.split_at(end + 1);
    let number = number.iter().rev().fold(0_u64, |sum, byte| sum << 7 | u64::from(byte & 0x7f));
    Some((number, rest))
}

/// A field of a protobuf message.
#[derive(Debug, PartialEq, Eq)]
enum Field<'a> {
    Number(u64, u64),
    Bytes(u64, &'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(&self, number: u64) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(own, bytes) if *own == number => Some(bytes),
            _ => None,
        }
    }
}

fn fields(mut bytes: &[u8]) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    while let Some((tag, rest)) = varint(bytes) {
        let field = match tag & 7 {
            0 => varint(rest).map(|(number, rest)| (Field::Number(tag >> 3, number), rest)),
            2 => piece(rest).map(|(bytes, rest)| (Field::Bytes(tag >> 3, bytes), rest)),
            _ => None,
        };
        let Some((field, rest)) = field else { break };
        fields.push(field);
        bytes = rest;
    }
    fields
}
