//! Manifests that hold.

use certs::UnixNanos;
use wire::manifest::{
    Chunk, ChunkerParams, Entry, EntryKind, FileFacts, FileManifestBuilder, FolderHasher,
    FolderManifestBuilder, Item, Manifest, PageRef, Root, encode_page,
};
use wire::{ChunkHash, ContentHash, Kind, PageHash, RootHash};

use super::{Case, hex, world};

/// Chunks of the manifest that only shows where pages end.
const MANY: u32 = 10_000;
const ENTRIES: u32 = 2000;

pub(crate) fn cases() -> Vec<Case> {
    let file = world::manifest_of(&world::file());
    let empty = world::manifest_of(b"");
    vec![
        case(
            "manifest-file",
            "The manifest of a file of 100,000 bytes, the first ones of the extendable output of BLAKE3 for\n\
             \"p2p-node/0 file\". Root, then page.",
            &file.root,
            &[&file.pages[0]],
        )
        .header("length", world::file().len())
        .header("seed", world::FILE_SEED)
        .header("mtime", world::BEFORE.0)
        .header("executable", false),
        case(
            "manifest-empty-file",
            "The manifest of an empty file. Root, then page.",
            &empty.root,
            &[&empty.pages[0]],
        ),
        folder(),
        many_pages(),
        many_entries(),
    ]
}

pub(super) fn case(name: &str, about: &str, root: &Root, pages: &[&[u8]]) -> Case {
    let bytes = root.encode();
    let lengths: Vec<_> = std::iter::once(bytes.len())
        .chain(pages.iter().map(|page| page.len()))
        .map(|n| n.to_string())
        .collect();
    let case = Case::new(name, "manifest", about)
        .header("root", RootHash::of(&bytes))
        .header("lengths", lengths.join(" "))
        .item(&bytes);
    pages.iter().fold(case, |case, page| case.item(page))
}

/// Root and page of a folder's or a file's manifest of one page, everything in the root said truly.
pub(super) fn of_one_page(kind: Kind, content: ContentHash, items: &[Item]) -> (Root, Vec<u8>) {
    let page = encode_page(items);
    let runs = || items.iter().filter_map(|item| if let Item::Chunks(run) = item { Some(run) } else { None });
    let entries = items.iter().filter(|item| matches!(item, Item::Entry(_))).count();
    let page_ref = PageRef {
        hash: PageHash::of(&page),
        length: u32::try_from(page.len()).expect("small"),
        entries: u32::try_from(entries).expect("few"),
        chunks: u32::try_from(runs().map(Vec::len).sum::<usize>()).expect("few"),
        content_bytes: runs().flatten().map(|chunk| u64::from(chunk.length)).sum(),
    };
    let root = Root { format: 0, kind, content, size: page_ref.content_bytes, pages: vec![page_ref] };
    (root, page)
}

pub(super) fn file_entry(path: &str, bytes: &[u8]) -> Entry {
    let size = bytes.len() as u64;
    let params = match path {
        "" => ChunkerParams::for_size(size),
        _ => ChunkerParams::in_folder(size),
    };
    let entry = Entry::file(false, world::BEFORE, size, ContentHash::of(bytes), params);
    Entry { path: path.to_owned(), ..entry }
}

pub(super) fn other_entry(path: &str, kind: EntryKind, target: Option<&str>) -> Entry {
    Entry {
        kind,
        hash: ContentHash::of(target.unwrap_or_default().as_bytes()),
        chunker: String::new(),
        params: None,
        target: target.map(str::to_owned),
        ..file_entry(path, b"")
    }
}

/// The entries of a small folder: each with its chunk, if it has one.
pub(super) fn folder_items() -> Vec<Item> {
    let hello = Chunk { length: 5, hash: ChunkHash::of(b"hello") };
    vec![
        Item::Entry(other_entry("docs", EntryKind::Folder, None)),
        Item::Entry(Entry { executable: true, ..file_entry("docs/hello", b"hello") }),
        Item::Chunks(vec![hello]),
        Item::Entry(file_entry("docs.txt", b"")),
        Item::Entry(other_entry("link", EntryKind::Link, Some("docs/hello"))),
    ]
}

pub(super) fn folder_hash(items: &[Item]) -> ContentHash {
    let mut hasher = FolderHasher::new();
    for item in items {
        if let Item::Entry(entry) = item {
            hasher.push(entry).expect("in order");
        }
    }
    hasher.finish()
}

fn folder() -> Case {
    let items = folder_items();
    let (root, page) = of_one_page(Kind::Folder, folder_hash(&items), &items);
    let about =
        "The manifest of a folder: the root's content is the hash of the canonical list of its entries.";
    case("manifest-folder", about, &root, &[&page])
}

/// Where pages end, to be compared with a cutter's own.
fn many_pages() -> Case {
    let mut builder = FileManifestBuilder::new(ChunkerParams::in_folder(0));
    for number in 0..MANY {
        let hash = ChunkHash::of(&number.to_be_bytes());
        builder.push(Chunk { length: 4096 + number % 1024, hash });
    }
    let facts = FileFacts { executable: false, mtime: UnixNanos(0), content: ContentHash::of(b"made up") };
    let Manifest { root_hash, root_bytes, .. } = builder.finish(facts).expect("not too large");
    let about = format!(
        "The root of a manifest of {MANY} chunks, to be compared with a cutter's own pages: chunk n has 4,096 + n mod\n\
         1,024 bytes, and the hash of n in 4 bytes. The entry: not executable, mtime 0, and as content hash the one of\n\
         \"made up\"; its size is the sum, its parameters 4,096, 16,384, 65,536."
    );
    Case::new("manifest-root-many-pages", "manifest-root", &about)
        .header("root", hex(root_hash.as_bytes()))
        .item(&root_bytes)
}

/// Where the pages of a folder end, to be compared with a cutter's own.
fn many_entries() -> Case {
    let mut builder = FolderManifestBuilder::new();
    for number in 0..ENTRIES {
        let chunk = Chunk { length: 1 + number, hash: ChunkHash::of(&number.to_be_bytes()) };
        let file = Entry::file(
            false,
            UnixNanos(0),
            chunk.length.into(),
            ContentHash::of(b"made up"),
            ChunkerParams::in_folder(0),
        );
        builder.push(Entry { path: format!("{number:04}"), ..file }, &[chunk]).expect("in order");
    }
    let Manifest { root_hash, root_bytes, .. } = builder.finish().expect("not too large");
    let about = format!(
        "The root of a folder of {ENTRIES} files, to be compared with a cutter's own pages: file n has the path n in four\n\
         digits, 1 + n bytes in one chunk with the hash of n in 4 bytes, is not executable, has mtime 0, as content hash\n\
         the one of \"made up\" and the parameters 4,096, 16,384, 65,536."
    );
    Case::new("manifest-root-many-entries", "manifest-root", &about)
        .header("root", hex(root_hash.as_bytes()))
        .item(&root_bytes)
}
