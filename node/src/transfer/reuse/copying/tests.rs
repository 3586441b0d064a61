use std::path::PathBuf;

use certs::UnixNanos;
use wire::manifest::{ChunkerParams, Entry, Layout};
use wire::{ContentHash, Kind};

use super::super::plan::Planner;
use super::*;
use crate::ranges::RangeSet;
use crate::store::fs::{Fault, FaultyFs, Fs, FsOp, OsFs};
use crate::store::{Chosen, PartialFile, Served, recut};
use crate::transfer::fetch::batches_stock;
use crate::transfer::goal::Goal;
use crate::transfer::whole::Known;

/// Not a whole number of blocks.
const SIZE: usize = (3 << 20) + 100;

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(b"copying").finalize_xof().fill(&mut bytes);
    bytes
}

/// A file that is there, and one that is to become the same.
struct Stand {
    folder: tempfile::TempDir,
    fs: FaultyFs,
    bytes: Vec<u8>,
}

impl Stand {
    fn new() -> Self {
        let (folder, bytes) = (tempfile::tempdir().expect("a folder"), noise(SIZE));
        std::fs::write(folder.path().join("old"), &bytes).expect("written");
        Self { folder, fs: FaultyFs::new(OsFs::new()), bytes }
    }

    fn old(&self) -> PathBuf {
        self.folder.path().join("old")
    }

    /// Where the new one is made, whose name is one of those that the store makes.
    fn new_file(&self) -> PathBuf {
        self.folder.path().join(".new.0123456789abcdef.part")
    }

    /// The goal of getting the file in these chunks.
    fn goal(&self, chunks: &ChunkTable) -> Arc<Goal> {
        let hash = ContentHash::of(&self.bytes);
        let file = Entry::file(false, UnixNanos(1), SIZE as u64, hash, ChunkerParams::for_size(0));
        let chunks = (0..chunks.len()).filter_map(|chunk| chunks.chunk(chunk)).collect();
        let layout = Layout::unchecked(Kind::File, hash, [(file, chunks)]).expect("one entry");
        Arc::new(Goal::new(Arc::new(layout), Chosen::all()))
    }

    /// All that is needed to copy the whole file.
    fn work(&self) -> Work {
        let (file, chunks) =
            recut(&self.fs, &self.old(), ChunkerParams::for_size(0), &|| false).expect("cut");
        let mut planner = Planner::new(chunks.clone(), 0..chunks.len());
        assert!(planner.add(&chunks, None));
        let fs: Arc<dyn Fs> = Arc::new(self.fs.clone());
        let target = PartialFile::create(fs, &self.new_file(), SIZE as u64).expect("created");
        Work {
            file: Arc::new(Partial::File(target)),
            hashes: Arc::new(Hashes::new(self.goal(&chunks), None)),
            chunks,
            sources: vec![LocalSource::Held(Served::File(file))],
            copies: planner.finish(),
            buffers: batches_stock(),
        }
    }

    /// Copies, and checks that just what is said to be written is, and is right; returns that, and how it ended.
    async fn copy(&self, work: Work) -> (RangeSet, Result<(), PartialError>) {
        let (chunks, hashes) = (work.chunks.clone(), work.hashes.clone());
        let (_copying, mut reports) = Copying::begin(work);
        let mut written = RangeSet::new();
        let ended = loop {
            match reports.recv().await.expect("an end is told") {
                Copied::Written(chunks) => written.insert(chunks),
                Copied::Ended(result) => break result,
            }
        };
        let found = std::fs::read(self.new_file()).expect("read");
        for chunk in 0..chunks.len() {
            let place = chunks.bytes_of(chunk..chunk + 1).expect("a chunk");
            let place = place.start as usize..place.end as usize;
            match written.contains(chunk) {
                true => assert!(found[place.clone()] == self.bytes[place], "chunk {chunk}"),
                false => assert!(found[place].iter().all(|&byte| byte == 0), "chunk {chunk} was written"),
            }
        }
        let goal = self.goal(&chunks);
        let known = hashes.known(0, goal.layout.entries.get(0).expect("the file"), 0);
        let all = written == RangeSet::from(0..chunks.len());
        assert_eq!(known == Known::All { right: true }, all, "what is written is hashed: {known:?}");
        (written, ended)
    }

    fn fail(&self, op: FsOp, path_contains: &str, nth: u64) {
        self.fs.inject(Fault { op, path_contains: path_contains.to_owned(), nth, errno: 5 });
    }
}

/// Changes a byte in the middle of the old file, which keeps its stamp.
fn corrupt(stand: &Stand) {
    let modified = std::fs::metadata(stand.old()).and_then(|found| found.modified()).expect("a time");
    let mut wrong = stand.bytes.clone();
    wrong[SIZE / 2] ^= 1;
    std::fs::write(stand.old(), &wrong).expect("written");
    let file = std::fs::File::options().write(true).open(stand.old()).expect("opened");
    file.set_modified(modified).expect("set");
}

#[tokio::test]
async fn all_of_it_is_copied_in_order() {
    let stand = Stand::new();
    let work = stand.work();
    let count = work.chunks.len();
    let (written, ended) = stand.copy(work).await;
    ended.expect("copied");
    assert_eq!(written, RangeSet::from(0..count));
}

/// The file system of the test copies after all, which is the same for what is above it.
#[tokio::test]
async fn blocks_are_shared_and_what_is_in_them_is_hashed_all_the_same() {
    let stand = Stand::new();
    stand.fs.share_blocks();
    let (first, second) = (stand.work(), stand.new_file());
    let count = first.chunks.len();
    stand.fs.record();
    let (written, ended) = stand.copy(first).await;
    ended.expect("copied");
    assert_eq!(written, RangeSet::from(0..count));
    let calls = |op| stand.fs.recorded().iter().filter(|(called, _)| *called == Some(op)).count();
    // The end is not a whole block's, so that the last piece is copied.
    assert_eq!((calls(FsOp::CopyRange), calls(FsOp::WriteAt)), (1, 1));

    std::fs::remove_file(second).expect("removed");
    let work = stand.work();
    corrupt(&stand);
    let chunks = work.chunks.clone();
    let (_copying, mut reports) = Copying::begin(work);
    let mut written = RangeSet::new();
    while let Some(Copied::Written(chunks)) = reports.recv().await {
        written.insert(chunks);
    }
    let wrong = chunks.chunks_of(SIZE as u64 / 2..SIZE as u64 / 2 + 1).start;
    assert!(!written.contains(wrong) && written.len() == count - 1, "{written:?}");
}

#[tokio::test]
async fn where_blocks_cannot_be_shared_bytes_are_copied() {
    let stand = Stand::new();
    stand.fs.share_blocks();
    stand.fail(FsOp::CopyRange, ".part", 1);
    let work = stand.work();
    let count = work.chunks.len();
    let (written, ended) = stand.copy(work).await;
    ended.expect("copied");
    assert_eq!(written, RangeSet::from(0..count));
}

#[tokio::test]
async fn what_cannot_be_read_is_left_out_and_the_rest_is_copied() {
    let stand = Stand::new();
    let work = stand.work();
    let count = work.chunks.len();
    // The second piece, and then the first chunk of it by itself.
    stand.fail(FsOp::ReadAt, "old", 2);
    stand.fail(FsOp::ReadAt, "old", 3);
    let (written, ended) = stand.copy(work).await;
    ended.expect("a source that fails is no error");
    assert_eq!(written.len(), count - 1);
}

#[tokio::test]
async fn a_file_that_became_another_is_not_copied() {
    let stand = Stand::new();
    let work = stand.work();
    std::fs::write(stand.old(), &stand.bytes[..SIZE / 2]).expect("shortened");
    let (written, ended) = stand.copy(work).await;
    ended.expect("a source that changed is no error");
    assert!(written.is_empty(), "{written:?}");
}

#[tokio::test]
async fn wrong_bytes_under_a_right_stamp_are_not_copied() {
    let stand = Stand::new();
    let work = stand.work();
    let count = work.chunks.len();
    corrupt(&stand);
    let (written, ended) = stand.copy(work).await;
    ended.expect("copied");
    assert_eq!(written.len(), count - 1);
}

#[tokio::test]
async fn where_the_target_fails_that_is_the_end() {
    let stand = Stand::new();
    let work = stand.work();
    stand.fail(FsOp::WriteAt, ".part", 2);
    let (written, ended) = stand.copy(work).await;
    assert!(matches!(ended, Err(PartialError::File(_))), "{ended:?}");
    assert!(!written.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_is_not_written() {
    let stand = Stand::new();
    let work = stand.work();
    let hang = stand.fs.hang(FsOp::ReadAt, "old");
    let (copying, mut reports) = Copying::begin(work);
    let fs = stand.fs.clone();
    tokio::task::spawn_blocking(move || {
        while fs.hanging() == 0 {
            std::thread::yield_now();
        }
    })
    .await
    .expect("it hangs");
    copying.close().await;
    drop(hang);
    assert!(reports.recv().await.is_none(), "nothing more is said");
    let found = std::fs::read(stand.new_file()).expect("read");
    assert!(found.iter().all(|&byte| byte == 0), "something was written");
}
