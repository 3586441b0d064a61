//! Who may upload now, and who is next: pure, the time is an argument.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use certs::NodeId;
use wire::{ErrorBody, ErrorCode};

use crate::options::UploadSlots;

/// Uploads at once to one node: five times what a requester like this one opens, and of 256 places 16 nodes that take all
/// they can are needed to leave nothing for the others.
pub(super) const PER_NODE: usize = 16;
/// Who finds no place comes back after this: about as long as a request takes.
pub(super) const RETRY_AFTER_MS: u64 = 1000;
/// The same for those that are next, so that their place does not stay empty for long.
pub(super) const SOON_RETRY_AFTER_MS: u64 = 250;
/// This part of as many as there are places is next, and at least one.
const SOON_PART: usize = 8;
/// Who has not come back for so long has lost its turn: a few times [`RETRY_AFTER_MS`].
pub(super) const KEPT: Duration = Duration::from_millis(4 * RETRY_AFTER_MS);
/// Nodes in the queue: four for each of the default's places. Further ones come back, too, but without a turn.
pub(super) const QUEUE: usize = 1024;

/// How many uploads run, to whom, and which nodes wait.
///
/// *Invariants*: no more than [`PER_NODE`] run to one node, and none begins while as many as there are slots run, those left
/// aside that wait and have lent their places, which are no more than there are slots. A node
/// is in the queue once, and only while nothing runs to it. Of the free places as many as there are go to the first in
/// the queue, whoever asks before them. Nodes without an upload are not kept.
#[derive(Debug, Default)]
pub(super) struct Places {
    slots: UploadSlots,
    /// Without those that are lent; for a while it may be more than there are slots, when they are taken back.
    taken: usize,
    lent: usize,
    by_node: HashMap<NodeId, usize>,
    /// Who has waited longest comes first.
    queue: VecDeque<Waiting>,
}

/// A node that found no place.
#[derive(Debug)]
struct Waiting {
    node: NodeId,
    /// When it asked last.
    seen: Instant,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// As many as one node may have run to it, or one where the others are for those that have none.
    OfNode,
    /// It is in the queue: at this place, from 1 upwards.
    Queued {
        place: usize,
        /// Whether it may have its turn any moment.
        soon: bool,
    },
    /// The queue is full, too.
    QueueFull,
}

impl Places {
    pub(super) fn new(slots: UploadSlots) -> Self {
        Self { slots, ..Self::default() }
    }

    /// Takes a place, if there is one that is kept for nobody else; otherwise the node is in the queue now. O(queue).
    pub(super) fn take(&mut self, now: Instant, to: NodeId) -> Result<(), NoPlace> {
        let of_node = self.by_node.get(&to).copied().unwrap_or(0);
        if of_node >= PER_NODE {
            return Err(NoPlace::OfNode);
        }
        self.queue.retain(|one| one.node == to || now.saturating_duration_since(one.seen) <= KEPT);
        let known = self.queue.iter().position(|one| one.node == to);
        // One that lost its turn begins anew at the end.
        let lost = known.filter(|&at| now.saturating_duration_since(self.queue[at].seen) > KEPT);
        let known = match lost {
            Some(at) => self.queue.remove(at).and(None),
            None => known,
        };
        let ahead = known.unwrap_or(self.queue.len());
        let free = self.slots.get().saturating_sub(self.taken);
        if ahead < free {
            known.map(|at| self.queue.remove(at));
            self.taken += 1;
            self.by_node.insert(to, of_node + 1);
            return Ok(());
        }
        if of_node > 0 {
            return Err(NoPlace::OfNode);
        }
        match known {
            Some(at) => self.queue[at].seen = now,
            None if self.queue.len() >= QUEUE => return Err(NoPlace::QueueFull),
            None => self.queue.push_back(Waiting { node: to, seen: now }),
        }
        let soon = ahead < (self.slots.get() / SOON_PART).max(1);
        Err(NoPlace::Queued { place: ahead + 1, soon })
    }

    /// Gives a place back.
    pub(super) fn free(&mut self, to: NodeId) {
        let Some(of_node) = self.by_node.get_mut(&to) else { return };
        self.taken -= 1;
        *of_node -= 1;
        if *of_node == 0 {
            self.by_node.remove(&to);
        }
    }

    /// Lends the place of an upload that waits to others; whether it is lent. To be taken back before it is freed.
    pub(super) fn lend(&mut self) -> bool {
        let lends = self.lent < self.slots.get();
        if lends {
            self.lent += 1;
            self.taken -= 1;
        }
        lends
    }

    /// An upload whose place is lent goes on, or ends. Whoever has the place keeps it.
    pub(super) fn take_back(&mut self) {
        self.lent -= 1;
        self.taken += 1;
    }

    /// Goes over to another number of places. Uploads that run go on, though they may be more for a while.
    pub(super) fn set_slots(&mut self, slots: UploadSlots) {
        self.slots = slots;
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.taken == 0 && self.lent == 0 && self.by_node.is_empty()
    }
}

impl From<NoPlace> for ErrorBody {
    fn from(why: NoPlace) -> Self {
        let busy = |text: &str| Self::new(ErrorCode::Busy, text);
        match why {
            NoPlace::OfNode => {
                busy("there is no place for one more upload to this node").retry_after(RETRY_AFTER_MS)
            }
            NoPlace::QueueFull => busy("all places for uploads are taken").retry_after(RETRY_AFTER_MS),
            NoPlace::Queued { place, soon } => busy("all places for uploads are taken")
                .retry_after(if soon { SOON_RETRY_AFTER_MS } else { RETRY_AFTER_MS })
                .queue_place(place as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn nodes(count: usize) -> Vec<NodeId> {
        let seed = |number: usize| {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
            seed
        };
        (0..count).map(|number| certs::SecretKey::from_seed(seed(number)).public()).collect()
    }

    fn of(slots: i64) -> Places {
        Places::new(slots.try_into().expect("within the bounds"))
    }

    fn queued(place: usize, soon: bool) -> Result<(), NoPlace> {
        Err(NoPlace::Queued { place, soon })
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn one_node_gets_so_many_places_and_no_more() {
        let (mut places, now, nodes) = (of(256), clock::monotonic(), nodes(2));
        for _ in 0..PER_NODE {
            assert_eq!(places.take(now, nodes[0]), Ok(()));
        }
        assert_eq!(places.take(now, nodes[0]), Err(NoPlace::OfNode));
        assert_eq!(places.take(now, nodes[1]), Ok(()), "there are places for others");
        assert!(places.queue.is_empty());
        for to in [nodes[0]; PER_NODE].into_iter().chain([nodes[1]]) {
            assert!(!places.is_idle());
            places.free(to);
        }
        assert!(places.is_idle(), "nobody is remembered");
    }

    #[test]
    fn who_has_waited_longest_is_next_whoever_asks_first() {
        let (mut places, now, nodes) = (of(1), clock::monotonic(), nodes(5));
        assert_eq!(places.take(now, nodes[0]), Ok(()));
        assert_eq!(places.take(now, nodes[1]), queued(1, true));
        assert_eq!(places.take(now, nodes[2]), queued(2, false));
        assert_eq!(places.take(now + ms(500), nodes[1]), queued(1, true), "asking again changes nothing");
        places.free(nodes[0]);
        assert_eq!(places.take(now + ms(600), nodes[3]), queued(3, false), "the place is kept for the first");
        assert_eq!(places.take(now + ms(700), nodes[2]), queued(2, false));
        assert_eq!(places.take(now + ms(800), nodes[1]), Ok(()));
        places.free(nodes[1]);
        assert_eq!(places.take(now + ms(900), nodes[1]), queued(3, false), "then it is the last again");
        assert_eq!(places.take(now + ms(1000), nodes[2]), Ok(()));
    }

    #[test]
    fn who_has_a_place_is_not_in_the_queue_for_another() {
        let (mut places, now, nodes) = (of(2), clock::monotonic(), nodes(3));
        assert_eq!([nodes[0], nodes[0]].map(|node| places.take(now, node)), [Ok(()); 2]);
        assert_eq!(places.take(now, nodes[0]), Err(NoPlace::OfNode));
        assert_eq!(places.take(now, nodes[1]), queued(1, true));
        places.free(nodes[0]);
        assert_eq!(
            places.take(now, nodes[0]),
            Err(NoPlace::OfNode),
            "the place is kept for one that has none"
        );
        assert_eq!(places.take(now, nodes[1]), Ok(()));
        places.free(nodes[0]);
        assert_eq!(places.take(now, nodes[1]), Ok(()), "with nobody waiting it may have two");
    }

    #[test]
    fn who_waits_lends_its_place_and_no_more_are_lent_than_there_are() {
        let (mut places, now, nodes) = (of(1), clock::monotonic(), nodes(3));
        assert_eq!(places.take(now, nodes[0]), Ok(()));
        assert!(places.lend());
        assert_eq!(places.take(now, nodes[1]), Ok(()));
        assert!(!places.lend(), "one is lent already");
        assert_eq!(places.take(now, nodes[2]), queued(1, true));
        places.take_back();
        places.free(nodes[1]);
        assert_eq!(places.take(now, nodes[2]), queued(1, true), "the first one goes on");
        places.free(nodes[0]);
        assert_eq!(places.take(now, nodes[2]), Ok(()));
        places.free(nodes[2]);
        assert!(places.is_idle());
    }

    #[test]
    fn several_free_places_are_kept_for_as_many() {
        let (mut places, now, nodes) = (of(2), clock::monotonic(), nodes(6));
        assert_eq!(nodes[..2].iter().map(|&node| places.take(now, node)).collect::<Vec<_>>(), [Ok(()); 2]);
        for (place, &node) in nodes[2..5].iter().enumerate() {
            assert_eq!(places.take(now, node), queued(place + 1, place == 0));
        }
        places.free(nodes[0]);
        places.free(nodes[1]);
        assert_eq!(places.take(now, nodes[5]), queued(4, false));
        assert_eq!(places.take(now, nodes[3]), Ok(()), "the second need not wait for the first");
        assert_eq!(places.take(now, nodes[4]), queued(2, false));
        assert_eq!(places.take(now, nodes[2]), Ok(()));
    }

    #[test]
    fn who_does_not_come_back_loses_its_turn() {
        let (mut places, now, nodes) = (of(1), clock::monotonic(), nodes(3));
        assert_eq!(places.take(now, nodes[0]), Ok(()));
        assert_eq!(places.take(now, nodes[1]), queued(1, true));
        assert_eq!(places.take(now + KEPT, nodes[2]), queued(2, false), "it is in time until then");
        places.free(nodes[0]);
        assert_eq!(places.take(now + KEPT + ms(1), nodes[1]), queued(2, false), "it begins anew");
        assert_eq!(places.take(now + KEPT + ms(2), nodes[2]), Ok(()));
        places.free(nodes[2]);
        let later = now + KEPT * 3;
        assert_eq!(places.take(later, nodes[0]), Ok(()), "nothing is kept for those that are gone");
        assert!(places.queue.is_empty());
    }

    #[test]
    fn the_queue_has_a_bound() {
        let (mut places, now, nodes) = (of(1), clock::monotonic(), nodes(QUEUE + 2));
        assert_eq!(places.take(now, nodes[0]), Ok(()));
        for (place, &node) in nodes[1..=QUEUE].iter().enumerate() {
            assert_eq!(places.take(now, node), queued(place + 1, place == 0));
        }
        assert_eq!(places.take(now, nodes[QUEUE + 1]), Err(NoPlace::QueueFull));
        assert_eq!(places.take(now + ms(1), nodes[QUEUE]), queued(QUEUE, false), "who is in stays in");
        assert_eq!(places.queue.len(), QUEUE);
    }

    #[test]
    fn fewer_slots_hold_for_new_uploads_alone() {
        let (mut places, now, nodes) = (of(3), clock::monotonic(), nodes(4));
        for &node in &nodes[..3] {
            assert_eq!(places.take(now, node), Ok(()));
        }
        places.set_slots(UploadSlots::try_from(1).expect("within the bounds"));
        assert_eq!(places.take(now, nodes[3]), queued(1, true));
        places.free(nodes[0]);
        places.free(nodes[1]);
        assert_eq!(places.take(now, nodes[3]), queued(1, true), "one still runs");
        places.free(nodes[2]);
        assert_eq!(places.take(now, nodes[3]), Ok(()));
    }

    #[test]
    fn the_answer_says_when_to_come_back_and_the_place() {
        let body = |why: NoPlace| {
            let body = ErrorBody::from(why);
            assert_eq!(body.code, ErrorCode::Busy);
            (body.retry_after_ms, body.queue_place)
        };
        assert_eq!(body(NoPlace::OfNode), (Some(RETRY_AFTER_MS), None));
        assert_eq!(body(NoPlace::QueueFull), (Some(RETRY_AFTER_MS), None));
        assert_eq!(body(NoPlace::Queued { place: 3, soon: false }), (Some(RETRY_AFTER_MS), Some(3)));
        assert_eq!(body(NoPlace::Queued { place: 1, soon: true }), (Some(SOON_RETRY_AFTER_MS), Some(1)));
    }
}
