//! R, D, L and S: the whole way of a resource.

use certs::{IndexCertificate, UnixMillis};
use wire::message::OutcomeKind::{Created, Refused, Unchanged, Updated};
use wire::message::{Held, List, RegisterStart, Search, holdings_digest, records_digest};
use wire::{ErrorCode, Kind, Receipt, record_hash};

use super::support::{Index, NOW, Peer, content, name, network, refused};

async fn listed(peer: &Peer, list: List) -> Vec<String> {
    let page = peer.client.list(list).await.expect("answered");
    assert_eq!((page.next, page.source.as_str(), page.age_ms), (None, "index", 0));
    page.items.iter().map(|entry| format!("{}/{} {}", entry.owner, entry.name, entry.version)).collect()
}

async fn found(peer: &Peer, query: &str) -> Vec<String> {
    let search = Search { query: query.to_owned(), ..Search::default() };
    let page = peer.client.search(search).await.expect("answered");
    page.items.iter().map(|entry| format!("{}/{}", entry.owner, entry.name)).collect()
}

#[tokio::test]
async fn from_registration_to_deregistration() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    let first = alice.first("Report.pdf", "one");
    let created = alice.register(&first).await;
    assert_eq!(created.outcome, Created);
    let receipt = created.receipt.expect("a receipt");
    let certificate = alice.hello.certificate.as_ref().expect("shown");
    let certificate = IndexCertificate::verify(certificate, &network(), UnixMillis(NOW)).expect("valid");
    Receipt::verify(&receipt, &certificate, record_hash(&first)).expect("the index's receipt");
    assert_eq!(listed(&bob, List::default()).await, ["alice/Report.pdf 1"]);
    assert_eq!(found(&bob, "epo").await, ["alice/Report.pdf"]);
    assert_eq!(alice.register(&first).await.outcome, Unchanged);
    let second = alice.sign(alice.record("Report.pdf", 2, Some(record_hash(&first)), "two"));
    assert_eq!(alice.register(&second).await.outcome, Updated);
    assert_eq!(listed(&bob, List::default()).await, ["alice/Report.pdf 2"]);
    let tombstone = alice.tombstone(&second);
    assert_eq!(alice.deregister(&tombstone).await.outcome, Updated);
    assert_eq!(alice.deregister(&tombstone).await.outcome, Unchanged);
    assert_eq!(listed(&bob, List::default()).await, [""; 0]);
    assert_eq!(found(&bob, "report").await, [""; 0]);
    let gone = List { gone: true, ..List::default() };
    assert_eq!(listed(&bob, gone.clone()).await, [""; 0], "another's tombstones are not shown");
    assert_eq!(listed(&alice, gone).await, ["alice/Report.pdf 3"]);
    assert_eq!(refused(bob.locate("alice", "Report.pdf").await), ErrorCode::NotFound);
}

#[tokio::test]
async fn a_restart_keeps_what_was_acknowledged() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    alice.register(&alice.first("a.txt", "one")).await;
    let index = index.restart().await;
    let alice = alice.dialler.dial(&index).await.expect("welcome");
    assert_eq!(listed(&alice, List::default()).await, ["alice/a.txt 1"]);
}

#[tokio::test]
async fn a_start_says_what_differs() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    let (a, b) = (alice.first("a", "one"), alice.first("b", "two"));
    alice.register(&a).await;
    alice.register(&b).await;
    let start = async |seq, records: &[&wire::SignedRecord], holds: &[&str]| {
        let mut held: Vec<_> =
            holds.iter().map(|text| Held { content: content(text), whole: true }).collect();
        held.sort();
        let records = records.iter().map(|record| (&record.name, record_hash(record)));
        let start = RegisterStart { seq, records: records_digest(records), holdings: holdings_digest(held) };
        let answer = alice.client.start(start).await.expect("answered");
        (answer.want_records, answer.want_holdings)
    };
    assert_eq!(start(1, &[&a, &b], &["one", "two"]).await, (false, false));
    assert_eq!(start(2, &[&a], &["one", "two", "three"]).await, (true, true));
    let three = Held { content: content("three"), whole: false };
    alice.client.hold(2, vec![three], false).await.expect("held");
    alice.client.unhold(vec![content("three")]).await.expect("forgotten");
    assert_eq!(start(3, &[&a, &b], &["one", "two"]).await, (false, false));
    assert_eq!(refused(alice.client.hold(2, vec![three], true).await), ErrorCode::BadMessage);
    let tombstone = alice.tombstone(&a);
    alice.deregister(&tombstone).await;
    assert_eq!(start(4, &[&tombstone, &b], &["one", "two"]).await, (false, false), "tombstones count");
}

#[tokio::test]
async fn pages_and_cursors() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    for number in 0..5 {
        alice.register(&alice.first(&format!("file {number}"), "one")).await;
    }
    let list = List { limit: Some(2), ..List::default() };
    let first = alice.client.list(list.clone()).await.expect("answered");
    let cursor = first.next.expect("more");
    let second =
        alice.client.list(List { cursor: Some(cursor.clone()), ..list.clone() }).await.expect("answered");
    let other_limit = List { cursor: Some(cursor.clone()), ..List::default() };
    assert_eq!(alice.client.list(other_limit).await.expect("answered").items.len(), 3);
    let names: Vec<_> = second.items.iter().map(|entry| entry.name.to_string()).collect();
    assert_eq!(names, ["file 2", "file 3"]);
    let search = Search { query: "file".to_owned(), limit: Some(2), ..Search::default() };
    let found = alice.client.search(search.clone()).await.expect("answered");
    let next = Search { cursor: found.next.clone(), ..search.clone() };
    assert_eq!(alice.client.search(next).await.expect("answered").items.len(), 2);
    for query in ["other", "-file", "file ext:pdf", "file size:>1", "file -x", "\"file\""] {
        let query = query.to_owned();
        let other = Search { query, cursor: found.next.clone(), ..search.clone() };
        assert_eq!(refused(alice.client.search(other).await), ErrorCode::BadCursor);
    }
    let others = [
        alice.client.search(Search { online: true, cursor: found.next.clone(), ..search.clone() }).await,
        alice.client.search(Search { cursor: Some(cursor.clone()), ..search }).await,
        alice.client.list(List { cursor: found.next, ..list.clone() }).await,
        alice.client.list(List { cursor: Some(cursor.clone()), gone: true, ..list.clone() }).await,
        alice.client.list(List { cursor: Some(cursor), kind: Some(Kind::File), ..list.clone() }).await,
        alice.client.list(List { cursor: Some(serde_bytes::ByteBuf::from([1, 2, 3])), ..list }).await,
    ];
    for other in others {
        assert_eq!(refused(other), ErrorCode::BadCursor);
    }
    let unknown = Search { query: "colour:red".to_owned(), ..Search::default() };
    assert_eq!(refused(alice.client.search(unknown).await), ErrorCode::BadQuery);
}

#[tokio::test]
async fn two_owners_of_one_name() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    assert_eq!(alice.register(&alice.first("a", "one")).await.outcome, Created);
    assert_eq!(bob.register(&bob.first("a", "one")).await.outcome, Created);
    let theirs = List { owner: Some(name("bob")), ..List::default() };
    assert_eq!(listed(&alice, theirs).await, ["bob/a 1"]);
    let page = alice.client.list(List::default()).await.expect("answered");
    assert!(page.items.iter().all(|entry| (entry.holders, entry.online) == (2, 2)), "shared holders");
    let outcome = alice.deregister(&alice.tombstone(&alice.first("none", "x"))).await;
    assert_eq!(
        (outcome.outcome, outcome.error.map(|error| error.code)),
        (Refused, Some(ErrorCode::NotFound))
    );
}
