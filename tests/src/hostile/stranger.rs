//! Whoever has a key and a socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use certs::tls::{self, TlsIdentity};
use certs::{NetworkId, NodeId, SecretKey};
use index::CallError;
use quinn::Connection;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use serde::de::DeserializeOwned;
use wire::message::{Address, Hello, MINOR_VERSION, Request};
use wire::{InstanceId, limits};

use crate::clock;
use crate::wait::in_time;

/// How long an honest answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// As PROTOCOL.md has it.
const KEEP_ALIVE: Duration = Duration::from_secs(4);

/// A key and a socket.
#[derive(Debug)]
pub struct Stranger {
    key: SecretKey,
    endpoint: quinn::Endpoint,
    client: quinn::ClientConfig,
    kad: quinn::ClientConfig,
}

impl Stranger {
    /// One with a new key, on a free port of this address.
    pub fn new(ip: Ipv4Addr) -> Self {
        Self::with_key(ip, SecretKey::generate().expect("randomness"))
    }

    /// One with this key.
    pub fn with_key(ip: Ipv4Addr, key: SecretKey) -> Self {
        let tls = TlsIdentity::new(&key).expect("a certificate");
        let server = QuicServerConfig::try_from(tls.server_config(&[tls::ALPN]).expect("TLS")).expect("QUIC");
        let server = quinn::ServerConfig::with_crypto(Arc::new(server));
        let endpoint = quinn::Endpoint::server(server, SocketAddr::new(ip.into(), 0)).expect("a socket");
        let (client, kad) = (client_config(&tls, tls::ALPN), client_config(&tls, tls::KAD_ALPN));
        Self { client, kad, key, endpoint }
    }

    /// Another one, with a new key, that dials from the same socket. What dials that socket finds the first one's key.
    pub fn beside(&self) -> Self {
        let key = SecretKey::generate().expect("randomness");
        let tls = TlsIdentity::new(&key).expect("a certificate");
        let (client, kad) = (client_config(&tls, tls::ALPN), client_config(&tls, tls::KAD_ALPN));
        Self { client, kad, key, endpoint: self.endpoint.clone() }
    }

    /// Its key.
    pub fn key(&self) -> &SecretKey {
        &self.key
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.key.public()
    }

    /// Its socket.
    pub fn endpoint(&self) -> &quinn::Endpoint {
        &self.endpoint
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.local_addr().expect("bound")
    }

    /// A connection, before any hello.
    pub async fn dial(&self, address: SocketAddr) -> Connection {
        in_time("a handshake", self.try_dial(address)).await.expect("connected")
    }

    /// The same, where it may fail.
    ///
    /// # Errors
    /// The connection's.
    pub async fn try_dial(&self, address: SocketAddr) -> Result<Connection, quinn::ConnectionError> {
        let client = self.client.clone();
        self.endpoint.connect_with(client, address, tls::SERVER_NAME).expect("an address").await
    }

    /// A connection of Kademlia, before any hello.
    ///
    /// # Errors
    /// The connection's.
    pub async fn try_dial_kad(&self, address: SocketAddr) -> Result<Connection, quinn::ConnectionError> {
        let client = self.kad.clone();
        self.endpoint.connect_with(client, address, tls::SERVER_NAME).expect("an address").await
    }

    /// A hello of a node without membership.
    pub fn hello(&self, network: NetworkId) -> Hello {
        Hello {
            minor: MINOR_VERSION,
            features: Vec::new(),
            network,
            enrolment: None,
            certificate: None,
            revocations: None,
            clock: clock::wall_millis(),
            instance: InstanceId::from_bytes(self.id().as_bytes()[..16].try_into().expect("16 of 32")),
            addresses: Address::new(self.address()).into_iter().collect(),
            seen: None,
            renewed: None,
        }
    }

    /// A connection after a hello without membership, which only an index answers.
    pub async fn greeted(&self, address: SocketAddr, network: NetworkId) -> Connection {
        let connection = self.dial(address).await;
        ask::<Hello>(&connection, &Request::Hello(self.hello(network))).await.expect("greeted");
        connection
    }
}

/// As a node dials: with signs of life, so that a far end that was restarted is noticed.
fn client_config(tls: &TlsIdentity, protocol: &'static [u8]) -> quinn::ClientConfig {
    let client = QuicClientConfig::try_from(tls.client_config(None, protocol).expect("TLS"));
    let mut config = quinn::ClientConfig::new(Arc::new(client.expect("QUIC")));
    let mut transport = quinn::TransportConfig::default();
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    config.transport_config(Arc::new(transport));
    config
}

/// Asks in good form.
///
/// # Errors
/// What the far end says.
pub async fn ask<T: DeserializeOwned>(connection: &Connection, request: &Request) -> Result<T, CallError> {
    index::call(connection, request, ANSWER).await
}

/// Sends these bytes on a stream of their own and ends it; all that comes back.
///
/// # Errors
/// Where the stream is reset or the connection ends.
pub async fn raw(connection: &Connection, bytes: &[u8]) -> Result<Vec<u8>, quinn::ReadToEndError> {
    let lost = |error| quinn::ReadToEndError::Read(quinn::ReadError::ConnectionLost(error));
    let exchange = async {
        let (mut send, mut receive) = connection.open_bi().await.map_err(lost)?;
        // Who answers early stops reading; the answer counts.
        let _ = send.write_all(bytes).await;
        let _ = send.finish();
        receive.read_to_end(limits::MEMBER_FRAME_BYTES + 4).await
    };
    in_time("an answer", exchange).await
}

/// A frame around any content.
pub fn frame_of(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("short").to_be_bytes();
    [length.as_slice(), content].concat()
}
