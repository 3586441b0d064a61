//! What the index knows of this node, brought up to date: after each connection, and whenever something changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use index::{CallError, IndexClient, jitter};
use serde_bytes::ByteBuf;
use tracing::{debug, info, warn};
use wire::message::{
    Held, List, Outcome, OutcomeKind, RecordBundle, RegisterStart, Registered, holdings_digest,
    records_digest,
};
use wire::{ContentHash, ErrorBody, ErrorCode, RecordHash, ResourceName, SignedRecord, limits};

use crate::clock;
use crate::peer::Shared;
use crate::store::{Publication, PublicationState};

/// After a failure it is tried again after this and up to as much again, unless something wakes it earlier.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// The setting that holds the largest sequence that was used.
const SEQUENCE_SETTING: &str = "sequence";

/// Brings the index up to date whenever it is told to, until the node stops.
pub(crate) async fn keep_announced(shared: Arc<Shared>) {
    loop {
        shared.announce.notified().await;
        while shared.membership().is_some() {
            match shared.announce_all().await {
                Ok(()) => break,
                // The link wakes us when it is back.
                Err(body) if body.code == ErrorCode::Unavailable => break,
                Err(body) => warn!(%body, "the index could not be brought up to date"),
            }
            let _ = tokio::time::timeout(TRY_AGAIN + jitter(TRY_AGAIN), shared.announce.notified()).await;
        }
    }
}

impl Shared {
    /// Tells the index whatever it does not know: records, tombstones, holdings.
    ///
    /// # Errors
    /// What the index or the store says.
    pub(crate) async fn announce_all(&self) -> Result<(), ErrorBody> {
        let _one_at_a_time = self.announcing.lock().await;
        loop {
            let came_to_hold = self.came_to_hold.load(Ordering::Acquire);
            let replaced = self.announce_once().await?;
            if !replaced || came_to_hold == self.came_to_hold.load(Ordering::Acquire) {
                return Ok(());
            }
        }
    }

    /// Returns whether the list of what it holds was sent anew, in place of all that the index knew.
    async fn announce_once(&self) -> Result<bool, ErrorBody> {
        let index = self.index().await?;
        let (heads, unacknowledged) = self.published_heads().await?;
        let held = self.held().await?;
        let seq = self.next_sequence().await?;
        let start = RegisterStart {
            seq,
            records: records_digest(heads.iter().map(|(name, hash)| (name, *hash))),
            holdings: holdings_digest(held.iter().copied()),
        };
        let answer = index.start(start).await?;
        debug!(records = answer.want_records, holdings = answer.want_holdings, "announced");
        if answer.want_records || unacknowledged {
            self.send_differences(&index).await?;
        }
        if answer.want_holdings {
            send_holdings(&index, seq, &held).await?;
        }
        Ok(answer.want_holdings)
    }

    /// Tells the index of one content that this node now holds, all of it or a part. What fails is made good by the next announcement.
    pub(crate) async fn announce_holding(&self, content: ContentHash, whole: bool) {
        self.came_to_hold.fetch_add(1, Ordering::AcqRel);
        if whole {
            self.fallback.note_own();
        }
        let Ok(index) = self.index().await else { return };
        let contents = vec![Held { content, whole }];
        if let Err(error) = index.hold(self.current_sequence(), contents, false).await {
            warn!(%error, "the index could not be told what this node holds");
            self.announce.notify_one();
        }
    }

    /// Records (or tombstones) that this node publishes, by name, and whether the index's receipt for one is missing. A
    /// name whose record is another machine's is not ours to say.
    pub(crate) async fn published_heads(&self) -> Result<(Vec<(ResourceName, RecordHash)>, bool), ErrorBody> {
        let (mut heads, mut unacknowledged) = (Vec::new(), false);
        let mut after = None;
        loop {
            let page = self.store.publication_heads(after.take(), u32::MAX).await.map_err(internal)?;
            let Some(last) = page.last() else { return Ok((heads, unacknowledged)) };
            after = Some(last.name.clone());
            let published = page
                .into_iter()
                .filter(|head| head.node == self.node() && head.state != PublicationState::Superseded)
                .inspect(|head| unacknowledged |= head.state.is_unacknowledged());
            heads.extend(published.map(|head| (head.name, head.record)));
        }
    }

    /// What this node holds, by hash: whole, or what a download that runs has of it.
    pub(crate) async fn held(&self) -> Result<Vec<Held>, ErrorBody> {
        let parts = self.partial.contents().into_iter().map(|content| (content, false));
        let mut held: BTreeMap<_, _> = parts.collect();
        let mut after = None;
        loop {
            let page = self.store.held_contents(after.take(), u32::MAX).await.map_err(internal)?;
            let Some(last) = page.last() else { break };
            after = Some(*last);
            held.extend(page.into_iter().map(|content| (content, true)));
        }
        Ok(held.into_iter().map(|(content, whole)| Held { content, whole }).collect())
    }

    /// Takes the index's list of this node's records, and sends what differs.
    async fn send_differences(&self, index: &IndexClient) -> Result<(), ErrorBody> {
        let known = self.known_to_index(index).await?;
        let mut after = None;
        loop {
            let page = self
                .store
                .publications(after.take(), limits::BATCH_RECORDS as u32)
                .await
                .map_err(internal)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.name.clone());
            let differs = |publication: &Publication| {
                publication.record.node == self.node()
                    && publication.state != PublicationState::Superseded
                    && (publication.state.is_unacknowledged()
                        || known.get(&publication.name) != Some(&wire::record_hash(&publication.record)))
            };
            let batch: Vec<_> = page.into_iter().filter(differs).collect();
            let (gone, live): (Vec<_>, Vec<_>) = batch.into_iter().partition(|one| one.record.is_gone());
            self.publish(index, live).await?;
            self.publish(index, gone).await?;
        }
    }

    async fn known_to_index(
        &self,
        index: &IndexClient,
    ) -> Result<HashMap<ResourceName, RecordHash>, ErrorBody> {
        let mut known = HashMap::new();
        let mut cursor = None;
        loop {
            let list = List {
                limit: Some(limits::PAGE_ITEMS as u32),
                node: Some(self.node()),
                gone: true,
                cursor: cursor.take(),
                ..List::default()
            };
            let page = index.list(list).await?;
            known.extend(page.items.into_iter().map(|entry| (entry.name, entry.record)));
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(known),
            }
        }
    }

    /// Sends publications of one kind, records or tombstones, and keeps what became of each.
    ///
    /// # Errors
    /// What the index or the store says; outcomes are no errors.
    pub(crate) async fn publish(
        &self,
        index: &IndexClient,
        publications: Vec<Publication>,
    ) -> Result<Vec<Outcome>, ErrorBody> {
        if publications.is_empty() {
            return Ok(Vec::new());
        }
        let gone = publications.iter().any(|publication| publication.record.is_gone());
        let bundles: Vec<_> = publications.iter().map(bundle).collect();
        let answer = match send_records(index, gone, bundles.clone()).await {
            // A record may be sent twice: the index was restarted, or had it already.
            Err(CallError::Connection(_)) => send_records(&self.index().await?, gone, bundles).await,
            other => other,
        };
        let outcomes = answer?.outcomes;
        if outcomes.len() != publications.len() {
            return Err(ErrorBody::new(ErrorCode::BadMessage, "the index answered for other records"));
        }
        for (publication, outcome) in publications.iter().zip(&outcomes) {
            self.keep_outcome(publication, outcome).await?;
        }
        Ok(outcomes)
    }

    pub(super) async fn keep_outcome(
        &self,
        publication: &Publication,
        outcome: &Outcome,
    ) -> Result<(), ErrorBody> {
        let (name, hash) = (publication.name.clone(), wire::record_hash(&publication.record));
        info!(%name, outcome = outcome.outcome.as_str(), "registered");
        match (outcome.outcome, &outcome.receipt, &outcome.winner) {
            (OutcomeKind::Superseded, ..) => {
                let winner = outcome.winner.as_ref().and_then(|winner| SignedRecord::parse(winner).ok());
                let by = winner.map(|winner| winner.version);
                self.store.set_superseded(name, hash, by).await.map_err(internal)?;
            }
            (OutcomeKind::Refused, ..) => {
                let text = outcome.error.as_ref().map_or("", |error| error.text.as_str());
                warn!(%name, text, "the index refuses a record");
            }
            (_, Some(receipt), None) => {
                if !publication.record.is_gone() {
                    self.hear_of_own(&name, hash);
                }
                let certificate = self.receipt_certificate(outcome).unwrap_or_default();
                let acknowledged = Some((receipt.as_slice(), certificate.as_ref()));
                self.copy_own(vec![self.shown_record(&publication.record, acknowledged)]).await;
                let kept =
                    self.store.set_publication_receipt(name, hash, receipt.to_vec().into(), certificate);
                kept.await.map_err(internal)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The certificate that an outcome's receipt hangs from: the one that came with it, or the index's own.
    pub(super) fn receipt_certificate(&self, outcome: &Outcome) -> Option<bytes::Bytes> {
        match &outcome.certificate {
            Some(certificate) => Some(certificate.to_vec().into()),
            None => self.me().certificate.map(|certificate| certificate.bytes().to_vec().into()),
        }
    }

    /// A sequence larger than every one before: max(unix ms, last + 1).
    async fn next_sequence(&self) -> Result<u64, ErrorBody> {
        let stored = self.store.setting(SEQUENCE_SETTING).await.map_err(internal)?;
        let last = stored.and_then(|bytes| bytes.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes);
        let next = clock::wall().0.max(last + 1);
        self.store.set_setting(SEQUENCE_SETTING, next.to_be_bytes().to_vec()).await.map_err(internal)?;
        self.sequence.store(next, Ordering::Relaxed);
        Ok(next)
    }

    fn current_sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }
}

async fn send_records(
    index: &IndexClient,
    gone: bool,
    bundles: Vec<RecordBundle>,
) -> Result<Registered, CallError> {
    if gone { index.deregister(bundles).await } else { index.register(bundles).await }
}

fn bundle(publication: &Publication) -> RecordBundle {
    RecordBundle {
        record: ByteBuf::from(publication.record.bytes()),
        receipt: publication.receipt.as_ref().map(|receipt| ByteBuf::from(receipt.to_vec())),
        certificate: publication.certificate.as_ref().map(|certificate| ByteBuf::from(certificate.to_vec())),
        enrolment: None,
    }
}

/// Sends all holdings as one generation.
async fn send_holdings(index: &IndexClient, generation: u64, held: &[Held]) -> Result<(), ErrorBody> {
    let mut batches = held.chunks(limits::BATCH_HOLDINGS).peekable();
    if batches.peek().is_none() {
        return Ok(index.hold(generation, Vec::new(), true).await?);
    }
    while let Some(batch) = batches.next() {
        index.hold(generation, batch.to_vec(), batches.peek().is_none()).await?;
    }
    Ok(())
}

fn internal(error: impl std::fmt::Display) -> ErrorBody {
    ErrorBody::new(ErrorCode::Internal, error.to_string())
}
