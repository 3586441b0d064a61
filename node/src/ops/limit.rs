//! `limit`: how much this node gives and takes.

use tracing::info;

use crate::control::api::Limits;
use crate::options::{LimitChanges, LimitOptions};
use crate::peer::Shared;

impl Shared {
    /// Changes limits, at once and until the node stops, and says what holds then.
    pub(crate) fn limit(&self, changes: &LimitChanges) -> Limits {
        let now = self.limits.change(changes);
        self.uploads.set_slots(now.upload_slots);
        if *changes != LimitChanges::default() {
            let limits = LimitOptions::KEYS.iter().zip(now.values());
            let limits: Vec<_> = limits.map(|(key, value)| format!("{key}={value}")).collect();
            info!(limits = limits.join(" "), "the limits were changed");
        }
        Limits { now, configured: *self.limits.configured() }
    }
}
