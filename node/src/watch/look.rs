//! Where watched things lie, and whether they are as they were published. For threads that may block.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::debug;
use wire::ResourceName;

use super::routes::Place;
use super::watches::resolved;
use crate::off_thread::off_thread;
use crate::peer::Shared;
use crate::store::{HoldingState, Look, Watched};

/// Where some of them lie, each folder resolved once.
pub(super) fn places(watched: &[Watched]) -> Vec<Place> {
    let mut resolved_folders: HashMap<&Path, PathBuf> = HashMap::new();
    let mut place = |watched: &Watched| {
        let parent = watched.path.parent().unwrap_or(Path::new("/"));
        let name = watched.path.file_name().unwrap_or_default().to_owned();
        (parent.to_owned(), name)
    };
    let parts: Vec<_> = watched.iter().map(&mut place).collect();
    let mut places = Vec::with_capacity(watched.len());
    for (watched, (parent, name)) in watched.iter().zip(&parts) {
        let folder = resolved_folders
            .entry(parent)
            .or_insert_with(|| resolved(parent).unwrap_or_else(|_| parent.clone()))
            .clone();
        let is_folder = watched.held.as_ref().is_some_and(|held| held.folder);
        places.push(match is_folder {
            true => Place { root: folder.join(name), file: None },
            false => Place { root: folder, file: Some(name.clone()) },
        });
    }
    places
}

/// Looks at some of them; what the system does not say is left out. What is held is noted to be as it is found.
///
/// # Cancel safety
/// Dropped, it ends soon; nothing but notes is written.
pub(super) async fn look(
    shared: &Arc<Shared>,
    watched: Vec<Watched>,
    quiet: Duration,
) -> Vec<(ResourceName, Look)> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let guard = CancelOnDrop(cancelled.clone());
    let (store, home) = (shared.store.clone(), shared.home.clone());
    let looking = off_thread(move || {
        let is_cancelled = || cancelled.load(Ordering::Relaxed);
        let one = |watched: Watched| {
            let look = store.look_at_watched(&watched, home.clone(), quiet, &is_cancelled);
            let look =
                look.inspect_err(|error| debug!(name = %watched.name, %error, "cannot look at it")).ok()?;
            Some((watched, look))
        };
        watched.into_iter().filter_map(one).collect::<Vec<_>>()
    });
    let looked = looking.await;
    drop(guard);
    let mut looks = Vec::with_capacity(looked.len());
    for (watched, look) in looked {
        note(shared, &watched, look).await;
        looks.push((watched.name, look));
    }
    looks
}

/// Stores that something held is there again, or not any more.
async fn note(shared: &Shared, watched: &Watched, look: Look) {
    let state = match look {
        Look::Same => HoldingState::Ok,
        Look::Missing => HoldingState::Missing,
        Look::Changed | Look::BeingWritten => return,
    };
    let Some(held) = watched.held.as_ref().filter(|held| held.state != state) else { return };
    if let Err(error) = shared.store.set_holding_state(held.id, state).await {
        debug!(%error, "cannot note how a held file is");
    }
    shared.own_changed();
}

/// Ends what nobody waits for any more.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
