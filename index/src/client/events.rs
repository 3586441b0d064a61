//! The events of an index, one by one as they come.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use wire::frame::FrameError;
use wire::limits;
use wire::message::{Empty, Event, Request};

use super::{CallError, open, reset_or_lost};

/// The length before a frame.
const LENGTH_BYTES: usize = 4;
/// What is taken from the stream at once.
const PIECE_BYTES: usize = 64 << 10;

/// An open `events` stream. Dropped, it ends, and nothing is followed any more.
#[derive(Debug)]
pub struct Events {
    receive: quinn::RecvStream,
    /// What has come and is not yet a whole frame; at most one frame and one piece.
    buffer: BytesMut,
}

impl Events {
    /// Opens a stream, within this time.
    ///
    /// # Errors
    /// Those of [`super::call`].
    ///
    /// # Cancel safety
    /// Cancelling ends the stream.
    pub(super) async fn open(connection: &quinn::Connection, timeout: Duration) -> Result<Self, CallError> {
        let request = Request::Events(Empty {});
        match tokio::time::timeout(timeout, open::<Empty>(connection, &request)).await {
            Ok(opened) => Ok(Self { receive: opened?.1, buffer: BytesMut::new() }),
            Err(_) => Err(CallError::Timeout(timeout)),
        }
    }

    /// The next event, however long that takes; events of later versions are passed over. `None`: the index has ended the
    /// stream without a reason. Of a record nothing is checked.
    ///
    /// # Errors
    /// The stream is over: [`CallError::Refused`] with the code with which the index ended it, [`CallError::Connection`],
    /// or [`CallError::Frame`] where what came is no event, or a frame of more than [`limits::EVENT_BYTES`].
    ///
    /// # Cancel safety
    /// Cancelling loses nothing: the next call goes on.
    pub async fn next(&mut self) -> Result<Option<Event>, CallError> {
        loop {
            match take(&mut self.buffer).map_err(CallError::Frame)? {
                Some(Some(event)) => return Ok(Some(event)),
                // One of a later version.
                Some(None) => continue,
                None => {}
            }
            match self.receive.read_chunk(PIECE_BYTES, true).await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk.bytes),
                Ok(None) if self.buffer.is_empty() => return Ok(None),
                Ok(None) => {
                    let cut = io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ends in an event");
                    return Err(CallError::Frame(cut.into()));
                }
                Err(error) => return Err(reset_or_lost(error)),
            }
        }
    }
}

/// The first frame, where it is whole, read: `Some(None)` is an event of a later version.
fn take(buffer: &mut BytesMut) -> Result<Option<Option<Event>>, FrameError> {
    let Some(length) = buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let actual = u32::from_be_bytes(*length) as usize;
    if actual > limits::EVENT_BYTES {
        return Err(FrameError::TooLarge { actual, limit: limits::EVENT_BYTES });
    }
    if buffer.len() < LENGTH_BYTES + actual {
        return Ok(None);
    }
    buffer.advance(LENGTH_BYTES);
    Ok(Some(Event::decode(&buffer.split_to(actual))?))
}

#[cfg(test)]
mod tests {
    use wire::frame;
    use wire::message::RecordBundle;

    use super::*;

    fn event(bytes: usize) -> Event {
        Event::Record(RecordBundle::bare(vec![7; bytes]))
    }

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let frames =
            [event(0), event(5000), event(3)].map(|event| frame::encode(&event, 9999).expect("small"));
        let later = [[0, 0, 0, 4].as_slice(), b"\xa1\x61x\x01"].concat();
        let all = [frames.concat(), later].concat();
        for piece in [1, 3, 4, 5, 1000, all.len()] {
            let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
            for part in all.chunks(piece) {
                buffer.extend_from_slice(part);
                while let Some(event) = take(&mut buffer).expect("good frames") {
                    found.push(event);
                }
            }
            assert_eq!(found, [Some(event(0)), Some(event(5000)), Some(event(3)), None], "{piece}");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn bad_frames_are_refused_before_they_are_kept() {
        let read = |bytes: &[u8]| take(&mut BytesMut::from(bytes));
        assert!(matches!(read(&[0, 1, 0, 1]), Err(FrameError::TooLarge { actual: 65_537, .. })));
        assert!(matches!(read(&[0, 1, 0, 0]), Ok(None)), "the largest");
        assert!(matches!(read(&[0, 0, 0, 0]), Err(FrameError::Cbor(_))));
        assert!(matches!(read(&[0, 0, 0, 1, 0xa0]), Err(FrameError::Cbor(_))));
    }
}
