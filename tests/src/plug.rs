//! What the datagrams of a node in this process go through: they are counted, and the node can be cut off from some others.
//!
//! Nodes are on a side. What goes to a node of another side is lost on the way, as in a network that fell apart; whoever is no node
//! of this process is reached from everywhere.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, RwLock};
use std::task::{Context, Poll, ready};

use p2p_node::{OsSockets, Sockets};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// Headers of IPv4 and UDP before the payload of each datagram.
const HEADERS: u64 = 28;

/// Where the nodes of this process listen.
static PLUGGED: LazyLock<RwLock<HashMap<SocketAddr, Plug>>> = LazyLock::new(RwLock::default);

/// Whom a node reaches: those on the same side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side(pub u8);

impl Side {
    /// Where every node is at its start.
    pub const ALL: Self = Self(0);
    /// Who is there reaches nobody, not even others there.
    pub const NOBODY: Self = Self(u8::MAX);
}

/// The plug of one node; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Plug(Arc<State>);

#[derive(Debug, Default)]
struct State {
    side: AtomicU8,
    sent_bytes: AtomicU64,
    sent_packets: AtomicU64,
    received_bytes: AtomicU64,
    received_packets: AtomicU64,
}

/// What has gone over the network from and to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes that it sent, with the headers of IP and UDP, whether they arrived or not.
    pub sent_bytes: u64,
    /// In so many datagrams.
    pub sent_packets: u64,
    /// Bytes that came, with the headers.
    pub received_bytes: u64,
    /// In so many datagrams.
    pub received_packets: u64,
}

impl Plug {
    /// Puts the node on a side, from the next datagram on.
    pub fn set_side(&self, side: Side) {
        self.0.side.store(side.0, Ordering::Relaxed);
    }

    /// What has gone over the network since the plug was made.
    pub fn traffic(&self) -> Traffic {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (sent_packets, received_packets) = (read(&self.0.sent_packets), read(&self.0.received_packets));
        Traffic {
            sent_bytes: read(&self.0.sent_bytes) + HEADERS * sent_packets,
            sent_packets,
            received_bytes: read(&self.0.received_bytes) + HEADERS * received_packets,
            received_packets,
        }
    }

    fn reaches(&self, other: &Self) -> bool {
        let side = |plug: &Self| plug.0.side.load(Ordering::Relaxed);
        side(self) == side(other) && side(self) != Side::NOBODY.0
    }
}

impl std::ops::Sub for Traffic {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            sent_bytes: self.sent_bytes - before.sent_bytes,
            sent_packets: self.sent_packets - before.sent_packets,
            received_bytes: self.received_bytes - before.received_bytes,
            received_packets: self.received_packets - before.received_packets,
        }
    }
}

impl Sockets for Plug {
    fn wrap(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let socket = OsSockets.wrap(socket)?;
        plugged_mut(|all| all.insert(socket.local_addr().expect("bound"), self.clone()));
        Ok(Arc::new(PluggedSocket { socket, plug: self.clone() }))
    }
}

fn plugged_mut<T>(change: impl FnOnce(&mut HashMap<SocketAddr, Plug>) -> T) -> T {
    change(&mut PLUGGED.write().expect("no panic while it is held"))
}

#[derive(Debug)]
struct PluggedSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    plug: Plug,
}

impl PluggedSocket {
    fn reaches(&self, to: SocketAddr) -> bool {
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        match PLUGGED.read().expect("no panic while it is held").get(&to) {
            Some(other) => self.plug.reaches(other),
            None => self.plug.0.side.load(Ordering::Relaxed) != Side::NOBODY.0,
        }
    }
}

impl AsyncUdpSocket for PluggedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.reaches(transmit.destination) {
            self.socket.try_send(transmit)?;
        }
        let length = transmit.contents.len();
        let datagrams = length.div_ceil(transmit.segment_size.unwrap_or(length).max(1));
        self.plug.0.sent_bytes.fetch_add(length as u64, Ordering::Relaxed);
        self.plug.0.sent_packets.fetch_add(datagrams as u64, Ordering::Relaxed);
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.socket.poll_recv(context, buffers, meta))?;
        for one in &meta[..count] {
            let datagrams = one.len.div_ceil(one.stride.max(1));
            self.plug.0.received_bytes.fetch_add(one.len as u64, Ordering::Relaxed);
            self.plug.0.received_packets.fetch_add(datagrams as u64, Ordering::Relaxed);
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

impl Drop for PluggedSocket {
    fn drop(&mut self) {
        let Ok(address) = self.socket.local_addr() else { return };
        // The address may be another node's by now.
        plugged_mut(|all| {
            if all.get(&address).is_some_and(|plug| Arc::ptr_eq(&plug.0, &self.plug.0)) {
                all.remove(&address);
            }
        });
    }
}
