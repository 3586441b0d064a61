//! How many connections there may be, in all and with one node, and which of them end to make room. libp2p's swarm has no bound of
//! its own.
//!
//! A connection stays long after its last request ([`DhtConfig::idle_timeout`](super::DhtConfig)): the nodes nearest to what this
//! node puts are the same each time, and to connect anew costs some 6 KB both ways and four signatures, a request with its answer
//! 2 KB. So that no more stay than are worth it, a new one ends the one that was unused longest.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use certs::NodeId;
use libp2p_core::StreamMuxer;
use libp2p_core::muxing::StreamMuxerEvent;

use super::ending::Ending;
use super::validate::Clock;

/// Connections with one node, dials included: one each way, and as many again while old ones end.
const PER_NODE: usize = 4;

/// A connection that was used within this time has its place: several requests with their answers.
const IN_USE: Duration = Duration::from_secs(60);

/// How many places there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Most {
    /// In all, dials included.
    pub(super) all: usize,
    /// With more than these, a new one ends the one that was unused longest.
    pub(super) kept: usize,
}

/// The places, and who has them.
pub(super) struct Places {
    most: Most,
    clock: Arc<dyn Clock>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    by_node: HashMap<NodeId, usize>,
    by_number: HashMap<u64, Used>,
    next: u64,
}

/// When a connection was used last.
struct Used {
    last: Instant,
    ending: Arc<Ending>,
}

impl Places {
    pub(super) fn new(most: Most, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { most, clock, taken: Mutex::default() })
    }

    /// A place for a connection with a node, which ends when it is dropped.
    ///
    /// # Errors
    /// Where there are as many as there may be.
    pub(super) fn take(places: &Arc<Self>, node: NodeId) -> io::Result<Place> {
        let (mut taken, now) = (places.taken(), places.clock.monotonic());
        let of_node = taken.by_node.get(&node).copied().unwrap_or(0);
        let refused = || Err(io::Error::new(io::ErrorKind::ConnectionRefused, "too many connections"));
        if of_node >= PER_NODE {
            return refused();
        }
        if taken.by_number.len() >= places.most.kept {
            taken.end_one(now);
        }
        // The next one finds the room that was made.
        if taken.by_number.len() >= places.most.all {
            return refused();
        }
        taken.by_node.insert(node, of_node + 1);
        let (number, ending) = (taken.next, Arc::new(Ending::default()));
        taken.next += 1;
        taken.by_number.insert(number, Used { last: now, ending: ending.clone() });
        Ok(Place { places: places.clone(), node, number, ending })
    }

    fn leave(&self, node: &NodeId, number: u64) {
        let mut taken = self.taken();
        taken.by_number.remove(&number);
        if let Some(of_node) = taken.by_node.get_mut(node) {
            *of_node -= 1;
            if *of_node == 0 {
                taken.by_node.remove(node);
            }
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Ends the connection that was unused longest, unless all are in use.
    fn end_one(&mut self, now: Instant) {
        let unused =
            |used: &&Used| now.saturating_duration_since(used.last) >= IN_USE && !used.ending.is_wanted();
        if let Some(longest) = self.by_number.values().filter(unused).min_by_key(|used| used.last) {
            longest.ending.want(io::ErrorKind::QuotaExceeded);
        }
    }
}

/// One place.
pub(super) struct Place {
    places: Arc<Places>,
    node: NodeId,
    number: u64,
    ending: Arc<Ending>,
}

impl Place {
    /// Ends the connection that has this place.
    pub(super) fn ending(&self) -> Arc<Ending> {
        self.ending.clone()
    }

    /// A stream was opened, by either end.
    fn used(&self) {
        let now = self.places.clock.monotonic();
        if let Some(used) = self.places.taken().by_number.get_mut(&self.number) {
            used.last = now;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.leave(&self.node, self.number);
    }
}

/// A connection that has its place for as long as it lives.
pub(super) struct Placed<M> {
    muxer: Pin<Box<M>>,
    place: Place,
}

impl<M> Placed<M> {
    pub(super) fn new(muxer: M, place: Place) -> Self {
        Self { muxer: Box::pin(muxer), place }
    }
}

impl<M: StreamMuxer<Error: Send + Sync + 'static>> StreamMuxer for Placed<M> {
    type Substream = M::Substream;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<M::Substream>> {
        let stream = ready!(self.muxer.as_mut().poll_inbound(cx)).map_err(io::Error::other)?;
        self.place.used();
        Poll::Ready(Ok(stream))
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<M::Substream>> {
        let stream = ready!(self.muxer.as_mut().poll_outbound(cx)).map_err(io::Error::other)?;
        self.place.used();
        Poll::Ready(Ok(stream))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.muxer.as_mut().poll_close(cx).map_err(io::Error::other)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        if let Poll::Ready(why) = self.place.ending.poll(cx) {
            return Poll::Ready(Err(why.into()));
        }
        self.muxer.as_mut().poll(cx).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use certs::SecretKey;

    use super::super::clocks::Clocks;
    use super::*;

    fn node(seed: u8) -> NodeId {
        SecretKey::from_seed([seed; 32]).public()
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let places = Places::new(Most { all: PER_NODE + 1, kept: PER_NODE + 1 }, Clocks::start());
        let mut held: Vec<_> = (0..PER_NODE).map(|_| Places::take(&places, node(1)).unwrap()).collect();
        assert!(Places::take(&places, node(1)).is_err(), "one node has its share");
        let other = Places::take(&places, node(2)).unwrap();
        assert!(Places::take(&places, node(3)).is_err(), "all are taken");
        held.pop();
        drop(other);
        assert!(Places::take(&places, node(1)).is_ok());
        drop(held);
        assert!(places.taken().by_node.is_empty() && places.taken().by_number.is_empty());
    }

    #[test]
    fn the_one_that_was_unused_longest_makes_room() {
        let clocks = Clocks::start();
        let places = Places::new(Most { all: 10, kept: 3 }, clocks.clone());
        let held: Vec<_> = (1..=3).map(|seed| Places::take(&places, node(seed)).unwrap()).collect();
        let ended = || held.iter().map(|place| place.ending.is_wanted()).collect::<Vec<_>>();
        let fourth = Places::take(&places, node(4)).unwrap();
        assert_eq!(ended(), [false; 3], "all were used a moment ago");
        clocks.set(IN_USE.as_secs());
        held[0].used();
        fourth.used();
        let _fifth = Places::take(&places, node(5)).unwrap();
        assert_eq!(ended().iter().filter(|ended| **ended).count(), 1);
        assert!(!ended()[0]);
        let _sixth = Places::take(&places, node(6)).unwrap();
        assert_eq!(ended(), [false, true, true], "each one but once");
    }

    #[test]
    fn where_all_are_taken_unused_ones_make_room_for_the_next() {
        let clocks = Clocks::start();
        let places = Places::new(Most { all: 3, kept: 2 }, clocks.clone());
        let mut held: Vec<_> = (1..=3).map(|seed| Places::take(&places, node(seed)).unwrap()).collect();
        clocks.set(IN_USE.as_secs());
        assert!(Places::take(&places, node(4)).is_err());
        let ended = held.iter().position(|place| place.ending.is_wanted()).expect("one makes room");
        held.remove(ended);
        assert!(Places::take(&places, node(4)).is_ok());
    }
}
