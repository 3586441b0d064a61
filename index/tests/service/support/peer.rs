//! A peer of a test: what it says of itself, how it answers, what it publishes.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certs::tls::{ALPN, SERVER_NAME, TlsIdentity};
use certs::{Enrolment, NetworkId, NodeId, SecretKey, Signed, UnixMillis, UnixNanos};
use p2p_node_index::{IndexClient, call};
use quinn::crypto::rustls::QuicClientConfig;
use serde_bytes::ByteBuf;
use tokio::task::JoinSet;
use wire::message::{
    Address, Answer, Empty, Enrolled, Hello, Located, MINOR_VERSION, Outcome, Probe, Probed, RecordBundle,
    Request, ResourceQuery,
};
use wire::{
    ContentHash, ErrorBody, ErrorCode, InstanceId, Kind, Record, RecordHash, RootHash, SignedRecord,
    Visibility, record_hash,
};

use super::{Index, NOW, content, endpoint, key, name, network, receive, reply};

/// What a peer says of itself.
#[derive(Clone)]
pub(crate) struct Dialler {
    pub(crate) key: SecretKey,
    pub(crate) network: NetworkId,
    pub(crate) instance: InstanceId,
    pub(crate) enrolment: Option<ByteBuf>,
    pub(crate) addresses: Vec<Address>,
    /// What may be on its way to it on one stream, in bytes; as usual without.
    pub(crate) window: Option<u32>,
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
            window: None,
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
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        if let Some(window) = self.window {
            let mut transport = quinn::TransportConfig::default();
            transport.stream_receive_window(window.into());
            config.transport_config(Arc::new(transport));
        }
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
        let query = ResourceQuery::latest(name(owner), name(text));
        Ok(self.client.locate(query).await?)
    }

    pub(crate) fn close(&self) {
        self.client.connection().close(0_u32.into(), b"");
    }
}

pub(crate) fn bundle(record: &SignedRecord) -> RecordBundle {
    RecordBundle::bare(record.bytes())
}
