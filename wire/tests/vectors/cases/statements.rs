//! Index certificate, membership, enrolment, record, tombstone, receipt, digests.

use std::collections::BTreeMap;

use certs::{
    Enrolment, INDEX_CERTIFICATE_VALIDITY_MS, IndexCertificate, MEMBERSHIP_GRACE_MS, Membership, SecretKey,
    Signed, Statement, UnixMillis,
};
use serde_bytes::ByteBuf;
use wire::message::{Held, holdings_digest, records_digest};
use wire::{ContentHash, Extension, Record, RecordHash, ResourceName, SignedRecord, record_hash};

use super::world::{self, NOW};
use super::{Case, hex};

pub(crate) fn cases() -> Vec<Case> {
    [certificates(), memberships(), enrolments(), records(), receipts(), digests()]
        .into_iter()
        .flatten()
        .collect()
}

fn certificates() -> Vec<Case> {
    let good = world::certificate();
    let case = |name: &str, about: &str, bytes: &[u8], now: UnixMillis, network: &SecretKey| {
        Case::new(&format!("index-certificate{name}"), "index-certificate", about)
            .header("network", network.public())
            .header("now", now.0)
            .header("hash", hex(&certs::hash_of(bytes)))
            .item(bytes)
    };
    let root = world::root();
    let end = NOW.plus(INDEX_CERTIFICATE_VALIDITY_MS);
    let body = IndexCertificate { older_void_since: Some(NOW), epoch: 2, ..good.body().clone() };
    let second = Signed::sign(&root, body);
    let by_index = resigned(&good, &world::index());
    vec![
        case("", "The root names the index.", good.bytes(), NOW, &root),
        case("-last", "The same in its last millisecond.", good.bytes(), end, &root),
        case(
            "-epoch-2",
            "A second one, which voids what the first index signs from now on.",
            second.bytes(),
            NOW,
            &root,
        ),
        case("-refused-expired", "Its time is over.", good.bytes(), end.plus(1), &root).expect("not-member"),
        case(
            "-refused-other-network",
            "Where another network is expected.",
            good.bytes(),
            NOW,
            &world::bob(),
        )
        .expect("other-network"),
        case("-refused-signer", "Signed by another key than the root's.", &by_index, NOW, &root)
            .expect("not-member"),
        case("-refused-epoch-0", "Epochs start at 1.", &changed(&good, "epoch", 0, &root), NOW, &root)
            .expect("not-member"),
        case("-refused-format", "Another format.", &changed(&good, "format", 1, &root), NOW, &root)
            .expect("not-member"),
    ]
}

/// The same statement, signed by somebody else in the same context.
pub(super) fn resigned<T: Statement>(statement: &Signed<T>, key: &SecretKey) -> Vec<u8> {
    envelope::<T>(wire::cbor::encode(statement.body()), key)
}

/// The statement with a number in it changed.
pub(super) fn changed<T: Statement>(
    statement: &Signed<T>,
    field: &str,
    value: u64,
    key: &SecretKey,
) -> Vec<u8> {
    envelope::<T>(wire::cbor::encode(&world::with(statement.body(), field, value)), key)
}

pub(super) fn envelope<T: Statement>(payload: Vec<u8>, key: &SecretKey) -> Vec<u8> {
    let protected = world::header(&[(1, (-8).into()), (4, world::kid(key))]);
    let unprotected = ciborium::Value::Map(Vec::new());
    let seed = key.seed()[0];
    world::Envelope { context: T::CONTEXT, protected, unprotected, payload, seed }.sign()
}

fn memberships() -> Vec<Case> {
    let good = world::enrolment().membership;
    let case = |name: &str, about: &str, bytes: &[u8]| {
        Case::new(&format!("membership{name}"), "membership", about)
            .header("index", world::index().public())
            .header("hash", hex(&certs::hash_of(bytes)))
            .item(bytes)
    };
    let of = |field: &str, value: u64| changed(&good, field, value, &world::index());
    let as_record = {
        let payload = wire::cbor::encode(good.body());
        envelope::<Record>(payload, &world::index())
    };
    vec![
        case("", "The index says that a node is alice's.", good.bytes()),
        case("-refused-serial-0", "Serials start at 1.", &of("serial", 0)).expect("not-member"),
        case("-refused-format", "Another format.", &of("format", 1)).expect("not-member"),
        case("-refused-context", "Signed in the context of a record.", &as_record).expect("not-member"),
    ]
}

fn enrolments() -> Vec<Case> {
    let good = world::enrolment();
    let case = |name: &str, about: &str, enrolment: &Enrolment, now: UnixMillis, seen: UnixMillis| {
        Case::new(&format!("enrolment{name}"), "enrolment", about)
            .header("network", world::root().public())
            .header("node", world::alice().public())
            .header("now", now.0)
            .header("index-seen", seen.0)
            .item(&enrolment.to_bytes())
    };
    let (begin, end) = (good.membership.not_before, good.membership.not_after);
    let grace = end.plus(MEMBERSHIP_GRACE_MS);
    let issue = |index: &SecretKey, node: &SecretKey| {
        let user = "alice".parse().expect("a name");
        let certificate = world::certificate();
        let account = world::ALICES_ACCOUNT;
        let membership = Membership::issue(index, &certificate, account, user, node.public(), 1, NOW);
        Enrolment { certificate, membership }
    };
    let bobs = issue(&world::index(), &world::bob());
    let by_bob = issue(&world::bob(), &world::alice());
    let other_certificate = Enrolment {
        certificate: IndexCertificate::issue(&world::root(), world::index().public(), 2, NOW),
        ..good.clone()
    };
    vec![
        case("", "A membership with its index certificate.", &good, NOW, NOW),
        case("-first", "In its first millisecond.", &good, begin, NOW),
        case("-last", "In its last millisecond.", &good, end, end),
        case("-grace", "In the last millisecond of the grace: the index has been away.", &good, grace, end),
        case("-refused-not-yet", "A millisecond before it begins.", &good, begin.minus(1), NOW)
            .expect("not-member"),
        case(
            "-refused-ended",
            "It ended, and the index has been seen since.",
            &good,
            end.plus(1),
            end.plus(1),
        )
        .expect("not-member"),
        case("-refused-grace", "A millisecond after the grace.", &good, grace.plus(1), end)
            .expect("not-member"),
        case("-refused-node", "Of another node than the one in question.", &bobs, NOW, NOW)
            .expect("not-member"),
        case("-refused-issuer", "Signed by a node that is not the index.", &by_bob, NOW, NOW)
            .expect("not-member"),
        case("-refused-certificate", "With another certificate than it names.", &other_certificate, NOW, NOW)
            .expect("not-member"),
    ]
}

pub(super) fn record_case(name: &str, about: &str, bytes: &[u8]) -> Case {
    Case::new(&format!("record{name}"), "record", about)
        .header("hash", hex(&certs::hash_of(bytes)))
        .item(bytes)
}

fn records() -> Vec<Case> {
    let first = world::record();
    let next = |body: Record| Signed::sign(&world::alice(), body);
    let prev = Some(record_hash(&first));
    let content = Some(ContentHash::of(b"another content"));
    let second = next(Record { version: 2, prev, content, size: 15, ..world::record_body() });
    let revision = next(Record { revision: 1, prev, ..world::record_body() });
    let extensions = BTreeMap::from([
        ("a".to_owned(), Extension::Bool(true)),
        ("aa".to_owned(), Extension::Unsigned(7)),
        ("b".to_owned(), Extension::Text("text".to_owned())),
        ("c".to_owned(), Extension::Bytes(ByteBuf::from(*b"text"))),
    ]);
    let extended = next(Record { extensions, ..world::record_body() });
    let tombstone = world::tombstone();
    let over = Some(record_hash(&tombstone));
    let again = next(Record { version: 3, prev: over, ..world::record_body() });
    let empty = Record { size: 0, content: Some(ContentHash::of(b"")), ..world::record_body() };
    let case = |name: &str, about: &str, record: &SignedRecord| record_case(name, about, record.bytes());
    vec![
        case(
            "",
            "Version 1 of alice's report.pdf, whose content and root are those of manifest-file.hex.",
            &first,
        ),
        case("-second", "Version 2, built on version 1.", &second),
        case("-revision", "A change of visibility alone: revision 1 of version 1.", &revision),
        case("-extensions", "With extensions of every type, which a reader ignores.", &extended),
        case("-tombstone", "The tombstone that takes version 1 back.", &tombstone),
        case("-again", "The resource made again, built on the tombstone.", &again),
        case(
            "-empty",
            "An empty file (the root here is that of another content; only a download finds out).",
            &next(empty),
        ),
    ]
}

fn receipts() -> Vec<Case> {
    let good = world::receipt();
    let certificate = hex(world::certificate().bytes());
    let case = |name: &str, about: &str, bytes: &[u8], record: RecordHash| {
        Case::new(&format!("receipt{name}"), "receipt", about)
            .header("network", world::root().public())
            .header("now", NOW.0)
            .header("record", record)
            .header("certificate", &certificate)
            .item(bytes)
    };
    let record = record_hash(&world::record());
    let other = record_hash(&world::tombstone());
    let by_alice = resigned(&good, &world::alice());
    vec![
        case("", "The index accepted the record of record.hex.", good.bytes(), record),
        case("-refused-record", "For another record.", good.bytes(), other).expect("bad-record"),
        case("-refused-signer", "Signed by a node that is not the index.", &by_alice, record)
            .expect("bad-record"),
    ]
}

fn digests() -> Vec<Case> {
    let hash = |byte: u8| RecordHash::from_bytes([byte; 32]);
    let records: Vec<(ResourceName, RecordHash)> = [("a", 1), ("ab", 2), ("b", 3)]
        .map(|(name, byte)| (name.parse().expect("a name"), hash(byte)))
        .into();
    let held = [(1, true), (2, false)]
        .map(|(byte, whole)| Held { content: ContentHash::from_bytes([byte; 32]), whole });
    let of_records = records.iter().map(|(name, hash)| format!("{name}={hash}")).collect::<Vec<_>>();
    let word = |whole: bool| if whole { "whole" } else { "part" };
    let of_held = held.map(|held| format!("{}={}", word(held.whole), held.content));
    let digest = records_digest(records.iter().map(|(name, hash)| (name, *hash)));
    vec![
        Case::new("digest-records", "records-digest", "The digest of records in R start.")
            .header("records", of_records.join(" "))
            .raw(digest.as_bytes(), ""),
        Case::new("digest-nothing", "records-digest", "The digest of no records.")
            .raw(records_digest([]).as_bytes(), ""),
        Case::new("digest-holdings", "holdings-digest", "The digest of holdings in R start.")
            .header("holdings", of_held.join(" "))
            .raw(holdings_digest(held).as_bytes(), ""),
    ]
}
