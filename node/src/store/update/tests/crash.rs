//! The machine stops at every step in turn; after a restart the new version is there, and nothing is lost.

use super::*;

fn old() -> Tree {
    tree(&[
        ("a", Node::Folder),
        ("a/1", file("1")),
        ("a/edited", file("was so")),
        ("a/goes", file("goes")),
        ("a/same", file("same")),
        ("b", file("was a file")),
        ("c", Node::Folder),
        ("c/x", file("x")),
        ("gone", Node::Folder),
        ("gone/edited", file("y")),
        ("l", Node::Link("a/same".to_owned())),
        ("m", file("moved about")),
        ("t", file("t")),
    ])
}

fn new() -> Tree {
    tree(&[
        ("a", Node::Folder),
        ("a/1", file("one")),
        ("a/edited", file("is so now")),
        ("a/same", file("same")),
        ("b", Node::Folder),
        ("b/z", file("z")),
        ("c", file("is a file")),
        ("l", Node::Link("a/1".to_owned())),
        ("n", file("moved about")),
        ("new", file("comes")),
        ("t", Node::File(b"t".to_vec(), true, 9)),
    ])
}

const EDITS: [(&str, &str); 5] = [
    ("a/edited", "edit 1"),
    ("b", "edit 2"),
    ("c/mine", "edit 3"),
    ("gone/edited", "edit 4"),
    ("new", "edit 5"),
];

async fn ready(os: OsFs, edits: bool) -> (Fixture, Version, JobId, Arc<Partial>) {
    let (fixture, first, second) = installed(os, &old(), &new()).await;
    let id = second.job(&fixture, Some(&first), true, &[]).await;
    let partial = second.receive(&fixture, id).await.expect("received");
    for (path, edit) in EDITS.iter().filter(|_| edits) {
        std::fs::write(fixture.path("docs").join(path), edit).expect("written");
    }
    std::fs::write(fixture.path("docs/own"), "own").expect("written");
    (fixture, second, id, partial)
}

/// After a restart, and what it does.
async fn check(fixture: &mut Fixture, second: &Version, id: JobId, edits: bool, step: &str) {
    fixture.fs.clear();
    fixture.reopen().await;
    for recovered in fixture.store.recover(NOW.plus(77_000)).await.expect("recovers") {
        recovered.outcome.unwrap_or_else(|error| panic!("{step}: {error}"));
    }
    if !is_installed(fixture, id).await {
        let partial = second.receive(fixture, id).await.unwrap_or_else(|error| panic!("{step}: {error}"));
        second.install(fixture, id, partial).await.unwrap_or_else(|error| panic!("{step}: {error}"));
    }
    let found = disk(&fixture.path("docs"));
    let mut expected = new();
    let expected_edits: Vec<_> =
        EDITS.iter().filter(|_| edits).map(|(_, edit)| edit.as_bytes().to_vec()).collect();
    assert_eq!(conflicts(&found), expected_edits, "{step}");
    let Some(Node::File(own, ..)) = found.get("own") else { panic!("{step}: {found:?}") };
    assert_eq!(own, b"own", "{step}");
    let mut found = without_conflicts(found);
    found.remove("own");
    if edits {
        // Its conflict copy lies there.
        expected.insert("gone".to_owned(), Node::Folder);
    }
    assert_eq!(found, expected, "{step}");
    assert_eq!(names(fixture), ["docs"], "{step}");
    let held = fixture.store.holdings_at(fixture.path("docs")).await.expect("read").remove(0);
    assert_eq!(held.content, second.layout.content, "{step}");
    assert_eq!(fixture.store.check_holding(held).await.expect("asked"), HoldingState::Ok, "{step}");
}

async fn stops_at_every_step(os: fn() -> OsFs, edits: bool) {
    for step in 0.. {
        let (mut fixture, second, id, partial) = ready(os(), edits).await;
        fixture.fs.die_after(step);
        let result = second.install(&fixture, id, partial).await;
        let stopped = fixture.fs.is_dead();
        assert!(stopped || result.is_ok(), "{step}: {result:?}");
        check(&mut fixture, &second, id, edits, &format!("step {step}, edits {edits}")).await;
        if !stopped {
            assert!(step > 80, "{step}");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_every_step() {
    stops_at_every_step(OsFs::new, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_every_step_with_edits() {
    stops_at_every_step(OsFs::new, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_every_step_where_nothing_can_be_exchanged() {
    stops_at_every_step(OsFs::without_rename_flags, true).await;
}

/// The recovery itself may be interrupted.
#[tokio::test(flavor = "multi_thread")]
async fn in_the_recovery_too() {
    for os in [OsFs::new, OsFs::without_rename_flags] {
        for step in (60..220).step_by(9) {
            for again in (0..150).step_by(13) {
                let (mut fixture, second, id, partial) = ready(os(), true).await;
                fixture.fs.die_after(step);
                let _ = second.install(&fixture, id, partial).await;
                fixture.fs.clear();
                fixture.reopen().await;
                fixture.fs.die_after(again);
                let _ = fixture.store.recover(NOW.plus(5000)).await;
                check(&mut fixture, &second, id, true, &format!("step {step}, then {again}")).await;
            }
        }
    }
}
