//! What this node publishes and holds, brought into its copy and told the others under a head of its own; and its presence.

use std::sync::Arc;
use std::time::Duration;

use certs::{Enrolment, UnixMillis};
use index::Replica;
use serde_bytes::ByteBuf;
use tracing::warn;
use wire::message::{Address, News, RecordBundle, holdings_digest, records_digest};
use wire::{ErrorBody, ErrorCode, SignedRecord, limits};

use crate::clock::monotonic;
use crate::peer::Shared;
use crate::store::{Publication, PublicationState};

/// What changes within this time is told under one head.
const TOGETHER: Duration = Duration::from_millis(500);
/// Between two heads passes at least so many times as long as it took to make the last: a fifth of a core at most.
const REST: u32 = 4;
/// But no more than this: on a busy machine it took long because others worked.
const LONGEST_REST: Duration = Duration::from_secs(10);
/// A head is made anew at least so often.
const ANEW: Duration = Duration::from_secs(3600);
/// How often this node says where it is.
const PRESENCE: Duration = Duration::from_secs(300);
/// How often it is looked whether that is elsewhere by now, and whether it was too long ago, also of a head. By the wall clock:
/// a machine that slept does not count the time by the other.
const LOOK: Duration = Duration::from_secs(15);
/// How long a node that stops waits until others have heard that.
const LAST_WORD: Duration = Duration::from_millis(500);

/// Keeps what the copy says of this node true, and tells it, until the node stops.
pub(crate) async fn keep_own(shared: Arc<Shared>) {
    let (mut rested, mut told) = (monotonic(), shared.clock.now());
    loop {
        let changed = tokio::time::timeout(LOOK, shared.fallback.own_changed.notified()).await.is_ok();
        if !changed && !has_passed(&shared, told, ANEW) {
            continue;
        }
        told = shared.clock.now();
        tokio::time::sleep_until(rested.max(monotonic() + TOGETHER).into()).await;
        let enrolment = shared.me().enrolment;
        let Some((replica, enrolment)) = shared.replica().zip(enrolment) else { continue };
        let began = monotonic();
        if let Err(body) = shared.tell_own(&replica, &enrolment).await {
            warn!(%body, "what this node shares is not told the other members");
        }
        let ended = monotonic();
        rested = ended + (ended.saturating_duration_since(began) * REST).min(LONGEST_REST);
    }
}

/// Says where this node is, until it stops.
pub(crate) async fn keep_present(shared: Arc<Shared>) {
    let since = shared.clock.now();
    let mut said: Option<Said> = None;
    loop {
        let addresses = shared.net.addresses();
        let due = said
            .as_ref()
            .is_none_or(|said| said.addresses != addresses || has_passed(&shared, said.time, PRESENCE));
        let known = said.as_ref().filter(|said| said.addresses == addresses).map(|said| said.under);
        if due && let Some(under) = shared.say_where(addresses.clone(), since, known).await {
            said = Some(Said { addresses, under, time: shared.clock.now() });
        }
        let _ = tokio::time::timeout(LOOK, shared.fallback.say_again.notified()).await;
    }
}

/// Serial and end of a membership: one that is renewed while the index recovers keeps its serial.
type Term = (u64, UnixMillis);

/// What was said last.
struct Said {
    addresses: Vec<Address>,
    /// Of the membership under which it was said.
    under: Term,
    time: UnixMillis,
}

/// Whether so much has passed since, or the clock was set back.
fn has_passed(shared: &Shared, since: UnixMillis, time: Duration) -> bool {
    let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let now = shared.clock.now();
    now < since || since.plus(time) <= now
}

impl Shared {
    /// Something that this node publishes or holds may be another thing by now: the index is told, and the members.
    pub(crate) fn own_changed(&self) {
        self.announce.notify_one();
        self.fallback.own_changed.notify_one();
    }

    /// A record of this node as it is shown to others: with its receipt, or else with what shows who publishes it.
    pub(crate) fn shown_record(
        &self,
        record: &SignedRecord,
        acknowledged: Option<(&[u8], &[u8])>,
    ) -> RecordBundle {
        let enrolment = || self.me().enrolment.map(|enrolment| ByteBuf::from(enrolment.to_bytes()));
        RecordBundle {
            record: ByteBuf::from(record.bytes()),
            receipt: acknowledged.map(|(receipt, _)| ByteBuf::from(receipt)),
            certificate: acknowledged.map(|(_, certificate)| ByteBuf::from(certificate)),
            enrolment: if acknowledged.is_some() { None } else { enrolment() },
        }
    }

    /// Takes records of this node into its copy, where it has one. At the index they are there already.
    pub(crate) async fn copy_own(&self, bundles: Vec<RecordBundle>) {
        let Some(replica) = self.replica().filter(|_| self.service.is_none()) else { return };
        if let Err(body) = self.enter_own(&replica, bundles).await {
            warn!(%body, "a record of this node is not in its copy yet");
        }
        self.fallback.own_changed.notify_one();
    }

    /// Takes records of this node into its copy.
    ///
    /// # Errors
    /// The copy's.
    pub(crate) async fn enter_own(
        &self,
        replica: &Replica,
        bundles: Vec<RecordBundle>,
    ) -> Result<(), ErrorBody> {
        let none = || ErrorBody::new(ErrorCode::NotMember, "this node is not logged in");
        replica.enrol(&self.me().enrolment.ok_or_else(none)?).await?;
        replica.publish(bundles).await
    }

    async fn tell_own(&self, replica: &Replica, enrolment: &Enrolment) -> Result<(), ErrorBody> {
        replica.enrol(enrolment).await?;
        if self.service.is_none() {
            let there = replica.own_digests().await?;
            let (heads, _) = self.published_heads().await?;
            if records_digest(heads.iter().map(|(name, record)| (name, *record))) != there.records {
                self.copy_publications(replica, enrolment).await?;
            }
            let mut held = self.held().await?;
            held.retain(|held| held.whole);
            if holdings_digest(held.iter().copied()) != there.holdings {
                replica.set_held(held.into_iter().map(|held| held.content).collect()).await?;
            }
        }
        if let Some(head) = replica.own_head(self.credentials.key(), enrolment).await? {
            self.spread(None, News { heads: vec![head], ..News::default() });
        }
        Ok(())
    }

    /// Brings the copy up to what this node publishes.
    async fn copy_publications(&self, replica: &Replica, enrolment: &Enrolment) -> Result<(), ErrorBody> {
        let mut after = None;
        loop {
            let page = self.store.publications(after.take(), limits::BATCH_RECORDS as u32).await;
            let page = page.map_err(internal)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.name.clone());
            let own = |one: &&Publication| {
                one.record.node == self.node()
                    && one.record.account == enrolment.membership.account
                    && one.state != PublicationState::Superseded
            };
            let bundles: Vec<_> = page.iter().filter(own).map(|one| self.shown_publication(one)).collect();
            if !bundles.is_empty() {
                replica.publish(bundles).await?;
            }
        }
    }

    fn shown_publication(&self, publication: &Publication) -> RecordBundle {
        let acknowledged = publication.receipt.as_deref().zip(publication.certificate.as_deref());
        self.shown_record(&publication.record, acknowledged)
    }

    /// Says where this node is; the membership that it says it under, `None` where it could not. The enrolment is left out where
    /// it was shown with the same word before (`known`): it would be two thirds of all that an idle network tells. Who does not know
    /// it has both at the next comparison.
    async fn say_where(
        &self,
        addresses: Vec<Address>,
        since: UnixMillis,
        known: Option<Term>,
    ) -> Option<Term> {
        let (replica, enrolment) = self.replica().zip(self.me().enrolment)?;
        let under = (enrolment.membership.serial, enrolment.membership.not_after);
        let said = replica.say_presence(self.credentials.key(), &enrolment, addresses, since).await;
        match said {
            Ok(mut word) => {
                word.enrolment.take_if(|_| known == Some(under));
                self.spread(None, News { presence: vec![word], ..News::default() });
                Some(under)
            }
            Err(body) => {
                warn!(%body, "this node cannot say where it is");
                None
            }
        }
    }

    /// Tells the others that this node stops.
    pub(crate) async fn say_goodbye(&self) {
        let enrolment = self.me().enrolment;
        let Some((replica, enrolment)) = self.replica().zip(enrolment) else { return };
        let now = self.clock.now();
        if let Ok(word) = replica.say_presence(self.credentials.key(), &enrolment, Vec::new(), now).await {
            self.tell_now(News { presence: vec![word], ..News::default() }, LAST_WORD).await;
        }
    }
}

fn internal(error: impl std::fmt::Display) -> ErrorBody {
    ErrorBody::new(ErrorCode::Internal, error.to_string())
}
