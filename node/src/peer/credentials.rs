//! What a node is, as it lies in its home: identity.key, membership.cbor, and at the index network.key and index.cert.

use std::io;
use std::path::{Path, PathBuf};

use certs::keystore::{self, KeystoreError};
use certs::{
    Enrolment, IndexCertificate, IndexCertificateError, NetworkId, NodeId, SecretKey, Signed, UnixMillis,
};
use tracing::warn;

/// A file of the home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeystoreError),
    /// Another file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The index certificate on disk is not this network's, or not this node's, and there is no root key to make another.
    #[error("{} is not usable: {source}; with network.key beside it, a new one is made", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: IndexCertificateError,
    },
    /// The certificate is another node's.
    #[error("{} is the certificate of another node; is identity.key the one it was made for?", path.display())]
    OtherNode {
        /// The file.
        path: PathBuf,
    },
}

/// The keys and statements of one home.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    home: PathBuf,
    key: SecretKey,
}

impl Credentials {
    /// Reads the identity of a home, or makes one.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub(crate) fn open(home: &Path) -> Result<Self, CredentialsError> {
        let key = keystore::load_or_create_key(&home.join("identity.key"))?;
        Ok(Self { home: home.to_owned(), key })
    }

    /// The node's key.
    pub(crate) const fn key(&self) -> &SecretKey {
        &self.key
    }

    /// The node's id.
    pub(crate) fn node(&self) -> NodeId {
        self.key.public()
    }

    /// As the index: the certificate of this node, made with the root key where there is none yet. The root key is made
    /// where there is neither.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub(crate) fn index_certificate(
        &self,
        now: UnixMillis,
    ) -> Result<Signed<IndexCertificate>, CredentialsError> {
        let path = self.home.join("index.cert");
        match read_optional(&path)? {
            Some(bytes) => self.known_certificate(&path, &bytes, now),
            None => {
                let root = keystore::load_or_create_key(&self.home.join("network.key"))?;
                let certificate = IndexCertificate::issue(&root, self.node(), 1, now);
                write(&path, certificate.bytes())?;
                Ok(certificate)
            }
        }
    }

    fn known_certificate(
        &self,
        path: &Path,
        bytes: &[u8],
        now: UnixMillis,
    ) -> Result<Signed<IndexCertificate>, CredentialsError> {
        let unusable = |source| CredentialsError::Certificate { path: path.to_owned(), source };
        let network =
            Signed::<IndexCertificate>::parse(bytes).map_err(|error| unusable(error.into()))?.network;
        let certificate = IndexCertificate::verify(bytes, &network, now).map_err(unusable)?;
        match certificate.node == self.node() {
            true => Ok(certificate),
            false => Err(CredentialsError::OtherNode { path: path.to_owned() }),
        }
    }

    /// The membership of this node in a network, if the home has one. At what time it holds is not asked: this machine's
    /// clock may be wrong until the index has set it right, and the index ends a membership whose time is over.
    ///
    /// # Errors
    /// [`CredentialsError::Io`]. One that does not hold is left where it is, with a warning.
    pub(crate) fn enrolment(&self, network: &NetworkId) -> Result<Option<Enrolment>, CredentialsError> {
        let path = self.membership_path();
        let Some(bytes) = read_optional(&path)? else { return Ok(None) };
        match Enrolment::verify_timeless(&bytes, network, &self.node()) {
            Ok(enrolment) => Ok(Some(enrolment)),
            Err(error) => {
                warn!(%error, file = %path.display(), "the membership is not used; log in again");
                Ok(None)
            }
        }
    }

    /// Keeps a new membership.
    ///
    /// # Errors
    /// [`CredentialsError::Io`]; the old one is then still there.
    pub(crate) fn keep_enrolment(&self, enrolment: &Enrolment) -> Result<(), CredentialsError> {
        write(&self.membership_path(), &enrolment.to_bytes())
    }

    /// Removes the membership.
    ///
    /// # Errors
    /// [`CredentialsError::Io`].
    pub(crate) fn forget_enrolment(&self) -> Result<(), CredentialsError> {
        let path = self.membership_path();
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(CredentialsError::Io { action: "remove", path, source })
            }
            _ => Ok(()),
        }
    }

    fn membership_path(&self) -> PathBuf {
        self.home.join("membership.cbor")
    }
}

fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, CredentialsError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CredentialsError::Io { action: "read", path: path.to_owned(), source }),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CredentialsError> {
    keystore::write_private(path, bytes).map_err(|source| CredentialsError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    #[test]
    fn an_index_keeps_its_certificate_also_without_the_root_key() {
        let home = tempfile::tempdir().expect("a folder");
        let credentials = Credentials::open(home.path()).expect("opened");
        let first = credentials.index_certificate(NOW).expect("made");
        std::fs::remove_file(home.path().join("network.key")).expect("moved away");
        let again = Credentials::open(home.path()).expect("opened").index_certificate(NOW).expect("read");
        assert_eq!(first, again);
        assert_eq!(again.node, credentials.node());
    }

    #[test]
    fn a_certificate_of_another_identity_is_refused() {
        let home = tempfile::tempdir().expect("a folder");
        Credentials::open(home.path()).expect("opened").index_certificate(NOW).expect("made");
        std::fs::remove_file(home.path().join("identity.key")).expect("removed");
        let other = Credentials::open(home.path()).expect("a new identity");
        assert!(matches!(other.index_certificate(NOW), Err(CredentialsError::OtherNode { .. })));
    }

    #[test]
    fn a_membership_of_another_network_is_not_used() {
        let home = tempfile::tempdir().expect("a folder");
        let credentials = Credentials::open(home.path()).expect("opened");
        let certificate = credentials.index_certificate(NOW).expect("made");
        let account = certs::AccountId::from_bytes([1; 16]);
        let user = "alice".parse().expect("a name");
        let (key, node) = (credentials.key(), credentials.node());
        let membership = certs::Membership::issue(key, &certificate, account, user, node, 1, NOW);
        let enrolment = Enrolment { certificate: certificate.clone(), membership };
        credentials.keep_enrolment(&enrolment).expect("written");
        assert_eq!(credentials.enrolment(&certificate.network).expect("read"), Some(enrolment));
        assert_eq!(credentials.enrolment(&node).expect("read"), None);
        credentials.forget_enrolment().expect("removed");
        credentials.forget_enrolment().expect("nothing to do");
        assert_eq!(credentials.enrolment(&certificate.network).expect("read"), None);
    }
}
