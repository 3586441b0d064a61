//! Kademlia by hand: what a far end puts and says, whether it may or not. PROTOCOL.md, "Kademlia"; the messages are libp2p's.

use std::net::SocketAddr;

use certs::NodeId;
use index::CallError;
use index::dht::address::{peer_of, to_multiaddr};
use index::dht::protobuf::{field, length_of};
use quinn::Connection;
use wire::message::{Hello, Request};

use super::member::Member;
use super::stranger::{Stranger, ask};
use crate::wait::in_time;

/// multistream-select: its own line, and the protocol's.
const LINES: &[u8] = b"\x13/multistream/1.0.0\n\x10/p2p-node/kad/1\n";
/// More than the largest answer.
const ANSWER_BYTES: usize = 64 << 10;
/// Types of messages; that of a put is 0, which is not written.
const ADD_PROVIDER: u8 = 2;
const FIND_NODE: u8 = 4;

/// A connection of Kademlia, after its hello.
#[derive(Debug)]
pub struct KadPeer {
    connection: Connection,
}

impl KadPeer {
    /// As a member.
    ///
    /// # Errors
    /// What the far end says.
    pub async fn connect(member: &Member, address: SocketAddr) -> Result<Self, CallError> {
        Self::greet(member.stranger(), address, member.hello()).await
    }

    /// With any hello.
    ///
    /// # Errors
    /// What the far end says.
    pub async fn greet(by: &Stranger, address: SocketAddr, hello: Hello) -> Result<Self, CallError> {
        let connection = by.try_dial_kad(address).await.map_err(CallError::Connection)?;
        ask::<Hello>(&connection, &Request::Hello(hello)).await?;
        Ok(Self { connection })
    }

    /// Without a hello.
    ///
    /// # Errors
    /// The connection's.
    pub async fn unannounced(by: &Stranger, address: SocketAddr) -> Result<Self, quinn::ConnectionError> {
        Ok(Self { connection: by.try_dial_kad(address).await? })
    }

    /// The connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Puts a value, and waits until the far end has taken it in or not: what it answers, which is nothing where it hangs up.
    pub async fn put(&self, key: &[u8], value: &[u8]) -> Vec<u8> {
        let record = [field(1, key), field(2, value)].concat();
        self.exchange(&field(3, &record)).await
    }

    /// Says that a node has something, and is at these addresses. There is no answer.
    pub async fn provide(&self, key: &[u8], node: NodeId, addresses: &[SocketAddr]) {
        self.exchange(&[vec![8, ADD_PROVIDER], field(2, key), field(9, &peer(node, addresses))].concat())
            .await;
    }

    /// Asks who is near to a key; what is answered. It comes after what was sent before it on other streams was read.
    pub async fn find_node(&self, key: &[u8]) -> Vec<u8> {
        self.exchange(&[vec![8, FIND_NODE], field(2, key)].concat()).await
    }

    async fn exchange(&self, message: &[u8]) -> Vec<u8> {
        let exchange = async {
            let (mut send, mut receive) = self.connection.open_bi().await.ok()?;
            let all = [LINES, &length_of(message.len()), message].concat();
            // Who hangs up early has read enough.
            let _ = send.write_all(&all).await;
            let _ = send.finish();
            receive.read_to_end(ANSWER_BYTES).await.ok()
        };
        in_time("an answer of Kademlia", exchange).await.unwrap_or_default()
    }
}

/// A `Peer`.
fn peer(node: NodeId, addresses: &[SocketAddr]) -> Vec<u8> {
    let addresses = addresses.iter().flat_map(|at| field(2, &to_multiaddr(*at, &node).to_vec()));
    field(1, &peer_of(&node).to_bytes()).into_iter().chain(addresses).collect()
}
