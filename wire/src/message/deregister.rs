//! D: what this node no longer publishes or holds.

use serde::{Deserialize, Serialize};

use super::register::{Outcome, Registered};
use super::{RecordBundle, at_most, bounded, exactly_one};
use crate::error::ErrorBody;
use crate::hash::ContentHash;
use crate::limits;

/// D: exactly one of the two is present.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Deregister {
    /// Tombstones, signed by this node, at most 128.
    #[serde(
        default,
        deserialize_with = "bounded::request_if_any::<{ limits::BATCH_RECORDS }, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub tombstones: Option<Vec<RecordBundle>>,
    /// Contents that this node holds no more, at most 4,096.
    #[serde(
        default,
        deserialize_with = "bounded::request_if_any::<{ limits::BATCH_HOLDINGS }, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub holding: Option<Vec<ContentHash>>,
}

/// The A of D: an outcome for each tombstone.
pub type Deregistered = Registered;

impl Deregister {
    /// Checks that one alternative is present and within its bounds.
    ///
    /// # Errors
    /// The E to answer.
    pub fn check(&self) -> Result<(), ErrorBody> {
        exactly_one(&[self.tombstones.is_some(), self.holding.is_some()], "tombstones and holding")?;
        at_most("tombstones", self.tombstones.as_ref().map_or(0, Vec::len), limits::BATCH_RECORDS)?;
        at_most("contents", self.holding.as_ref().map_or(0, Vec::len), limits::BATCH_HOLDINGS)
    }
}

impl From<Vec<Outcome>> for Registered {
    fn from(outcomes: Vec<Outcome>) -> Self {
        Self { outcomes, ..Self::default() }
    }
}
