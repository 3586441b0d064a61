//! Whose nodes are members, in memory, for those who must not wait for a database.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use certs::{AccountId, Membership, NodeId};

/// More than a network has members by design; beyond it somebody is forgotten.
const MOST: usize = 1 << 17;

/// The accounts of the nodes whose membership was seen and held, with its serial.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    accounts: Mutex<HashMap<NodeId, (AccountId, u64)>>,
}

impl Roster {
    /// A membership of this node was seen, and holds.
    pub(crate) fn learn(&self, membership: &Membership) {
        let Membership { node, account, serial, .. } = *membership;
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= MOST
            && !accounts.contains_key(&node)
            && let Some(any) = accounts.keys().next().copied()
        {
            accounts.remove(&any);
        }
        accounts.insert(node, (account, serial));
    }

    /// Whose a node is by the membership that was seen, unless the one of this serial is over.
    pub(crate) fn account_of(&self, node: &NodeId, is_over: impl FnOnce(u64) -> bool) -> Option<AccountId> {
        let shown = self.accounts.lock().unwrap_or_else(PoisonError::into_inner).get(node).copied();
        shown.filter(|(_, serial)| !is_over(*serial)).map(|(account, _)| account)
    }

    /// The membership of this node is over.
    pub(crate) fn forget(&self, node: &NodeId) {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }
}
