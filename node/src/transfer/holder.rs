//! P and G as a holder: what is granted, and the bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use certs::{UnixMillis, UnixNanos};
use quinn::SendStream;
use wire::manifest::{Layout, Root};
use wire::message::{Answer, DataFollows, GetData, Grant, Granted, HeldRoot, Probed, RequestDownload, Run};
use wire::{ContentHash, ErrorBody, ErrorCode, Record, RecordHash, RootHash};

use super::encoding::Encoder;
use super::limits::Gate;
use super::pieces::{Pieces, while_wanted};
use super::stock::{Stock, Wanted, internal, not_here, refused, servable};
use super::uploads::Upload;
use super::verify::verify_off_thread;
use crate::net::{DATA_PRIORITY, Role, Session, SessionError, send_answer};
use crate::peer::Shared;

/// An answer of which the far end takes nothing for so long is reset: it keeps a file open, and pieces of it in memory.
/// A far end that lives takes something in less time even where its disk is the slowest.
const STALLED_AFTER: Duration = Duration::from_secs(30);
/// What is not read from disk within this time is not looked at first whether it is worth being encoded: the far end waits
/// no more than 5 s for the head of the answer.
const ENCODED_WITHIN: Duration = Duration::from_secs(1);

/// So long after it was published, by its publisher's clock, a version is new.
const NEW: Duration = Duration::from_secs(60);

/// The bytes of an answer.
enum Sending {
    /// As they are.
    Plain,
    /// Encoded, and the first of them are here: so many, and what encodes them; with the encoder for the rest.
    Encoded(u64, Bytes, Option<Encoder>),
}

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
    let content = verified.content()?;
    if is_new(&verified.record, shared.clock.now()) {
        shared.uploads.is_new(content);
    }
    Ok((verified.hash, content))
}

/// Whether all who have the version before may be getting this one now.
fn is_new(record: &Record, now: UnixMillis) -> bool {
    let age_ns = i128::from(UnixNanos::from(now).0) - i128::from(record.published.0);
    record.version > 1 && age_ns.unsigned_abs() < NEW.as_nanos()
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
    let zstd = request.zstd;
    let bytes = match (&request.page, &request.runs) {
        (None, Some(runs)) => {
            return send_runs(shared, session, content, request.root, (runs, zstd), send).await;
        }
        (None, None) if request.blocks => {
            root(shared, content, request.root).await?;
            shared.store.blocks(request.root).await.map_err(internal)?.ok_or_else(not_here)?
        }
        (Some(page), _) => {
            let root = root(shared, content, request.root).await?;
            let named = Root::decode(&root, &request.root)
                .is_ok_and(|root| root.pages.iter().any(|one| one.hash == *page));
            let found = shared.store.manifest_page(*page).await.map_err(internal)?;
            found.filter(|_| named).ok_or_else(not_here)?
        }
        _ => root(shared, content, request.root).await?,
    };
    let length = bytes.len() as u64;
    let encoded = if zstd { encoded(shared, bytes.clone(), length).await } else { None };
    // At once: the far end waits for it no more than 5 s.
    send_head(send, DataFollows { length, runs: None, zstd: encoded.is_some() }).await?;
    let gate = shared.limits.upload(session.node());
    send_piece(encoded.map_or(bytes, |(encoded, _)| encoded), &gate, None, send).await
}

/// The first bytes of an answer of this length, encoded, if that pays and an encoder is free.
async fn encoded(shared: &Shared, bytes: Bytes, length: u64) -> Option<(Bytes, Option<Encoder>)> {
    let encoder = shared.encoders.one(length)?;
    tokio::task::spawn_blocking(move || encoder.first(&bytes)).await.ok()?
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
    (runs, zstd): (&[Run], bool),
    send: &mut SendStream,
) -> Result<(), SessionError> {
    shared.uploads.admit(content, session.node())?;
    let place = shared.uploads.place(session.node())?;
    let finding = place.waits(Stock::find(shared, content, root, runs));
    let Wanted { stock, layout, runs } = while_wanted(send, finding).await??;
    let ranges = byte_ranges(&layout, &runs)?;
    let length = ranges.iter().map(|range| range.end - range.start).sum();
    let mut upload = place.begin(stock.uploaded(layout.chunks.size()), session.user());
    let mut pieces = Pieces::new(shared, &stock, ranges);
    let sending = match zstd {
        true => worth_encoding(shared, &mut pieces, length, (&upload, send)).await?,
        false => Sending::Plain,
    };
    let zstd = matches!(sending, Sending::Encoded(..));
    send_head(send, DataFollows { length, runs: Some(runs), zstd }).await?;
    let _ = send.set_priority(DATA_PRIORITY);
    let gate = shared.limits.upload(session.node());
    match sending {
        Sending::Plain => {
            while let Some(piece) = pieces.next(&upload, send).await? {
                let bytes = piece.len() as u64;
                send_piece(piece, &gate, Some((&upload, bytes)), send).await?;
            }
        }
        Sending::Encoded(bytes, first, encoder) => {
            send_piece(first, &gate, Some((&upload, bytes)), send).await?;
            send_encoded(encoder, pieces, &gate, (&upload, send)).await?;
        }
    }
    upload.handed_over();
    let taken = send.stopped();
    shared.tasks.spawn_droppable(async move {
        let _ = tokio::time::timeout(STALLED_AFTER, taken).await;
        drop(upload);
    });
    Ok(())
}

/// Looks at the first piece.
async fn worth_encoding(
    shared: &Shared,
    pieces: &mut Pieces<'_>,
    length: u64,
    (upload, send): (&Upload, &SendStream),
) -> Result<Sending, SessionError> {
    let Ok(first) = tokio::time::timeout(ENCODED_WITHIN, pieces.next(upload, send)).await else {
        return Ok(Sending::Plain);
    };
    let Some(first) = first? else { return Ok(Sending::Plain) };
    let bytes = first.len() as u64;
    Ok(match encoded(shared, first.clone(), length).await {
        Some((encoded, encoder)) => Sending::Encoded(bytes, encoded, encoder),
        None => {
            pieces.put_back(first);
            Sending::Plain
        }
    })
}

/// Sends the rest of what is encoded.
async fn send_encoded(
    mut encoder: Option<Encoder>,
    mut pieces: Pieces<'_>,
    gate: &Gate,
    (upload, send): (&Upload, &mut SendStream),
) -> Result<(), SessionError> {
    // What was given to the encoder, and of which nothing was sent.
    let mut bytes = 0;
    while let Some(now) = encoder.take() {
        let Some(piece) = pieces.next(upload, send).await? else { break };
        bytes += piece.len() as u64;
        let encoding = tokio::task::spawn_blocking(move || now.next(&piece)).await;
        let encoding = encoding.map_err(|_| SessionError::Reset(ErrorCode::ShuttingDown))?;
        let encoded;
        (encoded, encoder) = encoding.map_err(|_| SessionError::Reset(ErrorCode::Internal))?;
        if !encoded.is_empty() {
            send_piece(encoded, gate, Some((upload, bytes)), send).await?;
            bytes = 0;
        }
    }
    Ok(())
}

/// Sends a piece as fast as the limits say. For an upload it is, or encodes, so many bytes.
async fn send_piece(
    mut piece: Bytes,
    gate: &Gate,
    upload: Option<(&Upload, u64)>,
    send: &mut SendStream,
) -> Result<(), SessionError> {
    let (length, mut sent, mut told) = (piece.len() as u64, 0, 0);
    while !piece.is_empty() {
        let slice = piece.len().min(usize::try_from(gate.slice()).unwrap_or(usize::MAX));
        gate.pass(slice as u64).await;
        let sending = send_bytes(send, piece.split_to(slice));
        match upload {
            Some((upload, bytes)) => {
                upload.waits(sending).await?;
                sent += slice as u64;
                let now = bytes * sent / length;
                upload.sent(now - told);
                told = now;
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
