//! Pages of a manifest, under a root that names them.

use wire::manifest::{Assembler, FolderHasher, Item, LayoutAssembler, PageRef, Root, decode_page};
use wire::{ContentHash, Kind, PageHash, RootHash};

/// Pages in one input.
const PAGES: usize = 8;

/// Takes the input for pages, each after its length in two bytes; makes the root that says the truth about them, and
/// takes the manifest apart.
///
/// # Panics
/// Where a manifest that is accepted does not add up.
pub fn assemble(input: &[u8]) {
    let pages = split(input);
    let items: Vec<Vec<Item>> = pages.iter().map(|page| decode_page(page).unwrap_or_default()).collect();
    let refs: Vec<PageRef> = pages.iter().zip(&items).map(|(page, items)| page_ref(page, items)).collect();
    let size = refs.iter().fold(0_u64, |sum, page| sum.saturating_add(page.content_bytes));
    let first = items.iter().flatten().find_map(|item| match item {
        Item::Entry(entry) => Some(entry.hash),
        Item::Chunks(_) => None,
    });
    let content = first.unwrap_or(ContentHash::of(b""));
    let root = Root { format: 0, kind: Kind::File, content, size, pages: refs };
    file(&root, &pages);
    folder(&Root { kind: Kind::Folder, content: entries(&items), ..root }, &pages);
}

/// Parts of the input, each after its length in two bytes.
pub(crate) fn split(mut input: &[u8]) -> Vec<&[u8]> {
    let mut pages = Vec::new();
    while let Some((length, rest)) = input.split_first_chunk() {
        if pages.len() == PAGES {
            break;
        }
        let (page, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        pages.push(page);
        input = rest;
    }
    pages
}

fn page_ref(page: &[u8], items: &[Item]) -> PageRef {
    let (mut entries, mut chunks, mut content_bytes) = (0, 0, 0);
    for item in items {
        match item {
            Item::Entry(_) => entries += 1,
            Item::Chunks(run) => {
                chunks += u32::try_from(run.len()).expect("a page is small");
                content_bytes += run.iter().map(|chunk| u64::from(chunk.length)).sum::<u64>();
            }
        }
    }
    let length = u32::try_from(page.len()).expect("a page is small");
    PageRef { hash: PageHash::of(page), length, entries, chunks, content_bytes }
}

/// The content of the folder with these entries, if they are a folder's.
fn entries(items: &[Vec<Item>]) -> ContentHash {
    let mut hasher = FolderHasher::new();
    for item in items.iter().flatten() {
        if let Item::Entry(entry) = item {
            let _ = hasher.push(entry);
        }
    }
    hasher.finish()
}

/// What was encoded here, decoded; `None` where the root is refused.
fn decoded(root: &Root) -> Option<Root> {
    let bytes = root.encode();
    let decoded = Root::decode(&bytes, &RootHash::of(&bytes)).ok()?;
    assert_eq!(&decoded, root);
    Some(decoded)
}

fn file(root: &Root, pages: &[&[u8]]) {
    let Some(root) = decoded(root) else { return };
    let mut assembler = LayoutAssembler::new(root.clone());
    if pages.iter().any(|page| assembler.push(page).is_err()) {
        return;
    }
    let layout = assembler.finish().expect("all pages are there");
    let chunks = &layout.chunks;
    assert_eq!((u64::from(chunks.len()), chunks.size()), (root.chunks(), root.size));
    assert_eq!(layout.entries.first().map(|entry| entry.size), Some(root.size));
    assert_eq!(layout.content, root.content);
    assert_eq!(chunks.bytes_of(0..chunks.len()), Some(0..root.size));
    assert_eq!((chunks.chunk(chunks.len()), chunks.bytes_of(0..chunks.len() + 1)), (None, None));
}

fn folder(root: &Root, pages: &[&[u8]]) {
    let Some(root) = decoded(root) else { return };
    let (mut assembler, mut chunks) = (Assembler::new(root.clone()), 0);
    for page in pages {
        let Ok(items) = assembler.push(page) else { return };
        for item in items {
            if let Item::Chunks(run) = item {
                chunks += run.len() as u64;
            }
        }
    }
    assert_eq!(assembler.wants(), None);
    assert_eq!(chunks, root.chunks());
}
