//! Manifests there and back.

use std::collections::BTreeSet;

use certs::UnixNanos;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use wire::manifest::{
    Assembler, Chunk, ChunkerParams, Entry, EntryKind, FileFacts, FileLayout, FileManifestBuilder,
    FolderHasher, Item, Manifest, Root, decode_page, encode_page,
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
    (path, 0..3, facts(), params(), any::<u64>(), "\\PC{1,20}").prop_map(
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
        let layout = FileLayout::assemble(root, manifest.pages.iter().map(Vec::as_slice)).expect("assembles");
        prop_assert_eq!(layout.content(), facts.content);
        prop_assert_eq!(layout.entry.params, Some(params));
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

/// The folders that a path lies in.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}
