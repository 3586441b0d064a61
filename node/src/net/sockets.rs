//! The seam between QUIC and the operating system: what sends and receives datagrams.

use std::fmt::Debug;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

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
        let socket = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Arc::new(OsSocket { socket, at_once: AtomicUsize::new(usize::MAX) }))
    }
}

/// Packets that the system joined to one are together no larger than one of IP.
const JOINED: usize = (u16::MAX as usize).div_ceil(MAX_PAYLOAD as usize);

/// What one call reads is copied again by quinn, and should still be in the cache of the core then, which has 1 MiB or 2: 32 packets of
/// loopback would fill it.
const AT_ONCE_BYTES: usize = 512 << 10;

/// quinn makes room for 32 reads of as many of the largest payloads as one read may give; the system says 64, which would be 133 MB,
/// and what of it is touched lies in huge pages on many systems.
#[derive(Debug)]
struct OsSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    /// How many reads to make in one call.
    at_once: AtomicUsize,
}

/// How many reads have [`AT_ONCE_BYTES`] together, if they are like these.
fn at_once(read: &[RecvMeta]) -> usize {
    let bytes: usize = read.iter().map(|meta| meta.len).sum();
    (AT_ONCE_BYTES * read.len() / bytes.max(1)).max(1)
}

impl AsyncUdpSocket for OsSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let most = buffers.len().min(meta.len()).min(self.at_once.load(Ordering::Relaxed));
        let count = ready!(self.socket.poll_recv(context, &mut buffers[..most], &mut meta[..most]))?;
        self.at_once.store(at_once(&meta[..count]), Ordering::Relaxed);
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments().min(JOINED)
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_reads_are_few_in_one_call() {
        let read = |len| RecvMeta { len, ..RecvMeta::default() };
        assert_eq!(at_once(&[read(65_000); 3]), 8);
        assert!(at_once(&[read(1_452); 32]) > 32, "as many as there is room for");
        assert!(at_once(&[read(65_000), read(35), read(35)]) > 8);
        assert_eq!(at_once(&[read(16 << 20)]), 1);
        assert!(at_once(&[]) > 0 && at_once(&[read(0)]) > 0, "never none");
    }
}
