//! QUIC's settings, each with its reason.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::{ClientConfig, ConnectionId, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use quinn_proto::{ConnectionIdGenerator, RandomConnectionIdGenerator};
use socket2::{Domain, SockRef, Socket, Type};

use super::{Protocol, congestion, route};
use crate::options::TransportOptions;

/// A connection without a sign of life for this long is dead. The time runs from the first keep-alive that got no answer
/// (RFC 9000, section 10.1), so that presence ends 13 to 17 s after a `kill -9`.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(13);
/// Connections of Kademlia have no sign of life: who is gone is noticed by its next request, and a network of 50 nodes would otherwise
/// spend more on being kept alive than on being asked. They end so long after the last request, which is longer than what is put
/// again is put again after (`kad::task::PRESENCE_AGAIN` and half of it), so that the same nodes are asked on the same connections.
pub(crate) const UNUSED_OF_KAD: Duration = Duration::from_secs(15 * 60);
/// A minute more, so that the end that asked closes them.
const IDLE_TIMEOUT_OF_KAD: Duration = Duration::from_secs(16 * 60);
/// An acceptor to whom nothing tells what a connection is for: the dialler's time holds where it is shorter.
const IDLE_TIMEOUT_OF_ANY: Duration = Duration::from_secs(90);
/// Three of these fit into [`IDLE_TIMEOUT`], each sent again by loss detection; also keeps mappings of address translators
/// open.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// Streams that one end may have open towards the other: 4 of data, the rest for control.
const STREAMS: u32 = 128;
/// Streams on which one holder sends data to us at once.
pub(crate) const DATA_STREAMS_PER_CONNECTION: usize = 3;
/// Flow control windows of streams that fit into that of their connection: all data streams at their windows leave one
/// for control streams, so that a full disk never stalls them. It is also what a hostile sender can park with us.
const STREAM_WINDOWS: u32 = DATA_STREAMS_PER_CONNECTION as u32 + 1;
/// Data goes after control: a stream's priority where 0 is usual.
pub(crate) const DATA_PRIORITY: i32 = -1;
/// The largest payload that we take: what a peer sends at most where the route takes it.
pub(super) const MAX_PAYLOAD: u16 = *TransportOptions::MTU.end();

/// quinn hands the system ten packets of one size at once, which together have room in one call: 64 KiB.
const SEGMENTED: u16 = 6500;
/// From this size on a call for each packet costs no more than ten packets for each call; at 65,000, as on loopback, much less.
const UNSEGMENTED: u16 = 5 * SEGMENTED;

/// What every route takes (RFC 9000, section 14), and what a connection begins with.
const MTU_AT_FIRST: u16 = *TransportOptions::MTU.start();

/// On loopback the largest size is looked for again after this, where it was not found, or was given up: a full buffer takes small
/// packets where it has no room for large ones, which quinn holds for a route that has become narrower. That ends its search for 10
/// minutes or one; a transfer in small packets takes four times as long. A search that finds the size at once costs nothing.
const LOOPBACK_AGAIN: Duration = Duration::from_millis(20);

/// How large the socket's buffers became; the system may give less than was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketBuffers {
    /// For sending, in bytes.
    pub(crate) send: usize,
    /// For receiving, in bytes.
    pub(crate) receive: usize,
}

/// What the dialler of a connection for Kademlia begins its first packet's destination connection id with. The ALPN is known when
/// the handshake is over; the acceptor's settings are made before.
const MARK_OF_KAD: [u8; 8] = *b"p2pn-kad";
/// Random bytes behind the mark. RFC 9000, section 7.2, wants 8 that cannot be foretold; an id has 20 at most.
const UNMARKED: usize = 12;

/// Which end of a connection this is, and of what kind of one, as far as the acceptor can tell: for messages unless it is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Dialler(Protocol),
    Acceptor(Protocol),
}

impl End {
    /// The dialler decides: of what both ends say the shorter time holds (RFC 9000, section 10.1), and its keep-alive, which is
    /// answered, is the sign of life of both.
    const fn life(self) -> (Duration, Option<Duration>) {
        match self {
            Self::Dialler(Protocol::Messages) => (IDLE_TIMEOUT, Some(KEEP_ALIVE)),
            Self::Dialler(Protocol::Kad) | Self::Acceptor(Protocol::Kad) => (IDLE_TIMEOUT_OF_KAD, None),
            Self::Acceptor(Protocol::Messages) => (IDLE_TIMEOUT_OF_ANY, None),
        }
    }

    const fn protocol(self) -> Protocol {
        match self {
            Self::Dialler(protocol) | Self::Acceptor(protocol) => protocol,
        }
    }
}

/// Lets a dialler's first packet say what the connection is for.
pub(super) fn mark(config: &mut ClientConfig, protocol: Protocol) {
    if protocol == Protocol::Kad {
        config.initial_dst_cid_provider(Arc::new(|| {
            let random = RandomConnectionIdGenerator::new(UNMARKED).generate_cid();
            ConnectionId::new(&[MARK_OF_KAD.as_slice(), &random].concat())
        }));
    }
}

/// What a first packet says that the connection is for.
pub(super) fn marked(first: &ConnectionId) -> Protocol {
    if first.starts_with(&MARK_OF_KAD) { Protocol::Kad } else { Protocol::Messages }
}

/// The settings of a connection to this address.
pub(super) fn config_for(options: &TransportOptions, remote: SocketAddr, end: End) -> Arc<TransportConfig> {
    let (idle_timeout, keep_alive) = end.life();
    let window = u32::from(options.stream_window_mib) << 20;
    // On a connection for Kademlia packets that look for a larger size would be more than all requests and answers: on loopback
    // one of 65 KB.
    let looked_for = (end.protocol() != Protocol::Kad).then(|| largest_payload(options, remote));
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(IdleTimeout::try_from(idle_timeout).expect("seconds fit")))
        .keep_alive_interval(keep_alive)
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(window))
        .receive_window(VarInt::from_u32(STREAM_WINDOWS * window))
        // Twice the stream window: what we send without an acknowledgement.
        .send_window(2 * u64::from(window))
        .congestion_controller_factory(congestion::factory(options.congestion))
        .enable_segmentation_offload(looked_for.is_none_or(|largest| largest < UNSEGMENTED))
        .mtu_discovery_config(looked_for.map(|largest| mtu_discovery(largest, remote)));
    Arc::new(config)
}

/// The largest payload that is looked for on the way to an address.
fn largest_payload(options: &TransportOptions, remote: SocketAddr) -> u16 {
    let largest = route::largest_payload(remote).clamp(MTU_AT_FIRST, options.mtu);
    if largest < UNSEGMENTED { largest.min(SEGMENTED) } else { largest }
}

fn mtu_discovery(largest: u16, remote: SocketAddr) -> MtuDiscoveryConfig {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(largest);
    if remote.ip().to_canonical().is_loopback() {
        // There is no narrower link behind it: with steps of more than half the way the first probe has the largest size, instead
        // of eight that come near it. What is lost there a full buffer lost, and says nothing of the size.
        discovery
            .minimum_change((largest - MTU_AT_FIRST) / 2 + 1)
            .interval(LOOPBACK_AGAIN)
            .black_hole_cooldown(LOOPBACK_AGAIN);
    }
    discovery
}

/// A bound UDP socket. `[::]` takes IPv4 as well, and becomes `0.0.0.0` on a machine without IPv6.
pub(super) fn bind(listen: SocketAddr, buffer: usize) -> io::Result<(UdpSocket, SocketBuffers)> {
    match bind_one(listen, buffer) {
        Err(_) if listen.is_ipv6() && listen.ip().is_unspecified() => {
            bind_one(SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), listen.port()), buffer)
        }
        other => other,
    }
}

fn bind_one(listen: SocketAddr, buffer: usize) -> io::Result<(UdpSocket, SocketBuffers)> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(socket2::Protocol::UDP))?;
    if listen.is_ipv6() {
        socket.set_only_v6(!listen.ip().is_unspecified())?;
    }
    socket.bind(&listen.into())?;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from(socket);
    let buffers = enlarge_buffers(&socket, buffer);
    Ok((socket, buffers))
}

/// Asks for large buffers; less is no failure, only slower. The default of 208 KiB loses packets at 1 Gbit/s.
fn enlarge_buffers(socket: &UdpSocket, bytes: usize) -> SocketBuffers {
    let socket = SockRef::from(socket);
    let _ = socket.set_send_buffer_size(bytes);
    let _ = socket.set_recv_buffer_size(bytes);
    SocketBuffers {
        send: socket.send_buffer_size().unwrap_or(0),
        receive: socket.recv_buffer_size().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_id_can_be_told_and_not_foretold() {
        let mut marked_ids: Vec<_> = (0..2)
            .map(|_| {
                let random = RandomConnectionIdGenerator::new(UNMARKED).generate_cid();
                ConnectionId::new(&[MARK_OF_KAD.as_slice(), &random].concat())
            })
            .collect();
        assert!(marked_ids.iter().all(|id| marked(id) == Protocol::Kad && id.len() == 20));
        marked_ids.dedup();
        assert_eq!(marked_ids.len(), 2);
        assert_eq!(marked(&RandomConnectionIdGenerator::new(20).generate_cid()), Protocol::Messages);
        assert_eq!(marked(&ConnectionId::new(&MARK_OF_KAD[..7])), Protocol::Messages);
    }
}
