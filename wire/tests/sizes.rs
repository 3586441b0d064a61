//! The largest of everything fits its frame: the derivations in `limits`, checked.

use certs::{AccountId, IndexCertificate, Membership, NodeId, SecretKey, Statement, UnixMillis, UnixNanos};
use p2p_node_wire::message::{
    Address, Answer, Deregister, Entry, Event, Follow, FollowOutcome, FollowOutcomeKind, Followed, Following,
    GetData, Granted, Held, HeldRoot, Hello, HolderInfo, Holds, Located, Outcome, OutcomeKind, Page,
    RecordBundle, Register, Registered, Request, Revocations, Run,
};
use p2p_node_wire::{
    ContentHash, Digest, ErrorBody, ErrorCode, InstanceId, Kind, Receipt, Record, RecordHash, RootHash,
    frame, limits,
};
use serde::Serialize;
use serde_bytes::ByteBuf;

const KEY: [u8; 32] = [7; 32];

fn fits(value: &impl Serialize, limit: usize) {
    if let Err(error) = frame::encode(value, limit) {
        panic!("{error}");
    }
}

fn bytes(length: usize) -> ByteBuf {
    ByteBuf::from(vec![0; length])
}

fn cursor() -> Option<ByteBuf> {
    Some(bytes(limits::CURSOR_BYTES))
}

fn node() -> NodeId {
    SecretKey::from_seed(KEY).public()
}

fn address() -> Address {
    let text = "[2eee:ddcc:bbaa:9988:7766:5544:3322:1100]:65535";
    Address::new(text.parse().expect("an address")).expect("usable")
}

fn bundle() -> RecordBundle {
    RecordBundle {
        record: bytes(Record::MAX_BYTES),
        receipt: Some(bytes(Receipt::MAX_BYTES)),
        certificate: Some(bytes(IndexCertificate::MAX_BYTES)),
        enrolment: Some(bytes(certs::Enrolment::MAX_BYTES)),
    }
}

fn user<T: std::str::FromStr<Err: std::fmt::Debug>>() -> T {
    "x".repeat(32).parse().expect("a user name")
}

#[test]
fn hello() {
    let hello = Hello {
        minor: u32::MAX,
        features: vec!["x".repeat(limits::FEATURE_BYTES); limits::FEATURES],
        network: node(),
        enrolment: Some(bytes(certs::Enrolment::MAX_BYTES)),
        certificate: Some(bytes(IndexCertificate::MAX_BYTES)),
        revocations: Some(Revocations { epoch: u64::MAX, hash: Digest::from_bytes(KEY) }),
        clock: UnixMillis(u64::MAX),
        instance: InstanceId::from_bytes([7; 16]),
        addresses: vec![address(); limits::ADDRESSES],
        seen: Some(address()),
        renewed: Some(bytes(certs::Enrolment::MAX_BYTES)),
    };
    fits(&Request::Hello(hello), 12 << 10);
    const { assert!(12 << 10 <= limits::FRAME_BYTES) };
}

#[test]
fn batches() {
    let records = Some(vec![bundle(); limits::BATCH_RECORDS]);
    fits(&Request::R(Register { records, ..Register::default() }), limits::MEMBER_FRAME_BYTES);
    let tombstones = Some(vec![bundle(); limits::BATCH_RECORDS]);
    fits(&Request::D(Deregister { tombstones, ..Deregister::default() }), limits::MEMBER_FRAME_BYTES);
    let held = Held { content: ContentHash::from_bytes(KEY), whole: true };
    let contents = vec![held; limits::BATCH_HOLDINGS];
    let holds = Some(Holds { generation: u64::MAX, contents, last: true });
    fits(&Request::R(Register { holds, ..Register::default() }), 205 << 10);
    let outcome = Outcome {
        outcome: OutcomeKind::Superseded,
        receipt: Some(bytes(Receipt::MAX_BYTES)),
        certificate: Some(bytes(IndexCertificate::MAX_BYTES)),
        winner: Some(bytes(Record::MAX_BYTES)),
        error: Some(
            ErrorBody::new(ErrorCode::Internal, "x".repeat(limits::ERROR_TEXT_BYTES))
                .retry_after(u64::MAX)
                .queue_place(u64::MAX),
        ),
    };
    let outcomes = vec![outcome; limits::BATCH_RECORDS];
    fits(&Answer::A(Registered::from(outcomes)), limits::MEMBER_FRAME_BYTES);
}

#[test]
fn a_page() {
    let entry = Entry {
        owner: user(),
        account: AccountId::from_bytes([7; 16]),
        name: "x".repeat(255).parse().expect("a name"),
        kind: Kind::Folder,
        version: u64::MAX,
        revision: u64::MAX,
        size: u64::MAX,
        mtime: UnixNanos(i64::MIN),
        accepted: UnixMillis(u64::MAX),
        content: Some(ContentHash::from_bytes(KEY)),
        record: RecordHash::from_bytes(KEY),
        node: node(),
        holders: u32::MAX,
        online: u32::MAX,
        published: Some(UnixNanos(i64::MIN)),
    };
    let items = vec![entry; limits::PAGE_ITEMS];
    let page = Page { items, next: cursor(), source: "index".to_owned(), age_ms: u64::MAX };
    fits(&Answer::A(page), limits::MEMBER_FRAME_BYTES);
}

#[test]
fn a_download() {
    let holder =
        HolderInfo { node: node(), user: user(), addresses: vec![address(); limits::ADDRESSES], whole: true };
    let located = Located { bundle: bundle(), holders: vec![holder; limits::HOLDERS], next: cursor() };
    fits(&Answer::A(located), limits::FRAME_BYTES);
    let chunks = Some(vec![Run(u32::MAX, u32::MAX); limits::RANGES]);
    let root = RootHash::from_bytes(KEY);
    let granted = Granted { roots: vec![HeldRoot { root, chunks }; limits::ROOTS], others: true };
    fits(&Answer::A(granted), limits::MEMBER_FRAME_BYTES);
    let runs = Some(vec![Run(u32::MAX, u32::MAX); limits::RUNS]);
    let get = GetData { runs, ..GetData::root_of(RecordHash::from_bytes(KEY), root) };
    fits(&Request::G(get), limits::FRAME_BYTES);
}

#[test]
fn following() {
    let name = "x".repeat(255).parse().expect("a name");
    let have = Some(RecordHash::from_bytes(KEY));
    let followed = Followed { account: AccountId::from_bytes([7; 16]), name, have };
    let resources = vec![followed; limits::BATCH_RECORDS];
    fits(&Request::Follow(Follow { resources }), limits::FRAME_BYTES);
    let outcome = FollowOutcome { outcome: FollowOutcomeKind::NotFound, bundle: Some(bundle()) };
    let outcomes = vec![outcome; limits::BATCH_RECORDS];
    fits(&Answer::A(Following { outcomes }), limits::MEMBER_FRAME_BYTES);
    fits(&Event::Record(bundle()), 8 << 10);
    const { assert!(8 << 10 <= limits::EVENT_BYTES) };
}

#[test]
fn statements() {
    const { assert!(certs::Enrolment::MAX_BYTES >= IndexCertificate::MAX_BYTES + Membership::MAX_BYTES + 32) };
    const { assert!(Record::MAX_BYTES == limits::RECORD_BYTES) };
}
