//! Earlier versions of a name: listed, found, and who may have them.

use certs::UnixNanos;
use wire::message::{Held, List, Located, ResourceQuery};
use wire::{ErrorBody, ErrorCode, SignedRecord, record_hash};

use super::support::{Index, NOW, Peer, content, name, refused};

async fn of_version(peer: &Peer, version: u64) -> Result<Located, ErrorBody> {
    let query = ResourceQuery { version: Some(version), ..ResourceQuery::latest(name("alice"), name("a")) };
    Ok(peer.client.locate(query).await?)
}

/// Publishes so many versions of `a`.
async fn publish(alice: &Peer, count: u64) -> Vec<SignedRecord> {
    let mut records: Vec<SignedRecord> = Vec::new();
    for version in 1..=count {
        let prev = records.last().map(record_hash);
        let record = alice.sign(alice.record("a", version, prev, &format!("version {version}")));
        alice.register(&record).await;
        records.push(record);
    }
    records
}

async fn listed(peer: &Peer, list: List) -> Vec<u64> {
    let list = List { owner: Some(name("alice")), name: Some(name("a")), versions: true, ..list };
    let page = peer.client.list(list).await.expect("answered");
    assert_eq!(page.next, None);
    page.items.iter().map(|entry| entry.version).collect()
}

#[tokio::test]
async fn an_earlier_version_is_found_with_its_own_holders() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    let records = publish(&alice, 3).await;
    for record in &records {
        let located = of_version(&bob, record.version).await.expect("found");
        assert_eq!(located.bundle.record, record.bytes());
        assert_eq!(located.bundle.certificate, alice.hello.certificate);
        assert_eq!(located.holders.len(), 1);
    }
    assert_eq!(refused(of_version(&bob, 4).await), ErrorCode::NotFound);
    assert_eq!(refused(of_version(&alice, 3).await), ErrorCode::SelfOwned);
    assert_eq!(refused(of_version(&alice, 2).await), ErrorCode::NoHolder, "its publisher asks others");
    bob.behaviour.holds.lock().expect("whole").insert(content("version 2"), Ok(true));
    let held = Held { content: content("version 2"), whole: true };
    bob.client.hold(0, vec![held], false).await.expect("held");
    assert_eq!(of_version(&alice, 2).await.expect("found").holders[0].node, bob.node());
}

#[tokio::test]
async fn versions_are_listed_newest_first_in_pages() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    let records = publish(&alice, 5).await;
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = bob.client.versions(name("alice"), name("a"), Some(2), cursor).await.expect("answered");
        found.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    let hashes: Vec<_> = found.iter().map(|entry| entry.record).collect();
    assert_eq!(hashes, records.iter().rev().map(record_hash).collect::<Vec<_>>());
    assert!(found.iter().all(|entry| (entry.holders, entry.online) == (1, 1)));
    let published = i64::try_from(NOW).expect("small") * 1_000_000;
    assert!(found.iter().all(|entry| entry.published == Some(UnixNanos(published))));
    let latest = bob.client.list(List::default()).await.expect("answered").items;
    assert!(latest.iter().all(|entry| entry.published.is_none() && entry.version == 5));
    let unknown = bob.client.versions(name("alice"), name("b"), None, None).await.expect("answered");
    assert_eq!((unknown.items.len(), unknown.next), (0, None));
}

#[tokio::test]
async fn a_cursor_is_for_one_resource() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    publish(&alice, 2).await;
    alice.register(&alice.first("b", "one")).await;
    let page = alice.client.versions(name("alice"), name("a"), Some(1), None).await.expect("answered");
    let cursor = page.next.expect("more");
    let other = alice.client.versions(name("alice"), name("b"), Some(1), Some(cursor.clone())).await;
    assert_eq!(refused(other), ErrorCode::BadCursor);
    let list = List { cursor: Some(cursor.clone()), ..List::default() };
    assert_eq!(refused(alice.client.list(list).await), ErrorCode::BadCursor);
    let list = List { limit: Some(1), ..List::default() };
    let of_a_list = alice.client.list(list).await.expect("answered").next;
    assert!(of_a_list.is_some());
    let other = alice.client.versions(name("alice"), name("a"), Some(1), of_a_list).await;
    assert_eq!(refused(other), ErrorCode::BadCursor);
    let rest = alice.client.versions(name("alice"), name("a"), None, Some(cursor)).await.expect("answered");
    assert_eq!(rest.items.iter().map(|entry| entry.version).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn what_was_taken_back_is_for_its_owner_alone() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    let records = publish(&alice, 2).await;
    alice.deregister(&alice.tombstone(&records[1])).await;
    let gone = || List { gone: true, ..List::default() };
    assert_eq!((listed(&bob, gone()).await, listed(&alice, gone()).await), (vec![], vec![3, 2, 1]));
    assert_eq!(listed(&alice, List::default()).await, [2, 1]);
    assert_eq!(refused(of_version(&bob, 2).await), ErrorCode::NotFound);
    assert_eq!(refused(of_version(&alice, 3).await), ErrorCode::NotFound, "a tombstone is none");
    bob.behaviour.holds.lock().expect("whole").insert(content("version 2"), Ok(true));
    let held = Held { content: content("version 2"), whole: true };
    bob.client.hold(0, vec![held], false).await.expect("held");
    assert_eq!(of_version(&alice, 2).await.expect("the owner's").bundle.record, records[1].bytes());
}
