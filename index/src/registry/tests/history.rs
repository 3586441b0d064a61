//! Records that were replaced: which are kept, who sees them, and how they are listed.

use wire::message::{Entry, Held, OutcomeKind};
use wire::{SignedRecord, TOMBSTONE_RETENTION_MS, record_hash};

use super::super::{Batched, Items, Purpose, VersionsFilter, history};
use super::{Fixture, NOW, Publisher, all_online, batched, content, name, receipt};

fn versions(own: bool) -> VersionsFilter {
    VersionsFilter {
        owner: name("alice"),
        name: name("a"),
        before: None,
        own,
        gone: true,
        node: None,
        kind: None,
        online: false,
        limit: 1000,
    }
}

async fn listed(fixture: &Fixture, filter: VersionsFilter) -> Vec<Entry> {
    let Items { items, next } = fixture.registry.versions(filter, all_online()).await.expect("read");
    assert_eq!(next, None);
    items
}

fn numbers(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.version).collect()
}

/// Publishes so many versions of `a`, each of a content of its own. The last.
async fn publish(fixture: &Fixture, by: &Publisher, count: u64) -> SignedRecord {
    let mut last = by.first("a");
    fixture.send(Purpose::Register, by, std::slice::from_ref(&last)).await;
    for version in 2..=count {
        last = next(fixture, by, &last, &format!("version {version}")).await;
    }
    last
}

async fn next(fixture: &Fixture, by: &Publisher, of: &SignedRecord, holds: &str) -> SignedRecord {
    let record = by.next(of, holds);
    let outcome = fixture.send(Purpose::Register, by, std::slice::from_ref(&record)).await.remove(0);
    assert!(matches!(outcome.outcome, OutcomeKind::Updated | OutcomeKind::Created), "{outcome:?}");
    record
}

async fn forget(fixture: &Fixture, by: &Publisher, holds: &[&str]) {
    let contents = holds.iter().map(|text| content(text)).collect();
    fixture.registry.unhold(by.admitted.node, contents).await.expect("written");
}

async fn located(fixture: &Fixture, version: u64, own: bool) -> Option<(Vec<u8>, Vec<u8>, usize)> {
    let found = fixture.registry.locate(name("alice"), name("a"), Some(version), own).await.expect("read");
    found.map(|(stored, holders)| {
        assert_eq!(stored.current.version, version);
        let bundle = stored.into_bundle();
        let receipt = bundle.receipt.expect("a receipt").into_vec();
        (bundle.record.into_vec(), receipt, holders.len())
    })
}

#[tokio::test]
async fn each_version_is_found_with_its_receipt_and_its_holders() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let first = alice.first("a");
    fixture.send(Purpose::Register, &alice, std::slice::from_ref(&first)).await;
    let second = next(&fixture, &alice, &first, "two").await;
    next(&fixture, &alice, &second, "three").await;
    let fixture = fixture.reopen().await;
    let found = |record: &SignedRecord, holders| Some((record.bytes().to_vec(), receipt(record), holders));
    assert_eq!(located(&fixture, 1, false).await, found(&first, 1));
    assert_eq!(located(&fixture, 2, false).await, found(&second, 1));
    assert_eq!(located(&fixture, 4, false).await, None);
    forget(&fixture, &alice, &["two"]).await;
    assert_eq!(located(&fixture, 2, false).await, found(&second, 0));
    let entries = listed(&fixture, versions(false)).await;
    assert_eq!(numbers(&entries), [3, 2, 1]);
    assert_eq!([entries[1].record, entries[2].record], [record_hash(&second), record_hash(&first)]);
    assert_eq!(entries.iter().map(|entry| entry.holders).collect::<Vec<_>>(), [1, 0, 1]);
    assert!(entries.iter().all(|entry| entry.published == Some(first.published)));
    assert!(entries.iter().all(|entry| entry.node == alice.key.public() && entry.owner == alice.user));
}

#[tokio::test]
async fn of_records_of_one_version_the_highest_is_kept() {
    let fixture = Fixture::new();
    let (alice, other) = (fixture.publisher("alice", 2).await, fixture.publisher("bob", 3).await);
    let first = alice.first("a");
    let revision =
        alice.sign(wire::Record { revision: 1, prev: Some(record_hash(&first)), ..first.body().clone() });
    // As of another machine, which did not know of the other.
    let rivals = ["one", "another"].map(|holds| alice.record("a", 2, Some(record_hash(&revision)), holds));
    fixture.send(Purpose::Register, &alice, &[first, revision.clone()]).await;
    fixture.send(Purpose::Register, &alice, &rivals).await;
    let [one, another] = rivals;
    let highest =
        if one.rank(record_hash(&one)) > another.rank(record_hash(&another)) { one } else { another };
    next(&fixture, &alice, &highest, "three").await;
    assert_eq!(located(&fixture, 1, false).await.expect("kept").0, revision.bytes());
    assert_eq!(located(&fixture, 2, false).await.expect("kept").0, highest.bytes());
    assert_eq!(numbers(&listed(&fixture, versions(false)).await), [3, 2, 1]);
    fixture.share(&other, &["a"]).await;
    assert_eq!(listed(&fixture, VersionsFilter { owner: name("bob"), ..versions(false) }).await.len(), 1);
}

#[tokio::test]
async fn pages_and_filters() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let mut last = publish(&fixture, &alice, 7).await;
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let filter = VersionsFilter { limit: 3, before, ..versions(false) };
        let Items { items, next: more } =
            fixture.registry.versions(filter, all_online()).await.expect("read");
        found.push(numbers(&items));
        // What is published meanwhile is above, and changes nothing below.
        last = next(&fixture, &alice, &last, "meanwhile").await;
        match more {
            Some(version) => before = Some(version),
            None => break,
        }
    }
    assert_eq!(found, [vec![7, 6, 5], vec![4, 3, 2], vec![1]]);
    let none = |filter: VersionsFilter| async { listed(&fixture, filter).await.is_empty() };
    let stranger = certs::SecretKey::from_seed([9; 32]).public();
    assert!(none(VersionsFilter { node: Some(stranger), ..versions(false) }).await);
    assert!(none(VersionsFilter { kind: Some(wire::Kind::Folder), ..versions(false) }).await);
    assert!(none(VersionsFilter { name: name("b"), ..versions(false) }).await);
    forget(&fixture, &alice, &["version 2", "version 3"]).await;
    let online = listed(&fixture, VersionsFilter { online: true, ..versions(false) }).await;
    assert_eq!(numbers(&online), [10, 9, 8, 7, 6, 5, 4, 1]);
}

#[tokio::test]
async fn what_was_taken_back_is_for_its_owner_alone() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let second = publish(&fixture, &alice, 2).await;
    let tombstone = alice.tombstone(&second);
    fixture.send(Purpose::Deregister, &alice, std::slice::from_ref(&tombstone)).await;
    assert_eq!(numbers(&listed(&fixture, versions(false)).await), [0; 0]);
    assert_eq!(numbers(&listed(&fixture, versions(true)).await), [3, 2, 1]);
    let live = VersionsFilter { gone: false, ..versions(true) };
    assert_eq!(numbers(&listed(&fixture, live.clone()).await), [2, 1]);
    assert_eq!(located(&fixture, 2, false).await, None);
    assert_eq!(located(&fixture, 2, true).await.expect("for the owner").0, second.bytes());
    let again = next(&fixture, &alice, &tombstone, "again").await;
    next(&fixture, &alice, &again, "and again").await;
    assert_eq!(numbers(&listed(&fixture, versions(false)).await), [5, 4], "only since");
    assert_eq!(numbers(&listed(&fixture, live).await), [5, 4, 2, 1]);
    assert_eq!(located(&fixture, 2, false).await, None);
    assert!(located(&fixture, 4, false).await.is_some());
}

#[tokio::test]
async fn the_last_hundred_are_kept_and_a_hundred_more_that_are_held() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let mut last = publish(&fixture, &alice, 101).await;
    assert_eq!(listed(&fixture, versions(false)).await.len(), 101, "the latest and a hundred");
    forget(&fixture, &alice, &["a", "version 3"]).await;
    for version in 102..=104 {
        last = next(&fixture, &alice, &last, &format!("version {version}")).await;
    }
    let kept = numbers(&listed(&fixture, versions(false)).await);
    assert_eq!(kept.len(), 102);
    assert_eq!(kept.last_chunk(), Some(&[4, 2]), "nobody has 1 and 3 any more");
    for version in 105..=310 {
        last = next(&fixture, &alice, &last, &format!("version {version}")).await;
    }
    let kept = numbers(&listed(&fixture, versions(false)).await);
    assert_eq!((kept.len(), kept.last()), (201, Some(&110)), "though all are held");
    assert_eq!(size(&fixture).await, (200, 200));
}

/// How many rows there are, and how many are counted.
async fn size(fixture: &Fixture) -> (i64, i64) {
    let count =
        |sql| fixture.registry.read(move |database| Ok(database.query_row(sql, [], |row| row.get(0))?));
    let rows = count("SELECT count(*) FROM history").await.expect("read");
    (rows, count("SELECT sum(records) FROM history_size").await.expect("read"))
}

#[tokio::test]
async fn the_oldest_of_an_account_make_room() {
    let fixture = Fixture::new();
    let (alice, bob) = (fixture.publisher("alice", 2).await, fixture.publisher("bob", 3).await);
    publish(&fixture, &bob, 3).await;
    publish(&fixture, &alice, 6).await;
    let account = alice.admitted.account;
    let pruned = fixture.registry.write(1, move |batch| history::prune_account(batch, account, 2));
    pruned.await.expect("written");
    assert_eq!(numbers(&listed(&fixture, versions(false)).await), [6, 5, 4]);
    assert_eq!(listed(&fixture, VersionsFilter { owner: name("bob"), ..versions(false) }).await.len(), 3);
    assert_eq!(size(&fixture).await, (4, 4));
}

#[tokio::test]
async fn what_is_known_of_a_resource_goes_with_its_tombstone() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let second = publish(&fixture, &alice, 2).await;
    fixture.send(Purpose::Deregister, &alice, &[alice.tombstone(&second)]).await;
    assert_eq!(size(&fixture).await, (2, 2));
    let later = NOW.plus(TOMBSTONE_RETENTION_MS + 1);
    let other = batched(&fixture.registry, Purpose::Register, &alice, &[alice.first("b")]);
    fixture.registry.register(Batched { now: later, ..other }).await.expect("written");
    assert_eq!(size(&fixture).await, (0, 0));
    assert_eq!(numbers(&listed(&fixture, versions(true)).await), [0; 0]);
}

#[tokio::test]
async fn old_contents_need_not_be_held_by_their_publisher() {
    let fixture = Fixture::new();
    let (alice, bob) = (fixture.publisher("alice", 2).await, fixture.publisher("bob", 3).await);
    publish(&fixture, &alice, 2).await;
    let node = (bob.admitted.account, bob.admitted.node);
    let held = vec![Held { content: content("a"), whole: true }];
    fixture.registry.hold(node, 0, held, false).await.expect("written").expect("held");
    assert_eq!(located(&fixture, 1, false).await.expect("kept").2, 2);
    forget(&fixture, &alice, &["a"]).await;
    assert_eq!(located(&fixture, 1, false).await.expect("kept").2, 1);
}
