//! R and D against the database: outcomes, receipts, winners.

use certs::UnixNanos;
use wire::message::Outcome;
use wire::message::OutcomeKind::{Created, Refused, Superseded, Unchanged, Updated};
use wire::{ErrorCode, Kind, Record, SignedRecord, TOMBSTONE_RETENTION_MS};

use super::super::{Batched, Incoming, ListFilter, Purpose};
use super::{Fixture, NOW, Publisher, batched, everything, name, paths, receipt};

async fn one(fixture: &Fixture, by: &Publisher, record: &SignedRecord) -> Outcome {
    let purpose = if record.is_gone() { Purpose::Deregister } else { Purpose::Register };
    let mut outcomes = fixture.send(purpose, by, std::slice::from_ref(record)).await;
    outcomes.pop().expect("an outcome")
}

fn receipt_of(outcome: &Outcome) -> Option<&[u8]> {
    outcome.receipt.as_deref().map(Vec::as_slice)
}

fn winner_of(outcome: &Outcome) -> Option<&[u8]> {
    outcome.winner.as_deref().map(Vec::as_slice)
}

#[tokio::test]
async fn the_life_of_a_resource() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let first = alice.first("a.txt");
    let created = one(&fixture, &alice, &first).await;
    assert_eq!((created.outcome, receipt_of(&created)), (Created, Some(&*receipt(&first))));
    let again = one(&fixture, &alice, &first).await;
    assert_eq!((again.outcome, winner_of(&again)), (Unchanged, None));
    assert_eq!(receipt_of(&again), Some(&*receipt(&first)));
    let second = alice.next(&first, "two");
    assert_eq!(one(&fixture, &alice, &second).await.outcome, Updated);
    let late = one(&fixture, &alice, &first).await;
    assert_eq!((late.outcome, winner_of(&late)), (Superseded, Some(second.bytes())));
    assert_eq!(receipt_of(&late), Some(&*receipt(&second)));

    let stale = one(&fixture, &alice, &alice.tombstone(&first)).await;
    assert_eq!((stale.outcome, winner_of(&stale)), (Refused, Some(second.bytes())));
    assert_eq!(stale.error.map(|error| error.code), Some(ErrorCode::StaleVersion));
    let tombstone = alice.tombstone(&second);
    let gone = one(&fixture, &alice, &tombstone).await;
    assert_eq!((gone.outcome, receipt_of(&gone)), (Updated, Some(&*receipt(&tombstone))));
    let repeated = one(&fixture, &alice, &tombstone).await;
    assert_eq!((repeated.outcome, receipt_of(&repeated)), (Unchanged, Some(&*receipt(&tombstone))));
    assert_eq!(fixture.list(everything()).await.0, []);
    assert_eq!(fixture.search("txt").await, [""; 0]);

    let again = alice.next(&tombstone, "three");
    assert_eq!(one(&fixture, &alice, &again).await.outcome, Created);
    assert_eq!(paths(&fixture.list(everything()).await.0), ["alice/a.txt"]);
    assert_eq!(fixture.search("txt").await, ["alice/a.txt"]);
}

#[tokio::test]
async fn a_batch_sees_its_own_beginning_and_keeps_its_order() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let first = alice.first("a.txt");
    let folder = alice.sign(Record { kind: Kind::Folder, ..alice.first("b").body().clone() });
    let records = [first.clone(), alice.next(&first, "two"), folder, first.clone()];
    let mut batch: Batched = batched(&fixture.registry, Purpose::Register, &alice, &records);
    let bad = wire::ErrorBody::new(ErrorCode::BadRecord, "unreadable");
    batch.items.insert(1, Incoming::Refused(bad.clone()));
    let outcomes = fixture.registry.register(batch).await.expect("written");
    let kinds: Vec<_> = outcomes.iter().map(|outcome| outcome.outcome).collect();
    assert_eq!(kinds, [Created, Refused, Updated, Created, Superseded]);
    assert_eq!(outcomes[1].error, Some(bad));
}

#[tokio::test]
async fn a_second_machine() {
    let fixture = Fixture::new();
    let laptop = fixture.publisher("alice", 2).await;
    let key = certs::SecretKey::from_seed([3; 32]);
    let account = fixture.registry.account(name("alice")).await.expect("read").expect("there");
    let admitted = fixture.registry.enrol(account, key.public()).await.expect("written").expect("enrolled");
    let desktop = Publisher { key, user: laptop.user.clone(), admitted };

    let first = laptop.first("a.txt");
    one(&fixture, &laptop, &first).await;
    let same = desktop.sign(Record { mtime: UnixNanos(99), ..desktop.first("a.txt").body().clone() });
    let outcome = one(&fixture, &desktop, &same).await;
    assert_eq!((outcome.outcome, winner_of(&outcome)), (Unchanged, Some(first.bytes())));
    assert_eq!(receipt_of(&outcome), Some(&*receipt(&first)));
    let (entries, _) = fixture.list(everything()).await;
    assert_eq!(
        (entries[0].holders, entries[0].node),
        (2, laptop.key.public()),
        "it is a holder all the same"
    );

    let other = desktop.record("a.txt", 1, None, "another content");
    let other = desktop.sign(Record { mtime: UnixNanos(50), ..other.body().clone() });
    assert_eq!(one(&fixture, &desktop, &other).await.outcome, Updated, "modified later");
    assert_eq!(one(&fixture, &laptop, &first).await.outcome, Superseded);
    let (entries, _) = fixture.list(ListFilter { node: Some(laptop.key.public()), ..everything() }).await;
    assert_eq!(entries, []);
}

#[tokio::test]
async fn names_that_differ_in_case_are_two() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    fixture.share(&alice, &["A.txt", "a.txt"]).await;
    assert_eq!(paths(&fixture.list(everything()).await.0), ["alice/A.txt", "alice/a.txt"]);
}

#[tokio::test]
async fn old_tombstones_make_room() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let (account, first) = (alice.admitted.account, alice.first("a"));
    fixture.share(&alice, &["a", "b", "c"]).await;
    one(&fixture, &alice, &alice.tombstone(&first)).await;
    let known = async || {
        let read = fixture.registry.read(move |database| {
            let sql = "SELECT resources, (SELECT count(*) FROM entries), (SELECT count(*) FROM records)
                       FROM accounts WHERE id = ?1";
            let counts = |row: &rusqlite::Row<'_>| -> rusqlite::Result<[i64; 3]> {
                Ok([row.get(0)?, row.get(1)?, row.get(2)?])
            };
            Ok(database.query_row(sql, [account.0], counts)?)
        });
        read.await.expect("read")
    };
    let at = async |age: u64| {
        let late =
            Batched { now: NOW.plus(age), ..batched(&fixture.registry, Purpose::Register, &alice, &[]) };
        fixture.registry.register(late).await.expect("written");
        known().await
    };
    assert_eq!(at(TOMBSTONE_RETENTION_MS).await, [3; 3], "kept for so long");
    assert_eq!(at(TOMBSTONE_RETENTION_MS + 1).await, [2; 3]);
    assert_eq!(paths(&fixture.list(everything()).await.0), ["alice/b", "alice/c"], "only tombstones go");
    assert_eq!(one(&fixture, &alice, &first).await.outcome, Created);
}
