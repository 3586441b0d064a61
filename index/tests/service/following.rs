//! `events`, `follow`, `unfollow`: news of what is followed, and nothing else.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use certs::{AccountId, Enrolment, IndexCertificate, Signed, UnixMillis};
use p2p_node_index::{CallError, Events};
use wire::message::OutcomeKind::{Created, Superseded, Unchanged, Updated};
use wire::message::{Event, FollowOutcome, FollowOutcomeKind, Followed, RecordBundle, ResourceKey};
use wire::{ErrorCode, Receipt, Record, RecordHash, SignedRecord, record_hash};

use super::support::{
    Dialler, Index, NOW, PASSWORD, Peer, content, credentials, name, network, refused, wait_until,
};

fn account(peer: &Peer) -> AccountId {
    let (now, bytes) = (UnixMillis(NOW), peer.dialler.enrolment.as_ref().expect("enrolled"));
    let enrolment = Enrolment::verify(bytes, &network(), &peer.node(), now, now).expect("valid");
    enrolment.membership.account
}

fn followed(owner: &Peer, text: &str, have: Option<&SignedRecord>) -> Followed {
    Followed { account: account(owner), name: name(text), have: have.map(record_hash) }
}

async fn follow(peer: &Peer, resources: Vec<Followed>) -> Vec<FollowOutcome> {
    peer.client.follow(resources).await.expect("followed")
}

fn same_or_not(outcome: FollowOutcomeKind) -> FollowOutcome {
    FollowOutcome { outcome, bundle: None }
}

/// The record of a bundle whose receipt the index signed.
fn verified(peer: &Peer, bundle: &RecordBundle) -> SignedRecord {
    let record = Signed::<Record>::parse(&bundle.record).expect("a record");
    let certificate = bundle.certificate.as_ref().expect("with its certificate");
    assert_eq!(Some(certificate), peer.hello.certificate.as_ref());
    let certificate = IndexCertificate::verify(certificate, &network(), UnixMillis(NOW)).expect("valid");
    let receipt = bundle.receipt.as_ref().expect("with its receipt");
    Receipt::verify(receipt, &certificate, record_hash(&record)).expect("the index's receipt");
    record
}

fn other(peer: &Peer, outcome: &FollowOutcome) -> RecordHash {
    assert_eq!(outcome.outcome, FollowOutcomeKind::Other);
    record_hash(&verified(peer, outcome.bundle.as_ref().expect("another record")))
}

async fn next(peer: &Peer, events: &mut Events) -> SignedRecord {
    let next = tokio::time::timeout(Duration::from_secs(20), events.next()).await.expect("in time");
    let Some(Event::Record(bundle)) = next.expect("an event") else { panic!("the stream has ended") };
    verified(peer, &bundle)
}

/// Nothing is on its way: what happens now comes first.
async fn assert_quiet(owner: &Peer, peer: &Peer, events: &mut Events) {
    let marker = owner.first("marker", "one");
    follow(peer, vec![followed(owner, "marker", None)]).await;
    assert_eq!(owner.register(&marker).await.outcome, Created);
    assert_eq!(next(peer, events).await.hash(), marker.hash());
}

fn reset_with(error: CallError) -> ErrorCode {
    match error {
        CallError::Refused(body) => body.code,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn followers_are_told_of_each_new_record_and_nobody_else() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    let mut events = bob.client.events().await.expect("open");
    let outcomes = follow(&bob, vec![followed(&alice, "a", None), followed(&bob, "a", None)]).await;
    assert_eq!(
        outcomes,
        [same_or_not(FollowOutcomeKind::NotFound), same_or_not(FollowOutcomeKind::NotFound)]
    );
    let first = alice.first("a", "one");
    assert_eq!(alice.register(&first).await.outcome, Created);
    assert_eq!(next(&bob, &mut events).await.hash(), first.hash());
    assert_eq!(alice.register(&alice.first("b", "one")).await.outcome, Created);
    assert_eq!(alice.register(&first).await.outcome, Unchanged);
    let second = alice.sign(alice.record("a", 2, Some(record_hash(&first)), "two"));
    assert_eq!(alice.register(&second).await.outcome, Updated);
    assert_eq!(next(&bob, &mut events).await.hash(), second.hash());
    assert_eq!(alice.register(&alice.first("a", "an older one")).await.outcome, Superseded);
    let prev = Some(record_hash(&second));
    let revision = alice.sign(Record { revision: 1, prev, ..second.body().clone() });
    assert_eq!(alice.register(&revision).await.outcome, Updated);
    assert_eq!(next(&bob, &mut events).await.hash(), revision.hash());
    let tombstone = alice.tombstone(&revision);
    assert_eq!(alice.deregister(&tombstone).await.outcome, Updated);
    assert_eq!(next(&bob, &mut events).await.hash(), tombstone.hash());
    let own = bob.first("a", "of bob");
    bob.register(&own).await;
    assert_eq!(next(&bob, &mut events).await.hash(), own.hash(), "one's own too");
    let key = ResourceKey { account: account(&alice), name: name("a") };
    bob.client.unfollow(vec![key]).await.expect("unfollowed");
    let again = alice.sign(alice.record("a", 4, Some(record_hash(&tombstone)), "again"));
    assert_eq!(alice.register(&again).await.outcome, Created);
    assert_quiet(&alice, &bob, &mut events).await;
}

#[tokio::test]
async fn a_follow_says_what_stands() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    let (first, gone) = (alice.first("a", "one"), alice.first("gone", "one"));
    let second = alice.sign(alice.record("a", 2, Some(record_hash(&first)), "two"));
    let tombstone = alice.tombstone(&gone);
    for record in [&first, &second, &gone] {
        alice.register(record).await;
    }
    alice.deregister(&tombstone).await;
    let _events = bob.client.events().await.expect("open");
    let mut stranger = followed(&alice, "a", None);
    stranger.account = AccountId::from_bytes([9; 16]);
    let resources = vec![
        followed(&alice, "a", Some(&second)),
        followed(&alice, "a", Some(&first)),
        followed(&alice, "a", None),
        followed(&alice, "gone", Some(&gone)),
        followed(&alice, "gone", Some(&tombstone)),
        followed(&alice, "none", None),
        followed(&bob, "a", None),
        stranger,
    ];
    let outcomes = follow(&bob, resources).await;
    assert_eq!(outcomes[0], same_or_not(FollowOutcomeKind::Same));
    assert_eq!([1, 2].map(|at| other(&bob, &outcomes[at])), [record_hash(&second); 2]);
    assert_eq!(other(&bob, &outcomes[3]), record_hash(&tombstone));
    assert_eq!(outcomes[4], same_or_not(FollowOutcomeKind::Same));
    assert_eq!(outcomes[5..], [5, 6, 7].map(|_| same_or_not(FollowOutcomeKind::NotFound)));
    assert_eq!(follow(&bob, Vec::new()).await, []);
    assert_eq!(follow(&bob, vec![followed(&alice, "a", None); 128]).await.len(), 128);
}

#[tokio::test]
async fn who_may_follow() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    let resources = || vec![followed(&alice, "a", None)];
    assert_eq!(refused(alice.client.follow(resources()).await), ErrorCode::NotFound, "no events yet");
    let key = ResourceKey { account: account(&alice), name: name("a") };
    alice.client.unfollow(vec![key]).await.expect("nothing to do");
    let guest = Dialler::new(12).dial(&index).await.expect("welcome");
    assert_eq!(refused(guest.client.events().await), ErrorCode::NotMember);
    assert_eq!(refused(guest.client.follow(resources()).await), ErrorCode::NotMember);
    let _events = alice.client.events().await.expect("open");
    alice.client.follow(resources()).await.expect("followed");
}

#[tokio::test]
async fn a_logout_ends_the_stream() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    let mut events = bob.client.events().await.expect("open");
    follow(&bob, vec![followed(&alice, "a", None)]).await;
    bob.client.logout().await.expect("logged out");
    alice.register(&alice.first("a", "one")).await;
    assert_eq!(reset_with(events.next().await.expect_err("over")), ErrorCode::NotMember);
}

#[tokio::test]
async fn whoever_follows_while_it_changes_misses_nothing() {
    const ROUNDS: usize = 400;
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    let mut events = bob.client.events().await.expect("open");
    for round in 0..ROUNDS {
        let text = format!("round {round}");
        let record = alice.first(&text, "one");
        let following = async {
            // Now before the record is there, now after, now in between.
            for _ in 0..round % 8 {
                bob.client.ping().await.expect("there");
            }
            follow(&bob, vec![followed(&alice, &text, None)]).await.remove(0)
        };
        let (outcome, registered) = tokio::join!(following, alice.register(&record));
        assert_eq!(registered.outcome, Created);
        match outcome.bundle {
            Some(bundle) => assert_eq!(verified(&bob, &bundle).hash(), record.hash()),
            // What was told and answered, both, comes before.
            None => while next(&bob, &mut events).await.hash() != record.hash() {},
        }
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_gets_the_newest_of_each() {
    const RESOURCES: usize = 3;
    const VERSIONS: u64 = 100;
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    let mut bob = Dialler { window: Some(2048), ..Dialler::new(11) }.dial(&index).await.expect("welcome");
    let enrolled = bob.client.signup(credentials("bob", PASSWORD)).await;
    bob.enrol(&enrolled.expect("signed up"));
    let mut events = bob.client.events().await.expect("open");
    let names: Vec<_> = (0..RESOURCES).map(|number| format!("file {number}")).collect();
    follow(&bob, names.iter().map(|text| followed(&alice, text, None)).collect()).await;
    let mut last: Vec<_> = names.iter().map(|text| alice.first(text, "version 1")).collect();
    for version in 1..=VERSIONS {
        for record in &mut last {
            if version > 1 {
                let next = alice.record(record.name.as_str(), version, Some(record_hash(record)), "more");
                *record = alice.sign(Record { content: Some(content(&version.to_string())), ..next });
            }
            let registered = alice.register(record).await;
            assert!(matches!(registered.outcome, Created | Updated), "{registered:?}");
        }
    }
    let (mut versions, mut told) = (HashMap::new(), 0);
    while versions.len() < RESOURCES || versions.values().any(|version| *version < VERSIONS) {
        let record = next(&bob, &mut events).await;
        told += 1;
        let before = versions.insert(record.name.to_string(), record.version);
        assert!(before.is_none_or(|before| before < record.version), "never an older one");
    }
    assert!(told < 50, "{told} of 300 were told");
    assert_quiet(&alice, &bob, &mut events).await;
}

#[tokio::test]
async fn what_comes_back_after_a_lost_database_is_told() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    let first = alice.first("a", "one");
    alice.register(&first).await;
    let index = index.restart().await;
    let bob = bob.dialler.dial(&index).await.expect("welcome");
    let mut events = bob.client.events().await.expect("open");
    let same = follow(&bob, vec![followed(&alice, "a", Some(&first))]).await;
    assert_eq!(same, [same_or_not(FollowOutcomeKind::Same)]);
    let Index { service, folder, .. } = index;
    service.shutdown().await;
    assert_eq!(reset_with(events.next().await.expect_err("over")), ErrorCode::ShuttingDown);
    std::fs::remove_dir_all(folder.path()).expect("lost");
    std::fs::create_dir(folder.path()).expect("made again");
    let index = Index::open(folder, true);
    let bob = bob.dialler.dial(&index).await.expect("welcome");
    let mut events = bob.client.events().await.expect("open");
    let lost = follow(&bob, vec![followed(&alice, "a", Some(&first))]).await;
    assert_eq!(lost, [same_or_not(FollowOutcomeKind::NotFound)], "the account is not known yet");
    let alice = alice.dialler.dial(&index).await.expect("welcome");
    assert_eq!(alice.register(&first).await.outcome, Created);
    assert_eq!(next(&bob, &mut events).await.hash(), first.hash());
}

#[tokio::test]
async fn a_second_stream_replaces_the_first_and_begins_with_nothing() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    let mut first = bob.client.events().await.expect("open");
    follow(&bob, vec![followed(&alice, "a", None)]).await;
    let mut second = bob.client.events().await.expect("open");
    assert_eq!(reset_with(first.next().await.expect_err("over")), ErrorCode::Replaced);
    alice.register(&alice.first("a", "one")).await;
    assert_quiet(&alice, &bob, &mut second).await;
}

#[tokio::test]
async fn the_end_of_a_stream_or_a_connection_is_noticed() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    let told = async || index.told.load(Ordering::SeqCst);
    let dropped = alice.client.events().await.expect("open");
    let _closed = bob.client.events().await.expect("open");
    assert_eq!(told().await, 2);
    drop(dropped);
    wait_until(told, |told| *told == 1).await;
    assert_eq!(refused(alice.client.follow(vec![followed(&bob, "a", None)]).await), ErrorCode::NotFound);
    bob.close();
    wait_until(told, |told| *told == 0).await;
}

#[tokio::test]
async fn waiting_for_an_event_can_be_cancelled() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    let mut events = bob.client.events().await.expect("open");
    follow(&bob, (0..50).map(|number| followed(&alice, &number.to_string(), None)).collect()).await;
    let mut records = Vec::new();
    for number in 0..50 {
        let record = alice.first(&number.to_string(), "one");
        alice.register(&record).await;
        records.push(record_hash(&record));
    }
    let mut found = Vec::new();
    while found.len() < records.len() {
        // Given up after each poll; what has come meanwhile is there the next time.
        tokio::select! {
            biased;
            next = events.next() => {
                let Ok(Some(Event::Record(bundle))) = next else { panic!("{next:?}") };
                found.push(record_hash(&verified(&bob, &bundle)));
            }
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(found, records);
}
