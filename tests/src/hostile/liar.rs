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

use super::frames::Frame;
use super::member::{Member, manifest_of};
use crate::cluster::Cluster;
use crate::fixtures;
use crate::wait::{PATIENCE, wait_until};

/// What is sent is counted in parts of so many bytes.
const COUNTED: usize = 64 << 10;

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
    /// Blocks of another content.
    WrongBlocks,
    /// It knows nothing of blocks, as a node of an earlier version: it gives the root in place of them.
    NoBlocks,
    /// Chunks of which one byte is another.
    OneWrongByte,
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
    /// Chunks that are encoded as nobody encodes them.
    Encoded(Frame),
    /// The same of the pages of its manifest.
    EncodedPages(Frame),
}

/// A member that says it holds a content, and serves it in its own way.
#[derive(Debug)]
pub struct Liar {
    member: Arc<Member>,
    asked: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
    blocks: Arc<AtomicU64>,
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
    /// Where each of the chunks of that ends.
    cuts: Vec<usize>,
    /// How often it was asked for blocks.
    blocks: Arc<AtomicU64>,
    asked: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
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
        let params = ChunkerParams::for_size(shown.len() as u64);
        let liar = Self::serve(member, lie, manifest, content, shown, params);
        liar.member.hold(imported.content).await;
        liar
    }

    /// Signs up under this name, publishes a file that is cut with these parameters, and serves it as it should.
    pub async fn publish_file(
        cluster: &Cluster,
        user: &str,
        name: &str,
        path: &Path,
        params: ChunkerParams,
    ) -> Self {
        let (content, imported) = (fixtures::read(path), manifest_of(path));
        let manifest = cut_with(params, &content, imported.content, imported.stamp.mtime);
        let member = Arc::new(Member::sign_up(cluster, user).await);
        let liar = Self::serve(member, Lie::None, manifest.clone(), content.clone(), content, params);
        liar.publish(name, &manifest).await;
        liar
    }

    /// Signs up under this name, publishes a folder, and serves the manifest of it, whatever that says.
    pub async fn publish_folder(cluster: &Cluster, user: &str, name: &str, manifest: Manifest) -> Self {
        let member = Arc::new(Member::sign_up(cluster, user).await);
        let params = ChunkerParams::for_size(0);
        let liar = Self::serve(member, Lie::None, manifest.clone(), Vec::new(), Vec::new(), params);
        liar.publish(name, &manifest).await;
        liar
    }

    async fn publish(&self, name: &str, manifest: &Manifest) {
        let record = self.member.record_of(name, manifest);
        let outcomes = self.member.register(&[self.member.sign(record)]).await;
        assert_eq!(outcomes[0].error, None, "{outcomes:?}");
        self.member.hold(manifest.root.content).await;
    }

    fn serve(
        member: Arc<Member>,
        lie: Lie,
        manifest: Manifest,
        content: Vec<u8>,
        shown: Vec<u8>,
        params: ChunkerParams,
    ) -> Self {
        let (asked, sent, blocks) = <(Arc<AtomicU64>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let withheld = Arc::<Withheld>::default();
        let served = Arc::new(Served {
            member: member.clone(),
            lie,
            manifest,
            content,
            cuts: cuts(params, &shown),
            shown,
            asked: asked.clone(),
            sent: sent.clone(),
            blocks: blocks.clone(),
            withheld: withheld.clone(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_streams(served.clone(), member.index().clone()));
        tasks.spawn(serve_incoming(served, member.stranger().endpoint().clone()));
        Self { member, asked, sent, blocks, withheld, _tasks: tasks }
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

    /// How often it was asked for the blocks of its file.
    pub fn asked_for_blocks(&self) -> u64 {
        self.blocks.load(Ordering::Relaxed)
    }

    /// How many bytes of chunks were handed to its connections, which may bring less to the far end.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How often it was asked for chunks; with filler pages also for pages.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

/// A manifest of these bytes that names another content.
fn manifest_over(bytes: &[u8], content: ContentHash, mtime: UnixNanos) -> Manifest {
    cut_with(ChunkerParams::for_size(bytes.len() as u64), bytes, content, mtime)
}

/// Where the chunks of these bytes end.
fn cuts(params: ChunkerParams, bytes: &[u8]) -> Vec<usize> {
    let (cutter, mut at) = (Cutter::new(params), 0);
    let next = || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        at += cutter.cut(rest);
        Some(at)
    };
    std::iter::from_fn(next).collect()
}

/// A manifest of these bytes, cut so, that names a content.
fn cut_with(params: ChunkerParams, bytes: &[u8], content: ContentHash, mtime: UnixNanos) -> Manifest {
    let mut builder = FileManifestBuilder::new(params);
    let mut begin = 0;
    for end in cuts(params, bytes) {
        let chunk = &bytes[begin..end];
        let length = u32::try_from(chunk.len()).expect("a chunk is short");
        builder.push(Chunk { length, hash: ChunkHash::of(chunk) });
        begin = end;
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
    Manifest { root_hash: RootHash::of(&root_bytes), root, root_bytes, pages, blocks: None }
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
        if data.blocks {
            self.blocks.fetch_add(1, Ordering::Relaxed);
        }
        if let (true, Some(blocks)) = (data.blocks && self.lie != Lie::NoBlocks, &self.manifest.blocks) {
            let mut bytes = blocks.as_bytes().to_vec();
            if self.lie == Lie::WrongBlocks {
                bytes.reverse();
            }
            let head = DataFollows { length: bytes.len() as u64, runs: None, zstd: false };
            reply(send, Ok(head)).await;
            return drop(send.write_all(&bytes).await);
        }
        if self.lie == Lie::FillerPages && data.page.is_some() {
            self.asked.fetch_add(1, Ordering::Relaxed);
        }
        if let (Lie::EncodedPages(frame), true) = (self.lie, data.page.is_some()) {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let page = self.manifest.pages.first().map_or(0, Vec::len) as u64;
            reply(send, Ok(DataFollows { length: page, runs: None, zstd: true })).await;
            return self.send(&frame.bytes(4 * limits::PAGE_BYTES), send).await;
        }
        let page = data.page.and_then(|hash| {
            let at = self.manifest.root.pages.iter().position(|page| page.hash == hash)?;
            self.manifest.pages.get(at)
        });
        let mut bytes = page.unwrap_or(&self.manifest.root_bytes).clone();
        if self.lie == Lie::WrongRoot && data.page.is_none() {
            bytes.reverse();
        }
        reply(send, Ok(DataFollows { length: bytes.len() as u64, runs: None, zstd: false })).await;
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
        let Some(parts) = runs.iter().map(|run| self.bytes_of(*run)).collect::<Option<Vec<_>>>() else {
            return reply::<Empty>(send, Err(ErrorBody::new(ErrorCode::OutOfRange, "not so many"))).await;
        };
        let bytes = parts.concat();
        let length = bytes.len() as u64;
        match self.lie {
            Lie::Silent => std::future::pending().await,
            Lie::Garbage => return drop(send.write_all(b"\0\0\0\x05hello").await),
            Lie::AnnouncesMore => {
                return reply(send, Ok(DataFollows { length: length * 2, runs: Some(runs), zstd: false }))
                    .await;
            }
            Lie::Encoded(_) => reply(send, Ok(DataFollows { length, runs: Some(runs), zstd: true })).await,
            _ => reply(send, Ok(DataFollows { length, runs: Some(runs), zstd: false })).await,
        }
        let sent = match self.lie {
            Lie::WrongBytes => bytes.iter().map(|byte| !byte).collect(),
            Lie::OneWrongByte => {
                let at = bytes.len() / 2;
                bytes.iter().enumerate().map(|(place, byte)| byte ^ u8::from(place == at)).collect()
            }
            Lie::TooManyBytes => [bytes.clone(), vec![7; 4 << 20]].concat(),
            Lie::TooFewBytes | Lie::NeverEnds => bytes[..bytes.len() / 2].to_vec(),
            Lie::Encoded(frame) => frame.bytes(2 * bytes.len() + (8 << 10)),
            _ => bytes,
        };
        self.send(&sent, send).await;
        if self.lie == Lie::NeverEnds {
            std::future::pending::<()>().await;
        }
    }

    async fn send(&self, bytes: &[u8], send: &mut SendStream) {
        for part in bytes.chunks(COUNTED) {
            if send.write_all(part).await.is_err() {
                break;
            }
            self.sent.fetch_add(part.len() as u64, Ordering::Relaxed);
        }
    }

    /// The bytes of a run, by the manifest that it shows; `None` where there are not so many chunks.
    fn bytes_of(&self, run: Run) -> Option<&[u8]> {
        let range = run.range()?;
        let end_of = |chunk: u32| self.cuts.get(chunk as usize).copied();
        let begin = range.start.checked_sub(1).map_or(Some(0), end_of)?;
        let bytes = if self.lie == Lie::WrongManifest { &self.shown } else { &self.content };
        bytes.get(begin..end_of(range.end - 1)?)
    }
}

async fn reply<T: Serialize>(send: &mut SendStream, result: Result<T, ErrorBody>) {
    let _ = frame::write(send, &Answer::from(result), limits::MEMBER_FRAME_BYTES).await;
}
