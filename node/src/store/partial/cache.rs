//! Whether the system's cache keeps what a download writes.
//!
//! What is written to a new file takes new pages of memory; of a large file so many that they push out what others read,
//! and on a virtual machine each may first have to be had from the host: up to a second of CPU for each gigabyte. A large file
//! is written past the cache instead, unless somebody is to read it soon.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

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
    /// Held while something is written past the cache. Writers of one file wait for one another in the kernel, which they do
    /// by spinning; here they sleep.
    writing: Mutex<()>,
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
        if !self.passes(size) {
            return file.write_at(bytes, offset);
        }
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_uncached(bytes, offset)
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
    use super::*;

    #[test]
    fn large_files_pass_until_somebody_is_to_read_them() {
        let cache = Cache::default();
        assert!(large() >= LEAST && !cache.passes(large() - 1) && cache.passes(large()));
        cache.keep();
        assert!(!cache.passes(u64::MAX));
    }

    #[test]
    fn memory_is_read() {
        assert_eq!(memory_of("MemTotal:       24689212 kB\nMemFree: 1 kB\n"), Some(24_689_212 * 1024));
        assert_eq!(memory_of("MemFree: 1 kB\n"), None);
        assert_eq!(memory_of("MemTotal: many kB\n"), None);
    }
}
