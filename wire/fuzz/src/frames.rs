//! A stream of frames that arrives in pieces.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use wire::frame::{self, FrameError};

/// The bound on a frame here: small, so that streams reach it.
const LIMIT: usize = 512;

/// Reads the frames of a stream that arrives as the first bytes say, and compares them with those of the whole.
///
/// # Panics
/// Where they differ.
pub fn read_in_pieces(input: &[u8]) {
    let Some((&count, rest)) = input.split_first() else { return };
    let (pieces, stream) = rest.split_at(usize::from(count % 32).min(rest.len()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let expected = cut(stream);
    let read = runtime.block_on(all(Pieces { stream, pieces, at: 0, waited: false }));
    assert_eq!(read, expected);
}

/// How a stream of frames ends.
#[derive(Debug, PartialEq)]
enum End {
    /// In the middle of a frame, or where one would begin.
    Stream,
    /// Before a frame that is announced too large.
    TooLarge(usize),
}

/// The frames by their definition: PROTOCOL.md, "Framing".
fn cut(mut stream: &[u8]) -> (Vec<Vec<u8>>, End) {
    let mut frames = Vec::new();
    while let Some((length, rest)) = stream.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        if length > LIMIT {
            return (frames, End::TooLarge(length));
        }
        let Some((content, rest)) = rest.split_at_checked(length) else { break };
        frames.push(content.to_vec());
        stream = rest;
    }
    (frames, End::Stream)
}

async fn all(mut reader: Pieces<'_>) -> (Vec<Vec<u8>>, End) {
    let mut frames = Vec::new();
    loop {
        match frame::read_bytes(&mut reader, LIMIT).await {
            Ok(content) => frames.push(content),
            Err(FrameError::Io(_)) => return (frames, End::Stream),
            Err(FrameError::TooLarge { actual, limit: LIMIT }) => return (frames, End::TooLarge(actual)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A stream that comes in pieces of so many bytes, over and over; it lets its reader wait before each piece.
struct Pieces<'a> {
    stream: &'a [u8],
    pieces: &'a [u8],
    at: usize,
    waited: bool,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.waited {
            self.waited = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.waited = false;
        // A piece of nothing would be the end.
        let piece = self.pieces.get(self.at).map_or(usize::MAX, |&piece| usize::from(piece).max(1));
        self.at = (self.at + 1) % self.pieces.len().max(1);
        let (now, later) = self.stream.split_at(piece.min(buffer.remaining()).min(self.stream.len()));
        buffer.put_slice(now);
        self.stream = later;
        Poll::Ready(Ok(()))
    }
}
