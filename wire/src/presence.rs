//! Presence without the index: a node says where it is. PROTOCOL.md, "Presence".

use certs::bytes::{byte_buf, optional_byte_buf};
use certs::{
    Enrolment, IndexCertificate, NetworkId, NodeId, PublicKey, SecretKey, Signed, Statement, UnixMillis,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::error::{ErrorBody, ErrorCode};
use crate::hash::Digest;
use crate::limits;
use crate::members::signed_by_index;
use crate::message::Address;

/// How long a word of presence is good for: 15 minutes from its time; it is said every 5.
pub const PRESENCE_VALIDITY_MS: u64 = 900_000;

/// Node: I am here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// 0.
    pub format: u8,
    /// The network.
    pub network: NetworkId,
    /// The node; it signs this.
    pub node: NodeId,
    /// When it was said, by the node's clock. It is good for 15 minutes from then, and the later counts.
    pub time: UnixMillis,
    /// Since when the node runs.
    pub since: UnixMillis,
    /// Where it can be reached, at most 8, the likeliest first. None: it stops.
    pub addresses: Vec<Address>,
}

/// Presence, and where the other end may not have it the enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceBundle {
    /// The signed word.
    #[serde(deserialize_with = "byte_buf")]
    pub presence: ByteBuf,
    /// The node's enrolment. One without is believed of nodes whose enrolment is known.
    #[serde(default, deserialize_with = "optional_byte_buf", skip_serializing_if = "Option::is_none")]
    pub enrolment: Option<ByteBuf>,
}

/// Where the index is: a word of its own, with the certificate that says that it is the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexPlace {
    /// The signed word.
    #[serde(deserialize_with = "byte_buf")]
    pub presence: ByteBuf,
    /// The index certificate.
    #[serde(deserialize_with = "byte_buf")]
    pub certificate: ByteBuf,
}

/// One that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPlace {
    /// The word.
    pub presence: Signed<Presence>,
    /// The certificate of the index whose word it is.
    pub certificate: Signed<IndexCertificate>,
}

impl Presence {
    /// Signs a word with the key of its node. The addresses are at most 8.
    pub fn issue(
        key: &SecretKey,
        network: NetworkId,
        time: UnixMillis,
        since: UnixMillis,
        addresses: Vec<Address>,
    ) -> Signed<Self> {
        Signed::sign(key, Self { format: 0, network, node: key.public(), time, since, addresses })
    }

    /// Whether it is from the future, by this clock.
    pub fn is_early(&self, now: UnixMillis) -> bool {
        self.time > now.plus(crate::catalogue::CLOCK_TOLERANCE_MS)
    }

    /// Whether it is over, or from the future, by this clock.
    pub fn is_timely(&self, now: UnixMillis) -> bool {
        !self.is_early(now) && now <= self.time.plus(PRESENCE_VALIDITY_MS)
    }
}

impl PresenceBundle {
    /// Checks signature, network and time, and the enrolment if there is one; that of a node without is the caller's to know.
    ///
    /// # Errors
    /// `bad-record`, `other-network` or `not-member`, with the reason.
    pub fn verify(
        &self,
        network: &NetworkId,
        now: UnixMillis,
        index_seen: UnixMillis,
    ) -> Result<(Signed<Presence>, Option<Enrolment>), ErrorBody> {
        let bad = |text: String| ErrorBody::new(ErrorCode::BadRecord, text);
        let presence = Signed::<Presence>::parse(&self.presence).map_err(|error| bad(error.to_string()))?;
        if presence.network != *network {
            return Err(ErrorBody::new(ErrorCode::OtherNetwork, "the presence is in another network"));
        }
        if !presence.is_timely(now) {
            return Err(bad("the word of presence is over, or from the future".to_owned()));
        }
        let verify = |bytes: &ByteBuf| Enrolment::verify(bytes, network, &presence.node, now, index_seen);
        let enrolment = self.enrolment.as_ref().map(verify).transpose();
        let enrolment = enrolment.map_err(|error| ErrorBody::new(ErrorCode::NotMember, error.to_string()))?;
        Ok((presence, enrolment))
    }
}

impl IndexPlace {
    /// Checks the chain from the root, and that it says a place; not whether the certificate is the newest. It has no end: a
    /// later one takes its place.
    ///
    /// # Errors
    /// `bad-record` with the reason.
    pub fn verify(&self, network: &NetworkId, now: UnixMillis) -> Result<VerifiedPlace, ErrorBody> {
        let bad = |text: &str| Err(ErrorBody::new(ErrorCode::BadRecord, text));
        let (presence, certificate) =
            signed_by_index::<Presence>(&self.presence, &self.certificate, network, now)?;
        if presence.network != *network {
            return bad("the place of the index is in another network");
        }
        if presence.is_early(now) {
            return bad("the word of the index is from the future");
        }
        if presence.addresses.is_empty() {
            return bad("the index says of no place that it is there");
        }
        Ok(VerifiedPlace { presence, certificate })
    }
}

impl VerifiedPlace {
    /// By what the newest counts.
    pub fn rank(&self) -> PlaceRank {
        let (epoch, time) = (self.certificate.epoch, self.presence.time);
        PlaceRank { epoch, time, lower_hash: std::cmp::Reverse(*self.presence.hash()) }
    }

    /// The word's hash.
    pub fn hash(&self) -> Digest {
        Digest::from_bytes(*self.presence.hash())
    }

    /// As it travels.
    pub fn bundle(&self) -> IndexPlace {
        IndexPlace {
            presence: ByteBuf::from(self.presence.bytes()),
            certificate: ByteBuf::from(self.certificate.bytes()),
        }
    }
}

/// The order of the index's words: by the epoch of the certificate, then the time, then the lower hash counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlaceRank {
    epoch: u64,
    time: UnixMillis,
    lower_hash: std::cmp::Reverse<[u8; 32]>,
}

impl Statement for Presence {
    const CONTEXT: &'static str = "p2p-node/0 presence";
    const MAX_BYTES: usize = limits::HEAD_BYTES;

    fn check(&self, signer: &PublicKey) -> Result<(), String> {
        if self.format != 0 {
            return Err(format!("presence of an unknown format, {}", self.format));
        }
        if self.node != *signer {
            return Err("presence is signed by the node that it names".to_owned());
        }
        if self.addresses.len() > limits::ADDRESSES {
            return Err("more addresses than a node may have".to_owned());
        }
        Ok(())
    }
}
