//! A QUIC connection as libp2p sees one: bidirectional streams are substreams.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use libp2p_core::StreamMuxer;
use libp2p_core::muxing::StreamMuxerEvent;
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use tokio::io::Join;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use wire::ErrorCode;

use crate::BoxFuture;

/// Both halves of a stream. Closing it finishes the sending half; dropping it unread stops the other.
pub type QuicStream = Compat<Join<RecvStream, SendStream>>;

type Opening = BoxFuture<Result<(SendStream, RecvStream), ConnectionError>>;

/// A connection whose `hello` is done, from either end. It is closed with `done` when it is dropped.
///
/// How many streams the far end may have open is the connection's own setting.
pub struct QuicMuxer {
    connection: Connection,
    accepting: Opening,
    opening: Option<Opening>,
}

impl QuicMuxer {
    /// Takes a connection over: from now on every bidirectional stream of it is kad's.
    pub fn new(connection: Connection) -> Self {
        let accepting = accept(connection.clone());
        Self { connection, accepting, opening: None }
    }

    fn close(&self) {
        self.connection.close(VarInt::from_u32(ErrorCode::Done.number()), b"");
    }
}

fn accept(connection: Connection) -> Opening {
    Box::pin(async move { connection.accept_bi().await })
}

fn open(connection: Connection) -> Opening {
    Box::pin(async move { connection.open_bi().await })
}

fn both((send, receive): (SendStream, RecvStream)) -> QuicStream {
    tokio::io::join(receive, send).compat()
}

impl StreamMuxer for QuicMuxer {
    type Substream = QuicStream;
    type Error = ConnectionError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<QuicStream, ConnectionError>> {
        let accepted = ready!(self.accepting.as_mut().poll(cx));
        self.accepting = accept(self.connection.clone());
        Poll::Ready(accepted.map(both))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<QuicStream, ConnectionError>> {
        let this = &mut *self;
        let opening = this.opening.get_or_insert_with(|| open(this.connection.clone()));
        let opened = ready!(opening.as_mut().poll(cx));
        this.opening = None;
        Poll::Ready(opened.map(both))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        self.close();
        Poll::Ready(Ok(()))
    }

    /// Nothing happens here: a far end that moves is quinn's business, and the end of a connection is seen by those who
    /// wait for streams.
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, ConnectionError>> {
        Poll::Pending
    }
}

impl Drop for QuicMuxer {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for QuicMuxer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QuicMuxer(to {})", self.connection.remote_address())
    }
}
