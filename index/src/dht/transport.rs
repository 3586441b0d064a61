//! libp2p's transport over connections that somebody else makes.
//!
//! The node has one UDP port, one endpoint and one handshake for everything, so libp2p neither binds nor dials: it asks a
//! [`Connector`] for connections and is handed those that came in. Both are authenticated and have had their `hello`
//! before they get here, so that kad never meets a stranger. libp2p-quic would bring a second port and a second
//! handshake that knows no membership.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use certs::NodeId;
use libp2p_core::muxing::StreamMuxerBox;
use libp2p_core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p_core::{Multiaddr, StreamMuxer, Transport};
use libp2p_identity::PeerId;
use tokio::sync::mpsc;
use wire::limits::ADDRESSES;

use super::address::{from_multiaddr, node_of, peer_of, plain_multiaddr};
use super::places::{Placed, Places};
use super::say::Say;
use super::sift::Sifting;
use super::validate::Clock;
use crate::BoxFuture;

/// In this time a node is dialled at so many addresses as it may have, no more: an answer may name hundreds for it, all
/// of them somebody else's.
const DIALS_WITHIN: Duration = Duration::from_secs(10);

/// Nodes whose dials are counted before those that have passed are forgotten.
const COUNTED: usize = 1_024;

/// Makes connections.
pub trait Connector: Send + Unpin + 'static {
    /// What carries the streams of a connection.
    type Muxer: StreamMuxer<Substream: Send + Unpin + 'static, Error: Send + Sync + 'static> + Send + 'static;

    /// Connects to a node at an address and says `hello`. It makes sure that the far end has this node's key and is a
    /// member, gives up after a time of its own, and refuses addresses that it does not dial: addresses come from other
    /// members' answers, so they may point anywhere.
    fn dial(&self, node: NodeId, address: SocketAddr) -> BoxFuture<io::Result<Self::Muxer>>;
}

/// A connection that came in; its far end is authenticated and has been answered its `hello`.
#[derive(Debug)]
pub struct Accepted<M> {
    /// Whose it is.
    pub node: NodeId,
    /// Where it comes from.
    pub remote: SocketAddr,
    /// What carries its streams.
    pub muxer: M,
}

/// The transport: a connector, and the queue of connections that came in. The queue is bounded by whoever makes it, and
/// what does not fit is closed there.
pub(super) struct KadTransport<C: Connector> {
    connector: C,
    accepted: mpsc::Receiver<Accepted<C::Muxer>>,
    places: Arc<Places>,
    say: Arc<Say>,
    dials: Dials,
    listener: ListenerId,
}

impl<C: Connector> KadTransport<C> {
    pub(super) fn new(
        connector: C,
        accepted: mpsc::Receiver<Accepted<C::Muxer>>,
        places: Arc<Places>,
        say: Arc<Say>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let dials = Dials { clock, of_node: HashMap::new() };
        Self { connector, accepted, places, say, dials, listener: ListenerId::next() }
    }
}

/// How often each node was dialled lately.
struct Dials {
    clock: Arc<dyn Clock>,
    of_node: HashMap<NodeId, (Instant, usize)>,
}

impl Dials {
    fn count(&mut self, node: NodeId) -> io::Result<()> {
        let now = self.clock.monotonic();
        let passed = |since: &Instant| now.saturating_duration_since(*since) >= DIALS_WITHIN;
        if self.of_node.len() >= COUNTED {
            self.of_node.retain(|_, (since, _)| !passed(since));
        }
        let (since, dials) = self.of_node.entry(node).or_insert((now, 0));
        if passed(since) {
            (*since, *dials) = (now, 0);
        }
        if *dials >= ADDRESSES {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "dialled too often"));
        }
        *dials += 1;
        Ok(())
    }
}

/// A connection of a peer, as the swarm takes it.
type Output = (PeerId, StreamMuxerBox);

impl<C: Connector> Transport for KadTransport<C> {
    type Output = Output;
    type Error = io::Error;
    type ListenerUpgrade = std::future::Ready<io::Result<Output>>;
    type Dial = BoxFuture<io::Result<Output>>;

    /// There is nothing to listen on: connections are handed over.
    fn listen_on(&mut self, _: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let Some((at, Some(peer))) = from_multiaddr(&address) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let Some(node) = node_of(&peer) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        self.dials.count(node).map_err(TransportError::Other)?;
        // The swarm makes all dials of a node at once, but polls a few at a time: a place is taken when it begins.
        let (places, say) = (self.places.clone(), self.say.clone());
        let dialling = self.connector.dial(node, at);
        Ok(Box::pin(async move {
            let place = Places::take(&places, node)?;
            let muxer = Sifting::new(dialling.await?, say, node, place.ending());
            Ok((peer, StreamMuxerBox::new(Placed::new(muxer, place))))
        }))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        loop {
            // Where nobody hands over any more, none will come; the dials go on.
            let Some(Accepted { node, remote, muxer }) = std::task::ready!(self.accepted.poll_recv(cx))
            else {
                return Poll::Pending;
            };
            // One that finds no place is closed by being dropped.
            let Ok(place) = Places::take(&self.places, node) else { continue };
            let muxer = Sifting::new(muxer, self.say.clone(), node, place.ending());
            let output = (peer_of(&node), StreamMuxerBox::new(Placed::new(muxer, place)));
            return Poll::Ready(TransportEvent::Incoming {
                listener_id: self.listener,
                upgrade: std::future::ready(Ok(output)),
                local_addr: Multiaddr::empty(),
                send_back_addr: plain_multiaddr(remote),
            });
        }
    }
}
