//! Connections to other peers: found among the open ones, or dialled.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;

use certs::NodeId;
use futures_util::StreamExt;
use quinn::Connection;
use wire::message::{Address, Hello};
use wire::{ErrorBody, ErrorCode};

use super::accept::{attend, check_member, check_network};
use super::shared::Shared;
use crate::net::{DialError, HandshakeError, Net, Role, Session, dial_hello, quic_code};

/// Why a peer cannot be connected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("no address is known")]
    NoAddress,
    #[error("this node itself, or the index")]
    Own,
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("it does not show that it is a member: {0}")]
    NotMember(ErrorBody),
}

impl Shared {
    /// A session with a peer: an open one, or a new one to whichever of its addresses answers first. And what came of what
    /// is asked at once, on streams after that of a new connection's hello, before that is answered: a round trip less.
    /// The far end has the key that was expected, and no more than that is known of it by then.
    ///
    /// # Errors
    /// See [`ConnectError`].
    ///
    /// # Cancel safety
    /// Dropping it gives the attempt up.
    pub(crate) async fn connect_asking<T, F: Future<Output = T>>(
        self: &Arc<Self>,
        node: NodeId,
        addresses: &[Address],
        ask: impl FnOnce(Connection) -> F,
    ) -> Result<(Arc<Session>, T), ConnectError> {
        if node == self.node() {
            return Err(ConnectError::Own);
        }
        let lock = self.pool.dial_lock(node);
        let dialling = lock.lock().await;
        if let Some(session) = self.pool.find(&node) {
            drop(dialling);
            let asked = ask(session.connection().clone()).await;
            return Ok((session, asked));
        }
        let connection = self.dial_any(node, addresses).await?;
        let mut asking = pin!(ask(connection.clone()));
        let hello = dial_hello(&connection, self.me().hello(None));
        let (answer, asked) = first_and_beside(hello, asking.as_mut()).await;
        let session = self.take_peer(connection, node, &answer?)?;
        drop(dialling);
        let asked = match asked {
            Some(asked) => asked,
            None => asking.await,
        };
        Ok((session, asked))
    }

    /// A session with whoever answers at an address, if that is a member, and the expected one.
    ///
    /// # Errors
    /// See [`ConnectError`].
    ///
    /// # Cancel safety
    /// Dropping it gives the attempt up.
    pub(crate) async fn connect_at(
        self: &Arc<Self>,
        address: SocketAddr,
        expected: Option<NodeId>,
    ) -> Result<Arc<Session>, ConnectError> {
        let (connection, node) = self.net.dial(address, expected).await?;
        // To the index there is a connection, or will be: a second one would take its place.
        let refused = match node == self.node() || self.me().index_node() == Some(node) {
            true => Some(ConnectError::Own),
            false => None,
        };
        let known = self.pool.find(&node);
        if refused.is_some() || known.is_some() {
            connection.close(quic_code(ErrorCode::Done), b"connected already");
        }
        match (refused, known) {
            (Some(error), _) => Err(error),
            (None, Some(session)) => Ok(session),
            (None, None) => {
                let answer = dial_hello(&connection, self.me().hello(None)).await?;
                self.take_peer(connection, node, &answer)
            }
        }
    }

    /// A peer that has answered our hello: it is attended from now on, if it is a member.
    fn take_peer(
        self: &Arc<Self>,
        connection: Connection,
        node: NodeId,
        answer: &Hello,
    ) -> Result<Arc<Session>, ConnectError> {
        let checked = check_network(self, answer).and_then(|()| check_member(self, node, answer));
        let enrolment = checked.map_err(|body| {
            connection.close(quic_code(body.code), body.text.as_bytes());
            ConnectError::NotMember(body)
        })?;
        let session = Arc::new(
            Session::new(connection, node, Role::Peer).of_user(Some(enrolment.membership.user.clone())),
        );
        self.pool.insert(&session);
        let (shared, attended) = (self.clone(), session.clone());
        self.tasks.spawn_droppable(async move { attend(&shared, attended).await });
        Ok(session)
    }

    /// Dials all addresses at once; the first connection counts.
    async fn dial_any(&self, node: NodeId, addresses: &[Address]) -> Result<Connection, ConnectError> {
        let mut attempts = self.net.dial_all(addresses.iter().map(Address::socket), Some(node));
        let mut last = ConnectError::NoAddress;
        while let Some((_, attempt)) = attempts.next().await {
            match attempt {
                Ok((connection, _)) => return Ok(connection),
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }
}

/// Runs the first to its end, and the second beside it, never before it: the first opens its stream first.
async fn first_and_beside<A, B>(
    first: impl Future<Output = A>,
    mut second: Pin<&mut impl Future<Output = B>>,
) -> (A, Option<B>) {
    let mut first = pin!(first);
    let mut beside = None;
    loop {
        tokio::select! {
            biased;
            ended = &mut first => return (ended, beside),
            ended = &mut second, if beside.is_none() => beside = Some(ended),
        }
    }
}

impl index::DialBack for Net {
    fn reaches(&self, node: NodeId, address: Address) -> index::BoxFuture<bool> {
        let net = self.clone();
        Box::pin(async move {
            let dialled = net.dial(address.socket(), Some(node)).await;
            if let Ok((connection, _)) = &dialled {
                connection.close(quic_code(ErrorCode::Done), b"only to see whether you are there");
            }
            dialled.is_ok()
        })
    }
}
