//! Manifests there and back.

use std::collections::BTreeSet;

use certs::UnixNanos;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use wire::manifest::{
    Assembler, Chunk, ChunkerParams, Entry, EntryKind, FileFacts, FileManifestBuilder, FolderHasher,
    FolderManifestBuilder, Item, Layout, Manifest, Root, check_target, compare_paths, decode_page,
    encode_page,
};
use wire::{ChunkHash, ContentHash};

use crate::basics::{content, nanos};

fn params() -> impl Strategy<Value = ChunkerParams> {
    (0_u64..1 << 42).prop_map(ChunkerParams::for_size)
}

fn chunk(params: ChunkerParams) -> impl Strategy<Value = Chunk> {
    (params.min()..=params.max(), any::<[u8; 32]>())
        .prop_map(|(length, hash)| Chunk { length, hash: ChunkHash::from_bytes(hash) })
}

fn facts() -> impl Strategy<Value = FileFacts> {
    (any::<bool>(), nanos(), content()).prop_map(|(executable, mtime, content)| FileFacts {
        executable,
        mtime,
        content,
    })
}

fn file() -> impl Strategy<Value = (FileFacts, ChunkerParams, Vec<Chunk>)> {
    let chunks = |params| (Just(params), vec(chunk(params), 0..3000), proptest::option::of(1..=params.min()));
    (facts(), params().prop_flat_map(chunks)).prop_map(|(facts, (params, mut chunks, last))| {
        if let Some(length) = last {
            chunks.push(Chunk { length, hash: ChunkHash::of(b"the last one may be short") });
        }
        (facts, params, chunks)
    })
}

fn build(facts: FileFacts, params: ChunkerParams, chunks: &[Chunk]) -> Manifest {
    let mut builder = FileManifestBuilder::new(params);
    chunks.iter().for_each(|chunk| builder.push(*chunk));
    builder.finish(facts).expect("not too large")
}

/// An entry of any kind, with its own rules kept.
fn entry() -> impl Strategy<Value = Entry> {
    let path = "[a-c]{1,3}(/[a-c]{1,3}){0,3}";
    (path, 0..3, facts(), params(), any::<u64>(), "[a-c]{1,3}(/[a-c]{1,3}){0,3}").prop_map(
        |(path, kind, facts, params, size, target)| {
            let file = Entry::file(facts.executable, facts.mtime, size, facts.content, params);
            let other = |kind, target: Option<String>| Entry {
                kind,
                executable: false,
                size: 0,
                hash: ContentHash::of(target.as_deref().unwrap_or_default().as_bytes()),
                chunker: String::new(),
                params: None,
                target,
                ..file.clone()
            };
            let entry = match kind {
                0 => file,
                1 => other(EntryKind::Folder, None),
                _ => other(EntryKind::Link, Some(target)),
            };
            Entry { path, ..entry }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_file((facts, params, chunks) in file()) {
        let manifest = build(facts, params, &chunks);
        let root = Root::decode(&manifest.root_bytes, &manifest.root_hash).expect("a root");
        prop_assert_eq!(&root, &manifest.root);
        prop_assert_eq!(root.chunks(), chunks.len() as u64);
        let layout = Layout::assemble(root, manifest.pages.iter().map(Vec::as_slice)).expect("assembles");
        prop_assert_eq!(layout.content, facts.content);
        prop_assert_eq!(layout.entries.first().and_then(|entry| entry.params), Some(params));
        prop_assert_eq!(layout.chunks.len() as usize, chunks.len());
        for (number, chunk) in (0..).zip(&chunks) {
            prop_assert_eq!(layout.chunks.chunk(number), Some(*chunk));
        }
    }

    #[test]
    fn a_page_that_is_changed_is_found((facts, params, chunks) in file(), page: prop::sample::Index, at: prop::sample::Index, bit in 0_u8..8) {
        let mut manifest = build(facts, params, &chunks);
        let page = page.index(manifest.pages.len());
        let at = at.index(manifest.pages[page].len());
        manifest.pages[page][at] ^= 1 << bit;
        let mut assembler = Assembler::new(manifest.root);
        let found = manifest.pages.iter().position(|page| assembler.push(page).is_err());
        prop_assert_eq!(found, Some(page));
    }

    #[test]
    fn a_page(entries in vec((entry(), vec(chunk(ChunkerParams::for_size(0)), 0..5)), 1..20)) {
        let items: Vec<Item> = entries
            .into_iter()
            .flat_map(|(entry, chunks)| {
                let run = (!chunks.is_empty()).then_some(Item::Chunks(chunks));
                std::iter::once(Item::Entry(entry)).chain(run)
            })
            .collect();
        prop_assert_eq!(decode_page(&encode_page(&items)), Ok(items));
    }

    #[test]
    fn a_folder(tree in tree()) {
        let manifest = build_folder(&tree);
        let root = Root::decode(&manifest.root_bytes, &manifest.root_hash).expect("a root");
        let layout = Layout::assemble(root, manifest.pages.iter().map(Vec::as_slice)).expect("assembles");
        prop_assert_eq!(layout.entries.len(), tree.len());
        let (mut start, mut chunk) = (0, 0);
        for (found, (entry, chunks)) in layout.entries.iter().zip(&tree) {
            prop_assert_eq!((found.path, found.kind, found.executable), (&*entry.path, entry.kind, entry.executable));
            prop_assert_eq!((found.mtime, found.size, found.hash), (entry.mtime, entry.size, entry.hash));
            prop_assert_eq!((found.params, found.target), (entry.params, entry.target.as_deref()));
            prop_assert_eq!(found.start, start);
            prop_assert_eq!(layout.chunks.chunks_of(found.bytes()), chunk..chunk + chunks.len() as u32);
            (start, chunk) = (start + found.size, chunk + chunks.len() as u32);
        }
        prop_assert_eq!((layout.chunks.size(), layout.chunks.len()), (start, chunk));
    }

    #[test]
    fn a_touch_alone_changes_no_content(tree in tree(), mtime in nanos()) {
        let touched: Vec<_> =
            tree.iter().map(|(entry, chunks)| (Entry { mtime, ..entry.clone() }, chunks.clone())).collect();
        prop_assert_eq!(build_folder(&touched).root.content, build_folder(&tree).root.content);
    }

    /// As a file system resolves it: the links of a folder, each with a target that is allowed, lead nowhere else.
    #[test]
    fn links_stay_inside(links in vec(("[ab](/[ab]){0,2}", "(\\.\\./){0,2}[ab.]{1,2}(/[ab.]{1,2}){0,3}"), 1..12)) {
        let links: std::collections::BTreeMap<_, _> =
            links.iter().filter(|(path, target)| check_target(path, target).is_ok()).map(|(path, target)| (path.as_str(), target.as_str())).collect();
        // Nothing lies in a link.
        let real: std::collections::BTreeMap<_, _> =
            links.iter().filter(|(path, _)| !parents(path).any(|folder| links.contains_key(folder))).collect();
        for (path, target) in &real {
            let mut at: Vec<&str> = path.split('/').collect();
            at.pop();
            let mut rest: Vec<&str> = target.split('/').rev().collect();
            for _ in 0..1000 {
                let Some(part) = rest.pop() else { break };
                match part {
                    ".." => prop_assert!(at.pop().is_some(), "{path} leads out by {target}"),
                    name => at.push(name),
                }
                if let Some(target) = real.get(&at.join("/").as_str()) {
                    at.pop();
                    rest.extend(target.split('/').rev());
                }
            }
        }
    }

    #[test]
    fn folders_are_listed_in_one_order(paths in btree_set("[a-c.]{0,1}[a-c](/[a-c][.!a]{0,1}[a-c]){0,3}", 0..20)) {
        let folders: BTreeSet<&str> = paths.iter().flat_map(|path| parents(path)).collect();
        let mut all: Vec<&str> = paths.iter().map(String::as_str).chain(folders.iter().copied()).collect();
        all.sort_by_key(|path| path.split('/').collect::<Vec<_>>());
        all.dedup();
        let template = Entry::file(false, UnixNanos(0), 0, ContentHash::of(b""), ChunkerParams::for_size(0));
        let entry = |path: &str| {
            let file = Entry { path: path.to_owned(), ..template.clone() };
            match folders.contains(path) {
                true => Entry { kind: EntryKind::Folder, chunker: String::new(), params: None, ..file },
                false => file,
            }
        };
        let mut hasher = FolderHasher::new();
        for path in &all {
            prop_assert_eq!(hasher.push(&entry(path)), Ok(()), "{} of {:?}", path, all);
        }
        for pair in all.windows(2) {
            let mut hasher = FolderHasher::new();
            prop_assert!(pair.iter().rev().try_for_each(|path| hasher.push(&entry(path))).is_err());
        }
    }
}

/// What is in a folder: each path with what lies there. Whatever has something below it is a folder.
fn tree() -> impl Strategy<Value = Vec<(Entry, Vec<Chunk>)>> {
    let file = (facts(), vec(chunk(ChunkerParams::for_size(0)), 0..4));
    let leaf = (0..3, file, any::<prop::sample::Index>());
    vec(("[a-c.]{0,1}[a-c](/[a-c][.!a]{0,1}[a-c]){0,3}", leaf), 1..30).prop_map(|leaves| {
        let mut paths = std::collections::BTreeMap::new();
        for (path, leaf) in &leaves {
            parents(path).for_each(|folder| drop(paths.insert(folder.to_owned(), None)));
            paths.entry(path.clone()).or_insert(Some(leaf.clone()));
        }
        let mut tree: Vec<_> = paths.into_iter().map(|(path, leaf)| placed(path, leaf)).collect();
        tree.sort_by(|one, other| compare_paths(&one.0.path, &other.0.path));
        tree
    })
}

type Leaf = (i32, (FileFacts, Vec<Chunk>), prop::sample::Index);

fn placed(path: String, leaf: Option<Leaf>) -> (Entry, Vec<Chunk>) {
    match leaf {
        Some((0, (facts, chunks), _)) => {
            let size = chunks.iter().map(|chunk| u64::from(chunk.length)).sum();
            let params = ChunkerParams::for_size(0);
            let file = Entry::file(facts.executable, facts.mtime, size, facts.content, params);
            (Entry { path, ..file }, chunks)
        }
        Some((1, (facts, _), up)) => {
            let up = up.index(path.matches('/').count() + 1);
            let link = Entry::link(path, facts.mtime, "../".repeat(up) + "a");
            (link, Vec::new())
        }
        Some((_, (facts, _), _)) => (Entry::folder(path, facts.mtime), Vec::new()),
        None => (Entry::folder(path, UnixNanos(1)), Vec::new()),
    }
}

fn build_folder(tree: &[(Entry, Vec<Chunk>)]) -> Manifest {
    let mut builder = FolderManifestBuilder::new();
    for (entry, chunks) in tree {
        builder.push(entry.clone(), chunks).expect("in order");
    }
    builder.finish().expect("not too large")
}

/// The folders that a path lies in.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}
