//! How much of the store each node has, and how fast it sends.

use std::collections::HashMap;

use certs::{NodeId, UnixMillis};

use super::StoreLimits;
use crate::dht::validate::Reject;

/// Records and bytes of each node.
#[derive(Debug, Default)]
pub(super) struct Usage {
    by_node: HashMap<NodeId, Used>,
}

/// What one has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Usage {
    pub(super) fn of(&self, node: Option<NodeId>) -> Used {
        node.and_then(|node| self.by_node.get(&node)).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, node: Option<NodeId>, bytes: usize) {
        let Some(node) = node else { return };
        let used = self.by_node.entry(node).or_default();
        used.records += 1;
        used.bytes += bytes;
    }

    pub(super) fn subtract(&mut self, node: Option<NodeId>, bytes: usize) {
        let Some(node) = node else { return };
        let Some(used) = self.by_node.get_mut(&node) else { return };
        used.records = used.records.saturating_sub(1);
        used.bytes = used.bytes.saturating_sub(bytes);
        if used.records == 0 {
            self.by_node.remove(&node);
        }
    }

    #[cfg(test)]
    pub(super) fn nodes(&self) -> usize {
        self.by_node.len()
    }
}

/// How many writes each node may still do: a bucket for each that fills up with time. A node whose bucket is full has
/// none, so there are only as many as wrote lately, and those are members.
#[derive(Debug, Default)]
pub(super) struct Pace {
    debts: HashMap<NodeId, Debt>,
}

/// What a node used of its bucket, in thousandths of a write.
#[derive(Debug)]
struct Debt {
    used: u64,
    at: UnixMillis,
}

impl Debt {
    fn pay(&mut self, now: UnixMillis, limits: &StoreLimits) {
        let passed = now.0.saturating_sub(self.at.0);
        let paid = passed.saturating_mul(u64::from(limits.writes_per_minute)) / 60;
        // A clock that was set back starts anew, and a rest that is under a thousandth stays for the next time.
        if paid > 0 || now < self.at {
            self.used = self.used.saturating_sub(paid);
            self.at = now;
        }
    }
}

impl Pace {
    /// Counts a write of a node.
    pub(super) fn write(
        &mut self,
        node: NodeId,
        now: UnixMillis,
        limits: &StoreLimits,
    ) -> Result<(), Reject> {
        let debt = self.debts.entry(node).or_insert(Debt { used: 0, at: now });
        debt.pay(now, limits);
        let used = debt.used + 1000;
        if used > u64::from(limits.writes_at_once) * 1000 {
            return Err(Reject::TooFast);
        }
        debt.used = used;
        Ok(())
    }

    /// Forgets those whose buckets are full again.
    pub(super) fn sweep(&mut self, now: UnixMillis, limits: &StoreLimits) {
        self.debts.retain(|_, debt| {
            debt.pay(now, limits);
            debt.used > 0
        });
    }

    #[cfg(test)]
    pub(super) fn nodes(&self) -> usize {
        self.debts.len()
    }
}
