//! A connection after `hello`: its far end is known, and both ends may ask on streams of their own.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use certs::{Membership, NodeId, UserName};
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument, debug, debug_span};
use wire::frame::{self, FrameError};
use wire::message::{Answer, Request};
use wire::{ContentHash, ErrorBody, ErrorCode, RecordHash, limits};

use super::grants::{Grants, Receivers};
use super::order::{Open, Undecided};
use super::{DATA_STREAMS_PER_CONNECTION, quic_code};
use crate::tasks::Tasks;

/// A request must be there, whole, within this time of its stream's opening.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Who the far end is to us.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    /// The index of our network.
    Index,
    /// A member.
    Peer,
    /// A node that is served by our index service, member or not yet.
    Client(Arc<index::IndexSession>),
}

/// A connection whose far end has said hello.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    node: NodeId,
    role: Role,
    /// User and serial of the membership that it has shown.
    member: Option<(UserName, u64)>,
    bad_messages: AtomicU32,
    grants: Grants,
    data_streams: Arc<Semaphore>,
    undecided: Arc<Undecided>,
}

/// How good the way to a far end is, over the life of its connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quality {
    /// The smoothed time there and back.
    pub(crate) rtt: Duration,
    /// Packets that this end sent.
    pub(crate) packets_sent: u64,
    /// Those of them that were lost.
    pub(crate) packets_lost: u64,
}

impl Quality {
    /// Which part of the packets was lost, 0 to 1.
    pub(crate) fn loss(&self) -> f64 {
        if self.packets_sent == 0 { 0.0 } else { self.packets_lost as f64 / self.packets_sent as f64 }
    }
}

/// What answers the requests that come in on a session.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Answers one request on its stream. An error that it returns is sent as E.
    fn handle(
        self: Arc<Self>,
        session: Arc<Session>,
        request: Request,
        send: &mut SendStream,
    ) -> impl Future<Output = Result<(), SessionError>> + Send;
}

/// Why a request was not answered with an A.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// It is answered with this E.
    #[error(transparent)]
    Refused(#[from] ErrorBody),
    /// The A is out already; the stream is reset with this code.
    #[error("reset: {0}")]
    Reset(ErrorCode),
    /// The far end is gone, or does not want the answer.
    #[error("the answer could not be sent: {0}")]
    Gone(#[from] std::io::Error),
    /// The answer is larger than a frame may be.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl Session {
    /// A connection after hello.
    pub(crate) fn new(connection: Connection, node: NodeId, role: Role) -> Self {
        Self {
            connection,
            node,
            role,
            member: None,
            bad_messages: AtomicU32::new(0),
            grants: Grants::default(),
            data_streams: Arc::new(Semaphore::new(DATA_STREAMS_PER_CONNECTION)),
            undecided: Arc::default(),
        }
    }

    /// The same, with the membership that the far end has shown.
    pub(crate) fn of_member(mut self, membership: Option<&Membership>) -> Self {
        self.member = membership.map(|membership| (membership.user.clone(), membership.serial));
        self
    }

    /// The connection.
    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The far end.
    pub(crate) const fn node(&self) -> NodeId {
        self.node
    }

    /// Who that is to us.
    pub(crate) const fn role(&self) -> &Role {
        &self.role
    }

    /// Whose node the far end is; `None` for the index of the network, and for a node without an account.
    pub(crate) fn user(&self) -> Option<UserName> {
        match &self.role {
            Role::Client(client) => client.member().map(|member| member.user),
            Role::Index | Role::Peer => self.member.as_ref().map(|(user, _)| user.clone()),
        }
    }

    /// The serial of the membership that a peer has shown.
    pub(crate) fn serial(&self) -> Option<u64> {
        self.member.as_ref().map(|(_, serial)| *serial)
    }

    /// How good the way to the far end is.
    pub(crate) fn quality(&self) -> Quality {
        let path = self.connection.stats().path;
        Quality { rtt: path.rtt, packets_sent: path.sent_packets, packets_lost: path.lost_packets }
    }

    /// Whether the connection still stands.
    pub(crate) fn is_open(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    /// Grows with everything that moves on its streams, either way.
    pub(crate) fn stream_frames(&self) -> u64 {
        let stats = self.connection.stats();
        stats.frame_tx.stream + stats.frame_rx.stream
    }

    /// Remembers that the far end may fetch this content under this record, and is among its receivers.
    pub(crate) fn grant(&self, record: RecordHash, content: ContentHash, receivers: &Receivers) {
        self.grants.add(receivers, self.node, (record, content));
    }

    /// The far end is gone, and may fetch nothing more.
    pub(super) fn revoke_grants(&self) {
        self.grants.clear();
    }

    /// The content that the far end may fetch under this record, if it may.
    pub(crate) fn granted(&self, record: &RecordHash) -> Option<ContentHash> {
        self.grants.find(record)
    }

    /// The same for a request on this stream, which may have come before a P that was opened earlier is answered: that is
    /// waited for.
    ///
    /// # Cancel safety
    /// It changes nothing.
    pub(crate) async fn granted_before(&self, stream: u64, record: &RecordHash) -> Option<ContentHash> {
        self.undecided.find(stream, || self.granted(record)).await
    }

    /// Waits, first come, first served, until one more stream of chunks may be opened to the far end: at most
    /// [`DATA_STREAMS_PER_CONNECTION`] at once, whichever downloads they are for. To be held as long as the stream is read.
    ///
    /// # Cancel safety
    /// Dropped, it has taken nothing.
    pub(crate) async fn data_stream(&self) -> OwnedSemaphorePermit {
        self.data_streams.clone().acquire_owned().await.expect("it is never closed")
    }

    /// The same where there is a place now.
    pub(crate) fn try_data_stream(&self) -> Option<OwnedSemaphorePermit> {
        self.data_streams.clone().try_acquire_owned().ok()
    }

    /// Closes the connection.
    pub(crate) fn close(&self, code: ErrorCode, text: &str) {
        self.connection.close(quic_code(code), text.as_bytes());
    }

    /// How large its requests may be: those of members more than those of strangers.
    fn frame_limit(&self) -> usize {
        match &self.role {
            Role::Client(client) if client.member().is_none() => limits::FRAME_BYTES,
            _ => limits::MEMBER_FRAME_BYTES,
        }
    }
}

/// Serves the streams that the far end opens until the connection ends or the node stops. How many there are at once is
/// bounded by the transport settings.
pub(crate) async fn serve<H: Handler>(session: &Arc<Session>, handler: Arc<H>, tasks: Tasks) {
    let span = debug_span!("conn", peer = %session.node.short());
    let serving = async {
        loop {
            let (send, receive) = tokio::select! {
                stream = session.connection.accept_bi() => match stream {
                    Ok(stream) => stream,
                    Err(error) => break debug!(%error, "connection ended"),
                },
                () = tasks.stopping() => break,
            };
            let open = session.undecided.open(send.id().index());
            let one = serve_stream(session.clone(), handler.clone(), open, send, receive);
            tasks.spawn_droppable(one.in_current_span());
        }
    };
    serving.instrument(span).await;
}

async fn serve_stream<H: Handler>(
    session: Arc<Session>,
    handler: Arc<H>,
    open: Open,
    mut send: SendStream,
    mut receive: RecvStream,
) {
    let request = match read_request(&session, &mut receive).await {
        Ok(request) => request,
        Err(Unread::Refused(body)) => return answer_bad(&session, &mut send, body).await,
        Err(Unread::Cancelled) => {
            let _ = send.reset(quic_code(ErrorCode::Cancelled));
            return;
        }
    };
    // Only a P leads to what later requests need.
    let open = matches!(request, Request::P(_)).then_some(open);
    let name = request.name();
    // Who gave up gets no answer, and costs no more. Of data the sending itself ends.
    let given_up = send.stopped();
    let watched = !matches!(request, Request::G(_));
    let result = tokio::select! {
        biased;
        result = handler.handle(session, request, &mut send) => result,
        _ = given_up, if watched => return debug!(request = name, "given up by who asked"),
    };
    drop(open);
    let finished = match result {
        Ok(()) => send.finish().is_ok(),
        Err(SessionError::Refused(body)) => {
            debug!(request = name, %body, "refused");
            send_answer(&mut send, &Answer::<()>::E(body)).await.is_ok() && send.finish().is_ok()
        }
        Err(SessionError::Reset(code)) => {
            debug!(request = name, %code, "reset");
            send.reset(quic_code(code)).is_ok()
        }
        Err(error) => {
            debug!(request = name, %error, "not answered");
            send.reset(quic_code(ErrorCode::Internal)).is_ok()
        }
    };
    if !finished {
        debug!(request = name, "the far end no longer wants the answer");
    }
}

/// Why there is no request on a stream.
enum Unread {
    /// It is answered with this E.
    Refused(ErrorBody),
    /// Its stream was reset before it was whole: whoever asked no longer wants it.
    Cancelled,
}

async fn read_request(session: &Session, receive: &mut RecvStream) -> Result<Request, Unread> {
    let limit = session.frame_limit();
    let reading = frame::read_bytes(receive, limit);
    let bytes = match tokio::time::timeout(REQUEST_TIMEOUT, reading).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(FrameError::Io(error))) if error.kind() == ErrorKind::ConnectionReset => {
            return Err(Unread::Cancelled);
        }
        Ok(Err(error)) => return Err(Unread::Refused(error.to_body())),
        Err(_) => {
            let body = ErrorBody::new(ErrorCode::Timeout, "the request did not come within 5 s");
            return Err(Unread::Refused(body));
        }
    };
    Request::decode(&bytes, limit).map_err(Unread::Refused)
}

/// Answers what could not be read; after [`limits::BAD_MESSAGES`] of them the connection is closed with `bad-message`.
async fn answer_bad(session: &Session, send: &mut SendStream, body: ErrorBody) {
    debug!(%body, "bad request");
    let unreadable = matches!(body.code, ErrorCode::BadMessage | ErrorCode::TooLarge);
    let count =
        session.bad_messages.fetch_add(u32::from(unreadable), Ordering::Relaxed) + u32::from(unreadable);
    if unreadable && count >= limits::BAD_MESSAGES {
        return super::refuse_with(&session.connection, send, &body, ErrorCode::BadMessage).await;
    }
    if send_answer(send, &Answer::<()>::E(body)).await.is_ok() {
        let _ = send.finish();
    }
}

/// Writes an answer as one frame.
///
/// # Errors
/// [`SessionError::Frame`].
pub(crate) async fn send_answer<T: serde::Serialize>(
    send: &mut SendStream,
    answer: &Answer<T>,
) -> Result<(), SessionError> {
    Ok(frame::write(send, answer, limits::MEMBER_FRAME_BYTES).await?)
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use std::sync::Mutex;

    use certs::SecretKey;

    use super::super::Net;
    use super::*;
    use crate::options::TransportOptions;

    /// Two endpoints; sessions between them are as after hello.
    pub(in super::super) struct Pair {
        dialler: Net,
        acceptor: Net,
        accepted: Mutex<Vec<Connection>>,
    }

    impl Pair {
        pub(in super::super) fn new() -> Self {
            let here = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
            let net = |seed| {
                Net::bind(
                    here,
                    &SecretKey::from_seed([seed; 32]),
                    TransportOptions::default(),
                    &[crate::net::Protocol::Messages],
                    &crate::net::OsSockets,
                )
                .expect("bound")
            };
            Self { dialler: net(1), acceptor: net(2), accepted: Mutex::default() }
        }

        /// A new session of the dialler's.
        pub(in super::super) async fn session(&self) -> Arc<Session> {
            let address = self.acceptor.bound().expect("bound");
            let accepting = async {
                let incoming = self.acceptor.accept().await.expect("somebody");
                self.acceptor.finish_accept(incoming).await.expect("connected").0
            };
            let (accepted, dialled) = tokio::join!(accepting, self.dialler.dial(address, None));
            self.accepted.lock().expect("whole").push(accepted);
            let (connection, node) = dialled.expect("connected");
            Arc::new(Session::new(connection, node, Role::Peer))
        }

        /// The far end of the newest session.
        pub(in super::super) fn accepted(&self) -> Connection {
            self.accepted.lock().expect("whole").last().expect("one").clone()
        }
    }
}
