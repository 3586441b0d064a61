//! kad looks around by itself, half a second after each node that comes into a table of fewer than 20, and cannot be told not to:
//! it looks up this node's own key and one in each part of the table, some 500 requests. Where whoever is there is known anyway, that is
//! for nothing, and of a network whose nodes all start at once it is most of the work.
//!
//! A refresh that this node begins takes the place of the one that waits. So one is begun, and each of its lookups is ended before
//! it has asked anybody.

use std::collections::HashSet;

use libp2p_kad::{Behaviour, K_VALUE, QueryId};

use super::queries::finish;
use super::store::Store;
use super::table;

type Kad = Behaviour<Store>;

/// The refreshes that are to come to nothing.
#[derive(Debug)]
pub(super) struct Hush {
    wanted: bool,
    running: HashSet<QueryId>,
}

impl Hush {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, running: HashSet::new() }
    }

    /// Whether the table is not refreshed.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// A node came into the table just now. Later there may be so many that kad's own looking around, which it led to, is not
    /// expected.
    pub(super) fn entered(&mut self, kad: &mut Kad) {
        if self.wanted
            && table::count(kad) < K_VALUE.get()
            && let Ok(refresh) = kad.bootstrap()
        {
            finish(kad, &refresh);
            self.running.insert(refresh);
        }
    }

    /// A lookup of a refresh is over, or the last one of them; whether that was one of these.
    pub(super) fn progress(&mut self, kad: &mut Kad, refresh: &QueryId, last: bool) -> bool {
        if last {
            return self.running.remove(refresh);
        }
        let this = self.running.contains(refresh);
        if this {
            finish(kad, refresh);
        }
        this
    }
}
