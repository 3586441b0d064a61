//! Files of known content.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use wire::ContentHash;
use wire::manifest::ChunkerParams;

/// A mebibyte.
pub const MIB: usize = 1 << 20;

/// Bytes that look random and are the same for the same seed: BLAKE3's output stream.
pub fn bytes(seed: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new_derive_key("p2p-node-tests 2026 fixture")
        .update(&seed.to_be_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// Writes a file of [`bytes()`], with the folders above it; says its seed, which a failing test prints.
pub fn file(path: &Path, seed: u64, size: usize) -> PathBuf {
    eprintln!("{}: seed {seed}, {size} bytes", path.display());
    write(path, &bytes(seed, size))
}

/// Writes a file, with the folders above it.
pub fn write(path: &Path, content: &[u8]) -> PathBuf {
    fs::create_dir_all(path.parent().expect("a path in a folder")).expect("a folder");
    fs::write(path, content).expect("written");
    path.to_owned()
}

/// Sets when a file was modified last, in seconds since 1970.
pub fn set_mtime(path: &Path, seconds: u64) {
    let file = fs::File::options().write(true).open(path).expect("a file");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).expect("set");
}

/// The hash of a file's content.
pub fn hash_of(path: &Path) -> ContentHash {
    ContentHash::of(&read(path))
}

/// A file's content.
pub fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Sizes at which off-by-one errors live: nothing, one byte, around the chunker's minimum, average and maximum, around what
/// is read and written at once, and some MiB with a ragged end.
pub fn interesting_sizes() -> Vec<usize> {
    let params = ChunkerParams::for_size(0);
    let edges = [params.min() as usize, params.average() as usize, params.max() as usize, 256 << 10, MIB];
    let around = edges.into_iter().flat_map(|edge| [edge - 1, edge, edge + 1]);
    let mut sizes: Vec<_> = [0, 1].into_iter().chain(around).chain([3 * MIB + 12_345]).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Changes one byte in the middle of a file and puts the modification time back: only its content tells.
pub fn corrupt_unseen(path: &Path) {
    let file = fs::File::options().read(true).write(true).open(path).expect("opened");
    let mtime = file.metadata().and_then(|found| found.modified()).expect("a time");
    let mut content = read(path);
    let middle = content.len() / 2;
    let end = content.len().min(middle + 4096);
    for byte in &mut content[middle..end] {
        *byte ^= 0xa5;
    }
    std::os::unix::fs::FileExt::write_all_at(&file, &content, 0).expect("written");
    file.set_modified(mtime).expect("set");
}

/// Names of what lies in a folder, sorted; none where there is no folder.
pub fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}
