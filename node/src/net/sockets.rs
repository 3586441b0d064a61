//! The seam between QUIC and the operating system: what sends and receives datagrams.

use std::fmt::Debug;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};

use super::transport::MAX_PAYLOAD;

/// Makes of a bound UDP socket what QUIC sends and receives by.
pub trait Sockets: Send + Sync + Debug + 'static {
    /// Called once for each socket, within a tokio runtime.
    ///
    /// # Errors
    /// The system's.
    fn wrap(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>>;
}

/// The system's sockets.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsSockets;

impl Sockets for OsSockets {
    fn wrap(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(OsSocket(TokioRuntime.wrap_udp_socket(socket)?)))
    }
}

/// Packets that the system joined to one are together no larger than one of IP.
const JOINED: usize = (u16::MAX as usize).div_ceil(MAX_PAYLOAD as usize);

/// quinn makes room for 32 reads of as many of the largest payloads as one read may give; the system says 64, which would be 133 MB,
/// and what of it is touched lies in huge pages on many systems.
#[derive(Debug)]
struct OsSocket(Arc<dyn AsyncUdpSocket>);

impl AsyncUdpSocket for OsSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.0.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.0.try_send(transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_recv(context, buffers, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.0.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.0.max_receive_segments().min(JOINED)
    }

    fn may_fragment(&self) -> bool {
        self.0.may_fragment()
    }
}
