//! Publishing the next version of something that is watched, as `share` does it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::{debug, warn};
use wire::{ErrorCode, ResourceName};

use super::debounce::Ended;
use super::look::look;
use crate::control::api::{Event, ShareRequest};
use crate::control::{ApiError, ApiResult, LocalCode};
use crate::ops::Asker;
use crate::peer::Shared;
use crate::store::{Look, Watched};

/// Publishes something if it is watched still, is whole, and is not what was published.
///
/// # Cancel safety
/// Dropped while it reads, it ends; what is read already is registered.
pub(super) async fn publish(shared: &Arc<Shared>, name: &ResourceName, quiet: Duration) -> Ended {
    let watched = match shared.store.watched_as(name.clone()).await {
        Ok(Some(watched)) => watched,
        Ok(None) => return Ended::Done,
        Err(error) => {
            warn!(%name, %error, "cannot look up what is watched");
            return Ended::Failed;
        }
    };
    match look(shared, vec![watched.clone()], quiet).await.first() {
        None => return Ended::Failed,
        Some((_, Look::Same | Look::Missing)) => return Ended::Done,
        Some((_, Look::BeingWritten)) => return Ended::Unsettled,
        Some((_, Look::Changed)) => {}
    }
    let unsettled = Arc::new(AtomicBool::new(false));
    let asker = Asker::Watch { quiet, unsettled: unsettled.clone() };
    match share(shared, asker, &watched).await {
        Ok(()) if unsettled.load(Ordering::Relaxed) => Ended::Unsettled,
        Ok(()) => Ended::Done,
        Err(error) => ended(name, &error),
    }
}

async fn share(shared: &Arc<Shared>, asker: Asker, watched: &Watched) -> ApiResult<()> {
    let request = ShareRequest::new(watched.path.clone(), watched.name.clone());
    let mut events = shared.share_for(asker, request).await?;
    while let Some(event) = events.recv().await {
        match event {
            Event::Progress(_) => {}
            Event::Result(_) => return Ok(()),
            Event::Error(error) => return Err(error),
        }
    }
    Err(wire::ErrorBody::new(ErrorCode::ShuttingDown, "the daemon is stopping").into())
}

/// What an error means for the watch.
fn ended(name: &ResourceName, error: &ApiError) -> Ended {
    let is = |code: ErrorCode| error.code == code.into();
    if is(ErrorCode::Changed) {
        debug!(%name, %error, "published once it is whole");
        return Ended::Unsettled;
    }
    if error.code == LocalCode::NoSuchPath.into() || is(ErrorCode::Cancelled) {
        debug!(%name, %error, "not published");
        return Ended::Done;
    }
    if is(ErrorCode::Superseded) {
        warn!(%name, %error, "not published by itself any more");
        return Ended::Done;
    }
    warn!(%name, %error, "a new version could not be published; it is tried again");
    Ended::Failed
}
