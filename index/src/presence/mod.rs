//! Presence: who is online, from the connections that live; in memory alone.
//!
//! Invariant: each node has at most one session here, the newest; `users` and `rows` name exactly the sessions that have
//! a member. All three change together, under one lock.

mod addresses;
mod dial_back;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use certs::{NodeId, UserName};
use wire::message::{OnlineNode, OnlineUser};

pub(crate) use self::addresses::{Seen, needs_dial_back, to_hand_on};
pub(crate) use self::dial_back::DialBacks;
pub use self::dial_back::{BoxFuture, DialBack};
use crate::registry::{NodeRow, lock};
use crate::session::{IndexSession, Member};

/// Nodes on a page of `who`, whatever the limit on users: with addresses they stay under a frame.
const PAGE_NODES: usize = 4096;

/// The sessions that are alive.
pub(crate) struct Presence {
    max_guests: usize,
    tables: Mutex<Tables>,
}

/// Why a session cannot come in.
pub(crate) enum NoPlace {
    /// This one of the same node is there instead.
    Taken(Arc<IndexSession>),
    /// As many guests are there as may be.
    Full,
}

#[derive(Default)]
struct Tables {
    sessions: HashMap<NodeId, Arc<IndexSession>>,
    users: BTreeMap<UserName, BTreeMap<NodeId, Arc<IndexSession>>>,
    rows: HashMap<NodeRow, Arc<IndexSession>>,
}

impl Presence {
    /// Nobody, and room for so many sessions without a member.
    pub(crate) fn new(max_guests: usize) -> Self {
        Self { max_guests, tables: Mutex::default() }
    }

    /// The session of a member's node.
    pub(crate) fn member_session(&self, row: NodeRow) -> Option<Arc<IndexSession>> {
        lock(&self.tables).rows.get(&row).cloned()
    }

    /// Whether a member's node is connected.
    pub(crate) fn is_online(&self, row: NodeRow) -> bool {
        lock(&self.tables).rows.contains_key(&row)
    }

    /// Puts a session in, in place of `expected`, which then is the caller's to close. `guest`: it is not about to become a
    /// member's.
    ///
    /// # Errors
    /// See [`NoPlace`]; all is as it was.
    pub(crate) fn enter(
        &self,
        session: &Arc<IndexSession>,
        expected: Option<&IndexSession>,
        guest: bool,
    ) -> Result<(), NoPlace> {
        let mut tables = lock(&self.tables);
        match tables.sessions.get(&session.node).cloned() {
            Some(found) if expected.map(|expected| expected.number) != Some(found.number) => {
                Err(NoPlace::Taken(found))
            }
            None if guest && tables.guests() >= self.max_guests => Err(NoPlace::Full),
            found => {
                if let Some(found) = found {
                    tables.remove(&found);
                }
                tables.sessions.insert(session.node, session.clone());
                Ok(())
            }
        }
    }

    /// Makes a session a member's, or nobody's. One that has left already stays away.
    pub(crate) fn set_member(&self, session: &IndexSession, member: Option<Member>) {
        let mut tables = lock(&self.tables);
        if let Some(before) = session.set_member(member.clone()) {
            tables.remove_member(session, &before);
        }
        let own = tables.sessions.get(&session.node).filter(|own| own.number == session.number).cloned();
        if let (Some(member), Some(own)) = (member, own) {
            tables.rows.insert(member.node_row, own.clone());
            tables.users.entry(member.user).or_default().insert(session.node, own);
        }
    }

    /// Takes a session out.
    pub(crate) fn leave(&self, session: &IndexSession) {
        lock(&self.tables).remove(session);
    }

    /// The users after `after` in the order of their names, as `asker` may see them, and whether more follow.
    pub(crate) fn who(
        &self,
        after: Option<&UserName>,
        limit: usize,
        asker: &IndexSession,
    ) -> (Vec<OnlineUser>, bool) {
        use std::ops::Bound;
        let tables = lock(&self.tables);
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut users, mut nodes_shown) = (Vec::new(), 0);
        for (user, nodes) in tables.users.range::<UserName, _>((start, Bound::Unbounded)) {
            if users.len() >= limit || nodes_shown >= PAGE_NODES {
                return (users, true);
            }
            let nodes: Vec<_> = nodes.values().map(|session| online_node(session, asker)).collect();
            nodes_shown += nodes.len();
            users.push(OnlineUser { user: user.clone(), nodes });
        }
        (users, false)
    }
}

impl Tables {
    /// Sessions without a member.
    fn guests(&self) -> usize {
        self.sessions.len().saturating_sub(self.rows.len())
    }

    fn remove(&mut self, session: &IndexSession) {
        let own = self.sessions.get(&session.node).is_some_and(|own| own.number == session.number);
        if own {
            self.sessions.remove(&session.node);
            if let Some(member) = session.member() {
                self.remove_member(session, &member);
            }
        }
    }

    fn remove_member(&mut self, session: &IndexSession, member: &Member) {
        if self.rows.get(&member.node_row).is_some_and(|own| own.number == session.number) {
            self.rows.remove(&member.node_row);
        }
        if let Some(nodes) = self.users.get_mut(&member.user) {
            if nodes.get(&session.node).is_some_and(|own| own.number == session.number) {
                nodes.remove(&session.node);
            }
            if nodes.is_empty() {
                self.users.remove(&member.user);
            }
        }
    }
}

fn online_node(session: &IndexSession, asker: &IndexSession) -> OnlineNode {
    let address = addresses_for(session, asker).first().copied();
    OnlineNode { node: session.node, address, since: session.since }
}

/// Where the asker can reach a node.
pub(crate) fn addresses_for(session: &IndexSession, asker: &IndexSession) -> Vec<wire::message::Address> {
    let seen = Seen { observed: session.observed, claimed: &session.claimed, verified: &session.verified() };
    to_hand_on(&seen, asker.is_on_loopback())
}
