//! The connection to the index: made, checked, and made again whenever it ends.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certs::{Enrolment, IndexCertificate, IndexCertificateError, NodeId};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use index::jitter;
use quinn::{Connection, ConnectionError};
use tracing::{debug, info, warn};
use wire::message::{Address, Hello};
use wire::{ErrorBody, ErrorCode};

use super::accept::check_network;
use super::shared::Shared;
use crate::activity::{Activity, bounded};
use crate::fallback::discovery::Event;
use crate::net::{DialError, HandshakeError, IDLE_TIMEOUT, Role, Session, dial_hello, serve};

/// The first pause after a failed attempt; it doubles up to [`LONGEST_PAUSE`], and each is drawn between zero and that.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Addresses of the index's name that are dialled, all at once.
const MAX_ADDRESSES: usize = 8;

/// Where the index is found.
#[derive(Debug, Clone)]
pub(crate) enum IndexAddressSource {
    /// A host name or address, and a port.
    Host(String, u16),
    /// This node itself.
    Own(SocketAddr),
}

impl std::fmt::Display for IndexAddressSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host(host, port) => write!(f, "{host}:{port}"),
            Self::Own(address) => address.fmt(f),
        }
    }
}

/// How it stands with the index.
#[derive(Debug, Clone)]
pub(crate) enum LinkState {
    /// Not connected; why the last attempt failed.
    Connecting {
        /// The text of the failure, if there was an attempt.
        error: Option<String>,
        /// Whether somebody answered, and it was not to be.
        refused: bool,
    },
    /// Connected.
    Online {
        /// The session.
        session: Arc<Session>,
    },
}

/// Why the index could not be connected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("cannot find {host}: {source}")]
    Resolve { host: String, source: std::io::Error },
    #[error("{0} has no address")]
    NoAddress(String),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// By the index itself: this node has no membership any more.
    #[error("{0} refused: {1}")]
    NotMember(SocketAddr, ErrorBody),
    /// By whoever answers there.
    #[error("{0} refused, and does not prove to be the index: {1}")]
    Unproved(SocketAddr, ErrorBody),
    #[error("{0} answers, but is not the index of this network: {1}")]
    NotTheIndex(SocketAddr, String),
    #[error("{0} shows an older index certificate (epoch {1}) than is known (epoch {2})")]
    OldCertificate(SocketAddr, u64, u64),
}

impl LinkError {
    /// Whether somebody answered, and it was not to be; trying again soon changes nothing by itself.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::NoAddress(_) | Self::Dial(_) => false,
            Self::Handshake(error) => error.is_refusal(),
            Self::NotMember(..) | Self::Unproved(..) | Self::NotTheIndex(..) | Self::OldCertificate(..) => {
                true
            }
        }
    }
}

/// Keeps the connection up until the node stops.
pub(crate) async fn keep_link(shared: Arc<Shared>, source: IndexAddressSource) {
    let mut pause = FIRST_PAUSE;
    loop {
        match connect(&shared, &source).await {
            Ok((session, address)) => {
                pause = FIRST_PAUSE;
                let error = stay(&shared, session, address).await;
                let silent = match &error {
                    ConnectionError::TimedOut => IDLE_TIMEOUT,
                    _ => Duration::ZERO,
                };
                shared.fallback.tell(Event::Lost { why: error.to_string(), silent });
                let error = Some(format!("the connection to {address} ended: {error}"));
                shared.link.send_replace(LinkState::Connecting { error, refused: false });
            }
            Err(error) => {
                debug!(%error, "no connection to the index");
                report(&shared, &error);
                if matches!(error, LinkError::NotMember(..)) {
                    warn!(%error, "the index does not take this node's membership; log in again");
                    let user = shared.membership().map(|membership| membership.user.clone());
                    shared.drop_enrolment();
                    if let Some(user) = user {
                        let why = Some(bounded(error.to_string()));
                        shared.log(Activity::LoggedOut { user, why }).await;
                    }
                    continue;
                }
            }
        }
        tokio::time::sleep(jitter(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Says why there is no connection, once for each reason.
fn report(shared: &Shared, error: &LinkError) {
    let (text, refused) = (error.to_string(), error.is_refusal());
    shared.fallback.tell(Event::Failed(text.clone()));
    let state = LinkState::Connecting { error: Some(text.clone()), refused };
    let known =
        matches!(&*shared.link.borrow(), LinkState::Connecting { error: Some(known), .. } if *known == text);
    if !known {
        warn!("{text}");
    }
    shared.link.send_replace(state);
}

/// While the connection stands; why it ended.
async fn stay(shared: &Arc<Shared>, session: Arc<Session>, address: SocketAddr) -> ConnectionError {
    info!(index = %address, "connected to the index");
    shared.pool.insert(&session);
    let (served, handler) = (session.clone(), shared.clone());
    let serving = async move { serve(&served, handler.clone(), handler.tasks.clone()).await };
    shared.tasks.spawn_droppable(serving);
    let connection = session.connection().clone();
    shared.link.send_replace(LinkState::Online { session: session.clone() });
    shared.fallback.tell(Event::Connected);
    shared.announce.notify_one();
    // That the index is connected to itself is no news.
    let told = shared.service.is_none();
    if told {
        shared.log(Activity::IndexConnected { address: address.to_string() }).await;
    }
    let error = connection.closed().await;
    shared.pool.remove(&session);
    info!(%error, "the connection to the index ended");
    if told {
        shared.log(Activity::IndexLost { why: bounded(error.to_string()) }).await;
    }
    error
}

/// Connects to the index: where this node was told that it is, else where it says itself that it is now.
async fn connect(
    shared: &Shared,
    source: &IndexAddressSource,
) -> Result<(Arc<Session>, SocketAddr), LinkError> {
    let (tried, error) = match resolve(source).await {
        Ok(addresses) => match connect_to(shared, source, addresses.clone(), None).await {
            Err(error) if !matches!(error, LinkError::NotMember(..)) => (addresses, error),
            connected => return connected,
        },
        Err(error) => (Vec::new(), error),
    };
    let place = shared.replica().filter(|_| shared.service.is_none()).and_then(|copy| copy.index_place());
    let Some(place) = place else { return Err(error) };
    let said = place.presence.addresses.iter().map(Address::socket);
    let elsewhere: Vec<_> = said.filter(|address| !tried.contains(address)).collect();
    match connect_to(shared, source, elsewhere, Some(place.certificate.node)).await {
        Ok((session, address)) => {
            info!(%address, %error, "the index is elsewhere now, by its own word");
            Ok((session, address))
        }
        Err(refused @ LinkError::NotMember(..)) => Err(refused),
        Err(_) => Err(error),
    }
}

/// Connects to the index at one of these addresses; whoever answers there, or this node.
async fn connect_to(
    shared: &Shared,
    source: &IndexAddressSource,
    addresses: Vec<SocketAddr>,
    expected: Option<NodeId>,
) -> Result<(Arc<Session>, SocketAddr), LinkError> {
    let mut last = LinkError::NoAddress(source.to_string());
    let mut dialled = shared.net.dial_all(addresses, expected);
    let mut greeted = FuturesUnordered::new();
    // One hello for each node: the index keeps one connection of this one, and a second would take the first one's place.
    let mut nodes = HashSet::new();
    loop {
        let failed = tokio::select! {
            Some((address, attempt)) = dialled.next() => match attempt {
                Ok((connection, node)) => {
                    if nodes.insert(node) {
                        greeted.push(greet_index(shared, address, connection, node));
                    }
                    continue;
                }
                Err(error) => error.into(),
            },
            Some(greeted) = greeted.next() => match greeted {
                Ok(connected) => return Ok(connected),
                Err(error) => error,
            },
            else => return Err(last),
        };
        match failed {
            // The index has spoken; other addresses say nothing better.
            LinkError::NotMember(..) => return Err(failed),
            // Whoever answers tells more than an address where nobody does.
            _ if failed.is_refusal() || !last.is_refusal() => last = failed,
            _ => {}
        }
    }
}

async fn resolve(source: &IndexAddressSource) -> Result<Vec<SocketAddr>, LinkError> {
    match source {
        IndexAddressSource::Own(address) => Ok(vec![*address]),
        IndexAddressSource::Host(host, port) => {
            let found = tokio::net::lookup_host((host.as_str(), *port))
                .await
                .map_err(|source| LinkError::Resolve { host: host.clone(), source })?;
            // More is somebody's mistake.
            Ok(found.take(MAX_ADDRESSES).collect())
        }
    }
}

/// Says hello to whoever answers at an address, and lets it prove that it is the index.
async fn greet_index(
    shared: &Shared,
    address: SocketAddr,
    connection: Connection,
    node: NodeId,
) -> Result<(Arc<Session>, SocketAddr), LinkError> {
    let hello = shared.me().hello(None);
    let enrolled = hello.enrolment.is_some();
    let answer = match dial_hello(&connection, hello).await {
        Err(HandshakeError::Refused(body)) if enrolled && body.code == ErrorCode::NotMember => {
            return Err(judge_refusal(shared, address, node, body).await);
        }
        other => other?,
    };
    match check_index(shared, address, node, &answer) {
        Ok(()) => {}
        Err(error) => {
            close(&connection, &error);
            return Err(error);
        }
    }
    shared.clock.index_answered(answer.clock);
    take_renewed(shared, &answer);
    Ok((Arc::new(Session::new(connection, node, Role::Index)), address))
}

/// What `not-member` is worth. Anybody can say it at the index's address, and only the index ends a membership: the node
/// of the certificate that is known here, or one that proves itself when it is asked without the membership.
async fn judge_refusal(shared: &Shared, address: SocketAddr, node: NodeId, body: ErrorBody) -> LinkError {
    let known = shared.me().index_node() == Some(node);
    if known || prove_index(shared, address, node).await.is_ok() {
        return LinkError::NotMember(address, body);
    }
    LinkError::Unproved(address, body)
}

/// Says hello without the membership, only to see the index's certificate.
async fn prove_index(shared: &Shared, address: SocketAddr, node: NodeId) -> Result<(), LinkError> {
    let (connection, _) = shared.net.dial(address, Some(node)).await?;
    let hello = Hello { enrolment: None, ..shared.me().hello(None) };
    let answer = dial_hello(&connection, hello).await?;
    check_index(shared, address, node, &answer)?;
    connection.close(crate::net::quic_code(ErrorCode::Done), b"only to see who you are");
    Ok(())
}

/// Whether the far end is the index: its certificate is signed by the network's root, names the key that the handshake
/// proved, and is not older than one that was seen before.
fn check_index(shared: &Shared, address: SocketAddr, node: NodeId, answer: &Hello) -> Result<(), LinkError> {
    let me = shared.me();
    let wrong = |text: String| LinkError::NotTheIndex(address, text);
    check_network(shared, answer).map_err(|_| wrong("it is of another network".to_owned()))?;
    let bytes =
        answer.certificate.as_ref().ok_or_else(|| wrong("it shows no index certificate".to_owned()))?;
    let now = shared.clock.now();
    let certificate = IndexCertificate::verify(bytes, &me.network, now)
        .map_err(|error: IndexCertificateError| wrong(error.to_string()))?;
    if certificate.node != node {
        return Err(wrong("it shows another node's index certificate".to_owned()));
    }
    if let Some(known) = &me.certificate
        && known.epoch > certificate.epoch
    {
        return Err(LinkError::OldCertificate(address, certificate.epoch, known.epoch));
    }
    shared.take_certificate(&certificate);
    Ok(())
}

/// Keeps the membership that the index issued in place of the one that ends.
fn take_renewed(shared: &Shared, answer: &Hello) {
    let Some(bytes) = &answer.renewed else { return };
    let (network, node, now) = (shared.network(), shared.node(), shared.clock.now());
    let kept = Enrolment::verify(bytes, &network, &node, now, now)
        .map_err(|error| error.to_string())
        .and_then(|enrolment| shared.set_enrolment(enrolment).map_err(|error| error.to_string()));
    match kept {
        Ok(()) => info!("membership renewed"),
        Err(error) => warn!(error, "the renewed membership is not kept"),
    }
}

fn close(connection: &Connection, error: &LinkError) {
    let body = ErrorBody::new(ErrorCode::OtherNetwork, error.to_string());
    connection.close(crate::net::quic_code(body.code), body.text.as_bytes());
}
