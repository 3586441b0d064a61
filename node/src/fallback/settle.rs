//! A record that this node publishes while the index is away: what becomes of it, by what its copy knows.
//!
//! The total order decides, as at the index; the index, and every other copy, decides the same once it hears of the record.

use index::Replica;
use wire::message::{FollowOutcome, Followed, Outcome, OutcomeKind, RecordBundle};
use wire::{ErrorBody, ErrorCode, RecordRank, SignedRecord, record_hash};

use crate::peer::Shared;

impl Shared {
    /// Publishes a record, or a tombstone, to this node's copy, and from there to the other members. The outcome is the one that the
    /// index would give, without a receipt.
    ///
    /// # Errors
    /// The copy's.
    pub(crate) async fn publish_to_copy(
        &self,
        replica: &Replica,
        record: &SignedRecord,
    ) -> Result<Outcome, ErrorBody> {
        let stands = self.stands_in_copy(replica, record).await?;
        let outcome = outcome(record, stands)?;
        if !matches!(outcome.outcome, OutcomeKind::Superseded) && outcome.winner.is_none() {
            self.enter_own(replica, vec![self.shown_record(record, None)]).await?;
            self.fallback.note_own();
        }
        Ok(outcome)
    }

    /// What stands in the copy for the resource of a record, a tombstone too.
    async fn stands_in_copy(
        &self,
        replica: &Replica,
        record: &SignedRecord,
    ) -> Result<Option<RecordBundle>, ErrorBody> {
        let asked = Followed { account: record.account, name: record.name.clone(), have: None };
        let outcomes = replica.standing(vec![asked]).await?;
        Ok(outcomes.into_iter().next().and_then(|FollowOutcome { bundle, .. }| bundle))
    }

    /// Whether the copy lists a record, so that other members may as well.
    ///
    /// # Errors
    /// The copy's.
    pub(crate) async fn is_in_copy(&self, record: &SignedRecord) -> Result<bool, ErrorBody> {
        let Some(replica) = self.replica() else { return Ok(false) };
        let stands = self.stands_in_copy(&replica, record).await?;
        Ok(stands.is_some_and(|bundle| bundle.record == record.bytes()))
    }
}

/// What becomes of a record where this one stands.
fn outcome(record: &SignedRecord, stands: Option<RecordBundle>) -> Result<Outcome, ErrorBody> {
    let plain = |outcome| Outcome { outcome, receipt: None, certificate: None, winner: None, error: None };
    let Some(bundle) = stands else { return Ok(plain(OutcomeKind::Created)) };
    let standing = SignedRecord::parse(&bundle.record)
        .map_err(|error| ErrorBody::new(ErrorCode::Internal, error.to_string()))?;
    let rank = |record: &SignedRecord| -> RecordRank { record.rank(record_hash(record)) };
    let same = standing.content.is_some() && standing.content == record.content;
    let winner = || Some(bundle.record.clone());
    let gone_already = standing.is_gone() && record.is_gone();
    Ok(if standing.bytes() == record.bytes() || gone_already {
        plain(OutcomeKind::Unchanged)
    } else if same && standing.version >= record.version {
        let (receipt, certificate) = (bundle.receipt.clone(), bundle.certificate.clone());
        Outcome { receipt, certificate, winner: winner(), ..plain(OutcomeKind::Unchanged) }
    } else if rank(&standing) > rank(record) {
        Outcome { winner: winner(), ..plain(OutcomeKind::Superseded) }
    } else if standing.is_gone() {
        plain(OutcomeKind::Created)
    } else {
        plain(OutcomeKind::Updated)
    })
}
