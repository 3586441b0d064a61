//! One pass over a file: cutting it, and hashing its chunks and the whole.
//!
//! It is read in blocks into two windows, in turns. In a turn the blocks of one window are read, each one hashed for the
//! whole and looked through for marks, and the chunks of the window before are hashed, all that on as many threads as there
//! are. Between two turns a window is cut at its marks, which takes next to no time.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;

use wire::manifest::{BLOCK_BYTES, BlockTree, Blocks, Chunk};
use wire::{ChunkHash, ContentHash};

use super::super::cut::{Cutter, Marks};
use super::super::fs::{FsFile, read_full};
use super::helpers::Helper;
use super::window::{Block, Job, Window};

/// New bytes in each of the two windows: 4 MiB, and the largest chunk where that is more. With what is left over from
/// the window before, both together have at most 64 MiB.
const WINDOW_BYTES: usize = 4 << 20;

/// What one thread reads at once: it fits the cache of a core. A file of no more is read by one thread.
const BLOCK: usize = BLOCK_BYTES as usize;

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
    builder: C,
}

/// What was found of a whole file.
#[derive(Debug)]
pub(super) struct Hashed {
    pub(super) content: ContentHash,
    /// Where it has them.
    pub(super) blocks: Option<Blocks>,
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

impl<'a, C: Chunks> Hashing<'a, C> {
    pub(super) fn new(file: &'a dyn FsFile, cutter: Cutter, builder: C) -> Self {
        Self { file, cutter, builder }
    }

    /// Reads the file, which is `size` bytes long. `progress` is told the bytes read, `cancelled` is asked, once for each
    /// window.
    pub(super) fn run(
        self,
        size: u64,
        progress: &dyn Fn(u64),
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(C, Hashed), Stopped> {
        let window = WINDOW_BYTES.max(self.cutter.max());
        self.run_with(window, BLOCK, size, progress, cancelled)
    }

    /// In windows of `window` bytes, and blocks of `block`, a power of two that divides it.
    pub(super) fn run_with(
        mut self,
        window: usize,
        block: usize,
        size: u64,
        progress: &dyn Fn(u64),
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(C, Hashed), Stopped> {
        if let Some(size) = usize::try_from(size).ok().filter(|size| *size <= block) {
            return self.run_small(size, progress, cancelled);
        }
        let room = |bytes: u64| usize::try_from(bytes).map_or(window, |bytes| bytes.min(window));
        let mut current = Window::new(&self.cutter, room(size), block);
        let mut before = Window::new(&self.cutter, room(size.saturating_sub(window as u64)), block);
        let kept = if block == BLOCK { size } else { 0 };
        let (mut whole, mut marks, mut found) = (BlockTree::new(kept), Marks::default(), Vec::new());
        loop {
            let done = before.end();
            current.reset(done, size);
            self.all(current.read_jobs(&mut found).chain(before.hash_jobs()))?;
            before.chunks().iter().for_each(|chunk| self.builder.push(*chunk));
            if done == size {
                break;
            }
            if cancelled() {
                return Err(Stopped::Cancelled);
            }
            progress(current.end());
            let blocks = found.drain(..).flatten().map(|Block { subtree, marks }| {
                whole.push(subtree);
                marks
            });
            let last = current.end() == size;
            current.cut(&before, &self.cutter, blocks.collect(), &mut marks, last);
            std::mem::swap(&mut current, &mut before);
        }
        if read_full(self.file, &mut [0], size).map_err(Stopped::Io)? > 0 {
            return Err(Stopped::Changed);
        }
        let (content, blocks) = whole.finish().expect("what has one block is small");
        Ok((self.builder, Hashed { content, blocks }))
    }

    /// All of it in one buffer, and each byte hashed once where there is one chunk. What was added to it meanwhile is for
    /// the caller to see, who looks at its size again.
    fn run_small(
        mut self,
        size: usize,
        progress: &dyn Fn(u64),
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(C, Hashed), Stopped> {
        if cancelled() {
            return Err(Stopped::Cancelled);
        }
        let mut buffer = vec![0; size];
        if read_full(self.file, &mut buffer, 0).map_err(Stopped::Io)? < buffer.len() {
            return Err(Stopped::Changed);
        }
        progress(size as u64);
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
        Ok((self.builder, Hashed { content, blocks: None }))
    }

    /// Does jobs on this thread and on those that are free.
    fn all<'j>(&self, jobs: impl Iterator<Item = Job<'j>>) -> Result<(), Stopped> {
        let (file, cutter) = (self.file, &self.cutter);
        let jobs: Vec<_> = jobs.collect();
        let helpers = Helper::some(jobs.len().saturating_sub(1));
        let (jobs, failed) = (Mutex::new(jobs.into_iter()), Mutex::new(None));
        let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            while let Some(job) = next() {
                if let Err(why) = job.run(file, cutter) {
                    // The others need not go on.
                    while next().is_some() {}
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
                }
            }
        };
        thread::scope(|scope| {
            for helper in helpers {
                scope.spawn(move || {
                    work();
                    drop(helper);
                });
            }
            work();
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

fn length_of(chunk: &[u8]) -> u32 {
    u32::try_from(chunk.len()).expect("a chunk is at most 16 MiB")
}
