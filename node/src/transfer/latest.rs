//! What the index lists of a resource.

use std::sync::Arc;

use wire::message::{HolderInfo, Located, ResourceQuery};
use wire::{ErrorBody, ErrorCode};

use super::verify::{VerifiedRecord, verify_bundle};
use crate::peer::Shared;

/// What the index lists by now of a resource of which a record is known.
#[derive(Debug)]
pub(crate) enum Latest {
    /// That content, and who holds it.
    Same(Vec<HolderInfo>),
    /// A version that supersedes it, and who holds that.
    Newer(Box<VerifiedRecord>, Vec<HolderInfo>),
    /// One that the known record supersedes: the index does not know that yet, or not any more.
    Older,
}

/// Asks the index what counts by now, beside a record that is known.
///
/// # Errors
/// As [`locate`].
pub(crate) async fn latest(shared: &Arc<Shared>, known: &VerifiedRecord) -> Result<Latest, ErrorBody> {
    let record = &known.record;
    let query = ResourceQuery::latest(record.user.clone(), record.name.clone());
    let (current, holders) = locate(shared, query).await?;
    Ok(match current.record.content == record.content {
        true => Latest::Same(holders),
        false if current.supersedes(known) => Latest::Newer(Box::new(current), holders),
        false => Latest::Older,
    })
}

/// Asks the index for a resource: its record, verified, and who holds it.
///
/// # Errors
/// What the index says, `unavailable`, or `bad-record`.
pub(crate) async fn locate(
    shared: &Arc<Shared>,
    query: ResourceQuery,
) -> Result<(VerifiedRecord, Vec<HolderInfo>), ErrorBody> {
    let (owner, name) = (query.owner.clone(), query.name.clone());
    let located: Located = shared
        .ask_index(|index| {
            let query = query.clone();
            async move { index.locate(query).await }
        })
        .await?;
    located.check()?;
    let verifier = shared.clone();
    let bundle = located.bundle;
    let verified = tokio::task::spawn_blocking(move || verify_bundle(&verifier, &bundle))
        .await
        .map_err(|_| ErrorBody::new(ErrorCode::ShuttingDown, "stopping"))??;
    if verified.record.user != owner || verified.record.name != name {
        return Err(ErrorBody::new(
            ErrorCode::BadRecord,
            "the index answered with another resource's record",
        ));
    }
    Ok((verified, located.holders))
}
