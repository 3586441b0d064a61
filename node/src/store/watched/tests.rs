use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use wire::ContentHash;
use wire::manifest::{Layout, Manifest};

use super::super::fs::FsOp;
use super::super::import::{Imported, import, import_folder};
use super::super::publications::{Publication, PublicationState};
use super::super::tests::{Fixture, publication, tombstone};
use super::*;
use crate::clock;

/// Longer than a test takes.
const QUIET: Duration = Duration::from_secs(600);

fn name(text: &str) -> ResourceName {
    text.parse().expect("a name")
}

/// Long before it is hashed.
fn age(path: &Path) {
    let file = std::fs::File::open(path).expect("opened");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1_600_000_000)).expect("set");
}

/// Just when it is hashed, or so shortly after that it takes no luck to hash it in time.
fn write_now(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("written");
    let file = std::fs::File::open(path).expect("opened");
    let soon = Duration::from_millis(clock::wall().0) + Duration::from_millis(1500);
    file.set_modified(UNIX_EPOCH + soon).expect("set");
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("created");
    std::fs::write(path, bytes).expect("written");
    age(path);
}

/// What files were read, by their names.
fn read_files(fixture: &Fixture) -> BTreeSet<String> {
    let calls = fixture.fs.recorded().into_iter();
    let read = calls.filter(|(op, _)| matches!(op, Some(FsOp::ReadAt | FsOp::OpenRead)));
    read.map(|(_, path)| path.file_name().expect("a name").to_string_lossy().into_owned()).collect()
}

impl Fixture {
    async fn share_watched(&self, name: &str, imported: Imported) -> Publication {
        let path = self.path(name);
        let published = publication(name, 1, &path, imported.stamp, &imported.manifest);
        let racy = imported.racy;
        let published = Publication { watch: true, racy, ..published };
        self.store.put_imported(published.clone(), &Arc::new(imported)).await.expect("put");
        published
    }

    async fn share_file(&self, name: &str) -> Publication {
        let imported = import(&self.fs, &self.path(name), None, &|_, _| {}, &|| false).expect("imports");
        self.share_watched(name, imported).await
    }

    async fn share_folder(&self, name: &str) -> (Publication, Arc<Manifest>) {
        let imported = self.import(name, FolderOptions::default()).expect("imports");
        let manifest = Arc::new(imported.manifest.clone());
        (self.share_watched(name, imported).await, manifest)
    }

    fn import(&self, name: &str, options: FolderOptions) -> Result<Imported, ImportError> {
        tokio::task::block_in_place(|| {
            import_folder(&self.fs, &self.path(name), &options, &|_| {}, &|| false)
        })
    }

    /// The next version of a folder.
    async fn import_again(&self, name: &str, quiet: Option<Duration>) -> Result<Imported, ImportError> {
        let root = self.watched(name).await.held.expect("held").root;
        let layout = self.store.layout(root).await.expect("loads").expect("stored");
        let before = Some(Before { layout, stamps: Some((root, self.path(name))) });
        self.import(
            name,
            FolderOptions { before, quiet, store: Some(self.store.clone()), ..Default::default() },
        )
    }

    async fn watched(&self, text: &str) -> Watched {
        self.store.watched_as(name(text)).await.expect("read").expect("watched")
    }

    async fn look(&self, name: &str) -> Look {
        let watched = self.watched(name).await;
        tokio::task::block_in_place(|| {
            self.store.look_at_watched(&watched, self.path("home"), QUIET, &|| false).expect("looked at")
        })
    }
}

fn layout_of(imported: &Imported) -> Layout {
    let manifest = &imported.manifest;
    Layout::assemble(manifest.root.clone(), manifest.pages.iter().map(Vec::as_slice)).expect("assembles")
}

#[tokio::test]
async fn what_is_watched_and_stands() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let mut shared = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        write(&fixture.path(name), name.as_bytes());
        shared.push(fixture.share_file(name).await);
    }
    let hash = wire::record_hash(&shared[1].record);
    store.set_publication_state(name("b"), hash, PublicationState::Superseded).await.expect("set");
    store.put_publication(Publication { watch: false, ..shared[2].clone() }, None).await.expect("put");
    store.put_publication(Publication { watch: true, ..tombstone(&shared[3]) }, None).await.expect("put");
    let page = store.watched(None, 1).await.expect("read");
    assert_eq!((page.len(), &page[0].name, &page[0].path), (1, &name("a"), &fixture.path("a")));
    let rest = store.watched(Some(name("a")), 9).await.expect("read");
    assert_eq!(rest.iter().map(|watched| watched.name.as_str()).collect::<Vec<_>>(), ["e"]);
    assert_eq!(rest[0].stamp, shared[4].stamp);
    for gone in ["b", "c", "d", "x"] {
        assert_eq!(store.watched_as(name(gone)).await.expect("read"), None, "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_known_by_its_stamp_and_not_read() {
    let fixture = Fixture::new();
    let path = fixture.path("a");
    write(&path, b"one");
    fixture.share_file("a").await;
    fixture.fs.record();
    assert_eq!(fixture.look("a").await, Look::Same);
    std::fs::write(&path, b"two").expect("written");
    assert_eq!(fixture.look("a").await, Look::BeingWritten);
    age(&path);
    std::fs::File::open(&path).expect("opened").set_modified(UNIX_EPOCH).expect("set");
    assert_eq!(fixture.look("a").await, Look::Changed);
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(fixture.look("a").await, Look::Missing);
    std::fs::create_dir(&path).expect("created");
    assert_eq!(fixture.look("a").await, Look::Changed, "a folder in its place");
    assert_eq!(read_files(&fixture), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_when_it_was_hashed_is_not_known_by_its_stamp() {
    let fixture = Fixture::new();
    write(&fixture.path("a"), b"one");
    write_now(&fixture.path("a"), b"two");
    write(&fixture.path("docs/old"), b"old");
    write_now(&fixture.path("docs/new"), b"new");
    let file = fixture.share_file("a").await;
    fixture.share_folder("docs").await;
    assert!(file.racy);
    assert_eq!(fixture.look("a").await, Look::BeingWritten);
    assert_eq!(fixture.look("docs").await, Look::Changed);
    fixture.fs.record();
    fixture.import_again("docs", None).await.expect("imports");
    assert_eq!(read_files(&fixture), ["new".to_owned()].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_known_by_the_stamps_of_its_files() {
    let fixture = Fixture::new();
    let root = fixture.path("docs");
    for number in 0..700 {
        write(&root.join(format!("{number}.txt")), format!("{number}").as_bytes());
    }
    write(&root.join("sub/a"), b"a");
    symlink("sub/a", root.join("link")).expect("linked");
    fixture.share_folder("docs").await;
    type Change<'a> = (&'a str, &'a dyn Fn(), &'a dyn Fn());
    let changes: [Change<'_>; 6] = [
        ("a new file", &|| write(&root.join("sub/b"), b"b"), &|| {
            std::fs::remove_file(root.join("sub/b")).expect("removed")
        }),
        ("a folder", &|| std::fs::create_dir(root.join("zz")).expect("created"), &|| {
            std::fs::remove_dir(root.join("zz")).expect("removed")
        }),
        (
            "the last file gone",
            &|| std::fs::rename(root.join("sub/a"), root.join("../kept")).expect("moved"),
            &|| std::fs::rename(root.join("../kept"), root.join("sub/a")).expect("moved"),
        ),
        (
            "a link elsewhere",
            &|| {
                std::fs::remove_file(root.join("link")).expect("removed");
                symlink("699.txt", root.join("link")).expect("linked");
            },
            &|| {
                std::fs::remove_file(root.join("link")).expect("removed");
                symlink("sub/a", root.join("link")).expect("linked");
            },
        ),
        ("a file that may be executed", &|| set_mode(&root.join("650.txt"), 0o755), &|| {
            set_mode(&root.join("650.txt"), 0o644)
        }),
        ("another name", &|| rename(&root, "7.txt", "7.tx"), &|| rename(&root, "7.tx", "7.txt")),
    ];
    fixture.fs.record();
    for (what, change, back) in changes {
        assert_eq!(fixture.look("docs").await, Look::Same, "before {what}");
        change();
        assert_eq!(fixture.look("docs").await, Look::Changed, "{what}");
        back();
    }
    assert_eq!(fixture.look("docs").await, Look::Same);
    assert_eq!(read_files(&fixture), BTreeSet::new());
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
}

fn rename(root: &Path, from: &str, to: &str) {
    std::fs::rename(root.join(from), root.join(to)).expect("renamed");
}

/// Also where a folder is so large that its manifest and stamps are written in parts.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_folder_only_what_changed_is_read_and_the_manifest_is_as_if_all_was() {
    let fixture = Fixture::new();
    let root = fixture.path("docs");
    for number in 0..1500_u32 {
        let bytes = ContentHash::of(&number.to_be_bytes());
        write(&root.join(format!("{:02}/{number}", number % 50)), &bytes.as_bytes()[..number as usize % 32]);
    }
    let noise: Vec<u8> =
        (0..20_000_u32).flat_map(|n| *ContentHash::of(&n.to_be_bytes()).as_bytes()).collect();
    write(&root.join("large"), &noise);
    fixture.share_folder("docs").await;
    write(&root.join("07/changed"), b"new");
    std::fs::remove_file(root.join("08/58")).expect("removed");
    write_now(&root.join("09/9"), b"changed");
    set_mode(&root.join("10/10"), 0o755);
    fixture.fs.record();
    let again = fixture.import_again("docs", None).await.expect("imports");
    assert_eq!(read_files(&fixture), ["changed".to_owned(), "9".to_owned()].into());
    let anew = fixture.import("docs", FolderOptions::default()).expect("imports");
    assert_eq!((again.content, again.manifest.root_hash), (anew.content, anew.manifest.root_hash));
    fixture.share_watched("docs", again).await;
    fixture.fs.record();
    let third = fixture.import_again("docs", None).await.expect("imports");
    assert_eq!(third.manifest.root_hash, anew.manifest.root_hash);
    assert_eq!(read_files(&fixture), ["9".to_owned()].into(), "it had just been written");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_written_is_left_out_or_holds_the_version_back() {
    let fixture = Fixture::new();
    let root = fixture.path("docs");
    write(&root.join("whole"), b"1");
    fixture.share_folder("docs").await;
    std::fs::write(root.join("begun"), b"a part").expect("written");
    write(&root.join("copied"), b"as old as what it was copied from");
    let imported = fixture.import_again("docs", Some(QUIET)).await.expect("imports");
    let paths: Vec<_> = layout_of(&imported).entries.iter().map(|entry| entry.path.to_owned()).collect();
    assert_eq!((paths, imported.unsettled), (vec!["copied".to_owned(), "whole".to_owned()], true));
    std::fs::write(root.join("whole"), b"a part").expect("written");
    let refused = fixture.import_again("docs", Some(QUIET)).await.expect_err("refused");
    assert!(matches!(&refused, ImportError::BeingWritten(path) if path.ends_with("whole")), "{refused:?}");
    age(&root.join("begun"));
    age(&root.join("whole"));
    let imported = fixture.import_again("docs", Some(QUIET)).await.expect("imports");
    assert_eq!((layout_of(&imported).entries.len(), imported.unsettled), (3, false));
}
