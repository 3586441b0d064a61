//! `membership.cbor`: the enrolment, and the index certificate with the highest epoch that was ever seen.
//!
//! The enrolment hangs from the certificate under which it was issued. Where the index has got a newer one since, that
//! stands beside it, and remains when the enrolment goes: whoever shows a lower epoch is not the index any more.

use certs::{Enrolment, IndexCertificate, MembershipError, NetworkId, NodeId, Signed, Statement, UnixMillis};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// The largest file: an enrolment, a certificate, and the map around them.
const MAX_BYTES: usize = Enrolment::MAX_BYTES + IndexCertificate::MAX_BYTES + 64;

/// What the file says, checked but for time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MembershipFile {
    pub(super) enrolment: Option<Enrolment>,
    /// Never of a lower epoch than the enrolment's.
    pub(super) certificate: Option<Signed<IndexCertificate>>,
}

/// The form on disk: an enrolment as in `hello`, which may be absent, and a key more.
#[derive(Default, Serialize, Deserialize)]
struct FileBytes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    membership: Option<ByteBuf>,
    /// The highest certificate, where it is not the enrolment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newest: Option<ByteBuf>,
}

impl MembershipFile {
    /// Reads it, as this node's in this network.
    ///
    /// # Errors
    /// See [`MembershipError`]: damaged, another node's or another network's.
    pub(super) fn parse(bytes: &[u8], network: &NetworkId, node: &NodeId) -> Result<Self, MembershipError> {
        let file: FileBytes = certs::cbor::decode(bytes, MAX_BYTES)?;
        let newest = match &file.newest {
            Some(bytes) => Some(IndexCertificate::verify(bytes, network, UnixMillis(0))?),
            None => None,
        };
        if file.certificate.is_none() && file.membership.is_none() {
            return Ok(Self { enrolment: None, certificate: newest });
        }
        let enrolled = FileBytes { newest: None, ..file };
        let enrolment = Enrolment::verify_timeless(&certs::cbor::encode(&enrolled), network, node)?;
        Ok(Self { enrolment: None, certificate: newest }.with_enrolment(enrolment))
    }

    /// As bytes; `None` if there is nothing to keep.
    pub(super) fn to_bytes(&self) -> Option<Vec<u8>> {
        let enrolment = self.enrolment.as_ref();
        let issued_under = enrolment.map(|enrolment| &enrolment.certificate);
        let newest = self.certificate.as_ref().filter(|&newest| Some(newest) != issued_under);
        let bytes = |signed: &[u8]| ByteBuf::from(signed);
        let file = FileBytes {
            certificate: issued_under.map(|certificate| bytes(certificate.bytes())),
            membership: enrolment.map(|enrolment| bytes(enrolment.membership.bytes())),
            newest: newest.map(|certificate| bytes(certificate.bytes())),
        };
        let empty = file.membership.is_none() && file.newest.is_none();
        (!empty).then(|| certs::cbor::encode(&file))
    }

    /// With another enrolment.
    pub(super) fn with_enrolment(self, enrolment: Enrolment) -> Self {
        let mut this = self;
        this.raise(enrolment.certificate.clone());
        this.enrolment = Some(enrolment);
        this
    }

    /// Takes a certificate over if its epoch is higher than what is known; whether it is.
    pub(super) fn raise(&mut self, certificate: Signed<IndexCertificate>) -> bool {
        let higher = self.certificate.as_ref().is_none_or(|known| known.epoch < certificate.epoch);
        if higher {
            self.certificate = Some(certificate);
        }
        higher
    }
}

#[cfg(test)]
mod tests {
    use certs::{AccountId, Membership, SecretKey};

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed([seed; 32])
    }

    fn certificate(epoch: u64) -> Signed<IndexCertificate> {
        IndexCertificate::issue(&key(1), key(2).public(), epoch, NOW)
    }

    fn enrolment(epoch: u64) -> Enrolment {
        let (certificate, account) = (certificate(epoch), AccountId::from_bytes([9; 16]));
        let user = "alice".parse().expect("a name");
        let membership = Membership::issue(&key(2), &certificate, account, user, key(3).public(), 1, NOW);
        Enrolment { certificate, membership }
    }

    fn parse(bytes: &[u8]) -> Result<MembershipFile, MembershipError> {
        MembershipFile::parse(bytes, &key(1).public(), &key(3).public())
    }

    #[test]
    fn an_enrolment_alone_is_the_file_that_it_always_was() {
        let file = MembershipFile::default().with_enrolment(enrolment(1));
        let bytes = file.to_bytes().expect("something");
        assert_eq!(bytes, enrolment(1).to_bytes());
        assert_eq!(parse(&bytes), Ok(file));
        assert_eq!(MembershipFile::default().to_bytes(), None);
    }

    #[test]
    fn the_highest_epoch_stays_whatever_comes_and_goes() {
        let mut file = MembershipFile::default().with_enrolment(enrolment(2));
        assert!(!file.raise(certificate(1)) && !file.raise(certificate(2)));
        assert!(file.raise(certificate(3)));
        let mut read = parse(&file.to_bytes().expect("something")).expect("its own");
        assert_eq!(read, file);
        read.enrolment = None;
        let read = parse(&read.to_bytes().expect("the certificate")).expect("its own");
        assert_eq!((read.enrolment.is_none(), read.certificate.clone()), (true, Some(certificate(3))));
        assert_eq!(read.with_enrolment(enrolment(2)), file);
    }

    #[test]
    fn another_networks_or_nodes_is_refused() {
        let mut file = MembershipFile::default().with_enrolment(enrolment(1));
        file.raise(certificate(2));
        let bytes = file.to_bytes().expect("something");
        assert!(MembershipFile::parse(&bytes, &key(4).public(), &key(3).public()).is_err());
        assert!(MembershipFile::parse(&bytes, &key(1).public(), &key(4).public()).is_err());
        assert!(parse(b"something else").is_err());
    }
}
