//! What is read of a file for one answer, piece by piece.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use quinn::SendStream;
use tokio::task::JoinHandle;
use wire::ErrorCode;

use super::stock::{Stock, Unreadable};
use super::uploads::Upload;
use crate::buffers::Buffers;
use crate::net::SessionError;
use crate::peer::Shared;

/// What is read from disk and handed to QUIC at once: large enough that a read costs little, small enough that what
/// waits to be acknowledged is freed in steps.
const PIECE_BYTES: u64 = 256 << 10;
/// Pieces that are kept to be used again while uploads run: as many as one connection has unacknowledged, 16 MiB.
const PIECES_KEPT: usize = 64;
/// Reads at once for one answer: while one piece goes out the next is read.
const AHEAD: usize = 2;

/// The stock of pieces of all uploads.
pub(crate) fn pieces_stock() -> Buffers {
    Buffers::new(PIECE_BYTES as usize, PIECES_KEPT)
}

/// Some ranges of a file, read one after the other in pieces of at most [`PIECE_BYTES`]. Small ranges share one.
pub(super) struct Pieces<'a> {
    shared: &'a Arc<Shared>,
    stock: &'a Stock,
    /// What no read was begun for.
    left: VecDeque<Range<u64>>,
    reading: VecDeque<JoinHandle<Result<Bytes, Unreadable>>>,
    put_back: Option<Bytes>,
}

impl<'a> Pieces<'a> {
    /// None is read yet.
    pub(super) fn new(shared: &'a Arc<Shared>, stock: &'a Stock, ranges: Vec<Range<u64>>) -> Self {
        Self { shared, stock, left: ranges.into(), reading: VecDeque::new(), put_back: None }
    }

    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// A reset, where the file cannot be read, or is another one by now, or where the far end gives up.
    ///
    /// # Cancel safety
    /// No piece is lost.
    pub(super) async fn next(
        &mut self,
        upload: &Upload,
        send: &SendStream,
    ) -> Result<Option<Bytes>, SessionError> {
        if let Some(piece) = self.put_back.take() {
            return Ok(Some(piece));
        }
        // What is cached needs no waiting, and QUIC may take megabytes of it at once: the connections that this thread drives
        // have their turn between two pieces.
        tokio::task::yield_now().await;
        if let Some(piece) = self.next_cached() {
            return self.given(piece).await;
        }
        while self.reading.len() < AHEAD && !self.left.is_empty() {
            let (piece, rest) = first_piece(&self.left);
            let reading = read(self.stock.clone(), self.shared.pieces.clone(), piece);
            let beginning = self.shared.disks.begin(self.stock.content(), self.stock.disk(), reading);
            let begun = while_wanted(send, upload.waits(beginning)).await?;
            self.reading.push_back(begun);
            self.left = rest;
        }
        let Some(oldest) = self.reading.front_mut() else { return Ok(None) };
        let piece = while_wanted(send, upload.waits(oldest)).await?;
        self.reading.pop_front();
        match piece {
            Ok(piece) => self.given(piece).await,
            Err(_) => Err(SessionError::Reset(ErrorCode::ShuttingDown)),
        }
    }

    async fn given(&self, piece: Result<Bytes, Unreadable>) -> Result<Option<Bytes>, SessionError> {
        match piece {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => Err(SessionError::Reset(self.stock.failed(self.shared, error).await)),
        }
    }

    /// The next piece where the system has it in its cache, and none is being read: to copy it takes less than to have a thread
    /// do that.
    fn next_cached(&mut self) -> Option<Result<Bytes, Unreadable>> {
        if !self.reading.is_empty() || self.left.is_empty() {
            return None;
        }
        let (piece, rest) = first_piece(&self.left);
        let read = |offset, room: &mut [u8]| self.stock.read_cached(offset, room);
        let read = read_each(&self.shared.pieces, piece, read).transpose()?;
        self.left = rest;
        Some(read)
    }

    /// Gives the piece that was taken last out again.
    pub(super) fn put_back(&mut self, piece: Bytes) {
        self.put_back = Some(piece);
    }
}

fn read(
    stock: Stock,
    buffers: Buffers,
    ranges: Vec<Range<u64>>,
) -> impl FnOnce() -> Result<Bytes, Unreadable> + Send {
    move || {
        let read = |offset, room: &mut [u8]| stock.read(offset, room).map(|()| true);
        Ok(read_each(&buffers, ranges, read)?.expect("all is read"))
    }
}

/// Some ranges, one after the other in one piece; `None` where one cannot be had.
fn read_each(
    buffers: &Buffers,
    ranges: Vec<Range<u64>>,
    read: impl Fn(u64, &mut [u8]) -> Result<bool, Unreadable>,
) -> Result<Option<Bytes>, Unreadable> {
    let size: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    let mut piece = buffers.take(usize::try_from(size).unwrap_or(usize::MAX));
    let mut room = piece.as_mut();
    for range in ranges {
        let size = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let (now, later) = room.split_at_mut(size);
        if !read(range.start, now)? {
            return Ok(None);
        }
        room = later;
    }
    Ok(Some(piece.into_bytes()))
}

/// The front of these ranges with at most [`PIECE_BYTES`], and the rest.
fn first_piece(ranges: &VecDeque<Range<u64>>) -> (Vec<Range<u64>>, VecDeque<Range<u64>>) {
    let (mut piece, mut rest, mut room) = (Vec::new(), ranges.clone(), PIECE_BYTES);
    while room > 0
        && let Some(range) = rest.pop_front()
    {
        let end = range.end.min(range.start + room);
        room -= end - range.start;
        piece.push(range.start..end);
        if end < range.end {
            rest.push_front(end..range.end);
        }
    }
    (piece, rest)
}

/// Waits for a disk, unless the far end gives up before.
pub(super) async fn while_wanted<F: Future>(send: &SendStream, future: F) -> Result<F::Output, SessionError> {
    tokio::select! {
        biased;
        output = future => Ok(output),
        _ = send.stopped() => Err(SessionError::Reset(ErrorCode::Cancelled)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_full_but_for_the_last() {
        let ranges = vec![0..10, 20..20 + PIECE_BYTES, 3 * PIECE_BYTES..5 * PIECE_BYTES];
        let (mut left, mut sizes, mut all) = (VecDeque::from(ranges.clone()), Vec::new(), Vec::new());
        while !left.is_empty() {
            let (piece, rest) = first_piece(&left);
            sizes.push(piece.iter().map(|range| range.end - range.start).sum::<u64>());
            all.extend(piece.into_iter().flatten());
            left = rest;
        }
        assert_eq!(sizes, [PIECE_BYTES, PIECE_BYTES, PIECE_BYTES, 10]);
        assert!(all.into_iter().eq(ranges.into_iter().flatten()), "each byte once, in order");
    }
}
