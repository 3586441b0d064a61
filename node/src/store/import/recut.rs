//! Cutting a file by the parameters of another version, to find what both have.

use std::path::Path;

use wire::manifest::{Chunk, ChunkTable, ChunkerParams};

use super::{ImportError, stopped};
use crate::store::cut::Cutter;
use crate::store::fs::{At, Fs};
use crate::store::import::hashing::Hashing;
use crate::store::serve::ServedFile;

/// Reads a file as it is now, whatever is known of it, and cuts it by these parameters; returns it open, and its chunks.
/// Blocks; memory as of [`import`](super::import).
///
/// # Errors
/// See [`ImportError`].
pub fn recut(
    fs: &dyn Fs,
    path: &Path,
    params: ChunkerParams,
    cancelled: &dyn Fn() -> bool,
) -> Result<(ServedFile, ChunkTable), ImportError> {
    let file = fs.open_read(path).map_err(|error| super::open_error(path, error))?;
    let stamp = file.stat().at("look at", path)?.stamp;
    let hashing = Hashing::new(&*file, Cutter::new(params), Vec::<Chunk>::new());
    let hashed = hashing.run(stamp.size, &|_| {}, cancelled);
    let (chunks, _) = hashed.map_err(|why| stopped(path, why))?;
    Ok((ServedFile::new(file, path, stamp), ChunkTable::new(chunks)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::cut::tests::{noise, whole_cuts};
    use crate::store::fs::OsFs;

    #[test]
    fn a_file_is_cut_by_the_parameters_that_are_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, bytes) = (folder.path().join("file"), noise("recut", 3_000_000));
        std::fs::write(&path, &bytes).expect("written");
        for size in [0, 2 << 30] {
            let params = ChunkerParams::for_size(size);
            let (file, chunks) = recut(&OsFs::new(), &path, params, &|| false).expect("cut");
            let lengths: Vec<_> = (0..chunks.len())
                .filter_map(|at| chunks.chunk(at))
                .map(|chunk| chunk.length as usize)
                .collect();
            assert_eq!(lengths, whole_cuts(&bytes, params));
            let mut read = vec![0; 1000];
            file.read(1_000_000, &mut read).expect("read");
            assert_eq!(read, bytes[1_000_000..1_001_000]);
        }
        let cut = recut(&OsFs::new(), &path, ChunkerParams::for_size(0), &|| true);
        assert!(matches!(cut, Err(ImportError::Cancelled)), "{cut:?}");
    }
}
