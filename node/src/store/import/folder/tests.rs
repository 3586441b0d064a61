use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

use wire::manifest::{EntryKind, Layout};
use wire::{ContentHash, Kind};

use super::*;
use crate::store::fs::OsFs;

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        std::fs::write(&path, bytes).expect("written");
        path
    }

    fn import_with(&self, options: &FolderOptions) -> Result<Imported, ImportError> {
        import_folder(&OsFs::new(), self.path(), options, &|_| {}, &|| false)
    }

    fn import(&self) -> Imported {
        self.import_with(&FolderOptions::default()).expect("imports")
    }
}

fn layout(imported: &Imported) -> Layout {
    let manifest = &imported.manifest;
    let pages = manifest.pages.iter().map(Vec::as_slice);
    Layout::assemble(manifest.root.clone(), pages).expect("assembles")
}

fn paths(imported: &Imported) -> Vec<String> {
    layout(imported).entries.iter().map(|entry| entry.path.to_string()).collect()
}

fn noted(imported: &Imported) -> Vec<String> {
    let mut noted: Vec<_> = imported.notes.first.iter().map(|note| note.path.display().to_string()).collect();
    noted.sort();
    noted
}

#[test]
fn all_of_a_tree() {
    let tree = Tree::new();
    tree.write("a/b/c", b"deep");
    tree.write("a.txt", b"after what is in a");
    tree.write("empty", b"");
    std::fs::create_dir(tree.path().join("nothing in it")).expect("created");
    let script = tree.write("run.sh", b"#!");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("set");
    symlink("./a//b/c", tree.path().join("link")).expect("linked");
    symlink("../a", tree.path().join("nothing in it/up")).expect("linked");
    let imported = tree.import();
    let expected =
        ["a", "a/b", "a/b/c", "a.txt", "empty", "link", "nothing in it", "nothing in it/up", "run.sh"];
    assert_eq!(paths(&imported), expected);
    assert_eq!(imported.notes.count, 0, "{:?}", imported.notes);
    let layout = layout(&imported);
    let entry = |path: &str| layout.entries.iter().find(|entry| *entry.path == *path).expect("listed");
    assert_eq!(entry("a.txt").hash, ContentHash::of(b"after what is in a"));
    assert_eq!((entry("link").kind, entry("link").target), (EntryKind::Link, Some("a/b/c")));
    assert_eq!(entry("nothing in it/up").target, Some("../a"));
    assert!(entry("run.sh").executable && !entry("a.txt").executable);
    assert_eq!(imported.manifest.root.size, 4 + 18 + 2);
    assert_eq!(imported.mtime, layout.entries.iter().map(|entry| entry.mtime).max().expect("some"));
}

#[test]
fn many_files_in_order_and_large_ones_cut() {
    let tree = Tree::new();
    for number in 0..3 * BATCH {
        tree.write(&format!("{:02}/{number:04}", number % 7), &number.to_be_bytes());
    }
    let large = super::super::super::cut::tests::noise("folder", 3_000_000);
    tree.write("large", &large);
    let told = AtomicU64::new(0);
    let progress = |done: u64| {
        told.fetch_max(done, Ordering::Relaxed);
    };
    let options = FolderOptions::default();
    let imported = import_folder(&OsFs::new(), tree.path(), &options, &progress, &|| false).expect("imports");
    let layout = layout(&imported);
    assert_eq!(layout.entries.len(), 3 * BATCH + 7 + 1);
    assert_eq!(told.into_inner(), imported.manifest.root.size);
    let entry = layout.entries.last().expect("the large one");
    let cuts = super::super::super::cut::tests::whole_cuts(&large, ChunkerParams::in_folder(3_000_000));
    let chunks = layout.chunks.chunks_of(entry.bytes());
    let lengths: Vec<_> =
        chunks.map(|chunk| layout.chunks.chunk(chunk).expect("there").length as usize).collect();
    assert_eq!((entry.hash, lengths), (ContentHash::of(&large), cuts));
}

#[test]
fn what_is_ignored() {
    let tree = Tree::new();
    tree.write(".p2pignore", b"*.log\n/build/\n!keep.log\n");
    tree.write("a/.p2pignore", b"secret\n");
    for path in ["x.log", "keep.log", "build/x", "a/build/x", "a/secret", "a/x.log", "secret", ".hidden"] {
        tree.write(path, b"x");
    }
    // A user's other patterns say nothing of what is shared.
    tree.write(".gitignore", b"*\n");
    tree.write(".ignore", b"*\n");
    tree.write(".x.00000000000000ab.part", b"a download under way");
    let imported = tree.import();
    let expected = [
        ".gitignore",
        ".hidden",
        ".ignore",
        ".p2pignore",
        "a",
        "a/.p2pignore",
        "a/build",
        "a/build/x",
        "keep.log",
        "secret",
    ];
    assert_eq!(paths(&imported), expected);
    assert_eq!(noted(&imported), [".gitignore"], "{:?}", imported.notes);
}

#[test]
fn what_cannot_be_shared_is_noted() {
    let tree = Tree::new();
    tree.write("good", b"x");
    tree.write("a:b", b"x");
    tree.write("con/x", b"x");
    std::fs::write(tree.path().join(OsStr::from_bytes(b"\xff")), b"x").expect("written");
    tree.write("u\u{308}/one", b"decomposed");
    tree.write("\u{fc}/two", b"composed");
    tree.write("Good", b"x");
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, tree.path().join("fifo"), fifo, rustix::fs::Mode::RUSR, 0)
        .expect("a fifo");
    for (link, target) in [("out", "../x"), ("absolute", "/etc"), ("up inside", "a/../x"), ("here", ".")] {
        symlink(target, tree.path().join(link)).expect("linked");
    }
    let imported = tree.import();
    let found = paths(&imported);
    assert_eq!(&found[..2], ["Good", "good"]);
    assert_eq!((found.len(), found[2].as_str()), (4, "\u{fc}"), "one of the two: {found:?}");
    let mut expected = vec!["a:b", "absolute", "con", "fifo", "good", "here", "out", "up inside", "\u{fffd}"];
    let other = if found[3].ends_with("one") { "\u{fc}" } else { "u\u{308}" };
    expected.push(other);
    expected.sort_unstable();
    assert_eq!(noted(&imported), expected);
    assert_eq!(imported.notes.count, 10);
}

#[test]
fn links_are_left_out_if_wanted() {
    let tree = Tree::new();
    tree.write("a", b"x");
    symlink("a", tree.path().join("link")).expect("linked");
    let options = FolderOptions { links: Links::Skip, ..FolderOptions::default() };
    let imported = tree.import_with(&options).expect("imports");
    assert_eq!((paths(&imported), imported.notes.count), (vec!["a".to_owned()], 0));
}

#[test]
fn the_nodes_home_is_never_shared() {
    let tree = Tree::new();
    let key = tree.write("home/identity.key", b"secret");
    tree.write("good", b"x");
    let options = FolderOptions { home: key.parent().map(Path::to_owned), ..FolderOptions::default() };
    let imported = tree.import_with(&options).expect("imports");
    assert_eq!((paths(&imported), noted(&imported)), (vec!["good".to_owned()], vec!["home".to_owned()]));
    let options = FolderOptions { home: Some(tree.path().to_owned()), ..options };
    assert!(matches!(tree.import_with(&options), Err(ImportError::Home(_))));
}

#[test]
fn the_home_of_another_node_is_left_out_and_told() {
    let tree = Tree::new();
    tree.write("a/node/identity.key", b"secret");
    tree.write("a/node/downloads/file", b"x");
    tree.write("b/identity.key/file", b"a folder of that name is no key");
    let imported = tree.import();
    let expected = ["a", "b", "b/identity.key", "b/identity.key/file"];
    assert_eq!(
        (paths(&imported), noted(&imported)),
        (expected.map(str::to_owned).to_vec(), vec!["a/node".to_owned()])
    );
    let options = FolderOptions::default();
    let home = import_folder(&OsFs::new(), &tree.path().join("a/node"), &options, &|_| {}, &|| false);
    assert!(matches!(home, Err(ImportError::Home(_))), "{home:?}");
}

#[test]
fn what_gitignore_names_is_left_out_where_that_is_asked_for() {
    let tree = Tree::new();
    tree.write(".gitignore", b"target/\n*.log\n");
    tree.write("sub/.gitignore", b"!keep.log\n/here\n");
    tree.write("sub/.p2pignore", b"!now.log\n");
    for path in ["target/out", "a.log", "here", "sub/keep.log", "sub/other.log", "sub/now.log", "sub/here"] {
        tree.write(path, b"x");
    }
    let plain = tree.import();
    assert!(paths(&plain).contains(&"target/out".to_owned()));
    assert_eq!((noted(&plain), plain.notes.count), (vec![".gitignore".to_owned()], 1), "told once");
    let heeded =
        tree.import_with(&FolderOptions { gitignore: true, ..FolderOptions::default() }).expect("imports");
    let expected =
        [".gitignore", "here", "sub", "sub/.gitignore", "sub/.p2pignore", "sub/keep.log", "sub/now.log"];
    assert_eq!((paths(&heeded), heeded.notes.count), (expected.map(str::to_owned).to_vec(), 0));
}

#[test]
fn a_folder_of_nothing_is_refused_and_cancelling_ends_it() {
    let tree = Tree::new();
    tree.write("a.log", b"x");
    tree.write(".p2pignore", b"*\n");
    assert!(matches!(tree.import_with(&FolderOptions::default()), Err(ImportError::Empty(_))));
    let options = FolderOptions::default();
    std::fs::remove_file(tree.path().join(".p2pignore")).expect("removed");
    let result = import_folder(&OsFs::new(), tree.path(), &options, &|_| {}, &|| true);
    assert!(matches!(result, Err(ImportError::Cancelled)));
}

#[test]
fn the_next_version_keeps_how_files_were_cut() {
    let tree = Tree::new();
    tree.write("a", &vec![7; 5_000_000]);
    let params = ChunkerParams::for_size(2 << 30).for_next_in_folder(100 << 20);
    let content = ContentHash::of(b"the version before");
    let entry = Entry::file(false, UnixNanos(1), 5_000_000, content, params);
    let entry = Entry { path: "a".to_owned(), ..entry };
    let before = Layout::unchecked(Kind::Folder, content, [(entry, Vec::new())]).expect("one entry");
    let before = Some(Before { layout: Arc::new(before), stamps: None });
    let options = FolderOptions { before, ..FolderOptions::default() };
    let after = layout(&tree.import_with(&options).expect("imports"));
    assert_eq!(after.entries.first().expect("one").params, Some(params.for_next_in_folder(5_000_000)));
}
