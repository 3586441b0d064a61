//! The seam between QUIC and the operating system: what sends and receives datagrams.

use std::fmt::Debug;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

use quinn::{AsyncUdpSocket, Runtime, TokioRuntime};

/// Makes of a bound UDP socket what QUIC sends and receives by.
pub trait Sockets: Send + Sync + Debug + 'static {
    /// Called once for each socket, within a tokio runtime.
    ///
    /// # Errors
    /// The system's.
    fn wrap(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>>;
}

/// The system's sockets as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsSockets;

impl Sockets for OsSockets {
    fn wrap(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }
}
