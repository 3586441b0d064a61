//! The index certificate: the network's root says which node is its index.

use serde::{Deserialize, Serialize};

use crate::cose::{Signed, SignedError, Statement};
use crate::id::{NetworkId, NodeId, PublicKey};
use crate::key::SecretKey;
use crate::time::UnixMillis;

/// How long an index certificate is good for: 10 years of 365.25 days.
pub const INDEX_CERTIFICATE_VALIDITY_MS: u64 = 315_576_000_000;

/// Root → index: this node is the index of this network. PROTOCOL.md, "Index certificate".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexCertificate {
    /// 0.
    pub format: u8,
    /// The network, whose root signs this.
    pub network: NetworkId,
    /// The index node.
    pub node: NodeId,
    /// From 1 upwards; of two certificates the higher epoch counts, and who has seen it refuses the lower.
    pub epoch: u64,
    /// When it ends.
    pub not_after: UnixMillis,
    /// What the indexes of older epochs signed: `null`, it stands; a time, what they signed since then is void.
    pub older_void_since: Option<UnixMillis>,
}

/// Why an index certificate is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexCertificateError {
    /// Not a signed object of this kind.
    #[error("the index certificate is not valid: {0}")]
    Signed(#[from] SignedError),
    /// Of another network than the one that was expected.
    #[error("this is the index of another network, {found}")]
    OtherNetwork {
        /// Whose it is.
        found: NetworkId,
    },
    /// Its time is over.
    #[error("the index certificate has ended")]
    Expired,
}

impl IndexCertificate {
    /// Issues one with the root key, good for [`INDEX_CERTIFICATE_VALIDITY_MS`] from now.
    pub fn issue(root: &SecretKey, node: NodeId, epoch: u64, now: UnixMillis) -> Signed<Self> {
        let body = Self {
            format: 0,
            network: root.public(),
            node,
            epoch,
            not_after: now.plus(INDEX_CERTIFICATE_VALIDITY_MS),
            older_void_since: None,
        };
        Signed::sign(root, body)
    }

    /// The same, and what the indexes of lower epochs sign from `since` on is void: their key is no longer theirs alone.
    pub fn issue_voiding(
        root: &SecretKey,
        node: NodeId,
        epoch: u64,
        now: UnixMillis,
        since: UnixMillis,
    ) -> Signed<Self> {
        let body =
            Self { older_void_since: Some(since), ..Self::issue(root, node, epoch, now).body().clone() };
        Signed::sign(root, body)
    }

    /// Whether this one makes void what was signed at that time under another one.
    pub fn voids(&self, other: &Self, signed: UnixMillis) -> bool {
        self.epoch > other.epoch && self.older_void_since.is_some_and(|since| signed >= since)
    }

    /// Checks one: signed by the root of `network`, and not over.
    ///
    /// # Errors
    /// See [`IndexCertificateError`].
    pub fn verify(
        bytes: &[u8],
        network: &NetworkId,
        now: UnixMillis,
    ) -> Result<Signed<Self>, IndexCertificateError> {
        let certificate = Signed::<Self>::parse(bytes)?;
        if certificate.network != *network {
            return Err(IndexCertificateError::OtherNetwork { found: certificate.network });
        }
        if certificate.not_after < now {
            return Err(IndexCertificateError::Expired);
        }
        Ok(certificate)
    }
}

impl Statement for IndexCertificate {
    const CONTEXT: &'static str = "p2p-node/0 index certificate";
    const MAX_BYTES: usize = 1024;

    fn check(&self, signer: &PublicKey) -> Result<(), String> {
        if self.format != 0 {
            return Err(format!("index certificate of an unknown format, {}", self.format));
        }
        if self.network != *signer {
            return Err("an index certificate is signed by the root of its network".to_owned());
        }
        if self.epoch == 0 {
            return Err("epochs start at 1".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    #[test]
    fn verifies_only_for_its_network_and_time() {
        let (root, node) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let certificate = IndexCertificate::issue(&root, node.public(), 1, NOW);
        let verify = |network: NetworkId, now| IndexCertificate::verify(certificate.bytes(), &network, now);
        assert_eq!(verify(root.public(), NOW).expect("holds").node, node.public());
        assert_eq!(
            verify(node.public(), NOW),
            Err(IndexCertificateError::OtherNetwork { found: root.public() })
        );
        let later = NOW.plus(INDEX_CERTIFICATE_VALIDITY_MS + 1);
        assert_eq!(verify(root.public(), later), Err(IndexCertificateError::Expired));
    }

    #[test]
    fn older_statements_are_void_from_a_time_on_or_stand() {
        let (root, node) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let first = IndexCertificate::issue(&root, node.public(), 1, NOW);
        let second = IndexCertificate::issue(&root, node.public(), 2, NOW);
        assert!(!second.voids(&first, NOW.plus(1)));
        let third = IndexCertificate::issue_voiding(&root, node.public(), 3, NOW.plus(9), NOW);
        for older in [&first, &second] {
            assert!(third.voids(older, NOW) && third.voids(older, NOW.plus(1)));
            assert!(!third.voids(older, NOW.minus(1)), "signed before");
        }
        assert!(!third.voids(&third, NOW.plus(1)), "its own");
        let fourth = IndexCertificate::issue(&root, node.public(), 4, NOW);
        assert!(!third.voids(&fourth, NOW.plus(1)), "a newer one's");
    }

    #[test]
    fn nobody_but_the_root_can_issue_one() {
        let (root, other) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let body = IndexCertificate::issue(&root, other.public(), 1, NOW).body().clone();
        let forged = std::panic::catch_unwind(|| Signed::sign(&other, body));
        assert!(forged.is_err());
    }
}
