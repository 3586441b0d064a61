//! L: order, filters, and pages while things change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use certs::SecretKey;
use wire::Kind;
use wire::message::OutcomeKind;

use super::super::{ListFilter, Online, Purpose};
use super::{Fixture, Publisher, everything, name, paths};

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("file {number:04}")).collect()
}

async fn share(fixture: &Fixture, by: &Publisher, names: &[String]) {
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    fixture.share(by, &names).await;
}

async fn all_pages(fixture: &Fixture, mut filter: ListFilter) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let (entries, next) = fixture.list(filter.clone()).await;
        seen.extend(paths(&entries));
        match next {
            Some(next) => filter.after = Some(next),
            None => return seen,
        }
    }
}

#[tokio::test]
async fn by_owner_then_name_in_pages_of_any_size() {
    let fixture = Fixture::new();
    let (alice, bob) = (fixture.publisher("alice", 2).await, fixture.publisher("bob", 3).await);
    fixture.share(&bob, &["b", "a", "ü"]).await;
    fixture.share(&alice, &["z", "y", "Z"]).await;
    let expected = ["alice/Z", "alice/y", "alice/z", "bob/a", "bob/b", "bob/ü"];
    for limit in 1..8 {
        assert_eq!(all_pages(&fixture, ListFilter { limit, ..everything() }).await, expected, "{limit}");
    }
    let (_, next) = fixture.list(ListFilter { limit: 6, ..everything() }).await;
    assert_eq!(next, None, "a page that ends with the last one is the last");
}

#[tokio::test]
async fn filters() {
    let fixture = Fixture::new();
    let (alice, bob) = (fixture.publisher("alice", 2).await, fixture.publisher("bob", 3).await);
    fixture.share(&alice, &["a", "b"]).await;
    fixture.share(&bob, &["a", "c"]).await;
    let gone = bob.tombstone(&bob.first("c"));
    fixture.send(Purpose::Deregister, &bob, &[gone]).await;
    let check = async |filter: ListFilter, expected: &[&str]| {
        assert_eq!(all_pages(&fixture, ListFilter { limit: 1, ..filter }).await, expected);
    };
    check(ListFilter { owner: Some(name("bob")), ..everything() }, &["bob/a"]).await;
    check(ListFilter { owner: Some(name("nobody")), ..everything() }, &[]).await;
    let named = ListFilter { owner: Some(name("alice")), name: Some(name("b")), ..everything() };
    check(named, &["alice/b"]).await;
    check(ListFilter { node: Some(alice.key.public()), ..everything() }, &["alice/a", "alice/b"]).await;
    let stranger = SecretKey::from_seed([77; 32]).public();
    check(ListFilter { node: Some(stranger), ..everything() }, &[]).await;
    check(ListFilter { kind: Some(Kind::Folder), ..everything() }, &[]).await;
    check(ListFilter { kind: Some(Kind::File), ..everything() }, &["alice/a", "alice/b", "bob/a"]).await;
    let all = ListFilter { gone_of: Some(name("bob")), ..everything() };
    check(all.clone(), &["alice/a", "alice/b", "bob/a", "bob/c"]).await;
    check(ListFilter { kind: Some(Kind::Gone), ..all.clone() }, &["bob/c"]).await;
    check(ListFilter { node: Some(bob.key.public()), ..all }, &["bob/a", "bob/c"]).await;
    check(ListFilter { gone_of: Some(name("alice")), kind: Some(Kind::Gone), ..everything() }, &[]).await;
}

#[tokio::test]
async fn online_counts_holders_that_are() {
    let fixture = Fixture::new();
    let (alice, bob) = (fixture.publisher("alice", 2).await, fixture.publisher("bob", 3).await);
    fixture.share(&alice, &["a", "b"]).await;
    fixture.share(&bob, &["b"]).await;
    let online = bob.admitted.node;
    let filter = ListFilter { online: true, ..everything() };
    let items = fixture.registry.list(filter, Arc::new(move |row| row == online)).await.expect("read");
    let counts: Vec<_> =
        items.items.iter().map(|entry| (entry.name.to_string(), entry.holders, entry.online)).collect();
    assert_eq!(counts, [("b".to_owned(), 2, 1), ("b".to_owned(), 2, 1)], "equal content shares its holders");
}

#[tokio::test]
async fn what_does_not_change_appears_exactly_once() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let names = numbered(0..300);
    share(&fixture, &alice, &names).await;
    let (mut filter, mut seen) = (ListFilter { limit: 7, ..everything() }, BTreeMap::<String, u32>::new());
    for round in 0.. {
        let (entries, next) = fixture.list(filter.clone()).await;
        for path in paths(&entries) {
            *seen.entry(path).or_default() += 1;
        }
        // Each third is updated, each third is taken back, and new ones come, before and behind the page.
        for number in [3 * (round * 13 % 100), 3 * (round * 7 % 100) + 1] {
            let current = alice.first(&names[number]);
            let change = match number % 3 {
                0 => (Purpose::Register, alice.next(&current, "changed")),
                _ => (Purpose::Deregister, alice.tombstone(&current)),
            };
            fixture.send(change.0, &alice, &[change.1]).await;
        }
        fixture.share(&alice, &[&format!("file {:04}x", round * 17 % 300)]).await;
        match next {
            Some(next) => filter.after = Some(next),
            None => break,
        }
    }
    for name in names.iter().skip(2).step_by(3) {
        assert_eq!(seen.get(&format!("alice/{name}")), Some(&1), "{name}");
    }
    assert!(seen.values().all(|&times| times == 1), "nothing appears twice in the order of names");
}

#[tokio::test]
async fn a_filter_that_few_pass_makes_short_pages_not_slow_ones() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let names = numbered(0..super::super::SCANNED_ROWS + 10);
    share(&fixture, &alice, &names).await;
    let folders = ListFilter { kind: Some(Kind::Folder), ..everything() };
    let (entries, next) = fixture.list(folders.clone()).await;
    assert!(entries.is_empty() && next.is_some());
    assert_eq!(fixture.list(ListFilter { after: next, ..folders }).await, (Vec::new(), None));
    let filter = ListFilter { online: true, ..everything() };
    let offline: super::Online = Arc::new(|_| false);
    let items = fixture.registry.list(filter.clone(), offline.clone()).await.expect("read");
    assert!(items.items.is_empty());
    let next = items.next.expect("more to look at");
    let items = fixture.registry.list(ListFilter { after: Some(next), ..filter }, offline).await;
    assert_eq!(items.expect("read").next, None);
}

#[tokio::test]
async fn entries_say_what_their_records_do() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let record = alice.first("a.txt");
    let outcomes = fixture.send(Purpose::Register, &alice, std::slice::from_ref(&record)).await;
    assert_eq!(outcomes[0].outcome, OutcomeKind::Created);
    let (entries, _) = fixture.list(everything()).await;
    let entry = &entries[0];
    assert_eq!((&entry.owner, entry.account), (&record.user, record.account));
    assert_eq!((&entry.name, entry.kind, entry.version), (&record.name, record.kind, record.version));
    assert_eq!((entry.size, entry.mtime, entry.content), (record.size, record.mtime, record.content));
    assert_eq!((entry.record.as_bytes(), entry.node), (record.hash(), record.node));
    assert_eq!((entry.accepted, entry.holders, entry.online), (super::NOW, 1, 1));
}

#[test]
fn every_listing_is_a_walk_along_an_index() {
    use super::super::{ListKey, NodeRow, list, schema};
    let folder = tempfile::tempdir().expect("a folder");
    let database = schema::open_writer(&folder.path().join("index.db")).expect("made");
    for bits in 0..64_u32 {
        let has = |bit: u32| bits & 1 << bit != 0;
        let filter = ListFilter {
            owner: has(0).then(|| name("alice")),
            name: (has(0) && has(1)).then(|| name("a")),
            kind: has(2).then_some(Kind::File),
            gone_of: has(3).then(|| name("alice")),
            after: has(4).then(|| ListKey(name("alice"), name("b"))),
            ..everything()
        };
        let (sql, values) = list::statement(&filter, has(5).then_some(NodeRow(1)));
        let plan = super::plan(&database, &sql, values);
        let walks = plan.iter().all(|step| {
            step.starts_with("SEARCH ")
                || step.starts_with("SCAN e USING INDEX entries_") && !has(0) && !has(4) && !has(5)
        });
        assert!(walks, "{sql}\n{plan:#?}");
        if has(0) && !has(1) && has(4) && !has(5) {
            assert!(plan[0].contains("(user=? AND name>?)"), "{plan:#?}");
        }
    }
}

#[tokio::test]
async fn holders_of_one_content_are_counted_once() {
    let fixture = Fixture::new();
    let (alice, bob) = (fixture.publisher("alice", 2).await, fixture.publisher("bob", 3).await);
    let copy = |by: &Publisher, number| by.record(&format!("copy {number}"), 1, None, "one");
    for by in [&alice, &bob] {
        let copies: Vec<_> = (0..50).map(|number| copy(by, number)).collect();
        fixture.send(Purpose::Register, by, &copies).await;
    }
    let (asked, bobs) = (Arc::new(AtomicUsize::new(0)), bob.admitted.node);
    let counting = asked.clone();
    let online: Online = Arc::new(move |row| {
        counting.fetch_add(1, Ordering::SeqCst);
        row == bobs
    });
    let items = fixture.registry.list(everything(), online).await.expect("read").items;
    assert_eq!(items.len(), 100);
    assert!(items.iter().all(|entry| (entry.holders, entry.online) == (2, 1)));
    assert_eq!(asked.load(Ordering::SeqCst), 2, "once for each holder, not for each name");
}
