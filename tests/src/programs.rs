//! A network of real programs: an index, and peers as they are wanted.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use certs::NetworkId;
use tempfile::TempDir;

use crate::link::Link;
use crate::loopback;
use crate::process::TestProcess;

/// An index on a loopback address of its own, and a folder for all homes and files.
#[derive(Debug)]
pub struct Programs {
    /// The index.
    pub index: TestProcess,
    ip: Ipv4Addr,
    folder: TempDir,
    /// What all of its programs are told.
    flags: &'static [&'static str],
}

impl Programs {
    /// Starts an index that takes new accounts. Its nodes do without the fallback: what the index does and does not do is seen
    /// best where nothing does it in its place.
    pub async fn start() -> Self {
        Self::start_with(&["--no-dht"]).await
    }

    /// The same with the fallback, as programs are that are told nothing.
    pub async fn start_with_fallback() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(flags: &'static [&'static str]) -> Self {
        let (folder, ip) = (tempfile::tempdir().expect("a folder"), loopback::next());
        let index = TestProcess::index(&folder.path().join("index"), ip, flags).await;
        Self { index, ip, folder, flags }
    }

    /// The address on which everything listens.
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// The index's network.
    pub fn network(&self) -> NetworkId {
        let (network, _) = self.index.ready().split_once('@').expect("id@address");
        network.parse().expect("a network id")
    }

    /// A path for the test's own files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("files").join(name)
    }

    /// The home of a node.
    pub fn home(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A peer on a home, new or not.
    pub async fn peer(&self, home: &str) -> TestProcess {
        TestProcess::peer(&self.home(home), self.ip, self.index.ready(), self.flags).await
    }

    /// A peer on a home that knows another one beforehand.
    pub async fn peer_that_knows(&self, home: &str, other: &TestProcess) -> TestProcess {
        let address = other.address().to_string();
        TestProcess::peer(&self.home(home), self.ip, self.index.ready(), &["--peer", &address]).await
    }

    /// A peer whose user has just signed up under the home's name.
    pub async fn user(&self, user: &str) -> TestProcess {
        let peer = self.peer(user).await;
        peer.signup(user).await;
        peer
    }

    /// A user's peer that everybody else reaches over a link alone.
    pub async fn user_behind(&self, user: &str, seed: u64) -> (Link, TestProcess) {
        let link = Link::new(self.ip, self.index.address(), seed).await;
        let index = format!("{}@{}", self.network(), link.index());
        let peer = TestProcess::peer(&self.home(user), link.inner_ip(), &index, self.flags).await;
        peer.signup(user).await;
        (link, peer)
    }
}
