//! The streams on which this node asks: where the question is part of a lookup, nobody is asked, and of the answer nobody is
//! taken as nearer to the key, who has no say in it ([`Say`]).
//!
//! A stream that is given up without a byte of an answer ends its connection: it may have been open for long, and whoever is
//! behind it may be gone without a word. The next request dials, and its failure counts for the table.
//!
//! kad has no place for either: it asks whoever is named. What is on a stream is three frames each way, each after its length:
//! two of multistream-select, and kad's message. libp2p reads what is left of the third.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use certs::NodeId;
use futures_util::{AsyncRead, AsyncWrite};
use libp2p_core::StreamMuxer;
use libp2p_core::muxing::StreamMuxerEvent;
use libp2p_identity::PeerId;
use wire::limits::DHT_PACKET_BYTES;

use super::ending::Ending;
use super::protobuf::{Fields, Value, length_of, varint};
use super::say::Say;

/// Which frame is kad's message.
const MESSAGE: usize = 2;
/// Of a request so many bytes are looked at: type and key are at its beginning.
const BEGINNING: usize = 128;
/// The length before a frame: of more bytes it would be too large.
const LENGTH_BYTES: usize = 4;

/// kad's types of requests that are part of a lookup.
const LOOKUPS: [u64; 3] = [GET_VALUE, GET_PROVIDERS, FIND_NODE];
const GET_VALUE: u64 = 1;
const GET_PROVIDERS: u64 = 3;
const FIND_NODE: u64 = 4;

/// Fields of kad's `Message`, and of its `Peer`.
const TYPE: u64 = 1;
const KEY: u64 = 2;
const CLOSER_PEERS: u64 = 8;
const PEER_ID: u64 = 1;

/// A connection with a node, whose streams are sifted where this node opens them.
pub(super) struct Sifting<M> {
    muxer: Pin<Box<M>>,
    say: Arc<Say>,
    node: NodeId,
    ending: Arc<Ending>,
}

/// A stream of such a connection.
pub(super) struct Sifted<S> {
    stream: S,
    /// Where this node asks on it.
    sieve: Option<Box<Sieve>>,
}

struct Sieve {
    say: Arc<Say>,
    node: NodeId,
    ending: Arc<Ending>,
    /// Whether something was asked, and nothing is known yet of what becomes of it.
    waits: bool,
    asking: Frames,
    /// The key of the lookup that the question is part of.
    key: Option<Vec<u8>>,
    answering: Frames,
    /// What came, up to the end of a frame.
    came: Vec<u8>,
    /// What may be read of it, from a place on.
    left: (Vec<u8>, usize),
}

/// Where one is in a row of frames.
#[derive(Debug, Default)]
struct Frames {
    number: usize,
    length: Vec<u8>,
    /// Bytes of the frame that are still to come, once its length is known.
    missing: Option<usize>,
    /// The first bytes of the frame, at most as many as are kept.
    beginning: Vec<u8>,
}

impl<M> Sifting<M> {
    pub(super) fn new(muxer: M, say: Arc<Say>, node: NodeId, ending: Arc<Ending>) -> Self {
        Self { muxer: Box::pin(muxer), say, node, ending }
    }
}

impl<M: StreamMuxer<Substream: Unpin>> StreamMuxer for Sifting<M> {
    type Substream = Sifted<M::Substream>;
    type Error = M::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, M::Error>> {
        let stream = ready!(self.muxer.as_mut().poll_inbound(cx))?;
        Poll::Ready(Ok(Sifted { stream, sieve: None }))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, M::Error>> {
        let stream = ready!(self.muxer.as_mut().poll_outbound(cx))?;
        let sieve = Some(Box::new(Sieve::new(self.say.clone(), self.node, self.ending.clone())));
        Poll::Ready(Ok(Sifted { stream, sieve }))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        self.muxer.as_mut().poll_close(cx)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, M::Error>> {
        self.muxer.as_mut().poll(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sifted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self { stream, sieve } = &mut *self;
        let Some(sieve) = sieve else { return Pin::new(stream).poll_read(cx, into) };
        loop {
            if let Some(count) = sieve.read(into) {
                return Poll::Ready(Ok(count));
            }
            let mut buffer = [0; 4096];
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
            sieve.waits = false;
            match read? {
                // Of a frame that is not whole nothing is read: the stream ended early.
                0 => return Poll::Ready(Ok(0)),
                count => sieve.take(&buffer[..count])?,
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sifted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, sieve } = &mut *self;
        let written = ready!(Pin::new(stream).poll_write(cx, bytes));
        if let Some(sieve) = sieve {
            sieve.wrote(&written, bytes)?;
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

impl Sieve {
    fn new(say: Arc<Say>, node: NodeId, ending: Arc<Ending>) -> Self {
        let (asking, answering) = (Frames::default(), Frames::default());
        let (came, left) = (Vec::new(), (Vec::new(), 0));
        Self { say, node, ending, waits: false, asking, key: None, answering, came, left }
    }

    /// So much of these bytes was written. What is on its way by now does no harm where there is no say: its answer is not waited
    /// for.
    fn wrote(&mut self, written: &io::Result<usize>, bytes: &[u8]) -> io::Result<()> {
        let Ok(written) = written else {
            self.waits = false;
            return Ok(());
        };
        self.waits |= self.answering.number == 0 && self.came.is_empty();
        self.look_at(&bytes[..*written]).inspect_err(|_| self.waits = false)
    }

    /// Looks at what is asked.
    fn look_at(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            let number = self.asking.number;
            if self.asking.take(*byte, BEGINNING)? && number == MESSAGE {
                let beginning = std::mem::take(&mut self.asking.beginning);
                self.key = lookup_of(&beginning).map(<[u8]>::to_vec);
            }
        }
        match &self.key {
            Some(key) if !self.say.has(key, self.node) => {
                Err(io::Error::new(io::ErrorKind::ConnectionRefused, "enough of its account have a say"))
            }
            _ => Ok(()),
        }
    }

    /// Takes bytes of the answer; frames that are whole may be read.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            self.came.push(*byte);
            let number = self.answering.number;
            if self.answering.take(*byte, 0)? {
                let frame = std::mem::take(&mut self.came);
                self.left.0.extend(match &self.key {
                    Some(key) if number == MESSAGE => sifted(&frame, |peer| self.say.has_peer(key, peer))
                        .ok_or(io::ErrorKind::InvalidData)?,
                    _ => frame,
                });
            }
        }
        Ok(())
    }

    /// How much was read; `None` where more must come first.
    fn read(&mut self, into: &mut [u8]) -> Option<usize> {
        let (bytes, at) = &mut self.left;
        let part = bytes.get(*at..).unwrap_or_default();
        if part.is_empty() && !into.is_empty() {
            self.left = (Vec::new(), 0);
            return None;
        }
        let count = part.len().min(into.len());
        into[..count].copy_from_slice(&part[..count]);
        *at += count;
        Some(count)
    }
}

impl Drop for Sieve {
    fn drop(&mut self) {
        if self.waits {
            self.ending.want(io::ErrorKind::TimedOut);
        }
    }
}

impl Frames {
    /// Takes a byte; whether it was the last one of a frame.
    fn take(&mut self, byte: u8, keep: usize) -> io::Result<bool> {
        let Some(missing) = self.missing.as_mut() else {
            self.length.push(byte);
            if byte & 0x80 == 0 {
                let (length, _) = varint(&self.length).ok_or(io::ErrorKind::InvalidData)?;
                let length = usize::try_from(length).ok().filter(|length| *length <= DHT_PACKET_BYTES);
                self.missing = Some(length.ok_or(io::ErrorKind::InvalidData)?);
                return Ok(self.ends());
            }
            let fits = self.length.len() < LENGTH_BYTES;
            return if fits { Ok(false) } else { Err(io::ErrorKind::InvalidData.into()) };
        };
        *missing = missing.saturating_sub(1);
        if self.beginning.len() < keep {
            self.beginning.push(byte);
        }
        Ok(self.ends())
    }

    /// Goes on to the next frame where this one is over.
    fn ends(&mut self) -> bool {
        let ended = self.missing == Some(0);
        if ended {
            let beginning =
                if self.number == MESSAGE { std::mem::take(&mut self.beginning) } else { Vec::new() };
            *self = Self { number: self.number + 1, beginning, ..Self::default() };
        }
        ended
    }
}

/// The key that a request looks up, if it does.
fn lookup_of(request: &[u8]) -> Option<&[u8]> {
    let mut fields = Fields(request);
    let (number, kind) = fields.next()?;
    let (key, value) = fields.next()?;
    match (number, kind, key, value) {
        (TYPE, Value::Number(kind), KEY, Value::Bytes(key)) if LOOKUPS.contains(&kind) => Some(key),
        _ => None,
    }
}

/// A frame without those nearer peers who have no say; `None` where it is no message.
fn sifted(frame: &[u8], has_say: impl Fn(&PeerId) -> bool) -> Option<Vec<u8>> {
    let (_, mut rest) = varint(frame)?;
    let mut kept: Vec<u8> = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let mut fields = Fields(rest);
        let (number, value) = fields.next()?;
        let (whole, after) = rest.split_at(rest.len() - fields.0.len());
        let stays = match (number, value) {
            (CLOSER_PEERS, Value::Bytes(peer)) => peer_of(peer)?.as_ref().is_some_and(&has_say),
            (CLOSER_PEERS, _) => return None,
            _ => true,
        };
        if stays {
            kept.extend_from_slice(whole);
        }
        rest = after;
    }
    let mut frame = length_of(kept.len());
    frame.extend(kept);
    Some(frame)
}

/// Whom a `Peer` names last, as protobuf has it; `None` where it is no message.
fn peer_of(peer: &[u8]) -> Option<Option<PeerId>> {
    let (mut fields, mut named) = (Fields(peer), None);
    while !fields.0.is_empty() {
        if let (PEER_ID, Value::Bytes(id)) = fields.next()? {
            named = PeerId::from_bytes(id).ok();
        }
    }
    Some(named)
}

#[cfg(test)]
mod tests {
    use certs::SecretKey;
    use proptest::prelude::*;

    use super::super::address;
    use super::super::protobuf::field;
    use super::*;

    fn peer(seed: u8) -> PeerId {
        address::peer_of(&SecretKey::from_seed([seed; 32]).public())
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        [length_of(message.len()), message.to_vec()].concat()
    }

    fn named(seed: u8) -> Vec<u8> {
        field(8, &[field(1, &peer(seed).to_bytes()), field(2, &[7; 200]), vec![3 << 3, 1]].concat())
    }

    #[test]
    fn who_has_no_say_is_not_named() {
        let record = field(3, &field(2, &[9; 300]));
        let message =
            [vec![8, 1], record.clone(), named(1), named(2), field(9, b"provider"), named(3)].concat();
        let left = sifted(&framed(&message), |one| *one != peer(2)).expect("a message");
        assert_eq!(left, framed(&[vec![8, 1], record, named(1), field(9, b"provider"), named(3)].concat()));
        let two_ids = field(8, &[field(1, &peer(1).to_bytes()), field(1, &peer(2).to_bytes())].concat());
        assert_eq!(sifted(&framed(&two_ids), |one| *one != peer(2)), Some(vec![0]), "the last one counts");
        let nobody = field(8, &field(1, b"nobody"));
        assert_eq!(sifted(&framed(&nobody), |_| true), Some(vec![0]));
        for bad in [vec![8 << 3, 1], vec![8 << 3 | 3], vec![8 << 3 | 2, 5, 1], field(8, &[0x0a])] {
            assert_eq!(sifted(&framed(&bad), |_| true), None, "{bad:?}");
        }
    }

    #[test]
    fn lookups_are_told_from_other_requests() {
        let key = field(2, b"key");
        for kind in [1, 3, 4] {
            assert_eq!(lookup_of(&[vec![8, kind], key.clone()].concat()), Some(&b"key"[..]));
        }
        let put = field(3, &field(1, b"key"));
        for other in [put, [vec![8, 2], key.clone()].concat(), [vec![8, 5], key].concat(), vec![8]] {
            assert_eq!(lookup_of(&other), None);
        }
    }

    /// Nobody is anybody's.
    struct Nobody;

    impl super::super::Accounts for Nobody {
        fn account_of(&self, _: NodeId) -> Option<certs::AccountId> {
            None
        }
    }

    /// Whether a stream on which this happened ends its connection when it is dropped.
    fn ends(happens: impl AsyncFnOnce(&mut Sifted<futures_util::io::Cursor<Vec<u8>>>), came: &[u8]) -> bool {
        use futures_util::FutureExt;
        let ending = Arc::new(Ending::default());
        let say = Say::new(Arc::new(Nobody), super::super::clocks::Clocks::start(), Arc::default());
        let node = SecretKey::from_seed([1; 32]).public();
        let sieve = Some(Box::new(Sieve::new(say, node, ending.clone())));
        let mut stream = Sifted { stream: futures_util::io::Cursor::new(came.to_vec()), sieve };
        happens(&mut stream).now_or_never().expect("it is all there");
        drop(stream);
        ending.is_wanted()
    }

    #[test]
    fn a_stream_that_nobody_answered_ends_its_connection() {
        use futures_util::{AsyncReadExt, AsyncWriteExt};
        let asked = framed(b"hello");
        assert!(!ends(async |_| (), b""), "nothing was asked");
        assert!(ends(async |stream| stream.write_all(&asked).await.expect("memory"), b""));
        let answered = async |stream: &mut Sifted<futures_util::io::Cursor<Vec<u8>>>| {
            stream.write_all(&asked).await.expect("memory");
            // A cursor is one place for both: what is read comes after what was written.
            let mut byte = [0];
            let _ = stream.read(&mut byte).await.expect("memory");
        };
        assert!(!ends(answered, &[asked.clone(), framed(b"hello")].concat()), "it is there");
        assert!(!ends(answered, &asked), "it ended the stream, and so is there");
    }

    proptest! {
        #[test]
        fn frames_are_the_same_however_they_come(
            lengths in proptest::collection::vec(0_usize..400, 1..6),
        ) {
            let all: Vec<u8> = lengths.iter().flat_map(|length| framed(&vec![1; *length])).collect();
            let mut frames = Frames::default();
            let ends = all.iter().filter(|byte| frames.take(**byte, BEGINNING).unwrap()).count();
            prop_assert_eq!(ends, lengths.len());
            prop_assert_eq!(frames.number, lengths.len());
        }

        #[test]
        fn any_bytes_are_a_message_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (sifted(&bytes, |_| true), lookup_of(&bytes));
            let mut sieve = Frames::default();
            let _ = bytes.iter().try_for_each(|byte| sieve.take(*byte, BEGINNING).map(drop));
        }
    }
}
