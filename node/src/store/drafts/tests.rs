use std::path::Path;

use certs::UnixNanos;
use wire::manifest::Manifest;

use super::super::tests::{Fixture, manifest_of, publication};
use super::*;
use crate::store::folder_files::{FolderFile, FolderFiles};
use crate::store::fs::{FileStamp, OsFs};
use crate::store::{Collected, FolderOptions, import_folder};

/// Many times what stays in memory.
const CHUNKS: u32 = 20_000;

/// Those that are spared.
const DRAFTS: &str = "temp.spared WHERE name = ''";

async fn count(fixture: &Fixture, table: &'static str) -> usize {
    let sql = format!("SELECT count(*) FROM {table}");
    let count = move |c: &Connection| c.query_row(&sql, [], |row| row.get::<_, i64>(0));
    fixture.store.db().read("count", count).await.expect("counted") as usize
}

/// A manifest of which the first pages are written already.
async fn drafted(fixture: &Fixture, manifest: &Manifest) -> (Arc<Manifest>, Option<Draft>) {
    let mut pages = Pages::new(Some(&fixture.store));
    for page in &manifest.pages {
        pages.push(page.clone()).await;
    }
    let (pages, draft) = pages.finish();
    (Arc::new(Manifest { pages, ..manifest.clone() }), draft)
}

#[tokio::test]
async fn pages_that_come_one_by_one_are_a_manifest_once_all_are_there() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let whole = manifest_of(b"parts", CHUNKS);
    let (root, content) = (whole.root_hash, whole.root.content);
    let (rest, draft) = drafted(&fixture, &whole).await;
    assert!(rest.pages.iter().map(Vec::len).sum::<usize>() < KEPT_BYTES);
    assert_eq!(count(&fixture, "page").await, whole.pages.len() - rest.pages.len());
    assert!(store.roots_of(content).await.expect("read").is_empty());
    assert_eq!(store.collect_garbage().await.expect("collected"), Collected::default(), "it is needed");
    store.put_received(rest, draft).await.expect("put");
    let layout = store.layout(root).await.expect("read").expect("complete");
    assert_eq!(layout.chunks.len(), CHUNKS);
    assert_eq!(store.roots_of(content).await.expect("read"), [root]);
    assert_eq!((count(&fixture, "manifest").await, count(&fixture, DRAFTS).await), (1, 0));
    assert_eq!(count(&fixture, "manifest_page").await, whole.pages.len());
}

#[tokio::test]
async fn little_is_not_written_before_all_is_there() {
    let fixture = Fixture::new();
    let small = manifest_of(b"small", 100);
    let (all, draft) = drafted(&fixture, &small).await;
    assert!(draft.is_none() && *all == small);
    assert_eq!(count(&fixture, "manifest").await, 0);
}

#[tokio::test]
async fn what_is_dropped_is_removed_but_not_what_another_manifest_names() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let [short, long] = [CHUNKS, 2 * CHUNKS].map(|chunks| manifest_of(b"same", chunks));
    store.put_manifest(Arc::new(short.clone())).await.expect("put");
    let dropped = drafted(&fixture, &long).await;
    assert!(count(&fixture, "page").await > short.pages.len());
    drop(dropped);
    assert_eq!(count(&fixture, "page").await, short.pages.len());
    assert_eq!((count(&fixture, "manifest").await, count(&fixture, DRAFTS).await), (1, 0));
    assert!(store.layout(short.root_hash).await.expect("read").is_some());
    // What is here already is received again, and still there after that.
    let (rest, draft) = drafted(&fixture, &short).await;
    store.put_received(rest, draft).await.expect("put");
    assert!(store.layout(short.root_hash).await.expect("read").is_some());
    assert_eq!(count(&fixture, "manifest").await, 1);
}

#[tokio::test]
async fn whenever_the_machine_stops_there_is_all_of_it_or_nothing() {
    let whole = manifest_of(b"crash", CHUNKS);
    for steps in 0.. {
        let mut fixture = Fixture::new();
        fixture.fs.die_after(steps);
        let (rest, draft) = drafted(&fixture, &whole).await;
        let survived = fixture.store.put_received(rest, draft).await.is_ok();
        fixture.fs.clear();
        fixture.reopen().await;
        let stored = fixture.store.layout(whole.root_hash).await.expect("read").is_some();
        assert_eq!(stored, survived, "after {steps} steps");
        let left = count(&fixture, "page").await;
        let collected = fixture.store.collect_garbage().await.expect("collected");
        if survived {
            // Nothing had to refer to it here.
            assert_eq!(collected, Collected { manifests: 1, pages: whole.pages.len() });
            assert!(steps > 2, "several parts");
            return;
        }
        assert_eq!(collected, Collected { manifests: usize::from(steps > 0), pages: left });
        assert_eq!((count(&fixture, "page").await, count(&fixture, "manifest").await), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_folder_is_imported_in_parts_and_is_the_same() {
    const FILES: u32 = 2000;
    let fixture = Fixture::new();
    let path = fixture.path("folder");
    std::fs::create_dir(&path).expect("created");
    for number in 0..FILES {
        std::fs::write(path.join(format!("{number:04}")), number.to_be_bytes()).expect("written");
    }
    let import = |store: Option<Store>| {
        let options = FolderOptions { store, ..FolderOptions::default() };
        let import = || import_folder(&OsFs::new(), &path, &options, &|_| {}, &|| false);
        tokio::task::block_in_place(import).expect("imports")
    };
    let (whole, parts) = (import(None), Arc::new(import(Some(fixture.store.clone()))));
    assert!(whole.draft.is_none() && parts.draft.is_some());
    assert_eq!(parts.manifest.root, whole.manifest.root);
    assert!(parts.manifest.pages.len() < whole.manifest.pages.len());
    let publication = publication("folder", 1, &path, parts.stamp, &parts.manifest);
    // As where the index has another record, so that a second one is built on that.
    for _ in 0..2 {
        fixture.store.put_imported(publication.clone(), &parts).await.expect("put");
        let layout = fixture.store.layout(whole.manifest.root_hash).await.expect("read").expect("complete");
        assert_eq!(layout.entries.len(), FILES as usize);
        let read = |entry| fixture.store.folder_files_blocking(&path, whole.manifest.root_hash, entry);
        let row = tokio::task::block_in_place(|| read(FILES - 1)).expect("read").expect("known");
        assert_eq!(row.last().map(|file| file.entry), Some(FILES - 1));
    }
    drop(parts);
    assert_eq!(fixture.store.collect_garbage().await.expect("collected"), Collected::default());
    assert_eq!((count(&fixture, "manifest").await, count(&fixture, DRAFTS).await), (1, 0));
}

fn file(entry: u32) -> FolderFile {
    let stamp = FileStamp { size: 1, mtime: UnixNanos(2), inode: entry.into(), device: 0 };
    FolderFile { entry, path: format!("folder/{entry}").into(), stamp }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_folder_are_put_once_with_what_was_written_before() {
    const FILES: u32 = 20_000;
    let fixture = Fixture::new();
    let store = &fixture.store;
    let manifest = Arc::new(manifest_of(b"folder", 3));
    let (root, path) = (manifest.root_hash, Path::new("/somewhere"));
    store.put_manifest(manifest).await.expect("put");
    let made = |count| {
        let mut files = FolderFiles::new(Some(store));
        tokio::task::block_in_place(|| (0..count).for_each(|entry| files.push(file(entry))));
        Arc::new(files.finish())
    };
    let put = async |files: &Arc<FolderFiles>| {
        let files = files.clone();
        let change = move |t: &rusqlite::Transaction| folder_files::put(t, path, root, &files);
        store.db().write("put", change).await.expect("put");
    };
    put(&made(10)).await;
    let many = made(FILES);
    assert!(count(&fixture, "folder_file").await > 10, "some are written");
    let known = |entry| {
        let row = tokio::task::block_in_place(|| store.folder_files_blocking(path, root, entry));
        row.expect("read").and_then(|row| row.into_iter().find(|file| file.entry == entry))
    };
    assert_eq!((known(9), known(10)), (Some(file(9)), None), "not put yet");
    for _ in 0..2 {
        put(&many).await;
        assert!((0..FILES).step_by(97).all(|entry| known(entry) == Some(file(entry))));
        assert_eq!((count(&fixture, "folder").await, count(&fixture, "manifest").await), (1, 1));
    }
    let rows = count(&fixture, "folder_file").await;
    drop(many);
    drop(made(FILES));
    assert_eq!(count(&fixture, "folder_file").await, rows, "what was not put is removed");
    assert_eq!((count(&fixture, "manifest").await, count(&fixture, DRAFTS).await), (1, 0));
}
