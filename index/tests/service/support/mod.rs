//! An index and peers on loopback: endpoints, and the little of a node that the index talks to.

mod peer;

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certs::tls::{ALPN, TlsIdentity, node_of};
use certs::{IndexCertificate, NetworkId, NodeId, SecretKey, Signed, UnixMillis};
use p2p_node_index::{BoxFuture, DialBack, EventsEnd, IndexOptions, IndexService, IndexSession};
use quinn::crypto::rustls::QuicServerConfig;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;
use wire::message::{Address, Answer, Credentials, Empty, Hello, Request};
use wire::{ContentHash, ErrorBody, ErrorCode, frame, limits};

pub(crate) use self::peer::{Dialler, Peer, bundle};

pub(crate) const NOW: u64 = 1_800_000_000_000;
pub(crate) const DAY: u64 = 86_400_000;
/// Fewer than an index has in earnest, so that a test can fill it.
pub(crate) const MAX_GUESTS: usize = 4;
pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

pub(crate) fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name")
}

pub(crate) fn content(text: &str) -> ContentHash {
    ContentHash::of(text.as_bytes())
}

pub(crate) fn credentials(user: &str, password: &str) -> Credentials {
    Credentials { user: name(user), password: password.to_owned() }
}

/// The code of a refusal.
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, impl Into<ErrorBody>>) -> ErrorCode {
    result.expect_err("refused").into().code
}

/// An index that listens.
pub(crate) struct Index {
    pub(crate) service: IndexService,
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) dial_back: Arc<FakeDialBack>,
    pub(crate) folder: tempfile::TempDir,
    /// How many streams of events are open.
    pub(crate) told: Arc<AtomicU64>,
    endpoint: quinn::Endpoint,
    _serving: JoinSet<()>,
}

/// Reaches the addresses that the test names.
#[derive(Default)]
pub(crate) struct FakeDialBack {
    pub(crate) reachable: Mutex<HashSet<Address>>,
    pub(crate) tried: Mutex<Vec<(NodeId, Address)>>,
}

impl DialBack for FakeDialBack {
    fn reaches(&self, node: NodeId, address: Address) -> BoxFuture<bool> {
        self.tried.lock().expect("whole").push((node, address));
        let reached = self.reachable.lock().expect("whole").contains(&address);
        Box::pin(async move { reached })
    }
}

impl Index {
    pub(crate) fn start() -> Self {
        Self::open(tempfile::tempdir().expect("a folder"), true)
    }

    pub(crate) fn open(folder: tempfile::TempDir, signup_open: bool) -> Self {
        Self::open_after(false, folder, signup_open)
    }

    /// One whose operator says whether it has run before.
    pub(crate) fn open_after(has_run: bool, folder: tempfile::TempDir, signup_open: bool) -> Self {
        Self::open_at(NOW, has_run, folder, signup_open)
    }

    fn open_at(now: u64, has_run: bool, folder: tempfile::TempDir, signup_open: bool) -> Self {
        let clock = Arc::new(AtomicU64::new(now));
        let (time, dial_back) = (clock.clone(), Arc::new(FakeDialBack::default()));
        let service = IndexService::open(IndexOptions {
            database: folder.path().join("index.db"),
            key: key(2),
            certificate: certificate(),
            signup_open,
            max_guests: MAX_GUESTS,
            has_run,
            clock: Arc::new(move || UnixMillis(time.load(Ordering::SeqCst))),
            dial_back: dial_back.clone(),
        })
        .expect("opened");
        let endpoint = endpoint(&key(2));
        let mut serving = JoinSet::new();
        let told = Arc::new(AtomicU64::new(0));
        serving.spawn(serve(endpoint.clone(), service.clone(), told.clone()));
        Self { service, clock, dial_back, folder, told, endpoint, _serving: serving }
    }

    /// The same database, another process.
    pub(crate) async fn restart(self) -> Self {
        self.endpoint.close(0_u32.into(), b"");
        self.service.shutdown().await;
        Self::open(self.folder, true)
    }

    /// The same so many milliseconds later.
    pub(crate) async fn restart_after(self, milliseconds: u64) -> Self {
        let now = self.clock.load(Ordering::SeqCst) + milliseconds;
        self.endpoint.close(0_u32.into(), b"");
        self.service.shutdown().await;
        Self::open_at(now, true, self.folder, true)
    }

    pub(crate) fn pass(&self, milliseconds: u64) {
        self.clock.fetch_add(milliseconds, Ordering::SeqCst);
    }

    /// A peer of a new account.
    pub(crate) async fn member(&self, user: &str, seed: u8) -> Peer {
        let mut peer = Dialler::new(seed).dial(self).await.expect("welcome");
        let enrolled = peer.client.signup(credentials(user, PASSWORD)).await.expect("signed up");
        peer.enrol(&enrolled);
        peer
    }
}

pub(crate) fn network() -> NetworkId {
    key(1).public()
}

fn certificate() -> Signed<IndexCertificate> {
    IndexCertificate::issue(&key(1), key(2).public(), 1, UnixMillis(NOW))
}

fn endpoint(key: &SecretKey) -> quinn::Endpoint {
    let tls = TlsIdentity::new(key).expect("made").server_config(&[ALPN]).expect("made");
    let crypto = QuicServerConfig::try_from(tls).expect("TLS 1.3");
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    quinn::Endpoint::server(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("bound")
}

fn peer_of(connection: &quinn::Connection) -> Option<NodeId> {
    let certificates = connection.peer_identity()?.downcast::<Vec<_>>().ok()?;
    node_of(certificates.first()?)
}

async fn serve(endpoint: quinn::Endpoint, service: IndexService, told: Arc<AtomicU64>) {
    let tasks = TaskTracker::new();
    while let Some(incoming) = endpoint.accept().await {
        let (service, tracker, told) = (service.clone(), tasks.clone(), told.clone());
        tasks.spawn(async move {
            let Ok(connection) = incoming.await else { return };
            // A connection that is lost is one.
            let _ = serve_connection(connection, service, tracker, told).await;
        });
    }
}

async fn serve_connection(
    connection: quinn::Connection,
    service: IndexService,
    tasks: TaskTracker,
    told: Arc<AtomicU64>,
) -> Option<()> {
    let node = peer_of(&connection)?;
    let (send, request) = receive(&connection).await?;
    let Request::Hello(hello) = request else { return None };
    let session = match service.hello(&connection, node, &hello).await {
        Err(error) => {
            reply(send, &Answer::<Empty>::E(error)).await;
            connection.closed().await;
            return None;
        }
        Ok((session, greeting)) => {
            let answer = Hello {
                enrolment: None,
                certificate: Some(greeting.certificate),
                seen: greeting.seen,
                renewed: greeting.renewed,
                ..hello
            };
            reply(send, &Answer::A(answer)).await;
            session
        }
    };
    while let Some((send, request)) = receive(&connection).await {
        let (service, session, told) = (service.clone(), session.clone(), told.clone());
        tasks.spawn(async move {
            match request {
                Request::Events(_) => {
                    told.fetch_add(1, Ordering::SeqCst);
                    tell(send, &service, &session).await;
                    told.fetch_sub(1, Ordering::SeqCst);
                }
                request => reply(send, &Answer::from(service.answer(&session, request).await)).await,
            }
        });
    }
    service.closed(&session);
    Some(())
}

async fn tell(mut send: quinn::SendStream, service: &IndexService, session: &IndexSession) {
    match service.events(session, &mut send).await {
        EventsEnd::Refused(error) => reply(send, &Answer::<Empty>::E(error)).await,
        EventsEnd::Reset(code) => send.reset(code.number().into()).expect("open"),
        EventsEnd::Gone(_) => {}
    }
}

async fn receive(connection: &quinn::Connection) -> Option<(quinn::SendStream, Request)> {
    let (send, mut receive) = connection.accept_bi().await.ok()?;
    let bytes = frame::read_bytes(&mut receive, limits::MEMBER_FRAME_BYTES).await.ok()?;
    Some((send, Request::decode(&bytes, limits::MEMBER_FRAME_BYTES).expect("peers of tests speak well")))
}

async fn reply<T: serde::Serialize>(mut send: quinn::SendStream, answer: &Answer<T>) {
    // The one who asked may have gone.
    let _ = frame::write(&mut send, answer, limits::MEMBER_FRAME_BYTES).await;
    let _ = send.finish();
}

/// Asks until the answer is the one that is waited for; each question is a round trip.
pub(crate) async fn wait_until<T: std::fmt::Debug>(
    mut ask: impl AsyncFnMut() -> T,
    mut expected: impl FnMut(&T) -> bool,
) -> T {
    let mut last = ask().await;
    let waiting = async {
        while !expected(&last) {
            tokio::task::yield_now().await;
            last = ask().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    assert!(in_time.is_ok(), "still {last:?}");
    last
}
