//! Which holders a finder leaves alone.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use certs::NodeId;
use tokio::sync::Notify;

/// Who is in the transfer, or out of it for good. Clones are one.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    nodes: Mutex<Nodes>,
    emptied: Notify,
    refused: Notify,
}

/// A node is in one of the two at most.
#[derive(Debug, Default)]
struct Nodes {
    present: HashSet<NodeId>,
    excluded: HashSet<NodeId>,
}

impl Known {
    /// It is in the transfer. Returns whether it was not known before.
    pub(super) fn insert(&self, node: NodeId) -> bool {
        let mut nodes = self.nodes();
        !nodes.excluded.contains(&node) && nodes.present.insert(node)
    }

    /// It left, and may be found again.
    pub(super) fn remove(&self, node: &NodeId) {
        let mut nodes = self.nodes();
        if nodes.present.remove(node) && nodes.present.is_empty() {
            self.0.emptied.notify_one();
        }
    }

    /// Somebody who is in the transfer gives nothing now: others may have it by then.
    pub(super) fn refused(&self) {
        self.0.refused.notify_one();
    }

    /// Waits for that.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn was_refused(&self) {
        self.0.refused.notified().await;
    }

    /// It is out for good.
    pub(super) fn exclude(&self, node: NodeId) {
        self.remove(&node);
        self.nodes().excluded.insert(node);
    }

    /// Whether it is in, or out for good.
    pub(super) fn contains(&self, node: &NodeId) -> bool {
        let nodes = self.nodes();
        nodes.present.contains(node) || nodes.excluded.contains(node)
    }

    /// Whether nobody is in the transfer.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes().present.is_empty()
    }

    /// Waits until the last one left. For one task.
    ///
    /// # Cancel safety
    /// One that leaves between two calls is not missed.
    pub(super) async fn emptied(&self) {
        self.0.emptied.notified().await;
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.0.nodes.lock().expect("no panic while it is held")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn node(number: u8) -> NodeId {
        certs::SecretKey::from_seed([number; 32]).public()
    }

    #[tokio::test]
    async fn the_last_one_to_leave_is_told_once() {
        let known = Known::default();
        assert!(known.insert(node(1)) && known.insert(node(2)) && !known.insert(node(2)));
        known.remove(&node(1));
        assert_eq!(known.emptied().now_or_never(), None, "one is still there");
        known.exclude(node(2));
        assert_eq!(known.emptied().now_or_never(), Some(()));
        known.remove(&node(1));
        assert_eq!(known.emptied().now_or_never(), None, "it had left before");
    }

    #[test]
    fn who_is_out_for_good_is_nobody_who_is_there() {
        let known = Known::default();
        known.insert(node(1));
        known.exclude(node(1));
        assert!(known.is_empty() && known.contains(&node(1)));
        assert!(!known.insert(node(1)));
    }
}
