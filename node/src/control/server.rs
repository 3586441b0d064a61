//! The control API as the daemon serves it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::{Stream, stream};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wire::ErrorCode;

use super::api::{Event, Line};
use super::backend::Backend;
use super::error::{ApiError, ApiResult};

/// The largest request, in bytes: a path and a name of the longest, in hex, with room to spare.
const REQUEST_BYTES: usize = 64 << 10;
/// Shares, downloads and logs that are followed at once: the commands of one user. Further ones are told `busy`.
const FOLLOWED: usize = 64;
/// Connections for everything else, which ends soon by itself. More wait until one ends.
const SHORT: usize = 64;
/// How long a connection may stay without a request.
const IDLE: Duration = Duration::from_secs(10);
/// How long connections may go on once the daemon stops.
const DRAIN: Duration = Duration::from_secs(2);
/// How long to wait where the system cannot accept a connection, as when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Serves a backend on a socket until `shutdown` is ready, then lets running requests end, for 2 s at most.
pub async fn serve<B: Backend>(listener: UnixListener, backend: Arc<B>, shutdown: impl Future<Output = ()>) {
    let router = router(backend);
    let stopping = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < FOLLOWED + SHORT => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone(), stopping.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a control connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    stopping.cancel();
    let drained = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN, drained).await;
    connections.shutdown().await;
}

async fn connection(stream: UnixStream, router: Router, stopping: CancellationToken) {
    let service = TowerToHyperService::new(router);
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE);
    let served = http.serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = stopping.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a control connection ended early");
    }
}

/// What the operations share.
struct Served<B> {
    backend: Arc<B>,
    followed: Arc<Semaphore>,
}

impl<B> Served<B> {
    /// The answer of a long operation: its lines, if there is room for one more.
    async fn follow<L: Streamed>(
        &self,
        begin: impl AsyncFnOnce(&B) -> ApiResult<mpsc::Receiver<L>>,
    ) -> Response {
        let Ok(place) = self.followed.clone().try_acquire_owned() else { return busy().into_response() };
        match begin(&self.backend).await {
            Ok(said) => {
                let body = Body::from_stream(lines(said, place));
                ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
            }
            Err(error) => error.into_response(),
        }
    }
}

fn busy() -> ApiError {
    let text = format!("{FOLLOWED} commands wait for shares, downloads and events already");
    ApiError::new(ErrorCode::Busy, text).with_hint("repeat the command when one of them has ended")
}

fn router<B: Backend>(backend: Arc<B>) -> Router {
    type Of<B> = State<Arc<Served<B>>>;
    let served = Served { backend, followed: Arc::new(Semaphore::new(FOLLOWED)) };
    Router::new()
        .route("/v1/status", post(async |State(s): Of<B>| answer(s.backend.status().await)))
        .route("/v1/stop", post(async |State(s): Of<B>| answer(s.backend.stop().await)))
        .route("/v1/signup", post(async |State(s): Of<B>, Ask(q)| answer(s.backend.signup(q).await)))
        .route("/v1/login", post(async |State(s): Of<B>, Ask(q)| answer(s.backend.login(q).await)))
        .route("/v1/logout", post(async |State(s): Of<B>| answer(s.backend.logout().await)))
        .route("/v1/recovery", post(async |State(s): Of<B>| answer(s.backend.recovery().await)))
        .route("/v1/finish_recovery", post(async |State(s): Of<B>| answer(s.backend.finish_recovery().await)))
        .route("/v1/passwd", post(async |State(s): Of<B>, Ask(q)| answer(s.backend.passwd(q).await)))
        .route("/v1/who", post(async |State(s): Of<B>, Ask(q)| answer(s.backend.who(q).await)))
        .route("/v1/share", post(async |State(s): Of<B>, Ask(q)| s.follow(async |b| b.share(q).await).await))
        .route("/v1/shares", post(async |State(s): Of<B>, Ask(q)| answer(s.backend.shares(q).await)))
        .route("/v1/unshare", post(async |State(s): Of<B>, Ask(q)| answer(s.backend.unshare(q).await)))
        .route("/v1/list", post(async |State(s): Of<B>, Ask(q)| answer(s.backend.list(q).await)))
        .route("/v1/search", post(async |State(s): Of<B>, Ask(q)| answer(s.backend.search(q).await)))
        .route("/v1/versions", post(async |State(s): Of<B>, Ask(q)| answer(s.backend.versions(q).await)))
        .route("/v1/get", post(async |State(s): Of<B>, Ask(q)| s.follow(async |b| b.get(q).await).await))
        .route("/v1/start", post(async |State(s): Of<B>, Ask(q)| s.follow(async |b| b.start(q).await).await))
        .route("/v1/gc", post(async |State(s): Of<B>, Ask(q)| answer(s.backend.gc(q).await)))
        .route(
            "/v1/events",
            post(async |State(s): Of<B>, Ask(q)| s.follow(async |b| b.events(q).await).await),
        )
        .route("/v1/transfers", post(async |State(s): Of<B>| answer(s.backend.transfers().await)))
        .route("/v1/pause", post(async |State(s): Of<B>, Ask(q)| answer(s.backend.pause(q).await)))
        .route("/v1/pause_all", post(async |State(s): Of<B>| answer(s.backend.pause_all().await)))
        .route("/v1/resume", post(async |State(s): Of<B>, Ask(q)| answer(s.backend.resume(q).await)))
        .route("/v1/resume_all", post(async |State(s): Of<B>| answer(s.backend.resume_all().await)))
        .route("/v1/cancel", post(async |State(s): Of<B>, Ask(q)| answer(s.backend.cancel(q).await)))
        .route("/v1/subscribe", post(async |State(s): Of<B>, Ask(q)| answer(s.backend.subscribe(q).await)))
        .route(
            "/v1/unsubscribe",
            post(async |State(s): Of<B>, Ask(q)| answer(s.backend.unsubscribe(q).await)),
        )
        .route(
            "/v1/subscriptions",
            post(async |State(s): Of<B>, Ask(q)| answer(s.backend.subscriptions(q).await)),
        )
        .route("/v1/accept", post(async |State(s): Of<B>, Ask(q)| answer(s.backend.accept(q).await)))
        .route("/v1/limit", post(async |State(s): Of<B>, Ask(q)| answer(s.backend.limit(q).await)))
        .route(
            "/v1/limit_transfer",
            post(async |State(s): Of<B>, Ask(q)| answer(s.backend.limit_transfer(q).await)),
        )
        .fallback(async || ApiError::new(ErrorCode::Unsupported, "this daemon has no such operation"))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES))
        .with_state(Arc::new(served))
}

/// The JSON body of a request.
struct Ask<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Ask<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = Bytes::from_request(request, state).await.map_err(|rejection| {
            let code = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::TooLarge,
                _ => ErrorCode::BadMessage,
            };
            ApiError::new(code, rejection.body_text())
        })?;
        let parsed = serde_json::from_slice(&body);
        parsed.map(Self).map_err(|error| ApiError::usage(format!("the request cannot be read: {error}")))
    }
}

fn answer<T: Serialize>(result: ApiResult<T>) -> Response {
    match result {
        Ok(document) => axum::Json(document).into_response(),
        Err(error) => error.into_response(),
    }
}

/// What a long operation says.
trait Streamed: Serialize + Send + 'static {
    /// Whether it says nothing after this.
    fn is_last(&self) -> bool;
    /// What is told where the daemon says nothing more.
    fn stopped() -> Self;
}

impl<T: Serialize + Send + 'static> Streamed for Event<T> {
    fn is_last(&self) -> bool {
        !matches!(self, Self::Progress(_))
    }

    fn stopped() -> Self {
        Self::Error(stops())
    }
}

impl<T: Serialize + Send + 'static> Streamed for Line<T> {
    fn is_last(&self) -> bool {
        !matches!(self, Self::Item(_))
    }

    fn stopped() -> Self {
        Self::Error(ApiError::new(ErrorCode::ShuttingDown, "the daemon stops"))
    }
}

/// One line an event or item, up to the one that ends it; where the daemon drops the sender before, an error ends it. Its
/// place is free again where the client goes away, too.
fn lines<L: Streamed>(
    said: mpsc::Receiver<L>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = serde_json::Result<Bytes>> {
    stream::unfold(Some((place, said)), async |following| {
        let (place, mut said) = following?;
        let next = said.recv().await.unwrap_or_else(L::stopped);
        let line = serde_json::to_vec(&next).map(|mut line| {
            line.push(b'\n');
            line.into()
        });
        Some((line, (!next.is_last()).then_some((place, said))))
    })
}

fn stops() -> ApiError {
    ApiError::new(ErrorCode::ShuttingDown, "the daemon stops before this is done")
        .with_hint("start it again: a download then goes on by itself, a share is to be repeated")
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Document {
            error: ApiError,
        }
        let status = StatusCode::from_u16(self.code.http_status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, axum::Json(Document { error: self })).into_response()
    }
}
