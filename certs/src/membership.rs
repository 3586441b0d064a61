//! The membership certificate: the index says whose node this is.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::cbor::{self, CborError};
use crate::cose::{Signed, SignedError, Statement};
use crate::id::{AccountId, NetworkId, NodeId, PublicKey};
use crate::index_cert::{IndexCertificate, IndexCertificateError};
use crate::key::SecretKey;
use crate::time::UnixMillis;
use crate::user_name::UserName;
use crate::{byte_string, bytes};

const DAY_MS: u64 = 86_400_000;
/// How long a membership is good for: 30 days from when it is issued.
pub const MEMBERSHIP_VALIDITY_MS: u64 = 30 * DAY_MS;
/// How far `not_before` lies before the time of issue, for clocks that are behind: 24 hours.
pub const CLOCK_TOLERANCE_MS: u64 = DAY_MS;
/// How long past `not_after` a membership still holds where nothing newer of the index is known: 180 days.
pub const MEMBERSHIP_GRACE_MS: u64 = 180 * DAY_MS;

byte_string!(
    /// BLAKE3 of a signed index certificate: how what the index signs names its certificate.
    IssuerHash,
    32
);

/// Index → node: this node is one of this user's. PROTOCOL.md, "Membership".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// 0.
    pub format: u8,
    /// The network.
    pub network: NetworkId,
    /// BLAKE3 of the certificate of the index that signs this.
    pub issuer: IssuerHash,
    /// The account.
    pub account: AccountId,
    /// The account's user name.
    pub user: UserName,
    /// The node that is enrolled.
    pub node: NodeId,
    /// From 1 upwards for each node; a revocation names a node and the highest serial that it ends.
    pub serial: u64,
    /// When it begins: 24 hours before it was issued.
    pub not_before: UnixMillis,
    /// When it ends.
    pub not_after: UnixMillis,
}

/// Why a membership is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// The certificate of the index that issued it is not valid.
    #[error(transparent)]
    Certificate(#[from] IndexCertificateError),
    /// Not a signed object of this kind.
    #[error("the membership is not valid: {0}")]
    Signed(#[from] SignedError),
    /// The file or field that should hold it does not.
    #[error("the enrolment cannot be read: {0}")]
    Enrolment(#[from] CborError),
    /// Signed by somebody other than the index whose certificate came with it.
    #[error("the membership was not issued by this network's index")]
    OtherIssuer,
    /// Another node's.
    #[error("the membership is another node's, {found}")]
    OtherNode {
        /// Whose it is.
        found: NodeId,
    },
    /// Its time has not begun by this clock.
    #[error("the membership begins in the future: is this machine's clock right?")]
    NotYet,
    /// Its time is over, the grace included.
    #[error("the membership has ended")]
    Expired,
}

impl Membership {
    /// Issues one as the index, good from 24 hours ago and for 30 days.
    pub fn issue(
        index: &SecretKey,
        certificate: &Signed<IndexCertificate>,
        account: AccountId,
        user: UserName,
        node: NodeId,
        serial: u64,
        now: UnixMillis,
    ) -> Signed<Self> {
        let body = Self {
            format: 0,
            network: certificate.network,
            issuer: IssuerHash::from_bytes(*certificate.hash()),
            account,
            user,
            node,
            serial,
            not_before: now.minus(CLOCK_TOLERANCE_MS),
            not_after: now.plus(MEMBERSHIP_VALIDITY_MS),
        };
        Signed::sign(index, body)
    }

    /// When it was issued.
    pub const fn issued(&self) -> UnixMillis {
        self.not_before.plus(CLOCK_TOLERANCE_MS)
    }

    /// Whether one that ends at `not_after` is over, the grace included. `index_seen`: see [`Enrolment::verify`].
    pub fn is_over(not_after: UnixMillis, now: UnixMillis, index_seen: UnixMillis) -> bool {
        let in_grace = not_after >= index_seen && now <= not_after.plus(MEMBERSHIP_GRACE_MS);
        now > not_after && !in_grace
    }

    /// Whether it should be renewed: two thirds of its time are over.
    pub fn wants_renewal(&self, now: UnixMillis) -> bool {
        now.plus(MEMBERSHIP_VALIDITY_MS / 3) > self.not_after
    }
}

impl Statement for Membership {
    const CONTEXT: &'static str = "p2p-node/0 membership";
    const MAX_BYTES: usize = 1024;

    fn check(&self, _: &PublicKey) -> Result<(), String> {
        match self.format {
            0 if self.serial == 0 => Err("serials start at 1".to_owned()),
            0 => Ok(()),
            other => Err(format!("membership of an unknown format, {other}")),
        }
    }
}

/// A membership with the index certificate that it hangs from: what a node shows in `hello` and keeps in
/// `membership.cbor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// The index certificate.
    pub certificate: Signed<IndexCertificate>,
    /// The membership.
    pub membership: Signed<Membership>,
}

/// The form of [`Enrolment`] on the wire and on disk.
#[derive(Serialize, Deserialize)]
struct EnrolmentBytes {
    #[serde(deserialize_with = "bytes::byte_buf")]
    certificate: ByteBuf,
    #[serde(deserialize_with = "bytes::byte_buf")]
    membership: ByteBuf,
}

impl Enrolment {
    /// The largest one, in bytes.
    pub const MAX_BYTES: usize = IndexCertificate::MAX_BYTES + Membership::MAX_BYTES + 64;

    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(&EnrolmentBytes {
            certificate: ByteBuf::from(self.certificate.bytes()),
            membership: ByteBuf::from(self.membership.bytes()),
        })
    }

    /// Checks the whole chain: root → index certificate → membership of `node`, in time.
    ///
    /// `index_seen` is the newest time of an answer or a signed list of the index that the caller has; a membership
    /// that ended before that is over, any other has a grace of [`MEMBERSHIP_GRACE_MS`].
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub fn verify(
        bytes: &[u8],
        network: &NetworkId,
        node: &NodeId,
        now: UnixMillis,
        index_seen: UnixMillis,
    ) -> Result<Self, MembershipError> {
        let enrolment = Self::verify_timeless(bytes, network, node)?;
        enrolment.check_time(now, index_seen)?;
        Ok(enrolment)
    }

    /// Checks the times of one whose chain was checked before; the arguments are those of [`Enrolment::verify`].
    ///
    /// # Errors
    /// [`MembershipError::NotYet`], or one that is expired.
    pub fn check_time(&self, now: UnixMillis, index_seen: UnixMillis) -> Result<(), MembershipError> {
        if self.certificate.not_after < now {
            return Err(IndexCertificateError::Expired.into());
        }
        let membership = &self.membership;
        if now < membership.not_before {
            return Err(MembershipError::NotYet);
        }
        match Membership::is_over(membership.not_after, now, index_seen) {
            true => Err(MembershipError::Expired),
            false => Ok(()),
        }
    }

    /// Whether a newer index certificate makes it void.
    pub fn is_void_under(&self, newest: &IndexCertificate) -> bool {
        newest.voids(&self.certificate, self.membership.issued())
    }

    /// Checks the chain, and no time: for a node's own enrolment, of whose time others are the judges.
    ///
    /// # Errors
    /// See [`MembershipError`]; never `NotYet` or an `Expired`.
    pub fn verify_timeless(
        bytes: &[u8],
        network: &NetworkId,
        node: &NodeId,
    ) -> Result<Self, MembershipError> {
        let parts: EnrolmentBytes = cbor::decode(bytes, Self::MAX_BYTES)?;
        let certificate = IndexCertificate::verify(&parts.certificate, network, UnixMillis(0))?;
        let membership = Signed::<Membership>::parse(&parts.membership)?;
        let enrolment = Self { certificate, membership };
        enrolment.check_chain(node)?;
        Ok(enrolment)
    }

    fn check_chain(&self, node: &NodeId) -> Result<(), MembershipError> {
        let membership = &self.membership;
        if *membership.signer() != self.certificate.node
            || membership.issuer.as_bytes() != self.certificate.hash()
            || membership.network != self.certificate.network
        {
            return Err(MembershipError::OtherIssuer);
        }
        if membership.node != *node {
            return Err(MembershipError::OtherNode { found: membership.node });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::INDEX_CERTIFICATE_VALIDITY_MS;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed([seed; 32])
    }

    fn enrolment(root: u8, index: u8, named_index: u8, node: u8) -> Enrolment {
        let certificate = IndexCertificate::issue(&key(root), key(named_index).public(), 1, NOW);
        let user = "alice".parse().expect("a name");
        let account = AccountId::from_bytes([9; 16]);
        let membership =
            Membership::issue(&key(index), &certificate, account, user, key(node).public(), 1, NOW);
        Enrolment { certificate, membership }
    }

    fn verify(enrolment: &Enrolment, now: UnixMillis, seen: UnixMillis) -> Result<(), MembershipError> {
        Enrolment::verify(&enrolment.to_bytes(), &key(1).public(), &key(3).public(), now, seen).map(drop)
    }

    #[test]
    fn a_chain_holds_for_its_node_alone() {
        assert_eq!(verify(&enrolment(1, 2, 2, 3), NOW, NOW), Ok(()));
        assert_eq!(
            verify(&enrolment(1, 2, 2, 4), NOW, NOW),
            Err(MembershipError::OtherNode { found: key(4).public() })
        );
        assert_eq!(verify(&enrolment(1, 5, 2, 3), NOW, NOW), Err(MembershipError::OtherIssuer));
        assert!(matches!(
            verify(&enrolment(6, 2, 2, 3), NOW, NOW),
            Err(MembershipError::Certificate(IndexCertificateError::OtherNetwork { .. }))
        ));
    }

    #[test]
    fn time_and_grace() {
        let enrolment = enrolment(1, 2, 2, 3);
        let (begin, end) = (enrolment.membership.not_before, enrolment.membership.not_after);
        assert_eq!(verify(&enrolment, begin.minus(1), NOW), Err(MembershipError::NotYet));
        assert_eq!(verify(&enrolment, begin, NOW), Ok(()));
        assert_eq!(verify(&enrolment, end, NOW), Ok(()));
        let past = end.plus(1);
        assert_eq!(verify(&enrolment, past, NOW), Ok(()), "the index has been away: grace");
        assert_eq!(verify(&enrolment, past, past), Err(MembershipError::Expired));
        let last = end.plus(MEMBERSHIP_GRACE_MS);
        assert_eq!(verify(&enrolment, last, NOW), Ok(()));
        assert_eq!(verify(&enrolment, last.plus(1), NOW), Err(MembershipError::Expired));
    }

    #[test]
    fn what_was_issued_before_outlives_the_certificate() {
        let old = enrolment(1, 2, 2, 3);
        assert_eq!(old.membership.issued(), NOW);
        let newer = |since| IndexCertificate::issue_voiding(&key(1), key(4).public(), 2, NOW, since);
        assert!(!old.is_void_under(&IndexCertificate::issue(&key(1), key(4).public(), 2, NOW)));
        assert!(!old.is_void_under(&newer(NOW.plus(1))));
        assert!(old.is_void_under(&newer(NOW)));
    }

    #[test]
    fn the_chain_holds_or_does_not_at_any_time() {
        let timeless = |enrolment: &Enrolment| {
            Enrolment::verify_timeless(&enrolment.to_bytes(), &key(1).public(), &key(3).public())
        };
        assert_eq!(timeless(&enrolment(1, 2, 2, 3)), Ok(enrolment(1, 2, 2, 3)));
        assert_eq!(
            timeless(&enrolment(1, 2, 2, 4)),
            Err(MembershipError::OtherNode { found: key(4).public() })
        );
        assert_eq!(timeless(&enrolment(1, 5, 2, 3)), Err(MembershipError::OtherIssuer));
        let after_all = NOW.plus(INDEX_CERTIFICATE_VALIDITY_MS + 1);
        let expired = Err(MembershipError::Certificate(IndexCertificateError::Expired));
        assert_eq!(verify(&enrolment(1, 2, 2, 3), after_all, NOW), expired);
    }

    #[test]
    fn a_certificate_of_the_same_index_that_it_does_not_name_is_refused() {
        let mut enrolment = enrolment(1, 2, 2, 3);
        enrolment.certificate = IndexCertificate::issue(&key(1), key(2).public(), 2, NOW);
        assert_eq!(verify(&enrolment, NOW, NOW), Err(MembershipError::OtherIssuer));
    }
}
