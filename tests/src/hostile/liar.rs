//! A holder that lies.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use certs::{NodeId, UnixNanos};
use p2p_node::store::{Cutter, Imported};
use quinn::{Connection, SendStream};
use serde::Serialize;
use tokio::task::JoinSet;
use wire::manifest::{Chunk, ChunkerParams, FileFacts, FileManifestBuilder, Manifest, PageRef};
use wire::message::{Answer, DataFollows, Empty, GetData, Granted, HeldRoot, Hello, Probed, Request, Run};
use wire::{ChunkHash, ContentHash, ErrorBody, ErrorCode, PageHash, RootHash, frame, limits};

use super::member::{Member, manifest_of};
use crate::cluster::Cluster;
use crate::fixtures;
use crate::wait::{PATIENCE, wait_until};

/// What it does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Nothing: it is an honest holder.
    None,
    /// Chunks of the right length and wrong content.
    WrongBytes,
    /// A manifest that names the right content and lists other chunks, which it then serves.
    WrongManifest,
    /// No answer to P with a record, for ever.
    NoGrant,
    /// The right manifest, of which it gives nothing but the length, for ever.
    SilentManifest,
    /// The same chunks under a root of its own, of which it gives nothing but the length, for ever.
    SilentOtherManifest,
    /// A manifest that goes on with thousands of the largest pages that list nothing.
    FillerPages,
    /// A manifest root that is not what its hash says.
    WrongRoot,
    /// More bytes than it announced.
    TooManyBytes,
    /// It announces more bytes than were asked for.
    AnnouncesMore,
    /// Some bytes, then the stream ends.
    TooFewBytes,
    /// Some bytes, then nothing, for ever.
    NeverEnds,
    /// No answer to G, for ever.
    Silent,
    /// An answer that is no CBOR.
    Garbage,
}

/// A member that says it holds a content, and serves it in its own way.
#[derive(Debug)]
pub struct Liar {
    member: Arc<Member>,
    asked: Arc<AtomicU64>,
    withheld: Arc<Withheld>,
    _tasks: JoinSet<()>,
}

/// Answers that it does not give.
#[derive(Debug, Default)]
struct Withheld {
    begun: AtomicU64,
    /// Those for which nobody waits any longer.
    given_up: AtomicU64,
}

struct Served {
    member: Arc<Member>,
    lie: Lie,
    manifest: Manifest,
    content: Vec<u8>,
    /// What its manifest lists.
    shown: Vec<u8>,
    asked: Arc<AtomicU64>,
    withheld: Arc<Withheld>,
}

impl Liar {
    /// Signs up under this name, says that it holds a file's content, and serves it.
    pub async fn start(cluster: &Cluster, user: &str, path: &Path, lie: Lie) -> Self {
        let member = Arc::new(Member::sign_up(cluster, user).await);
        let imported = manifest_of(path);
        let content = fixtures::read(path);
        let shown =
            if lie == Lie::WrongManifest { fixtures::bytes(666, content.len()) } else { content.clone() };
        let manifest = match lie {
            Lie::WrongManifest => manifest_over(&shown, imported.content, imported.stamp.mtime),
            Lie::SilentOtherManifest => manifest_of_another_time(&shown, &imported),
            Lie::FillerPages => with_filler(&imported.manifest),
            _ => imported.manifest.clone(),
        };
        let liar = Self::serve(member, lie, manifest, content, shown);
        liar.member.hold(imported.content).await;
        liar
    }

    /// Signs up under this name, publishes a folder, and serves the manifest of it, whatever that says.
    pub async fn publish_folder(cluster: &Cluster, user: &str, name: &str, manifest: Manifest) -> Self {
        let member = Arc::new(Member::sign_up(cluster, user).await);
        let liar = Self::serve(member, Lie::None, manifest.clone(), Vec::new(), Vec::new());
        let record = liar.member.record_of(name, &manifest);
        let outcomes = liar.member.register(&[liar.member.sign(record)]).await;
        assert_eq!(outcomes[0].error, None, "{outcomes:?}");
        liar.member.hold(manifest.root.content).await;
        liar
    }

    fn serve(member: Arc<Member>, lie: Lie, manifest: Manifest, content: Vec<u8>, shown: Vec<u8>) -> Self {
        let (asked, withheld) = (Arc::new(AtomicU64::new(0)), Arc::new(Withheld::default()));
        let served = Arc::new(Served {
            member: member.clone(),
            lie,
            manifest,
            content,
            shown,
            asked: asked.clone(),
            withheld: withheld.clone(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_streams(served.clone(), member.index().clone()));
        tasks.spawn(serve_incoming(served, member.stranger().endpoint().clone()));
        Self { member, asked, withheld, _tasks: tasks }
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.member.id()
    }

    /// The member that it is.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Waits until somebody asks it for chunks.
    pub async fn wait_until_asked(&self) {
        let asked = async || if self.asked() > 0 { Ok(()) } else { Err("nobody") };
        wait_until(PATIENCE, "the liar is asked for chunks", asked).await;
    }

    /// Waits until somebody waits for an answer that it does not give.
    pub async fn wait_until_withholding(&self) {
        let begun =
            async || if self.withheld.begun.load(Ordering::Relaxed) > 0 { Ok(()) } else { Err("nobody") };
        wait_until(PATIENCE, "somebody waits for the liar", begun).await;
    }

    /// How many of the answers that it does not give nobody waits for any longer.
    pub fn given_up(&self) -> u64 {
        self.withheld.given_up.load(Ordering::Relaxed)
    }

    /// How often it was asked for chunks; with filler pages also for pages.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

/// A manifest of these bytes that names another content.
fn manifest_over(bytes: &[u8], content: ContentHash, mtime: UnixNanos) -> Manifest {
    let params = ChunkerParams::for_size(bytes.len() as u64);
    let cutter = Cutter::new(params);
    let mut builder = FileManifestBuilder::new(params);
    let mut rest = bytes;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(cutter.cut(rest));
        builder.push(Chunk {
            length: u32::try_from(chunk.len()).expect("a chunk is short"),
            hash: ChunkHash::of(chunk),
        });
        rest = after;
    }
    let facts = FileFacts { executable: false, mtime, content };
    builder.finish(facts).expect("not too large")
}

/// The right manifest, but for the time of its file.
fn manifest_of_another_time(bytes: &[u8], named: &Imported) -> Manifest {
    manifest_over(bytes, named.content, UnixNanos(named.stamp.mtime.0 + 1_000_000_000))
}

/// The right manifest and, up to the most that a root can name, the largest pages, which list nothing.
fn with_filler(right: &Manifest) -> Manifest {
    let mut root = right.root.clone();
    let filler = vec![0; limits::PAGE_BYTES];
    let page = PageRef {
        hash: PageHash::of(&filler),
        length: u32::try_from(filler.len()).expect("256 KiB"),
        entries: 0,
        chunks: 0,
        content_bytes: 0,
    };
    root.pages.resize(limits::MANIFEST_PAGES, page);
    let root_bytes = root.encode();
    let pages = [right.pages.clone(), vec![filler]].concat();
    Manifest { root_hash: RootHash::of(&root_bytes), root, root_bytes, pages }
}

async fn serve_incoming(served: Arc<Served>, endpoint: quinn::Endpoint) {
    let mut connections = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        let Ok(connection) = incoming.await else { continue };
        connections.spawn(serve_streams(served.clone(), connection));
    }
}

async fn serve_streams(served: Arc<Served>, connection: Connection) {
    let mut streams = JoinSet::new();
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        let served = served.clone();
        streams.spawn(async move {
            let limit = limits::MEMBER_FRAME_BYTES;
            let Ok(bytes) = frame::read_bytes(&mut receive, limit).await else { return };
            let Ok(request) = Request::decode(&bytes, limit) else { return };
            served.answer(request, &mut send).await;
            let _ = send.finish();
            let _ = send.stopped().await;
        });
    }
}

impl Served {
    async fn answer(&self, request: Request, send: &mut SendStream) {
        match request {
            Request::Hello(_) => reply::<Hello>(send, Ok(self.member.hello())).await,
            Request::Ping(_) => reply(send, Ok(Empty {})).await,
            Request::P(download) if download.probe.is_some() => reply(send, Ok(Probed { whole: true })).await,
            Request::P(_) if self.lie == Lie::NoGrant => self.withhold(send).await,
            Request::P(_) => {
                let root = HeldRoot { root: self.manifest.root_hash, chunks: None };
                reply(send, Ok(Granted { roots: vec![root], others: false })).await;
            }
            Request::G(data) => self.give(data, send).await,
            _ => reply::<Empty>(send, Err(ErrorBody::new(ErrorCode::Unsupported, "not here"))).await,
        }
    }

    async fn give(&self, data: GetData, send: &mut SendStream) {
        if let Some(runs) = data.runs {
            self.asked.fetch_add(1, Ordering::Relaxed);
            return self.give_runs(runs, send).await;
        }
        if self.lie == Lie::FillerPages && data.page.is_some() {
            self.asked.fetch_add(1, Ordering::Relaxed);
        }
        let page = data.page.and_then(|hash| {
            let at = self.manifest.root.pages.iter().position(|page| page.hash == hash)?;
            self.manifest.pages.get(at)
        });
        let mut bytes = page.unwrap_or(&self.manifest.root_bytes).clone();
        if self.lie == Lie::WrongRoot && data.page.is_none() {
            bytes.reverse();
        }
        reply(send, Ok(DataFollows { length: bytes.len() as u64, runs: None })).await;
        if matches!(self.lie, Lie::SilentManifest | Lie::SilentOtherManifest) {
            return self.withhold(send).await;
        }
        let _ = send.write_all(&bytes).await;
    }

    async fn withhold(&self, send: &mut SendStream) {
        self.withheld.begun.fetch_add(1, Ordering::Relaxed);
        let _ = send.stopped().await;
        self.withheld.given_up.fetch_add(1, Ordering::Relaxed);
    }

    async fn give_runs(&self, runs: Vec<Run>, send: &mut SendStream) {
        let bytes: Vec<u8> = runs.iter().flat_map(|run| self.bytes_of(*run)).copied().collect();
        let length = bytes.len() as u64;
        match self.lie {
            Lie::Silent => std::future::pending().await,
            Lie::Garbage => return drop(send.write_all(b"\0\0\0\x05hello").await),
            Lie::AnnouncesMore => {
                return reply(send, Ok(DataFollows { length: length * 2, runs: Some(runs) })).await;
            }
            _ => reply(send, Ok(DataFollows { length, runs: Some(runs) })).await,
        }
        let sent = match self.lie {
            Lie::WrongBytes => bytes.iter().map(|byte| !byte).collect(),
            Lie::TooManyBytes => [bytes.clone(), vec![7; 4 << 20]].concat(),
            Lie::TooFewBytes | Lie::NeverEnds => bytes[..bytes.len() / 2].to_vec(),
            _ => bytes,
        };
        let _ = send.write_all(&sent).await;
        if self.lie == Lie::NeverEnds {
            std::future::pending::<()>().await;
        }
    }

    /// The bytes of a run, by the manifest that it shows.
    fn bytes_of(&self, run: Run) -> &[u8] {
        let params = ChunkerParams::for_size(self.shown.len() as u64);
        let cutter = Cutter::new(params);
        let (mut at, mut begin, mut chunk) = (0, 0, 0);
        while at < self.shown.len() && chunk < run.0 + run.1 {
            if chunk == run.0 {
                begin = at;
            }
            at += cutter.cut(&self.shown[at..]);
            chunk += 1;
        }
        let bytes = if self.lie == Lie::WrongManifest { &self.shown } else { &self.content };
        &bytes[begin..at]
    }
}

async fn reply<T: Serialize>(send: &mut SendStream, result: Result<T, ErrorBody>) {
    let _ = frame::write(send, &Answer::from(result), limits::MEMBER_FRAME_BYTES).await;
}
