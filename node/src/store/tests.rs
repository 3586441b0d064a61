//! What the tests of the store share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs::{AccountId, SecretKey, UnixMillis, UnixNanos};
use wire::manifest::{
    Chunk, ChunkerParams, Entry, FileFacts, FileManifestBuilder, FolderManifestBuilder, Layout, Manifest,
};
use wire::{ChunkHash, ContentHash, Record, SignedRecord, Visibility, record_hash};

use super::db::Db;
use super::fs::{FaultyFs, FileStamp, OsFs};
use super::*;

pub(super) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// A store in a folder of its own, and a folder for users' files.
pub(super) struct Fixture {
    pub(super) store: Store,
    pub(super) fs: FaultyFs,
    folder: tempfile::TempDir,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with(OsFs::new())
    }

    pub(super) fn with(os: OsFs) -> Self {
        // In memory where there is such a place: syncing thousands of times is slow, and no test cuts the power.
        let memory = tempfile::tempdir_in("/dev/shm");
        let folder = memory.or_else(|_| tempfile::tempdir()).expect("a folder");
        std::fs::create_dir(folder.path().join("user")).expect("created");
        let fs = FaultyFs::new(os);
        let store = Store::new(open(folder.path(), &fs), Arc::new(fs.clone()));
        Self { store, fs, folder }
    }

    /// As after a restart.
    pub(super) async fn reopen(&mut self) {
        self.store.close().await;
        self.store = Store::new(open(self.folder.path(), &self.fs), Arc::new(self.fs.clone()));
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("user").join(name)
    }

    /// The names and bytes of all files in the user's folder.
    pub(super) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let read = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry.expect("listed");
            let name = entry.file_name().into_string().expect("UTF-8");
            (name, std::fs::read(entry.path()).expect("read"))
        };
        let mut files: Vec<_> = std::fs::read_dir(self.path("")).expect("listed").map(read).collect();
        files.sort();
        files
    }

    /// Writes a file and publishes it.
    pub(super) async fn share(&self, name: &str, bytes: &[u8]) -> Publication {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("written");
        let imported = import(&OsFs::new(), &path, None, &|_, _| {}, &|| false).expect("imports");
        let publication = publication(name, 1, &path, imported.stamp, &imported.manifest);
        let manifest = Some(Arc::new(imported.manifest));
        self.store.put_publication(publication.clone(), manifest).await.expect("put");
        publication
    }
}

fn open(folder: &Path, fs: &FaultyFs) -> Db {
    let mut db = Db::open(&folder.join("node.db")).expect("opens");
    db.stops_with = Some(fs.clone());
    db
}

pub(super) fn key() -> SecretKey {
    SecretKey::from_seed([2; 32])
}

/// A manifest of made-up chunks: with the same seed, a longer one begins as a shorter one.
pub(super) fn manifest_of(seed: &[u8], chunks: u32) -> Manifest {
    let mut builder = FileManifestBuilder::new(ChunkerParams::for_size(0));
    for number in 0..chunks {
        let hash = ChunkHash::of(&[seed, &number.to_be_bytes()].concat());
        builder.push(Chunk { length: 5000 + number % 7, hash });
    }
    let content = ContentHash::of(&[seed, b"content", &chunks.to_be_bytes()].concat());
    let facts = FileFacts { executable: false, mtime: UnixNanos(1), content };
    builder.finish(facts).expect("not too large")
}

pub(super) fn record(name: &str, version: u64, manifest: &Manifest) -> Record {
    Record {
        format: 0,
        network: SecretKey::from_seed([1; 32]).public(),
        account: AccountId::from_bytes([5; 16]),
        user: "alice".parse().expect("a name"),
        node: key().public(),
        name: name.parse().expect("a name"),
        kind: manifest.root.kind,
        version,
        revision: 0,
        prev: (version > 1).then(|| wire::RecordHash::from_bytes([8; 32])),
        size: manifest.root.size,
        mtime: UnixNanos(1),
        published: UnixNanos(1000),
        content: Some(manifest.root.content),
        root: Some(manifest.root_hash),
        visibility: Visibility::Members,
        extensions: Default::default(),
    }
}

pub(super) fn signed(record: Record) -> Arc<SignedRecord> {
    Arc::new(SignedRecord::sign(&key(), record))
}

pub(super) fn publication(
    name: &str,
    version: u64,
    path: &Path,
    stamp: FileStamp,
    manifest: &Manifest,
) -> Publication {
    Publication {
        name: name.parse().expect("a name"),
        path: path.to_owned(),
        stamp,
        record: signed(record(name, version, manifest)),
        receipt: None,
        certificate: None,
        state: PublicationState::Pending,
        walked: Walked::default(),
        watch: false,
        racy: false,
    }
}

/// The tombstone that follows a publication.
pub(super) fn tombstone(publication: &Publication) -> Publication {
    let hash = record_hash(&publication.record);
    let record = publication.record.tombstone(hash, key().public(), UnixNanos(2000));
    Publication {
        record: signed(record),
        receipt: None,
        certificate: None,
        state: PublicationState::Withdrawing,
        ..publication.clone()
    }
}

/// The manifest of a folder with these files, each in one chunk, and folders, whose paths end with a slash; and its layout.
pub(super) fn folder_of(files: &[(&str, &[u8])]) -> (Arc<Manifest>, Arc<Layout>) {
    let mut builder = FolderManifestBuilder::new();
    for (path, bytes) in files {
        match path.strip_suffix('/') {
            Some(path) => builder.push(Entry::folder(path.to_owned(), UnixNanos(7_000_000_000)), &[]),
            None => {
                let (size, hash) = (bytes.len() as u64, ContentHash::of(bytes));
                let file = Entry::file(
                    path.ends_with(".sh"),
                    UnixNanos(9_000_000_000),
                    size,
                    hash,
                    ChunkerParams::for_size(size),
                );
                let chunk = Chunk { length: bytes.len() as u32, hash: ChunkHash::of(bytes) };
                let chunks = Some(chunk).filter(|_| size > 0);
                builder.push(Entry { path: (*path).to_owned(), ..file }, chunks.as_slice())
            }
        }
        .expect("in order");
    }
    let manifest = builder.finish().expect("a manifest");
    let root = manifest.root.clone();
    let layout = Layout::assemble(root, manifest.pages.iter().map(Vec::as_slice)).expect("assembles");
    (Arc::new(manifest), Arc::new(layout))
}
