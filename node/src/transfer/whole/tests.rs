use std::cell::{Cell, RefCell};

use certs::UnixNanos;
use wire::manifest::{Chunk, ChunkerParams, Entry, FolderManifestBuilder, Layout};
use wire::{ChunkHash, ContentHash, Kind};

use super::*;
use crate::ranges::RangeSet;
use crate::store::fs::OsFs;
use crate::store::{Chosen, PartialFile, Patterns};

/// Bytes in memory; counts what is read, and stops the thread after some reads.
struct Memory<'a> {
    bytes: RefCell<Vec<u8>>,
    reads: Cell<usize>,
    stops: Option<(usize, &'a AtomicBool)>,
    verified: Option<usize>,
}

impl<'a> Memory<'a> {
    fn of(bytes: &[u8]) -> Self {
        Self { bytes: RefCell::new(bytes.to_vec()), reads: Cell::new(0), stops: None, verified: None }
    }
}

impl Bytes for Memory<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), PartialError> {
        self.reads.set(self.reads.get() + 1);
        if let Some((reads, stop)) = self.stops {
            stop.store(self.reads.get() == reads, Ordering::Relaxed);
        }
        let length = buffer.len();
        buffer.copy_from_slice(&self.bytes.borrow()[offset as usize..][..length]);
        Ok(())
    }

    fn write_chunks(&self, offset: u64, bytes: &[u8]) -> Result<(), PartialError> {
        self.bytes.borrow_mut()[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn is_verified(&self, entry: usize) -> bool {
        self.verified == Some(entry)
    }
}

fn file(bytes: &[u8]) -> Entry {
    let (size, hash) = (bytes.len() as u64, ContentHash::of(bytes));
    Entry::file(false, UnixNanos(1), size, hash, ChunkerParams::for_size(0))
}

/// A folder of these files, each in chunks of 5,000 bytes.
fn layout(files: &[&[u8]]) -> Arc<Layout> {
    let mut builder = FolderManifestBuilder::new();
    for (number, bytes) in files.iter().enumerate() {
        let chunk = |part: &[u8]| Chunk { length: part.len() as u32, hash: ChunkHash::of(part) };
        let chunks: Vec<_> = bytes.chunks(5000).map(chunk).collect();
        builder.push(Entry { path: format!("{number}"), ..file(bytes) }, &chunks).expect("in order");
    }
    let manifest = builder.finish().expect("a manifest");
    let pages = manifest.pages.iter().map(Vec::as_slice);
    Arc::new(Layout::assemble(manifest.root.clone(), pages).expect("assembles"))
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn run(memory: &Memory<'_>, goal: &Goal, stop: &AtomicBool, ends: &[u64]) -> Option<bool> {
    run_with(memory, (goal, &hashes(goal)), stop, ends)
}

fn hashes(goal: &Goal) -> Hashes {
    Hashes::new(Arc::new(Goal::new(goal.layout.clone(), goal.chosen.clone())), None)
}

fn run_with(
    memory: &Memory<'_>,
    (goal, hashes): (&Goal, &Hashes),
    stop: &AtomicBool,
    ends: &[u64],
) -> Option<bool> {
    let (news, waiting) = sync_channel(NEWS);
    ends.iter().for_each(|end| news.send(*end).expect("there is room"));
    drop(news);
    Following::new(memory, (goal, hashes), stop).run(&waiting).expect("read")
}

#[test]
fn what_was_hashed_while_it_was_written_is_not_read() {
    let noise = noise(5 * PIECE_BYTES + 5);
    let (first, second) = noise.split_at(3 * PIECE_BYTES + 5);
    let bytes = [first, b"small", second].concat();
    let goal = Goal::new(layout(&[first, b"small", second]), Chosen::all());
    let (stop, size) = (AtomicBool::new(false), bytes.len());
    // In two runs, the later one first, each in pieces: the border lies within a block of the first file.
    let (border, piece) = (PIECE_BYTES + 1000, 300_000);
    let take = |hashes: &Hashes, bytes: &[u8]| {
        for run in [border..size, 0..border] {
            let mut stretch = Stretch::default();
            for start in run.clone().step_by(piece) {
                hashes.take(&mut stretch, start as u64, &bytes[start..run.end.min(start + piece)]);
            }
        }
    };
    let (known, memory) = (hashes(&goal), Memory::of(&bytes));
    take(&known, &bytes);
    assert_eq!(run_with(&memory, (&goal, &known), &stop, &[1, border as u64, size as u64]), Some(true));
    assert_eq!(memory.reads.get(), 2, "the small file, and the block on the border");
    let file = goal.layout.entries.get(0).expect("a file");
    assert_eq!(known.known(0, file, 0), Known::Without(0..file.size), "it is compared, and forgotten");

    // What came is another file than the manifest says, although each chunk is what it says.
    let mut wrong = bytes.clone();
    wrong[size - 1] ^= 1;
    let known = hashes(&goal);
    take(&known, &wrong);
    assert_eq!(run_with(&Memory::of(&bytes), (&goal, &known), &stop, &[size as u64]), Some(false));
}

#[test]
fn every_file_is_compared_as_it_is_complete() {
    let bytes = noise(3 * PIECE_BYTES + 12_000);
    let (first, second) = bytes.split_at(11_000);
    let layout = layout(&[b"", first, b"", second, b""]);
    let goal = Goal::new(layout.clone(), Chosen::all());
    let (stop, size) = (AtomicBool::new(false), bytes.len() as u64);
    for ends in [&[size][..], &[7, 11_000, 11_001, size], &[0, size]] {
        assert_eq!(run(&Memory::of(&bytes), &goal, &stop, ends), Some(true), "{ends:?}");
    }
    assert_eq!(run(&Memory::of(&bytes), &goal, &stop, &[11_000]), None, "not all of it");
    for wrong in [0, 10_999, 11_000, bytes.len() - 1] {
        let mut bytes = bytes.clone();
        bytes[wrong] ^= 1;
        assert_eq!(run(&Memory::of(&bytes), &goal, &stop, &[size]), Some(false), "{wrong}");
    }
}

#[test]
fn what_was_verified_before_it_was_written_is_not_read() {
    let layout = layout(&[b"one", b"two", b"three"]);
    let goal = Goal::new(layout, Chosen::all());
    let stop = AtomicBool::new(false);
    for (verified, right) in [(Some(1), true), (None, false), (Some(0), false)] {
        let memory = Memory { verified, ..Memory::of(b"oneTWOthree") };
        assert_eq!(run(&memory, &goal, &stop, &[2, 5, 11]), Some(right), "{verified:?}");
    }
    let memory = Memory { verified: Some(1), ..Memory::of(b"oneTWOthree") };
    run(&memory, &goal, &stop, &[11]);
    assert_eq!(memory.reads.get(), 2, "the other two");
}

#[test]
fn an_empty_file_that_should_have_another_hash_is_wrong() {
    let other = Entry { hash: ContentHash::of(b"x"), ..file(b"") };
    let layout = Layout::unchecked(Kind::Folder, other.hash, [(other, Vec::new())]).expect("one entry");
    let goal = Goal::new(Arc::new(layout), Chosen::all());
    assert_eq!(run(&Memory::of(b""), &goal, &AtomicBool::new(false), &[0]), Some(false));
}

#[test]
fn equal_chunks_are_copied_before_they_are_hashed() {
    let unit = noise(5000);
    let file = [&unit[..], &noise(6000)[1000..], &unit[..]].concat();
    let layout = layout(&[&unit, &file, &unit]);
    let goal = Goal::new(layout.clone(), Chosen::all());
    assert_eq!(goal.repeats, [(1, 0), (3, 0), (4, 0)]);
    assert_eq!(goal.repeated_bytes(), 15_000);
    // What came: the first of its kind, and the one that is different.
    let mut received = vec![0; 25_000];
    received[..5000].copy_from_slice(&unit);
    received[10_000..15_000].copy_from_slice(&noise(6000)[1000..]);
    let memory = Memory::of(&received);
    assert_eq!(run(&memory, &goal, &AtomicBool::new(false), &[5000, 15_000, 25_000]), Some(true));
    assert_eq!(memory.bytes.into_inner(), [&unit[..], &file, &unit].concat());
    let done = RangeSet::from(2..3);
    assert_eq!(goal.not_fetched(&done), RangeSet::from(1..5));
}

#[test]
fn what_is_equal_of_a_file_is_copied_at_once_and_read_once() {
    let unit = noise(12_000);
    let layout = layout(&[&unit, b"other", &unit, &unit]);
    let goal = Goal::new(layout.clone(), Chosen::all());
    assert_eq!(goal.repeats.len(), 6);
    let received = [&unit[..], b"other", &vec![0; 24_000]].concat();
    let stop = AtomicBool::new(false);
    let memory = Memory::of(&received);
    let known = hashes(&goal);
    let mut following = Following::new(&memory, (&goal, &known), &stop);
    assert!(following.copy_repeats(36_005).is_ok());
    assert_eq!(memory.reads.get(), 1);
    assert_eq!(memory.bytes.into_inner(), [&unit[..], b"other", &unit, &unit].concat());
    let mut wrong = received.clone();
    wrong[11_000] ^= 1;
    let memory = Memory::of(&wrong);
    let copied = Following::new(&memory, (&goal, &hashes(&goal)), &stop).copy_repeats(36_005);
    assert!(matches!(copied, Err(Ended::Wrong)), "it is on the disk otherwise");
}

#[test]
fn what_is_not_wanted_is_neither_fetched_nor_read() {
    let unit = noise(5000);
    let layout = layout(&[&unit, b"other", &unit]);
    let patterns = Patterns::new(&["2".to_owned()]).expect("a pattern");
    let goal = Goal::new(layout.clone(), Chosen::by(&patterns, &layout));
    assert_eq!(goal.repeats, [], "the first of its kind is not here");
    assert_eq!(goal.unwanted_bytes(), 5005);
    assert_eq!(goal.not_fetched(&Default::default()), RangeSet::from(0..2));
    let received = [&vec![0; 5005][..], &unit].concat();
    assert_eq!(run(&Memory::of(&received), &goal, &AtomicBool::new(false), &[10_005]), Some(true));
}

#[test]
fn once_stopped_it_reads_nothing_more() {
    let stop = AtomicBool::new(false);
    let bytes = noise(9 * PIECE_BYTES);
    let goal = Goal::new(layout(&[&bytes]), Chosen::all());
    let memory = Memory { stops: Some((3, &stop)), ..Memory::of(&bytes) };
    assert_eq!(run(&memory, &goal, &stop, &[bytes.len() as u64]), None);
    assert_eq!(memory.reads.get(), 3);
}

#[tokio::test]
async fn what_is_dropped_stops_its_thread() {
    let (news, waiting) = sync_channel(NEWS);
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, (ended, end)) = (stop.clone(), tokio::sync::oneshot::channel());
    // It reads the same piece for ever unless it is stopped.
    let thread = std::thread::spawn(move || {
        // 16 TiB.
        let chunk = |number: u32| Chunk { length: u32::MAX, hash: ChunkHash::of(&number.to_be_bytes()) };
        let all = [(file(b"x"), (0..4096).map(chunk).collect())];
        let layout = Layout::unchecked(Kind::Folder, ContentHash::of(b"x"), all).expect("one entry");
        let goal = Arc::new(Goal::new(Arc::new(layout), Chosen::all()));
        let hashes = Hashes::new(goal.clone(), None);
        let hashed = Following::new(&Endless, (&goal, &hashes), &stopped).run(&waiting);
        let _ = ended.send(matches!(hashed, Ok(None)));
        hashed
    });
    let hashes = Arc::new(hashes(&Goal::new(layout(&[b"x"]), Chosen::all())));
    let folder = tempfile::tempdir().expect("a folder");
    let (file, goal) = (partial(&folder, b"x"), Arc::new(Goal::new(layout(&[b"x"]), Chosen::all())));
    let hasher = WholeHasher { file, goal, hashes, news: Some(news), thread: Some(thread), stop };
    // It is polled once, and then dropped, as a pause does.
    let finishing = hasher.finish(1 << 50);
    tokio::select! {
        biased;
        result = finishing => panic!("it cannot be done: {result:?}"),
        () = tokio::task::yield_now() => {}
    }
    assert!(end.await.expect("the thread ended"), "and that early");
}

#[test]
fn a_file_of_a_folder_that_is_all_there_is_left_to_its_writer() {
    let (bytes, stop) = (noise(PIECE_BYTES), AtomicBool::new(false));
    let goal = Goal::new(layout(&[&bytes]), Chosen::all());
    let file = goal.layout.entries.get(0).expect("a file");
    for verified in [Some(0), None] {
        let (known, memory) = (hashes(&goal), Memory { verified, ..Memory::of(&bytes) });
        known.take(&mut Stretch::default(), 0, &bytes);
        assert_eq!(known.known(0, file, 0), Known::Without(0..file.size));
        assert_eq!(run_with(&memory, (&goal, &known), &stop, &[bytes.len() as u64]), Some(true));
        assert_eq!(
            memory.reads.get(),
            usize::from(verified.is_none()),
            "read where its writer did not compare it"
        );
    }
}

/// A download that has received this.
fn partial(folder: &tempfile::TempDir, bytes: &[u8]) -> Arc<Partial> {
    let (fs, path) = (Arc::new(OsFs::new()), folder.path().join(".file.0123456789abcdef.part"));
    let file = PartialFile::create(fs, &path, bytes.len() as u64).expect("created");
    file.write_at(0, bytes).expect("written");
    Arc::new(Partial::File(file))
}

#[tokio::test]
async fn what_is_in_doubt_is_read_from_the_file() {
    let (bytes, folder) = (noise(PIECE_BYTES), tempfile::tempdir().expect("a folder"));
    let goal = Arc::new(Goal::new(layout(&[&bytes]), Chosen::all()));
    for (change, doubted, right) in [(1, false, true), (1, true, false), (0, true, true)] {
        // Somebody wrote to the file after what it should have was hashed.
        let mut there = bytes.clone();
        there[700_000] ^= change;
        let file = partial(&folder, &there);
        let hasher = WholeHasher::start(file.clone(), goal.clone(), None).expect("a thread");
        let (mut stretch, (first, second)) = (Stretch::default(), bytes.split_at(300_000));
        hasher.hashes().take(&mut stretch, 0, first);
        hasher.hashes().take(&mut stretch, first.len() as u64, second);
        if doubted {
            hasher.hashes().doubt();
        }
        assert_eq!(hasher.finish(bytes.len() as u64).await.expect("read"), right, "{change} {doubted}");
        file.discard();
    }
}

struct Endless;

impl Bytes for Endless {
    fn is_verified(&self, _: usize) -> bool {
        false
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<(), PartialError> {
        Ok(())
    }

    fn write_chunks(&self, _: u64, _: &[u8]) -> Result<(), PartialError> {
        Ok(())
    }
}
