//! Arbitrary ids, names, times, statements.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use certs::{
    AccountId, IndexCertificate, IssuerHash, Membership, NodeId, SecretKey, Signed, UnixMillis, UnixNanos,
    UserName,
};
use proptest::prelude::*;
use serde_bytes::ByteBuf;
use wire::message::{Address, Run};
use wire::{
    ContentHash, ErrorBody, ErrorCode, Extension, Kind, Receipt, Record, RecordHash, ResourceName, RootHash,
    Visibility,
};

pub(crate) fn key() -> impl Strategy<Value = SecretKey> {
    any::<[u8; 32]>().prop_map(SecretKey::from_seed)
}

pub(crate) fn node() -> impl Strategy<Value = NodeId> {
    key().prop_map(|key| key.public())
}

pub(crate) fn user() -> impl Strategy<Value = UserName> {
    "[a-z0-9][a-z0-9._-]{0,31}".prop_map(|text| text.parse().expect("a user name"))
}

pub(crate) fn name() -> impl Strategy<Value = ResourceName> {
    let text = prop_oneof!["[a-zA-Z0-9][a-zA-Z0-9 ._()-]{0,40}", "\\PC{1,60}", "[äöüé日本語]{1,85}"];
    text.prop_filter_map("no name", |text| ResourceName::normalized(&text).ok())
}

pub(crate) fn account() -> impl Strategy<Value = AccountId> {
    any::<[u8; 16]>().prop_map(AccountId::from_bytes)
}

pub(crate) fn millis() -> impl Strategy<Value = UnixMillis> {
    any::<u64>().prop_map(UnixMillis)
}

pub(crate) fn nanos() -> impl Strategy<Value = UnixNanos> {
    any::<i64>().prop_map(UnixNanos)
}

pub(crate) fn content() -> impl Strategy<Value = ContentHash> {
    any::<[u8; 32]>().prop_map(ContentHash::from_bytes)
}

pub(crate) fn record_hash() -> impl Strategy<Value = RecordHash> {
    any::<[u8; 32]>().prop_map(RecordHash::from_bytes)
}

pub(crate) fn root_hash() -> impl Strategy<Value = RootHash> {
    any::<[u8; 32]>().prop_map(RootHash::from_bytes)
}

pub(crate) fn bytes(most: usize) -> impl Strategy<Value = ByteBuf> {
    proptest::collection::vec(any::<u8>(), 0..=most).prop_map(ByteBuf::from)
}

pub(crate) fn cursor() -> impl Strategy<Value = Option<ByteBuf>> {
    proptest::option::of(bytes(1024))
}

pub(crate) fn address() -> impl Strategy<Value = Address> {
    let parts = (any::<IpAddr>(), any::<u16>());
    parts.prop_filter_map("not usable", |(ip, port)| Address::new(SocketAddr::new(ip, port)))
}

pub(crate) fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::File), Just(Kind::Folder), Just(Kind::Gone)]
}

/// At most `most` runs, in order, not empty, without overlap.
pub(crate) fn runs(most: usize) -> impl Strategy<Value = Vec<Run>> {
    proptest::collection::vec((0_u32..1000, 1_u32..1000), 1..=most).prop_map(|steps| {
        let mut end = 0;
        let run = |(gap, count): (u32, u32)| {
            let run = Run(end + gap, count);
            end += gap + count;
            run
        };
        steps.into_iter().map(run).collect()
    })
}

pub(crate) fn error() -> impl Strategy<Value = ErrorBody> {
    let code = prop_oneof![
        any::<u32>().prop_map(ErrorCode::from_number),
        proptest::sample::select(ErrorCode::ALL.to_vec()),
    ];
    (code, "\\PC{0,40}", any::<Option<u64>>(), any::<Option<u64>>()).prop_map(
        |(code, text, retry_after_ms, queue_place)| ErrorBody {
            retry_after_ms,
            queue_place,
            ..ErrorBody::new(code, text)
        },
    )
}

fn extensions() -> impl Strategy<Value = BTreeMap<String, Extension>> {
    let value = prop_oneof![
        any::<bool>().prop_map(Extension::Bool),
        any::<u64>().prop_map(Extension::Unsigned),
        "\\PC{0,20}".prop_map(Extension::Text),
        bytes(20).prop_map(Extension::Bytes),
    ];
    proptest::collection::btree_map("\\PC{0,10}", value, 0..5)
}

/// Any record that keeps the rules, with the key that signs it.
pub(crate) fn record() -> impl Strategy<Value = (SecretKey, Record)> {
    let who = (key(), node(), account(), user(), name());
    let place = (1..=1_u64 << 53, 0..=1_u64 << 53, record_hash());
    let what = (kind(), 0..=1_u64 << 53, nanos(), nanos(), content(), root_hash());
    (who, place, what, extensions()).prop_map(|(who, place, what, extensions)| {
        let (key, network, account, user, name) = who;
        let (version, revision, prev) = place;
        let (kind, size, mtime, published, content, root) = what;
        let gone = kind == Kind::Gone;
        let version = version + u64::from(gone && version < 1 << 53);
        let revision = if gone { 0 } else { revision };
        let record = Record {
            format: 0,
            network,
            account,
            user,
            node: key.public(),
            name,
            kind,
            version,
            revision,
            prev: ((version, revision) != (1, 0)).then_some(prev),
            size: if gone { 0 } else { size },
            mtime: if gone { published } else { mtime },
            published,
            content: (!gone).then_some(content),
            root: (!gone).then_some(root),
            visibility: Visibility::Members,
            extensions,
        };
        (key, record)
    })
}

fn issuer() -> impl Strategy<Value = IssuerHash> {
    any::<[u8; 32]>().prop_map(IssuerHash::from_bytes)
}

pub(crate) fn receipt() -> impl Strategy<Value = Receipt> {
    (node(), issuer(), record_hash(), millis()).prop_map(|(network, issuer, record, time)| Receipt {
        format: 0,
        network,
        issuer,
        record,
        time,
    })
}

pub(crate) fn membership() -> impl Strategy<Value = Membership> {
    let who = (node(), issuer(), account(), user(), node());
    (who, 1_u64.., millis(), millis()).prop_map(|(who, serial, not_before, not_after)| {
        let (network, issuer, account, user, node) = who;
        Membership { format: 0, network, issuer, account, user, node, serial, not_before, not_after }
    })
}

/// With the root's key.
pub(crate) fn certificate() -> impl Strategy<Value = (SecretKey, IndexCertificate)> {
    let parts = (key(), node(), 1_u64.., millis(), proptest::option::of(millis()));
    parts.prop_map(|(root, node, epoch, not_after, older_void_since)| {
        let network = root.public();
        (root, IndexCertificate { format: 0, network, node, epoch, not_after, older_void_since })
    })
}

/// A signed record's bytes.
pub(crate) fn signed_record() -> impl Strategy<Value = Vec<u8>> {
    record().prop_map(|(key, record)| Signed::sign(&key, record).bytes().to_vec())
}
