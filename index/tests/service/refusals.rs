//! Who may not: forged, foreign and misplaced requests.

use certs::{AccountId, SecretKey, Signed};
use serde_bytes::ByteBuf;
use wire::message::OutcomeKind::{Created, Refused};
use wire::message::{
    Empty, GetData, List, OutcomeKind, Probe, RecordBundle, Register, Request, RequestDownload,
};
use wire::{ErrorCode, Kind, Record, RecordHash, RootHash, SignedRecord};

use super::support::{DAY, Dialler, Index, NOW, Peer, bundle, content, key, refused};

async fn ask(peer: &Peer, request: Request) -> ErrorCode {
    let connection = peer.client.connection();
    let answer = p2p_node_index::call::<Empty>(connection, &request, p2p_node_index::client::REQUEST_TIMEOUT);
    refused(answer.await)
}

async fn outcome(peer: &Peer, record: &SignedRecord) -> (OutcomeKind, Option<ErrorCode>) {
    let outcome = if record.is_gone() { peer.deregister(record).await } else { peer.register(record).await };
    (outcome.outcome, outcome.error.map(|error| error.code))
}

#[tokio::test]
async fn a_stranger_gets_nothing() {
    let index = Index::start();
    let peer = Dialler::new(10).dial(&index).await.expect("welcome");
    let requests = [
        Request::Logout(Empty {}),
        Request::Renew(Empty {}),
        Request::L(List::default()),
        Request::R(Register { records: Some(Vec::new()), ..Register::default() }),
    ];
    for request in requests {
        assert_eq!(ask(&peer, request).await, ErrorCode::NotMember);
    }
    assert_eq!(refused(peer.locate("alice", "a").await), ErrorCode::NotMember);
}

#[tokio::test]
async fn another_network() {
    let index = Index::start();
    let dialler = Dialler { network: key(9).public(), ..Dialler::new(10) };
    assert_eq!(refused(dialler.dial(&index).await.map(|_| ())), ErrorCode::OtherNetwork);
    let alice = index.member("alice", 10).await;
    let foreign = alice.sign(Record { network: key(9).public(), ..alice.record("a", 1, None, "one") });
    assert_eq!(outcome(&alice, &foreign).await, (Refused, Some(ErrorCode::BadRecord)));
}

#[tokio::test]
async fn anothers_membership() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    let thief = Dialler { enrolment: alice.dialler.enrolment.clone(), ..Dialler::new(11) };
    assert_eq!(refused(thief.dial(&index).await.map(|_| ())), ErrorCode::NotMember);
    let garbage = Dialler { enrolment: Some(ByteBuf::from([1, 2, 3])), ..Dialler::new(11) };
    assert_eq!(refused(garbage.dial(&index).await.map(|_| ())), ErrorCode::NotMember);
}

#[tokio::test]
async fn anothers_records() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    let record = alice.first("a", "one");
    assert_eq!(outcome(&alice, &record).await, (Created, None));
    assert_eq!(outcome(&bob, &record).await, (Refused, Some(ErrorCode::NotOwner)), "sent on by another");
    let forged = Record { node: bob.node(), ..alice.record("a", 1, None, "two") };
    assert_eq!(outcome(&bob, &bob.sign(forged)).await, (Refused, Some(ErrorCode::NotOwner)));
    let account = AccountId::from_bytes([42; 16]);
    let forged = bob.sign(Record { account, ..bob.record("a", 1, None, "two") });
    assert_eq!(outcome(&bob, &forged).await, (Refused, Some(ErrorCode::NotOwner)));
    let gone = Record { node: bob.node(), ..alice.tombstone(&record).body().clone() };
    assert_eq!(outcome(&bob, &bob.sign(gone)).await, (Refused, Some(ErrorCode::NotOwner)));
    let other_node = SecretKey::from_seed([66; 32]);
    let elsewhere = Record { node: other_node.public(), ..alice.record("b", 1, None, "two") };
    let elsewhere = Signed::sign(&other_node, elsewhere);
    assert_eq!(outcome(&alice, &elsewhere).await, (Refused, Some(ErrorCode::BadRecord)));
    let page = bob.client.list(List::default()).await.expect("answered");
    assert_eq!(page.items.len(), 1);
    assert_eq!(page.items[0].content, record.content);
}

#[tokio::test]
async fn records_that_are_none() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    let good = alice.first("a", "one");
    let mut broken = good.bytes().to_vec();
    *broken.last_mut().expect("bytes") ^= 1;
    let batch = vec![RecordBundle::bare(broken), RecordBundle::bare(*b"nonsense"), bundle(&good)];
    let answer = alice.client.register(batch).await.expect("answered");
    let outcomes: Vec<_> = answer.outcomes.iter().map(|outcome| outcome.outcome).collect();
    assert_eq!(outcomes, [Refused, Refused, Created], "each for itself");
    let error = answer.outcomes[0].error.as_ref().expect("why");
    assert_eq!(error.code, ErrorCode::BadRecord);
    let folder = alice.sign(Record { kind: Kind::Folder, ..alice.record("f", 1, None, "x") });
    assert_eq!(outcome(&alice, &folder).await, (Created, None));
    let published = certs::UnixMillis(NOW + 2 * DAY).into();
    let future = alice.sign(Record { published, ..alice.record("g", 1, None, "x") });
    assert_eq!(outcome(&alice, &future).await, (Refused, Some(ErrorCode::BadRecord)));
}

#[tokio::test]
async fn requests_that_are_not_for_the_index() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    let probe = Probe { content: content("x"), asker: alice.node(), user: super::support::name("alice") };
    let get = GetData::root_of(RecordHash::from_bytes([0; 32]), RootHash::from_bytes([0; 32]));
    let grant = bundle(&alice.first("a", "one"));
    for request in [
        Request::G(get),
        Request::P(RequestDownload { probe: Some(probe), ..RequestDownload::default() }),
        Request::P(RequestDownload { grant: Some(grant), ..RequestDownload::default() }),
    ] {
        assert_eq!(ask(&alice, request).await, ErrorCode::BadMessage);
    }
}

#[tokio::test]
async fn after_the_end() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    index.service.clone().shutdown().await;
    assert_eq!(ask(&alice, Request::L(List::default())).await, ErrorCode::ShuttingDown);
    let late = alice.client.register(vec![bundle(&alice.first("a", "one"))]).await;
    assert_eq!(refused(late), ErrorCode::ShuttingDown);
}
