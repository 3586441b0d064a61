//! QUIC's settings, each with its reason.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use socket2::{Domain, SockRef, Socket, Type};

use super::{Protocol, congestion, route};
use crate::options::TransportOptions;

/// A connection without a sign of life for this long is dead. The time runs from the first keep-alive that got no answer
/// (RFC 9000, section 10.1), so that presence ends 13 to 17 s after a `kill -9`.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(13);
/// Connections of Kademlia have no sign of life, and end by themselves 60 s after the last request (`DhtConfig`): who is gone is
/// noticed by its next request, and a network of 50 nodes would otherwise spend more on being kept alive than on being asked.
const IDLE_TIMEOUT_OF_KAD: Duration = Duration::from_secs(90);
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

/// How large the socket's buffers became; the system may give less than was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketBuffers {
    /// For sending, in bytes.
    pub(crate) send: usize,
    /// For receiving, in bytes.
    pub(crate) receive: usize,
}

/// Which end of a connection this is, and of what kind of one: the acceptor does not know that yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Dialler(Protocol),
    Acceptor,
}

impl End {
    /// The dialler decides: of what both ends say the shorter time holds (RFC 9000, section 10.1), and its keep-alive, which is
    /// answered, is the sign of life of both.
    const fn life(self) -> (Duration, Option<Duration>) {
        match self {
            Self::Dialler(Protocol::Messages) => (IDLE_TIMEOUT, Some(KEEP_ALIVE)),
            Self::Dialler(Protocol::Kad) | Self::Acceptor => (IDLE_TIMEOUT_OF_KAD, None),
        }
    }
}

/// The settings of a connection to this address.
pub(super) fn config_for(options: &TransportOptions, remote: SocketAddr, end: End) -> Arc<TransportConfig> {
    let (idle_timeout, keep_alive) = end.life();
    let window = u32::from(options.stream_window_mib) << 20;
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
        .mtu_discovery_config(mtu_discovery(options, remote, end));
    Arc::new(config)
}

/// A connection for Kademlia lives for a few requests: packets that look for a larger size would be more than all of them.
fn mtu_discovery(options: &TransportOptions, remote: SocketAddr, end: End) -> Option<MtuDiscoveryConfig> {
    if end == End::Dialler(Protocol::Kad) {
        return None;
    }
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(route::largest_payload(remote).clamp(*TransportOptions::MTU.start(), options.mtu));
    Some(discovery)
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
