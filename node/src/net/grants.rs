//! What the far ends of sessions may fetch, and who else may fetch the same.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use certs::NodeId;
use wire::{ContentHash, RecordHash};

/// Grants that one connection holds; the oldest goes first, and a P brings it back.
const MAX_GRANTS: usize = 1024;

/// The nodes that may fetch a content now, by content. Cheap to clone; clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Receivers(Arc<Mutex<ByContent>>);

/// How many grants each node has of each content: over several connections, or under several records.
type ByContent = HashMap<ContentHash, HashMap<NodeId, usize>>;

/// What the far end of one session may fetch, and under which record.
#[derive(Debug, Default)]
pub(super) struct Grants(Mutex<VecDeque<(RecordHash, Receiver)>>);

/// A node is among the [`Receivers`] until this is dropped.
#[derive(Debug)]
struct Receiver {
    all: Receivers,
    content: ContentHash,
    node: NodeId,
}

impl Receivers {
    /// Whether anybody but this node may fetch a content.
    pub(crate) fn has_others(&self, content: &ContentHash, than: &NodeId) -> bool {
        let all = self.all();
        all.get(content).is_some_and(|nodes| nodes.len() > usize::from(nodes.contains_key(than)))
    }

    fn enter(&self, content: ContentHash, node: NodeId) -> Receiver {
        *self.all().entry(content).or_default().entry(node).or_default() += 1;
        Receiver { all: self.clone(), content, node }
    }

    fn all(&self) -> MutexGuard<'_, ByContent> {
        self.0.lock().expect("no panic while it is held")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut all = self.all.all();
        let Some(nodes) = all.get_mut(&self.content) else { return };
        if let Some(grants) = nodes.get_mut(&self.node) {
            *grants -= 1;
            if *grants == 0 {
                nodes.remove(&self.node);
            }
        }
        if nodes.is_empty() {
            all.remove(&self.content);
        }
    }
}

impl Grants {
    /// One more, unless there is one under this record.
    pub(super) fn add(
        &self,
        receivers: &Receivers,
        node: NodeId,
        (record, content): (RecordHash, ContentHash),
    ) {
        let mut grants = self.grants();
        if grants.iter().any(|(known, _)| *known == record) {
            return;
        }
        if grants.len() == MAX_GRANTS {
            grants.pop_front();
        }
        grants.push_back((record, receivers.enter(content, node)));
    }

    /// The content that may be fetched under a record.
    pub(super) fn find(&self, record: &RecordHash) -> Option<ContentHash> {
        self.grants().iter().find(|(known, _)| known == record).map(|(_, receiver)| receiver.content)
    }

    /// Ends all.
    pub(super) fn clear(&self) {
        self.grants().clear();
    }

    fn grants(&self) -> MutexGuard<'_, VecDeque<(RecordHash, Receiver)>> {
        self.0.lock().expect("no panic while it is held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(seed: u8) -> NodeId {
        certs::SecretKey::from_seed([seed; 32]).public()
    }

    fn content(of: &[u8]) -> ContentHash {
        ContentHash::of(of)
    }

    fn record(number: usize) -> RecordHash {
        RecordHash::from_bytes(certs::hash_of(&number.to_be_bytes()))
    }

    #[test]
    fn others_are_those_on_whichever_connection_and_under_whichever_record() {
        let (receivers, film, alice, bob) = (Receivers::default(), content(b"film"), node(1), node(2));
        let (first, second, third) = (Grants::default(), Grants::default(), Grants::default());
        let others = |of| receivers.has_others(&film, &of);
        first.add(&receivers, alice, (record(1), film));
        second.add(&receivers, alice, (record(2), film));
        assert_eq!((others(alice), others(bob)), (false, true), "one with two connections is no other");
        third.add(&receivers, bob, (record(1), film));
        third.add(&receivers, bob, (record(1), film));
        assert!(others(alice) && others(bob));
        assert!(!receivers.has_others(&content(b"song"), &alice));
        drop(first);
        assert!(others(bob), "the second connection has it, too");
        second.clear();
        assert_eq!((others(alice), others(bob)), (true, false));
        drop(third);
        assert!(receivers.all().is_empty(), "what nobody may fetch is not kept");
    }

    #[test]
    fn the_oldest_grant_makes_room_for_others_too() {
        let (receivers, grants, alice) = (Receivers::default(), Grants::default(), node(1));
        for number in 0..=MAX_GRANTS {
            grants.add(&receivers, alice, (record(number), content(&number.to_be_bytes())));
        }
        let (oldest, next) = (content(&0_usize.to_be_bytes()), content(&1_usize.to_be_bytes()));
        assert_eq!((grants.find(&record(0)), grants.find(&record(1))), (None, Some(next)));
        assert!(!receivers.has_others(&oldest, &node(2)) && receivers.has_others(&next, &node(2)));
        assert_eq!(receivers.all().len(), MAX_GRANTS);
    }
}
