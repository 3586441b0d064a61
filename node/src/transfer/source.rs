//! A holder as a requester sees it: P with the record, then the manifest.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use certs::{NodeId, UserName};
use futures_util::{Stream, StreamExt, TryStreamExt, future, stream};
use index::CallError;
use quinn::{Connection, RecvStream};
use tracing::debug;
use wire::frame;
use wire::manifest::{Blocks, ChunkTable, Layout, LayoutAssembler, Manifest, ManifestError, PageRef, Root};
use wire::message::{Answer, DataFollows, GetData, Granted, HolderInfo, Request, RequestDownload, Run};
use wire::{ErrorBody, ErrorCode, Kind, RootHash, limits};

use super::encoding;
use super::front::{self, Front};
use super::limits::Gate;
use super::pages::Reading;
use super::verify::VerifiedRecord;
use crate::net::{Session, quic_code};
use crate::peer::{ConnectError, Shared};
use crate::store::{Draft, Pages, Store};

/// A holder answers P and the head of G within this time, or is not waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages that are asked for at once, so that they do not cost a round trip each: at most 12 MiB wait, 3 MiB of pages as they are
/// on average.
const PAGES_AT_ONCE: usize = 48;
/// The blocks of smaller files are not asked for: hashing these twice takes a few milliseconds.
const BLOCKS_FROM: u64 = 4 << 20;

/// Why a holder is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{0}")]
    Refused(#[from] ErrorBody),
    #[error("no answer in time")]
    Timeout,
    #[error("the stream ended: {0}")]
    Stream(String),
    #[error("its manifest is wrong: {0}")]
    Manifest(#[from] ManifestError),
    #[error("its manifest is not of the record's content")]
    OtherContent,
}

impl SourceError {
    /// Whether the holder said or sent something that an honest one never does.
    pub(crate) const fn is_lie(&self) -> bool {
        matches!(self, Self::Manifest(_) | Self::OtherContent)
    }
}

/// What a holder is asked for with P, before that is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Early {
    /// Nothing: the manifest is here.
    Nothing,
    /// The publisher's manifest root.
    Root,
    /// That, and the first chunks.
    RootAndFront,
}

/// What is asked for beside a manifest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beside {
    /// The first chunks.
    pub(crate) front: bool,
    /// The file's blocks, where it is large enough for that to pay.
    pub(crate) blocks: bool,
}

/// A manifest as it was fetched, and taken apart.
#[derive(Debug)]
pub(crate) struct FetchedManifest {
    /// With all pages that are not in the draft, and with the blocks where the holder gave them.
    pub(crate) manifest: Manifest,
    /// Where the first pages of a large one are.
    pub(crate) draft: Option<Draft>,
    pub(crate) layout: Arc<Layout>,
    /// Chunks that are on their way.
    pub(crate) front: Option<Front>,
}

/// A holder that answered P.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) session: Arc<Session>,
    pub(crate) node: NodeId,
    pub(crate) user: UserName,
    pub(crate) granted: Granted,
    /// The publisher's own manifest root, where it was asked for with P and is here; nothing of it is checked.
    pub(crate) root: Option<Bytes>,
    /// The first chunks, where they were asked for with P, for whoever takes them first.
    front: Arc<Mutex<Option<Front>>>,
    record: Arc<VerifiedRecord>,
}

impl Source {
    /// Connects a holder and shows it the record, and asks it at once for more: one round trip after the handshake all of
    /// it may be here.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub(crate) async fn open(
        shared: &Arc<Shared>,
        holder: HolderInfo,
        record: Arc<VerifiedRecord>,
        early: Early,
    ) -> Result<Self, SourceError> {
        let published = record.record.root;
        let wanted = published.filter(|_| early != Early::Nothing);
        let wanted = wanted.map(|root| GetData::root_of(record.hash, root));
        let run = front::guess(&record.record).filter(|_| early == Early::RootAndFront);
        let zstd = encoding::are_few(record.record.size);
        let first = wanted.clone().zip(run).map(|(get, run)| GetData { runs: Some(vec![run]), zstd, ..get });
        let shown = record.clone();
        let ask = |connection: Connection| async move {
            let granted = show(&connection, &shown);
            let root = async { early_root(&connection, wanted?).await };
            let front = async { send(&connection, first?).await.ok() };
            // P first: the others are answered by what it grants.
            future::join3(granted, root, front).await
        };
        let (session, (granted, root, front)) =
            shared.connect_asking(holder.node, &holder.addresses, ask).await?;
        let granted = granted?;
        let root = root.map(Bytes::from);
        let sent = published.zip(run).zip(front);
        let front = sent.and_then(|((root, run), stream)| Front::sent(&session, root, (run, zstd), stream));
        let front = Arc::new(Mutex::new(front));
        Ok(Self { session, node: holder.node, user: holder.user, granted, root, front, record })
    }

    /// What it has by now.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub(crate) async fn granted_now(&self) -> Result<Granted, SourceError> {
        show(self.session.connection(), &self.record).await
    }

    /// Fetches and checks a manifest, as fast as the gate lets it pass: it must be of the record's content and size. Nothing
    /// of one that is wrong is kept, and no page is fetched after the one that shows it. Without what is asked for `beside` it
    /// is as good.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub(crate) async fn manifest(
        &self,
        store: &Store,
        root_hash: RootHash,
        gate: &Gate,
        beside: Beside,
    ) -> Result<FetchedManifest, SourceError> {
        let reading = Reading::new(gate);
        let (root, root_bytes) = self.root(root_hash, &reading).await?;
        let sent = self.front.lock().unwrap_or_else(PoisonError::into_inner).take();
        let front = match sent.filter(|sent| sent.root == root_hash) {
            None if beside.front => Front::ask(self, root_hash, &root).await,
            sent => sent,
        };
        let fetching = async {
            let mut assembler = LayoutAssembler::new(root.clone());
            let mut pages = Pages::new(Some(store));
            let mut coming = pin!(self.pages(store, root_hash, &root.pages, &reading));
            while let Some(page) = coming.try_next().await? {
                assembler.push(&page)?;
                pages.push(page.into()).await;
            }
            Ok::<_, SourceError>((assembler.finish()?, pages.finish()))
        };
        let blocks = Blocks::encoded_bytes(root.size)
            .filter(|_| beside.blocks && root.kind == Kind::File && root.size >= BLOCKS_FROM);
        let both = future::try_join(fetching, async {
            match blocks {
                Some(bytes) => Ok(self.blocks(&root, (root_hash, bytes), &reading).await),
                None => Ok(None),
            }
        });
        let pages: u64 = root.pages.iter().map(|page| u64::from(page.length)).sum();
        let bytes = pages + blocks.unwrap_or(0) as u64;
        let ((layout, (pages, draft)), blocks) = reading.patiently(bytes, both).await?;
        let manifest = Manifest { root, root_hash, root_bytes, pages, blocks };
        Ok(FetchedManifest { manifest, draft, layout: Arc::new(layout), front })
    }

    /// The blocks of a file, `None` where the holder does not have them, or what it gives are others: what comes is verified
    /// by its chunks then.
    async fn blocks(
        &self,
        root: &Root,
        (root_hash, length): (RootHash, usize),
        reading: &Reading<'_>,
    ) -> Option<Blocks> {
        reading.pass(length as u64).await;
        let asking = self.small(GetData { blocks: true, ..self.get(root_hash) }, length, reading);
        let checked = match asking.await {
            Ok(bytes) => Blocks::checked(bytes, root.size, &root.content).map_err(SourceError::from),
            Err(error) => Err(error),
        };
        checked.inspect_err(|error| debug!(peer = %self.node.short(), %error, "it gives no blocks")).ok()
    }

    /// Whether a manifest lists these chunks. It is read up to the first page that lists another.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub(crate) async fn lists(
        &self,
        store: &Store,
        root_hash: RootHash,
        chunks: &ChunkTable,
        gate: &Gate,
    ) -> Result<bool, SourceError> {
        let reading = Reading::new(gate);
        let (root, _) = self.root(root_hash, &reading).await?;
        if root.chunks() != u64::from(chunks.len()) {
            return Ok(false);
        }
        let mut assembler = LayoutAssembler::new(root.clone());
        let mut coming = pin!(self.pages(store, root_hash, &root.pages, &reading));
        let mut next = 0;
        while let Some(page) = coming.try_next().await? {
            assembler.push(&page)?;
            while let Some(chunk) = assembler.chunks().chunk(next) {
                if chunks.chunk(next) != Some(chunk) {
                    return Ok(false);
                }
                next += 1;
            }
        }
        Ok(assembler.finish()?.chunks.len() == chunks.len())
    }

    /// A manifest's root, of the record's content.
    async fn root(&self, root_hash: RootHash, reading: &Reading<'_>) -> Result<(Root, Vec<u8>), SourceError> {
        let bytes = match &self.root {
            Some(early) if self.record.record.root == Some(root_hash) => early.to_vec(),
            _ => {
                let limit = limits::ROOT_BYTES;
                let fetching = self.small(self.get(root_hash), limit, reading);
                reading.patiently(limit as u64, fetching).await?
            }
        };
        // How long it is is known only now: what follows waits for it.
        reading.pass(bytes.len() as u64).await;
        let root = Root::decode(&bytes, &root_hash)?;
        let record = &self.record.record;
        if Some(root.content) != record.content || root.size != record.size || root.kind != record.kind {
            return Err(SourceError::OtherContent);
        }
        Ok((root, bytes))
    }

    /// Pages in their order, a few of them asked for at once. Whoever takes them checks their hashes. What another
    /// manifest has brought here already is not fetched again.
    fn pages<'a>(
        &'a self,
        store: &'a Store,
        root: RootHash,
        pages: &'a [PageRef],
        reading: &'a Reading<'a>,
    ) -> impl Stream<Item = Result<Bytes, SourceError>> + Send + 'a {
        let zstd = encoding::are_few_of_pages(pages.iter().map(|page| u64::from(page.length)).sum());
        let page = move |page: &'a PageRef| async move {
            if let Ok(Some(bytes)) = store.manifest_page(page.hash).await {
                return Ok(bytes);
            }
            reading.pass(page.length.into()).await;
            let request = GetData { page: Some(page.hash), zstd, ..self.get(root) };
            self.small(request, page.length as usize, reading).await.map(Bytes::from)
        };
        stream::iter(pages).map(page).buffered(PAGES_AT_ONCE)
    }

    /// Asks for runs of chunks, perhaps encoded; the stream then gives their bytes.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub(crate) async fn runs(
        &self,
        root: RootHash,
        (runs, zstd): (Vec<Run>, bool),
    ) -> Result<(DataFollows, RecvStream), SourceError> {
        ask(self.session.connection(), GetData { runs: Some(runs), zstd, ..self.get(root) }).await
    }

    /// The same without waiting for the answer, whose head is the first in the stream: see [`Source::head`].
    ///
    /// # Errors
    /// See [`SourceError`].
    pub(super) async fn send_runs(
        &self,
        root: RootHash,
        (runs, zstd): (Vec<Run>, bool),
    ) -> Result<RecvStream, SourceError> {
        send(self.session.connection(), GetData { runs: Some(runs), zstd, ..self.get(root) }).await
    }

    /// The head of an answer to G, within [`ANSWER_TIMEOUT`].
    ///
    /// # Errors
    /// See [`SourceError`].
    pub(super) async fn head(stream: &mut RecvStream) -> Result<DataFollows, SourceError> {
        tokio::time::timeout(ANSWER_TIMEOUT, head(stream)).await.map_err(|_| SourceError::Timeout)?
    }

    fn get(&self, root: RootHash) -> GetData {
        GetData::root_of(self.record.hash, root)
    }

    /// Something that fits in memory.
    async fn small(
        &self,
        request: GetData,
        limit: usize,
        reading: &Reading<'_>,
    ) -> Result<Vec<u8>, SourceError> {
        let zstd = request.zstd;
        let (head, mut stream) = ask(self.session.connection(), request).await?;
        if head.length > limit as u64 || head.zstd && !zstd {
            return Err(SourceError::OtherContent);
        }
        let most = usize::try_from(head.encoded_at_most()).unwrap_or(usize::MAX);
        let bytes = reading.all(&mut stream, most).await?;
        if !head.zstd {
            return Ok(bytes);
        }
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        encoding::decoded(&bytes, length).map_err(|error| SourceError::Stream(error.to_string()))
    }
}

/// A manifest root that is asked for before anything is known of its holder.
async fn early_root(connection: &Connection, request: GetData) -> Option<Vec<u8>> {
    let reading = async {
        let (head, mut stream) = ask(connection, request).await.ok()?;
        (head.length <= limits::ROOT_BYTES as u64).then_some(())?;
        stream.read_to_end(limits::ROOT_BYTES).await.ok()
    };
    tokio::time::timeout(ANSWER_TIMEOUT, reading).await.ok()?
}

/// Sends G and reads the head of its answer.
async fn ask(connection: &Connection, request: GetData) -> Result<(DataFollows, RecvStream), SourceError> {
    let asking = async {
        let mut stream = send(connection, request).await?;
        Ok((head(&mut stream).await?, stream))
    };
    tokio::time::timeout(ANSWER_TIMEOUT, asking).await.map_err(|_| SourceError::Timeout)?
}

async fn send(connection: &Connection, request: GetData) -> Result<RecvStream, SourceError> {
    let gone = |error: quinn::ConnectionError| SourceError::Stream(error.to_string());
    let (mut send, receive) = connection.open_bi().await.map_err(gone)?;
    let sent = frame::write(&mut send, &Request::G(request), limits::MEMBER_FRAME_BYTES).await;
    sent.map_err(|error| SourceError::Stream(error.to_string()))?;
    let _ = send.finish();
    Ok(receive)
}

async fn head(stream: &mut RecvStream) -> Result<DataFollows, SourceError> {
    let read = frame::read::<Answer<DataFollows>>(stream, limits::MEMBER_FRAME_BYTES).await;
    match read.map_err(|error| SourceError::Stream(error.to_string()))? {
        Answer::A(head) => Ok(head),
        Answer::E(body) => {
            let _ = stream.stop(quic_code(ErrorCode::Done));
            Err(SourceError::Refused(body))
        }
    }
}

/// P with the record.
async fn show(connection: &Connection, record: &VerifiedRecord) -> Result<Granted, SourceError> {
    let request = RequestDownload { grant: Some(record.bundle.clone()), ..RequestDownload::default() };
    let granted: Granted = index::call(connection, &Request::P(request), ANSWER_TIMEOUT).await?;
    granted.check()?;
    Ok(granted)
}
