//! Which record is believed: signature, network, and the index's receipt or the publisher's membership.

use certs::{Enrolment, IndexCertificate, NetworkId, NodeId, Signed, UnixMillis};
use wire::message::RecordBundle;
use wire::{
    ContentHash, ErrorBody, ErrorCode, Receipt, Record, RecordHash, RecordRank, SignedRecord, record_hash,
    record_refusal,
};

/// A record that holds, with the bytes that show it.
#[derive(Debug, Clone)]
pub struct VerifiedRecord {
    /// The record.
    pub record: SignedRecord,
    /// Its hash.
    pub hash: RecordHash,
    /// As it came.
    pub bundle: RecordBundle,
}

impl VerifiedRecord {
    /// Its place in the total order.
    pub fn rank(&self) -> RecordRank {
        self.record.rank(self.hash)
    }

    /// Whether it is of another version than this one, and that of the two that counts.
    pub fn supersedes(&self, other: &Self) -> bool {
        self.record.content != other.record.content && self.rank() > other.rank()
    }

    /// The content, of a record that is no tombstone.
    ///
    /// # Errors
    /// `not-found` for a tombstone.
    pub fn content(&self) -> Result<ContentHash, ErrorBody> {
        let gone = || ErrorBody::new(ErrorCode::NotFound, "it is no longer shared");
        self.record.content.ok_or_else(gone)
    }
}

/// What a node knows of whom to believe.
#[derive(Clone, Copy)]
pub struct Trust<'a> {
    /// The network.
    pub network: &'a NetworkId,
    /// The index certificate of the highest epoch that it knows.
    pub certificate: Option<&'a Signed<IndexCertificate>>,
    /// Since when a node's membership with a serial is ended before its time, if it is.
    pub revoked: &'a (dyn Fn(&NodeId, u64) -> Option<UnixMillis> + 'a),
}

impl Trust<'_> {
    /// Checks a record with what came with it. Costs two or three signature checks.
    ///
    /// # Errors
    /// `bad-record` with what is wrong; `unsupported` for what a later version may know.
    pub fn verify_bundle(&self, bundle: &RecordBundle) -> Result<VerifiedRecord, ErrorBody> {
        let record = Signed::<Record>::parse(&bundle.record).map_err(|error| record_refusal(&error))?;
        if record.network != *self.network {
            return Err(bad("the record is of another network"));
        }
        let hash = record_hash(&record);
        match &bundle.receipt {
            Some(receipt) => self.check_any_receipt(bundle, receipt, hash).map_err(bad)?,
            None => self.check_publisher(bundle, &record).map_err(bad)?,
        }
        Ok(VerifiedRecord { record, hash, bundle: bundle.clone() })
    }

    /// The receipt is of an index of this network: the one that is known, or one whose certificate came along.
    fn check_any_receipt(
        &self,
        bundle: &RecordBundle,
        receipt: &[u8],
        hash: RecordHash,
    ) -> Result<(), String> {
        if let Some(known) = self.certificate
            && Receipt::verify(receipt, known, hash).is_ok()
        {
            return Ok(());
        }
        let bytes = bundle.certificate.as_ref().ok_or("the receipt is of an index that is not known")?;
        let certificate = IndexCertificate::verify(bytes, self.network, UnixMillis(0))
            .map_err(|error| error.to_string())?;
        self.check_receipt(receipt, &certificate, hash).map(drop)
    }

    /// The receipt is of the index with this certificate, which holds but perhaps is over, and counts. Costs a signature
    /// check.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check_receipt(
        &self,
        receipt: &[u8],
        certificate: &Signed<IndexCertificate>,
        hash: RecordHash,
    ) -> Result<Signed<Receipt>, String> {
        let receipt = Signed::<Receipt>::parse(receipt).map_err(|error| error.to_string())?;
        self.check_given(&receipt, certificate, hash)?;
        Ok(receipt)
    }

    /// The same for one whose signature was checked.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check_given(
        &self,
        receipt: &Signed<Receipt>,
        certificate: &Signed<IndexCertificate>,
        hash: RecordHash,
    ) -> Result<(), String> {
        Receipt::check_given(receipt, certificate, hash).map_err(|error| error.to_string())?;
        // It outlives the certificate: what counts is when it was given.
        if certificate.not_after < receipt.time {
            return Err("the receipt was given after its index certificate had ended".to_owned());
        }
        match self.certificate {
            Some(known) if known.voids(certificate, receipt.time) => {
                Err("the receipt is of an index whose statements are void".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn check_publisher(&self, bundle: &RecordBundle, record: &Record) -> Result<(), String> {
        let bytes = bundle
            .enrolment
            .as_ref()
            .ok_or("neither a receipt nor the publisher's membership came with it")?;
        let enrolment = Enrolment::verify_timeless(bytes, self.network, &record.node)
            .map_err(|error| error.to_string())?;
        self.check_published(&enrolment, record)
    }

    /// Without a receipt the publisher's membership, whose chain holds, must have held when it published. One that was
    /// renewed since stands for the one before it.
    ///
    /// # Errors
    /// Why it did not.
    pub(crate) fn check_published(&self, enrolment: &Enrolment, record: &Record) -> Result<(), String> {
        let membership = &enrolment.membership;
        if membership.account != record.account || membership.user != record.user {
            return Err("the publisher's membership is of another account".to_owned());
        }
        let published = UnixMillis(u64::try_from(record.published.0 / 1_000_000).unwrap_or(0));
        if published > membership.not_after.plus(certs::MEMBERSHIP_GRACE_MS) {
            return Err("the publisher's membership had ended when it published".to_owned());
        }
        match (self.revoked)(&record.node, membership.serial) {
            Some(since) if since <= published => {
                Err("the publisher had logged out when it published".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn bad(text: impl Into<String>) -> ErrorBody {
    ErrorBody::new(ErrorCode::BadRecord, text)
}
