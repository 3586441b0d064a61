//! Reading what is shared, as far as it is not known already.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;
use wire::Kind;

use super::{Asker, Manner, done};
use crate::control::api::{Event, Links, Outcome, Progress, ShareDone, ShareRequest, Stage};
use crate::control::{ApiError, ApiResult};
use crate::ops::seldom::Seldom;
use crate::peer::Shared;
use crate::store::{
    self, Before, FolderOptions, Holding, HoldingState, ImportError, Imported, Publication, PublicationState,
    Walked,
};

/// What was read.
pub(super) enum Read {
    /// All that is to be published.
    Imported(Box<Imported>, Manner),
    /// Nothing: the file is as it was published.
    Unchanged(Box<ShareDone>),
}

impl Shared {
    /// What shall be published.
    pub(super) async fn read_shared(
        &self,
        asker: &Asker,
        request: &ShareRequest,
        events: &mpsc::Sender<Event<ShareDone>>,
    ) -> ApiResult<Read> {
        let previous = self.store.publication(request.name.clone()).await.map_err(ApiError::internal)?;
        let manner = manner(request, previous.as_ref(), self.watching.by_default());
        // What is to be kept from now on is read and copied; what is put on top of another machine's is looked at.
        if request.keep.is_none()
            && request.onto.is_none()
            && let Some(done) = self.unread(request, manner).await?
        {
            return Ok(Read::Unchanged(Box::new(done)));
        }
        let before = match &previous {
            Some(previous) => self.before(previous).await?,
            None => None,
        };
        let imported = self.import(asker, request, before, manner.walked, events.clone()).await?;
        if let Asker::Watch { unsettled, .. } = asker {
            unsettled.store(imported.unsettled, Ordering::Relaxed);
        }
        let size = imported.manifest.root.size;
        let _ = events.send(Event::Progress(Progress::of(Stage::Registering, size, size))).await;
        Ok(Read::Imported(Box::new(imported), manner))
    }

    /// The answer for a file that its stamp says to be as it was published: it is not read.
    async fn unread(&self, request: &ShareRequest, manner: Manner) -> ApiResult<Option<ShareDone>> {
        let _one_at_a_time = self.publishing.lock().await;
        let previous = self.store.publication(request.name.clone()).await.map_err(ApiError::internal)?;
        let stands = |previous: &Publication| {
            previous.state == PublicationState::Published
                && previous.receipt.is_some()
                && previous.record.kind == Kind::File
                && previous.path == request.path.as_path()
                && !previous.racy
        };
        let Some(previous) = previous.filter(stands) else { return Ok(None) };
        let Some(holding) = self.holding_of(&previous).await? else { return Ok(None) };
        if !matches!(self.store.check_holding(holding.clone()).await, Ok(HoldingState::Ok)) {
            return Ok(None);
        }
        self.note_file(&holding, HoldingState::Ok).await;
        let publication = Publication { watch: manner.watch, ..previous.clone() };
        if publication != previous {
            self.store.put_publication(publication.clone(), None).await.map_err(ApiError::internal)?;
        }
        done(&publication, Outcome::Unchanged).map(Some)
    }

    /// The version before, as it is held.
    async fn before(&self, previous: &Publication) -> ApiResult<Option<Before>> {
        let held = self.holding_of(previous).await?.map(|holding| holding.root);
        let Some(root) = held.or(previous.record.root) else { return Ok(None) };
        let layout = self.store.layout(root).await.ok().flatten();
        let stamps = Some((root, previous.path.clone()));
        Ok(layout.map(|layout| Before { layout, stamps }))
    }

    /// What is held at the place of a publication.
    async fn holding_of(&self, publication: &Publication) -> ApiResult<Option<Holding>> {
        let holdings = self.store.holdings_at(publication.path.clone()).await.map_err(ApiError::internal)?;
        let content = publication.record.content;
        Ok(holdings.into_iter().find(|holding| Some(holding.content) == content))
    }

    /// Reads and hashes the file or folder; stops when nobody waits for it any more.
    async fn import(
        &self,
        asker: &Asker,
        request: &ShareRequest,
        before: Option<Before>,
        Walked { links, gitignore }: Walked,
        events: mpsc::Sender<Event<ShareDone>>,
    ) -> ApiResult<Imported> {
        let (fs, path) = (self.store.fs().clone(), request.path.as_path().to_owned());
        let (home, store) = (Some(self.home.clone()), Some(self.store.clone()));
        let quiet = match asker {
            Asker::User => None,
            Asker::Watch { quiet, .. } => Some(*quiet),
        };
        let abandoned = Arc::new(AtomicBool::new(false));
        let guard = SetOnDrop(abandoned.clone());
        let importing = tokio::task::spawn_blocking(move || {
            let seldom = Seldom::default();
            let report = |progress| {
                if seldom.is_time() {
                    drop(events.try_send(Event::Progress(progress)));
                }
            };
            let gone = || abandoned.load(Ordering::Relaxed) || events.is_closed();
            let params = before.as_ref().and_then(|before| before.layout.entries.first()?.params);
            let of_total = |done, total| report(Progress::of(Stage::Importing, done, total));
            match store::import(&*fs, &path, params, &of_total, &gone) {
                Err(ImportError::Folder(_)) => {}
                imported => return imported,
            }
            let options = FolderOptions { links, before, home, gitignore, store, quiet };
            let so_far = |done| {
                let progress = Progress::of(Stage::Importing, done, 0);
                report(Progress { bytes_total: None, ..progress });
            };
            store::import_folder(&*fs, &path, &options, &so_far, &gone)
        });
        let imported = importing.await;
        drop(guard);
        Ok(imported.map_err(ApiError::internal)??)
    }
}

/// As the user says, and else as it was for the version before, if that stands.
fn manner(request: &ShareRequest, previous: Option<&Publication>, watch_by_default: bool) -> Manner {
    let standing = previous.filter(|previous| !previous.record.is_gone());
    let before = standing.map(|previous| previous.walked).unwrap_or_default();
    let links = request.links.map(|links| match links {
        Links::Keep => store::Links::Keep,
        Links::Skip => store::Links::Skip,
    });
    let gitignore = request.gitignore.unwrap_or(before.gitignore);
    let watch = standing.map_or(watch_by_default, |previous| previous.watch);
    Manner {
        walked: Walked { links: links.unwrap_or(before.links), gitignore },
        watch: request.watch.unwrap_or(watch),
    }
}

/// Sets a flag when the one who waits is gone.
struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
