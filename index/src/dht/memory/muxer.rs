//! One end of a connection in memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use certs::NodeId;
use libp2p_core::StreamMuxer;
use libp2p_core::muxing::StreamMuxerEvent;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::tap::{Tap, Tapped};
use crate::BoxFuture;

/// Streams that wait for the far end to take them; opening a further one waits.
const WAITING: usize = 32;

/// What a pipe holds each way, before its writer waits: two of the largest messages.
const PIPE_BYTES: usize = 2 * wire::limits::DHT_PACKET_BYTES;

/// A stream.
pub type MemoryStream = Compat<Tapped>;

/// One end of a connection. Dropping it ends the connection for both.
pub struct MemoryMuxer {
    sends: mpsc::Sender<DuplexStream>,
    receives: mpsc::Receiver<DuplexStream>,
    round_trip: Duration,
    opening: Option<BoxFuture<io::Result<DuplexStream>>>,
    cut: BoxFuture<()>,
    tap: Option<(Tap, NodeId, NodeId)>,
    ends: DropGuard,
}

/// Both ends of a new connection between two nodes, the dialler's first. It ends when `cut` is cancelled.
pub(super) fn pair(
    cut: &CancellationToken,
    round_trip: Duration,
    tap: Option<Tap>,
    (near, far): (NodeId, NodeId),
) -> (MemoryMuxer, MemoryMuxer) {
    let (near_sends, far_receives) = mpsc::channel(WAITING);
    let (far_sends, near_receives) = mpsc::channel(WAITING);
    let end = |sends, receives, from, to| MemoryMuxer {
        sends,
        receives,
        round_trip,
        opening: None,
        cut: Box::pin(cut.clone().cancelled_owned()),
        tap: tap.clone().map(|tap| (tap, from, to)),
        ends: cut.clone().drop_guard(),
    };
    (end(near_sends, near_receives, near, far), end(far_sends, far_receives, far, near))
}

impl StreamMuxer for MemoryMuxer {
    type Substream = MemoryStream;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<MemoryStream>> {
        let stream = ready!(self.receives.poll_recv(cx)).ok_or(io::ErrorKind::ConnectionReset)?;
        Poll::Ready(Ok(Tapped::new(stream, None).compat()))
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<MemoryStream>> {
        let this = &mut *self;
        let opening = this.opening.get_or_insert_with(|| open(this.sends.clone(), this.round_trip));
        let opened = ready!(opening.as_mut().poll(cx));
        this.opening = None;
        Poll::Ready(opened.map(|stream| Tapped::new(stream, this.tap.clone()).compat()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = &self.ends;
        Poll::Ready(Ok(()))
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        ready!(self.cut.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

fn open(sends: mpsc::Sender<DuplexStream>, round_trip: Duration) -> BoxFuture<io::Result<DuplexStream>> {
    Box::pin(async move {
        super::wait(round_trip).await;
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        sends.send(far).await.map_err(|_| io::Error::from(io::ErrorKind::ConnectionReset))?;
        Ok(near)
    })
}
