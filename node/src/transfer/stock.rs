//! What this node can give of a content: a held file or folder as it lies, or what a running download has of it.

use std::sync::Arc;

use tracing::{info, warn};
use wire::manifest::Layout;
use wire::message::Run;
use wire::{ContentHash, ErrorBody, ErrorCode, RootHash};

use super::disks::Disk;
use super::parts::Part;
use super::uploads::Uploaded;
use crate::peer::Shared;
use crate::store::{Holding, HoldingState, PartialError, ServeError, Served, Store, check, open_served};

/// What is read from, open. Clones are one.
#[derive(Debug, Clone)]
pub(super) enum Stock {
    /// All of it, where a user has it.
    Held(Arc<(Holding, Served)>),
    /// What a download has.
    Part(Arc<Part>),
}

/// What of it is asked for.
pub(super) struct Wanted {
    pub(super) stock: Stock,
    pub(super) layout: Arc<Layout>,
    /// What follows of the runs that were asked for.
    pub(super) runs: Vec<Run>,
}

impl Stock {
    /// Finds these runs of a manifest of a content, or the front of them.
    ///
    /// # Errors
    /// `not-found`, `changed`, `out-of-range`.
    pub(super) async fn find(
        shared: &Arc<Shared>,
        content: ContentHash,
        root: RootHash,
        runs: &[Run],
    ) -> Result<Wanted, ErrorBody> {
        let part = shared.partial.find(&content, Some(&root));
        let layout = shared.store.layout(root).await.map_err(internal)?;
        let layout = layout.filter(|layout| layout.content == content).ok_or_else(not_here)?;
        let held = servable(shared, content, Some(&layout)).await;
        let stock = match (held, part) {
            (Ok((holding, Some(file))), _) => Self::Held(Arc::new((holding, file))),
            (_, Some(part)) => Self::Part(part),
            (Err(why), None) => return Err(why),
            (Ok((_, None)), None) => return Err(not_here()),
        };
        let runs = match &stock {
            Self::Held(_) => runs.to_vec(),
            Self::Part(part) => part.front_of(runs),
        };
        match runs.is_empty() {
            true => Err(refused(ErrorCode::OutOfRange, "the first of these chunks is not here yet")),
            false => Ok(Wanted { stock, layout, runs }),
        }
    }

    /// Fills a buffer from an offset among the bytes of all files. Blocks.
    ///
    /// # Errors
    /// See [`Unreadable`].
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        match self {
            Self::Held(held) => held.1.read(offset, buffer).map_err(Unreadable::Held),
            Self::Part(part) => part.file.read_at(offset, buffer).map_err(Unreadable::Part),
        }
    }

    /// The same without waiting for a disk; `false` where it would have to, or might.
    ///
    /// # Errors
    /// See [`Unreadable`].
    pub(super) fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool, Unreadable> {
        match self {
            Self::Held(held) => held.1.read_cached(offset, buffer).map_err(Unreadable::Held),
            Self::Part(_) => Ok(false),
        }
    }

    /// What is read there.
    pub(super) fn content(&self) -> ContentHash {
        match self {
            Self::Held(held) => held.0.content,
            Self::Part(part) => part.content,
        }
    }

    /// Where it lies.
    pub(super) fn disk(&self) -> Disk {
        match self {
            Self::Held(held) => disk_of(&held.0),
            Self::Part(_) => Disk::OfDownloads,
        }
    }

    /// For those who watch uploads: of a content of so many bytes, since a folder's stamp has another size.
    pub(super) fn uploaded(&self, size: u64) -> Uploaded {
        match self {
            Self::Held(held) => Uploaded {
                content: held.0.content,
                owner: held.0.user.clone(),
                name: held.0.name.clone(),
                path: held.0.path.clone(),
                size,
            },
            Self::Part(part) => Uploaded {
                content: part.content,
                owner: part.owner.clone(),
                name: part.name.clone(),
                path: part.path.clone(),
                size,
            },
        }
    }

    /// What the far end is told, in the middle of the data, where something could not be read.
    pub(super) async fn failed(&self, shared: &Arc<Shared>, error: Unreadable) -> ErrorCode {
        match (self, error) {
            (Self::Held(held), Unreadable::Held(error)) => unservable(shared, &held.0, &error).await.code,
            // Its download was dropped, or the disk fails: that is told where it matters.
            (_, error) => {
                info!(%error, "a download gives no more");
                ErrorCode::Internal
            }
        }
    }
}

const fn disk_of(holding: &Holding) -> Disk {
    Disk::Numbered(holding.stamp.device)
}

/// Why something was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Held(ServeError),
    #[error(transparent)]
    Part(PartialError),
}

/// A holding of this content whose file is as it was, opened. A folder is opened only where a `layout` of it is given, and
/// else looked at.
///
/// # Errors
/// `not-found`, `changed`.
pub(super) async fn servable(
    shared: &Arc<Shared>,
    content: ContentHash,
    layout: Option<&Arc<Layout>>,
) -> Result<(Holding, Option<Served>), ErrorBody> {
    let holdings = shared.store.holdings_of(content).await.map_err(internal)?;
    let mut why = not_here();
    for holding in holdings {
        let (store, asked, layout) = (shared.store.clone(), holding.clone(), layout.cloned());
        let opening = move || open(&store, &asked, layout);
        let opened = shared.disks.begin(content, disk_of(&holding), opening).await.await;
        match opened.map_err(|_| refused(ErrorCode::ShuttingDown, "stopping"))? {
            Ok(file) => {
                shared.note_file(&holding, HoldingState::Ok).await;
                return Ok((holding, file));
            }
            Err(error) => why = unservable(shared, &holding, &error).await,
        }
    }
    Err(why)
}

fn open(store: &Store, holding: &Holding, layout: Option<Arc<Layout>>) -> Result<Option<Served>, ServeError> {
    if !holding.folder {
        return open_served(&**store.fs(), holding).map(Served::File).map(Some);
    }
    match layout {
        Some(layout) => store.open_served_folder(holding, layout).map(Served::Folder).map(Some),
        None => match check(&**store.fs(), holding)? {
            HoldingState::Ok => Ok(None),
            HoldingState::Changed => Err(ServeError::Changed(holding.path.clone())),
            HoldingState::Missing => Err(ServeError::Missing(holding.path.clone())),
        },
    }
}

/// Notes that a file is no longer what was published; the index is told.
async fn unservable(shared: &Arc<Shared>, holding: &Holding, error: &ServeError) -> ErrorBody {
    let Some(state) = error.state() else {
        warn!(%error, "a shared file cannot be read");
        return refused(ErrorCode::Internal, "the holder cannot read the file at the moment");
    };
    shared.note_file(holding, state).await;
    refused(ErrorCode::Changed, "the file changed since it was published")
}

impl Shared {
    /// Notes how a held file was found, where that is news; the index is told. A disk that was away may be back.
    pub(crate) async fn note_file(&self, holding: &Holding, state: HoldingState) {
        if holding.state == state {
            return;
        }
        info!(path = %holding.path.display(), state = state.as_str(), "a held file is found otherwise than before");
        if let Err(error) = self.store.set_holding_state(holding.id, state).await {
            warn!(%error, "cannot note how a held file is");
        }
        self.own_changed();
    }
}

pub(super) fn not_here() -> ErrorBody {
    refused(ErrorCode::NotFound, "not here")
}

pub(super) fn refused(code: ErrorCode, text: &str) -> ErrorBody {
    ErrorBody::new(code, text)
}

pub(super) fn internal(error: impl std::fmt::Display) -> ErrorBody {
    warn!(%error, "the store failed");
    ErrorBody::new(ErrorCode::Internal, "the holder's store failed")
}
