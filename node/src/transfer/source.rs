//! A holder as a requester sees it: P with the record, then the manifest.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use certs::{NodeId, UserName};
use index::CallError;
use quinn::RecvStream;
use wire::frame;
use wire::manifest::{FileLayout, ManifestError, Root};
use wire::message::{Answer, DataFollows, GetData, Granted, HolderInfo, Request, RequestDownload, Run};
use wire::{ErrorBody, ErrorCode, PageHash, RootHash, limits};

use super::verify::VerifiedRecord;
use crate::net::{Session, quic_code};
use crate::peer::{ConnectError, Shared};

/// A holder answers P and the head of G within this time, or is not waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A manifest root or page has come, whole, within this time: at most 448 KiB.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

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

/// Pages and root of a manifest, encoded, as they were fetched.
#[derive(Debug, Clone)]
pub(crate) struct FetchedManifest {
    pub(crate) root_hash: RootHash,
    pub(crate) root_bytes: Vec<u8>,
    pub(crate) pages: Vec<(PageHash, Arc<[u8]>)>,
    pub(crate) layout: Arc<FileLayout>,
}

/// Pages by hash, so that two manifests of one content fetch what they share once.
pub(crate) type PageCache = HashMap<PageHash, Arc<[u8]>>;

/// A holder that answered P.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) session: Arc<Session>,
    pub(crate) node: NodeId,
    pub(crate) user: UserName,
    pub(crate) granted: Granted,
    record: Arc<VerifiedRecord>,
}

impl Source {
    /// Connects a holder and shows it the record.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub(crate) async fn open(
        shared: &Arc<Shared>,
        holder: HolderInfo,
        record: Arc<VerifiedRecord>,
    ) -> Result<Self, SourceError> {
        let session = shared.connect(holder.node, &holder.addresses).await?;
        let request = RequestDownload { grant: Some(record.bundle.clone()), ..RequestDownload::default() };
        let granted: Granted =
            index::call(session.connection(), &Request::P(request), ANSWER_TIMEOUT).await?;
        granted.check()?;
        if granted.roots.is_empty() {
            return Err(ErrorBody::new(ErrorCode::NotFound, "it has no manifest of the content").into());
        }
        Ok(Self { session, node: holder.node, user: holder.user, granted, record })
    }

    /// Fetches and checks a manifest: it must be of the record's content and size.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub(crate) async fn manifest(
        &self,
        root_hash: RootHash,
        cache: &mut PageCache,
    ) -> Result<FetchedManifest, SourceError> {
        let root_bytes = self.small(self.get(root_hash), limits::ROOT_BYTES).await?;
        let root = Root::decode(&root_bytes, &root_hash)?;
        let record = &self.record.record;
        if Some(root.content) != record.content || root.size != record.size || root.kind != record.kind {
            return Err(SourceError::OtherContent);
        }
        let mut pages = Vec::with_capacity(root.pages.len());
        for page in &root.pages {
            let bytes = match cache.get(&page.hash) {
                Some(bytes) => bytes.clone(),
                None => {
                    let request = GetData { page: Some(page.hash), ..self.get(root_hash) };
                    let bytes = self.small(request, page.length as usize).await?;
                    if PageHash::of(&bytes) != page.hash {
                        return Err(ManifestError::Hash.into());
                    }
                    let bytes: Arc<[u8]> = bytes.into();
                    cache.insert(page.hash, bytes.clone());
                    bytes
                }
            };
            pages.push((page.hash, bytes));
        }
        let layout = FileLayout::assemble(root, pages.iter().map(|(_, bytes)| &**bytes))?;
        Ok(FetchedManifest { root_hash, root_bytes, pages, layout: Arc::new(layout) })
    }

    /// Asks for runs of chunks; the stream then gives their bytes.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub(crate) async fn runs(
        &self,
        root: RootHash,
        runs: Vec<Run>,
    ) -> Result<(DataFollows, RecvStream), SourceError> {
        self.ask(GetData { runs: Some(runs), ..self.get(root) }).await
    }

    fn get(&self, root: RootHash) -> GetData {
        GetData { grant: self.record.hash, root, page: None, runs: None }
    }

    /// Something that fits in memory.
    async fn small(&self, request: GetData, limit: usize) -> Result<Vec<u8>, SourceError> {
        let reading = async {
            let (head, mut stream) = self.ask(request).await?;
            if head.length > limit as u64 {
                return Err(SourceError::OtherContent);
            }
            stream.read_to_end(limit).await.map_err(|error| SourceError::Stream(error.to_string()))
        };
        tokio::time::timeout(PAGE_TIMEOUT, reading).await.map_err(|_| SourceError::Timeout)?
    }

    /// Sends G and reads the head of its answer.
    async fn ask(&self, request: GetData) -> Result<(DataFollows, RecvStream), SourceError> {
        let gone = |error: quinn::ConnectionError| SourceError::Stream(error.to_string());
        let asking = async {
            let (mut send, mut receive) = self.session.connection().open_bi().await.map_err(gone)?;
            let sent = frame::write(&mut send, &Request::G(request), limits::MEMBER_FRAME_BYTES).await;
            sent.map_err(|error| SourceError::Stream(error.to_string()))?;
            let _ = send.finish();
            let read = frame::read::<Answer<DataFollows>>(&mut receive, limits::MEMBER_FRAME_BYTES).await;
            let answer = read.map_err(|error| SourceError::Stream(error.to_string()))?;
            match answer {
                Answer::A(head) => Ok((head, receive)),
                Answer::E(body) => {
                    let _ = receive.stop(quic_code(ErrorCode::Done));
                    Err(SourceError::Refused(body))
                }
            }
        };
        tokio::time::timeout(ANSWER_TIMEOUT, asking).await.map_err(|_| SourceError::Timeout)?
    }
}
