//! How many connections there may be, in all and with one node. libp2p's swarm has no bound of its own.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use certs::NodeId;
use libp2p_core::StreamMuxer;
use libp2p_core::muxing::StreamMuxerEvent;

/// Connections with one node, dials included: one each way, and as many again while old ones end.
const PER_NODE: usize = 4;

/// The places, and who has them.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_node: HashMap<NodeId, usize>,
}

impl Places {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// A place for a connection with a node, which ends when it is dropped.
    ///
    /// # Errors
    /// Where there are as many as there may be.
    pub(super) fn take(places: &Arc<Self>, node: NodeId) -> io::Result<Place> {
        let mut taken = places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_node = taken.by_node.get(&node).copied().unwrap_or(0);
        if taken.all >= places.most || of_node >= PER_NODE {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "too many connections"));
        }
        taken.all += 1;
        taken.by_node.insert(node, of_node + 1);
        Ok(Place { places: places.clone(), node })
    }

    fn leave(&self, node: &NodeId) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        if let Some(of_node) = taken.by_node.get_mut(node) {
            *of_node -= 1;
            if *of_node == 0 {
                taken.by_node.remove(node);
            }
        }
    }
}

/// One place.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    node: NodeId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.leave(&self.node);
    }
}

/// A connection that has its place for as long as it lives.
pub(super) struct Placed<M> {
    muxer: Pin<Box<M>>,
    _place: Place,
}

impl<M> Placed<M> {
    pub(super) fn new(muxer: M, place: Place) -> Self {
        Self { muxer: Box::pin(muxer), _place: place }
    }
}

impl<M: StreamMuxer> StreamMuxer for Placed<M> {
    type Substream = M::Substream;
    type Error = M::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<M::Substream, M::Error>> {
        self.muxer.as_mut().poll_inbound(cx)
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<M::Substream, M::Error>> {
        self.muxer.as_mut().poll_outbound(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        self.muxer.as_mut().poll_close(cx)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, M::Error>> {
        self.muxer.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use certs::SecretKey;

    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let node = |seed| SecretKey::from_seed([seed; 32]).public();
        let places = Places::new(PER_NODE + 1);
        let mut held: Vec<_> = (0..PER_NODE).map(|_| Places::take(&places, node(1)).unwrap()).collect();
        assert!(Places::take(&places, node(1)).is_err(), "one node has its share");
        let other = Places::take(&places, node(2)).unwrap();
        assert!(Places::take(&places, node(3)).is_err(), "all are taken");
        held.pop();
        drop(other);
        assert!(Places::take(&places, node(1)).is_ok());
        drop(held);
        assert!(places.taken.lock().unwrap().by_node.is_empty());
    }
}
