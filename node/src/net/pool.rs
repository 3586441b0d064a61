//! The sessions that are open, by node: everyone who needs one shares it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use certs::NodeId;
use wire::ErrorCode;

use super::session::{Role, Session};

/// Sessions with one node at once: one that each end dialled, and as many again that are dead and not known to be.
const SESSIONS_PER_NODE: usize = 4;
/// Who holds a session that nobody needs: the pool, and the task that attends it. Everybody else who holds it is using it.
const IDLE_HOLDERS: usize = 2;

/// Open sessions by node, the newest last.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    sessions: Mutex<HashMap<NodeId, Vec<Pooled>>>,
    /// Held while a node is being dialled, so that it is dialled once.
    dialling: Mutex<HashMap<NodeId, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Debug)]
struct Pooled {
    session: Arc<Session>,
    /// It is about to be closed, and no longer found.
    retired: bool,
}

impl Pool {
    /// An open session with a node, the newest.
    pub(crate) fn find(&self, node: &NodeId) -> Option<Arc<Session>> {
        let sessions = self.sessions.lock().expect("no panic while it is held");
        let usable = |pooled: &&Pooled| !pooled.retired && pooled.session.is_open();
        sessions.get(node)?.iter().rev().find(usable).map(|pooled| pooled.session.clone())
    }

    /// Makes a session findable. Where there are too many with its node, the oldest one with it as a peer is closed.
    pub(crate) fn insert(&self, session: &Arc<Session>) {
        let mut sessions = self.sessions.lock().expect("no panic while it is held");
        let of_node = sessions.entry(session.node()).or_default();
        of_node.push(Pooled { session: session.clone(), retired: false });
        if of_node.len() > SESSIONS_PER_NODE
            && let Some(oldest) = of_node.iter().position(|one| matches!(one.session.role(), Role::Peer))
        {
            of_node.remove(oldest).session.close(ErrorCode::Replaced, "too many connections");
        }
    }

    /// Forgets a session that has ended. Whoever still holds it no longer counts among the receivers of anything.
    pub(crate) fn remove(&self, session: &Arc<Session>) {
        session.revoke_grants();
        let mut sessions = self.sessions.lock().expect("no panic while it is held");
        if let Some(of_node) = sessions.get_mut(&session.node()) {
            of_node.retain(|pooled| !Arc::ptr_eq(&pooled.session, session));
            if of_node.is_empty() {
                sessions.remove(&session.node());
            }
        }
    }

    /// Lets nobody find a session any more, unless somebody uses it; whether that is so. For the task that attends it.
    pub(crate) fn retire(&self, session: &Arc<Session>) -> bool {
        // Under the lock nobody finds it meanwhile.
        self.change(session, |pooled| pooled.retired = Arc::strong_count(session) <= IDLE_HOLDERS)
    }

    /// Lets a session be found again: its far end still uses it.
    pub(crate) fn restore(&self, session: &Arc<Session>) {
        self.change(session, |pooled| pooled.retired = false);
    }

    /// All that are open.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        let sessions = self.sessions.lock().expect("no panic while it is held");
        let all = sessions.values().flatten().map(|pooled| &pooled.session);
        all.filter(|session| session.is_open()).cloned().collect()
    }

    /// The lock under which a node is dialled. Forgotten once nobody waits for it.
    pub(crate) fn dial_lock(&self, node: NodeId) -> Arc<tokio::sync::Mutex<()>> {
        let mut dialling = self.dialling.lock().expect("no panic while it is held");
        dialling.retain(|_, lock| Arc::strong_count(lock) > 1);
        dialling.entry(node).or_default().clone()
    }

    /// Changes a session's place; whether it is retired then.
    fn change(&self, session: &Arc<Session>, change: impl FnOnce(&mut Pooled)) -> bool {
        let mut sessions = self.sessions.lock().expect("no panic while it is held");
        let mut of_node = sessions.get_mut(&session.node()).into_iter().flatten();
        match of_node.find(|pooled| Arc::ptr_eq(&pooled.session, session)) {
            Some(pooled) => {
                change(pooled);
                pooled.retired
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::session::tests::Pair;
    use super::*;

    #[tokio::test]
    async fn a_session_in_use_is_not_retired() {
        let (pool, pair) = (Pool::default(), Pair::new());
        let session = pair.session().await;
        let node = session.node();
        pool.insert(&session);
        let user = pool.find(&node).expect("open");
        assert!(!pool.retire(&session) && pool.find(&node).is_some(), "somebody has it");
        drop(user);
        assert!(pool.retire(&session));
        assert!(pool.find(&node).is_none());
        assert_eq!(pool.all().len(), 1, "it is closed with the others");
        pool.restore(&session);
        assert!(pool.find(&node).is_some());
        pool.remove(&session);
        assert!(pool.find(&node).is_none() && !pool.retire(&session));
    }

    #[tokio::test]
    async fn the_newest_is_found_and_the_oldest_makes_room() {
        let (pool, pair) = (Pool::default(), Pair::new());
        let mut sessions = Vec::new();
        for _ in 0..=SESSIONS_PER_NODE {
            sessions.push(pair.session().await);
            pool.insert(sessions.last().expect("one"));
        }
        let open: Vec<_> = sessions.iter().map(|session| session.is_open()).collect();
        assert_eq!(open, [false, true, true, true, true]);
        let found = pool.find(&sessions[0].node()).expect("open");
        assert!(Arc::ptr_eq(&found, &sessions[SESSIONS_PER_NODE]));
        drop(found);
        assert!(pool.retire(&sessions[SESSIONS_PER_NODE]));
        let found = pool.find(&sessions[0].node()).expect("open");
        assert!(Arc::ptr_eq(&found, &sessions[SESSIONS_PER_NODE - 1]));
    }
}
