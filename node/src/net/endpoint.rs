//! The one endpoint of a node: it accepts and dials over one UDP socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certs::tls::{self, TlsError, TlsIdentity};
use certs::{NodeId, SecretKey};
use futures_util::Stream;
use futures_util::stream::FuturesUnordered;
use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use quinn::{Connection, ConnectionError, EndpointConfig, Incoming, ServerConfig, TokioRuntime};
use quinn_proto::HashedConnectionIdGenerator;
use rustls::pki_types::CertificateDer;
use tracing::{debug, warn};
use wire::ErrorCode;

use super::sockets::Sockets;
use super::transport::{self, End};
use super::{listen_addresses, quic_code, routable};
use crate::options::TransportOptions;

/// A handshake that takes longer is given up, by either end.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of the endpoint may take.
const CLOSING: Duration = Duration::from_millis(500);
/// With this many connections open, diallers must first prove their address (RFC 9000, section 8.1).
const RETRY_ABOVE_CONNECTIONS: usize = 1_000;
/// Handshakes that wait to be accepted; further ones are refused by QUIC.
const WAITING_HANDSHAKES: usize = 256;

/// Between two stateless resets (RFC 9000, section 10.3). quinn's 20 ms would keep 1,000 nodes of an index that was killed
/// waiting for their idle timeouts. Resets are smaller than what they answer and go only to ids that carry our hash, so
/// that no loop and no amplification comes of it.
const MIN_RESET_INTERVAL: Duration = Duration::from_millis(1);

/// The node cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system would not give the socket.
    #[error("cannot listen on UDP {listen}: {source}")]
    Socket {
        /// Where it should have listened.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// QUIC has no use for the TLS configuration.
    #[error("cannot configure QUIC")]
    Quic,
}

/// A node cannot be reached at an address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The address cannot be dialled.
    #[error("cannot dial {0}: {1}")]
    Address(SocketAddr, quinn::ConnectError),
    /// No connection came about.
    #[error("no connection to {0}: {1}")]
    Connection(SocketAddr, ConnectionError),
    /// No answer within 5 s.
    #[error("no answer from {0}")]
    Timeout(SocketAddr),
    /// The far end's certificate has no Ed25519 key.
    #[error("{0} shows no node's certificate")]
    Identity(SocketAddr),
    /// The far end's first packet says that the connection is for Kademlia, and it is not.
    #[error("{0} marks its connection as one for Kademlia, and speaks something else")]
    Marked(SocketAddr),
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What a connection speaks after its `hello`, by ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The messages of PROTOCOL.md.
    Messages,
    /// Kademlia.
    Kad,
}

impl Protocol {
    const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Messages => tls::ALPN,
            Self::Kad => tls::KAD_ALPN,
        }
    }

    /// That of a connection whose handshake is over.
    pub(crate) fn of(connection: &Connection) -> Self {
        let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
        match data.and_then(|data| data.protocol) {
            Some(protocol) if protocol == tls::KAD_ALPN => Self::Kad,
            _ => Self::Messages,
        }
    }
}

/// The endpoint. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Net {
    endpoint: quinn::Endpoint,
    tls: Arc<TlsIdentity>,
    accepting: ServerConfig,
    options: TransportOptions,
    small_buffers: Option<(usize, usize)>,
}

impl Net {
    /// Binds the socket and starts to listen, for these protocols. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`BindError`].
    pub(crate) fn bind(
        listen: SocketAddr,
        key: &SecretKey,
        options: TransportOptions,
        protocols: &[Protocol],
        sockets: &dyn Sockets,
    ) -> Result<Self, BindError> {
        let tls = Arc::new(TlsIdentity::new(key)?);
        let names: Vec<_> = protocols.iter().map(|protocol| protocol.alpn()).collect();
        let crypto = QuicServerConfig::try_from(tls.server_config(&names)?).map_err(|_| BindError::Quic)?;
        let mut server = ServerConfig::with_crypto(Arc::new(crypto));
        server.max_incoming(WAITING_HANDSHAKES);
        let accepting = server.clone();
        let failed = |source| BindError::Socket { listen, source };
        let wanted = usize::from(options.socket_buffer_mib) << 20;
        let (socket, buffers) = transport::bind(listen, wanted).map_err(failed)?;
        debug!(send = buffers.send, receive = buffers.receive, "socket buffers");
        let given = buffers.send.min(buffers.receive);
        let small_buffers = (given < wanted).then_some((wanted, given));
        if small_buffers.is_some() {
            warn!(
                send = buffers.send,
                receive = buffers.receive,
                "small socket buffers: fast transfers lose \
                packets; raise the sysctls net.core.rmem_max and net.core.wmem_max to {wanted}"
            );
        }
        let (socket, config) = (sockets.wrap(socket).map_err(failed)?, endpoint_config(key));
        let runtime = Arc::new(TokioRuntime);
        let endpoint = quinn::Endpoint::new_with_abstract_socket(config, Some(server), socket, runtime)
            .map_err(failed)?;
        Ok(Self { endpoint, tls, accepting, options, small_buffers })
    }

    /// Dials an address; the far end must be `expected`, or, with `None`, anybody.
    ///
    /// # Errors
    /// See [`DialError`].
    ///
    /// # Cancel safety
    /// Dropping it gives the attempt up.
    pub(crate) async fn dial(
        &self,
        address: SocketAddr,
        expected: Option<NodeId>,
    ) -> Result<(Connection, NodeId), DialError> {
        self.dial_for(Protocol::Messages, address, expected).await
    }

    /// The same, for one of the protocols.
    ///
    /// # Errors
    /// See [`DialError`].
    pub(crate) async fn dial_for(
        &self,
        protocol: Protocol,
        address: SocketAddr,
        expected: Option<NodeId>,
    ) -> Result<(Connection, NodeId), DialError> {
        let target = self.family(address);
        let crypto = QuicClientConfig::try_from(self.tls.client_config(expected, protocol.alpn())?)
            .map_err(|_| DialError::Identity(address))?;
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        let end = End::Dialler(protocol);
        config.transport_config(transport::config_for(&self.options, address, end));
        transport::mark(&mut config, protocol);
        let connecting = self
            .endpoint
            .connect_with(config, target, tls::SERVER_NAME)
            .map_err(|error| DialError::Address(address, error))?;
        let connection = tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting)
            .await
            .map_err(|_| DialError::Timeout(address))?
            .map_err(|error| DialError::Connection(address, error))?;
        let node = node_of(&connection).ok_or(DialError::Identity(address))?;
        Ok((connection, node))
    }

    /// Dials all addresses at once: the attempts as they end, with their addresses. Dropping the stream gives up the rest.
    pub(crate) fn dial_all(
        &self,
        addresses: impl IntoIterator<Item = SocketAddr>,
        expected: Option<NodeId>,
    ) -> impl Stream<Item = (SocketAddr, Result<(Connection, NodeId), DialError>)> + Unpin {
        let dial = |address| async move { (address, self.dial(address, expected).await) };
        addresses.into_iter().map(dial).collect::<FuturesUnordered<_>>()
    }

    /// The next dialler, or `None` once the endpoint is closed.
    pub(crate) async fn accept(&self) -> Option<Incoming> {
        loop {
            let incoming = self.endpoint.accept().await?;
            let busy = self.endpoint.open_connections() >= RETRY_ABOVE_CONNECTIONS;
            if !busy || incoming.remote_address_validated() {
                return Some(incoming);
            }
            let _ = incoming.retry();
        }
    }

    /// Ends the handshake of a dialler.
    ///
    /// # Errors
    /// See [`DialError`].
    pub(crate) async fn finish_accept(&self, incoming: Incoming) -> Result<(Connection, NodeId), DialError> {
        let address = incoming.remote_address();
        let failed = |error| DialError::Connection(address, error);
        let mut config = self.accepting.clone();
        let marked = transport::marked(&incoming.orig_dst_cid());
        let end = End::Acceptor(marked);
        config.transport_config(transport::config_for(&self.options, address, end));
        let connecting = incoming.accept_with(Arc::new(config)).map_err(failed)?;
        let connection = tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting)
            .await
            .map_err(|_| DialError::Timeout(address))?
            .map_err(failed)?;
        if marked == Protocol::Kad && Protocol::of(&connection) != marked {
            // It would have the long idle time of another kind of connection. Dropped, it is closed.
            return Err(DialError::Marked(address));
        }
        let node = node_of(&connection).ok_or(DialError::Identity(address))?;
        Ok((connection, node))
    }

    /// What the system does not give of the socket buffers that were asked for: (asked, given) in bytes of the smaller one.
    pub(crate) fn small_buffers(&self) -> Option<(usize, usize)> {
        self.small_buffers
    }

    /// Where the socket is bound.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn bound(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The address to show to people: the bound one, or a routable one where that is unspecified.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn shown(&self) -> io::Result<SocketAddr> {
        self.bound().map(routable)
    }

    /// Where others may reach us, for `hello`.
    pub(crate) fn addresses(&self) -> Vec<wire::message::Address> {
        self.bound().map(listen_addresses).unwrap_or_default()
    }

    /// Closes every connection and waits until the far ends know, or half a second: an attempt to reach a node that is gone
    /// would be waited for in vain.
    pub(crate) async fn close(&self) {
        self.endpoint.close(quic_code(ErrorCode::ShuttingDown), b"stopping");
        let _ = tokio::time::timeout(CLOSING, self.endpoint.wait_idle()).await;
    }

    /// The address in the family of our socket: an IPv6 socket takes IPv4 ones mapped.
    fn family(&self, address: SocketAddr) -> SocketAddr {
        match (self.bound(), address) {
            (Ok(SocketAddr::V6(_)), SocketAddr::V4(v4)) => {
                SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
            }
            _ => address,
        }
    }
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Net").field("bound", &self.bound().ok()).finish_non_exhaustive()
    }
}

/// Reset tokens and connection ids derive from the identity, so that a restarted node answers packets of its earlier
/// life with a reset, and the far ends notice at once (RFC 9000, section 10.3).
fn endpoint_config(key: &SecretKey) -> EndpointConfig {
    let reset = key.derive("p2p-node 2026 stateless reset key");
    let ids = key.derive("p2p-node 2026 connection id key");
    let id_key = u64::from_le_bytes(ids[..8].try_into().expect("8 of 32 bytes"));
    let reset = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, reset.as_slice());
    let mut config = EndpointConfig::new(Arc::new(reset));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)));
    config.min_reset_interval(MIN_RESET_INTERVAL);
    config.max_udp_payload_size(transport::MAX_PAYLOAD).expect("65,000 is a payload size");
    config
}

fn node_of(connection: &Connection) -> Option<NodeId> {
    let certificates = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    tls::node_of(certificates.first()?)
}

#[cfg(test)]
mod tests {
    use std::io::IoSliceMut;
    use std::net::{Ipv4Addr, UdpSocket};
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::task::{Context, Poll};

    use futures_util::StreamExt;
    use quinn::udp::{RecvMeta, Transmit};
    use quinn::{AsyncUdpSocket, UdpPoller};

    use super::super::{OsSockets, Sockets};
    use super::*;

    const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    /// A node with this seed and largest payload.
    fn bound(seed: u8, mtu: u16) -> Net {
        bound_with(seed, mtu, &OsSockets)
    }

    fn bound_with(seed: u8, mtu: u16, sockets: &dyn Sockets) -> Net {
        let options = TransportOptions { mtu, ..TransportOptions::default() };
        let key = SecretKey::from_seed([seed; 32]);
        Net::bind(HERE, &key, options, &[Protocol::Messages], sockets).expect("bound")
    }

    async fn accepted(net: &Net) -> Connection {
        let incoming = net.accept().await.expect("somebody");
        net.finish_accept(incoming).await.expect("connected").0
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_holds_nobody_up() {
        let [dialler, answering] = [1, 2].map(|seed| bound(seed, 65_000));
        let silent = UdpSocket::bind(HERE).expect("bound");
        let silent = silent.local_addr().expect("bound");
        let answers = answering.bound().expect("bound");
        let dialling = async { dialler.dial_all([silent, answers], None).next().await.expect("an attempt") };
        let (_accepted, (address, dialled)) = tokio::join!(accepted(&answering), dialling);
        assert_eq!(address, answers);
        assert_eq!(dialled.expect("connected").1, SecretKey::from_seed([2; 32]).public());
    }

    /// The largest packets of each end, the dialler's first, once both have found what they may send.
    async fn largest_packets(dialler: u16, acceptor: u16) -> [u16; 2] {
        let (dialler, acceptor) = (bound(1, dialler), bound(2, acceptor));
        let address = acceptor.bound().expect("bound");
        let (accepted, dialled) = tokio::join!(accepted(&acceptor), dialler.dial(address, None));
        let ends = [dialled.expect("connected").0, accepted];
        let done = |end: &Connection| {
            end.stats().path.sent_plpmtud_probes > 0 && end.stats().path.current_mtu > 1200
        };
        let found = async {
            while !ends.iter().all(done) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), found).await.expect("a larger size is found");
        ends.map(|end| end.stats().path.current_mtu)
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn loopback_gets_the_largest_packets_and_a_limit_in_between_ten_in_one_call() {
        assert_eq!(largest_packets(65_000, 65_000).await, [65_000, 65_000]);
        assert_eq!(largest_packets(9_000, 65_000).await, [6_500, 65_000]);
        assert_eq!(largest_packets(1_452, 40_000).await, [1_452, 40_000]);
    }

    /// Loses what it sends in large packets while it is narrow, and counts that.
    #[derive(Debug, Clone, Default)]
    struct Narrow(Arc<NarrowState>);

    #[derive(Debug, Default)]
    struct NarrowState {
        wide: AtomicBool,
        lost: AtomicU32,
    }

    impl Sockets for Narrow {
        fn wrap(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
            Ok(Arc::new(NarrowSocket { socket: OsSockets.wrap(socket)?, state: self.0.clone() }))
        }
    }

    #[derive(Debug)]
    struct NarrowSocket {
        socket: Arc<dyn AsyncUdpSocket>,
        state: Arc<NarrowState>,
    }

    impl AsyncUdpSocket for NarrowSocket {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            self.socket.clone().create_io_poller()
        }

        fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
            if transmit.contents.len() > 10_000 && !self.state.wide.load(Ordering::Relaxed) {
                self.state.lost.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            self.socket.try_send(transmit)
        }

        fn poll_recv(
            &self,
            context: &mut Context<'_>,
            buffers: &mut [IoSliceMut<'_>],
            meta: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            self.socket.poll_recv(context, buffers, meta)
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            self.socket.local_addr()
        }

        fn may_fragment(&self) -> bool {
            self.socket.may_fragment()
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn on_loopback_large_packets_that_were_lost_are_tried_again() {
        let hop = Narrow::default();
        let (dialler, acceptor) = (bound_with(1, 65_000, &hop), bound(2, 65_000));
        let address = acceptor.bound().expect("bound");
        let (_accepted, dialled) = tokio::join!(accepted(&acceptor), dialler.dial(address, None));
        let dialled = dialled.expect("connected").0;
        let mtu = || dialled.stats().path.current_mtu;
        let whole = async {
            let (mut stream, _answer) = dialled.open_bi().await.expect("open");
            while mtu() < 65_000 {
                // Three packets of the largest size and three of half of it: then it is given up.
                if hop.0.lost.load(Ordering::Relaxed) == 6 && !hop.0.wide.swap(true, Ordering::Relaxed) {
                    assert_eq!(mtu(), 1_200);
                }
                // quinn looks when there is something to send.
                stream.write_all(b"something").await.expect("sent");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), whole).await.expect("the larger size is found");
    }
}
