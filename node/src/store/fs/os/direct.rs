//! Writing from memory to the disk, past the system's cache (`O_DIRECT` of open(2)).

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::super::BLOCK_BYTES;

/// Less is not worth a wait for the disk.
const LEAST_BYTES: usize = 128 << 10;

/// A second handle of a file, for writes that pass the cache; opened when the first one comes.
#[derive(Debug, Default)]
pub(super) struct Direct {
    file: OnceLock<Option<File>>,
    /// The file system, or the disk, wants it otherwise: it is not tried again.
    refused: AtomicBool,
}

impl Direct {
    /// Writes the whole blocks among these bytes, and waits until the disk has them. Returns which of the bytes were
    /// written: none where they are few, do not lie in memory as in the file, or it cannot be done here.
    ///
    /// # Errors
    /// As the system's.
    pub(super) fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<Range<usize>> {
        let blocks = blocks(bytes, offset);
        if blocks.len() < LEAST_BYTES {
            return Ok(0..0);
        }
        let Some(direct) = self.open(file) else { return Ok(0..0) };
        let mut done = blocks.start..blocks.start;
        while let Some(rest) = bytes.get(done.end..blocks.end).filter(|rest| !rest.is_empty()) {
            match rustix::io::pwrite(direct, rest, offset + done.end as u64) {
                // After a part of a block the rest does not lie in memory as in the file.
                Ok(written) if written == 0 || written % BLOCK_BYTES != 0 => {
                    done.end += written;
                    break;
                }
                Ok(written) => done.end += written,
                Err(Errno::INTR) => {}
                Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                    self.refused.store(true, Ordering::Relaxed);
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }

    fn open(&self, file: &File) -> Option<&File> {
        if self.refused.load(Ordering::Relaxed) {
            return None;
        }
        let open = || {
            // This very file, whatever has its name by now.
            let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
            let flags = OFlags::DIRECT.bits().cast_signed();
            OpenOptions::new().write(true).custom_flags(flags).open(path).ok()
        };
        self.file.get_or_init(open).as_ref()
    }
}

/// Where among these bytes the whole blocks of a file lie; nowhere where these do not begin with a block of memory.
fn blocks(bytes: &[u8], offset: u64) -> Range<usize> {
    let block = BLOCK_BYTES as u64;
    let start = (offset.next_multiple_of(block) - offset) as usize;
    let end = bytes.len().saturating_sub(((offset + bytes.len() as u64) % block) as usize);
    let alike = bytes.as_ptr().addr() as u64 % block == offset % block;
    if alike && start < end { start..end } else { 0..0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffers::Buffers;

    const OFFSET: u64 = 12_345;

    #[test]
    fn whole_blocks_that_lie_alike_are_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let file = File::options().read(true).write(true).create_new(true).open(&path).expect("created");
        file.set_len(3 << 20).expect("as long");
        let mut buffer = Buffers::new(1 << 20, 1).take_for(1 << 20, OFFSET);
        buffer.as_mut().fill(7);
        let direct = Direct::default();
        let write = |bytes: &[u8], offset| direct.write(&file, bytes, offset).expect("written");
        let found = |at: usize| std::fs::read(&path).expect("read")[at];
        let bytes = buffer.as_ref();
        assert_eq!(write(&bytes[..LEAST_BYTES], OFFSET), 0..0, "too few");
        assert_eq!(write(bytes, OFFSET + 1), 0..0, "not alike");
        assert_eq!(write(&bytes[1..], OFFSET), 0..0, "not alike");
        if direct.open(&file).is_none() {
            eprintln!("skipped: {} knows no O_DIRECT", folder.path().display());
            return;
        }
        // From 16,384 to 1,060,864.
        assert_eq!(write(bytes, OFFSET), 4_039..1_048_519);
        assert_eq!([16_383, 16_384, 1_060_863, 1_060_864].map(found), [0, 7, 7, 0]);
        assert_eq!(
            write(&bytes[4_039..][..LEAST_BYTES], 16_384 + (1 << 20)),
            0..LEAST_BYTES,
            "nothing beside"
        );
        direct.refused.store(true, Ordering::Relaxed);
        assert_eq!(write(bytes, OFFSET), 0..0);
    }
}
