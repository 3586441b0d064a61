//! Which node a peer is, remembered: to tell one from a peer id is a tenth of a signature's check, and both the table and
//! each lookup ask for the same ones over and over.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use certs::NodeId;
use libp2p_identity::PeerId;

use super::address;

/// Nodes that are remembered; beyond it all are forgotten.
const NODES: usize = 4_096;

/// The nodes of peers.
#[derive(Debug, Default)]
pub(super) struct Nodes(Mutex<HashMap<PeerId, NodeId>>);

impl Nodes {
    /// As [`address::node_of`].
    pub(super) fn node_of(&self, peer: &PeerId) -> Option<NodeId> {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = nodes.get(peer) {
            return Some(*node);
        }
        let node = address::node_of(peer)?;
        if nodes.len() >= NODES {
            nodes.clear();
        }
        nodes.insert(*peer, node);
        Some(node)
    }
}
