//! The log of activity, as it is asked for and answered.

use serde::{Deserialize, Serialize};

use super::Moment;
use crate::control::error::ApiError;

/// What of the log of activity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsRequest {
    /// The newest so many; none where it is 0. Without it all that there are.
    #[serde(default)]
    pub limit: Option<u64>,
    /// Only those since this time.
    #[serde(default)]
    pub since: Option<Moment>,
    /// Then also what happens from now on, until the asker goes away.
    #[serde(default)]
    pub follow: bool,
}

/// A list that comes item by item, one JSON object a line: `{"item":..}`, and at the end `"end"` or `{"error":..}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line<T> {
    /// The next one.
    Item(T),
    /// That was all.
    End,
    /// There is more, but it cannot be had.
    Error(ApiError),
}
