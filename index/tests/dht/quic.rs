//! The same over real QUIC connections, which somebody else makes and greets.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use certs::tls::{SERVER_NAME, TlsIdentity, node_of};
use certs::{NodeId, SecretKey};
use p2p_node_index::BoxFuture;
use p2p_node_index::dht::{Accepted, Connector, Dht, DhtConfig, DhtParts, Forgetful, QuicMuxer, Until};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, ConnectionError, Endpoint};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wire::ErrorCode;

use super::harness::{Common, HOUR, key, value};
use super::network::eventually;

const PROTOCOL: &[u8] = b"p2p-node-kad/1";

fn secret(number: u8) -> SecretKey {
    SecretKey::from_seed([number; 32])
}

fn endpoint(secret: &SecretKey) -> Endpoint {
    let tls = TlsIdentity::new(secret).expect("made").server_config(&[PROTOCOL]).expect("made");
    let crypto = QuicServerConfig::try_from(tls).expect("TLS 1.3");
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    Endpoint::server(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("bound")
}

/// Connects, and says a hello of one byte on the first stream.
#[derive(Clone)]
struct Greeting {
    endpoint: Endpoint,
    secret: SecretKey,
}

impl Connector for Greeting {
    type Muxer = QuicMuxer;

    fn dial(&self, node: NodeId, address: SocketAddr) -> BoxFuture<io::Result<QuicMuxer>> {
        let this = self.clone();
        Box::pin(async move {
            let connecting = this.connect(node, address);
            let connected = tokio::time::timeout(Duration::from_millis(500), connecting).await;
            connected.map_err(|_| io::ErrorKind::TimedOut)?.map(QuicMuxer::new)
        })
    }
}

impl Greeting {
    async fn connect(&self, node: NodeId, address: SocketAddr) -> io::Result<Connection> {
        let tls = TlsIdentity::new(&self.secret).expect("made").client_config(Some(node), PROTOCOL);
        let crypto = QuicClientConfig::try_from(tls.expect("made")).expect("TLS 1.3");
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let connecting = self.endpoint.connect_with(config, address, SERVER_NAME);
        let connection = connecting.map_err(io::Error::other)?.await?;
        let (mut send, mut receive) = connection.open_bi().await?;
        send.write_all(b"h").await?;
        send.finish().expect("it is open");
        receive.read_to_end(1).await.map_err(io::Error::other)?;
        Ok(connection)
    }
}

/// Greets one that came in.
async fn greet(incoming: quinn::Incoming) -> Option<Accepted<QuicMuxer>> {
    let connection = incoming.await.ok()?;
    let certificates = connection.peer_identity()?.downcast::<Vec<_>>().ok()?;
    let node = node_of(certificates.first()?)?;
    let (mut send, mut receive) = connection.accept_bi().await.ok()?;
    receive.read_to_end(1).await.ok()?;
    send.write_all(b"h").await.ok()?;
    send.finish().ok()?;
    let remote = connection.remote_address();
    Some(Accepted { node, remote, muxer: QuicMuxer::new(connection) })
}

struct Member {
    greeting: Greeting,
    address: SocketAddr,
    dht: Dht,
    _tasks: JoinSet<()>,
}

async fn start(number: u8, common: &Common) -> Member {
    let secret = secret(number);
    let endpoint = endpoint(&secret);
    let address = endpoint.local_addr().expect("bound");
    let greeting = Greeting { endpoint: endpoint.clone(), secret };
    let (hand_over, accepted) = mpsc::channel(8);
    let parts = DhtParts {
        node: greeting.secret.public(),
        connector: greeting.clone(),
        accepted,
        validator: common.judge.clone(),
        accounts: common.owners.clone(),
        clock: common.clocks.clone(),
        keep: Box::new(Forgetful),
        kept: Vec::new(),
    };
    let config = DhtConfig { idle_timeout: Duration::from_millis(300), ..DhtConfig::default() };
    let (dht, driver) = Dht::start(config, parts);
    let mut tasks = JoinSet::new();
    tasks.spawn(driver);
    let greeter = dht.clone();
    tasks.spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let Some(greeted) = greet(incoming).await else { continue };
            let (node, remote) = (greeted.node, greeted.remote);
            let _ = hand_over.send(greeted).await;
            let _ = greeter.add_peer(node, vec![remote]).await;
        }
    });
    dht.set_server(true).await.expect("it runs");
    Member { greeting, address, dht, _tasks: tasks }
}

async fn network(common: &Common, size: u8) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for number in 0..size {
        let member = start(number, common).await;
        if let Some(first) = members.first() {
            let known = first.greeting.secret.public();
            member.dht.add_peer(known, vec![first.address]).await.expect("it runs");
            member.dht.bootstrap().await.expect("one is known");
        }
        members.push(member);
    }
    members
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puts_and_gets_cross_quic_connections() {
    let members = network(&Common::default(), 6).await;
    let answered = members[1].dht.put(key("over QUIC"), value(1, "over QUIC"), HOUR).await;
    assert_eq!(answered, Ok(5));
    for member in &members {
        let found = member.dht.get(key("over QUIC"), Until::Exhausted).await.expect("it runs");
        let found = found.expect("found");
        assert_eq!(found.value, value(1, "over QUIC"));
        assert!(found.agreeing >= 4, "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_closed_with_done_and_made_again_when_it_is_needed() {
    let common = Common::default();
    let members = network(&common, 2).await;
    members[1].dht.put(key("x"), value(1, "x"), HOUR).await.expect("taken");
    for member in &members {
        eventually(|| async {
            let connected = member.dht.status().await.expect("it runs").connected;
            (connected == 0).then_some(())
        })
        .await;
    }
    let found = members[0].dht.get(key("x"), Until::Exhausted).await.expect("it runs");
    assert_eq!(found.map(|found| found.agreeing), Some(1));

    // How it ends, as a node sees it that only listens.
    let stranger = Greeting { endpoint: endpoint(&secret(9)), secret: secret(9) };
    let to = &members[0];
    let connection = stranger.connect(to.greeting.secret.public(), to.address).await.expect("connected");
    let ended = tokio::time::timeout(Duration::from_secs(10), connection.closed()).await.expect("it ends");
    let ConnectionError::ApplicationClosed(closed) = ended else { panic!("{ended}") };
    assert_eq!(closed.error_code.into_inner(), u64::from(ErrorCode::Done.number()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_far_end_writes_on_its_streams_harms_nobody() {
    let members = network(&Common::default(), 2).await;
    let stranger = Greeting { endpoint: endpoint(&secret(9)), secret: secret(9) };
    let to = &members[0];
    let connection = stranger.connect(to.greeting.secret.public(), to.address).await.expect("connected");
    let negotiated = b"\x13/multistream/1.0.0\n\x10/p2p-node/kad/1\n";
    let oversized = [negotiated.as_slice(), &[0xff, 0xff, 0xff, 0xff, 0x7f]].concat();
    let garbage = [negotiated.as_slice(), &[5, 0xff, 0xff, 0xff, 0xff, 0xff]].concat();
    let no_key = [negotiated.as_slice(), &[2, 0x08, 0x01]].concat();
    let ping = [negotiated.as_slice(), &[2, 0x08, 0x05]].concat();
    for bytes in [&b""[..], b"\0", &[0xff; 4096], negotiated, &oversized, &garbage, &no_key, &ping] {
        let Ok((mut send, mut receive)) = connection.open_bi().await else { break };
        let _ = send.write_all(bytes).await;
        let _ = send.finish();
        let _ = tokio::time::timeout(Duration::from_millis(300), receive.read_to_end(1 << 16)).await;
    }
    // A good many streams that say nothing, and a connection that goes with answers on their way.
    for _ in 0..200 {
        let opening = tokio::time::timeout(Duration::from_millis(50), connection.open_bi()).await;
        let Ok(Ok((mut send, _))) = opening else { break };
        let _ = send.write_all(&negotiated[..7]).await;
    }
    connection.close(7_u32.into(), b"bye");
    assert_eq!(members[1].dht.put(key("still"), value(1, "still"), HOUR).await, Ok(1));
    let found = members[0].dht.get(key("still"), Until::Agreed).await.expect("it runs");
    assert_eq!(found.map(|found| found.value), Some(value(1, "still")));
}
