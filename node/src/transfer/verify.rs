//! Which record is believed: signature, network, and the index's receipt or the publisher's membership.

use std::sync::Arc;

use certs::{Enrolment, IndexCertificate, Signed, UnixMillis};
use wire::message::RecordBundle;
use wire::{
    ContentHash, ErrorBody, ErrorCode, Receipt, Record, RecordHash, RecordRank, SignedRecord, record_hash,
    record_refusal,
};

use crate::peer::Shared;

/// A record that holds, with the bytes that show it.
#[derive(Debug, Clone)]
pub(crate) struct VerifiedRecord {
    pub(crate) record: SignedRecord,
    pub(crate) hash: RecordHash,
    pub(crate) bundle: RecordBundle,
}

impl VerifiedRecord {
    /// Its place in the total order.
    pub(crate) fn rank(&self) -> RecordRank {
        self.record.rank(self.hash)
    }

    /// Whether it is of another version than this one, and that of the two that counts.
    pub(crate) fn supersedes(&self, other: &Self) -> bool {
        self.record.content != other.record.content && self.rank() > other.rank()
    }

    /// The content, of a record that is no tombstone.
    ///
    /// # Errors
    /// `not-found` for a tombstone.
    pub(crate) fn content(&self) -> Result<ContentHash, ErrorBody> {
        let gone = || ErrorBody::new(ErrorCode::NotFound, "it is no longer shared");
        self.record.content.ok_or_else(gone)
    }
}

/// Checks a record with what came with it. Costs two or three signature checks.
///
/// # Errors
/// `bad-record` with what is wrong; `unsupported` for what a later version may know.
pub(crate) fn verify_bundle(shared: &Shared, bundle: &RecordBundle) -> Result<VerifiedRecord, ErrorBody> {
    let bad = |text: String| ErrorBody::new(ErrorCode::BadRecord, text);
    let record = Signed::<Record>::parse(&bundle.record).map_err(|error| record_refusal(&error))?;
    if record.network != shared.network() {
        return Err(bad("the record is of another network".to_owned()));
    }
    let hash = record_hash(&record);
    match &bundle.receipt {
        Some(receipt) => check_receipt(shared, bundle, receipt, hash).map_err(bad)?,
        None => check_publisher(shared, bundle, &record).map_err(bad)?,
    }
    Ok(VerifiedRecord { record, hash, bundle: bundle.clone() })
}

/// [`verify_bundle`] on a thread for what blocks.
///
/// # Errors
/// The same, and `shutting-down`.
pub(crate) async fn verify_off_thread(
    shared: &Arc<Shared>,
    bundle: RecordBundle,
) -> Result<VerifiedRecord, ErrorBody> {
    let verifier = shared.clone();
    let verified = tokio::task::spawn_blocking(move || verify_bundle(&verifier, &bundle)).await;
    verified.map_err(|_| ErrorBody::new(ErrorCode::ShuttingDown, "stopping"))?
}

/// The receipt is of an index of this network: the one that is known, or one whose certificate came along.
fn check_receipt(
    shared: &Shared,
    bundle: &RecordBundle,
    receipt: &[u8],
    hash: RecordHash,
) -> Result<(), String> {
    let me = shared.me();
    if let Some(known) = &me.certificate
        && Receipt::verify(receipt, known, hash).is_ok()
    {
        return Ok(());
    }
    let bytes = bundle.certificate.as_ref().ok_or("the receipt is of an index that is not known")?;
    // It outlives the certificate: what counts is when it was given.
    let given = Signed::<Receipt>::parse(receipt).map_err(|error| error.to_string())?.time;
    let certificate =
        IndexCertificate::verify(bytes, &me.network, given).map_err(|error| error.to_string())?;
    let receipt = Receipt::verify(receipt, &certificate, hash).map_err(|error| error.to_string())?;
    match me.certificate {
        Some(known) if known.epoch > certificate.epoch && voided(&known, receipt.time) => {
            Err("the receipt is of an index whose statements are void".to_owned())
        }
        _ => Ok(()),
    }
}

fn voided(newer: &IndexCertificate, time: UnixMillis) -> bool {
    newer.older_void_since.is_some_and(|since| time >= since)
}

/// Without a receipt the publisher's membership must have held when it published.
fn check_publisher(shared: &Shared, bundle: &RecordBundle, record: &Record) -> Result<(), String> {
    let bytes =
        bundle.enrolment.as_ref().ok_or("neither a receipt nor the publisher's membership came with it")?;
    let published = UnixMillis(u64::try_from(record.published.0 / 1_000_000).unwrap_or(0));
    let enrolment = Enrolment::verify(bytes, &shared.network(), &record.node, published, published)
        .map_err(|error| error.to_string())?;
    let membership = &enrolment.membership;
    match membership.account == record.account && membership.user == record.user {
        true => Ok(()),
        false => Err("the publisher's membership is of another account".to_owned()),
    }
}
