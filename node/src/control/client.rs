//! The control API as a local program uses it.

use std::marker::PhantomData;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use wire::ErrorCode;

use super::api::{
    Enrolled, Event, EventsRequest, GcDone, GcRequest, GetDone, GetRequest, JobDone, JobLimit,
    JobLimitRequest, JobRequest, JobsDone, Limits, Line, ListRequest, LoggedEvent, LoggedOut, LoginRequest,
    PageRequest, PasswdDone, PasswdRequest, RecoveryStatus, ResourcePage, SearchRequest, ShareDone,
    ShareRequest, SharesPage, SignupRequest, Started, Status, SubscribeRequest, SubscriptionRequest,
    SubscriptionsDone, SubscriptionsPage, Transfers, UnshareRequest, Unshared, UnsubscribeRequest,
    Unsubscribed, VersionsPage, VersionsRequest, WhoPage,
};
use super::code::LocalCode;
use super::error::{ApiError, ApiResult};
use super::socket;
use crate::home::Home;
use crate::options::LimitChanges;

/// How long the daemon may think about a request: it waits 5 s for the index, and hashing a password takes a while.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest answer, in bytes: 1,000 transfers with the longest paths and 64 nodes each are 26 MB, a status 8 MB.
const ANSWER_BYTES: usize = 32 << 20;
/// The longest line of a long operation, in bytes: one with a source for each of 1,000 holders has 150 KB.
const LINE_BYTES: usize = 1 << 20;

/// Talks to the daemon of one home; each request has a connection of its own.
#[derive(Debug, Clone)]
pub struct Client {
    home: Home,
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident($request:ty) -> $answer:ty;)*) => {
        impl Client {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// The daemon's, or `no-daemon`.
            pub async fn $name(&self, request: &$request) -> ApiResult<$answer> {
                self.ask(stringify!($name), request).await
            }
        )*}
    };
}

operations! {
    /// Who and how the node is.
    status(()) -> Status;
    /// Begins to stop the daemon.
    stop(()) -> ();
    /// Makes an account and enrols the node.
    signup(SignupRequest) -> Enrolled;
    /// Enrols the node for an account that exists.
    login(LoginRequest) -> Enrolled;
    /// Ends the node's membership.
    logout(()) -> LoggedOut;
    /// How far an index's recovery is.
    recovery(()) -> RecoveryStatus;
    /// Ends it.
    finish_recovery(()) -> RecoveryStatus;
    /// Gives an account of an index another password.
    passwd(PasswdRequest) -> PasswdDone;
    /// One page of who is online.
    who(PageRequest) -> WhoPage;
    /// One page of what the node shares.
    shares(PageRequest) -> SharesPage;
    /// Takes a resource out of the registry.
    unshare(UnshareRequest) -> Unshared;
    /// One page of everything that is shared.
    list(ListRequest) -> ResourcePage;
    /// One page of what matches a query.
    search(SearchRequest) -> ResourcePage;
    /// One page of the versions of a resource.
    versions(VersionsRequest) -> VersionsPage;
    /// Removes what nothing needs.
    gc(GcRequest) -> GcDone;
    /// What is being moved, either way.
    transfers(()) -> Transfers;
    /// Pauses a download.
    pause(JobRequest) -> JobDone;
    /// Pauses all downloads that run.
    pause_all(()) -> JobsDone;
    /// Goes on with a download.
    resume(JobRequest) -> JobDone;
    /// Goes on with all downloads that are paused.
    resume_all(()) -> JobsDone;
    /// Keeps a resource up to date.
    subscribe(SubscribeRequest) -> SubscriptionsDone;
    /// Does so no more.
    unsubscribe(UnsubscribeRequest) -> Unsubscribed;
    /// One page of what stays up to date.
    subscriptions(PageRequest) -> SubscriptionsPage;
    /// Goes on with versions that wait for the user.
    accept(SubscriptionRequest) -> SubscriptionsDone;
    /// Changes limits, and says what holds.
    limit(LimitChanges) -> Limits;
    /// Changes the limit of one download, and says what holds.
    limit_transfer(JobLimitRequest) -> JobLimit;
    /// Drops a download.
    cancel(JobRequest) -> JobDone;
}

impl Client {
    /// For the daemon of a home; connects to nothing yet.
    pub const fn new(home: Home) -> Self {
        Self { home }
    }

    /// Whose daemon it talks to.
    pub const fn home(&self) -> &Home {
        &self.home
    }

    /// Whether a daemon is there at all, before anything is asked of the user.
    ///
    /// # Errors
    /// `no-daemon`.
    pub async fn reach(&self) -> ApiResult<()> {
        socket::connect(&self.home).await.map(drop)
    }

    /// Shares a file. Dropping what this returns cancels it.
    ///
    /// # Errors
    /// The daemon's, or `no-daemon`.
    pub async fn share(&self, request: &ShareRequest) -> ApiResult<Following<ShareDone>> {
        self.follow("share", request).await
    }

    /// Downloads a resource. Dropping what this returns leaves the download running.
    ///
    /// # Errors
    /// The daemon's, or `no-daemon`.
    pub async fn get(&self, request: &GetRequest) -> ApiResult<Following<GetDone>> {
        self.follow("get", request).await
    }

    /// Starts a download that goes on by itself. Dropping what this returns before the result begins none.
    ///
    /// # Errors
    /// The daemon's, or `no-daemon`.
    pub async fn start(&self, request: &GetRequest) -> ApiResult<Following<Started>> {
        self.follow("start", request).await
    }

    /// Reads the log of activity, and follows it where that is asked for. Dropping what this returns ends that.
    ///
    /// # Errors
    /// The daemon's, or `no-daemon`.
    pub async fn events(&self, request: &EventsRequest) -> ApiResult<Listed<LoggedEvent>> {
        Ok(Listed { said: self.said("events", request).await?, _item: PhantomData })
    }

    async fn ask<Q: Serialize, A: DeserializeOwned>(&self, operation: &str, request: &Q) -> ApiResult<A> {
        let exchange = async {
            let (response, _connection) = self.send(operation, request).await?;
            collect(response).await
        };
        let document = within_patience(exchange).await?;
        serde_json::from_slice(&document).map_err(|error| bad_answer(&error))
    }

    async fn follow<Q: Serialize, T>(&self, operation: &str, request: &Q) -> ApiResult<Following<T>> {
        Ok(Following { said: self.said(operation, request).await?, _result: PhantomData })
    }

    async fn said<Q: Serialize>(&self, operation: &str, request: &Q) -> ApiResult<Said> {
        let (response, connection) = within_patience(self.send(operation, request)).await?;
        Ok(Said { body: response.into_body(), buffer: Vec::new(), _connection: connection })
    }

    /// The response, if it is a good one, and the task that moves its bytes.
    async fn send<Q: Serialize>(
        &self,
        operation: &str,
        request: &Q,
    ) -> ApiResult<(Response<Incoming>, JoinSet<()>)> {
        let body = serde_json::to_vec(request).map_err(|error| ApiError::usage(error.to_string()))?;
        let request = Request::post(format!("/v1/{operation}"))
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| bad_answer(&error))?;
        let stream = socket::connect(&self.home).await?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(|error| gone(&error))?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _ = connection.await;
        });
        let response = sender.send_request(request).await.map_err(|error| gone(&error))?;
        if response.status().is_success() {
            return Ok((response, tasks));
        }
        Err(error_of(&collect(response).await?))
    }
}

/// A long operation, and what it says.
#[derive(Debug)]
pub struct Following<T> {
    said: Said,
    _result: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Following<T> {
    /// The next event. After a `Result` or an `Error` there is none, and this is an error.
    ///
    /// # Errors
    /// `no-daemon` where the daemon went away, `bad-answer` where it cannot be understood.
    ///
    /// # Cancel safety
    /// Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> ApiResult<Event<T>> {
        self.said.next().await
    }
}

/// A list that comes item by item.
#[derive(Debug)]
pub struct Listed<T> {
    said: Said,
    _item: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Listed<T> {
    /// The next item; `None` after the last. After that, or after an error, this is an error.
    ///
    /// # Errors
    /// The daemon's; `no-daemon` where it went away, `bad-answer` where it cannot be understood.
    ///
    /// # Cancel safety
    /// Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> ApiResult<Option<T>> {
        match self.said.next().await? {
            Line::Item(item) => Ok(Some(item)),
            Line::End => Ok(None),
            Line::Error(error) => Err(error),
        }
    }
}

/// The lines of an answer that comes bit by bit.
#[derive(Debug)]
struct Said {
    body: Incoming,
    buffer: Vec<u8>,
    /// Aborted when this is dropped: that closes the connection.
    _connection: JoinSet<()>,
}

impl Said {
    /// The next line. Cancel safe.
    async fn next<L: DeserializeOwned>(&mut self) -> ApiResult<L> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line).map_err(|error| bad_answer(&error));
            }
            if self.buffer.len() > LINE_BYTES {
                return Err(bad_answer(&"a line without end"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.buffer.extend(frame.data_ref().into_iter().flatten()),
                Some(Err(error)) => return Err(gone(&error)),
                None => return Err(gone(&"it closed the connection")),
            }
        }
    }
}

async fn within_patience<T>(exchange: impl Future<Output = ApiResult<T>>) -> ApiResult<T> {
    let late = || ApiError::new(ErrorCode::Timeout, "the daemon did not answer in time");
    tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(late()))
}

async fn collect(response: Response<Incoming>) -> ApiResult<Bytes> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
    body.map(|body| body.to_bytes()).map_err(|error| gone(&error))
}

/// The error in an answer that says that something failed.
fn error_of(document: &[u8]) -> ApiError {
    #[derive(Deserialize)]
    struct Document {
        error: ApiError,
    }
    match serde_json::from_slice::<Document>(document) {
        Ok(document) => document.error,
        Err(error) => bad_answer(&error),
    }
}

fn gone(cause: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(LocalCode::NoDaemon, format!("the daemon went away in the middle: {cause}"))
}

fn bad_answer(cause: &dyn std::fmt::Display) -> ApiError {
    let error = ApiError::new(LocalCode::BadAnswer, format!("the daemon's answer cannot be read: {cause}"));
    error.with_hint("is the daemon of another version? `p2p-node stop`, then `p2p-node run`")
}
