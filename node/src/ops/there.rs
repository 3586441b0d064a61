//! A `get` of what lies at the target already: nothing moves, it is only served from then on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;
use wire::{ContentHash, ErrorBody, ErrorCode};

use super::get::bytes_of;
use super::get::options_of;
use super::keep::is_kept;
use super::seldom::Seldom;
use crate::activity::{Activity, Moved, Version, local};
use crate::control::api::{Event, GetDone, GetRequest, LocalPath, Progress, Stage};
use crate::control::{ApiError, ApiResult};
use crate::peer::Shared;
use crate::store::fs::Fs;
use crate::store::{HeldVersion, HoldingState, NewHolding, NewSubscription, Origin};
use crate::transfer::VerifiedRecord;

/// How much of a file that lies at the target is read at once.
const COMPARE_BYTES: usize = 1 << 20;

type Sender<T> = mpsc::Sender<Event<T>>;

impl Shared {
    /// Whether the target is a file with the record's content already. One that this node holds is known by its stamp,
    /// unless `force` distrusts that; any other is read, as long as somebody waits for the answer.
    pub(super) async fn lies_there<T: Send + 'static>(
        &self,
        target: &Path,
        record: &VerifiedRecord,
        force: bool,
        events: &Sender<T>,
    ) -> ApiResult<bool> {
        let (content, size) = (record.content()?, record.record.size);
        if !force && self.is_held(target, content).await? {
            return Ok(true);
        }
        let (fs, path, tasks, events) =
            (self.store.fs().clone(), target.to_owned(), self.tasks.clone(), events.clone());
        let compare = move || {
            has_content(&*fs, &path, content, size, |done| {
                let _ = events.try_send(Event::Progress(Progress::of(Stage::Verifying, done, size)));
                !events.is_closed() && !tasks.is_stopping()
            })
        };
        let compared = tokio::task::spawn_blocking(compare).await.map_err(ApiError::internal)?;
        compared.ok_or_else(abandoned)
    }

    /// Whether this node holds this content there, unchanged since it was hashed.
    async fn is_held(&self, target: &Path, content: ContentHash) -> ApiResult<bool> {
        let holdings = self.store.holdings_at(target.to_owned()).await.map_err(ApiError::internal)?;
        for holding in holdings.into_iter().filter(|holding| holding.content == content) {
            if matches!(self.store.check_holding(holding.clone()).await, Ok(HoldingState::Ok)) {
                self.note_file(&holding, HoldingState::Ok).await;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The answer for a file that is there. It is served from now on, unless the user does not want that.
    pub(super) async fn adopt_file<T: Send + 'static>(
        self: &Arc<Self>,
        request: &GetRequest,
        record: &VerifiedRecord,
        target: PathBuf,
        events: &Sender<T>,
    ) -> ApiResult<GetDone> {
        let content = record.content()?;
        if request.share && !self.is_held(&target, content).await? {
            self.hold_existing(record, content, &target, events).await?;
        }
        let options = options_of(request);
        if !options.once {
            self.subscribe_there(request, record, content, &target).await?;
        }
        let (source, age_seconds) = self.origin();
        let kept = match is_kept(&options, &request.only) {
            true => self.keep_got(&record.record, &target).await,
            false => None,
        };
        Ok(GetDone {
            owner: request.owner.clone(),
            name: request.name.clone(),
            version: record.record.version,
            path: LocalPath::from(target),
            size: record.record.size,
            content,
            bytes_received: 0,
            bytes_reused: record.record.size,
            seconds: 0.0,
            sources: Vec::new(),
            source,
            age_seconds,
            kept,
            conflicts: Vec::new(),
            conflicts_count: 0,
        })
    }

    /// What lies there stays up to date from now on.
    async fn subscribe_there(
        &self,
        request: &GetRequest,
        record: &VerifiedRecord,
        content: ContentHash,
        target: &Path,
    ) -> ApiResult<()> {
        let holdings = self.store.holdings_at(target.to_owned()).await.map_err(ApiError::internal)?;
        let holding = holdings.into_iter().find(|holding| holding.content == content);
        let stamp = match &holding {
            Some(holding) => holding.stamp,
            None => {
                let (fs, path) = (self.store.fs().clone(), target.to_owned());
                let look = tokio::task::spawn_blocking(move || fs.stat(&path));
                let looked = look.await.map_err(ApiError::internal)?;
                looked.map_err(|error| ApiError::io("look at the target", &error))?.stamp
            }
        };
        let (rank, now) = (record.rank(), self.clock.now());
        let held =
            HeldVersion { rank, content, root: holding.map(|holding| holding.root), stamp, since: now };
        let new = NewSubscription {
            account: record.record.account,
            owner: request.owner.clone(),
            name: request.name.clone(),
            target: target.to_owned(),
            only: request.only.clone(),
            share: request.share,
            limit: request.limit.unwrap_or_default(),
            held: Some(held),
        };
        let one = self.store.subscribe(new, now).await.map_err(ApiError::internal)?;
        self.subscriptions.tell_of(&one);
        Ok(())
    }

    /// Makes a manifest from the file, and serves it.
    async fn hold_existing<T: Send + 'static>(
        &self,
        record: &VerifiedRecord,
        content: ContentHash,
        target: &Path,
        events: &Sender<T>,
    ) -> ApiResult<()> {
        let (fs, path, tasks, events) =
            (self.store.fs().clone(), target.to_owned(), self.tasks.clone(), events.clone());
        let importing = tokio::task::spawn_blocking(move || {
            let seldom = Seldom::default();
            let report = |done, total| {
                if seldom.is_time() {
                    drop(events.try_send(Event::Progress(Progress::of(Stage::Verifying, done, total))));
                }
            };
            crate::store::import(&*fs, &path, None, &report, &|| events.is_closed() || tasks.is_stopping())
        });
        let imported = importing.await.map_err(ApiError::internal)??;
        if imported.content != content {
            return Err(ErrorBody::new(ErrorCode::Changed, "the file at the target just changed").into());
        }
        let root = imported.manifest.root_hash;
        let holding = NewHolding {
            path: target.to_owned(),
            stamp: imported.stamp,
            content,
            root,
            record: Arc::new(record.record.clone()),
            receipt: bytes_of(record.bundle.receipt.as_ref()),
            certificate: self.certificate_of(record),
            origin: Origin::Get,
        };
        let manifest = Some(Arc::new(imported.manifest));
        self.store.put_holding(holding, manifest).await.map_err(ApiError::internal)?;
        let moved = Moved { bytes_reused: record.record.size, ..Moved::default() };
        let what = Version::of(&record.record);
        self.log(Activity::Downloaded { what, path: local(target), moved }).await;
        self.announce_holding(content, true).await;
        Ok(())
    }
}

/// Nobody waits for the answer any more.
pub(super) fn abandoned() -> ApiError {
    ErrorBody::new(ErrorCode::Cancelled, "interrupted before the download began").into()
}

/// Whether a path is a regular file with this content; what cannot be read is not. `None` where `go_on`, which is told
/// how many bytes are read, says that nobody wants to know.
fn has_content(
    fs: &dyn Fs,
    path: &Path,
    content: ContentHash,
    size: u64,
    go_on: impl Fn(u64) -> bool,
) -> Option<bool> {
    let Ok(file) = fs.open_read(path) else { return Some(false) };
    if !file.stat().is_ok_and(|stat| stat.stamp.size == size) {
        return Some(false);
    }
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; COMPARE_BYTES];
    let mut at = 0;
    while at < size {
        match file.read_at(&mut buffer, at) {
            Ok(0) | Err(_) => return Some(false),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                at += read as u64;
            }
        }
        if !go_on(at) {
            return None;
        }
    }
    Some(hasher.finalize().as_bytes() == content.as_bytes())
}
