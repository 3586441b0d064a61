use super::super::cut::tests::{noise, whole_cuts};
use super::super::fs::{Fault, FaultyFs, FsOp, OsFs};
use super::*;
use certs::UnixNanos;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::os::unix::fs::{PermissionsExt, symlink};
use wire::ChunkHash;
use wire::manifest::{Blocks, Layout, Root};

/// As in `hashing`: where windows and blocks end.
const WINDOW_BYTES: usize = 4 << 20;
const BLOCK_BYTES: usize = 256 << 10;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn quiet(fs: &dyn Fs, path: &Path, previous: Option<ChunkerParams>) -> Result<Imported, ImportError> {
    import(fs, path, previous, &|_, _| {}, &|| false)
}

fn layout(manifest: &Manifest) -> Layout {
    let root = Root::decode(&manifest.root_bytes, &manifest.root_hash).expect("a root");
    Layout::assemble(root, manifest.pages.iter().map(Vec::as_slice)).expect("assembles")
}

/// Imports bytes and compares everything with what the whole slice says.
fn check(bytes: &[u8], previous: Option<ChunkerParams>) {
    let folder = folder();
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).expect("written");
    let imported = quiet(&OsFs::new(), &path, previous).expect("imports");
    assert_eq!(imported.content, ContentHash::of(bytes));
    assert_eq!(imported.stamp.size, bytes.len() as u64);
    let layout = layout(&imported.manifest);
    let params = layout.entries.first().and_then(|entry| entry.params).expect("of a file");
    let expected = whole_cuts(bytes, params);
    assert_eq!(layout.chunks.len() as usize, expected.len());
    let mut at = 0;
    for (index, length) in (0..).zip(expected) {
        let chunk = layout.chunks.chunk(index).expect("there");
        assert_eq!(chunk.length as usize, length);
        assert_eq!(chunk.hash, ChunkHash::of(&bytes[at..at + length]));
        at += length;
    }
}

#[test]
fn interesting_sizes() {
    let params = ChunkerParams::for_size(0);
    let bytes = noise("sizes", WINDOW_BYTES * 2 + 70_000);
    let (min, max) = (params.min() as usize, params.max() as usize);
    for edge in
        [1, min, max, BLOCK_BYTES, 2 * BLOCK_BYTES, WINDOW_BYTES, WINDOW_BYTES + max, 2 * WINDOW_BYTES]
    {
        for size in [edge - 1, edge, edge + 1] {
            check(&bytes[..size], None);
        }
    }
    check(&vec![0; WINDOW_BYTES + max + 5], None);
}

#[test]
fn large_chunks_and_kept_parameters() {
    let bytes = noise("large", 40 << 20);
    // The largest chunks: the window is larger too.
    check(&bytes[..3 << 20], Some(ChunkerParams::for_size(u64::MAX)));
    check(&bytes, Some(ChunkerParams::for_size(2 << 30)));
}

/// A file in memory.
#[derive(Debug)]
struct Memory(Vec<u8>);

impl FsFile for Memory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        // Some bytes at a time, as the system may.
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len()).min(70_000);
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn stat(&self) -> io::Result<FileStat> {
        unreachable!("only read")
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        unreachable!("only read")
    }

    fn sync_data(&self) -> io::Result<()> {
        unreachable!("only read")
    }

    fn sync_all(&self) -> io::Result<()> {
        unreachable!("only read")
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        unreachable!("only read")
    }

    fn set_modified(&self, _: UnixNanos) -> io::Result<()> {
        unreachable!("reading only")
    }

    fn set_attributes(&self, _: u32, _: UnixNanos) -> io::Result<()> {
        unreachable!("only read")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Runs of noise, zeros and repetition, in windows that are far smaller than the file.
    #[test]
    fn streaming_cuts_as_the_whole(parts in proptest::collection::vec((0..3, 0_usize..300_000), 0..6)) {
        let mut bytes = Vec::new();
        for (index, (kind, length)) in parts.into_iter().enumerate() {
            match kind {
                0 => bytes.extend(noise(&index.to_string(), length)),
                1 => bytes.resize(bytes.len() + length, 0),
                _ => bytes.extend(noise("again", 5000).iter().cycle().take(length)),
            }
        }
        let params = ChunkerParams::for_size(0);
        let cutter = Cutter::new(params);
        let file = Memory(bytes.clone());
        for (window, block) in [(1, 1), (64, 16), (64, 64), (80, 16), (300, 1), (512, 256), (1024, 64)] {
            let hashing = Hashing::new(&file, cutter, FileManifestBuilder::new(params));
            let (window, block) = (window << 10, block << 10);
            let hashed = hashing.run_with(window, block, bytes.len() as u64, &|_| {}, &|| false);
            let (builder, Hashed { content, blocks }) = hashed.expect("reads");
            prop_assert_eq!(content, ContentHash::of(&bytes));
            prop_assert_eq!(blocks.is_some(), block == BLOCK_BYTES && bytes.len() > block);
            if let Some(blocks) = blocks {
                let again = Blocks::checked(blocks.as_bytes().to_vec(), bytes.len() as u64, &content);
                prop_assert_eq!(again, Ok(blocks));
            }
            let facts = FileFacts { executable: false, mtime: UnixNanos(0), content };
            let layout = layout(&builder.finish(facts).expect("small"));
            let lengths: Vec<_> = (0..layout.chunks.len())
                .filter_map(|index| Some(layout.chunks.chunk(index)?.length as usize))
                .collect();
            prop_assert_eq!(lengths, whole_cuts(&bytes, params));
        }
    }
}

#[test]
fn what_it_says_of_the_file() {
    let folder = folder();
    let path = folder.path().join("file");
    std::fs::write(&path, b"#!/bin/sh\n").expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("set");
    let imported = quiet(&OsFs::new(), &path, None).expect("imports");
    assert!(imported.executable);
    let layout = layout(&imported.manifest);
    let entry = layout.entries.first().expect("one");
    assert!(entry.executable);
    assert_eq!((entry.mtime, entry.size), (imported.stamp.mtime, 10));
    assert_eq!(imported.stamp, OsFs::new().stat(&path).expect("there").stamp);
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    symlink("/etc/hostname", path("link")).expect("linked");
    let error = |name: &str| quiet(&OsFs::new(), &path(name), None).expect_err(name);
    assert!(matches!(error("none"), ImportError::NotFound(_)));
    assert!(matches!(error("."), ImportError::Folder(_)));
    assert!(matches!(error("link"), ImportError::NotRegular { kind: FileKind::Link, .. }));
}

type Change = (&'static str, fn(&Path));

#[test]
fn a_file_that_changes_meanwhile_is_refused() {
    let bytes = noise("changes", WINDOW_BYTES + 10);
    let changes: [Change; 5] = [
        ("grows", |path| {
            let mut grown = std::fs::OpenOptions::new().append(true).open(path).expect("opens");
            io::Write::write_all(&mut grown, b"more").expect("written");
        }),
        ("shrinks", |path| {
            let file = std::fs::OpenOptions::new().write(true).open(path).expect("opens");
            file.set_len(5).expect("cut");
        }),
        ("is touched", |path| {
            let file = std::fs::OpenOptions::new().write(true).open(path).expect("opens");
            file.set_modified(std::time::UNIX_EPOCH).expect("set");
        }),
        ("goes", |path| std::fs::remove_file(path).expect("removed")),
        ("is replaced", |path| {
            std::fs::write(path.with_extension("new"), b"x").expect("written");
            std::fs::rename(path.with_extension("new"), path).expect("renamed");
        }),
    ];
    for (name, change) in changes {
        let folder = folder();
        let path = folder.path().join("file");
        std::fs::write(&path, &bytes).expect("written");
        let once = Cell::new(true);
        let progress = |_, _| {
            if once.take() {
                change(&path);
            }
        };
        let result = import(&OsFs::new(), &path, None, &progress, &|| false);
        assert!(matches!(result, Err(ImportError::ChangedWhileReading(_))), "{name}: {result:?}");
    }
}

#[test]
fn progress_rises_to_the_end_and_cancelling_ends_it() {
    let folder = folder();
    let path = folder.path().join("file");
    let size = 2 * WINDOW_BYTES as u64 + 5;
    std::fs::write(&path, noise("progress", size as usize)).expect("written");
    let seen = RefCell::new(Vec::new());
    let fs = OsFs::new();
    import(&fs, &path, None, &|done, total| seen.borrow_mut().push((done, total)), &|| false)
        .expect("imports");
    assert!(seen.borrow().is_sorted());
    assert_eq!(seen.borrow().last(), Some(&(size, size)));
    let turns = Cell::new(0);
    let cancelled = || {
        turns.set(turns.get() + 1);
        turns.get() == 2
    };
    let result = import(&fs, &path, None, &|_, _| {}, &cancelled);
    assert!(matches!(result, Err(ImportError::Cancelled)));
}

#[test]
fn faults_of_the_disk_are_told() {
    let folder = folder();
    let path = folder.path().join("file");
    std::fs::write(&path, noise("faults", WINDOW_BYTES + 10)).expect("written");
    let fs = FaultyFs::new(OsFs::new());
    for (errno, nth) in [(5, 1), (5, 2), (13, 1)] {
        fs.inject(Fault { nth, ..Fault::first(FsOp::ReadAt, errno) });
        let error = quiet(&fs, &path, None).expect_err("injected");
        assert!(matches!(&error, ImportError::File(error) if error.action == "read"), "{error:?}");
        assert!(error.hint().is_some());
    }
    fs.inject(Fault::first(FsOp::OpenRead, 13));
    let error = quiet(&fs, &path, None).expect_err("injected");
    assert!(matches!(error, ImportError::Unreadable { .. }) && error.hint().is_some());
    for op in [FsOp::FileStat, FsOp::Stat] {
        fs.inject(Fault::first(op, 5));
        assert!(matches!(quiet(&fs, &path, None), Err(ImportError::File(_))), "{op:?}");
    }
    quiet(&fs, &path, None).expect("nothing is left of the faults");
}
