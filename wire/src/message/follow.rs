//! `events`, `follow`, `unfollow`: the index tells those who follow a resource of its new records.

use certs::AccountId;
use serde::{Deserialize, Serialize};

use super::{RecordBundle, at_most, bad_message, bounded, message_name};
use crate::cbor::{self, CborError};
use crate::error::ErrorBody;
use crate::hash::RecordHash;
use crate::limits;
use crate::name::ResourceName;

/// `follow`: adds resources to those of the connection's `events` stream. Answered by [`Following`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {
    /// The resources, at most 128.
    #[serde(deserialize_with = "bounded::request::<{ limits::BATCH_RECORDS }, _, _>")]
    pub resources: Vec<Followed>,
}

/// A resource to be followed, and what the follower has of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// The account that owns it.
    pub account: AccountId,
    /// Its name.
    pub name: ResourceName,
    /// The record that the follower has; `None` if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub have: Option<RecordHash>,
}

/// `unfollow`: takes resources away again. Answered by [`super::Empty`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfollow {
    /// The resources, at most 128; those that are not followed are ignored.
    #[serde(deserialize_with = "bounded::request::<{ limits::BATCH_RECORDS }, _, _>")]
    pub resources: Vec<ResourceKey>,
}

/// What a resource is known by: a name freed by one account and taken by another is another resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceKey {
    /// The account that owns it.
    pub account: AccountId,
    /// Its name.
    pub name: ResourceName,
}

/// The A of `follow`: an outcome for each resource, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Following {
    /// The outcomes.
    #[serde(deserialize_with = "bounded::answer::<{ limits::BATCH_RECORDS }, _, _>")]
    pub outcomes: Vec<FollowOutcome>,
}

/// What stands for a resource now that it is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowOutcome {
    /// Which of the three.
    pub outcome: FollowOutcomeKind,
    /// With [`FollowOutcomeKind::Other`]: the record that stands, with receipt and certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<RecordBundle>,
}

/// What stands for a resource, against what its follower has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FollowOutcomeKind {
    /// The record that the follower has.
    Same,
    /// Another one: live or a tombstone, and higher or, at an index that lost its database, lower.
    Other,
    /// None, or none that the follower may see. It is followed all the same.
    NotFound,
}

/// What the index tells on an `events` stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A followed resource has a new record, live or a tombstone: it, with receipt and certificate.
    #[serde(rename = "record")]
    Record(RecordBundle),
}

/// The words of [`Event`].
const EVENTS: [&str; 1] = ["record"];

impl Follow {
    /// Checks its bounds.
    ///
    /// # Errors
    /// The E to answer.
    pub fn check(&self) -> Result<(), ErrorBody> {
        at_most("resources", self.resources.len(), limits::BATCH_RECORDS)
    }
}

impl Unfollow {
    /// Checks its bounds.
    ///
    /// # Errors
    /// The E to answer.
    pub fn check(&self) -> Result<(), ErrorBody> {
        at_most("resources", self.resources.len(), limits::BATCH_RECORDS)
    }
}

impl Following {
    /// Checks what the index answered to a `follow` of so many resources.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, resources: usize) -> Result<(), ErrorBody> {
        if self.outcomes.len() != resources {
            return Err(bad_message("not an outcome for each resource"));
        }
        self.outcomes.iter().try_for_each(FollowOutcome::check)
    }
}

impl FollowOutcome {
    /// Checks that a record is there exactly where it belongs.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), ErrorBody> {
        match (self.outcome == FollowOutcomeKind::Other, &self.bundle) {
            (true, Some(_)) | (false, None) => Ok(()),
            (true, None) => Err(bad_message("another record, but which?")),
            (false, Some(_)) => Err(bad_message("a record that is not another")),
        }
    }
}

impl Event {
    /// Decodes the content of a frame of an `events` stream; `None` for an event of a later version, which is ignored.
    ///
    /// # Errors
    /// It is no event, nor can be one of a later version.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, CborError> {
        match cbor::decode(bytes, limits::EVENT_BYTES) {
            Ok(event) => Ok(Some(event)),
            Err(CborError::Schema(_))
                if message_name(bytes).is_some_and(|name| !EVENTS.contains(&&*name)) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
