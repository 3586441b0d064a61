//! What comes on the stream of one answer with chunks: taken as our limits say, and decoded.

use std::sync::atomic::Ordering;

use bytes::{Buf, Bytes};
use quinn::{ReadError, RecvStream};
use wire::ErrorCode;
use wire::message::DataFollows;

use super::encoding::{Decoded, Decoder};
use super::fetch::{FetchError, Flow};
use super::limits::Gate;
use super::schedule::Failure;
use crate::net::quic_code;

/// The bytes of an answer, one after the other.
pub(super) struct Coming<'a> {
    stream: &'a mut RecvStream,
    gate: &'a Gate,
    flow: &'a Flow,
    /// Taken from the stream, and not used yet.
    bytes: Bytes,
    /// How much of the stream is still wanted: there may be more in it.
    left: u64,
    /// Where it is encoded.
    decoding: Option<Decoding>,
}

struct Decoding {
    decoder: Decoder,
    /// Bytes that were decoded.
    decoded: u64,
    /// Bytes that were taken from the stream.
    taken: u64,
    /// Bytes that there are to decode.
    length: u64,
    /// Whether the frame is over.
    ended: bool,
}

impl<'a> Coming<'a> {
    /// Of an answer with this head, of which the first `wanted` bytes are.
    ///
    /// # Errors
    /// `Holder` where there is no memory to decode it.
    pub(super) fn new(
        stream: &'a mut RecvStream,
        (head, wanted): (&DataFollows, u64),
        (gate, flow): (&'a Gate, &'a Flow),
    ) -> Result<Self, FetchError> {
        let decoding = match head.zstd {
            true => {
                let decoder = Decoder::new().map_err(|error| ended_early(&error.to_string()))?;
                Some(Decoding { decoder, decoded: 0, taken: 0, length: head.length, ended: false })
            }
            false => None,
        };
        let left = if head.zstd { head.encoded_at_most() } else { wanted };
        Ok(Self { stream, gate, flow, bytes: Bytes::new(), left, decoding })
    }

    /// The next bytes, as many as there is room for.
    ///
    /// # Errors
    /// `Holder` where they do not come, or are not encoded as they should be.
    pub(super) async fn fill(&mut self, mut room: &mut [u8]) -> Result<(), FetchError> {
        while !room.is_empty() {
            let written = match self.decoding.as_mut() {
                Some(decoding) => decoding.step(&mut self.bytes, room)?,
                None => self.copy(room),
            };
            room = &mut room[written..];
            self.count();
            if written == 0 {
                self.bytes = self.take().await?;
            }
        }
        Ok(())
    }

    fn copy(&mut self, room: &mut [u8]) -> usize {
        let part = self.bytes.split_to(self.bytes.len().min(room.len()));
        room[..part.len()].copy_from_slice(&part);
        part.len()
    }

    /// Takes what has come as fast as our limits say. What is not taken fills the stream's window, and the holder stops sending.
    async fn take(&mut self) -> Result<Bytes, FetchError> {
        let slice = usize::try_from(self.gate.slice().min(self.left)).unwrap_or(usize::MAX);
        if slice == 0 {
            return Err(ended_early("more comes than encodes what was asked for"));
        }
        let chunk = self.stream.read_chunk(slice, true).await.map_err(|error| read_failed(&error))?;
        let bytes = chunk.ok_or_else(|| ended_early("the stream ended early"))?.bytes;
        let came = bytes.len() as u64;
        self.left -= came;
        match self.decoding.as_mut() {
            Some(decoding) => decoding.taken += came,
            None => {
                self.flow.received.fetch_add(came, Ordering::Relaxed);
            }
        }
        self.count();
        // Where this is dropped the request is over.
        self.flow.held.store(true, Ordering::Relaxed);
        self.gate.pass(came).await;
        self.flow.held.store(false, Ordering::Relaxed);
        Ok(bytes)
    }

    /// What was decoded counts; but what only came shows that the holder lives.
    fn count(&self) {
        if let Some(decoding) = &self.decoding {
            let came = decoding.taken.min(decoding.length);
            self.flow.received.fetch_max(decoding.decoded.max(came), Ordering::Relaxed);
        }
    }
}

impl Decoding {
    /// Decodes into the room what has come; returns how much that is, and leaves nothing of what came where it is 0.
    fn step(&mut self, bytes: &mut Bytes, room: &mut [u8]) -> Result<usize, FetchError> {
        if self.ended {
            return Err(ended_early("less is encoded than was asked for"));
        }
        let broken = |error: std::io::Error| FetchError::Holder(Failure::WrongChunk, error.to_string());
        let Decoded { read, written, ended } = self.decoder.step(bytes, room).map_err(broken)?;
        bytes.advance(read);
        self.decoded += written as u64;
        self.ended = ended;
        if written == 0 && !bytes.is_empty() {
            return Err(ended_early("it is not encoded as it should be"));
        }
        Ok(written)
    }
}

/// The holder's doing, or the network's.
pub(super) fn ended_early(text: &str) -> FetchError {
    FetchError::Holder(Failure::Reset, text.to_owned())
}

fn read_failed(error: &ReadError) -> FetchError {
    let changed = matches!(error, ReadError::Reset(code) if *code == quic_code(ErrorCode::Changed));
    let failure = if changed { Failure::Changed } else { Failure::Reset };
    FetchError::Holder(failure, error.to_string())
}
