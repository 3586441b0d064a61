//! `events`: the stream on which a node is told of new records of what it follows.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use wire::message::{Answer, Empty};
use wire::{ErrorBody, ErrorCode, frame, limits};

use super::IndexService;
use crate::followers::Listener;
use crate::session::IndexSession;

/// How long a reader may take nothing while there is something to tell.
const PATIENCE: Duration = Duration::from_secs(30);

/// How an `events` stream ended, and what the caller does with it.
#[derive(Debug)]
pub enum EventsEnd {
    /// There was no A yet: answer this E.
    Refused(ErrorBody),
    /// Reset the stream with this code.
    Reset(ErrorCode),
    /// The reader, or its connection, is gone: nothing.
    Gone(io::Error),
}

impl IndexService {
    /// Answers `events`: writes the A, and then each event, until the stream ends. It belongs to the caller again then.
    ///
    /// # Cancel safety
    /// Cancelling resets the stream with `shutting-down`; nothing is followed any more.
    pub async fn events(&self, session: &IndexSession, send: &mut quinn::SendStream) -> EventsEnd {
        if let Err(error) = self.check_member(session) {
            return EventsEnd::Refused(error);
        }
        let listening = self.inner.followers.listen(session.number);
        let gone = send.stopped();
        let mut open = Open { send, ended: false };
        let may_hear = || self.check_member(session).map_err(|error| error.code);
        let end = tokio::select! {
            end = tell(&listening, may_hear, open.send) => end,
            stopped = gone => EventsEnd::Gone(match stopped {
                Ok(_) => io::Error::new(io::ErrorKind::BrokenPipe, "the reader ended the stream"),
                Err(error) => error.into(),
            }),
        };
        open.ended = true;
        end
    }
}

/// A stream that is reset where it is dropped before it has ended: quinn would finish it.
struct Open<'a> {
    send: &'a mut quinn::SendStream,
    ended: bool,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // One that the far end has stopped cannot be reset, and need not be.
            let _ = self.send.reset(quinn::VarInt::from_u32(ErrorCode::ShuttingDown.number()));
        }
    }
}

/// Writes the A and what the listener is told. `may_hear` says before each event whether its reader still may.
async fn tell(
    listener: &Listener,
    may_hear: impl Fn() -> Result<(), ErrorCode>,
    writer: &mut (impl AsyncWrite + Unpin),
) -> EventsEnd {
    let answer = match frame::encode(&Answer::A(Empty {}), limits::FRAME_BYTES) {
        Ok(answer) => answer,
        Err(error) => return EventsEnd::Refused(error.to_body()),
    };
    let mut written = write(writer, &answer).await;
    loop {
        if let Err(end) = written {
            return end;
        }
        let news = match listener.next().await {
            Ok(news) => news,
            Err(code) => return EventsEnd::Reset(code),
        };
        // Of the record nothing has to be checked: every one is of visibility `members`.
        if let Err(code) = may_hear() {
            return EventsEnd::Reset(code);
        }
        written = write(writer, news.frame()).await;
    }
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> Result<(), EventsEnd> {
    match tokio::time::timeout(PATIENCE, writer.write_all(frame)).await {
        Ok(written) => written.map_err(EventsEnd::Gone),
        Err(_) => Err(EventsEnd::Reset(ErrorCode::Timeout)),
    }
}

#[cfg(test)]
mod tests {
    use certs::AccountId;
    use tokio::io::{AsyncReadExt, duplex};
    use wire::message::{Event, RecordBundle};

    use super::*;
    use crate::followers::{Changed, Followers, Key};

    const EVENT_BYTES: usize = 1000;

    fn change() -> Changed {
        let bundle = RecordBundle::bare(vec![7; EVENT_BYTES]);
        Changed { account: AccountId::from_bytes([1; 16]), name: "a".parse().expect("a name"), bundle }
    }

    fn key() -> Key {
        Key::of(&change().account, &change().name)
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_for_too_long_is_given_up() {
        let followers = Followers::new();
        let listening = followers.listen(1);
        followers.follow(1, &[key()]).expect("room");
        let (mut writer, mut reader) = duplex(64);
        let reading = async {
            let answer: Answer<Empty> = frame::read(&mut reader, 99).await.expect("read");
            assert_eq!(answer, Answer::A(Empty {}));
            // Nothing to tell: it may take as long as it likes.
            tokio::time::sleep(100 * PATIENCE).await;
            followers.publish(vec![change()]);
            let event: Event = frame::read(&mut reader, 9999).await.expect("read");
            assert_eq!(event, Event::Record(change().bundle));
            followers.publish(vec![change()]);
            tokio::time::sleep(PATIENCE + Duration::from_secs(1)).await;
        };
        let (end, ()) = tokio::join!(tell(&listening, || Ok(()), &mut writer), reading);
        assert!(matches!(end, EventsEnd::Reset(ErrorCode::Timeout)), "{end:?}");
    }

    #[tokio::test]
    async fn who_is_no_member_any_more_is_told_nothing() {
        let followers = Followers::new();
        let listening = followers.listen(1);
        followers.follow(1, &[key()]).expect("room");
        followers.publish(vec![change()]);
        let (mut writer, mut reader) = duplex(9999);
        let end = tell(&listening, || Err(ErrorCode::NotMember), &mut writer).await;
        assert!(matches!(end, EventsEnd::Reset(ErrorCode::NotMember)), "{end:?}");
        drop(writer);
        let mut written = Vec::new();
        reader.read_to_end(&mut written).await.expect("read");
        assert_eq!(written, frame::encode(&Answer::A(Empty {}), 99).expect("small"));
    }
}
