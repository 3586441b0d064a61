//! Which records of a catalogue are believed, leaf by leaf: pure.

use std::sync::Arc;

use certs::{Enrolment, IndexCertificate, Signed, SignedError, UnixMillis, UnixNanos};
use wire::catalogue::{CatalogueRecord, RecordsLeaf};
use wire::{Receipt, Record, SignedRecord, record_hash};

use super::refusal::{Refusal, Refused};
use crate::registry::{FUTURE_MS, Given, Replicated};
use crate::verify::Trust;

/// A certificate of a leaf, and its bytes.
type Certificate = (Signed<IndexCertificate>, Arc<[u8]>);

/// Checks all records of a leaf of the catalogue of the node with this enrolment. Costs two signature checks for each.
///
/// # Errors
/// The first that is not believed.
pub(super) fn check(
    trust: &Trust<'_>,
    enrolment: &Enrolment,
    leaf: &RecordsLeaf,
    now: UnixMillis,
) -> Result<Vec<Replicated>, Refused> {
    let certificates = certificates(trust, leaf)?;
    let mut records: Vec<Replicated> = Vec::with_capacity(leaf.records.len());
    for one in &leaf.records {
        let record = Signed::<Record>::parse(&one.record).map_err(|error| unreadable(&error))?;
        check_owner(trust, enrolment, &record, now)?;
        let above = records.last().is_none_or(|last| last.record.name.as_str() < record.name.as_str());
        if !above {
            return Err(Refused::new(Refusal::BadTree, "records are not in the order of their names"));
        }
        let receipt = match &one.receipt {
            Some(receipt) => Some(check_receipt(trust, &certificates, &record, receipt)?),
            None => {
                let untrusted = |text| Refused::new(Refusal::BadRecord, text);
                trust.check_published(enrolment, &record).map_err(untrusted)?;
                None
            }
        };
        records.push(Replicated { record, receipt });
    }
    Ok(records)
}

/// The records of a leaf that was checked before it was stored.
///
/// # Errors
/// What is stored is not what was.
pub(super) fn stored(leaf: &RecordsLeaf) -> Result<Vec<Replicated>, SignedError> {
    let certificates: Vec<(_, Arc<[u8]>)> =
        leaf.certificates.iter().map(|bytes| (certs::hash_of(bytes), bytes[..].into())).collect();
    let one = |one: &CatalogueRecord| {
        let record = Signed::<Record>::parse_stored(&one.record)?;
        let receipt = match &one.receipt {
            None => None,
            Some(bytes) => {
                let receipt = Signed::<Receipt>::parse_stored(bytes)?;
                let named = certificates.iter().find(|(hash, _)| hash == receipt.issuer.as_bytes());
                let certificate = named.map(|(_, bytes)| bytes.clone()).unwrap_or_default();
                Some(Given { receipt: bytes.to_vec(), time: receipt.time, certificate })
            }
        };
        Ok(Replicated { record, receipt })
    };
    leaf.records.iter().map(one).collect()
}

fn certificates(trust: &Trust<'_>, leaf: &RecordsLeaf) -> Result<Vec<Certificate>, Refused> {
    // What counts is when a receipt was given, not whether its certificate holds today.
    let one = |bytes: &serde_bytes::ByteBuf| {
        let certificate = IndexCertificate::verify(bytes, trust.network, UnixMillis(0))
            .map_err(|error| Refused::new(Refusal::BadReceipt, error.to_string()))?;
        Ok((certificate, bytes[..].into()))
    };
    leaf.certificates.iter().map(one).collect()
}

fn unreadable(error: &SignedError) -> Refused {
    let refusal = match error {
        SignedError::Unknown(_) | SignedError::Critical(_) => Refusal::Unsupported,
        _ => Refusal::BadRecord,
    };
    Refused::new(refusal, error.to_string())
}

fn check_owner(
    trust: &Trust<'_>,
    enrolment: &Enrolment,
    record: &Record,
    now: UnixMillis,
) -> Result<(), Refused> {
    let membership = &enrolment.membership;
    let own = record.network == *trust.network
        && record.node == membership.node
        && record.account == membership.account
        && record.user == membership.user;
    if !own {
        return Err(Refused::new(Refusal::ForeignRecord, "a record of another node, account or network"));
    }
    match record.published > UnixNanos::from(now.plus(FUTURE_MS)) {
        true => Err(Refused::new(Refusal::Untimely, "a record from the future")),
        false => Ok(()),
    }
}

fn check_receipt(
    trust: &Trust<'_>,
    certificates: &[Certificate],
    record: &SignedRecord,
    bytes: &[u8],
) -> Result<Given, Refused> {
    let bad = |text: String| Refused::new(Refusal::BadReceipt, text);
    let receipt = Signed::<Receipt>::parse(bytes).map_err(|error| bad(error.to_string()))?;
    let named = certificates.iter().find(|(certificate, _)| certificate.hash() == receipt.issuer.as_bytes());
    let (certificate, certificate_bytes) =
        named.ok_or_else(|| bad("the certificate that a receipt names did not come with it".to_owned()))?;
    trust.check_given(&receipt, certificate, record_hash(record)).map_err(bad)?;
    Ok(Given { receipt: bytes.to_vec(), time: receipt.time, certificate: certificate_bytes.clone() })
}
