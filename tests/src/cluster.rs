//! A network in this process: an index, and peers as they are wanted.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use certs::UserName;
use p2p_node::config::IndexAddress;
use p2p_node::control::api::IndexState;
use p2p_node::control::{ApiError, ApiResult, Code};
use p2p_node::options::{FallbackOptions, Role};
use tempfile::TempDir;

use crate::link::Link;
use crate::loopback;
use crate::node::TestNode;

/// An index on a loopback address of its own, and a folder for all homes and files.
#[derive(Debug)]
pub struct Cluster {
    /// The index.
    pub index: TestNode,
    ip: Ipv4Addr,
    folder: TempDir,
    fallback: bool,
}

impl Cluster {
    /// Starts an index that takes new accounts.
    pub async fn start() -> Self {
        Self::start_with(false).await
    }

    /// The same, whose nodes go on without the index.
    pub async fn start_with_fallback() -> Self {
        Self::start_with(true).await
    }

    async fn start_with(fallback: bool) -> Self {
        let (folder, ip) = (tempfile::tempdir().expect("a folder"), loopback::next());
        let (home, role) = (folder.path().join("index"), Role::Index { signup_open: true });
        let index = TestNode::start_with(&home, ip, role, fallback_options(fallback)).await;
        Self { index, ip, folder, fallback }
    }

    /// The loopback address of its nodes.
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// A path for the test's own files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("files").join(name)
    }

    /// The home of a node.
    pub fn home(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of all homes and files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A peer that is connected to the index and has no account.
    pub async fn peer(&self, home: &str) -> TestNode {
        let peer = self.peer_of(home, self.index.index_address()).await;
        peer.wait_for_index(IndexState::NotEnrolled).await;
        peer
    }

    /// A peer with this idea of where the index is, not yet connected.
    pub async fn peer_of(&self, home: &str, index: IndexAddress) -> TestNode {
        let role = Role::Peer { index: Some(index) };
        TestNode::start_with(&self.home(home), self.ip, role, fallback_options(self.fallback)).await
    }

    /// A peer whose user has just signed up under the home's name.
    pub async fn user(&self, user: &str) -> TestNode {
        let peer = self.peer(user).await;
        peer.signup(user).await.expect("signed up");
        peer
    }

    /// Another machine of a user.
    pub async fn machine_of(&self, user: &str, home: &str) -> TestNode {
        let peer = self.peer(home).await;
        peer.login(user).await.expect("logged in");
        peer
    }

    /// A user's peer that everybody else reaches over a link alone.
    pub async fn user_behind(&self, user: &str, link: &Link) -> TestNode {
        let index = crate::node::index_at(self.index.network(), link.index());
        let role = Role::Peer { index: Some(index) };
        let peer = TestNode::start(&self.home(user), link.inner_ip(), role).await;
        peer.wait_for_index(IndexState::NotEnrolled).await;
        peer.signup(user).await.expect("signed up");
        peer
    }

    /// A link to put a node behind.
    pub async fn link(&self, seed: u64) -> Link {
        Link::new(self.ip, self.index.address(), seed).await
    }

    /// Stops the index; a test that ends without is as good.
    pub async fn stop_index(&mut self) {
        self.index.stop().await;
    }
}

fn fallback_options(enabled: bool) -> FallbackOptions {
    FallbackOptions { enabled, peers: Vec::new() }
}

/// The error of an operation that must fail with this code, and say what the user can do.
///
/// # Panics
/// Where it went well, or failed otherwise, or where there is no hint.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: ApiResult<T>, code: impl Into<Code>) -> ApiError {
    let code = code.into();
    let error = result.expect_err("it is refused");
    assert_eq!(error.code, code, "{error:?}");
    assert!(!error.message.is_empty(), "{error:?}");
    error
}

/// The same, with a hint.
///
/// # Panics
/// As [`refused`], and where there is no hint.
#[track_caller]
pub fn refused_with_hint<T: std::fmt::Debug>(result: ApiResult<T>, code: impl Into<Code>) -> ApiError {
    let error = refused(result, code);
    assert!(error.hint.as_ref().is_some_and(|hint| !hint.is_empty()), "no hint: {error:?}");
    error
}

/// A user name.
///
/// # Panics
/// Where it is none.
pub fn user(name: &str) -> UserName {
    name.parse().expect("a user name")
}
