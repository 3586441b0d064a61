//! Who and what the vectors are about: fixed seeds, fixed times.

use certs::{
    AccountId, Enrolment, IndexCertificate, Membership, SecretKey, Signed, Statement, UnixMillis, UnixNanos,
};
use ciborium::Value;
use ed25519_dalek::{Signer, SigningKey};
use serde::Serialize;
use serde_bytes::ByteBuf;
use wire::manifest::{ChunkerParams, FileFacts, FileManifestBuilder, Manifest};
use wire::message::RecordBundle;
use wire::{ChunkHash, ContentHash, Kind, Receipt, Record, SignedRecord, Visibility, cbor, record_hash};

/// 2027-01-15T08:00:00Z
pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
/// What [`file`] is the noise of.
pub(crate) const FILE_SEED: &str = "p2p-node/0 file";
/// An hour before.
pub(crate) const BEFORE: UnixNanos = UnixNanos(1_799_996_400_000_000_000);
pub(crate) const ALICES_ACCOUNT: AccountId = AccountId::from_bytes([0xa1; 16]);

const ROOT: u8 = 1;
const INDEX: u8 = 2;
const ALICE: u8 = 3;
const BOB: u8 = 4;

pub(crate) fn root() -> SecretKey {
    SecretKey::from_seed([ROOT; 32])
}

pub(crate) fn index() -> SecretKey {
    SecretKey::from_seed([INDEX; 32])
}

/// The node of the user `alice`.
pub(crate) fn alice() -> SecretKey {
    SecretKey::from_seed([ALICE; 32])
}

/// The node of the user `bob`.
pub(crate) fn bob() -> SecretKey {
    SecretKey::from_seed([BOB; 32])
}

pub(crate) fn certificate() -> Signed<IndexCertificate> {
    IndexCertificate::issue(&root(), index().public(), 1, NOW)
}

pub(crate) fn enrolment() -> Enrolment {
    let certificate = certificate();
    let user = "alice".parse().expect("a name");
    let membership =
        Membership::issue(&index(), &certificate, ALICES_ACCOUNT, user, alice().public(), 1, NOW);
    Enrolment { certificate, membership }
}

/// 100,000 bytes of noise: the file that is shared.
pub(crate) fn file() -> Vec<u8> {
    noise(FILE_SEED, 100_000)
}

pub(crate) fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

pub(crate) fn manifest_of(bytes: &[u8]) -> Manifest {
    let params = ChunkerParams::for_size(bytes.len() as u64);
    let mut builder = FileManifestBuilder::new(params);
    let mut at = 0;
    for length in crate::chunker::cut(bytes, params, &crate::chunker::gear()) {
        let hash = ChunkHash::of(&bytes[at..at + length]);
        builder.push(wire::manifest::Chunk { length: u32::try_from(length).expect("small"), hash });
        at += length;
    }
    let facts = FileFacts { executable: false, mtime: BEFORE, content: ContentHash::of(bytes) };
    builder.finish(facts).expect("not too large")
}

/// Version 1 of alice's `report.pdf`.
pub(crate) fn record_body() -> Record {
    let manifest = manifest_of(&file());
    Record {
        format: 0,
        network: root().public(),
        account: ALICES_ACCOUNT,
        user: "alice".parse().expect("a name"),
        node: alice().public(),
        name: "report.pdf".parse().expect("a name"),
        kind: Kind::File,
        version: 1,
        revision: 0,
        prev: None,
        size: manifest.root.size,
        mtime: BEFORE,
        published: UnixNanos::from(NOW),
        content: Some(manifest.root.content),
        root: Some(manifest.root_hash),
        visibility: Visibility::Members,
        extensions: Default::default(),
    }
}

pub(crate) fn record() -> SignedRecord {
    Signed::sign(&alice(), record_body())
}

pub(crate) fn tombstone() -> SignedRecord {
    let record = record();
    let later = UnixNanos::from(NOW.plus(60_000));
    Signed::sign(&alice(), record.tombstone(record_hash(&record), alice().public(), later))
}

pub(crate) fn receipt() -> Signed<Receipt> {
    receipt_for(&record())
}

pub(crate) fn receipt_for(record: &SignedRecord) -> Signed<Receipt> {
    Receipt::issue(&index(), &certificate(), record_hash(record), NOW.plus(5000))
}

pub(crate) fn bundle() -> RecordBundle {
    RecordBundle {
        record: ByteBuf::from(record().bytes()),
        receipt: Some(ByteBuf::from(receipt().bytes())),
        certificate: Some(ByteBuf::from(certificate().bytes())),
        enrolment: None,
    }
}

/// An envelope of which everything can be wrong.
pub(crate) struct Envelope {
    pub(crate) context: &'static str,
    pub(crate) protected: Vec<u8>,
    pub(crate) unprotected: Value,
    pub(crate) payload: Vec<u8>,
    pub(crate) seed: u8,
}

impl Envelope {
    /// What alice signs as a record.
    pub(crate) fn of_record(payload: Vec<u8>) -> Self {
        Self {
            context: Record::CONTEXT,
            protected: header(&[(1, Value::from(-8)), (4, kid(&alice()))]),
            unprotected: Value::Map(Vec::new()),
            payload,
            seed: ALICE,
        }
    }

    /// With the signature over what it says.
    pub(crate) fn sign(self) -> Vec<u8> {
        let [protected, payload] = [self.protected, self.payload].map(Value::Bytes);
        let message = Value::Array(vec![
            Value::from("Signature1"),
            protected.clone(),
            Value::Bytes(self.context.as_bytes().to_vec()),
            payload.clone(),
        ]);
        let key = SigningKey::from_bytes(&[self.seed; 32]);
        let signature = Value::Bytes(key.sign(&cbor::encode(&message)).to_vec());
        cbor::encode(&Value::Array(vec![protected, self.unprotected, payload, signature]))
    }
}

pub(crate) fn kid(key: &SecretKey) -> Value {
    Value::Bytes(key.public().as_bytes().to_vec())
}

/// A header with integer labels, encoded.
pub(crate) fn header(entries: &[(i64, Value)]) -> Vec<u8> {
    let entries = entries.iter().map(|(label, value)| (Value::from(*label), value.clone()));
    cbor::encode(&Value::Map(entries.collect()))
}

/// The entries of a value that is a map.
pub(crate) fn entries(value: &impl Serialize) -> Vec<(Value, Value)> {
    match Value::serialized(value).expect("a value") {
        Value::Map(entries) => entries,
        other => panic!("not a map: {other:?}"),
    }
}

/// A value that is a map, with one entry set.
pub(crate) fn with(value: &impl Serialize, key: &str, new: impl Into<Value>) -> Value {
    let mut entries = entries(value);
    match entries.iter_mut().find(|(found, _)| found.as_text() == Some(key)) {
        Some((_, value)) => *value = new.into(),
        None => entries.push((Value::from(key), new.into())),
    }
    Value::Map(entries)
}
