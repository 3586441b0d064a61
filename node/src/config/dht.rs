//! The table `[dht]`: what a node does while the index is away.

use serde::Deserialize;

/// What `[dht]` may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dht {
    /// Whether the node keeps a copy of what all members share, exchanges it with them, and answers from it while the index
    /// is away: `enabled = false`. The default is `true`.
    pub enabled: Option<bool>,
}
