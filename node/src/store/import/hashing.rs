//! One pass over a file: cutting it, and hashing its chunks and the whole.
//!
//! Cutting takes longest and cannot be divided, so it has a thread to itself: while one window is cut, another thread
//! hashes the window before, whose cuts are known, and reads the window after into the same buffer.

use std::io;
use std::thread;

use wire::manifest::Chunk;
use wire::{ChunkHash, ContentHash};

use super::super::cut::Cutter;
use super::super::fs::{FsFile, read_full};

/// New bytes in each of the two windows: 4 MiB, and the largest chunk where that is more. With what is left over from
/// the window before, both together have at most 64 MiB.
const WINDOW_BYTES: usize = 4 << 20;
/// Below this many bytes a second thread costs more than it brings.
const PARALLEL_BYTES: usize = 256 << 10;
/// Below this many bytes a file is read at once: windows would cost more than the file.
const SMALL_BYTES: usize = 256 << 10;

/// Where the chunks of a file go, in order.
pub(super) trait Chunks: Send {
    /// Takes the next one.
    fn push(&mut self, chunk: Chunk);
}

impl Chunks for wire::manifest::FileManifestBuilder {
    fn push(&mut self, chunk: Chunk) {
        Self::push(self, chunk);
    }
}

impl Chunks for Vec<Chunk> {
    fn push(&mut self, chunk: Chunk) {
        Self::push(self, chunk);
    }
}

/// A file being read.
pub(super) struct Hashing<'a, C> {
    file: &'a dyn FsFile,
    cutter: Cutter,
    whole: blake3::Hasher,
    builder: C,
    /// Bytes that were read.
    read: u64,
}

/// Why it was not read to its end.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The system did not read on.
    Io(io::Error),
    /// It has another length than at the beginning.
    Changed,
    /// The caller wanted no more of it.
    Cancelled,
}

/// A part of the file in memory: what the window before left over, then new bytes.
struct Window {
    buffer: Vec<u8>,
    /// Where the bytes left over begin.
    start: usize,
    /// Where the new bytes begin: always the largest chunk from the front, since no more than that is left over.
    fresh: usize,
    end: usize,
    /// Whether the file ends with it.
    last: bool,
    /// The lengths of its chunks, from `start` on.
    cuts: Vec<usize>,
}

impl Window {
    fn new(max: usize, fresh_bytes: usize) -> Self {
        let buffer = vec![0; max + fresh_bytes];
        Self { buffer, start: max, fresh: max, end: max, last: false, cuts: Vec::new() }
    }

    /// Reads new bytes, nothing being left over yet; returns how many.
    fn fill(&mut self, file: &dyn FsFile, offset: u64) -> io::Result<usize> {
        self.cuts.clear();
        let read = read_full(file, &mut self.buffer[self.fresh..], offset)?;
        self.start = self.fresh;
        self.end = self.fresh + read;
        self.last = self.end < self.buffer.len();
        Ok(read)
    }

    /// Cuts chunks as long as the window is sure to hold a whole one.
    fn cut(&mut self, cutter: &Cutter) {
        let mut rest = &self.buffer[self.start..self.end];
        while !rest.is_empty() && (self.last || rest.len() >= cutter.max()) {
            let length = cutter.cut(rest);
            self.cuts.push(length);
            rest = &rest[length..];
        }
    }

    /// Puts before the new bytes what the window before left over.
    fn prepend_rest_of(&mut self, before: &Self) {
        let rest = before.rest();
        self.start = self.fresh - rest.len();
        self.buffer[self.start..self.fresh].copy_from_slice(rest);
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.start + self.cuts.iter().sum::<usize>()..self.end]
    }

    fn fresh(&self) -> &[u8] {
        &self.buffer[self.fresh..self.end]
    }
}

impl<'a, C: Chunks> Hashing<'a, C> {
    pub(super) fn new(file: &'a dyn FsFile, cutter: Cutter, builder: C) -> Self {
        Self { file, cutter, whole: blake3::Hasher::new(), builder, read: 0 }
    }

    /// Reads the file, which is `size` bytes long. `progress` is told the bytes read, `cancelled` is asked, once for each
    /// window.
    pub(super) fn run(
        self,
        size: u64,
        progress: &dyn Fn(u64),
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(C, ContentHash), Stopped> {
        if usize::try_from(size).is_ok_and(|size| size < SMALL_BYTES) {
            return self.run_small(size, progress, cancelled);
        }
        let window_bytes = WINDOW_BYTES.max(self.cutter.max());
        // One byte more than the file has shows that it grew, and ends the reading of a small file in one turn.
        let window_bytes = usize::try_from(size).map_or(window_bytes, |size| window_bytes.min(size + 1));
        self.run_with(window_bytes, size, progress, cancelled)
    }

    /// All of it in one buffer, and each byte hashed once where there is one chunk. What was added to it meanwhile is for
    /// the caller to see, who looks at its size again.
    fn run_small(
        mut self,
        size: u64,
        progress: &dyn Fn(u64),
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(C, ContentHash), Stopped> {
        if cancelled() {
            return Err(Stopped::Cancelled);
        }
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(SMALL_BYTES)];
        if read_full(self.file, &mut buffer, 0).map_err(Stopped::Io)? < buffer.len() {
            return Err(Stopped::Changed);
        }
        progress(size);
        let bytes = &*buffer;
        let content = ContentHash::of(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(self.cutter.cut(rest));
            let whole = chunk.len() == bytes.len();
            let hash = if whole { ChunkHash::from_bytes(*content.as_bytes()) } else { ChunkHash::of(chunk) };
            self.builder.push(Chunk { length: length_of(chunk), hash });
            rest = after;
        }
        Ok((self.builder, content))
    }

    pub(super) fn run_with(
        mut self,
        window_bytes: usize,
        size: u64,
        progress: &dyn Fn(u64),
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(C, ContentHash), Stopped> {
        let mut current = Window::new(self.cutter.max(), window_bytes);
        self.fill(&mut current)?;
        // Without bytes it only takes the place of the window before the first.
        let spare_bytes = if current.last { 0 } else { window_bytes };
        let mut before = Window::new(self.cutter.max(), spare_bytes);
        loop {
            if self.read > size || (current.last && self.read < size) {
                return Err(Stopped::Changed);
            }
            if cancelled() {
                return Err(Stopped::Cancelled);
            }
            progress(self.read);
            if current.last {
                break;
            }
            self.turn(&mut current, &mut before)?;
            before.prepend_rest_of(&current);
            std::mem::swap(&mut current, &mut before);
        }
        current.cut(&self.cutter);
        self.hash(&before);
        self.hash(&current);
        Ok((self.builder, ContentHash::from_bytes(*self.whole.finalize().as_bytes())))
    }

    /// Cuts the window; meanwhile hashes the one before and reads the one after in its place.
    fn turn(&mut self, current: &mut Window, other: &mut Window) -> Result<(), Stopped> {
        let cutter = self.cutter;
        if current.fresh().len() < PARALLEL_BYTES {
            current.cut(&cutter);
            self.hash(other);
            return self.fill(other);
        }
        thread::scope(|scope| {
            let reading = scope.spawn(|| {
                self.hash(other);
                self.fill(other)
            });
            current.cut(&cutter);
            reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn fill(&mut self, window: &mut Window) -> Result<(), Stopped> {
        self.read += window.fill(self.file, self.read).map_err(Stopped::Io)? as u64;
        Ok(())
    }

    fn hash(&mut self, window: &Window) {
        self.whole.update(window.fresh());
        let mut rest = &window.buffer[window.start..window.end];
        for &cut in &window.cuts {
            let (chunk, after) = rest.split_at(cut);
            self.builder.push(Chunk { length: length_of(chunk), hash: ChunkHash::of(chunk) });
            rest = after;
        }
    }
}

fn length_of(chunk: &[u8]) -> u32 {
    u32::try_from(chunk.len()).expect("a chunk is at most 16 MiB")
}
