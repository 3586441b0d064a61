//! Listening to what is said on streams, so that a measurement can tell who asked whom, and what was answered.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use certs::NodeId;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// Told about each stream when the one who opened it has done with it.
pub type Tap = Arc<dyn Fn(Exchange) + Send + Sync>;

/// What was said on one stream.
#[derive(Debug)]
pub struct Exchange {
    /// Who opened it.
    pub from: NodeId,
    /// Who answered.
    pub to: NodeId,
    /// The bytes of the one who opened it, with the negotiation of the protocol.
    pub asked: Vec<u8>,
    /// The bytes of the one who answered, likewise.
    pub answered: Vec<u8>,
}

/// A pipe that may be listened to.
pub struct Tapped {
    stream: DuplexStream,
    heard: Option<(Tap, Exchange)>,
}

impl Tapped {
    pub(super) fn new(stream: DuplexStream, tap: Option<(Tap, NodeId, NodeId)>) -> Self {
        let nothing = |from, to| Exchange { from, to, asked: Vec::new(), answered: Vec::new() };
        Self { stream, heard: tap.map(|(tap, from, to)| (tap, nothing(from, to))) }
    }
}

impl Drop for Tapped {
    fn drop(&mut self) {
        if let Some((tap, exchange)) = self.heard.take() {
            tap(exchange);
        }
    }
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let (true, Some((_, exchange))) = (read.is_ready(), &mut self.heard) {
            exchange.answered.extend(buffer.filled().iter().skip(before));
        }
        read
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let (Poll::Ready(Ok(count)), Some((_, exchange))) = (&written, &mut self.heard) {
            exchange.asked.extend(bytes.iter().take(*count));
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
