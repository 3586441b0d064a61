use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use certs::UnixNanos;
use wire::manifest::{Chunk, ChunkerParams, Entry, EntryKind, FolderManifestBuilder, Layout, compare_paths};
use wire::{ChunkHash, ContentHash, Kind};

use super::super::fs::{Fs, OsFs};
use super::super::tests::{Fixture, NOW, record, signed};
use super::*;
use crate::store::{
    Base, CreatedJob, HoldingState, InstallFacts, InstalledFile, JobOptions, JobState, NewJob, Offer, Partial,
};

mod cases;
mod crash;
mod meanwhile;
mod order;
mod random;
mod removal;

const CONFLICT: &str = ".sync-conflict-";

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    /// Bytes, whether it is executable, and its modification time in seconds.
    File(Vec<u8>, bool, i64),
    Folder,
    Link(String),
}

type Tree = BTreeMap<String, Node>;

fn file(bytes: &str) -> Node {
    Node::File(bytes.into(), false, 1)
}

fn tree(nodes: &[(&str, Node)]) -> Tree {
    nodes.iter().map(|(path, node)| ((*path).to_owned(), node.clone())).collect()
}

/// All that is in a folder.
fn disk(root: &Path) -> Tree {
    let mut found = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("listed") {
            let path = entry.expect("an entry").path();
            let metadata = std::fs::symlink_metadata(&path).expect("there");
            let node = match metadata.file_type() {
                kind if kind.is_symlink() => {
                    Node::Link(std::fs::read_link(&path).expect("a link").to_str().expect("UTF-8").to_owned())
                }
                kind if kind.is_dir() => {
                    folders.push(path.clone());
                    Node::Folder
                }
                _ => {
                    let executable = metadata.permissions().mode() & 0o100 != 0;
                    Node::File(std::fs::read(&path).expect("read"), executable, metadata.mtime())
                }
            };
            let inside = path.strip_prefix(root).expect("below").to_str().expect("UTF-8").to_owned();
            found.insert(inside, node);
        }
    }
    found
}

/// A version of a folder, with its manifest.
struct Version {
    offer: Offer,
    layout: Arc<Layout>,
    tree: Tree,
}

impl Version {
    async fn put(fixture: &Fixture, number: u64, tree: &Tree) -> Self {
        let mut entries: Vec<_> = tree.iter().collect();
        entries.sort_by(|(one, _), (other, _)| compare_paths(one, other));
        let mut builder = FolderManifestBuilder::new();
        for (path, node) in entries {
            let (entry, bytes) = match node {
                Node::Folder => (Entry::folder(path.clone(), UnixNanos(5_000_000_000)), &b""[..]),
                Node::Link(target) => {
                    (Entry::link(path.clone(), UnixNanos(5_000_000_000), target.clone()), &b""[..])
                }
                Node::File(bytes, executable, mtime) => {
                    let (size, hash) = (bytes.len() as u64, ContentHash::of(bytes));
                    let (mtime, params) = (UnixNanos(mtime * 1_000_000_000), ChunkerParams::for_size(size));
                    let entry = Entry::file(*executable, mtime, size, hash, params);
                    (Entry { path: path.clone(), ..entry }, bytes.as_slice())
                }
            };
            let chunk = Chunk { length: bytes.len() as u32, hash: ChunkHash::of(bytes) };
            builder.push(entry, Some(chunk).filter(|_| !bytes.is_empty()).as_slice()).expect("in order");
        }
        let manifest = builder.finish().expect("a manifest");
        let pages = manifest.pages.iter().map(Vec::as_slice);
        let layout = Arc::new(Layout::assemble(manifest.root.clone(), pages).expect("assembles"));
        let root = Some(manifest.root_hash);
        let record = signed(wire::Record { kind: Kind::Folder, ..record("docs", number, &manifest) });
        fixture.store.put_manifest(Arc::new(manifest)).await.expect("put");
        let offer = Offer { record, receipt: None, certificate: None, root };
        Self { offer, layout, tree: tree.clone() }
    }

    fn base(&self) -> Base {
        Base { root: self.offer.root.expect("known"), content: self.layout.content }
    }

    async fn job(&self, fixture: &Fixture, base: Option<&Self>, force: bool, only: &[&str]) -> JobId {
        let options = JobOptions { force, ..JobOptions::PLAIN };
        let only = only.iter().map(|pattern| (*pattern).to_owned()).collect();
        let (target, base) = (fixture.path("docs"), base.map(Self::base));
        let job = NewJob { target, options, only, base, offer: self.offer.clone() };
        let CreatedJob::New(job) = fixture.store.create_job(job, NOW).await.expect("created") else {
            panic!("a second job")
        };
        job.id
    }

    /// Receives what a job needs.
    async fn receive(
        &self,
        fixture: &Fixture,
        id: JobId,
    ) -> Result<Arc<Partial>, crate::store::PartialError> {
        let store = &fixture.store;
        let update = store.plan_update(id).await.expect("planned");
        let job = store.job(id).await.expect("read").expect("there");
        let picked = match &*job.only {
            [] => Chosen::all(),
            only => Chosen::by(&Patterns::new(only).expect("patterns"), &self.layout),
        };
        let chosen = update.as_ref().map_or(picked, |update| update.brought());
        let opened = store.open_partial_folder(id, self.layout.clone(), chosen.clone(), NOW).await?;
        let taken = match &update {
            Some(update) => tokio::task::block_in_place(|| {
                store.take_moved(id, update, (&opened.file, &opened.done), &|| true).expect("taken")
            }),
            None => Default::default(),
        };
        for (number, entry) in self.layout.entries.iter().enumerate() {
            let chunks = self.layout.chunks.chunks_of(entry.bytes());
            if entry.kind == EntryKind::File && chosen.has(number) && !taken.contains_all(chunks) {
                let Some(Node::File(bytes, ..)) = self.tree.get(entry.path) else { panic!("no file") };
                opened.file.write_chunks(entry.start, bytes).expect("written");
            }
        }
        opened.file.sync_data().expect("synced");
        Ok(Arc::new(opened.file))
    }

    async fn install(
        &self,
        fixture: &Fixture,
        id: JobId,
        partial: Arc<Partial>,
    ) -> Result<InstalledFile, InstallError> {
        let user = "alice".parse().expect("a name");
        let facts =
            InstallFacts { executable: false, mtime: UnixNanos(6), user, base: None, bytes_reused: 0 };
        fixture.store.install_folder(id, facts, partial, NOW).await
    }

    /// Downloads and installs it.
    async fn get(&self, fixture: &Fixture, base: Option<&Self>) -> InstalledFile {
        let id = self.job(fixture, base, true, &[]).await;
        let partial = self.receive(fixture, id).await.expect("received");
        self.install(fixture, id, partial).await.expect("installed")
    }
}

/// Two versions, the first one in place.
async fn installed(os: OsFs, old: &Tree, new: &Tree) -> (Fixture, Version, Version) {
    let fixture = Fixture::with(os);
    let old = Version::put(&fixture, 1, old).await;
    let new = Version::put(&fixture, 2, new).await;
    old.get(&fixture, None).await;
    (fixture, old, new)
}

async fn is_installed(fixture: &Fixture, id: JobId) -> bool {
    fixture.store.job(id).await.expect("read").expect("there").state == JobState::Installed
}

/// What the conflict copies have, in order.
fn conflicts(tree: &Tree) -> Vec<Vec<u8>> {
    let copies = tree.iter().filter(|(path, _)| path.contains(CONFLICT));
    let mut bytes: Vec<_> = copies
        .filter_map(|(_, node)| match node {
            Node::File(bytes, ..) => Some(bytes.clone()),
            Node::Link(target) => Some(target.clone().into_bytes()),
            Node::Folder => None,
        })
        .collect();
    bytes.sort();
    bytes
}

/// Without conflict copies, and what is in folders that are some.
fn without_conflicts(mut tree: Tree) -> Tree {
    tree.retain(|path, _| !path.contains(CONFLICT));
    tree
}

fn names(fixture: &Fixture) -> Vec<String> {
    let entries = std::fs::read_dir(fixture.path("")).expect("listed");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("listed").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}
