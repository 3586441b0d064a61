use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use certs::UnixNanos;
use wire::ChunkHash;
use wire::manifest::{Chunk, ChunkerParams, Entry, FolderManifestBuilder};

use super::super::super::chosen::Patterns;
use super::super::super::folder_files::FolderFiles;
use super::super::super::fs::{Fault, FaultyFs, FsOp, OsFs};
use super::super::super::tests::folder_of;
use super::*;

const NAME: &str = ".x.00000000000000ab.part";
const FILES: &[(&str, &[u8])] =
    &[("a/", b""), ("a/empty", b""), ("a/one.sh", b"11"), ("b/", b""), ("c", b"333"), ("d", b"4444")];

struct Fixture {
    plan: FaultyFs,
    fs: Arc<dyn Fs>,
    layout: Arc<Layout>,
    _above: tempfile::TempDir,
    path: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let plan = FaultyFs::new(OsFs::new());
        let above = tempfile::tempdir().expect("a folder");
        let path = above.path().join("deep").join(NAME);
        Self { fs: Arc::new(plan.clone()), plan, layout: folder_of(FILES).1, _above: above, path }
    }

    fn create(&self) -> PartialFolder {
        let (fs, layout) = (self.fs.clone(), self.layout.clone());
        PartialFolder::create(fs, &self.path, layout, Chosen::all(), Shape::Whole).expect("created")
    }

    fn reopen(&self, done: &mut RangeSet) -> Option<PartialFolder> {
        let (fs, layout) = (self.fs.clone(), self.layout.clone());
        PartialFolder::reopen(fs, &self.path, layout, Chosen::all(), Shape::Whole, done).expect("asked")
    }

    fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.path.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

#[test]
fn bytes_come_into_the_files_that_they_belong_to() {
    let fixture = Fixture::new();
    let partial = fixture.create();
    assert_eq!(std::fs::metadata(&fixture.path).expect("there").permissions().mode() & 0o777, 0o700);
    std::thread::scope(|scope| {
        scope.spawn(|| partial.write_chunks(7, b"44").expect("written"));
        scope.spawn(|| partial.write_chunks(0, b"1133344").expect("written"));
    });
    let mut buffer = [0; 5];
    partial.read_at(1, &mut buffer).expect("read");
    assert_eq!(&buffer, b"13334");
    partial.sync_data().expect("synced");
    partial.finish(FolderFiles::new(None), None, |_, _| Ok(None)).expect("finished");
    for (path, bytes) in FILES.iter().filter(|(path, _)| !path.ends_with('/')) {
        assert_eq!(fixture.read(path), *bytes, "{path}");
    }
    assert!(matches!(partial.write_chunks(8, b"xx"), Err(PartialError::OutOfBounds { .. })));
    partial.discard();
    assert!(!fixture.path.exists());
    assert!(matches!(partial.sync_data(), Err(PartialError::Discarded(_))));
}

#[test]
fn modes_and_times_are_the_manifests() {
    let fixture = Fixture::new();
    let partial = fixture.create();
    partial.write_chunks(0, b"113334444").expect("written");
    // A second time as after an interruption.
    for _ in 0..2 {
        partial
            .finish(FolderFiles::new(None), Some(UnixNanos(5_000_000_000)), |_, _| Ok(None))
            .expect("finished");
    }
    let umask = fixture.fs.umask();
    for (path, seconds, mode) in
        [("", 5, 0o777), ("a", 7, 0o777), ("a/one.sh", 9, 0o777), ("a/empty", 9, 0o666), ("c", 9, 0o666)]
    {
        let found = std::fs::metadata(fixture.path.join(path)).expect("there");
        assert_eq!((found.mtime(), found.mode() & 0o777), (seconds, mode & !umask), "{path}");
    }
}

#[test]
fn folders_of_an_earlier_run_get_their_modes() {
    let fixture = Fixture::new();
    fixture.create().write_chunks(0, b"11").expect("written");
    let folder = fixture.path.join("a");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).expect("set");
    let again = fixture.reopen(&mut RangeSet::new()).expect("there");
    again.write_chunks(0, b"113334444").expect("written");
    again.finish(FolderFiles::new(None), None, |_, _| Ok(None)).expect("finished");
    let found = std::fs::metadata(&folder).expect("there");
    assert_eq!((found.mtime(), found.mode() & 0o777), (7, 0o777 & !fixture.fs.umask()));
}

#[test]
fn of_a_folder_that_this_run_made_only_the_time_is_set_at_the_end() {
    let fixture = Fixture::new();
    let partial = fixture.create();
    partial.write_chunks(0, b"113334444").expect("written");
    fixture.plan.record();
    partial.finish(FolderFiles::new(None), None, |_, _| Ok(None)).expect("finished");
    let of_a = |(op, path): (Option<FsOp>, PathBuf)| op.filter(|_| path == fixture.path.join("a"));
    let done: Vec<_> = fixture.plan.recorded().into_iter().filter_map(of_a).collect();
    assert_eq!(done, [FsOp::SetAttributes, FsOp::SyncFolder]);
}

#[test]
fn only_a_file_that_came_once_in_one_piece_is_taken_as_verified() {
    let fixture = Fixture::new();
    let partial = fixture.create();
    let entry =
        |path: &str| fixture.layout.entries.iter().position(|entry| *entry.path == *path).expect("listed");
    let verified =
        |partial: &PartialFolder| ["a/one.sh", "c", "d"].map(|path| partial.is_verified(entry(path)));
    partial.write_chunks(0, b"11333").expect("written");
    partial.write_chunks(5, b"44").expect("written");
    partial.write_chunks(7, b"44").expect("written");
    assert_eq!(verified(&partial), [true, true, false], "d came in two");
    partial.write_chunks(2, b"333").expect("written");
    assert_eq!(verified(&partial), [true, false, false], "c came twice");
    let found = std::fs::metadata(fixture.path.join("a/one.sh")).expect("there");
    assert_eq!((found.mtime(), found.mode() & 0o777), (9, 0o777 & !fixture.fs.umask()), "finished at once");
    let again = fixture.reopen(&mut RangeSet::from(0..3)).expect("there");
    assert_eq!(verified(&again), [false; 3], "of an earlier run");
    again.write_chunks(0, b"11").expect("written");
    assert_eq!(verified(&again), [false; 3], "it was there");
    again.finish(FolderFiles::new(None), None, |_, _| Ok(None)).expect("finished");
    let wrong = Fixture { layout: one_file("x", b"xx", b"11"), ..Fixture::new() };
    let partial = wrong.create();
    partial.write_chunks(0, b"11").expect("written");
    assert!(!partial.is_verified(0), "a manifest whose chunks are not its file");
}

/// A folder with one file of one chunk, whose hash is that of `named`, and the chunk's that of `bytes`.
fn one_file(path: &str, named: &[u8], bytes: &[u8]) -> Arc<Layout> {
    let (size, hash) = (bytes.len() as u64, ContentHash::of(named));
    let file = Entry::file(false, UnixNanos(9_000_000_000), size, hash, ChunkerParams::for_size(size));
    let chunk = Chunk { length: bytes.len() as u32, hash: ChunkHash::of(bytes) };
    let mut builder = FolderManifestBuilder::new();
    builder.push(Entry { path: path.to_owned(), ..file }, &[chunk]).expect("an entry");
    let manifest = builder.finish().expect("a manifest");
    let pages = manifest.pages.iter().map(Vec::as_slice);
    Arc::new(Layout::assemble(manifest.root.clone(), pages).expect("assembles"))
}

#[test]
fn what_is_lost_is_fetched_again() {
    let fixture = Fixture::new();
    fixture.create().write_chunks(0, b"113334444").expect("written");
    let mut done = RangeSet::from(0..3);
    drop(fixture.reopen(&mut done).expect("there"));
    assert_eq!(done, RangeSet::from(0..3));
    std::fs::remove_file(fixture.path.join("a/one.sh")).expect("removed");
    std::fs::write(fixture.path.join("d"), b"4").expect("shortened");
    std::fs::remove_dir(fixture.path.join("a")).expect("removed");
    let partial = fixture.reopen(&mut done).expect("there");
    assert_eq!(done, RangeSet::from(1..2));
    partial.write_chunks(0, b"11").expect("written");
    partial.write_chunks(5, b"4444").expect("written");
    partial.finish(FolderFiles::new(None), None, |_, _| Ok(None)).expect("finished");
    assert_eq!((fixture.read("a/one.sh"), fixture.read("d")), (b"11".to_vec(), b"4444".to_vec()));
    assert!(fixture.path.join("b").is_dir(), "nothing is in it");
    partial.discard();
    assert!(fixture.reopen(&mut done).is_none(), "vanished");
}

#[test]
fn no_link_is_followed() {
    let fixture = Fixture::new();
    let partial = fixture.create();
    let outside = fixture.path.with_file_name("outside");
    std::fs::create_dir(&outside).expect("created");
    std::fs::write(outside.join("d"), b"mine").expect("written");
    symlink(&outside, fixture.path.join("a")).expect("linked");
    symlink(outside.join("d"), fixture.path.join("d")).expect("linked");
    assert!(partial.write_chunks(0, b"11").is_err(), "through a linked folder");
    assert!(partial.write_chunks(5, b"4444").is_err(), "through a linked file");
    assert!(partial.read_at(5, &mut [0; 4]).is_err());
    assert!(partial.finish(FolderFiles::new(None), None, |_, _| Ok(None)).is_err());
    assert_eq!(std::fs::read_dir(&outside).expect("listed").count(), 1);
    assert_eq!(std::fs::read(outside.join("d")).expect("read"), b"mine");
    partial.discard();
    assert_eq!(std::fs::read(outside.join("d")).expect("read"), b"mine", "links are removed, not followed");
}

fn with_link() -> Arc<Layout> {
    let mut builder = FolderManifestBuilder::new();
    let link = Entry::link("link".to_owned(), UnixNanos(3_000_000_000), "there/not yet".to_owned());
    builder.push(link, &[]).expect("a link");
    let manifest = builder.finish().expect("a manifest");
    let pages = manifest.pages.iter().map(Vec::as_slice);
    Arc::new(Layout::assemble(manifest.root.clone(), pages).expect("assembles"))
}

#[test]
fn links_are_made_at_the_end() {
    let fixture = Fixture { layout: with_link(), ..Fixture::new() };
    let partial = fixture.create();
    assert!(!fixture.path.join("link").is_symlink());
    for _ in 0..2 {
        partial.finish(FolderFiles::new(None), None, |_, _| Ok(None)).expect("finished");
    }
    let link = fixture.path.join("link");
    assert_eq!(std::fs::read_link(&link).expect("a link"), Path::new("there/not yet"));
    assert_eq!(std::fs::symlink_metadata(&link).expect("there").mtime(), 3);
}

#[test]
fn only_what_is_chosen_is_made() {
    let fixture = Fixture::new();
    let patterns = Patterns::new(&["*.sh".to_owned()]).expect("a pattern");
    let chosen = Chosen::by(&patterns, &fixture.layout);
    let partial = PartialFolder::create(
        fixture.fs.clone(),
        &fixture.path,
        fixture.layout.clone(),
        chosen,
        Shape::Whole,
    );
    let partial = partial.expect("created");
    partial.write_chunks(0, b"113334444").expect("written");
    partial.finish(FolderFiles::new(None), None, |_, _| Ok(None)).expect("finished");
    assert_eq!(fixture.read("a/one.sh"), b"11");
    let names = |path: &str| std::fs::read_dir(fixture.path.join(path)).expect("listed").count();
    assert_eq!((names(""), names("a")), (1, 1));
}

#[test]
fn a_failed_sync_discards_it() {
    for (op, many) in [(FsOp::SyncAll, false), (FsOp::SyncFolder, false), (FsOp::SyncFileSystem, true)] {
        let mut fixture = Fixture::new();
        if many {
            let names: Vec<_> = (0..100).map(|number| format!("{number:03}")).collect();
            let files: Vec<_> = names.iter().map(|name| (name.as_str(), b"x".as_slice())).collect();
            fixture.layout = folder_of(&files).1;
        }
        let partial = fixture.create();
        let size = fixture.layout.chunks.size();
        partial.write_chunks(0, &vec![b'x'; size as usize]).expect("written");
        fixture.plan.inject(Fault::first(op, 5));
        let error = partial.sync_data().expect_err("not synced");
        assert!(matches!(error, PartialError::SyncFailed { .. }), "{op:?}: {error:?}");
        assert!(!fixture.path.exists(), "{op:?}");
    }
}

#[test]
fn a_failed_sync_at_the_end_discards_it_whichever_it_is() {
    for nth in 1..=2 {
        let names: Vec<_> = (0..100).map(|number| format!("{number:03}")).collect();
        let files: Vec<_> = names.iter().map(|name| (name.as_str(), b"x".as_slice())).collect();
        let fixture = Fixture { layout: folder_of(&files).1, ..Fixture::new() };
        let partial = fixture.create();
        partial.write_chunks(0, &[b'x'; 100]).expect("written");
        fixture.plan.inject(Fault { nth, ..Fault::first(FsOp::SyncFileSystem, 5) });
        let error = partial.finish(FolderFiles::new(None), None, |_, _| Ok(None)).expect_err("not synced");
        assert!(matches!(error, PartialError::SyncFailed { .. }), "{nth}: {error:?}");
        assert!(!fixture.path.exists(), "{nth}");
    }
}

#[test]
fn what_cannot_be_created_leaves_nothing() {
    for op in [FsOp::CreateFolder, FsOp::OpenFolder, FsOp::SyncFolder] {
        for nth in 1..=2 {
            let fixture = Fixture::new();
            std::fs::create_dir(fixture.path.parent().expect("a parent")).expect("created");
            fixture.plan.inject(Fault { nth, ..Fault::first(op, 28) });
            let (fs, layout) = (fixture.fs.clone(), fixture.layout.clone());
            let result = PartialFolder::create(fs, &fixture.path, layout, Chosen::all(), Shape::Whole);
            assert_eq!(result.is_ok(), fixture.path.exists(), "{op:?} {nth}");
        }
    }
}

#[test]
fn names_that_clash_where_case_does_not_matter() {
    let fixture = Fixture { layout: folder_of(&[("A", b"1"), ("a", b"2")]).1, ..Fixture::new() };
    let partial = fixture.create();
    partial.write_chunks(0, b"12").expect("written");
    assert_eq!((fixture.read("A"), fixture.read("a")), (b"1".to_vec(), b"2".to_vec()));
    partial.discard();
    // As such a file system answers: the name in capitals is there, too.
    std::fs::create_dir(fixture.path.with_file_name(NAME.replace(".part", ".PART"))).expect("created");
    let (fs, layout) = (fixture.fs.clone(), fixture.layout.clone());
    let error =
        PartialFolder::create(fs, &fixture.path, layout, Chosen::all(), Shape::Whole).expect_err("clash");
    assert!(matches!(&error, PartialError::Clash(path) if path.ends_with("a")), "{error:?}");
    assert!(error.hint().is_some() && !fixture.path.exists());
}

#[test]
fn more_files_than_are_kept_open_are_written_in_turns() {
    let fixture = {
        let names: Vec<_> = (0..3 * OPEN_FILES).map(|number| format!("{number:03}")).collect();
        let files: Vec<_> = names.iter().map(|name| (name.as_str(), b"ab".as_slice())).collect();
        Fixture { layout: folder_of(&files).1, ..Fixture::new() }
    };
    let partial = fixture.create();
    for half in 0..2 {
        for file in 0..3 * OPEN_FILES as u64 {
            partial.write_chunks(2 * file + half, &b"ab"[half as usize..][..1]).expect("written");
        }
    }
    partial.sync_data().expect("synced");
    partial.finish(FolderFiles::new(None), None, |_, _| Ok(None)).expect("finished");
    for file in 0..3 * OPEN_FILES {
        assert_eq!(fixture.read(&format!("{file:03}")), b"ab");
    }
}
