//! What a replica knows of nodes, in memory: what two nodes compare, who is there, and whose membership has ended.
//!
//! Invariant: it says what the database says; it is changed once that has.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use certs::{AccountId, Membership, NodeId, UnixMillis, UserName};
use wire::catalogue::{HEAD_VALIDITY_MS, Revoked};
use wire::message::{Address, Have, Known as KnownOnWire, OnlineNode, OnlineUser, known_digest};
use wire::{Digest, MembersRank, PRESENCE_VALIDITY_MS, VerifiedMembers};

use crate::registry::{NodeRow, Word};

/// Nodes on a page of `who`, whatever the limit on users: with addresses they stay under a frame.
const PAGE_NODES: usize = 4096;

/// A node that a replica knows of, for whoever looks for neighbours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownNode {
    /// The node.
    pub node: NodeId,
    /// Its user.
    pub user: UserName,
    /// Its account.
    pub account: AccountId,
    /// Where it last said that it is; at most 8.
    pub addresses: Vec<Address>,
    /// When it said so; `None` if it never did.
    pub said: Option<UnixMillis>,
    /// Whether that word still holds, and names an address.
    pub online: bool,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Known {
    nodes: BTreeMap<NodeId, Node>,
    rows: HashMap<NodeRow, NodeId>,
    revoked: HashMap<NodeId, (u64, UnixMillis)>,
    members: Option<KnownMembers>,
    /// The hashes of the words of presence that came since this was opened, the last of each node that is known.
    words: HashMap<NodeId, Digest>,
    /// When all of this was last found to be the same as another node's.
    pub(crate) compared: UnixMillis,
}

/// What is known of one node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) row: NodeRow,
    pub(crate) account: AccountId,
    pub(crate) user: UserName,
    /// Of the newest membership that it showed; 0 where it showed none here.
    pub(crate) serial: u64,
    pub(crate) not_after: UnixMillis,
    pub(crate) head: Option<KnownHead>,
    pub(crate) word: Option<Word>,
}

/// The head of a node's catalogue that is here with its trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KnownHead {
    pub(crate) seq: u64,
    pub(crate) hash: Digest,
    pub(crate) time: UnixMillis,
}

/// The list of members that is here with its trees.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownMembers {
    pub(crate) rank: MembersRank,
    pub(crate) hash: Digest,
    pub(crate) time: UnixMillis,
}

/// Whether a word of presence holds still.
fn holds(word: &Word, now: UnixMillis) -> bool {
    now <= word.time.plus(PRESENCE_VALIDITY_MS)
}

impl KnownMembers {
    pub(crate) fn of(verified: &VerifiedMembers) -> Self {
        let hash = Digest::from_bytes(*verified.head.hash());
        Self { rank: verified.rank(), hash, time: verified.head.time }
    }
}

impl Node {
    fn on_wire(&self, node: NodeId, now: UnixMillis) -> Option<KnownOnWire> {
        let head = self.head.filter(|head| now <= head.time.plus(HEAD_VALIDITY_MS));
        let word = self.word.as_ref().filter(|word| holds(word, now));
        let known = KnownOnWire {
            node,
            seq: head.map_or(0, |head| head.seq),
            head: head.map(|head| head.hash),
            presence: word.map_or(UnixMillis(0), |word| word.time),
        };
        (head.is_some() || word.is_some()).then_some(known)
    }

    /// Whether a membership that it showed here holds now.
    pub(crate) fn is_member(&self, now: UnixMillis, index_seen: UnixMillis) -> bool {
        self.serial > 0 && !Membership::is_over(self.not_after, now, index_seen)
    }
}

impl Known {
    /// The node with this id.
    pub(crate) fn node(&self, node: &NodeId) -> Option<&Node> {
        self.nodes.get(node)
    }

    /// The node in this row.
    pub(crate) fn of_row(&self, row: NodeRow) -> Option<(&NodeId, &Node)> {
        self.nodes.get_key_value(self.rows.get(&row)?)
    }

    /// How many catalogues are here that still count.
    pub(crate) fn catalogues(&self, now: UnixMillis) -> usize {
        let counts = |node: &&Node| node.head.is_some_and(|head| now <= head.time.plus(HEAD_VALIDITY_MS));
        self.nodes.values().filter(counts).count()
    }

    /// Whether another node than this one is known.
    pub(crate) fn knows_others_than(&self, own: &NodeId) -> bool {
        self.nodes.keys().any(|node| node != own)
    }

    /// How many nodes are known.
    pub(crate) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// How many are there.
    pub(crate) fn online_count(&self, now: UnixMillis) -> usize {
        self.nodes.values().filter(|node| node.is_online(now)).count()
    }

    /// Enters a node, or what it shows anew; what is known of it otherwise stays.
    pub(crate) fn enter(&mut self, id: NodeId, entered: Node) -> &mut Node {
        self.rows.insert(entered.row, id);
        let node = self.nodes.entry(id).or_insert_with(|| entered.clone());
        if (entered.serial, entered.not_after) >= (node.serial, node.not_after) {
            let (head, word) = (node.head, node.word.take());
            *node = Node { head: entered.head.or(head), word: entered.word.or(word), ..entered };
        }
        node
    }

    /// Notes the head whose trees are here now.
    pub(crate) fn set_head(&mut self, node: &NodeId, head: KnownHead) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.head = Some(head);
        }
    }

    /// Forgets heads; the rows of their nodes.
    pub(crate) fn drop_heads(
        &mut self,
        is_over: impl Fn(&Self, &NodeId, &Node, &KnownHead) -> bool,
    ) -> Vec<NodeRow> {
        let over = |(id, node): (&NodeId, &Node)| {
            node.head.as_ref().is_some_and(|head| is_over(self, id, node, head)).then_some((*id, node.row))
        };
        let over: Vec<_> = self.nodes.iter().filter_map(over).collect();
        for (id, _) in &over {
            if let Some(node) = self.nodes.get_mut(id) {
                node.head = None;
            }
        }
        over.into_iter().map(|(_, row)| row).collect()
    }

    /// Notes a word, unless a later one is known.
    pub(crate) fn set_word(&mut self, node: &NodeId, word: Word) {
        if let Some(node) = self.nodes.get_mut(node)
            && node.word.as_ref().is_none_or(|known| known.time < word.time)
        {
            node.word = Some(word);
        }
    }

    /// The same of a word that came as these bytes.
    pub(crate) fn take_word(&mut self, node: &NodeId, word: Word, bytes: &[u8]) {
        self.words.insert(*node, Digest::of(bytes));
        self.set_word(node, word);
    }

    /// Whether these very bytes are the last word of a node that came.
    pub(crate) fn has_word(&self, node: &NodeId, bytes: &[u8]) -> bool {
        let counts = self.nodes.get(node).is_some_and(|known| known.word.is_some());
        counts && self.words.get(node).is_some_and(|known| *known == Digest::of(bytes))
    }

    /// The list of members.
    pub(crate) fn members(&self) -> Option<&KnownMembers> {
        self.members.as_ref()
    }

    /// Notes the list of members that is here now, and the memberships that have ended by it.
    pub(crate) fn set_members(&mut self, members: KnownMembers, revoked: Vec<Revoked>) {
        self.members = Some(members);
        self.revoked = revoked.into_iter().map(|one| (one.node, (one.serial, one.since))).collect();
        for (id, node) in &mut self.nodes {
            let over = self.revoked.get(id).is_some_and(|(highest, _)| node.serial <= *highest);
            node.word = node.word.take().filter(|_| !over);
        }
    }

    /// The newest time of a word of the index; 0 if there is none.
    pub(crate) fn index_seen(&self) -> UnixMillis {
        self.members.map_or(UnixMillis(0), |members| members.time)
    }

    /// Since when a node's membership with this serial is ended before its time, if it is.
    pub(crate) fn revoked(&self, node: &NodeId, serial: u64) -> Option<UnixMillis> {
        self.revoked.get(node).filter(|(highest, _)| serial <= *highest).map(|(_, since)| *since)
    }

    /// What is known of the nodes in a range.
    pub(crate) fn range(
        &self,
        after: Option<NodeId>,
        up_to: Option<NodeId>,
        now: UnixMillis,
    ) -> impl Iterator<Item = KnownOnWire> {
        use std::ops::Bound;
        // A range that ends before it begins has nothing in it, and would panic.
        let empty = matches!((after, up_to), (Some(after), Some(up_to)) if after >= up_to);
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let end = up_to.map_or(Bound::Unbounded, Bound::Included);
        let range = (!empty).then(|| self.nodes.range((start, end)));
        range.into_iter().flatten().filter_map(move |(id, node)| node.on_wire(*id, now))
    }

    /// Over all that is known.
    pub(crate) fn digest(&self, now: UnixMillis) -> Digest {
        known_digest(self.range(None, None, now))
    }

    /// What is known of the first nodes after this one, at most so many; the range is open where there are no more.
    pub(crate) fn have(&self, after: Option<NodeId>, most: usize, now: UnixMillis) -> Have {
        let mut range = self.range(after, None, now);
        let known: Vec<_> = range.by_ref().take(most).collect();
        let more = range.next().is_some();
        let up_to = known.last().filter(|_| more).map(|last| last.node);
        Have { after, up_to, known }
    }

    /// The rows of the nodes that are there.
    pub(crate) fn online(&self, now: UnixMillis) -> Arc<HashSet<NodeRow>> {
        let there = self.nodes.values().filter(|node| node.is_online(now));
        Arc::new(there.map(|node| node.row).collect())
    }

    /// The users after this one that are there, and whether more follow.
    pub(crate) fn who(
        &self,
        after: Option<&UserName>,
        limit: usize,
        now: UnixMillis,
    ) -> (Vec<OnlineUser>, bool) {
        let mut users: BTreeMap<&UserName, Vec<OnlineNode>> = BTreeMap::new();
        for (id, node) in self.nodes.iter().filter(|(_, node)| node.is_online(now)) {
            if after.is_none_or(|after| node.user > *after)
                && let Some(word) = &node.word
            {
                let address = word.addresses.first().copied();
                let there = OnlineNode { node: *id, address, since: word.since };
                users.entry(&node.user).or_default().push(there);
            }
        }
        let (mut page, mut nodes_shown) = (Vec::new(), 0);
        for (user, mut nodes) in users {
            if page.len() >= limit || nodes_shown >= PAGE_NODES {
                return (page, true);
            }
            nodes.truncate(wire::limits::NODES_PER_ACCOUNT);
            nodes_shown += nodes.len();
            page.push(OnlineUser { user: user.clone(), nodes });
        }
        (page, false)
    }

    /// All nodes, for whoever looks for neighbours.
    pub(crate) fn all(&self, now: UnixMillis) -> Vec<KnownNode> {
        let one = |(id, node): (&NodeId, &Node)| KnownNode {
            node: *id,
            user: node.user.clone(),
            account: node.account,
            addresses: node.word.as_ref().map(|word| word.addresses.clone()).unwrap_or_default(),
            said: node.word.as_ref().map(|word| word.time),
            online: node.is_online(now),
        };
        self.nodes.iter().map(one).collect()
    }
}

impl Node {
    pub(crate) fn is_online(&self, now: UnixMillis) -> bool {
        self.word.as_ref().is_some_and(|word| holds(word, now) && !word.addresses.is_empty())
    }
}
