//! The head of a catalogue.

use certs::bytes::byte_buf;
use certs::{
    AccountId, Enrolment, NetworkId, NodeId, PublicKey, SecretKey, Signed, Statement, UnixMillis, UserName,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::error::{ErrorBody, ErrorCode};
use crate::hash::{Digest, TreeHash};
use crate::limits;

/// How long a head is good for: 30 days from its time.
pub const HEAD_VALIDITY_MS: u64 = 30 * 86_400_000;

/// How far in the future a head or a word of presence may be dated: clocks differ.
pub(crate) const CLOCK_TOLERANCE_MS: u64 = 600_000;

/// Node: this is all that I publish and hold. PROTOCOL.md, "Catalogues".
///
/// Of two heads of one node the one with the higher sequence counts; of two with the same, that with the lower hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueHead {
    /// 0.
    pub format: u8,
    /// The network.
    pub network: NetworkId,
    /// The node; it signs this.
    pub node: NodeId,
    /// max(unix ms, one more than the last one of this node, one more than any that was found elsewhere).
    pub seq: u64,
    /// When it was made, by the node's clock. It is good for 30 days from then.
    pub time: UnixMillis,
    /// The root of the tree of records; `None` where there are none.
    pub records: Option<TreeHash>,
    /// How many records there are.
    pub record_count: u64,
    /// The root of the tree of the contents that it holds whole; `None` where there are none.
    pub held: Option<TreeHash>,
    /// How many contents there are.
    pub held_count: u64,
}

/// A tree as a head names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tree {
    /// Its root; `None` exactly where there is nothing in it.
    pub root: Option<TreeHash>,
    /// How many items are in it.
    pub count: u64,
}

/// A head with what makes it verifiable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadBundle {
    /// The signed head.
    #[serde(deserialize_with = "byte_buf")]
    pub head: ByteBuf,
    /// The node's enrolment.
    #[serde(deserialize_with = "byte_buf")]
    pub enrolment: ByteBuf,
}

/// A head that holds, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedHead {
    /// The head.
    pub head: Signed<CatalogueHead>,
    /// The enrolment of the node.
    pub enrolment: Enrolment,
}

impl CatalogueHead {
    /// Signs one with the key of its node.
    pub fn issue(
        key: &SecretKey,
        network: NetworkId,
        seq: u64,
        time: UnixMillis,
        records: Tree,
        held: Tree,
    ) -> Signed<Self> {
        let body = Self {
            format: 0,
            network,
            node: key.public(),
            seq,
            time,
            records: records.root,
            record_count: records.count,
            held: held.root,
            held_count: held.count,
        };
        Signed::sign(key, body)
    }

    /// When it ends.
    pub const fn not_after(&self) -> UnixMillis {
        self.time.plus(HEAD_VALIDITY_MS)
    }

    /// Whether it is over, or from the future, by this clock.
    pub fn is_timely(&self, now: UnixMillis) -> bool {
        self.time <= now.plus(CLOCK_TOLERANCE_MS) && now <= self.not_after()
    }
}

impl HeadBundle {
    /// Of a head, and the enrolment of its node.
    pub fn new(head: &Signed<CatalogueHead>, enrolment: &Enrolment) -> Self {
        Self { head: ByteBuf::from(head.bytes()), enrolment: ByteBuf::from(enrolment.to_bytes()) }
    }

    /// Checks signatures, network, the enrolment of its node, and times. `index_seen`: see [`Enrolment::verify`].
    ///
    /// # Errors
    /// `bad-record`, `other-network` or `not-member`, with the reason.
    pub fn verify(
        &self,
        network: &NetworkId,
        now: UnixMillis,
        index_seen: UnixMillis,
    ) -> Result<VerifiedHead, ErrorBody> {
        let bad = |text: String| ErrorBody::new(ErrorCode::BadRecord, text);
        let head = Signed::<CatalogueHead>::parse(&self.head).map_err(|error| bad(error.to_string()))?;
        if head.network != *network {
            return Err(ErrorBody::new(ErrorCode::OtherNetwork, "the catalogue is of another network"));
        }
        if !head.is_timely(now) {
            return Err(bad("the head of the catalogue is over, or from the future".to_owned()));
        }
        let enrolment = Enrolment::verify(&self.enrolment, network, &head.node, now, index_seen)
            .map_err(|error| ErrorBody::new(ErrorCode::NotMember, error.to_string()))?;
        Ok(VerifiedHead { head, enrolment })
    }
}

impl VerifiedHead {
    /// The node.
    pub fn node(&self) -> NodeId {
        self.head.node
    }

    /// Its account.
    pub fn account(&self) -> AccountId {
        self.enrolment.membership.account
    }

    /// Its user.
    pub fn user(&self) -> &UserName {
        &self.enrolment.membership.user
    }

    /// The head's hash.
    pub fn hash(&self) -> Digest {
        Digest::from_bytes(*self.head.hash())
    }

    /// Whether it counts rather than another one of the same node, by sequence and hash.
    pub fn beats(&self, seq: u64, hash: &Digest) -> bool {
        self.head.seq > seq || (self.head.seq == seq && self.hash() < *hash)
    }

    /// As it travels.
    pub fn bundle(&self) -> HeadBundle {
        HeadBundle::new(&self.head, &self.enrolment)
    }
}

impl Statement for CatalogueHead {
    const CONTEXT: &'static str = "p2p-node/0 catalogue";
    const MAX_BYTES: usize = limits::HEAD_BYTES;

    fn check(&self, signer: &PublicKey) -> Result<(), String> {
        let broken = |rule: &str| Err(rule.to_owned());
        if self.format != 0 {
            return Err(format!("a catalogue of an unknown format, {}", self.format));
        }
        if self.node != *signer {
            return broken("a catalogue is signed by the node that it names");
        }
        if self.seq > limits::VERSION {
            return broken("sequences are numbers up to 2^53");
        }
        if self.records.is_some() != (self.record_count > 0) || self.held.is_some() != (self.held_count > 0) {
            return broken("a tree is there exactly where something is in it");
        }
        if self.record_count > limits::RESOURCES_PER_ACCOUNT as u64
            || self.held_count > limits::HOLDINGS_PER_NODE as u64
        {
            return broken("more than a node may publish or hold");
        }
        Ok(())
    }
}
