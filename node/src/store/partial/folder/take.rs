//! Bytes of a folder in progress that come from a file on this machine.

use wire::manifest::Placed;

use super::PartialFolder;
use crate::store::fs::{At, FsFile, read_full};
use crate::store::partial::PartialError;

/// What is copied at once.
const BUFFER_BYTES: usize = 1 << 20;

impl PartialFolder {
    /// Copies a file of an entry of which nothing came yet, as long as `go_on` says so; returns whether all of it is
    /// there, and has the entry's hash. If not, what was written counts for nothing.
    ///
    /// # Errors
    /// See [`PartialError`]: where it cannot be written. Where the other file cannot be read the answer is `false`.
    pub(in crate::store) fn take(
        &self,
        number: usize,
        entry: Placed<'_>,
        from: &dyn FsFile,
        go_on: &dyn Fn() -> bool,
    ) -> Result<bool, PartialError> {
        self.wholes.touch(number);
        let (path, to) = (self.path_of(entry), self.file_to_write(number, entry, true)?);
        let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; BUFFER_BYTES]);
        let mut offset = 0;
        while offset < entry.size {
            let length = usize::try_from(entry.size - offset).unwrap_or(usize::MAX).min(BUFFER_BYTES);
            let piece = buffer.get_mut(..length).unwrap_or_default();
            if !go_on() || !read_full(from, piece, offset).is_ok_and(|read| read == length) {
                return Ok(false);
            }
            hasher.update(piece);
            to.write_at(piece, offset).at("write", &path)?;
            offset += length as u64;
        }
        self.files().unsynced.insert(number);
        Ok(hasher.finalize().as_bytes() == entry.hash.as_bytes())
    }
}
