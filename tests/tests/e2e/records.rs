//! Records that break the rules, and records over content that their publisher never had.

use certs::{NetworkId, NodeId, PublicKey, SecretKey, Signed, Statement, UnixNanos};
use p2p_node_tests::cluster::{refused, refused_with_hint};
use p2p_node_tests::hostile::{Member, manifest_of};
use p2p_node_tests::{Cluster, TestNode, fixtures};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use wire::message::{Outcome, OutcomeKind, RecordBundle};
use wire::{ContentHash, ErrorCode, Kind, Record, RecordHash, RootHash, Visibility, record_hash};

struct Stage {
    cluster: Cluster,
    alice: TestNode,
    mallory: Member,
}

impl Stage {
    /// Alice shares `film.mkv`; Mallory is a member.
    async fn start(seed: u64) -> Self {
        let cluster = Cluster::start().await;
        let alice = cluster.user("alice").await;
        let path = fixtures::file(&cluster.path("film.mkv"), seed, 300_000);
        alice.share(&path).await.expect("shared");
        let mallory = Member::sign_up(&cluster, "mallory").await;
        Self { cluster, alice, mallory }
    }

    /// A record of Mallory's that is right.
    fn record(&self) -> Record {
        self.mallory.record("mine.mkv", &manifest_of(&self.cluster.path("film.mkv")))
    }

    /// Only what Alice shares is listed, and it can be had.
    async fn nothing_happened(&self) {
        let bob = self.cluster.user("bob").await;
        let listed = bob.list().await.expect("listed");
        assert_eq!(listed.iter().map(|item| item.owner.as_str()).collect::<Vec<_>>(), ["alice"]);
        bob.get("alice", "film.mkv").await.expect("got");
    }
}

fn code_of(outcome: &Outcome) -> ErrorCode {
    assert_eq!(outcome.outcome, OutcomeKind::Refused, "{outcome:?}");
    assert!(outcome.receipt.is_none(), "{outcome:?}");
    outcome.error.as_ref().expect("a reason").code
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_refused() {
    let stage = Stage::start(1).await;
    let Stage { mallory, alice, .. } = &stage;
    let right = stage.record();
    let other_network: NetworkId = SecretKey::from_seed([9; 32]).public();
    let alices = alice.list().await.expect("listed");
    assert_eq!(alices.len(), 1);
    let bobs_account = Member::sign_up(&stage.cluster, "eve").await.membership().account;
    for (what, record, code) in [
        ("another network's", Record { network: other_network, ..right.clone() }, ErrorCode::BadRecord),
        ("another account's", Record { account: bobs_account, ..right.clone() }, ErrorCode::NotOwner),
        (
            "another user's",
            Record { user: "alice".parse().expect("a name"), ..right.clone() },
            ErrorCode::NotOwner,
        ),
        (
            "of the future",
            Record { published: UnixNanos(i64::MAX - 1), mtime: UnixNanos(0), ..right.clone() },
            ErrorCode::BadRecord,
        ),
    ] {
        let outcomes = mallory.register(&[mallory.sign(record)]).await;
        assert_eq!(code_of(&outcomes[0]), code, "{what}");
    }
    stage.nothing_happened().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_that_do_not_hold() {
    let stage = Stage::start(2).await;
    let Stage { mallory, .. } = &stage;
    let good = mallory.sign(stage.record());
    let send = async |bytes: Vec<u8>| {
        let bundle = RecordBundle::bare(bytes);
        mallory.client().register(vec![bundle]).await.expect("answered").outcomes.remove(0)
    };
    for at in [0, good.bytes().len() / 2, good.bytes().len() - 1] {
        let mut forged = good.bytes().to_vec();
        forged[at] ^= 1;
        assert_eq!(code_of(&send(forged).await), ErrorCode::BadRecord, "byte {at}");
    }
    assert_eq!(code_of(&send(Vec::new()).await), ErrorCode::BadRecord);
    assert_eq!(code_of(&send(fixtures::bytes(3, 500)).await), ErrorCode::BadRecord);
    assert_eq!(code_of(&send(vec![0; 5000]).await), ErrorCode::BadRecord, "over 4 KiB");
    // Right in itself, but somebody else's: of another node of hers, or of Alice's.
    let elsewhere = SecretKey::from_seed([4; 32]);
    let foreign = Signed::sign(&elsewhere, Record { node: elsewhere.public(), ..stage.record() });
    assert_eq!(code_of(&send(foreign.bytes().to_vec()).await), ErrorCode::BadRecord);
    stage.nothing_happened().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_back_what_is_anothers() {
    let stage = Stage::start(3).await;
    let Stage { mallory, .. } = &stage;
    let owner = "alice".parse().expect("a name");
    let name = "film.mkv".parse().expect("a name");
    let query = wire::message::ResourceQuery::latest(owner, name);
    let bundle = mallory.client().locate(query).await.expect("located").bundle;
    let alices = wire::SignedRecord::parse(&bundle.record).expect("a record");
    let outcomes = mallory.deregister(&[mallory.tombstone(&alices)]).await;
    assert_eq!(code_of(&outcomes[0]), ErrorCode::NotOwner);
    // As if it were her own: there is none.
    let membership = mallory.membership();
    let claimed = Record {
        account: membership.account,
        user: membership.user.clone(),
        ..alices.tombstone(record_hash(&alices), mallory.id(), UnixNanos(1))
    };
    let outcomes = mallory.deregister(&[mallory.sign(claimed)]).await;
    assert_eq!(code_of(&outcomes[0]), ErrorCode::NotFound);
    // And a tombstone is no record.
    let outcomes = mallory.register(&[mallory.tombstone(&alices)]).await;
    assert!(matches!(code_of(&outcomes[0]), ErrorCode::NotOwner | ErrorCode::BadRecord));
    stage.nothing_happened().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_of_a_stranger_proves_nothing_to_the_index() {
    let stage = Stage::start(4).await;
    let Stage { mallory, .. } = &stage;
    let good = mallory.sign(stage.record());
    let bundle = RecordBundle {
        record: ByteBuf::from(good.bytes()),
        receipt: Some(ByteBuf::from(b"nonsense".to_vec())),
        certificate: Some(ByteBuf::from(b"nonsense".to_vec())),
        enrolment: None,
    };
    let outcome = mallory.client().register(vec![bundle]).await.expect("answered").outcomes.remove(0);
    assert!(matches!(outcome.outcome, OutcomeKind::Created | OutcomeKind::Refused), "{outcome:?}");
    let bob = stage.cluster.user("bob").await;
    bob.get("alice", "film.mkv").await.expect("got");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_over_content_that_nobody_has() {
    let stage = Stage::start(5).await;
    let Stage { mallory, cluster, .. } = &stage;
    let invented = Record {
        content: Some(ContentHash::of(b"never seen")),
        root: Some(RootHash::of(b"never seen")),
        size: 1 << 40,
        ..stage.record()
    };
    let outcomes = mallory.register(&[mallory.sign(invented)]).await;
    assert_eq!(outcomes[0].outcome, OutcomeKind::Created);
    let bob = cluster.user("bob").await;
    let error = refused_with_hint(bob.get("mallory", "mine.mkv").await, ErrorCode::NoHolder);
    assert!(error.message.contains("mallory/mine.mkv"), "{error:?}");
    // Also where she says that she has it.
    mallory.hold(ContentHash::of(b"never seen")).await;
    refused_with_hint(bob.get("mallory", "mine.mkv").await, ErrorCode::NoHolder);
    assert!(bob.status().await.transfers.is_empty());
    assert!(fixtures::names_in(&bob.home().join("downloads/mallory")).is_empty());
    bob.get("alice", "film.mkv").await.expect("nobody else is harmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_over_anothers_content_spoils_nothing_for_that_one() {
    let stage = Stage::start(6).await;
    let Stage { mallory, cluster, alice } = &stage;
    let right = stage.record();
    let wrong_size = Record { name: "wrong size".parse().expect("a name"), size: 5, ..right.clone() };
    let wrong_root = Record {
        name: "wrong root".parse().expect("a name"),
        root: Some(RootHash::of(b"never seen")),
        ..right.clone()
    };
    let records = [right, wrong_size, wrong_root].map(|record| mallory.sign(record));
    let outcomes = mallory.register(&records).await;
    assert!(outcomes.iter().all(|outcome| outcome.outcome == OutcomeKind::Created), "{outcomes:?}");
    let bob = cluster.user("bob").await;
    refused(bob.get("mallory", "wrong size").await, ErrorCode::NoHolder);
    let got = bob.get("mallory", "mine.mkv").await.expect("the content is Alice's, whoever names it");
    assert_eq!(got.sources.iter().map(|source| source.node).collect::<Vec<_>>(), [alice.id()]);
    let got = bob.get("mallory", "wrong root").await.expect("the manifest that a holder has is good too");
    assert_eq!(got.content, fixtures::hash_of(&cluster.path("film.mkv")));
    let carol = cluster.user("carol").await;
    carol.get("alice", "film.mkv").await.expect("as ever");
    assert_eq!(alice.shares().await.expect("local").len(), 1);
}

/// A record whose name is any text.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct AnyName {
    format: u8,
    network: NetworkId,
    account: certs::AccountId,
    user: certs::UserName,
    node: NodeId,
    name: String,
    kind: Kind,
    version: u64,
    revision: u64,
    prev: Option<RecordHash>,
    size: u64,
    mtime: UnixNanos,
    published: UnixNanos,
    content: Option<ContentHash>,
    root: Option<RootHash>,
    visibility: Visibility,
    extensions: std::collections::BTreeMap<String, wire::message::Empty>,
}

impl Statement for AnyName {
    const CONTEXT: &'static str = Record::CONTEXT;
    const MAX_BYTES: usize = Record::MAX_BYTES;

    fn check(&self, _: &PublicKey) -> Result<(), String> {
        Ok(())
    }
}

fn with_name(record: &Record, name: &str) -> AnyName {
    let record = record.clone();
    AnyName {
        format: record.format,
        network: record.network,
        account: record.account,
        user: record.user,
        node: record.node,
        name: name.to_owned(),
        kind: record.kind,
        version: record.version,
        revision: record.revision,
        prev: record.prev,
        size: record.size,
        mtime: record.mtime,
        published: record.published,
        content: record.content,
        root: record.root,
        visibility: record.visibility,
        extensions: Default::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_no_names() {
    let stage = Stage::start(7).await;
    let Stage { mallory, .. } = &stage;
    let send = async |name: &str| {
        let signed = Signed::sign(mallory.stranger().key(), with_name(&stage.record(), name));
        let bundle = RecordBundle::bare(signed.bytes());
        mallory.client().register(vec![bundle]).await.expect("answered").outcomes.remove(0)
    };
    for name in [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc/passwd",
        "a\0b",
        "a\u{7}b",
        "a\nb",
        "a\u{202e}gpj.exe",
        "a\u{200b}b",
        "u\u{308}bung.txt",
        "a\\b",
        "con",
        "nul.txt",
        "ends with a dot.",
        " begins with a space",
        &"x".repeat(256),
        &"x".repeat(300),
    ] {
        let outcome = send(name).await;
        assert_eq!(code_of(&outcome), ErrorCode::BadRecord, "{name:?}");
    }
    stage.nothing_happened().await;
    let outcome = send("a good name").await;
    assert_eq!(outcome.outcome, OutcomeKind::Created, "it is the names that were wrong: {outcome:?}");
}
