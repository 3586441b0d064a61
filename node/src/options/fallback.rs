//! What a node does while the index is away.

use crate::config::PeerAddress;

/// Whether and with whom a node goes on without the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FallbackOptions {
    /// Whether it keeps a copy of what all members share, exchanges it with them, and answers from it while the index is away.
    /// The default is yes.
    pub enabled: bool,
    /// Members that are known beforehand: dialled where nobody else is known. At most [`FallbackOptions::PEERS`] count.
    pub peers: Vec<PeerAddress>,
}

impl FallbackOptions {
    /// As many known peers are of use: any one of them knows all others.
    pub const PEERS: usize = 64;
}

impl Default for FallbackOptions {
    fn default() -> Self {
        Self { enabled: true, peers: Vec::new() }
    }
}
