//! The sessions that are open, by node: everyone who needs one shares it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use certs::NodeId;

use super::session::Session;

/// Open sessions by node. At most one is found for each; a second connection of the same node takes the first one's
/// place here while both go on.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    sessions: Mutex<HashMap<NodeId, Arc<Session>>>,
    /// Held while a node is being dialled, so that it is dialled once.
    dialling: Mutex<HashMap<NodeId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Pool {
    /// The open session with a node.
    pub(crate) fn find(&self, node: &NodeId) -> Option<Arc<Session>> {
        let sessions = self.sessions.lock().expect("no panic while it is held");
        sessions.get(node).filter(|session| session.is_open()).cloned()
    }

    /// Makes a session findable.
    pub(crate) fn insert(&self, session: &Arc<Session>) {
        let mut sessions = self.sessions.lock().expect("no panic while it is held");
        sessions.insert(session.node(), session.clone());
    }

    /// Forgets a session, if it is the one that is found for its node.
    pub(crate) fn remove(&self, session: &Arc<Session>) {
        let mut sessions = self.sessions.lock().expect("no panic while it is held");
        if sessions.get(&session.node()).is_some_and(|found| Arc::ptr_eq(found, session)) {
            sessions.remove(&session.node());
        }
    }

    /// All that are open.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        let sessions = self.sessions.lock().expect("no panic while it is held");
        sessions.values().filter(|session| session.is_open()).cloned().collect()
    }

    /// The lock under which a node is dialled. Forgotten once nobody waits for it.
    pub(crate) fn dial_lock(&self, node: NodeId) -> Arc<tokio::sync::Mutex<()>> {
        let mut dialling = self.dialling.lock().expect("no panic while it is held");
        dialling.retain(|_, lock| Arc::strong_count(lock) > 1);
        dialling.entry(node).or_default().clone()
    }
}
