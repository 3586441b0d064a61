//! Whose nodes are members, in memory, for those who must not wait for a database.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use certs::{AccountId, NodeId};
use index::dht::Accounts;

/// More than a network has members by design; beyond it somebody is forgotten.
const MOST: usize = 1 << 17;

/// The accounts of the nodes whose membership was seen and held.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    accounts: Mutex<HashMap<NodeId, AccountId>>,
}

impl Roster {
    /// A membership of this node was seen, and holds.
    pub(crate) fn learn(&self, node: NodeId, account: AccountId) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= MOST
            && !accounts.contains_key(&node)
            && let Some(any) = accounts.keys().next().copied()
        {
            accounts.remove(&any);
        }
        accounts.insert(node, account);
    }

    /// The membership of this node is over.
    pub(crate) fn forget(&self, node: &NodeId) {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }
}

impl Accounts for Roster {
    fn account_of(&self, node: NodeId) -> Option<AccountId> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).get(&node).copied()
    }
}
