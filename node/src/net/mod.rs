//! Connections: one UDP port, QUIC with mutual TLS, `hello` first on each.
//!
//! | concept | file |
//! | --- | --- |
//! | socket, endpoint, dialling | `endpoint` |
//! | what sends and receives datagrams | `sockets` |
//! | QUIC's settings | `transport` |
//! | how much is sent at once | `congestion` |
//! | what a route takes | `route` |
//! | addresses that we tell others | `addresses` |
//! | the first stream, both ways | `handshake` |
//! | a connection after `hello`: serving its streams | `session` |
//! | what far ends may fetch, and who else the same | `grants` |
//! | connections to other nodes, shared by all who need one | `pool` |
//! | connections that nobody needs any more | `unused` |

mod addresses;
mod congestion;
mod endpoint;
mod grants;
mod handshake;
mod order;
mod pool;
mod route;
mod session;
mod sockets;
mod transport;
mod unused;

pub(crate) use addresses::{listen_addresses, routable};
pub use endpoint::BindError;
pub(crate) use endpoint::{DialError, Net, Protocol};
pub(crate) use grants::Receivers;
pub(crate) use handshake::{HandshakeError, Me, dial_hello, read_hello, refuse, refuse_with};
pub(crate) use pool::Pool;
pub(crate) use session::{Handler, Role, Session, SessionError, send_answer, serve};
pub use sockets::{OsSockets, Sockets};
pub(crate) use transport::{DATA_PRIORITY, DATA_STREAMS_PER_CONNECTION, IDLE_TIMEOUT, UNUSED_OF_KAD};
pub(crate) use unused::{PATIENCE, close_when_unused};

use quinn::VarInt;
use wire::ErrorCode;

/// An error code as QUIC takes it.
pub(crate) fn quic_code(code: ErrorCode) -> VarInt {
    VarInt::from_u32(code.number())
}
