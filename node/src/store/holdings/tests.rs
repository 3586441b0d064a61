use super::super::publications::PublicationState;
use super::super::tests::{Fixture, manifest_of, record, signed};
use super::*;
use certs::UnixNanos;
use wire::Record;
use wire::manifest::Manifest;

fn stamp(size: u64) -> FileStamp {
    FileStamp { size, mtime: UnixNanos(5), inode: 7, device: 9 }
}

/// A holding of somebody else's resource.
fn holding(name: &str, path: PathBuf, manifest: &Manifest) -> NewHolding {
    let record = Record {
        account: AccountId::from_bytes([6; 16]),
        user: "bob".parse().expect("a name"),
        ..record(name, 1, manifest)
    };
    NewHolding {
        path,
        stamp: stamp(manifest.root.size),
        content: manifest.root.content,
        root: manifest.root_hash,
        record: signed(record),
        receipt: Some(Bytes::from_static(b"receipt")),
        certificate: Some(Bytes::from_static(b"certificate")),
        origin: Origin::Get,
    }
}

async fn put(fixture: &Fixture, name: &str, file: &str, seed: &[u8]) -> Holding {
    let manifest = Arc::new(manifest_of(seed, 2));
    let new = holding(name, fixture.path(file), &manifest);
    let id = fixture.store.put_holding(new, Some(manifest)).await.expect("put");
    let held = fixture.store.holdings_at(fixture.path(file)).await.expect("read");
    held.into_iter().find(|holding| holding.id == id).expect("there")
}

#[tokio::test]
async fn a_holding_comes_back() {
    let mut fixture = Fixture::new();
    let held = put(&fixture, "a", "file", b"one").await;
    fixture.reopen().await;
    let store = &fixture.store;
    assert_eq!(store.holdings_of(held.content).await.expect("read"), std::slice::from_ref(&held));
    assert_eq!((held.user.as_str(), held.name.as_str()), ("bob", "a"));
    assert_eq!(held.record_hash.as_bytes(), &certs::hash_of(&held.record));
    assert_eq!(held.receipt.as_deref(), Some(&b"receipt"[..]));
}

#[tokio::test]
async fn one_content_can_be_held_several_times() {
    let fixture = Fixture::new();
    let one = put(&fixture, "a", "first", b"same").await;
    let two = put(&fixture, "b", "second", b"same").await;
    let three = put(&fixture, "c", "second", b"same").await;
    let held = fixture.store.holdings_of(one.content).await.expect("read");
    assert_eq!(held, [one, two.clone(), three.clone()]);
    assert_eq!(fixture.store.holdings_at(fixture.path("second")).await.expect("read"), [two, three]);
}

#[tokio::test]
async fn a_new_content_at_a_path_outdates_the_others_there() {
    let fixture = Fixture::new();
    let old = put(&fixture, "a", "file", b"old").await;
    let other = put(&fixture, "b", "file", b"new").await;
    let state = async |id| {
        let all = fixture.store.holdings(None, 100).await.expect("read");
        all.into_iter().find(|holding| holding.id == id).map(|holding| holding.state)
    };
    assert_eq!(state(old.id).await, Some(HoldingState::Changed));
    assert_eq!(state(other.id).await, Some(HoldingState::Ok));
    let published = fixture.share("shared", b"shared").await;
    put(&fixture, "c", "shared", b"something else").await;
    let found = fixture.store.publication(published.name).await.expect("read").expect("there");
    assert_eq!(found.state, PublicationState::Changed);
    let again = put(&fixture, "a", "file", b"new").await;
    assert_eq!((again.id, again.state), (old.id, HoldingState::Ok), "the same path and resource");
}

#[tokio::test]
async fn contents_are_listed_once_and_in_order() {
    let fixture = Fixture::new();
    let mut contents = Vec::new();
    for seed in [b"1", b"2", b"3", b"4", b"5"] {
        let seed_text = String::from_utf8_lossy(seed).into_owned();
        contents.push(put(&fixture, "a", &seed_text, seed).await.content);
        put(&fixture, "b", &format!("{seed_text} again"), seed).await;
    }
    let missing = put(&fixture, "c", "missing", b"missing").await;
    fixture.store.set_holding_state(missing.id, HoldingState::Missing).await.expect("set");
    contents.sort();
    let first = fixture.store.held_contents(None, 3).await.expect("read");
    assert_eq!(first, contents[..3]);
    let rest = fixture.store.held_contents(Some(first[2]), 3).await.expect("read");
    assert_eq!(rest, contents[3..]);
    let page = fixture.store.holdings(None, 4).await.expect("read");
    assert_eq!(page.len(), 4);
    let next = fixture.store.holdings(Some(page[3].id), 1000).await.expect("read");
    assert_eq!(next.len(), 7);
}

/// One comes with each share: gone through row by row, the holdings would make many shares quadratic.
#[tokio::test]
async fn a_receipt_finds_its_holdings_by_an_index() {
    let fixture = Fixture::new();
    let explained = fixture.store.db().read("explain", |connection| {
        let sql = format!("EXPLAIN QUERY PLAN {SET_RECEIPT}");
        let nothing = [None::<i64>; 5];
        all(connection, &sql, nothing, |row| row.get::<_, String>("detail"))
    });
    let plan = explained.await.expect("explained");
    assert!(plan.len() == 1 && plan[0].contains("USING INDEX holding_resource"), "{plan:?}");
}
