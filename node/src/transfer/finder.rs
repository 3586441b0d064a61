//! Finding holders for one download: asked of the index, connected, their manifests compared, time and again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certs::NodeId;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tracing::debug;
use wire::manifest::ChunkTable;
use wire::message::{HolderInfo, Located, ResourceQuery};
use wire::{ErrorBody, ErrorCode, RootHash};

use super::schedule::Availability;
use super::source::{FetchedManifest, PageCache, Source, SourceError};
use super::verify::{VerifiedRecord, verify_bundle};
use crate::peer::Shared;

/// How often it is looked for more holders while some are there.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// How soon it is looked again while none is there; it doubles up to [`LOOK_AGAIN`].
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// What a finder reports.
#[derive(Debug)]
pub(super) enum Found {
    /// A holder to be asked for chunks, by the name of its own manifest.
    Holder(Box<Source>, RootHash, Availability),
    /// There is a newer version.
    Newer(Box<VerifiedRecord>),
    /// It is no longer shared, or not by this owner.
    Gone(ErrorBody),
    /// Nobody was found this time, and why.
    Nobody(String),
}

/// Who is in the transfer or out for good: the finder leaves both alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Arc<Mutex<HashSet<NodeId>>>);

impl Known {
    /// Returns whether it was not known before.
    pub(super) fn insert(&self, node: NodeId) -> bool {
        self.0.lock().expect("no panic while it is held").insert(node)
    }

    /// It may be found again.
    pub(super) fn remove(&self, node: &NodeId) {
        self.0.lock().expect("no panic while it is held").remove(node);
    }

    fn contains(&self, node: &NodeId) -> bool {
        self.0.lock().expect("no panic while it is held").contains(node)
    }

    fn is_empty(&self) -> bool {
        self.0.lock().expect("no panic while it is held").is_empty()
    }
}

/// Asks the index for a resource: its record, verified, and who holds it.
///
/// # Errors
/// What the index says, `unavailable`, or `bad-record`.
pub(crate) async fn locate(
    shared: &Arc<Shared>,
    query: ResourceQuery,
) -> Result<(VerifiedRecord, Vec<HolderInfo>), ErrorBody> {
    let (owner, name) = (query.owner.clone(), query.name.clone());
    let located: Located = shared
        .ask_index(|index| {
            let query = query.clone();
            async move { index.locate(query).await }
        })
        .await?;
    located.check()?;
    let verifier = shared.clone();
    let bundle = located.bundle;
    let verified = tokio::task::spawn_blocking(move || verify_bundle(&verifier, &bundle))
        .await
        .map_err(|_| ErrorBody::new(ErrorCode::ShuttingDown, "stopping"))??;
    if verified.record.user != owner || verified.record.name != name {
        return Err(ErrorBody::new(
            ErrorCode::BadRecord,
            "the index answered with another resource's record",
        ));
    }
    Ok((verified, located.holders))
}

/// Finds holders for one content until the receiver is dropped.
pub(super) struct Finder {
    pub(super) shared: Arc<Shared>,
    pub(super) record: Arc<VerifiedRecord>,
    pub(super) root: RootHash,
    pub(super) chunks: Arc<ChunkTable>,
    pub(super) known: Known,
    pub(super) found: mpsc::Sender<Found>,
}

impl Finder {
    /// Takes these sources first, then looks for more.
    pub(super) async fn run(self, first: Vec<Source>) {
        let mut cache = PageCache::new();
        let mut at_once = first.is_empty();
        for source in first {
            self.admit(source, &mut cache).await;
        }
        let mut wait = FIRST_WAIT;
        while !self.found.is_closed() {
            if !std::mem::take(&mut at_once) {
                let pause = if self.known.is_empty() { wait } else { LOOK_AGAIN };
                tokio::time::sleep(pause).await;
            }
            match self.look(&mut cache).await {
                Ok(true) => wait = FIRST_WAIT,
                Ok(false) => wait = (wait * 2).min(LOOK_AGAIN),
                Err(text) => {
                    wait = (wait * 2).min(LOOK_AGAIN);
                    let _ = self.found.send(Found::Nobody(text)).await;
                }
            }
        }
    }

    /// One look; whether somebody new was found.
    async fn look(&self, cache: &mut PageCache) -> Result<bool, String> {
        let record = &self.record.record;
        let query = ResourceQuery {
            owner: record.user.clone(),
            name: record.name.clone(),
            version: None,
            cursor: None,
        };
        let (current, holders) = match locate(&self.shared, query).await {
            Ok(located) => located,
            Err(body) if matches!(body.code, ErrorCode::NotFound | ErrorCode::NotMember) => {
                let _ = self.found.send(Found::Gone(body)).await;
                return Ok(false);
            }
            Err(body) => return Err(body.text),
        };
        if current.record.content != record.content {
            if current.record.rank(current.hash) > record.rank(self.record.hash) {
                let _ = self.found.send(Found::Newer(Box::new(current))).await;
            }
            return Ok(false);
        }
        let new: Vec<_> = holders.into_iter().filter(|holder| !self.known.contains(&holder.node)).collect();
        let sources = open_all(&self.shared, new, &self.record).await.0;
        let mut any = false;
        for source in sources {
            any |= self.admit(source, cache).await;
        }
        Ok(any)
    }

    /// Finds a manifest of this source with the same chunks, and reports the source under it.
    async fn admit(&self, source: Source, cache: &mut PageCache) -> bool {
        let Some((root, chunks)) = self.matching(&source, cache).await else { return false };
        if !self.known.insert(source.node) {
            return false;
        }
        let available = match chunks {
            None => Availability::All,
            Some(runs) => Availability::Ranges(runs.iter().filter_map(|run| run.range()).collect()),
        };
        self.found.send(Found::Holder(Box::new(source), root, available)).await.is_ok()
    }

    /// Equal content that was shared twice can have two manifests: other times, the same chunks.
    async fn matching(
        &self,
        source: &Source,
        cache: &mut PageCache,
    ) -> Option<(RootHash, Option<Vec<wire::message::Run>>)> {
        for held in &source.granted.roots {
            if held.root == self.root {
                return Some((held.root, held.chunks.clone()));
            }
        }
        for held in &source.granted.roots {
            match source.manifest(held.root, cache).await {
                Ok(manifest) if same_chunks(&manifest.layout.chunks, &self.chunks) => {
                    return Some((held.root, held.chunks.clone()));
                }
                Ok(_) => debug!(peer = %source.node.short(), "it cut the content otherwise"),
                Err(error) => debug!(peer = %source.node.short(), %error, "its manifest is of no use"),
            }
        }
        None
    }
}

fn same_chunks(one: &ChunkTable, other: &ChunkTable) -> bool {
    one.len() == other.len() && (0..one.len()).all(|index| one.chunk(index) == other.chunk(index))
}

/// Connects holders, all at once; those that answer, and why the last of the others did not.
pub(super) async fn open_all(
    shared: &Arc<Shared>,
    holders: Vec<HolderInfo>,
    record: &Arc<VerifiedRecord>,
) -> (Vec<Source>, Option<SourceError>) {
    let mut opening: FuturesUnordered<_> =
        holders.into_iter().map(|holder| Source::open(shared, holder, record.clone())).collect();
    let (mut sources, mut last) = (Vec::new(), None);
    while let Some(opened) = opening.next().await {
        match opened {
            Ok(source) => sources.push(source),
            Err(error) => {
                debug!(%error, "a holder is of no use");
                last = Some(error);
            }
        }
    }
    (sources, last)
}

/// Fetches the manifest from whichever source has one that holds: the publisher's own root first, since the record names
/// it. `refused` are roots that turned out to be of other content.
pub(super) async fn fetch_manifest(
    sources: &[Source],
    record: &VerifiedRecord,
    refused: &HashSet<RootHash>,
) -> Result<FetchedManifest, SourceError> {
    let published = record.record.root;
    let mut candidates: Vec<(RootHash, &Source)> = Vec::new();
    for source in sources {
        candidates.extend(source.granted.roots.iter().map(|held| (held.root, source)));
    }
    candidates.retain(|(root, _)| !refused.contains(root));
    candidates.sort_by_key(|(root, _)| Some(*root) != published);
    let mut last =
        SourceError::Refused(ErrorBody::new(ErrorCode::NoHolder, "no holder has a manifest that holds"));
    let mut cache = PageCache::new();
    for (root, source) in candidates {
        match source.manifest(root, &mut cache).await {
            Ok(manifest) => return Ok(manifest),
            Err(error) => {
                debug!(peer = %source.node.short(), %error, lie = error.is_lie(), "its manifest is of no use");
                last = error;
            }
        }
    }
    Err(last)
}
