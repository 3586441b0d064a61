//! Connections of Kademlia: the same handshake and `hello` as any other, then libp2p's.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use certs::NodeId;
use index::BoxFuture;
use index::dht::{Accepted, Connector, QuicMuxer};
use quinn::{Connection, VarInt};
use tokio::sync::mpsc;
use tracing::debug;
use wire::message::{Address, Answer, Hello};
use wire::{ErrorBody, ErrorCode, limits};

use super::accept::{check_member, check_network};
use super::shared::Shared;
use crate::net::{Protocol, dial_hello, quic_code, read_hello, refuse, send_answer};

/// Connections that came in and wait for the DHT's task; a further one is refused.
const WAITING: usize = 64;
/// What a far end may send before it is read, on one connection: some messages.
const WINDOW: u32 = 8 * limits::DHT_PACKET_BYTES as u32;
/// Streams that a far end may have open at once.
const STREAMS: u32 = 32;

/// Where connections that came in are handed over, and who takes them.
pub(crate) type KadAccepted = mpsc::Sender<Accepted<QuicMuxer>>;

/// The queue of connections that came in.
pub(crate) fn kad_queue() -> (KadAccepted, mpsc::Receiver<Accepted<QuicMuxer>>) {
    mpsc::channel(WAITING)
}

/// Dials for the DHT.
pub(crate) struct KadConnector(pub(crate) Arc<Shared>);

impl Connector for KadConnector {
    type Muxer = QuicMuxer;

    fn dial(&self, node: NodeId, address: SocketAddr) -> BoxFuture<io::Result<QuicMuxer>> {
        let shared = self.0.clone();
        Box::pin(async move { dial(&shared, node, address).await })
    }
}

async fn dial(shared: &Shared, node: NodeId, address: SocketAddr) -> io::Result<QuicMuxer> {
    if node == shared.node() || Address::new(address).is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no address of another node"));
    }
    let (connection, _) =
        shared.net.dial_for(Protocol::Kad, address, Some(node)).await.map_err(io::Error::other)?;
    let answer = dial_hello(&connection, shared.me().hello(None)).await.map_err(io::Error::other)?;
    if let Err(body) = check(shared, node, &answer) {
        connection.close(quic_code(body.code), body.text.as_bytes());
        return Err(io::Error::other(body));
    }
    Ok(muxer(connection))
}

/// Answers the `hello` of a connection for Kademlia, and hands it to the DHT.
pub(super) async fn accept_kad(shared: &Shared, connection: Connection, node: NodeId) {
    let remote = connection.remote_address();
    let (mut send, hello) = match read_hello(&connection).await {
        Ok(read) => read,
        Err(error) => {
            debug!(%remote, %error, "no hello");
            connection.close(quic_code(ErrorCode::BadMessage), b"no hello");
            return;
        }
    };
    let place = match place(shared, node, &hello) {
        Ok(place) => place,
        Err(body) => {
            debug!(%remote, peer = %node.short(), %body, "refused");
            refuse(&connection, &mut send, &body).await;
            return;
        }
    };
    let answer = Answer::A(shared.me().hello(Address::new(remote)));
    if send_answer(&mut send, &answer).await.is_err() || send.finish().is_err() {
        return;
    }
    place.send(Accepted { node, remote, muxer: muxer(connection) });
}

/// Whether the far end may come in, and its place in the queue.
fn place<'a>(
    shared: &'a Shared,
    node: NodeId,
    hello: &Hello,
) -> Result<mpsc::Permit<'a, Accepted<QuicMuxer>>, ErrorBody> {
    check(shared, node, hello)?;
    let closed = || ErrorBody::new(ErrorCode::Unsupported, "this node takes no part in the DHT");
    let full = || ErrorBody::new(ErrorCode::Busy, "too many connections wait").retry_after(1000);
    let queue = shared.kad_accepted.as_ref().ok_or_else(closed)?;
    queue.try_reserve().map_err(|error| match error {
        mpsc::error::TrySendError::Full(()) => full(),
        mpsc::error::TrySendError::Closed(()) => closed(),
    })
}

/// A member, or the index, which need not be logged in anywhere.
fn check(shared: &Shared, node: NodeId, hello: &Hello) -> Result<(), ErrorBody> {
    check_network(shared, hello)?;
    match shared.me().index_node() == Some(node) {
        true => Ok(()),
        false => {
            let membership = check_member(shared, node, hello)?;
            shared.kad.get().inspect(|kad| kad.meet(&membership));
            Ok(())
        }
    }
}

/// From here on the streams are libp2p's; little is sent on them at once.
fn muxer(connection: Connection) -> QuicMuxer {
    connection.set_receive_window(VarInt::from_u32(WINDOW));
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(STREAMS));
    QuicMuxer::new(connection)
}
