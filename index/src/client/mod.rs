//! Asking: one request on a stream of its own. For a peer that asks its index, an index that asks a peer, and peers
//! among themselves.

mod events;
mod statements;

use std::io;
use std::time::Duration;

use certs::UserName;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;
use wire::frame::{self, FrameError};
use wire::message::{
    Answer, Credentials, Deregister, Deregistered, Empty, Enrolled, Follow, FollowOutcome, Followed,
    Following, Held, Holds, List, Located, Page, RecordBundle, Register, RegisterStart, Registered, Request,
    RequestDownload, ResourceKey, ResourceQuery, Search, Unfollow, Who, WhoPage,
};
use wire::{ContentHash, ErrorBody, ErrorCode, ResourceName, limits};

pub use self::events::Events;
use crate::jitter::jitter;

/// How long a request to the index may take. architecture.md, "Start".
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a change is sent to an index that has too much to do: for half a minute.
const ATTEMPTS: u32 = 10;
/// The longest pause before that, whatever the index says.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The far end says no: by E, or by resetting the stream with a code.
    #[error(transparent)]
    Refused(ErrorBody),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The connection is gone.
    #[error("the connection was lost: {0}")]
    Connection(#[source] quinn::ConnectionError),
    /// The answer cannot be read, or the request is too large to be sent.
    #[error(transparent)]
    Frame(FrameError),
}

impl CallError {
    /// As the E that says the same to whoever asked us. Never `done`: who was asked and only says that nothing is wrong
    /// has not answered.
    pub fn to_body(&self) -> ErrorBody {
        let mut body = match self {
            Self::Refused(body) => body.clone(),
            Self::Timeout(_) => ErrorBody::new(ErrorCode::Timeout, self.to_string()),
            Self::Connection(quinn::ConnectionError::ApplicationClosed(close)) => {
                ErrorBody::new(code_of(close.error_code), self.to_string())
            }
            Self::Connection(_) => ErrorBody::new(ErrorCode::Unavailable, self.to_string()),
            Self::Frame(error) => error.to_body(),
        };
        if body.code == ErrorCode::Done {
            body.code = ErrorCode::Unavailable;
        }
        body
    }
}

impl From<CallError> for ErrorBody {
    fn from(error: CallError) -> Self {
        error.to_body()
    }
}

/// Sends a request and reads its answer, both one frame of at most [`limits::MEMBER_FRAME_BYTES`].
///
/// # Errors
/// See [`CallError`].
///
/// # Cancel safety
/// Cancelling resets the stream; the far end may have done what was asked.
pub async fn call<T: DeserializeOwned>(
    connection: &quinn::Connection,
    request: &Request,
    timeout: Duration,
) -> Result<T, CallError> {
    match tokio::time::timeout(timeout, exchange(connection, request)).await {
        Ok(answer) => answer,
        Err(_) => Err(CallError::Timeout(timeout)),
    }
}

async fn exchange<T: DeserializeOwned>(
    connection: &quinn::Connection,
    request: &Request,
) -> Result<T, CallError> {
    open(connection, request).await.map(|(answer, _)| answer)
}

/// The same, with the stream on which more may come.
async fn open<T: DeserializeOwned>(
    connection: &quinn::Connection,
    request: &Request,
) -> Result<(T, quinn::RecvStream), CallError> {
    let frame = frame::encode(request, limits::MEMBER_FRAME_BYTES).map_err(CallError::Frame)?;
    let (send, mut receive) = connection.open_bi().await.map_err(CallError::Connection)?;
    let mut send = Resetting { stream: send, whole: false };
    let sent = send.stream.write_all(&frame).await;
    if let Ok(()) = sent {
        // Only a stream that was reset or finished before cannot be.
        let _ = send.stream.finish();
        send.whole = true;
    }
    // Who refuses a request early stops reading it and answers all the same.
    let stopped = matches!(sent, Err(quinn::WriteError::Stopped(_)));
    if let (Err(error), false) = (sent, stopped) {
        return Err(written(error));
    }
    let answer: Answer<T> = frame::read(&mut receive, limits::MEMBER_FRAME_BYTES).await.map_err(unread)?;
    Ok((Result::from(answer).map_err(CallError::Refused)?, receive))
}

/// A request that is reset where it is dropped before it is whole: quinn would finish it, and a part would be read as the
/// request.
struct Resetting {
    stream: quinn::SendStream,
    whole: bool,
}

impl Drop for Resetting {
    fn drop(&mut self) {
        if !self.whole {
            let _ = self.stream.reset(quinn::VarInt::from_u32(ErrorCode::Cancelled.number()));
        }
    }
}

fn written(error: quinn::WriteError) -> CallError {
    match error {
        quinn::WriteError::ConnectionLost(error) => CallError::Connection(error),
        other => CallError::Frame(FrameError::Io(other.into())),
    }
}

fn unread(error: FrameError) -> CallError {
    let FrameError::Io(error) = error else { return CallError::Frame(error) };
    match read_error(&error) {
        Some(read) => reset_or_lost(read.clone()),
        None => CallError::Frame(FrameError::Io(error)),
    }
}

fn reset_or_lost(error: quinn::ReadError) -> CallError {
    match error {
        quinn::ReadError::Reset(code) => {
            CallError::Refused(ErrorBody::new(code_of(code), "the far end reset the stream"))
        }
        quinn::ReadError::ConnectionLost(lost) => CallError::Connection(lost),
        other => CallError::Frame(FrameError::Io(other.into())),
    }
}

fn read_error(error: &io::Error) -> Option<&quinn::ReadError> {
    error.get_ref()?.downcast_ref()
}

/// The code that a stream was reset or a connection was closed with.
fn code_of(code: quinn::VarInt) -> ErrorCode {
    u32::try_from(code.into_inner()).map_or(ErrorCode::Internal, ErrorCode::from_number)
}

/// A connection to the index, asked by name. The `hello` is the caller's.
#[derive(Debug, Clone)]
pub struct IndexClient {
    connection: quinn::Connection,
}

/// Every method has the errors of [`call`], and gives up after [`REQUEST_TIMEOUT`]; but R and D are sent up to 10 times
/// while the index answers that it is busy.
impl IndexClient {
    /// For a connection whose `hello` was answered by the index.
    pub fn new(connection: quinn::Connection) -> Self {
        Self { connection }
    }

    /// The connection.
    pub fn connection(&self) -> &quinn::Connection {
        &self.connection
    }

    /// Makes an account and enrols this node. [`REQUEST_TIMEOUT`] holds for the index's queue of password hashes too.
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn signup(&self, credentials: Credentials) -> Result<Enrolled, CallError> {
        self.ask(&Request::Signup(credentials)).await
    }

    /// Enrols this node for an account.
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn login(&self, credentials: Credentials) -> Result<Enrolled, CallError> {
        self.ask(&Request::Login(credentials)).await
    }

    /// Ends this node's enrolment.
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn logout(&self) -> Result<(), CallError> {
        self.ask::<Empty>(&Request::Logout(Empty {})).await.map(drop)
    }

    /// Takes a new membership in place of the one that ends.
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn renew(&self) -> Result<Enrolled, CallError> {
        self.ask(&Request::Renew(Empty {})).await
    }

    /// Are you there?
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn ping(&self) -> Result<(), CallError> {
        self.ask::<Empty>(&Request::Ping(Empty {})).await.map(drop)
    }

    /// Who is online.
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn who(&self, who: Who) -> Result<WhoPage, CallError> {
        self.ask(&Request::Who(who)).await
    }

    /// Opens the stream on which the index tells of new records of what is then followed. What is followed belongs to the
    /// stream: it begins with nothing, and another one on the same connection takes its place.
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn events(&self) -> Result<Events, CallError> {
        Events::open(&self.connection, REQUEST_TIMEOUT).await
    }

    /// Follows resources, at most 128, while [`IndexClient::events`] are open: an outcome each, in their order, with a
    /// bundle exactly where another record stands. Of the bundles nothing is checked. `not-found`: no stream of events is
    /// open any more; open another, and follow all anew.
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn follow(&self, resources: Vec<Followed>) -> Result<Vec<FollowOutcome>, CallError> {
        let asked = resources.len();
        let following: Following = self.ask(&Request::Follow(Follow { resources })).await?;
        following.check(asked).map_err(CallError::Refused)?;
        Ok(following.outcomes)
    }

    /// Follows resources no longer, at most 128. Events of them that are on their way still come.
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn unfollow(&self, resources: Vec<ResourceKey>) -> Result<(), CallError> {
        self.ask::<Empty>(&Request::Unfollow(Unfollow { resources })).await.map(drop)
    }

    /// The first R: is the index up to date?
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn start(&self, start: RegisterStart) -> Result<Registered, CallError> {
        self.change(Request::R(Register { start: Some(start), ..Register::default() })).await
    }

    /// Publishes records, at most 128: an outcome each.
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn register(&self, records: Vec<RecordBundle>) -> Result<Registered, CallError> {
        self.change(Request::R(Register { records: Some(records), ..Register::default() })).await
    }

    /// Says what this node holds, at most 4,096 contents.
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn hold(&self, generation: u64, contents: Vec<Held>, last: bool) -> Result<(), CallError> {
        let holds = Holds { generation, contents, last };
        self.change::<Registered>(Request::R(Register { holds: Some(holds), ..Register::default() }))
            .await
            .map(drop)
    }

    /// Takes resources back by their tombstones, at most 128: an outcome each.
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn deregister(&self, tombstones: Vec<RecordBundle>) -> Result<Deregistered, CallError> {
        self.change(Request::D(Deregister { tombstones: Some(tombstones), ..Deregister::default() })).await
    }

    /// Says what this node holds no more, at most 4,096 contents.
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn unhold(&self, contents: Vec<ContentHash>) -> Result<(), CallError> {
        let request = Deregister { holding: Some(contents), ..Deregister::default() };
        self.change::<Deregistered>(Request::D(request)).await.map(drop)
    }

    /// The record of a resource and who holds its content. The answer's bounds are checked, its signatures are not.
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn locate(&self, resource: ResourceQuery) -> Result<Located, CallError> {
        let request = RequestDownload { resource: Some(resource), ..RequestDownload::default() };
        let located: Located = self.ask(&Request::P(request)).await?;
        located.check().map_err(CallError::Refused)?;
        Ok(located)
    }

    /// A page of what is shared.
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn list(&self, list: List) -> Result<Page, CallError> {
        self.ask(&Request::L(list)).await
    }

    /// A page of the versions of a resource, the newest first: `limit` is 1 to 1,000, 256 without; `cursor` is the `next`
    /// of the page before, and good for the same resource alone. An index that keeps no versions answers the latest.
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn versions(
        &self,
        owner: UserName,
        name: ResourceName,
        limit: Option<u32>,
        cursor: Option<ByteBuf>,
    ) -> Result<Page, CallError> {
        let (owner, name) = (Some(owner), Some(name));
        self.list(List { owner, name, versions: true, limit, cursor, ..List::default() }).await
    }

    /// A page of what matches a query.
    ///
    /// # Errors
    /// Those of [`call`].
    pub async fn search(&self, search: Search) -> Result<Page, CallError> {
        self.ask(&Request::S(search)).await
    }

    /// Asks for a change: up to 10 times, where the index has too much to do at once.
    async fn change<T: DeserializeOwned>(&self, request: Request) -> Result<T, CallError> {
        for _ in 1..ATTEMPTS {
            match self.ask(&request).await {
                Err(CallError::Refused(body)) if body.code == ErrorCode::Busy => {
                    tokio::time::sleep(pause(body.retry_after_ms)).await;
                }
                answer => return answer,
            }
        }
        self.ask(&request).await
    }

    async fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, CallError> {
        call(&self.connection, request, REQUEST_TIMEOUT).await
    }
}

/// What the index asked for and up to as much again.
fn pause(retry_after_ms: Option<u64>) -> Duration {
    let asked = Duration::from_millis(retry_after_ms.unwrap_or(1000)).min(LONGEST_PAUSE);
    asked + jitter(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn done_is_no_error_to_hand_on() {
        let close = quinn::ApplicationClose { error_code: 0_u32.into(), reason: "logged out".into() };
        let closed = CallError::Connection(quinn::ConnectionError::ApplicationClosed(close));
        let answered = CallError::Refused(ErrorBody::new(ErrorCode::Done, "as if nothing were wrong"));
        for error in [closed, answered] {
            let body = error.to_body();
            assert_eq!(body.code, ErrorCode::Unavailable);
            assert!(!body.text.is_empty());
        }
        let busy = CallError::Refused(ErrorBody::new(ErrorCode::Busy, "later").retry_after(7));
        assert_eq!(busy.to_body(), ErrorBody::new(ErrorCode::Busy, "later").retry_after(7));
    }
}
