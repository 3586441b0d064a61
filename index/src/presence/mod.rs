//! Presence: who is online, from the connections that live; in memory alone.
//!
//! Invariant: each node has at most one session here, the newest; `users`, `rows` and `online` name exactly the sessions
//! that have a member. All four change together, under one lock.

mod addresses;
mod dial_back;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
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

/// Log-outs that are remembered: a request that was let in before so many of them has long been answered.
const ENDED: usize = 1024;

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
    /// The keys of `rows`, to be taken away as they are: copied only where they change while somebody has them.
    online: Arc<HashSet<NodeRow>>,
    /// The latest log-outs: of each the node, and the serial up to which its memberships are ended.
    ended: VecDeque<(NodeRow, u64)>,
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

    /// The members' nodes that are connected now.
    pub(crate) fn online(&self) -> Arc<HashSet<NodeRow>> {
        lock(&self.tables).online.clone()
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

    /// Makes a session a member's, or nobody's: also where the membership was ended since it was looked up. One that has
    /// left already stays away.
    pub(crate) fn set_member(&self, session: &IndexSession, member: Option<Member>) {
        let mut tables = lock(&self.tables);
        let member = member.filter(|member| !tables.is_ended(member));
        tables.set_member(session, member);
    }

    /// The memberships of a node up to this serial have ended, in the registry already: they are worth nothing any more,
    /// whoever is about to come in with one. Its session is nobody's, and so is the one that asked for it, if one did.
    pub(crate) fn end(&self, asking: Option<&IndexSession>, row: NodeRow, serial: u64) {
        let mut tables = lock(&self.tables);
        if tables.ended.len() >= ENDED {
            tables.ended.pop_front();
        }
        tables.ended.push_back((row, serial));
        let entered = tables.rows.get(&row).cloned();
        for session in entered.as_deref().into_iter().chain(asking) {
            if session.member().is_some_and(|member| tables.is_ended(&member)) {
                tables.set_member(session, None);
            }
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

    fn is_ended(&self, member: &Member) -> bool {
        self.ended.iter().any(|&(row, serial)| row == member.node_row && member.serial <= serial)
    }

    fn set_member(&mut self, session: &IndexSession, member: Option<Member>) {
        if let Some(before) = session.set_member(member.clone()) {
            self.remove_member(session, &before);
        }
        let own = self.sessions.get(&session.node).filter(|own| own.number == session.number).cloned();
        if let (Some(member), Some(own)) = (member, own) {
            self.rows.insert(member.node_row, own.clone());
            Arc::make_mut(&mut self.online).insert(member.node_row);
            self.users.entry(member.user).or_default().insert(session.node, own);
        }
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
            Arc::make_mut(&mut self.online).remove(&member.node_row);
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
