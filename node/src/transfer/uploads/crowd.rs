//! Who gets a new version at first hand when many want it at once: pure, the time is an argument.
//!
//! A new version is told to all of its subscribers at the same moment, and what changed is often less than one request. If
//! all were answered, its owner would send it as often as it has subscribers, before any of them could help. So a few are,
//! and the others are told to come back: by then those few have it, and the index names them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use certs::NodeId;
use wire::{ContentHash, ErrorBody, ErrorCode};

/// A version is new for so long; after that, whoever asks is answered.
const NEW: Duration = Duration::from_secs(60);
/// So many nodes get a content at first hand while it is new. Each of them can do the same for as many, so that 700 have it
/// in the third turn.
const FIRST_HAND: usize = 8;
/// Who has waited for so long is answered, whoever else was: those few may not be reached, or give nothing.
const PATIENCE: Duration = Duration::from_secs(3);
/// Who is to wait comes back after this: longer than a small update takes.
const RETRY_AFTER_MS: u64 = 500;
/// New contents at once. Others are given to whoever asks.
const CONTENTS: usize = 1024;
/// Nodes that get, and that wait for, one content. Further ones are answered.
const NODES: usize = 4096;

/// Who gets what, and who waits. A node is in one of the two for a content at most.
#[derive(Debug, Default)]
pub(super) struct Crowd(HashMap<ContentHash, Wanted>);

#[derive(Debug)]
struct Wanted {
    /// Since when it is new.
    since: Instant,
    /// Who gets it, or has got it.
    given: HashSet<NodeId>,
    /// Since when each waits.
    waiting: HashMap<NodeId, Instant>,
}

impl Crowd {
    /// A content is that of a new version, of which all who have the one before were just told.
    pub(super) fn is_new(&mut self, now: Instant, content: ContentHash) {
        if self.0.contains_key(&content) {
            return;
        }
        self.0.retain(|_, wanted| now.saturating_duration_since(wanted.since) < NEW);
        if self.0.len() < CONTENTS {
            self.0.insert(content, Wanted { since: now, given: HashSet::new(), waiting: HashMap::new() });
        }
    }

    /// Whether this node is answered now. O(1).
    ///
    /// # Errors
    /// `busy`, for [`PATIENCE`] in all.
    pub(super) fn admit(&mut self, now: Instant, content: ContentHash, to: NodeId) -> Result<(), ErrorBody> {
        let Some(wanted) = self.0.get_mut(&content) else { return Ok(()) };
        if now.saturating_duration_since(wanted.since) >= NEW || wanted.admit(now, to) {
            return Ok(());
        }
        let body = ErrorBody::new(ErrorCode::Busy, "others get it now, and can give it to you soon");
        Err(body.retry_after(RETRY_AFTER_MS))
    }
}

impl Wanted {
    fn admit(&mut self, now: Instant, to: NodeId) -> bool {
        if self.given.contains(&to) || self.given.len() >= NODES {
            return true;
        }
        let waits = self.waiting.get(&to).map(|since| now.saturating_duration_since(*since));
        let crowded = self.given.len() >= FIRST_HAND && self.waiting.len() < NODES;
        if crowded && waits.is_none_or(|waits| waits < PATIENCE) {
            self.waiting.entry(to).or_insert(now);
            return false;
        }
        self.waiting.remove(&to);
        self.given.insert(to);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn nodes(count: usize) -> Vec<NodeId> {
        (0..count).map(|_| certs::SecretKey::generate().expect("randomness").public()).collect()
    }

    #[test]
    fn a_few_get_it_and_go_on_and_the_others_wait_for_a_while() {
        let (mut crowd, content, began) = (Crowd::default(), ContentHash::of(b"new"), clock::monotonic());
        crowd.is_new(began, content);
        let nodes = nodes(FIRST_HAND + 2);
        let (few, others) = nodes.split_at(FIRST_HAND);
        for &node in few.iter().chain(few) {
            crowd.admit(began, content, node).expect("one of the few");
        }
        let refused = crowd.admit(began, content, others[0]).expect_err("it is to wait");
        assert_eq!((refused.code, refused.retry_after_ms), (ErrorCode::Busy, Some(RETRY_AFTER_MS)));
        let later = began + PATIENCE - Duration::from_millis(1);
        assert!(crowd.admit(later, content, others[0]).is_err());
        assert!(crowd.admit(later, content, others[1]).is_err());
        crowd.admit(began + PATIENCE, content, others[0]).expect("it has waited");
        assert!(crowd.admit(began + PATIENCE, content, others[1]).is_err(), "it has not");
        crowd.admit(began + PATIENCE, content, few[0]).expect("it goes on");
    }

    #[test]
    fn it_is_bounded() {
        let (mut crowd, began) = (Crowd::default(), clock::monotonic());
        let content = |number: usize| ContentHash::of(&number.to_le_bytes());
        for number in 0..CONTENTS + 10 {
            crowd.is_new(began, content(number));
        }
        assert_eq!(crowd.0.len(), CONTENTS);
        crowd.is_new(began + NEW, content(CONTENTS));
        assert_eq!(crowd.0.len(), 1);
    }

    #[test]
    fn what_is_not_new_is_given_to_all() {
        let (mut crowd, content, began) = (Crowd::default(), ContentHash::of(b"new"), clock::monotonic());
        let nodes = nodes(2 * FIRST_HAND);
        nodes.iter().for_each(|node| crowd.admit(began, content, *node).expect("it is not new"));
        crowd.is_new(began, content);
        let refused = nodes.iter().filter(|node| crowd.admit(began, content, **node).is_err());
        assert_eq!(refused.count(), FIRST_HAND);
        nodes.iter().for_each(|node| crowd.admit(began + NEW, content, *node).expect("it is new no more"));
    }
}
