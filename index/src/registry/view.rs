//! What a listing needs beside the database: who is online, and what was read before: the ids of nodes, and within one
//! request how many hold a content.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use certs::NodeId;
use rusqlite::Connection;
use wire::ContentHash;

use super::error::RegistryError;
use super::{NodeRow, Online, Result, holders, lock};

/// Ids kept: more than there are nodes at once in the largest network that is planned for, in 1 MiB.
const NODES: usize = 16_384;

/// For one request.
pub(super) struct View {
    online: Online,
    pub(super) nodes: Arc<NodeIds>,
    /// By content: a page may be thousands of names of one that thousands hold. Bounded by the rows of a page.
    holders: RefCell<HashMap<ContentHash, Holders>>,
}

/// How many nodes hold a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Holders {
    pub(super) all: u32,
    pub(super) online: u32,
}

impl View {
    pub(super) fn new(online: Online, nodes: Arc<NodeIds>) -> Self {
        Self { online, nodes, holders: RefCell::default() }
    }

    /// How many hold a content, counted once.
    pub(super) fn holders(&self, database: &Connection, content: &ContentHash) -> Result<Holders> {
        if let Some(known) = self.holders.borrow().get(content) {
            return Ok(*known);
        }
        let nodes: Vec<_> =
            holders::of(database, content)?.into_iter().filter(|holder| holder.whole).collect();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let online = nodes.iter().filter(|holder| (self.online)(holder.node)).count();
        let counted = Holders { all: count(nodes.len()), online: count(online) };
        self.holders.borrow_mut().insert(*content, counted);
        Ok(counted)
    }
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
