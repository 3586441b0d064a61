//! Members that this node can dial: those that its user names, and those that it reached before.

use std::fmt::Write;
use std::net::SocketAddr;

use certs::NodeId;
use tracing::debug;

use crate::config::PeerAddress;
use crate::options::FallbackOptions;
use crate::peer::Shared;

/// The setting that remembers who was reached, and where.
const SETTING: &str = "peers";
/// So many are remembered, the last first.
const REMEMBERED: usize = 32;
/// Addresses of one name that are dialled.
const ADDRESSES: usize = 8;

/// Who was reached, and where, the last first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Remembered(Vec<(NodeId, SocketAddr)>);

impl Remembered {
    /// From the store; what cannot be read is left out.
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let one = |line: &str| {
            let (node, address) = line.split_once('@')?;
            Some((node.parse().ok()?, address.parse().ok()?))
        };
        Self(text.lines().filter_map(one).take(REMEMBERED).collect())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::new();
        for (node, address) in &self.0 {
            // Writing into a string does not fail.
            let _ = writeln!(text, "{node}@{address}");
        }
        text.into_bytes()
    }

    /// Enters one as the last that was reached. Whether that is worth to be kept: another one, or another place.
    fn enter(&mut self, node: NodeId, address: SocketAddr) -> bool {
        let known = self.0.contains(&(node, address));
        self.0.retain(|(other, _)| *other != node);
        self.0.insert(0, (node, address));
        self.0.truncate(REMEMBERED);
        !known
    }
}

impl Shared {
    /// Who was reached before.
    pub(super) async fn remembered_peers(&self) -> Vec<(NodeId, SocketAddr)> {
        match self.store.setting(SETTING).await {
            Ok(stored) => stored.map(|bytes| Remembered::parse(&bytes)).unwrap_or_default().0,
            Err(error) => {
                debug!(%error, "who was reached before cannot be read");
                Vec::new()
            }
        }
    }

    /// Remembers who was reached, for a start without the index.
    pub(super) async fn remember_peer(&self, node: NodeId, address: SocketAddr) {
        let _turn = self.fallback.remembering.lock().await;
        let mut remembered = Remembered(self.remembered_peers().await);
        if remembered.enter(node, address)
            && let Err(error) = self.store.set_setting(SETTING, remembered.to_bytes()).await
        {
            debug!(%error, "who was reached is not remembered");
        }
    }

    /// Where the members are that its user has named.
    pub(super) async fn configured_peers(&self) -> Vec<(Option<NodeId>, SocketAddr)> {
        let mut found = Vec::new();
        for PeerAddress { node, host, port } in
            self.fallback.options.peers.iter().take(FallbackOptions::PEERS)
        {
            match tokio::net::lookup_host((host.as_str(), *port)).await {
                Ok(addresses) => found.extend(addresses.take(ADDRESSES).map(|address| (*node, address))),
                Err(error) => debug!(host, %error, "a known peer cannot be found"),
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(seed: u8) -> NodeId {
        certs::SecretKey::from_seed([seed; 32]).public()
    }

    #[test]
    fn the_last_ones_are_remembered_each_once() {
        let mut remembered = Remembered::default();
        let at = |port| SocketAddr::from(([10, 0, 0, 7], port));
        for seed in 1..=40 {
            assert!(remembered.enter(node(seed), at(u16::from(seed))));
        }
        assert!(!remembered.enter(node(40), at(40)));
        assert!(remembered.enter(node(40), at(41)), "it has moved");
        assert_eq!(remembered.0.len(), REMEMBERED);
        assert_eq!(remembered.0[0], (node(40), at(41)));
        assert_eq!(Remembered::parse(&remembered.to_bytes()), remembered);
        let damaged = [b"nonsense\n\xff\xfe\n", remembered.to_bytes().as_slice()].concat();
        assert_eq!(Remembered::parse(&damaged), remembered);
    }
}
