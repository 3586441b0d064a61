//! `share`: import a file or folder, sign its record, register it.

mod footing;
mod read;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use certs::{Membership, Signed};
use tokio::sync::mpsc;
use tracing::warn;
use wire::message::{Outcome as Answered, OutcomeKind};
use wire::{ErrorBody, ErrorCode, Record, ResourceName, SignedRecord, Visibility, limits};

use self::footing::{Built, Footing};
use self::read::Read;
use crate::control::api::{Event, LocalPath, Outcome, ShareDone, ShareNote, ShareRequest};
use crate::control::backend::{EVENTS_QUEUED, Events};
use crate::control::{ApiError, ApiResult, LocalCode};
use crate::fallback::is_away;
use crate::peer::Shared;
use crate::store::{Imported, Note, Publication, PublicationState, Walked};

/// How often a record that lost against a tombstone is built anew upon it.
const REBASES: usize = 3;

/// Who wants something published.
#[derive(Debug, Clone)]
pub(crate) enum Asker {
    /// The node's user.
    User,
    /// The watch: only what is still watched, and nothing that is still being written.
    Watch {
        /// So long ago a file must have been modified.
        quiet: Duration,
        /// Set where something was left out that is still being written.
        unsettled: Arc<AtomicBool>,
    },
}

/// How a name is shared, beside what is shared under it.
#[derive(Debug, Clone, Copy)]
struct Manner {
    walked: Walked,
    watch: bool,
}

impl Shared {
    /// Begins to share a file or folder. What can be refused at once is refused before anything is read.
    pub(crate) async fn share(self: &Arc<Self>, request: ShareRequest) -> ApiResult<Events<ShareDone>> {
        self.share_for(Asker::User, request).await
    }

    /// The same for whoever asks.
    pub(crate) async fn share_for(
        self: &Arc<Self>,
        asker: Asker,
        request: ShareRequest,
    ) -> ApiResult<Events<ShareDone>> {
        self.need_login()?;
        let bound = self.store.publication(request.name.clone()).await.map_err(ApiError::internal)?;
        check_binding(&asker, &request, bound.as_ref())?;
        refuse_folder(&request).await?;
        self.reach().await?;
        let (events, receiver) = mpsc::channel(EVENTS_QUEUED);
        let shared = self.clone();
        self.tasks.spawn(async move {
            let read = tokio::select! {
                read = shared.read_shared(&asker, &request, &events) => read,
                () = events.closed() => return,
                () = shared.tasks.stopping() => Err(stopping()),
            };
            // From here on it is registered, whether anybody waits for that or not.
            let done = match read {
                Ok(Read::Imported(imported, manner)) => {
                    shared.share_imported(&asker, &request, *imported, manner).await
                }
                Ok(Read::Unchanged(done)) => Ok(*done),
                Err(error) => Err(error),
            };
            // What the watch itself has published it need not look at again.
            if matches!(asker, Asker::User) || done.is_err() {
                shared.watching.touch(request.name);
            }
            let _ = events.send(done.map_or_else(Event::Error, Event::Result)).await;
        });
        Ok(receiver)
    }

    async fn share_imported(
        &self,
        asker: &Asker,
        request: &ShareRequest,
        imported: Imported,
        manner: Manner,
    ) -> ApiResult<ShareDone> {
        let imported = Arc::new(imported);
        let (publication, outcome, pending) = {
            let _one_at_a_time = self.publishing.lock().await;
            let previous = self.store.publication(request.name.clone()).await.map_err(ApiError::internal)?;
            // It may have been bound elsewhere, or taken back, while this was read.
            check_binding(asker, request, previous.as_ref())?;
            self.register_file(request, previous, &imported, manner).await?
        };
        let mut notes: Vec<ShareNote> = imported.notes.first.iter().map(share_note).collect();
        let mut notes_count = imported.notes.count;
        let kept = match self.keep(&publication, &imported, request.keep).await {
            Ok(kept) => kept,
            // It is shared all the same.
            Err(error) => {
                warn!(%error, "a version cannot be kept");
                notes
                    .push(ShareNote { path: request.path.clone(), text: format!("it is not kept: {error}") });
                notes_count += 1;
                None
            }
        };
        let done = done(&publication, outcome)?;
        Ok(ShareDone { notes, notes_count, kept, content: imported.content, pending, ..done })
    }

    /// Tells the index of a record, or the other members while it is away; what became of it, and whether the index has not
    /// heard of it.
    async fn tell_record(&self, publication: &Publication) -> ApiResult<(Answered, bool)> {
        let answered = match self.index().await {
            Ok(index) => self.publish(&index, vec![publication.clone()]).await,
            Err(away) => Err(away),
        };
        match answered {
            Ok(outcomes) => {
                let outcome = outcomes.into_iter().next();
                Ok((outcome.ok_or_else(|| ApiError::internal("no outcome"))?, false))
            }
            Err(body) => match self.replica().filter(|_| is_away(&body)) {
                Some(replica) => {
                    let outcome = self.publish_to_copy(&replica, &publication.record).await?;
                    self.keep_outcome(publication, &outcome).await?;
                    if matches!(outcome.outcome, OutcomeKind::Created | OutcomeKind::Updated) {
                        self.hear_of_own(&publication.name, wire::record_hash(&publication.record));
                    }
                    Ok((outcome, true))
                }
                None => Err(self.pending(body)),
            },
        }
    }

    /// Publishes what was imported, building on what is known of the name. Whether the index has not heard of it.
    async fn register_file(
        &self,
        request: &ShareRequest,
        previous: Option<Publication>,
        imported: &Arc<Imported>,
        manner: Manner,
    ) -> ApiResult<(Publication, Outcome, bool)> {
        let membership = self.need_login()?;
        let path = request.path.as_path();
        if request.onto.is_none()
            && let Some(same) = self.unchanged(path, previous.as_ref(), imported, manner).await?
        {
            return Ok((same, Outcome::Unchanged, false));
        }
        let footing = self.footing(request, previous.as_ref(), imported).await?;
        if request.onto.is_some()
            && footing == Footing::Own
            && let Some(same) = self.unchanged(path, previous.as_ref(), imported, manner).await?
        {
            return Ok((same, Outcome::Unchanged, false));
        }
        let mut unacknowledged = previous
            .as_ref()
            .filter(|previous| footing == Footing::Own && self.is_unacknowledged(previous, imported))
            .map(|previous| previous.record.clone());
        let mut base = match footing {
            Footing::Own => previous.as_ref().map(|previous| Built::from(&*previous.record)),
            Footing::Onto(built) => Some(built),
            Footing::Same => None,
        };
        for _ in 0..REBASES {
            let version = base.map_or(Ok(1), |base| next_version(base.version))?;
            let record = unacknowledged.take().unwrap_or_else(|| {
                Arc::new(self.sign_record(&request.name, imported, &membership, base, version))
            });
            let publication = Publication {
                name: request.name.clone(),
                path: path.to_owned(),
                stamp: imported.stamp,
                record,
                receipt: None,
                certificate: None,
                state: PublicationState::Pending,
                walked: manner.walked,
                watch: manner.watch,
                racy: imported.racy,
            };
            self.store.put_imported(publication.clone(), imported).await.map_err(ApiError::internal)?;
            // The index notes the holder with the record.
            self.came_to_hold.fetch_add(1, Ordering::AcqRel);
            let (answered, pending) = self.tell_record(&publication).await?;
            match self.settle(publication, &answered, previous.as_ref()).await? {
                Settled::Done(publication, outcome) => return Ok((publication, outcome, pending)),
                Settled::BuildOn(tombstone) => base = Some(tombstone),
            }
        }
        Err(ErrorBody::new(ErrorCode::Superseded, "another machine keeps publishing this name; try again")
            .into())
    }

    /// Whether a record of the very same was signed, and only its acknowledgement is missing: it is sent again, not
    /// followed by another version.
    fn is_unacknowledged(&self, previous: &Publication, imported: &Imported) -> bool {
        let record = &previous.record;
        previous.state == PublicationState::Pending
            && record.node == self.node()
            && record.content == Some(imported.content)
            && record.root == Some(imported.manifest.root_hash)
    }

    /// The record is signed and kept; only the index has not answered.
    fn pending(&self, body: ErrorBody) -> ApiError {
        self.own_changed();
        ApiError::from(body).with_hint("the file is imported; it is registered as soon as the index answers")
    }

    /// Whether the very same is published already; a file that only moved is then served from its new place.
    async fn unchanged(
        &self,
        path: &Path,
        previous: Option<&Publication>,
        imported: &Arc<Imported>,
        manner: Manner,
    ) -> ApiResult<Option<Publication>> {
        let Some(previous) = previous else { return Ok(None) };
        let standing = !matches!(previous.state, PublicationState::Superseded | PublicationState::Pending);
        if !standing || previous.receipt.is_none() || previous.record.content != Some(imported.content) {
            return Ok(None);
        }
        let publication = Publication {
            path: path.to_owned(),
            stamp: imported.stamp,
            state: PublicationState::Published,
            walked: manner.walked,
            watch: manner.watch,
            racy: imported.racy,
            ..previous.clone()
        };
        self.store.put_imported(publication.clone(), imported).await.map_err(ApiError::internal)?;
        self.announce_holding(imported.content, true).await;
        Ok(Some(publication))
    }

    fn sign_record(
        &self,
        name: &ResourceName,
        imported: &Imported,
        membership: &Signed<Membership>,
        base: Option<Built>,
        version: u64,
    ) -> SignedRecord {
        let record = Record {
            format: 0,
            network: membership.network,
            account: membership.account,
            user: membership.user.clone(),
            node: self.node(),
            name: name.clone(),
            kind: imported.manifest.root.kind,
            version,
            revision: 0,
            prev: base.map(|base| base.on),
            size: imported.manifest.root.size,
            mtime: imported.mtime,
            published: self.clock.now().into(),
            content: Some(imported.content),
            root: Some(imported.manifest.root_hash),
            visibility: Visibility::Members,
            extensions: Default::default(),
        };
        Signed::sign(self.credentials.key(), record)
    }

    /// What becomes of a publication after the index has answered.
    async fn settle(
        &self,
        publication: Publication,
        answered: &Answered,
        previous: Option<&Publication>,
    ) -> ApiResult<Settled> {
        let winner = self.winner(answered)?;
        match (answered.outcome, winner) {
            (OutcomeKind::Created, _) => Ok(Settled::Done(publication, Outcome::Created)),
            (OutcomeKind::Updated, _) => Ok(Settled::Done(publication, Outcome::Updated)),
            (OutcomeKind::Unchanged, None) => Ok(Settled::Done(publication, Outcome::Unchanged)),
            (OutcomeKind::Unchanged, Some(winner)) => self.adopt(publication, winner, answered).await,
            (OutcomeKind::Superseded, Some(winner)) if winner.is_gone() => {
                Ok(Settled::BuildOn(Built::from(&winner)))
            }
            (OutcomeKind::Superseded, winner) => Err(superseded(winner.as_ref())),
            (OutcomeKind::Refused, _) => {
                self.restore(&publication, previous).await?;
                let body = answered.error.clone();
                Err(body
                    .unwrap_or_else(|| ErrorBody::new(ErrorCode::BadRecord, "the index refuses the record"))
                    .into())
            }
        }
    }

    /// The record that stands, verified, where the index named one.
    fn winner(&self, answered: &Answered) -> ApiResult<Option<SignedRecord>> {
        let Some(bytes) = &answered.winner else { return Ok(None) };
        let record = Signed::<Record>::parse(bytes).map_err(|error| {
            ErrorBody::new(ErrorCode::BadRecord, format!("the index's record is wrong: {error}"))
        })?;
        Ok(Some(record))
    }

    /// Another machine of this user has published the same content: this one holds it under that record.
    async fn adopt(
        &self,
        publication: Publication,
        winner: SignedRecord,
        answered: &Answered,
    ) -> ApiResult<Settled> {
        let publication = Publication {
            record: Arc::new(winner),
            receipt: answered.receipt.as_ref().map(|receipt| receipt.to_vec().into()),
            certificate: self.receipt_certificate(answered),
            state: PublicationState::Published,
            ..publication
        };
        self.store.put_publication(publication.clone(), None).await.map_err(ApiError::internal)?;
        Ok(Settled::Done(publication, Outcome::Unchanged))
    }

    /// Puts things back as they were before a record that the index refused.
    async fn restore(&self, refused: &Publication, previous: Option<&Publication>) -> ApiResult<()> {
        let restored = match previous {
            Some(previous) => self.store.put_publication(previous.clone(), None).await,
            None => self.store.remove_publication(refused.clone()).await.map(drop),
        };
        restored.map_err(ApiError::internal)
    }
}

/// A name that is bound to another path stays so unless the user says otherwise. The watch publishes only what its user has
/// watched at this place.
fn check_binding(asker: &Asker, request: &ShareRequest, bound: Option<&Publication>) -> ApiResult<()> {
    let bound = bound.filter(|bound| !bound.record.is_gone());
    let same = bound.is_some_and(|bound| bound.path == request.path.as_path());
    match (asker, bound) {
        (Asker::Watch { .. }, Some(bound)) if same && bound.is_watched() => Ok(()),
        (Asker::Watch { .. }, _) => {
            Err(ErrorBody::new(ErrorCode::Cancelled, "it is not watched any more").into())
        }
        (Asker::User, Some(bound)) if !same && !request.update => {
            let text = format!("the name {} is already used for {}", request.name, bound.path.display());
            Err(ApiError::new(LocalCode::NameBound, text)
                .with_hint("choose another name with --name, or publish this file under it with --update"))
        }
        (Asker::User, _) => Ok(()),
    }
}

/// Of a folder no versions are kept: that is said before it is read.
async fn refuse_folder(request: &ShareRequest) -> ApiResult<()> {
    if request.keep.is_none_or(|keep| keep == 0) {
        return Ok(());
    }
    let found = tokio::fs::metadata(request.path.as_path()).await;
    match found.is_ok_and(|found| found.is_dir()) {
        true => Err(ApiError::usage(format!(
            "{} is a folder, of which no old versions can be kept",
            request.path
        ))
        .with_hint("share it without --keep")),
        false => Ok(()),
    }
}

/// The answer for what stands now.
fn done(publication: &Publication, outcome: Outcome) -> ApiResult<ShareDone> {
    let record = &publication.record;
    Ok(ShareDone {
        owner: record.user.clone(),
        name: publication.name.clone(),
        version: record.version,
        outcome,
        size: record.size,
        content: record.content.ok_or_else(|| ApiError::internal("a tombstone"))?,
        path: publication.path.clone().into(),
        notes: Vec::new(),
        notes_count: 0,
        kept: None,
        pending: false,
    })
}

/// What becomes of a publication.
enum Settled {
    Done(Publication, Outcome),
    /// It must be built on this tombstone.
    BuildOn(Built),
}

fn share_note(note: &Note) -> ShareNote {
    ShareNote { path: LocalPath::from(note.path.clone()), text: note.text.clone() }
}

fn superseded(winner: Option<&SignedRecord>) -> ApiError {
    let Some(winner) = winner else {
        let text = "another machine of this user has published a newer file under this name";
        return ErrorBody::new(ErrorCode::Superseded, text).into();
    };
    let (version, by) = (winner.version, winner.node.short());
    let text = format!(
        "another machine of this user, node {by}, has published a newer file under this name, version {version}"
    );
    footing::superseded(text, &format!("{}/{}", winner.user, winner.name), version)
}

fn stopping() -> ApiError {
    ErrorBody::new(ErrorCode::ShuttingDown, "the daemon is stopping").into()
}

/// The version of what is built on a record that came from elsewhere.
pub(super) fn next_version(version: u64) -> ApiResult<u64> {
    match version < limits::VERSION {
        true => Ok(version + 1),
        false => {
            let text =
                "the record that stands has the highest version that there is: nothing can be built on it";
            Err(ErrorBody::new(ErrorCode::BadRecord, text).into())
        }
    }
}
