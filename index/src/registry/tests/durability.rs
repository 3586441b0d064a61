//! What was acknowledged stays; what failed leaves nothing.

use std::pin::Pin;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::task::{Context, Waker};

use rusqlite::Connection;
use wire::message::OutcomeKind;

use super::super::{Purpose, Registry, RegistryError};
use super::{CERTIFICATE, Fixture, NOW, batched, everything, name, nobody, path, paths};

fn count(database: &Connection, table: &str) -> i64 {
    database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("counted")
}

#[tokio::test]
async fn a_restart_keeps_all() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    fixture.share(&alice, &["a.txt", "b.txt"]).await;
    let fixture = fixture.reopen().await;
    assert_eq!(paths(&fixture.list(everything()).await.0), ["alice/a.txt", "alice/b.txt"]);
    assert_eq!(fixture.search("txt").await, ["alice/b.txt", "alice/a.txt"]);
    let again = fixture.send(Purpose::Register, &alice, &[alice.first("a.txt")]).await;
    assert_eq!(again[0].outcome, OutcomeKind::Unchanged);
}

/// The files as they are at this moment, as after a kill: nothing was closed or checkpointed.
fn image(fixture: &Fixture) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for file in ["index.db", "index.db-wal"] {
        std::fs::copy(fixture.folder.path().join(file), copy.path().join(file)).expect("copied");
    }
    copy
}

#[tokio::test]
async fn a_kill_after_the_acknowledgement_keeps_all() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    for number in 0..20 {
        let text = format!("file {number:02}");
        fixture.share(&alice, &[&text]).await;
        let copy = image(&fixture);
        let registry = Registry::open(&copy.path().join("index.db"), CERTIFICATE, nobody()).expect("opened");
        let found = registry.locate(alice.user.clone(), name(&text), None, false).await.expect("read");
        assert!(found.is_some(), "{text}");
        let items = registry.list(everything(), super::all_online()).await.expect("read").items;
        assert_eq!(items.iter().map(path).next_back(), Some(format!("alice/{text}")));
        registry.close().await;
    }
}

type Queued<'a, T> = Pin<Box<dyn Future<Output = Result<T, RegistryError>> + 'a>>;

/// A write that is queued: polled once, which is all that it takes while there is room.
fn queued<'a, T>(write: impl Future<Output = Result<T, RegistryError>> + 'a) -> Queued<'a, T> {
    let mut write: Queued<'a, T> = Box::pin(write);
    assert!(write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    write
}

/// Keeps the writer busy until the sender says so, so that what is queued meanwhile is one transaction.
async fn gate(registry: &Registry) -> (SyncSender<()>, Queued<'_, bool>) {
    let (release, wait) = sync_channel(1);
    let (entered, begun) = tokio::sync::oneshot::channel();
    let gate = queued(registry.write(1, move |_| {
        let _ = entered.send(());
        Ok(wait.recv().is_ok())
    }));
    begun.await.expect("begun");
    (release, gate)
}

#[tokio::test]
async fn jobs_that_wait_share_a_transaction() {
    let fixture = Fixture::new();
    let (alice, registry) = (fixture.publisher("alice", 2).await, &fixture.registry);
    let (release, gate) = gate(registry).await;
    let register = |number: usize| {
        let record = alice.first(&format!("file {number:02}"));
        queued(registry.register(batched(registry, Purpose::Register, &alice, &[record])))
    };
    let jobs: Vec<_> = (0..64).map(register).collect();
    let path = fixture.path();
    let last = queued(registry.write(1, move |batch| {
        let outside = Connection::open(path)?;
        Ok((count(batch, "entries"), count(&outside, "entries")))
    }));
    release.send(()).expect("waited for");
    assert!(gate.await.expect("written"));
    for job in jobs {
        assert_eq!(job.await.expect("written")[0].outcome, OutcomeKind::Created);
    }
    assert_eq!(last.await.expect("written"), (64, 0), "all before it were written and none was committed");
}

#[tokio::test]
async fn a_job_that_fails_takes_nothing_with_it_and_leaves_nothing() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let good = batched(&fixture.registry, Purpose::Register, &alice, &[alice.first("good")]);
    let bad = batched(&fixture.registry, Purpose::Register, &alice, &[alice.first("bad")]);
    let failing = fixture.registry.write(1, move |batch| {
        super::super::register::register(batch, &bad)?;
        Err::<(), _>(RegistryError::Corrupt("as the test wants it"))
    });
    let (good, failed) = tokio::join!(fixture.registry.register(good), failing);
    assert_eq!(good.expect("written")[0].outcome, OutcomeKind::Created);
    assert!(matches!(failed, Err(RegistryError::Corrupt(_))));
    assert_eq!(paths(&fixture.list(everything()).await.0), ["alice/good"]);
    assert_eq!(fixture.search("bad").await, [""; 0]);
    assert_eq!(fixture.search("goo").await, ["alice/good"]);
}

#[tokio::test]
async fn a_transaction_that_sqlite_took_back_fails_all_of_its_jobs() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let register = |name| {
        let batched = batched(&fixture.registry, Purpose::Register, &alice, &[alice.first(name)]);
        queued(fixture.registry.register(batched))
    };
    let (release, gate) = gate(&fixture.registry).await;
    let before = register("before");
    // A full disk and the like end the whole transaction in the middle, as this does.
    let breaking = queued(fixture.registry.write(1, |batch| Ok(batch.execute_batch("ROLLBACK")?)));
    let after = register("after");
    release.send(()).expect("waited for");
    assert!(gate.await.is_ok());
    assert!(breaking.await.is_err());
    assert!(matches!(before.await, Err(RegistryError::Commit(_))));
    assert!(matches!(after.await, Err(RegistryError::Commit(_))));
    assert_eq!(fixture.list(everything()).await.0, []);
    fixture.share(&alice, &["later"]).await;
    assert_eq!(fixture.search("later").await, ["alice/later"]);
}

#[tokio::test]
async fn after_the_end_nothing_is_taken() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let last = batched(&fixture.registry, Purpose::Register, &alice, &[alice.first("last")]);
    let (stored, ()) = tokio::join!(fixture.registry.register(last), fixture.registry.close());
    assert_eq!(stored.expect("queued before the end")[0].outcome, OutcomeKind::Created);
    let late = fixture.registry.account(alice.user.clone()).await;
    assert!(matches!(late, Err(RegistryError::Stopped)));
    let late = fixture.registry.end(alice.admitted.node, NOW).await;
    assert!(matches!(late, Err(RegistryError::Stopped)));
}

#[tokio::test]
async fn the_search_table_follows_the_entries() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let names: Vec<_> = (0..50).map(|number| format!("file {number:02}")).collect();
    fixture.share(&alice, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for name in names.iter().step_by(2) {
        fixture.send(Purpose::Register, &alice, &[alice.next(&alice.first(name), "changed")]).await;
    }
    for name in names.iter().skip(1).step_by(4) {
        fixture.send(Purpose::Deregister, &alice, &[alice.tombstone(&alice.first(name))]).await;
    }
    let path = fixture.path();
    fixture.registry.close().await;
    let database = Connection::open(path).expect("opened");
    let live = count(&database, "entries WHERE kind <> 2");
    assert_eq!((live, count(&database, "search WHERE search MATCH '\"fil\"'")), (37, live));
    database.execute_batch("INSERT INTO search(search, rank) VALUES ('integrity-check', 0)").expect("whole");
}
