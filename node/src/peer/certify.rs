//! The index certificate made anew, with the root key: for the index of this home, or for one that takes another's place.

use std::io;
use std::path::{Path, PathBuf};

use certs::keystore::{self, KeystoreError};
use certs::{IndexCertificate, IndexCertificateError, MembershipError, NetworkId, Signed, UnixMillis};

use super::credentials::{Credentials, CredentialsError, read_optional, write};
use super::membership_file::MembershipFile;
use crate::home::file;

/// What is to be certified.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Certify<'a> {
    /// The home, which exists and is locked.
    pub(crate) home: &'a Path,
    /// The root key, where it is not in the home. Only with it a home that is no index's becomes one.
    pub(crate) root: Option<&'a Path>,
    /// Whether what the indexes of before sign from now on is void.
    pub(crate) void_older: bool,
    /// When it is issued.
    pub(crate) now: UnixMillis,
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertifyError {
    /// No root key, and nothing that makes this an index's home.
    #[error("{} is no index's home", .0.display())]
    NotTheIndex(PathBuf),
    /// An index's home from which the root key was moved away.
    #[error("the root key is not in {}", .0.display())]
    NoRoot(PathBuf),
    /// The home's certificate or membership is another network's.
    #[error("{} is of another network than this root key, whose network is {network}", file.display())]
    OtherNetwork {
        /// The file.
        file: PathBuf,
        /// The root key's.
        network: NetworkId,
    },
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeystoreError),
    /// Another file.
    #[error(transparent)]
    Home(#[from] CredentialsError),
}

impl Certify<'_> {
    /// Signs a certificate for the identity of the home, which is made where there is none, and keeps it in place of the one
    /// before, whose number is returned too.
    ///
    /// Its number is higher than all that this home has seen, and not below the time in seconds: a home that is new knows
    /// nothing of the index of before, and all who know that one are to follow.
    ///
    /// # Errors
    /// See [`CertifyError`]; the home is then as it was, but for a new identity.
    pub(crate) fn run(self) -> Result<(Signed<IndexCertificate>, Option<u64>), CertifyError> {
        let root = self.root()?;
        let network = root.public();
        let path = self.home.join(file::INDEX_CERTIFICATE);
        let shown = match read_optional(&path)? {
            // One that is damaged is what this mends.
            Some(bytes) => Signed::<IndexCertificate>::parse(&bytes).ok(),
            None => None,
        };
        if shown.as_ref().is_some_and(|shown| shown.network != network) {
            return Err(CertifyError::OtherNetwork { file: path, network });
        }
        let credentials = Credentials::open(self.home)?;
        let previous = shown.map(|shown| shown.epoch).max(self.seen(&network, &credentials)?);
        let epoch = previous.map_or(1, |previous| previous.saturating_add(1)).max(self.now.0 / 1000);
        let certificate = match self.void_older {
            true => IndexCertificate::issue_voiding(&root, credentials.node(), epoch, self.now, self.now),
            false => IndexCertificate::issue(&root, credentials.node(), epoch, self.now),
        };
        write(&path, certificate.bytes())?;
        Ok((certificate, previous))
    }

    /// The highest number that this home has seen as a peer. What is not its own, or damaged, says nothing.
    fn seen(&self, network: &NetworkId, credentials: &Credentials) -> Result<Option<u64>, CertifyError> {
        let path = self.home.join(file::MEMBERSHIP);
        let Some(bytes) = read_optional(&path)? else { return Ok(None) };
        match MembershipFile::parse(&bytes, network, &credentials.node()) {
            Ok(file) => Ok(file.certificate.map(|certificate| certificate.epoch)),
            Err(MembershipError::Certificate(IndexCertificateError::OtherNetwork { .. })) => {
                Err(CertifyError::OtherNetwork { file: path, network: *network })
            }
            Err(_) => Ok(None),
        }
    }

    fn root(&self) -> Result<certs::SecretKey, CertifyError> {
        if let Some(path) = self.root {
            return Ok(keystore::load_key(path)?);
        }
        match keystore::load_key(&self.home.join(file::NETWORK_KEY)) {
            Err(KeystoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let home = self.home.to_owned();
                match self.home.join(file::INDEX_CERTIFICATE).exists() {
                    true => Err(CertifyError::NoRoot(home)),
                    false => Err(CertifyError::NotTheIndex(home)),
                }
            }
            other => Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    use certs::{AccountId, Enrolment, Membership, SecretKey};

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const SECONDS: u64 = 1_800_000_000;

    fn certify(
        home: &Path,
        root: Option<&Path>,
    ) -> Result<(Signed<IndexCertificate>, Option<u64>), CertifyError> {
        Certify { home, root, void_older: false, now: NOW }.run()
    }

    fn index() -> (tempfile::TempDir, Credentials, Signed<IndexCertificate>) {
        let home = tempfile::tempdir().expect("a folder");
        let credentials = Credentials::open(home.path()).expect("opened");
        let certificate = credentials.index_certificate(NOW).expect("made");
        (home, credentials, certificate)
    }

    #[test]
    fn an_index_gets_a_higher_one_each_time() {
        let (home, credentials, first) = index();
        let (second, previous) = certify(home.path(), None).expect("made");
        assert_eq!((previous, second.epoch, second.node), (Some(1), SECONDS, first.node));
        assert_eq!(second.older_void_since, None);
        let voiding = Certify { home: home.path(), root: None, void_older: true, now: NOW };
        let (third, previous) = voiding.run().expect("made");
        assert_eq!((previous, third.epoch), (Some(SECONDS), SECONDS + 1));
        assert_eq!(third.older_void_since, Some(NOW));
        assert_eq!(credentials.index_certificate(NOW).expect("read"), third);
    }

    #[test]
    fn a_new_home_takes_over_with_the_root_key_alone() {
        let (old, _, first) = index();
        let new = tempfile::tempdir().expect("a folder");
        assert!(matches!(certify(new.path(), None), Err(CertifyError::NotTheIndex(_))));
        assert!(!new.path().join("identity.key").exists(), "nothing was made");
        let root = old.path().join("network.key");
        let (taken, previous) = certify(new.path(), Some(&root)).expect("made");
        assert_eq!((previous, taken.network), (None, first.network));
        assert!(taken.epoch > first.epoch && taken.node != first.node);
        assert!(!new.path().join("network.key").exists(), "the root key stays where it is");
        assert!(matches!(certify(new.path(), None), Err(CertifyError::NoRoot(_))));
        std::fs::remove_file(new.path().join("identity.key")).expect("lost");
        let (again, previous) = certify(new.path(), Some(&root)).expect("made");
        assert_eq!(previous, Some(taken.epoch));
        assert!(again.node != taken.node && again.epoch > taken.epoch);
    }

    #[test]
    fn a_peer_takes_over_above_what_it_has_seen() {
        let (old, _, first) = index();
        let root = old.path().join("network.key");
        let key = keystore::load_key(&root).expect("the root's");
        let home = tempfile::tempdir().expect("a folder");
        let peer = Credentials::open(home.path()).expect("opened");
        let index = keystore::load_key(&old.path().join("identity.key")).expect("the index's");
        let user = "alice".parse().expect("a name");
        let account = AccountId::from_bytes([1; 16]);
        let membership = Membership::issue(&index, &first, account, user, peer.node(), 1, NOW);
        peer.keep_enrolment(&Enrolment { certificate: first, membership }).expect("written");
        let far = IndexCertificate::issue(&key, index.public(), SECONDS * 2, NOW);
        peer.keep_certificate(&far).expect("written");
        let (taken, previous) = certify(home.path(), Some(&root)).expect("made");
        assert_eq!((previous, taken.epoch), (Some(SECONDS * 2), SECONDS * 2 + 1));
        assert_eq!(taken.node, peer.node());
    }

    #[test]
    fn the_root_key_of_another_network_is_refused() {
        let (home, _, first) = index();
        let other = tempfile::tempdir().expect("a folder");
        let root = other.path().join("other.key");
        keystore::load_or_create_key(&root).expect("made");
        assert!(matches!(certify(home.path(), Some(&root)), Err(CertifyError::OtherNetwork { .. })));
        std::fs::remove_file(home.path().join("index.cert")).expect("removed");
        let credentials = Credentials::open(home.path()).expect("opened");
        let user = "alice".parse().expect("a name");
        let (account, node) = (AccountId::from_bytes([1; 16]), credentials.node());
        let membership = Membership::issue(credentials.key(), &first, account, user, node, 1, NOW);
        credentials.keep_enrolment(&Enrolment { certificate: first, membership }).expect("written");
        assert!(matches!(certify(home.path(), Some(&root)), Err(CertifyError::OtherNetwork { .. })));
        assert!(matches!(certify(home.path(), Some(&other.path().join("none"))), Err(CertifyError::Key(_))));
        let _: SecretKey = keystore::load_key(&root).expect("as it was");
    }
}
