//! Whether the system's cache keeps what a download writes.
//!
//! What is written to a new file takes new pages of memory; of a large file so many that they push out what others read,
//! and on a virtual machine each may first have to be had from the host: up to a second of CPU for each gigabyte. A large file
//! is written past the cache instead, unless somebody is to read it soon.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::fs::FsFile;

/// Files of less are kept whatever the memory is.
const LEAST: u64 = 256 << 20;
/// Files of more than this part of the memory are not kept.
const PART: u64 = 32;
/// What is assumed where the system does not say.
const MEMORY: u64 = 16 << 30;

/// For one download.
#[derive(Debug, Default)]
pub(super) struct Cache {
    wanted: AtomicBool,
}

impl Cache {
    /// From now on all is kept: it is going to be read soon.
    pub(super) fn keep(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Whether a file of so many bytes is written past the cache, as far as is known now.
    pub(super) fn passes(&self, size: u64) -> bool {
        size >= large() && !self.wanted.load(Ordering::Relaxed)
    }

    /// Writes into a file that will have this size in bytes.
    ///
    /// # Errors
    /// As [`FsFile::write_at`].
    pub(super) fn write(
        &self,
        file: &dyn FsFile,
        size: u64,
        (bytes, offset): (&[u8], u64),
    ) -> io::Result<()> {
        match self.passes(size) {
            true => file.write_uncached(bytes, offset),
            false => file.write_at(bytes, offset),
        }
    }
}

/// From how many bytes on a file is not kept.
fn large() -> u64 {
    static LARGE: OnceLock<u64> = OnceLock::new();
    *LARGE.get_or_init(|| {
        let told = std::fs::read_to_string("/proc/meminfo").ok();
        let memory = told.as_deref().and_then(memory_of).unwrap_or(MEMORY);
        LEAST.max(memory / PART)
    })
}

/// Bytes of memory by proc_meminfo(5).
fn memory_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::buffers::Buffers;
    use crate::store::fs::{Fs, OsFs};

    #[test]
    fn large_files_pass_until_somebody_is_to_read_them() {
        let cache = Cache::default();
        assert!(large() >= LEAST && !cache.passes(large() - 1) && cache.passes(large()));
        cache.keep();
        assert!(!cache.passes(u64::MAX));
    }

    /// Three write batches that end within blocks, one reads what is there, and in the middle somebody is to read it soon.
    #[test]
    fn all_bytes_come_whoever_writes_and_reads_meanwhile() {
        const SIZE: usize = 32 << 20;
        const BATCH: usize = (1 << 20) - 4321;
        let folder = tempfile::tempdir().expect("a folder");
        let (path, fs) = (folder.path().join("file"), OsFs::new());
        let file = fs.create_new(&path).expect("created");
        file.reserve(SIZE as u64).expect("reserved");
        let content: Vec<u8> =
            (0..SIZE as u64).map(|at| crate::rng::mix(at / 8).to_le_bytes()[at as usize % 8]).collect();
        let (cache, buffers, next) = (Cache::default(), Buffers::new(BATCH, 4), AtomicUsize::new(0));
        let write = || {
            loop {
                let at = next.fetch_add(BATCH, Ordering::Relaxed);
                let Some(rest) = content.get(at..).filter(|rest| !rest.is_empty()) else { return };
                let bytes = &rest[..rest.len().min(BATCH)];
                let mut buffer = buffers.take_for(bytes.len(), at as u64);
                buffer.as_mut().copy_from_slice(bytes);
                cache.write(&*file, u64::MAX, (buffer.as_ref(), at as u64)).expect("written");
                if at > 3 * SIZE / 4 {
                    cache.keep();
                }
            }
        };
        let read = || {
            let mut block = vec![0; 64 << 10];
            while next.load(Ordering::Relaxed) < SIZE {
                let at = next.load(Ordering::Relaxed).saturating_sub(2 * BATCH);
                file.read_at(&mut block, at as u64).expect("read");
            }
        };
        std::thread::scope(|scope| {
            let writers = [0; 3].map(|_| scope.spawn(write));
            scope.spawn(read);
            writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
        });
        file.sync_data().expect("nothing in the cache was in the way");
        assert!(std::fs::read(&path).expect("read") == content);
    }

    #[test]
    fn memory_is_read() {
        assert_eq!(memory_of("MemTotal:       24689212 kB\nMemFree: 1 kB\n"), Some(24_689_212 * 1024));
        assert_eq!(memory_of("MemFree: 1 kB\n"), None);
        assert_eq!(memory_of("MemTotal: many kB\n"), None);
    }
}
