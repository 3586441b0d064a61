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
}

impl Programs {
    /// Starts an index that takes new accounts.
    pub async fn start() -> Self {
        let (folder, ip) = (tempfile::tempdir().expect("a folder"), loopback::next());
        let index = TestProcess::index(&folder.path().join("index"), ip).await;
        Self { index, ip, folder }
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
        TestProcess::peer(&self.home(home), self.ip, self.index.ready()).await
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
        let peer = TestProcess::peer(&self.home(user), link.inner_ip(), &index).await;
        peer.signup(user).await;
        (link, peer)
    }
}
