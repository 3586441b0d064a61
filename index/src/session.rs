//! A connection whose `hello` was answered.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;

use certs::{AccountId, NodeId, UnixMillis, UserName};
use wire::InstanceId;
use wire::message::Address;

use crate::registry::{AccountRow, NodeRow, lock};

/// One connection of one node, from its `hello` to its end. Before a node is enrolled it has no member.
pub struct IndexSession {
    pub(crate) number: u64,
    pub(crate) connection: quinn::Connection,
    pub(crate) node: NodeId,
    pub(crate) instance: InstanceId,
    pub(crate) since: UnixMillis,
    /// From where it was seen, if that can be dialled.
    pub(crate) observed: Option<Address>,
    pub(crate) claimed: Vec<Address>,
    verified: Mutex<BTreeSet<Address>>,
    member: Mutex<Option<Member>>,
}

/// Whose node it is, by a membership that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The account.
    pub account: AccountId,
    /// The account's user name.
    pub user: UserName,
    /// The membership's serial.
    pub serial: u64,
    /// When the membership ends, by the index's clock.
    pub not_after: UnixMillis,
    pub(crate) account_row: AccountRow,
    pub(crate) node_row: NodeRow,
}

/// What a session is made from.
pub(crate) struct NewSession {
    pub(crate) number: u64,
    pub(crate) connection: quinn::Connection,
    pub(crate) node: NodeId,
    pub(crate) instance: InstanceId,
    pub(crate) since: UnixMillis,
    pub(crate) claimed: Vec<Address>,
}

impl IndexSession {
    pub(crate) fn new(new: NewSession) -> Self {
        Self {
            number: new.number,
            observed: Address::new(new.connection.remote_address()),
            connection: new.connection,
            node: new.node,
            instance: new.instance,
            since: new.since,
            claimed: new.claimed,
            verified: Mutex::default(),
            member: Mutex::default(),
        }
    }

    /// The node at the other end.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Whose node it is; `None` until it is enrolled, and after it logged out.
    pub fn member(&self) -> Option<Member> {
        lock(&self.member).clone()
    }

    /// The address that the node was seen from, if it can be dialled.
    pub fn observed(&self) -> Option<Address> {
        self.observed
    }

    /// Only presence changes it, which keeps its own tables in step.
    pub(crate) fn set_member(&self, member: Option<Member>) -> Option<Member> {
        std::mem::replace(&mut *lock(&self.member), member)
    }

    pub(crate) fn is_on_loopback(&self) -> bool {
        self.connection.remote_address().ip().to_canonical().is_loopback()
    }

    pub(crate) fn verified(&self) -> BTreeSet<Address> {
        lock(&self.verified).clone()
    }

    pub(crate) fn add_verified(&self, address: Address) {
        lock(&self.verified).insert(address);
    }
}

impl fmt::Debug for IndexSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexSession")
            .field("number", &self.number)
            .field("node", &self.node)
            .field("member", &self.member())
            .finish_non_exhaustive()
    }
}
