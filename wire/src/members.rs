//! The members head: the index says who its members are, and whose membership ended. PROTOCOL.md, "Members".

use certs::bytes::byte_buf;
use certs::{IndexCertificate, IssuerHash, NetworkId, PublicKey, SecretKey, Signed, Statement, UnixMillis};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::catalogue::Tree;
use crate::error::{ErrorBody, ErrorCode};
use crate::hash::TreeHash;
use crate::limits;

/// Index: these are my members. Of two, the one of the higher epoch of the certificate counts, then the higher sequence,
/// then the lower hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembersHead {
    /// 0.
    pub format: u8,
    /// The network.
    pub network: NetworkId,
    /// BLAKE3 of the certificate of the index that signs this.
    pub issuer: IssuerHash,
    /// max(unix ms, one more than the last one).
    pub seq: u64,
    /// When it was made, by the index's clock: memberships that ended before are over.
    pub time: UnixMillis,
    /// The root of the tree of members; `None` where there are none.
    pub members: Option<TreeHash>,
    /// How many members there are.
    pub member_count: u64,
    /// The root of the tree of ended memberships; `None` where there are none.
    pub revoked: Option<TreeHash>,
    /// How many ended memberships there are.
    pub revoked_count: u64,
}

/// A members head with the certificate that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersBundle {
    /// The signed head.
    #[serde(deserialize_with = "byte_buf")]
    pub head: ByteBuf,
    /// The index certificate.
    #[serde(deserialize_with = "byte_buf")]
    pub certificate: ByteBuf,
}

/// A members head that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedMembers {
    /// The head.
    pub head: Signed<MembersHead>,
    /// The index certificate.
    pub certificate: Signed<IndexCertificate>,
}

impl MembersHead {
    /// Issues one as the index of this certificate.
    pub fn issue(
        index: &SecretKey,
        certificate: &Signed<IndexCertificate>,
        seq: u64,
        time: UnixMillis,
        members: Tree,
        revoked: Tree,
    ) -> Signed<Self> {
        let body = Self {
            format: 0,
            network: certificate.network,
            issuer: IssuerHash::from_bytes(*certificate.hash()),
            seq,
            time,
            members: members.root,
            member_count: members.count,
            revoked: revoked.root,
            revoked_count: revoked.count,
        };
        Signed::sign(index, body)
    }

    /// Whether it is not from the future, by this clock. It has no end.
    pub fn is_timely(&self, now: UnixMillis) -> bool {
        self.time <= now.plus(crate::catalogue::CLOCK_TOLERANCE_MS)
    }
}

impl MembersBundle {
    /// Of a head, and the certificate that it names.
    pub fn new(head: &Signed<MembersHead>, certificate: &Signed<IndexCertificate>) -> Self {
        Self { head: ByteBuf::from(head.bytes()), certificate: ByteBuf::from(certificate.bytes()) }
    }

    /// Checks the chain from the root; not whether the certificate is the newest.
    ///
    /// # Errors
    /// `bad-record` with the reason.
    pub fn verify(&self, network: &NetworkId, now: UnixMillis) -> Result<VerifiedMembers, ErrorBody> {
        let bad = |text: &str| Err(ErrorBody::new(ErrorCode::BadRecord, text));
        let (head, certificate) =
            signed_by_index::<MembersHead>(&self.head, &self.certificate, network, now)?;
        if head.issuer.as_bytes() != certificate.hash() || head.network != *network {
            return bad("the list of members is not this network's index's");
        }
        if !head.is_timely(now) {
            return bad("the list of members is from the future");
        }
        Ok(VerifiedMembers { head, certificate })
    }
}

/// Checks that something is signed by the node of a certificate, and that this holds.
///
/// # Errors
/// `bad-record` with the reason.
pub(crate) fn signed_by_index<T: Statement>(
    bytes: &[u8],
    certificate: &[u8],
    network: &NetworkId,
    now: UnixMillis,
) -> Result<(Signed<T>, Signed<IndexCertificate>), ErrorBody> {
    let bad = |text: String| ErrorBody::new(ErrorCode::BadRecord, text);
    let certificate = IndexCertificate::verify(certificate, network, now);
    let certificate = certificate.map_err(|error| bad(error.to_string()))?;
    let signed = Signed::<T>::parse(bytes).map_err(|error| bad(error.to_string()))?;
    if *signed.signer() != certificate.node {
        return Err(bad("it is signed by another node than this network's index".to_owned()));
    }
    Ok((signed, certificate))
}

impl VerifiedMembers {
    /// Which of the lists of its network it is.
    pub fn number(&self) -> MembersNumber {
        MembersNumber { epoch: self.certificate.epoch, seq: self.head.seq }
    }

    /// By what the newest counts.
    pub fn rank(&self) -> MembersRank {
        MembersRank { number: self.number(), lower_hash: std::cmp::Reverse(*self.head.hash()) }
    }

    /// As it travels.
    pub fn bundle(&self) -> MembersBundle {
        MembersBundle::new(&self.head, &self.certificate)
    }
}

/// Which list of members: the later the higher. The sequence may begin anew where an index moved without its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct MembersNumber {
    /// Of the certificate of the index that signed it.
    pub epoch: u64,
    /// The head's, from 0 upwards; at most 2^53.
    pub seq: u64,
}

/// The order of members heads: by their number, and of one that was signed twice the lower hash counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MembersRank {
    number: MembersNumber,
    lower_hash: std::cmp::Reverse<[u8; 32]>,
}

impl Statement for MembersHead {
    const CONTEXT: &'static str = "p2p-node/0 members";
    const MAX_BYTES: usize = limits::HEAD_BYTES;

    fn check(&self, _: &PublicKey) -> Result<(), String> {
        let broken = |rule: &str| Err(rule.to_owned());
        if self.format != 0 {
            return Err(format!("a list of members of an unknown format, {}", self.format));
        }
        if self.seq > limits::VERSION {
            return broken("sequences are numbers up to 2^53");
        }
        if self.members.is_some() != (self.member_count > 0)
            || self.revoked.is_some() != (self.revoked_count > 0)
        {
            return broken("a tree is there exactly where something is in it");
        }
        if self.member_count > limits::MEMBERS || self.revoked_count > limits::MEMBERS {
            return broken("more members than a network may have");
        }
        Ok(())
    }
}
