//! P and G as a holder: what is granted, and the bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::SendStream;
use tracing::{info, warn};
use wire::manifest::{Layout, Root};
use wire::message::{Answer, DataFollows, GetData, Granted, HeldRoot, Probed, RequestDownload, Run};
use wire::{ContentHash, ErrorBody, ErrorCode, RootHash};

use super::limits::Gate;
use super::verify::verify_bundle;
use crate::net::{DATA_PRIORITY, Role, Session, SessionError, send_answer};
use crate::peer::Shared;
use crate::store::{Holding, HoldingState, ServeError, Served, Store, check, open_served};

/// What is read from disk and handed to QUIC at once: large enough that a read costs little, small enough that what
/// waits to be acknowledged is freed in steps.
const PIECE_BYTES: u64 = 256 << 10;
/// An answer of which the far end takes nothing for so long is reset: it keeps a file open, and pieces of it in memory.
/// A far end that lives takes something in less time even where its disk is the slowest.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// Answers P of a requester: verifies the record, and says which manifests of its content are here.
///
/// # Errors
/// `bad-record`, `not-found`, `changed`.
pub(crate) async fn grant(
    shared: &Arc<Shared>,
    session: &Session,
    download: RequestDownload,
) -> Result<Granted, ErrorBody> {
    let bundle = download.grant.ok_or_else(|| refused(ErrorCode::BadMessage, "no record"))?;
    let verifier = shared.clone();
    let verified = tokio::task::spawn_blocking(move || verify_bundle(&verifier, &bundle))
        .await
        .map_err(|_| refused(ErrorCode::ShuttingDown, "stopping"))??;
    let content = verified.content()?;
    servable(shared, content, None).await?;
    let roots = shared.store.roots_of(content).await.map_err(internal)?;
    if roots.is_empty() {
        return Err(not_here());
    }
    session.grant(verified.hash, content);
    let held = |root| HeldRoot { root, chunks: None };
    Ok(Granted { roots: roots.into_iter().take(wire::limits::ROOTS).map(held).collect() })
}

/// Answers P of the index: is it still here?
///
/// # Errors
/// `not-allowed` to anybody else; `not-found`, `changed`.
pub(crate) async fn probe(
    shared: &Arc<Shared>,
    session: &Session,
    download: RequestDownload,
) -> Result<Probed, ErrorBody> {
    let probe = download.probe.ok_or_else(|| refused(ErrorCode::BadMessage, "no probe"))?;
    if !matches!(session.role(), Role::Index) {
        return Err(refused(ErrorCode::NotAllowed, "only the index probes"));
    }
    servable(shared, probe.content, None).await.map(|_| Probed { whole: true })
}

/// Answers G.
///
/// # Errors
/// An E before the bytes begin, `busy` where too many uploads run, with the place in the queue; a reset after, `timeout` where the far end takes nothing.
pub(crate) async fn send_data(
    shared: &Arc<Shared>,
    session: &Session,
    request: GetData,
    send: &mut SendStream,
) -> Result<(), SessionError> {
    let content = session.granted(&request.grant).ok_or_else(|| {
        refused(ErrorCode::NotFound, "this record was not shown on this connection: P comes first")
    })?;
    let bytes = match (&request.page, &request.runs) {
        (None, Some(runs)) => return send_runs(shared, session, content, request.root, runs, send).await,
        (Some(page), _) => {
            let root = root(shared, content, request.root).await?;
            let named = Root::decode(&root, &request.root)
                .is_ok_and(|root| root.pages.iter().any(|one| one.hash == *page));
            let found = shared.store.manifest_page(*page).await.map_err(internal)?;
            found.filter(|_| named).ok_or_else(not_here)?
        }
        _ => root(shared, content, request.root).await?,
    };
    // At once: the far end waits for it no more than 5 s.
    send_head(send, DataFollows { length: bytes.len() as u64, runs: None }).await?;
    let gate = shared.limits.upload(session.node());
    send_piece(bytes, &gate, |_| {}, send).await
}

async fn send_head(send: &mut SendStream, head: DataFollows) -> Result<(), SessionError> {
    let sending = tokio::time::timeout(STALLED_AFTER, async { send_answer(send, &Answer::A(head)).await });
    sending.await.unwrap_or(Err(SessionError::Reset(ErrorCode::Timeout)))
}

/// Sends all of these; however long that takes, as long as it goes on.
async fn send_bytes(send: &mut SendStream, bytes: Bytes) -> Result<(), SessionError> {
    let mut rest = [bytes];
    while !rest[0].is_empty() {
        let written = tokio::time::timeout(STALLED_AFTER, send.write_chunks(&mut rest)).await;
        written.map_err(|_| SessionError::Reset(ErrorCode::Timeout))?.map_err(std::io::Error::from)?;
    }
    Ok(())
}

/// A manifest root of this content.
async fn root(shared: &Shared, content: ContentHash, hash: RootHash) -> Result<Bytes, ErrorBody> {
    let known = shared.store.roots_of(content).await.map_err(internal)?;
    let found = shared.store.manifest_root(hash).await.map_err(internal)?;
    found.filter(|_| known.contains(&hash)).ok_or_else(not_here)
}

async fn send_runs(
    shared: &Arc<Shared>,
    session: &Session,
    content: ContentHash,
    root: RootHash,
    runs: &[Run],
    send: &mut SendStream,
) -> Result<(), SessionError> {
    let place = shared.uploads.place(session.node())?;
    let layout = shared.store.layout(root).await.map_err(internal)?;
    let layout = layout.filter(|layout| layout.content == content).ok_or_else(not_here)?;
    let ranges = byte_ranges(&layout, runs)?;
    let (holding, file) = servable(shared, content, Some(&layout)).await?;
    let file = file.ok_or_else(not_here)?;
    let length = ranges.iter().map(|range| range.end - range.start).sum();
    send_head(send, DataFollows { length, runs: Some(runs.to_vec()) }).await?;
    let _ = send.set_priority(DATA_PRIORITY);
    let mut upload = place.begin(&holding, layout.chunks.size(), session.user());
    let gate = shared.limits.upload(session.node());
    let file = Arc::new(file);
    let mut next = None;
    for (offset, size) in pieces(&ranges) {
        let reading = read(file.clone(), offset, size);
        // While one piece goes out the next is read.
        let piece = match next.replace(tokio::task::spawn_blocking(reading)) {
            Some(earlier) => earlier.await,
            None => continue,
        };
        send_piece(whole_piece(shared, &holding, piece).await?, &gate, |bytes| upload.sent(bytes), send)
            .await?;
    }
    if let Some(last) = next {
        let last = whole_piece(shared, &holding, last.await).await?;
        send_piece(last, &gate, |bytes| upload.sent(bytes), send).await?;
    }
    upload.handed_over();
    let taken = send.stopped();
    shared.tasks.spawn_droppable(async move {
        let _ = tokio::time::timeout(STALLED_AFTER, taken).await;
        drop(upload);
    });
    Ok(())
}

fn read(file: Arc<Served>, offset: u64, size: u64) -> impl FnOnce() -> Result<Bytes, ServeError> + Send {
    move || file.read(offset, usize::try_from(size).unwrap_or(usize::MAX))
}

/// A piece as it was read.
async fn whole_piece(
    shared: &Arc<Shared>,
    holding: &Holding,
    piece: Result<Result<Bytes, ServeError>, tokio::task::JoinError>,
) -> Result<Bytes, SessionError> {
    match piece {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(SessionError::Reset(unservable(shared, holding, &error).await.code)),
        Err(_) => Err(SessionError::Reset(ErrorCode::ShuttingDown)),
    }
}

/// Sends a piece as fast as the limits say.
async fn send_piece(
    mut piece: Bytes,
    gate: &Gate,
    sent: impl Fn(u64),
    send: &mut SendStream,
) -> Result<(), SessionError> {
    while !piece.is_empty() {
        let slice = piece.len().min(usize::try_from(gate.slice()).unwrap_or(usize::MAX));
        gate.pass(slice as u64).await;
        send_bytes(send, piece.split_to(slice)).await?;
        sent(slice as u64);
    }
    Ok(())
}

/// Where the runs lie in the file.
fn byte_ranges(layout: &Layout, runs: &[Run]) -> Result<Vec<std::ops::Range<u64>>, ErrorBody> {
    runs.iter()
        .map(|run| run.range().and_then(|range| layout.chunks.bytes_of(range)))
        .collect::<Option<_>>()
        .ok_or_else(|| refused(ErrorCode::OutOfRange, "the manifest has no such chunks"))
}

/// The ranges in pieces of at most [`PIECE_BYTES`].
fn pieces(ranges: &[std::ops::Range<u64>]) -> impl Iterator<Item = (u64, u64)> + '_ {
    ranges.iter().flat_map(|range| {
        let end = range.end;
        range.clone().step_by(PIECE_BYTES as usize).map(move |offset| (offset, PIECE_BYTES.min(end - offset)))
    })
}

/// A holding of this content whose file is as it was, opened. A folder is opened only where a `layout` of it is given, and
/// else looked at.
async fn servable(
    shared: &Arc<Shared>,
    content: ContentHash,
    layout: Option<&Arc<Layout>>,
) -> Result<(Holding, Option<Served>), ErrorBody> {
    let holdings = shared.store.holdings_of(content).await.map_err(internal)?;
    let mut why = not_here();
    for holding in holdings {
        let (store, asked, layout) = (shared.store.clone(), holding.clone(), layout.cloned());
        let opened = tokio::task::spawn_blocking(move || open(&store, &asked, layout)).await;
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
        self.announce.notify_one();
    }
}

fn not_here() -> ErrorBody {
    refused(ErrorCode::NotFound, "not here")
}

fn refused(code: ErrorCode, text: &str) -> ErrorBody {
    ErrorBody::new(code, text)
}

fn internal(error: impl std::fmt::Display) -> ErrorBody {
    warn!(%error, "the store failed");
    ErrorBody::new(ErrorCode::Internal, "the holder's store failed")
}
