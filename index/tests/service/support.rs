//! An index and peers on loopback: endpoints, and the little of a node that the index talks to.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certs::tls::{ALPN, SERVER_NAME, TlsIdentity, node_of};
use certs::{Enrolment, IndexCertificate, NetworkId, NodeId, SecretKey, Signed, UnixMillis, UnixNanos};
use p2p_node_index::{BoxFuture, DialBack, IndexClient, IndexOptions, IndexService, call};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use serde_bytes::ByteBuf;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;
use wire::message::{
    Address, Answer, Credentials, Empty, Enrolled, Hello, Located, MINOR_VERSION, Outcome, Probe, Probed,
    RecordBundle, Request, ResourceQuery,
};
use wire::{
    ContentHash, ErrorBody, ErrorCode, InstanceId, Kind, Record, RecordHash, RootHash, SignedRecord,
    Visibility, frame, limits, record_hash,
};

pub(crate) const NOW: u64 = 1_800_000_000_000;
pub(crate) const DAY: u64 = 86_400_000;
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
        let clock = Arc::new(AtomicU64::new(NOW));
        let (time, dial_back) = (clock.clone(), Arc::new(FakeDialBack::default()));
        let service = IndexService::open(IndexOptions {
            database: folder.path().join("index.db"),
            key: key(2),
            certificate: certificate(),
            signup_open,
            clock: Arc::new(move || UnixMillis(time.load(Ordering::SeqCst))),
            dial_back: dial_back.clone(),
        })
        .expect("opened");
        let endpoint = endpoint(&key(2));
        let mut serving = JoinSet::new();
        serving.spawn(serve(endpoint.clone(), service.clone()));
        Self { service, clock, dial_back, folder, endpoint, _serving: serving }
    }

    /// The same database, another process.
    pub(crate) async fn restart(self) -> Self {
        self.endpoint.close(0_u32.into(), b"");
        self.service.shutdown().await;
        Self::open(self.folder, true)
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

async fn serve(endpoint: quinn::Endpoint, service: IndexService) {
    let tasks = TaskTracker::new();
    while let Some(incoming) = endpoint.accept().await {
        let (service, tracker) = (service.clone(), tasks.clone());
        tasks.spawn(async move {
            let Ok(connection) = incoming.await else { return };
            // A connection that is lost is one.
            let _ = serve_connection(connection, service, tracker).await;
        });
    }
}

async fn serve_connection(
    connection: quinn::Connection,
    service: IndexService,
    tasks: TaskTracker,
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
        let (service, session) = (service.clone(), session.clone());
        tasks.spawn(async move {
            reply(send, &Answer::from(service.answer(&session, request).await)).await;
        });
    }
    service.closed(&session);
    Some(())
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

/// What a peer says of itself.
#[derive(Clone)]
pub(crate) struct Dialler {
    pub(crate) key: SecretKey,
    pub(crate) network: NetworkId,
    pub(crate) instance: InstanceId,
    pub(crate) enrolment: Option<ByteBuf>,
    pub(crate) addresses: Vec<Address>,
}

/// A peer that is connected to the index.
pub(crate) struct Peer {
    pub(crate) dialler: Dialler,
    pub(crate) client: IndexClient,
    pub(crate) hello: Hello,
    pub(crate) behaviour: Arc<Behaviour>,
    pub(crate) port: u16,
    _answering: JoinSet<()>,
}

/// How a peer answers the index.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// Answers nothing at all, as if it were dead.
    pub(crate) mute: AtomicBool,
    /// Whether it has the whole of a content, or why it has nothing; otherwise it has the whole.
    pub(crate) holds: Mutex<HashMap<ContentHash, Result<bool, ErrorCode>>>,
    /// The probes that came.
    pub(crate) probes: Mutex<Vec<Probe>>,
}

impl Dialler {
    pub(crate) fn new(seed: u8) -> Self {
        Self {
            key: key(seed),
            network: network(),
            instance: InstanceId::from_bytes([seed; 16]),
            enrolment: None,
            addresses: Vec::new(),
        }
    }

    /// Another program with the same home.
    pub(crate) fn another_instance(&self) -> Self {
        let mut instance = *self.instance.as_bytes();
        instance[15] ^= 0xff;
        Self { instance: InstanceId::from_bytes(instance), ..self.clone() }
    }

    /// Connects and says hello.
    pub(crate) async fn dial(&self, index: &Index) -> Result<Peer, ErrorBody> {
        let endpoint = endpoint(&self.key);
        let tls = TlsIdentity::new(&self.key).expect("made").client_config(Some(key(2).public()), ALPN);
        let crypto = QuicClientConfig::try_from(tls.expect("made")).expect("TLS 1.3");
        let address = index.endpoint.local_addr().expect("bound");
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let connection = endpoint.connect_with(config, address, SERVER_NAME).expect("a configuration");
        let connection = connection.await.expect("connected");
        let hello = Hello {
            minor: MINOR_VERSION,
            features: Vec::new(),
            network: self.network,
            enrolment: self.enrolment.clone(),
            certificate: None,
            revocations: None,
            clock: UnixMillis(NOW),
            instance: self.instance,
            addresses: self.addresses.clone(),
            seen: None,
            renewed: None,
        };
        let hello = call(&connection, &Request::Hello(hello), Duration::from_secs(5)).await?;
        let behaviour = Arc::new(Behaviour::default());
        let mut answering = JoinSet::new();
        answering.spawn(answer(connection.clone(), behaviour.clone()));
        Ok(Peer {
            dialler: self.clone(),
            client: IndexClient::new(connection),
            hello,
            behaviour,
            port: endpoint.local_addr().expect("bound").port(),
            _answering: answering,
        })
    }
}

async fn answer(connection: quinn::Connection, behaviour: Arc<Behaviour>) {
    let mut unanswered = Vec::new();
    while let Some((send, request)) = receive(&connection).await {
        if behaviour.mute.load(Ordering::SeqCst) {
            unanswered.push(send);
            continue;
        }
        match request {
            Request::Ping(_) => reply(send, &Answer::A(Empty {})).await,
            Request::P(body) => {
                let probe = body.probe.expect("the index only probes");
                let holds = behaviour.holds.lock().expect("whole").get(&probe.content).copied();
                behaviour.probes.lock().expect("whole").push(probe);
                let answer = holds.unwrap_or(Ok(true)).map(|whole| Probed { whole });
                reply(send, &Answer::from(answer.map_err(|code| ErrorBody::new(code, "as the test wants"))))
                    .await;
            }
            other => panic!("the index asks for {}", other.name()),
        }
    }
}

impl Peer {
    pub(crate) fn enrol(&mut self, enrolled: &Enrolled) -> Enrolment {
        let node = self.dialler.key.public();
        let now = UnixMillis(NOW);
        let enrolment = Enrolment::verify(&enrolled.enrolment, &network(), &node, now, now).expect("valid");
        self.dialler.enrolment = Some(enrolled.enrolment.clone());
        enrolment
    }

    pub(crate) fn node(&self) -> NodeId {
        self.dialler.key.public()
    }

    /// Where it listens, and so from where it is seen.
    pub(crate) fn address(&self) -> Address {
        Address::new(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))).expect("usable")
    }

    pub(crate) fn record(&self, text: &str, version: u64, prev: Option<RecordHash>, holds: &str) -> Record {
        let enrolment = self.dialler.enrolment.as_ref().expect("enrolled");
        let now = UnixMillis(NOW);
        let enrolment = Enrolment::verify(enrolment, &network(), &self.node(), now, now).expect("valid");
        Record {
            format: 0,
            network: network(),
            account: enrolment.membership.account,
            user: enrolment.membership.user.clone(),
            node: self.node(),
            name: name(text),
            kind: Kind::File,
            version,
            revision: 0,
            prev,
            size: holds.len() as u64,
            mtime: UnixNanos(1),
            published: UnixNanos::from(now),
            content: Some(content(holds)),
            root: Some(RootHash::of(holds.as_bytes())),
            visibility: Visibility::Members,
            extensions: Default::default(),
        }
    }

    pub(crate) fn sign(&self, record: Record) -> SignedRecord {
        Signed::sign(&self.dialler.key, record)
    }

    /// A first version, signed.
    pub(crate) fn first(&self, text: &str, holds: &str) -> SignedRecord {
        self.sign(self.record(text, 1, None, holds))
    }

    pub(crate) fn tombstone(&self, of: &SignedRecord) -> SignedRecord {
        self.sign(of.tombstone(record_hash(of), self.node(), UnixNanos(i64::try_from(NOW).expect("small"))))
    }

    pub(crate) async fn register(&self, record: &SignedRecord) -> Outcome {
        let mut registered = self.client.register(vec![bundle(record)]).await.expect("answered");
        registered.outcomes.pop().expect("an outcome")
    }

    pub(crate) async fn deregister(&self, tombstone: &SignedRecord) -> Outcome {
        let mut registered = self.client.deregister(vec![bundle(tombstone)]).await.expect("answered");
        registered.outcomes.pop().expect("an outcome")
    }

    pub(crate) async fn locate(&self, owner: &str, text: &str) -> Result<Located, ErrorBody> {
        let query = ResourceQuery { owner: name(owner), name: name(text), version: None, cursor: None };
        Ok(self.client.locate(query).await?)
    }

    pub(crate) fn close(&self) {
        self.client.connection().close(0_u32.into(), b"");
    }
}

pub(crate) fn bundle(record: &SignedRecord) -> RecordBundle {
    let record = ByteBuf::from(record.bytes());
    RecordBundle { record, receipt: None, certificate: None, enrolment: None }
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
