//! Reading, and hearing of changes.

use wire::message::{ENTRY_SOURCE_CACHE, ENTRY_SOURCE_DHT, Event, Search};

use super::*;

async fn found(node: &Node, query: &str) -> Vec<String> {
    let search = Search { query: query.to_owned(), ..Search::default() };
    let page = node.replica.search(search).await.expect("searched");
    page.items.iter().map(|entry| format!("{}/{}", entry.owner, entry.name)).collect()
}

#[tokio::test]
async fn the_newest_accepted_comes_first_in_whatever_order_it_arrived() {
    let net = Net::new();
    let (alice, bob, carol) =
        (net.node("alice", 10).await, net.node("bob", 11).await, net.node("carol", 12).await);
    for (node, text) in [(&alice, "report 3"), (&bob, "report 2"), (&alice, "report 1"), (&bob, "report 4")] {
        net.pass(10);
        node.share(&[node.first(text)]).await;
    }
    alice.sync(&carol).await;
    bob.sync(&carol).await;
    let newest_first = ["bob/report 4", "alice/report 1", "bob/report 2", "alice/report 3"];
    assert_eq!(found(&carol, "report").await, newest_first);
    bob.sync(&alice).await;
    assert_eq!(found(&alice, "rep").await, newest_first);
}

#[tokio::test]
async fn many_of_one_millisecond_have_a_place_each() {
    let net = Net::new();
    let (alice, bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
    let records: Vec<_> = (0..2000).map(|at| alice.first(&format!("{at}"))).collect();
    alice.share(&records).await;
    alice.sync(&bob).await;
    assert_eq!(bob.entries().await.len(), 2000);
}

#[tokio::test]
async fn answers_say_where_they_come_from_and_how_old_they_are() {
    let net = Net::new();
    let (mut alice, bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
    let origin = |node: &Node| {
        let origin = node.replica.origin();
        (origin.source, origin.age_ms)
    };
    assert_eq!(origin(&alice).0, ENTRY_SOURCE_CACHE, "never compared");
    alice.sync(&bob).await;
    assert_eq!(origin(&alice), (ENTRY_SOURCE_DHT, 0));
    net.pass(60_000);
    assert_eq!(origin(&alice), (ENTRY_SOURCE_DHT, 60_000));
    net.pass(1);
    alice.reopen().await;
    assert_eq!(origin(&alice), (ENTRY_SOURCE_CACHE, 60_001));
    let page = alice.replica.list(List::default()).await.expect("listed");
    assert_eq!((page.source.as_str(), page.age_ms), (ENTRY_SOURCE_CACHE, 60_001));
}

#[tokio::test]
async fn whoever_listens_hears_of_each_record_that_comes_to_stand() {
    let net = Net::new();
    let (alice, bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
    let mut changes = bob.replica.changes();
    let record = alice.first("a");
    alice.share(std::slice::from_ref(&record)).await;
    alice.sync(&bob).await;
    let heard = changes.recv().await.expect("heard");
    assert_eq!(heard, Event::Record(accepted(&net, &record)));
    let tombstone = alice.tombstone(&record);
    alice.share_alone(std::slice::from_ref(&tombstone)).await;
    alice.sync(&bob).await;
    let Event::Record(bundle) = changes.recv().await.expect("heard");
    assert_eq!(bundle.record[..], *tombstone.bytes());
    assert!(bob.replica.with_trust(|trust| trust.verify_bundle(&bundle)).is_ok());
    assert!(changes.try_recv().is_err(), "nothing else");
}

#[tokio::test]
async fn nobody_reads_or_publishes_before_it_is_enrolled() {
    let net = Net::new();
    let identity = net.identity("alice", 10);
    let folder = tempfile::tempdir().expect("a folder");
    let replica = open(&identity, folder.path(), ReplicaLimits::default());
    assert!(replica.list(List::default()).await.is_err());
    assert!(replica.publish(vec![bare(&identity.first("a"))]).await.is_err());
    replica.enrol(&identity.enrolment).await.expect("enrolled");
    let other = net.identity("bob", 11);
    assert!(replica.enrol(&other.enrolment).await.is_err());
    assert!(replica.publish(vec![bare(&other.first("a"))]).await.is_err());
    replica.publish(vec![bare(&identity.first("a"))]).await.expect("published");
    replica.close().await;
    assert_eq!(replica.list(List::default()).await.expect_err("closed").code, wire::ErrorCode::ShuttingDown);
}
