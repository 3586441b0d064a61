//! What a listing needs beside the database: who is online, and the ids of nodes that were read before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use certs::NodeId;
use rusqlite::Connection;

use super::error::RegistryError;
use super::{NodeRow, Online, Result, lock};

/// Ids kept: more than there are nodes at once in the largest network that is planned for, in 1 MiB.
const NODES: usize = 16_384;

/// For one request.
pub(super) struct View {
    pub(super) online: Online,
    pub(super) nodes: Arc<NodeIds>,
}

/// The ids of nodes by their rows, which never change.
///
/// Reading a public key means checking that it is one, which costs more than all the rest of an entry.
#[derive(Default)]
pub(super) struct NodeIds {
    known: Mutex<HashMap<NodeRow, NodeId>>,
}

impl NodeIds {
    /// The id of a node.
    pub(super) fn id(&self, database: &Connection, row: NodeRow) -> Result<NodeId> {
        if let Some(id) = lock(&self.known).get(&row) {
            return Ok(*id);
        }
        let bytes: Vec<u8> = database
            .prepare_cached("SELECT node FROM nodes WHERE id = ?1")?
            .query_row([row.0], |row| row.get(0))?;
        let id = NodeId::from_slice(&bytes).map_err(|_| RegistryError::Corrupt("a node's id"))?;
        let mut known = lock(&self.known);
        if known.len() >= NODES {
            known.clear();
        }
        known.insert(row, id);
        Ok(id)
    }
}
