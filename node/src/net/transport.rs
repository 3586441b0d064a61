//! QUIC's settings, each with its reason.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// A connection without a sign of life for this long is dead. The time runs from the first keep-alive that got no answer
/// (RFC 9000, section 10.1), so that presence ends 13 to 17 s after a `kill -9`.
const IDLE_TIMEOUT: Duration = Duration::from_secs(13);
/// Three of these fit into [`IDLE_TIMEOUT`], each sent again by loss detection; also keeps mappings of address translators
/// open.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// Streams that one end may have open towards the other: 4 of data, the rest for control.
const STREAMS: u32 = 128;
/// Flow control window of a stream: 8 MiB is 1.3 Gbit/s at 50 ms.
const STREAM_WINDOW: u32 = 8 << 20;
/// Streams on which one holder sends data to us at once.
pub(crate) const DATA_STREAMS_PER_CONNECTION: usize = 3;
/// Flow control window of a connection: all data streams at their windows leave one window for control streams, so that
/// a full disk never stalls them. It is also what a hostile sender can park with us.
const CONNECTION_WINDOW: u32 = (DATA_STREAMS_PER_CONNECTION as u32 + 1) * STREAM_WINDOW;
/// Bytes that we send without an acknowledgement: twice the stream window.
const SEND_WINDOW: u64 = 2 * STREAM_WINDOW as u64;
/// Data goes after control: a stream's priority where 0 is usual.
pub(crate) const DATA_PRIORITY: i32 = -1;
/// The largest payload that fits an Ethernet frame behind IPv6 and UDP headers and leaves room for a tunnel.
const MTU_BOUND: u16 = 1452;
/// On loopback: 10 segments of it stay under the 64 KiB of one segmented send.
const LOOPBACK_MTU_BOUND: u16 = 6500;
/// What we ask of the system for the socket's buffers, each way: the default of 208 KiB loses packets at 1 Gbit/s.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// The largest payload that we take: what a peer on loopback sends at most.
pub(super) const MAX_PAYLOAD: u16 = LOOPBACK_MTU_BOUND;

/// How large the socket's buffers became; the system may give less than was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketBuffers {
    /// For sending, in bytes.
    pub(crate) send: usize,
    /// For receiving, in bytes.
    pub(crate) receive: usize,
}

impl SocketBuffers {
    /// Whether the system gave what was asked.
    pub(crate) const fn are_full(&self) -> bool {
        self.send >= SOCKET_BUFFER_BYTES && self.receive >= SOCKET_BUFFER_BYTES
    }
}

/// The settings of a connection to this address.
pub(super) fn config_for(remote: IpAddr) -> Arc<TransportConfig> {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(if remote.to_canonical().is_loopback() { LOOPBACK_MTU_BOUND } else { MTU_BOUND });
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(IdleTimeout::try_from(IDLE_TIMEOUT).expect("13 s fit")))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .mtu_discovery_config(Some(mtu));
    Arc::new(config)
}

/// A bound UDP socket. `[::]` takes IPv4 as well, and becomes `0.0.0.0` on a machine without IPv6.
pub(super) fn bind(listen: SocketAddr) -> io::Result<(UdpSocket, SocketBuffers)> {
    match bind_one(listen) {
        Err(_) if listen.is_ipv6() && listen.ip().is_unspecified() => {
            bind_one(SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), listen.port()))
        }
        other => other,
    }
}

fn bind_one(listen: SocketAddr) -> io::Result<(UdpSocket, SocketBuffers)> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
    if listen.is_ipv6() {
        socket.set_only_v6(!listen.ip().is_unspecified())?;
    }
    socket.bind(&listen.into())?;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from(socket);
    let buffers = enlarge_buffers(&socket);
    Ok((socket, buffers))
}

/// Asks for large buffers; less is no failure, only slower.
fn enlarge_buffers(socket: &UdpSocket) -> SocketBuffers {
    let socket = SockRef::from(socket);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    SocketBuffers {
        send: socket.send_buffer_size().unwrap_or(0),
        receive: socket.recv_buffer_size().unwrap_or(0),
    }
}
