//! What the index lists of a resource; while it is away, what this node's copy does.

use std::sync::Arc;

use wire::message::{HolderInfo, Located, ResourceQuery};
use wire::{ErrorBody, ErrorCode};

use super::verify::{VerifiedRecord, verify_off_thread};
use crate::fallback::{Answered, Whom};
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

/// Asks what counts by now, beside a record that is known. Of a `pinned` one no other version does.
///
/// # Errors
/// As [`locate`], but for `not-found`: that is the index's word alone, and `unavailable` from the copy; `not-found` where the known record is pinned and another one has its version by now.
pub(crate) async fn latest(
    shared: &Arc<Shared>,
    known: &VerifiedRecord,
    pinned: bool,
) -> Result<Latest, ErrorBody> {
    let record = &known.record;
    let query = ResourceQuery {
        version: pinned.then_some(record.version),
        ..ResourceQuery::latest(record.user.clone(), record.name.clone())
    };
    let (current, holders) = match locate(shared, query).await {
        // A copy that does not know it says nothing of whether it is shared.
        Err(body) if body.code == ErrorCode::NotFound && !shared.asks_index() => {
            let text = "the index is away, and this node's copy does not list it";
            return Err(ErrorBody::new(ErrorCode::Unavailable, text));
        }
        located => located?,
    };
    if pinned && current.record.content != record.content {
        let text = format!("version {} is something else by now", record.version);
        return Err(ErrorBody::new(ErrorCode::NotFound, text));
    }
    Ok(match current.record.content == record.content {
        true => Latest::Same(holders),
        false if current.supersedes(known) => Latest::Newer(Box::new(current), holders),
        false => Latest::Older,
    })
}

/// Asks for a resource: its record, verified, and who holds it.
///
/// # Errors
/// What the index says, `unavailable`, or `bad-record`.
pub(crate) async fn locate(
    shared: &Arc<Shared>,
    query: ResourceQuery,
) -> Result<(VerifiedRecord, Vec<HolderInfo>), ErrorBody> {
    let (owner, name, version) = (query.owner.clone(), query.name.clone(), query.version);
    let asked = shared.ask_network(
        Whom::Anybody,
        |index| {
            let query = query.clone();
            async move { index.locate(query).await }
        },
        |replica| {
            let query = query.clone();
            async move { replica.locate(query).await }
        },
    );
    let Answered { answer: mut located, from_copy } = asked.await?;
    Located::check(&located)?;
    let verified = verify_off_thread(shared, located.bundle.clone()).await?;
    if let (true, Some(kad), Some(content)) = (from_copy, shared.kad.get(), verified.record.content) {
        kad.add_providers(shared, content, &mut located).await;
    }
    if verified.record.user != owner || verified.record.name != name {
        return Err(ErrorBody::new(
            ErrorCode::BadRecord,
            "the index answered with another resource's record",
        ));
    }
    if version.is_some_and(|version| verified.record.version != version) {
        return Err(ErrorBody::new(ErrorCode::BadRecord, "the index answered with another version"));
    }
    Ok((verified, located.holders))
}
