use super::super::holdings::HoldingState;
use super::super::tests::{Fixture, manifest_of, publication, record, signed, tombstone};
use super::*;
use crate::store::fs::OsFs;
use crate::store::import;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use wire::Record;

fn name(text: &str) -> ResourceName {
    text.parse().expect("a name")
}

#[tokio::test]
async fn a_publication_comes_back_with_manifest_and_holding() {
    let mut fixture = Fixture::new();
    let published = fixture.share("a.txt", b"hello").await;
    fixture.reopen().await;
    let store = &fixture.store;
    assert_eq!(store.publication(name("a.txt")).await.expect("read").as_ref(), Some(&published));
    let content = published.record.content.expect("of a file");
    let root = published.record.root.expect("of a file");
    assert_eq!(store.roots_of(content).await.expect("read"), [root]);
    let holdings = store.holdings_of(content).await.expect("read");
    let [holding] = &holdings[..] else { panic!("{holdings:?}") };
    assert_eq!((holding.origin, holding.state, holding.root), (Origin::Share, HoldingState::Ok, root));
    assert_eq!(holding.record, published.record.bytes());
    assert_eq!((&holding.path, holding.stamp), (&published.path, published.stamp));
}

#[tokio::test]
async fn a_new_version_replaces_the_old_one_also_at_another_path() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let first = fixture.share("a.txt", b"one").await;
    let manifest = manifest_of(b"two", 3);
    let path = fixture.path("elsewhere");
    let second = publication("a.txt", 2, &path, first.stamp, &manifest);
    store.put_publication(second.clone(), Some(Arc::new(manifest))).await.expect("put");
    assert_eq!(store.publication(name("a.txt")).await.expect("read"), Some(second));
    assert!(store.holdings_at(fixture.path("a.txt")).await.expect("read").is_empty());
    assert_eq!(store.holdings_at(path).await.expect("read").len(), 1);
}

#[tokio::test]
async fn how_a_folder_was_walked_is_kept() {
    let mut fixture = Fixture::new();
    let first = fixture.share("a.txt", b"one").await;
    let walked = Walked { links: Links::Skip, gitignore: true };
    let published = Publication { walked, ..first };
    fixture.store.put_publication(published.clone(), None).await.expect("put");
    fixture.reopen().await;
    assert_eq!(fixture.store.publication(name("a.txt")).await.expect("read"), Some(published));
}

#[tokio::test]
async fn without_a_manifest_nothing_is_stored() {
    let fixture = Fixture::new();
    let manifest = manifest_of(b"none", 3);
    let stamp = fixture.share("a.txt", b"one").await.stamp;
    let lone = publication("b.txt", 1, &fixture.path("b.txt"), stamp, &manifest);
    assert!(matches!(fixture.store.put_publication(lone, None).await, Err(DbError::Failed { .. })));
    assert_eq!(fixture.store.publication(name("b.txt")).await.expect("read"), None);
}

#[tokio::test]
async fn the_life_of_a_publication() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let published = fixture.share("a.txt", b"hello").await;
    let state = async || store.publication(name("a.txt")).await.expect("read").expect("there").state;
    let hash = record_hash(&published.record);
    let (receipt, certificate) = (Bytes::from_static(b"receipt"), Bytes::from_static(b"certificate"));
    let acknowledge =
        |hash| store.set_publication_receipt(name("a.txt"), hash, receipt.clone(), certificate.clone());
    assert!(acknowledge(hash).await.expect("set"));
    assert_eq!(state().await, PublicationState::Published);
    let held = store.holdings_at(fixture.path("a.txt")).await.expect("read");
    assert_eq!(
        (&held[0].receipt, &held[0].certificate),
        (&Some(receipt.clone()), &Some(certificate.clone()))
    );

    let gone = tombstone(&published);
    store.put_publication(gone.clone(), None).await.expect("put");
    assert!(store.holdings_at(fixture.path("a.txt")).await.expect("read").is_empty(), "no longer served");
    assert!(!acknowledge(hash).await.expect("asked"), "a late receipt is for another record");
    assert_eq!(state().await, PublicationState::Withdrawing);
    assert!(acknowledge(record_hash(&gone.record)).await.expect("set"));
    let kept = store.publication(name("a.txt")).await.expect("read").expect("kept");
    assert_eq!((kept.state, kept.record.version), (PublicationState::Gone, 2));

    let again =
        Record { version: 3, prev: Some(record_hash(&kept.record)), ..published.record.body().clone() };
    let again = Publication { record: signed(again), ..published };
    assert!(store.put_publication(again.clone(), None).await.is_err(), "the manifest went with the file");
    let imported = import(&OsFs::new(), &again.path, None, &|_, _| {}, &|| false).expect("imports");
    store.put_publication(again, Some(Arc::new(imported.manifest))).await.expect("put");
    assert_eq!(state().await, PublicationState::Pending);
}

#[tokio::test]
async fn states_are_set_for_the_record_that_they_are_about() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let published = fixture.share("a.txt", b"hello").await;
    let set = |hash, state| store.set_publication_state(name("a.txt"), hash, state);
    assert!(set(record_hash(&published.record), PublicationState::Superseded).await.expect("set"));
    assert!(!set(RecordHash::from_bytes([0; 32]), PublicationState::Pending).await.expect("set"));
    let found = store.publication(name("a.txt")).await.expect("read").expect("there");
    assert_eq!(found.state, PublicationState::Superseded);
}

#[tokio::test]
async fn lists_are_paged_in_the_order_of_names() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    for name in ["b", "ä", "B", "a", "a.b"] {
        fixture.share(name, name.as_bytes()).await;
    }
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let page = store.publications(after.clone(), 2).await.expect("read");
        let heads = store.publication_heads(after, 2).await.expect("read");
        assert!(
            page.iter().map(|p| (&p.name, record_hash(&p.record), p.state)).eq(heads.iter().map(|head| (
                &head.name,
                head.record,
                head.state
            )))
        );
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
        names.extend(page.iter().map(|publication| publication.name.to_string()));
    }
    assert_eq!(names, ["B", "a", "a.b", "b", "ä"]);
}

#[tokio::test]
async fn paths_are_bytes() {
    let fixture = Fixture::new();
    let path = fixture.path("").join(OsString::from_vec(vec![b'x', 0xff, 0xfe]));
    let manifest = manifest_of(b"path", 1);
    let stamp = fixture.share("a", b"a").await.stamp;
    let strange = publication("strange", 1, &path, stamp, &manifest);
    fixture.store.put_publication(strange.clone(), Some(Arc::new(manifest))).await.expect("put");
    assert_eq!(fixture.store.publication(name("strange")).await.expect("read"), Some(strange));
}

#[tokio::test]
async fn a_row_that_is_damaged_is_an_error() {
    let fixture = Fixture::new();
    fixture.share("a", b"a").await;
    for column in ["record", "record_hash"] {
        let sql = format!("UPDATE publication SET {column} = x'00'");
        fixture.store.db().write("damage", move |t| t.execute(&sql, [])).await.expect("damaged");
        let error = match column {
            "record" => fixture.store.publication(name("a")).await.map(drop),
            _ => fixture.store.publication_heads(None, 9).await.map(drop),
        };
        assert!(matches!(error, Err(DbError::Damaged { .. })), "{error:?}");
    }
    let sql = "UPDATE publication SET state = 'strange'";
    fixture.store.db().write("damage", move |t| t.execute(sql, [])).await.expect("damaged");
    assert!(matches!(fixture.store.publication_heads(None, 9).await, Err(DbError::Damaged { .. })));
}

#[tokio::test]
async fn the_largest_numbers_come_back() {
    let fixture = Fixture::new();
    let manifest = manifest_of(b"large", 1);
    let stamp =
        FileStamp { size: 1 << 53, mtime: certs::UnixNanos(i64::MIN), inode: u64::MAX, device: u64::MAX - 1 };
    let mut large = publication("large", 1, &fixture.path("large"), stamp, &manifest);
    large.record = signed(Record {
        version: 1 << 53,
        prev: Some(RecordHash::from_bytes([1; 32])),
        ..record("large", 1, &manifest)
    });
    fixture.store.put_publication(large.clone(), Some(Arc::new(manifest))).await.expect("put");
    assert_eq!(fixture.store.publication(name("large")).await.expect("read"), Some(large));
}
