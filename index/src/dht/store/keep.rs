//! What outlives the process.

use certs::{NodeId, UnixMillis};

/// A record as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// Who sent it; `None` for this node itself.
    pub source: Option<NodeId>,
    /// When it ends.
    pub expires: UnixMillis,
}

/// Writes down what the store has, so that a network in which everybody restarts still has it. Records alone: provider
/// entries are short-lived, and their providers say them again when they start.
///
/// It is called in the DHT's task and must not block: an implementation queues, and may lose the last moments.
pub trait Keep: Send {
    /// A record came, was replaced, or ends later.
    fn save(&mut self, record: &Kept);
    /// A record went.
    fn forget(&mut self, key: &[u8]);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Forgetful;

impl Keep for Forgetful {
    fn save(&mut self, _: &Kept) {}
    fn forget(&mut self, _: &[u8]) {}
}

/// For what is kept already: only what goes is told.
pub(super) struct OnlyForgets<'a>(pub(super) &'a mut dyn Keep);

impl Keep for OnlyForgets<'_> {
    fn save(&mut self, _: &Kept) {}
    fn forget(&mut self, key: &[u8]) {
        self.0.forget(key);
    }
}
