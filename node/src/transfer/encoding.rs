//! Answers to G that are encoded with Zstandard: PROTOCOL.md, "G: get data".
//!
//! Few bytes that can be made fewer, such as what changed in a text, are encoded; many never are, since then processors are
//! what a transfer waits for. The requester says that few are to come, the holder sees whether it pays.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::limits;
use zstd::stream::raw::{self, DParameter, Operation};
use zstd::stream::write;

/// Where no more than so much is to come in all, it is asked for encoded. A processor that encodes 100 MB/s has it in a
/// third of a second.
const FEW_BYTES: u64 = 32 << 20;
/// The same for the pages of a manifest: they are mostly hashes.
const FEW_PAGE_BYTES: u64 = 1 << 20;
/// Encoders at once: each has up to 2 MiB of memory, for as long as its receiver takes. Who finds none is answered as it is.
const ENCODERS: usize = 32;
/// What is not longer is encoded as well as it can be in some milliseconds.
const SMALL_BYTES: u64 = 256 << 10;
const SMALL_LEVEL: i32 = 9;
const LEVEL: i32 = 3;
/// The window, as a power of two.
const WINDOW_LOG: u32 = limits::ZSTD_WINDOW_BYTES.ilog2();
/// Encoding pays where it leaves at most 7 of 8 bytes.
const WORTH: (usize, usize) = (7, 8);
/// So much is tried in the quickest way before: what is dense already, as most large files are, costs a tenth of a
/// millisecond.
const TRIED_BYTES: usize = 64 << 10;
const QUICKEST_LEVEL: i32 = 1;

/// Whether so many bytes of chunks, all that is to come, are worth being encoded.
pub(super) const fn are_few(bytes: u64) -> bool {
    bytes <= FEW_BYTES
}

/// The same of pages.
pub(super) const fn are_few_of_pages(bytes: u64) -> bool {
    bytes <= FEW_PAGE_BYTES
}

/// All encoders of a node.
#[derive(Debug, Clone)]
pub(crate) struct Encoders(Arc<Semaphore>);

/// Encodes one answer.
pub(super) struct Encoder {
    frame: write::Encoder<'static, Vec<u8>>,
    /// How many bytes are still to be encoded.
    left: u64,
    _turn: OwnedSemaphorePermit,
}

impl Encoders {
    /// None is in use.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ENCODERS)))
    }

    /// One for an answer of so many bytes; `None` if all are in use.
    pub(super) fn one(&self, length: u64) -> Option<Encoder> {
        let turn = self.0.clone().try_acquire_owned().ok()?;
        let level = if length <= SMALL_BYTES { SMALL_LEVEL } else { LEVEL };
        let mut frame = write::Encoder::new(Vec::new(), level).ok()?;
        frame.window_log(WINDOW_LOG).ok()?;
        frame.set_pledged_src_size(Some(length)).ok()?;
        Some(Encoder { frame, left: length, _turn: turn })
    }
}

impl Encoder {
    /// The first bytes of the answer, encoded, and the encoder for the rest, if there is one; `None` if it does not pay.
    /// Takes the time of a processor: some milliseconds.
    pub(super) fn first(mut self, bytes: &[u8]) -> Option<(Bytes, Option<Self>)> {
        let tried = &bytes[..bytes.len().min(TRIED_BYTES)];
        if !pays(tried, &zstd::bulk::compress(tried, QUICKEST_LEVEL).ok()?) {
            return None;
        }
        self.take(bytes).ok()?;
        if self.left > 0 {
            self.frame.flush().ok()?;
        }
        let encoded = self.encoded();
        pays(bytes, &encoded).then(|| (encoded, self.unless_done()))
    }

    /// The next bytes: what can be sent of the answer by now, perhaps nothing, and the encoder for the rest.
    ///
    /// # Errors
    /// Where memory is short.
    pub(super) fn next(mut self, bytes: &[u8]) -> io::Result<(Bytes, Option<Self>)> {
        self.take(bytes)?;
        let encoded = self.encoded();
        Ok((encoded, self.unless_done()))
    }

    fn unless_done(self) -> Option<Self> {
        (self.left > 0).then_some(self)
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frame.write_all(bytes)?;
        self.left = self.left.saturating_sub(bytes.len() as u64);
        if self.left == 0 { self.frame.do_finish() } else { Ok(()) }
    }

    fn encoded(&mut self) -> Bytes {
        std::mem::take(self.frame.get_mut()).into()
    }
}

fn pays(bytes: &[u8], encoded: &[u8]) -> bool {
    encoded.len().saturating_mul(WORTH.1) <= bytes.len().saturating_mul(WORTH.0)
}

/// Decodes one answer, into no more memory than the caller gives and the window.
pub(super) struct Decoder(raw::Decoder<'static>);

/// How far a [`Decoder`] came.
pub(super) struct Decoded {
    /// Bytes of the input that it took.
    pub(super) read: usize,
    /// Bytes of the output that it wrote.
    pub(super) written: usize,
    /// Whether this was all of the frame.
    pub(super) ended: bool,
}

impl Decoder {
    /// At the beginning of a frame.
    ///
    /// # Errors
    /// Where memory is short.
    pub(super) fn new() -> io::Result<Self> {
        let mut decoder = raw::Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self(decoder))
    }

    /// Takes what has come, and writes what it gives.
    ///
    /// # Errors
    /// Where it is no such frame, or one with a larger window.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<Decoded> {
        let status = self.0.run_on_buffers(input, output)?;
        let (read, written) = (status.bytes_read, status.bytes_written);
        Ok(Decoded { read, written, ended: status.remaining == 0 && (read, written) != (0, 0) })
    }
}

/// What a whole answer encodes, which must be of so many bytes.
///
/// # Errors
/// Where it is no such frame, or not of this length.
pub(super) fn decoded(encoded: &[u8], length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut decoder = Decoder::new()?;
    let (mut at, mut to) = (0, 0);
    loop {
        let Decoded { read, written, ended } = decoder.step(&encoded[at..], &mut bytes[to..])?;
        (at, to) = (at + read, to + written);
        if ended && (at, to) == (encoded.len(), length) {
            return Ok(bytes);
        }
        if ended || (read, written) == (0, 0) {
            return Err(io::Error::other("the frame has another length"));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(length: usize) -> Vec<u8> {
        let words = (0_u64..).flat_map(|n| format!("line {} of {}\n", n, n % 7).into_bytes());
        words.take(length).collect()
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(b"encoding").finalize_xof().fill(&mut bytes);
        bytes
    }

    /// The whole answer, made of pieces.
    fn encode(bytes: &[u8], piece: usize) -> Option<Vec<u8>> {
        let (first, rest) = bytes.split_at(bytes.len().min(piece));
        let (encoded, mut encoder) = Encoders::new().one(bytes.len() as u64)?.first(first)?;
        let mut all = encoded.to_vec();
        for piece in rest.chunks(piece) {
            let (encoded, next) = encoder.expect("not all is encoded").next(piece).expect("encodes");
            (encoder, all) = (next, [all, encoded.to_vec()].concat());
        }
        assert!(encoder.is_none());
        Some(all)
    }

    #[test]
    fn what_is_encoded_in_pieces_is_decoded() {
        for length in [1000, 4096, 300_000, 5_000_000] {
            for piece in [4096, 256 << 10] {
                let bytes = text(length);
                let encoded = encode(&bytes, piece).expect("it pays");
                assert!(encoded.len() * 2 < length, "{length} {}", encoded.len());
                assert_eq!(decoded(&encoded, length).expect("decodes"), bytes);
                for other in [length - 1, length + 1] {
                    assert!(decoded(&encoded, other).is_err());
                }
                assert!(decoded(&encoded[..encoded.len() - 1], length).is_err());
                assert!(decoded(&[encoded, vec![0]].concat(), length).is_err());
            }
        }
    }

    #[test]
    fn what_grows_after_its_beginning_keeps_the_bound() {
        let bytes = [text(256 << 10), noise(4 << 20)].concat();
        let encoded = encode(&bytes, 256 << 10).expect("it begins well");
        let head = wire::message::DataFollows { length: bytes.len() as u64, runs: None, zstd: true };
        assert!(encoded.len() as u64 <= head.encoded_at_most());
        assert_eq!(decoded(&encoded, bytes.len()).expect("decodes"), bytes);
    }

    #[test]
    fn noise_is_not_worth_it_and_encoders_are_bounded() {
        assert_eq!(encode(&noise(100_000), 256 << 10), None);
        let encoders = Encoders::new();
        let taken: Vec<_> = (0..ENCODERS).map(|_| encoders.one(1000).expect("free")).collect();
        assert!(encoders.one(1000).is_none());
        drop(taken);
        assert!(encoders.one(1000).is_some());
    }

    #[test]
    fn a_larger_window_is_refused() {
        let bytes = text(5_000_000);
        let mut frame = write::Encoder::new(Vec::new(), 3).expect("an encoder");
        frame.window_log(WINDOW_LOG + 1).expect("a window");
        frame.write_all(&bytes).expect("encodes");
        let encoded = frame.finish().expect("encodes");
        assert!(decoded(&encoded, bytes.len()).is_err());
    }

    /// Blocks of 128 KiB of one byte, four bytes each; a hundred thousand of them are 12 GiB.
    fn bomb(blocks: usize) -> Vec<u8> {
        let header = (128_u32 << 10) << 3 | 1 << 1;
        let block = [&header.to_le_bytes()[..3], &[7]].concat();
        [vec![0x28, 0xb5, 0x2f, 0xfd, 0, 80], block.repeat(blocks)].concat()
    }

    #[test]
    fn of_a_bomb_no_more_is_decoded_than_there_is_room_for() {
        let mut room = vec![0; 300_000];
        let (mut decoder, encoded) = (Decoder::new().expect("memory"), bomb(100_000));
        let (mut at, mut to) = (0, 0);
        while to < room.len() {
            let Decoded { read, written, ended } =
                decoder.step(&encoded[at..], &mut room[to..]).expect("a frame");
            assert!(!ended && (read, written) != (0, 0));
            (at, to) = (at + read, to + written);
        }
        assert!(at < 100, "{at} bytes were read for 300,000");
        assert!(decoded(&encoded, 300_000).is_err(), "it has another length");
    }

    proptest! {
        /// Whatever comes for a frame: it is decoded to as many bytes as were announced, or refused.
        #[test]
        fn what_comes_is_a_frame_of_this_length_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..2000),
            length in 0_usize..100_000,
            like_a_frame: bool,
        ) {
            let begin: &[u8] = if like_a_frame { &[0x28, 0xb5, 0x2f, 0xfd] } else { &[] };
            if let Ok(given) = decoded(&[begin, &bytes].concat(), length) {
                prop_assert_eq!(given.len(), length);
            }
        }

        #[test]
        fn a_frame_that_is_tampered_with_gives_as_many_bytes_or_is_refused(
            length in 1000_usize..50_000,
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let encoded = encode(&text(length), 4096).expect("it pays");
            let mut tampered = encoded.clone();
            for (place, byte) in changes {
                tampered[place.index(encoded.len())] = byte;
            }
            if let Ok(given) = decoded(&tampered, length) {
                prop_assert_eq!(given.len(), length);
            }
            let part = &encoded[..cut.index(encoded.len())];
            prop_assert!(decoded(part, length).is_err(), "it breaks off");
        }
    }
}
