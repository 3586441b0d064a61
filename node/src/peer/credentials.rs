//! What a node is, as it lies in its home: identity.key, membership.cbor, and at the index network.key and index.cert.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use certs::keystore::{self, KeystoreError};
use certs::{
    Enrolment, IndexCertificate, IndexCertificateError, NetworkId, NodeId, SecretKey, Signed, UnixMillis,
};
use tracing::warn;

use super::membership_file::MembershipFile;
use crate::home::file;

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
    /// Held while `membership.cbor` is read and written anew.
    changing: Arc<Mutex<()>>,
}

impl Credentials {
    /// Reads the identity of a home, or makes one.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub(crate) fn open(home: &Path) -> Result<Self, CredentialsError> {
        let key = keystore::load_or_create_key(&home.join(file::IDENTITY_KEY))?;
        Ok(Self { home: home.to_owned(), key, changing: Arc::default() })
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
        let path = self.home.join(file::INDEX_CERTIFICATE);
        match read_optional(&path)? {
            Some(bytes) => self.known_certificate(&path, &bytes, now),
            None => {
                let root = keystore::load_or_create_key(&self.home.join(file::NETWORK_KEY))?;
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

    /// The membership of this node in a network, if the home has one, and the index certificate with the highest epoch that
    /// it has seen there. At what time they hold is not asked: this machine's clock may be wrong until the index has set it
    /// right, and the index ends a membership whose time is over.
    ///
    /// # Errors
    /// [`CredentialsError::Io`]. What does not hold is left where it is, with a warning.
    pub(crate) fn kept(
        &self,
        network: &NetworkId,
    ) -> Result<(Option<Enrolment>, Option<Signed<IndexCertificate>>), CredentialsError> {
        let path = self.membership_path();
        let Some(bytes) = read_optional(&path)? else { return Ok((None, None)) };
        match MembershipFile::parse(&bytes, network, &self.node()) {
            Ok(MembershipFile { enrolment, certificate }) => Ok((enrolment, certificate)),
            Err(error) => {
                warn!(%error, file = %path.display(), "the membership is not used; log in again");
                Ok((None, None))
            }
        }
    }

    /// Keeps a new membership, in place of whatever is there.
    ///
    /// # Errors
    /// [`CredentialsError::Io`]; the old one is then still there.
    pub(crate) fn keep_enrolment(&self, enrolment: &Enrolment) -> Result<(), CredentialsError> {
        let _one_at_a_time = self.changing.lock().expect("no panic while it is held");
        let file = self.file_of(&enrolment.certificate.network)?.unwrap_or_default();
        self.write_file(&file.with_enrolment(enrolment.clone()))
    }

    /// Keeps an index certificate of a higher epoch. A file that does not hold, or another network's, is left alone.
    ///
    /// # Errors
    /// [`CredentialsError::Io`]; the file is then as it was.
    pub(crate) fn keep_certificate(
        &self,
        certificate: &Signed<IndexCertificate>,
    ) -> Result<(), CredentialsError> {
        let _one_at_a_time = self.changing.lock().expect("no panic while it is held");
        let Some(mut file) = self.file_of(&certificate.network)? else { return Ok(()) };
        if file.raise(certificate.clone()) { self.write_file(&file) } else { Ok(()) }
    }

    /// Removes the membership; the certificate stays.
    ///
    /// # Errors
    /// [`CredentialsError::Io`].
    pub(crate) fn forget_enrolment(&self, network: &NetworkId) -> Result<(), CredentialsError> {
        let _one_at_a_time = self.changing.lock().expect("no panic while it is held");
        let file = self.file_of(network)?.unwrap_or_default();
        self.write_file(&MembershipFile { enrolment: None, ..file })
    }

    /// What `membership.cbor` says, nothing where there is none; `None` where it is of no use in this network.
    fn file_of(&self, network: &NetworkId) -> Result<Option<MembershipFile>, CredentialsError> {
        let Some(bytes) = read_optional(&self.membership_path())? else {
            return Ok(Some(MembershipFile::default()));
        };
        Ok(MembershipFile::parse(&bytes, network, &self.node()).ok())
    }

    fn write_file(&self, file: &MembershipFile) -> Result<(), CredentialsError> {
        let path = self.membership_path();
        if let Some(bytes) = file.to_bytes() {
            return write(&path, &bytes);
        }
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(CredentialsError::Io { action: "remove", path, source })
            }
            _ => Ok(()),
        }
    }

    fn membership_path(&self) -> PathBuf {
        self.home.join(file::MEMBERSHIP)
    }
}

pub(super) fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, CredentialsError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CredentialsError::Io { action: "read", path: path.to_owned(), source }),
    }
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), CredentialsError> {
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
        let kept = |network| credentials.kept(network).expect("read");
        let network = certificate.network;
        assert_eq!(kept(&network), (Some(enrolment), Some(certificate)));
        assert_eq!(kept(&node), (None, None));

        let root = keystore::load_or_create_key(&home.path().join("network.key")).expect("read");
        let newer = IndexCertificate::issue(&root, node, 2, NOW);
        credentials.keep_certificate(&newer).expect("written");
        let elsewhere = IndexCertificate::issue(&SecretKey::from_seed([7; 32]), node, 9, NOW);
        credentials.keep_certificate(&elsewhere).expect("left alone");
        assert_eq!(kept(&network).1.as_ref(), Some(&newer));
        credentials.forget_enrolment(&network).expect("removed");
        credentials.forget_enrolment(&network).expect("nothing to do");
        assert_eq!(kept(&network), (None, Some(newer)));
    }
}
