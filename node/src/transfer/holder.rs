//! P and G as a holder: what is granted, and the bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::SendStream;
use wire::manifest::{Layout, Root};
use wire::message::{Answer, DataFollows, GetData, Grant, Granted, HeldRoot, Probed, RequestDownload, Run};
use wire::{ContentHash, ErrorBody, ErrorCode, RecordHash, RootHash};

use super::limits::Gate;
use super::stock::{Stock, Unreadable, Wanted, internal, not_here, refused, servable};
use super::uploads::Upload;
use super::verify::verify_off_thread;
use crate::buffers::Buffers;
use crate::net::{DATA_PRIORITY, Role, Session, SessionError, send_answer};
use crate::peer::Shared;

/// What is read from disk and handed to QUIC at once: large enough that a read costs little, small enough that what
/// waits to be acknowledged is freed in steps.
const PIECE_BYTES: u64 = 256 << 10;
/// Pieces that are kept to be used again while uploads run: as many as one connection has unacknowledged, 16 MiB.
const PIECES_KEPT: usize = 64;
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
    let (record, content) = shown(shared, session, bundle).await?;
    let whole = servable(shared, content, None).await;
    let roots = match (&whole, shared.partial.find(&content, None)) {
        (Err(_), Some(part)) => {
            part.asked_by(session);
            vec![HeldRoot { root: part.root, chunks: Some(part.runs()) }]
        }
        _ => {
            whole?;
            let roots = shared.store.roots_of(content).await.map_err(internal)?;
            roots.into_iter().take(wire::limits::ROOTS).map(|root| HeldRoot { root, chunks: None }).collect()
        }
    };
    if roots.is_empty() {
        return Err(not_here());
    }
    session.grant(record, content, &shared.receivers);
    Ok(Granted { roots, others: shared.receivers.has_others(&content, &session.node()) })
}

/// The record that a requester shows. One that it has shown on this connection before need not be verified again.
async fn shown(
    shared: &Arc<Shared>,
    session: &Session,
    bundle: Grant,
) -> Result<(RecordHash, ContentHash), ErrorBody> {
    let hash = RecordHash::from_bytes(certs::hash_of(&bundle.record));
    if let Some(content) = session.granted(&hash) {
        return Ok((hash, content));
    }
    let verified = verify_off_thread(shared, bundle).await?;
    Ok((verified.hash, verified.content()?))
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
    match (servable(shared, probe.content, None).await, shared.partial.find(&probe.content, None)) {
        (Ok(_), _) => Ok(Probed { whole: true }),
        (Err(_), Some(part)) if !part.is_empty() => Ok(Probed { whole: false }),
        (Err(why), _) => Err(why),
    }
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
    let granted = session.granted_before(send.id().index(), &request.grant).await;
    let content = granted.ok_or_else(|| {
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
    send_piece(bytes, &gate, None, send).await
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
    let finding = place.waits(Stock::find(shared, content, root, runs));
    let Wanted { stock, layout, runs } = while_wanted(send, finding).await??;
    let ranges = byte_ranges(&layout, &runs)?;
    let length = ranges.iter().map(|range| range.end - range.start).sum();
    send_head(send, DataFollows { length, runs: Some(runs) }).await?;
    let _ = send.set_priority(DATA_PRIORITY);
    let mut upload = place.begin(stock.uploaded(layout.chunks.size()), session.user());
    let gate = shared.limits.upload(session.node());
    let mut next = None;
    for (offset, size) in pieces(&ranges) {
        let reading = read(stock.clone(), shared.pieces.clone(), offset, size);
        let beginning = upload.waits(shared.disks.begin(stock.content(), stock.disk(), reading));
        // While one piece goes out the next is read.
        let Some(earlier) = next.replace(while_wanted(send, beginning).await?) else { continue };
        let piece = while_wanted(send, upload.waits(earlier)).await?;
        send_piece(whole_piece(shared, &stock, piece).await?, &gate, Some(&upload), send).await?;
    }
    if let Some(last) = next {
        let piece = while_wanted(send, upload.waits(last)).await?;
        send_piece(whole_piece(shared, &stock, piece).await?, &gate, Some(&upload), send).await?;
    }
    upload.handed_over();
    let taken = send.stopped();
    shared.tasks.spawn_droppable(async move {
        let _ = tokio::time::timeout(STALLED_AFTER, taken).await;
        drop(upload);
    });
    Ok(())
}

/// The stock of pieces of all uploads.
pub(crate) fn pieces_stock() -> Buffers {
    Buffers::new(PIECE_BYTES as usize, PIECES_KEPT)
}

fn read(
    stock: Stock,
    buffers: Buffers,
    offset: u64,
    size: u64,
) -> impl FnOnce() -> Result<Bytes, Unreadable> + Send {
    move || {
        let mut piece = buffers.take(usize::try_from(size).unwrap_or(usize::MAX));
        stock.read(offset, piece.as_mut())?;
        Ok(piece.into_bytes())
    }
}

/// A piece as it was read.
async fn whole_piece(
    shared: &Arc<Shared>,
    stock: &Stock,
    piece: Result<Result<Bytes, Unreadable>, tokio::task::JoinError>,
) -> Result<Bytes, SessionError> {
    match piece {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(SessionError::Reset(stock.failed(shared, error).await)),
        Err(_) => Err(SessionError::Reset(ErrorCode::ShuttingDown)),
    }
}

/// Waits for a disk, unless the far end gives up before.
async fn while_wanted<F: Future>(send: &SendStream, future: F) -> Result<F::Output, SessionError> {
    tokio::select! {
        biased;
        output = future => Ok(output),
        _ = send.stopped() => Err(SessionError::Reset(ErrorCode::Cancelled)),
    }
}

/// Sends a piece as fast as the limits say.
async fn send_piece(
    mut piece: Bytes,
    gate: &Gate,
    upload: Option<&Upload>,
    send: &mut SendStream,
) -> Result<(), SessionError> {
    while !piece.is_empty() {
        let slice = piece.len().min(usize::try_from(gate.slice()).unwrap_or(usize::MAX));
        gate.pass(slice as u64).await;
        let sending = send_bytes(send, piece.split_to(slice));
        match upload {
            Some(upload) => {
                upload.waits(sending).await?;
                upload.sent(slice as u64);
            }
            None => sending.await?,
        }
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
