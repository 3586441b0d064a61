//! A holder that lies.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use certs::NodeId;
use p2p_node::store::{Cutter, Imported};
use quinn::{Connection, SendStream};
use serde::Serialize;
use tokio::task::JoinSet;
use wire::manifest::{Chunk, ChunkerParams, FileFacts, FileManifestBuilder, Manifest};
use wire::message::{Answer, DataFollows, Empty, GetData, Granted, HeldRoot, Hello, Probed, Request, Run};
use wire::{ChunkHash, ErrorBody, ErrorCode, frame, limits};

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
    _tasks: JoinSet<()>,
}

struct Served {
    member: Arc<Member>,
    lie: Lie,
    manifest: Manifest,
    content: Vec<u8>,
    /// What its manifest lists.
    shown: Vec<u8>,
    asked: Arc<AtomicU64>,
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
            Lie::WrongManifest => manifest_over(&shown, &imported),
            _ => imported.manifest.clone(),
        };
        let asked = Arc::new(AtomicU64::new(0));
        let served =
            Arc::new(Served { member: member.clone(), lie, manifest, content, shown, asked: asked.clone() });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_streams(served.clone(), member.index().clone()));
        tasks.spawn(serve_incoming(served, member.stranger().endpoint().clone()));
        member.hold(imported.content).await;
        Self { member, asked, _tasks: tasks }
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

    /// How often it was asked for chunks.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

/// A manifest of these bytes that names another content.
fn manifest_over(bytes: &[u8], named: &Imported) -> Manifest {
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
    let facts = FileFacts { executable: false, mtime: named.stamp.mtime, content: named.content };
    builder.finish(facts).expect("not too large")
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
            Request::P(_) => {
                let root = HeldRoot { root: self.manifest.root_hash, chunks: None };
                reply(send, Ok(Granted { roots: vec![root] })).await;
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
        let page = data.page.and_then(|hash| {
            let at = self.manifest.root.pages.iter().position(|page| page.hash == hash)?;
            self.manifest.pages.get(at)
        });
        let mut bytes = page.unwrap_or(&self.manifest.root_bytes).clone();
        if self.lie == Lie::WrongRoot && data.page.is_none() {
            bytes.reverse();
        }
        reply(send, Ok(DataFollows { length: bytes.len() as u64, runs: None })).await;
        let _ = send.write_all(&bytes).await;
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
