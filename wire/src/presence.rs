//! Presence without the index: a node says where it is. PROTOCOL.md, "Presence".

use certs::bytes::{byte_buf, optional_byte_buf};
use certs::{Enrolment, NetworkId, NodeId, PublicKey, Signed, Statement, UnixMillis};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::error::{ErrorBody, ErrorCode};
use crate::limits;
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

impl Presence {
    /// Whether it is over, or from the future, by this clock.
    pub fn is_timely(&self, now: UnixMillis) -> bool {
        self.time <= now.plus(crate::catalogue::CLOCK_TOLERANCE_MS)
            && now <= self.time.plus(PRESENCE_VALIDITY_MS)
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
