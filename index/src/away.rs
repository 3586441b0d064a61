//! When this index was away: a membership that ended meanwhile could not be renewed, and is taken for as long as the members
//! take it among themselves.

use certs::UnixMillis;

/// Shorter than that it does not count: memberships are renewed ten days before they end.
const LEAST_MS: u64 = 86_400_000;

/// From when to when it was away last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Away {
    pub(crate) since: UnixMillis,
    pub(crate) until: UnixMillis,
}

impl Away {
    /// Whether a membership that ended then could not be renewed.
    pub(crate) fn covers(&self, not_after: UnixMillis) -> bool {
        self.since <= not_after && not_after <= self.until
    }

    /// At a start, where it was there last at `seen`; 0 if nothing says so. `before`: when it was away before that.
    pub(crate) fn at_start(before: Self, seen: UnixMillis, now: UnixMillis) -> Self {
        match seen.plus(LEAST_MS) <= now {
            true => Self { since: seen, until: now },
            false => before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    #[test]
    fn what_ended_while_it_was_away_is_covered_over_short_restarts_too() {
        let seen = NOW.minus(31 * LEAST_MS);
        let away = Away::at_start(Away::default(), seen, NOW);
        assert!(away.covers(seen) && away.covers(NOW));
        assert!(!away.covers(seen.minus(1)) && !away.covers(NOW.plus(1)));
        let restarted = Away::at_start(away, NOW, NOW.plus(LEAST_MS - 1));
        assert_eq!(restarted, away);
        let again = Away::at_start(away, NOW, NOW.plus(LEAST_MS));
        assert!(again.covers(NOW.plus(1)) && !again.covers(seen));
        assert!(!Away::default().covers(NOW));
    }
}
