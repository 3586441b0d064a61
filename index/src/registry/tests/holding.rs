//! Who holds what: generations, digests, bounds.

use wire::message::{Held, holdings_digest, records_digest};
use wire::{ErrorCode, record_hash};

use super::super::{NodeRow, Purpose};
use super::{Fixture, NOW, Publisher, content, name};

fn held(text: &str) -> Held {
    Held { content: content(text), whole: true }
}

async fn start(fixture: &Fixture, node: &Publisher, generation: u64, holds: &[Held]) -> (bool, bool) {
    let mut holds = holds.to_vec();
    holds.sort();
    let records = records_digest([]);
    let (row, user) = (node.admitted.node, node.user.clone());
    fixture.registry.start(row, user, generation, records, holdings_digest(holds)).await.expect("written")
}

async fn holders(fixture: &Fixture, text: &str) -> Vec<NodeRow> {
    let located = fixture.registry.locate(name("alice"), name(text), None, false).await.expect("read");
    located.expect("there").1.into_iter().map(|holder| holder.node).collect()
}

#[tokio::test]
async fn a_generation_takes_the_place_of_the_one_before() {
    let fixture = Fixture::new();
    let (alice, bob) = (fixture.publisher("alice", 2).await, fixture.publisher("bob", 3).await);
    fixture.share(&alice, &["a", "b"]).await;
    let (owner, row) = (alice.admitted.node, bob.admitted.node);
    let node = (bob.admitted.account, row);
    let hold = async |generation, contents: &[&str], last| {
        let contents = contents.iter().map(|text| held(text)).collect();
        fixture.registry.hold(node, generation, contents, last).await.expect("written")
    };
    assert_eq!(start(&fixture, &bob, 1, &[]).await, (false, false));
    hold(1, &["a"], false).await.expect("held");
    hold(1, &["b"], true).await.expect("held");
    assert_eq!(holders(&fixture, "a").await, [owner, row]);
    assert_eq!(start(&fixture, &bob, 2, &[held("a"), held("b")]).await, (false, false));
    let partial = Held { whole: false, ..held("a") };
    assert_eq!(start(&fixture, &bob, 2, &[partial, held("b")]).await, (false, true));
    hold(2, &["b"], false).await.expect("held");
    assert_eq!(holders(&fixture, "a").await, [owner, row], "not yet complete");
    hold(2, &["c"], true).await.expect("held");
    assert_eq!(holders(&fixture, "a").await, [owner]);
    assert_eq!(start(&fixture, &bob, 3, &[held("b"), held("c")]).await, (false, false));
    let stale = hold(2, &["a"], true).await.expect_err("refused");
    assert_eq!(stale.code, ErrorCode::BadMessage);
    fixture.registry.unhold(row, vec![content("b"), content("never held")]).await.expect("written");
    assert_eq!(start(&fixture, &bob, 4, &[held("c")]).await, (false, false));
}

#[tokio::test]
async fn publishing_is_holding() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    fixture.share(&alice, &["b", "a"]).await;
    let mut holds = [held("a"), held("b")];
    holds.sort();
    let (first, second) = (alice.first("a"), alice.first("b"));
    let records = [(&first.name, record_hash(&first)), (&second.name, record_hash(&second))];
    let (row, user) = (alice.admitted.node, alice.user.clone());
    let differ = fixture
        .registry
        .start(row, user, 9, records_digest(records), holdings_digest(holds))
        .await
        .expect("written");
    assert_eq!(differ, (false, false));
}

#[tokio::test]
async fn a_full_node_makes_room_with_its_last_generation_only() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let row = alice.admitted.node;
    let node = (alice.admitted.account, row);
    start(&fixture, &alice, 1, &[]).await;
    fixture.registry.hold(node, 1, vec![held("old")], true).await.expect("written").expect("held");
    fill(&fixture, row).await;
    let refused = fixture.registry.hold(node, 1, vec![held("new")], false).await.expect("written");
    assert_eq!(refused.map_err(|error| error.code), Err(ErrorCode::Quota));
    start(&fixture, &alice, 2, &[]).await;
    fixture.registry.hold(node, 2, vec![held("new")], false).await.expect("written").expect("held");
    assert_eq!(start(&fixture, &alice, 3, &[held("new")]).await, (false, false));
}

#[tokio::test]
async fn one_more_than_fits_costs_a_full_node_nothing() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let row = alice.admitted.node;
    let node = (alice.admitted.account, row);
    let hold = async |generation, text: &str, last| {
        let held = fixture.registry.hold(node, generation, vec![held(text)], last).await.expect("written");
        held.map_err(|error| error.code)
    };
    start(&fixture, &alice, 1, &[held("valid")]).await;
    assert_eq!(hold(1, "valid", true).await, Ok(()));
    assert_eq!(start(&fixture, &alice, 2, &[held("valid")]).await, (false, false), "not asked for");
    fill(&fixture, row).await;
    assert_eq!(hold(2, "new", false).await, Err(ErrorCode::Quota));
    assert_eq!(start(&fixture, &alice, 3, &[held("valid")]).await, (false, false), "still there");
    assert_eq!(start(&fixture, &alice, 4, &[held("other")]).await, (false, true));
    assert_eq!(hold(4, "valid", true).await, Ok(()), "asked for, and complete with this");
    fill(&fixture, row).await;
    assert_eq!(hold(4, "new", false).await, Err(ErrorCode::Quota));
    assert_eq!(start(&fixture, &alice, 5, &[held("valid")]).await, (false, false), "still there");
}

/// Lets a node be known to hold as much as it may.
async fn fill(fixture: &Fixture, row: NodeRow) {
    let filled = fixture.registry.write(1, move |batch| {
        let full = i64::try_from(wire::limits::HOLDINGS_PER_NODE).unwrap_or(i64::MAX);
        batch.execute("UPDATE nodes SET holdings = ?2 WHERE id = ?1", (row.0, full))?;
        Ok(())
    });
    filled.await.expect("written");
}

#[tokio::test]
async fn a_log_out_forgets_what_the_node_held() {
    let fixture = Fixture::new();
    let (alice, bob) = (fixture.publisher("alice", 2).await, fixture.publisher("bob", 3).await);
    fixture.share(&alice, &["a", "b"]).await;
    let node = (bob.admitted.account, bob.admitted.node);
    start(&fixture, &bob, 1, &[]).await;
    let held_a = || vec![held("a")];
    fixture.registry.hold(node, 1, held_a(), true).await.expect("written").expect("held");
    fixture.registry.end(alice.admitted.node, NOW).await.expect("written");
    assert_eq!(holders(&fixture, "a").await, [node.1], "the other node's holdings stay");
    assert_eq!(holders(&fixture, "b").await, []);
    fixture.registry.end(node.1, NOW).await.expect("written");
    assert_eq!(holders(&fixture, "a").await, []);
    let late = fixture.registry.hold(node, 1, held_a(), false).await.expect("written");
    assert_eq!(late.map_err(|error| error.code), Err(ErrorCode::NotMember), "it was on its way");
    let late = fixture.send(Purpose::Register, &alice, &[alice.first("c")]).await;
    assert_eq!(late[0].error.as_ref().map(|error| error.code), Some(ErrorCode::NotMember));
    let counted = fixture.registry.read(move |database| {
        let read = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        Ok(database.query_row("SELECT sum(holdings) FROM nodes", [], read)?)
    });
    assert_eq!(counted.await.expect("read"), 0);
}
