//! What lies in the Kademlia DHT, and under which keys. PROTOCOL.md, "Kademlia".

use certs::{NetworkId, NodeId};
use serde::{Deserialize, Serialize};

use crate::catalogue::HeadBundle;
use crate::cbor::{self, CborError};
use crate::hash::{ContentHash, Digest};
use crate::limits;
use crate::members::MembersBundle;
use crate::presence::PresenceBundle;

/// A value in the DHT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KadValue {
    /// The head of a node's catalogue, under [`catalogue_key`].
    Catalogue(HeadBundle),
    /// Where a node is, under [`presence_key`]; with its enrolment.
    Presence(PresenceBundle),
    /// The members head, under [`members_key`].
    Members(MembersBundle),
}

impl KadValue {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// From bytes. Of what is in it nothing is checked.
    ///
    /// # Errors
    /// See [`CborError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, limits::DHT_VALUE_BYTES)
    }
}

/// Where the head of a node's catalogue lies.
pub fn catalogue_key(network: &NetworkId, node: &NodeId) -> Digest {
    key(b"catalogue", network, node.as_bytes())
}

/// Where a node's word of presence lies.
pub fn presence_key(network: &NetworkId, node: &NodeId) -> Digest {
    key(b"presence", network, node.as_bytes())
}

/// Where the members head lies.
pub fn members_key(network: &NetworkId) -> Digest {
    key(b"members", network, &[])
}

/// Where the providers of a content are.
pub fn provider_key(network: &NetworkId, content: &ContentHash) -> Digest {
    key(b"provider", network, content.as_bytes())
}

/// BLAKE3 over the word in ASCII, a zero byte, the network's id, and what it is about.
fn key(word: &[u8], network: &NetworkId, about: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(word).update(&[0]).update(network.as_bytes()).update(about);
    Digest::from_bytes(*hasher.finalize().as_bytes())
}
