//! Connections that come in: handshake, hello, and whom we serve.

use std::sync::Arc;

use certs::{Enrolment, NodeId, UserName};
use index::{IndexService, IndexSession};
use quinn::{Connection, Incoming};
use tokio::sync::Semaphore;
use tracing::debug;
use wire::message::{Address, Answer, Hello};
use wire::{ErrorBody, ErrorCode};

use super::kad::accept_kad;
use super::shared::Shared;
use crate::net::{
    PATIENCE, Protocol, Role, Session, close_when_unused, read_hello, refuse, send_answer, serve,
};

/// Handshakes at once: each costs a signature, a key exchange and some 50 KiB.
const HANDSHAKES: usize = 256;

/// Takes connections until the endpoint closes.
pub(crate) async fn accept_all(shared: Arc<Shared>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    while let Some(incoming) = shared.net.accept().await {
        let Ok(permit) = handshakes.clone().acquire_owned().await else { return };
        let one = shared.clone();
        shared.tasks.spawn_droppable(async move {
            let greeted = greet(&one, incoming).await;
            drop(permit);
            let Some(Greeted { session, place }) = greeted else { return };
            // A connection to itself is the other end of its own link.
            if session.node() != one.node() {
                one.pool.insert(&session);
                one.fallback.meet_others();
            }
            attend(&one, session).await;
            drop(place);
        });
    }
}

/// A connection whose hello was answered.
struct Greeted {
    session: Arc<Session>,
    place: Option<Place>,
}

/// A client's place in the index's presence. It ends with this, however the hello or the connection ends.
struct Place {
    service: IndexService,
    client: Arc<IndexSession>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.service.closed(&self.client);
    }
}

/// Who the dialler is to us, and what it is answered.
struct Welcome {
    role: Role,
    user: Option<UserName>,
    place: Option<Place>,
    answer: Hello,
}

/// Handshake and hello. `None` if it is nobody to be served.
async fn greet(shared: &Shared, incoming: Incoming) -> Option<Greeted> {
    let remote = incoming.remote_address();
    let (connection, node) = match shared.net.finish_accept(incoming).await {
        Ok(accepted) => accepted,
        Err(error) => {
            debug!(%remote, %error, "handshake failed");
            return None;
        }
    };
    if node != shared.node() {
        shared.note_reached();
    }
    if Protocol::of(&connection) == Protocol::Kad {
        accept_kad(shared, connection, node).await;
        return None;
    }
    let (mut send, hello) = match read_hello(&connection).await {
        Ok(read) => read,
        Err(error) => {
            debug!(%remote, %error, "no hello");
            connection.close(crate::net::quic_code(ErrorCode::BadMessage), b"no hello");
            return None;
        }
    };
    let Welcome { role, user, place, answer } = match welcome(shared, &connection, node, &hello).await {
        Ok(welcome) => welcome,
        Err(body) => {
            debug!(%remote, peer = %node.short(), %body, "refused");
            refuse(&connection, &mut send, &body).await;
            return None;
        }
    };
    send_answer(&mut send, &Answer::A(answer)).await.ok()?;
    send.finish().ok()?;
    let session = Arc::new(Session::new(connection, node, role).of_user(user));
    Some(Greeted { session, place })
}

async fn welcome(
    shared: &Shared,
    connection: &Connection,
    node: NodeId,
    hello: &Hello,
) -> Result<Welcome, ErrorBody> {
    let me = shared.me();
    let seen = Address::new(connection.remote_address());
    check_network(shared, hello)?;
    let mut answer = me.hello(seen);
    if let Some(service) = &shared.service {
        let (client, greeting) = service.hello(connection, node, hello).await?;
        answer.renewed = greeting.renewed;
        let place = Some(Place { service: service.clone(), client: client.clone() });
        return Ok(Welcome { role: Role::Client(client), user: None, place, answer });
    }
    let user = Some(check_member(shared, node, hello)?.membership.user.clone());
    Ok(Welcome { role: Role::Peer, user, place: None, answer })
}

/// Whether a node says that it is of our network.
///
/// # Errors
/// `other-network`.
pub(super) fn check_network(shared: &Shared, hello: &Hello) -> Result<(), ErrorBody> {
    let network = shared.network();
    if hello.network == network {
        return Ok(());
    }
    Err(ErrorBody::new(ErrorCode::OtherNetwork, format!("this is a node of the network {network}")))
}

/// Whether a node shows a valid membership of our network: which.
///
/// # Errors
/// `not-member`.
pub(super) fn check_member(shared: &Shared, node: NodeId, hello: &Hello) -> Result<Enrolment, ErrorBody> {
    let refused = |text: String| ErrorBody::new(ErrorCode::NotMember, text);
    let me = shared.me();
    let bytes = hello.enrolment.as_ref().ok_or_else(|| refused("no membership was shown".to_owned()))?;
    let (now, index_seen) = (shared.clock.now(), shared.index_seen());
    let enrolment = Enrolment::verify(bytes, &me.network, &node, now, index_seen)
        .map_err(|error| refused(error.to_string()))?;
    if me.certificate.as_ref().is_some_and(|newest| enrolment.is_void_under(newest)) {
        return Err(refused("the membership is of an index whose statements are void".to_owned()));
    }
    if shared.is_revoked(&node, enrolment.membership.serial) {
        return Err(refused("its membership was ended".to_owned()));
    }
    let shown = &enrolment.certificate;
    if me.certificate.is_none_or(|known| known.epoch < shown.epoch) {
        shared.take_certificate(shown);
    }
    Ok(enrolment)
}

/// Serves a session to its end, or until nobody needs it.
pub(super) async fn attend(shared: &Arc<Shared>, session: Arc<Session>) {
    let serving = serve(&session, shared.clone(), shared.tasks.clone());
    match session.role() {
        Role::Peer => tokio::select! {
            () = serving => {}
            () = close_when_unused(&shared.pool, &session, PATIENCE) => {}
        },
        Role::Index | Role::Client(_) => serving.await,
    }
    shared.pool.remove(&session);
}
