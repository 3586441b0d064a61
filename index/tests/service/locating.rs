//! P: who has it right now.

use std::collections::BTreeSet;

use wire::ErrorCode;
use wire::message::{Located, OutcomeKind, ResourceQuery};

use super::support::{Index, PASSWORD, Peer, content, credentials, name, refused, wait_until};

fn holders(located: &Located) -> BTreeSet<(String, bool)> {
    located.holders.iter().map(|holder| (holder.user.to_string(), holder.whole)).collect()
}

fn named(names: &[(&str, bool)]) -> BTreeSet<(String, bool)> {
    names.iter().map(|(name, whole)| ((*name).to_owned(), *whole)).collect()
}

fn answers(peer: &Peer, text: &str, answer: Result<bool, ErrorCode>) {
    peer.behaviour.holds.lock().expect("whole").insert(content(text), answer);
}

async fn holds(peer: &Peer, text: &str) {
    let held = wire::message::Held { content: content(text), whole: true };
    peer.client.hold(0, vec![held], false).await.expect("held");
}

#[tokio::test]
async fn the_record_and_its_holder_who_is_told_who_asks() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    let record = alice.first("a", "one");
    let receipt = alice.register(&record).await.receipt;
    let located = bob.locate("alice", "a").await.expect("located");
    assert_eq!(&**located.bundle.record, record.bytes());
    assert_eq!(located.bundle.receipt, receipt);
    assert_eq!(located.bundle.certificate, alice.hello.certificate);
    assert_eq!(located.next, None);
    let [holder] = &located.holders[..] else { panic!("{located:?}") };
    assert_eq!((holder.node, &holder.addresses[..]), (alice.node(), &[alice.address()][..]));
    assert!(holder.whole);
    let probes = alice.behaviour.probes.lock().expect("whole").clone();
    assert_eq!(probes.len(), 1);
    assert_eq!((probes[0].asker, &probes[0].user), (bob.node(), &name("bob")));
    assert_eq!(refused(alice.locate("alice", "a").await), ErrorCode::SelfOwned);
    assert_eq!(refused(bob.locate("alice", "b").await), ErrorCode::NotFound);
    assert_eq!(refused(bob.locate("nobody", "a").await), ErrorCode::NotFound);
}

#[tokio::test]
async fn what_a_node_published_for_another_account_is_not_its_own() {
    let index = Index::start();
    let (mut alice, carol) = (index.member("alice", 10).await, index.member("carol", 12).await);
    alice.register(&alice.first("a", "one")).await;
    holds(&carol, "one").await;
    assert_eq!(refused(alice.locate("alice", "a").await), ErrorCode::SelfOwned);
    alice.client.logout().await.expect("logged out");
    let enrolled = alice.client.signup(credentials("bob", PASSWORD)).await.expect("signed up");
    alice.enrol(&enrolled);
    let located = alice.locate("alice", "a").await.expect("located");
    assert_eq!(holders(&located), named(&[("carol", true)]));
}

#[tokio::test]
async fn each_holder_answers_for_itself() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    alice.register(&alice.first("a", "one")).await;
    let mut peers = Vec::new();
    for (number, user) in ["whole", "part", "changed", "none"].into_iter().enumerate() {
        let peer = index.member(user, 20 + u8::try_from(number).expect("few")).await;
        holds(&peer, "one").await;
        peers.push(peer);
    }
    answers(&peers[1], "one", Ok(false));
    answers(&peers[2], "one", Err(ErrorCode::Changed));
    answers(&peers[3], "one", Err(ErrorCode::NotFound));
    let bob = index.member("bob", 11).await;
    let located = bob.locate("alice", "a").await.expect("located");
    assert_eq!(holders(&located), named(&[("alice", true), ("whole", true), ("part", false)]));
    let count = async || bob.client.list(Default::default()).await.expect("answered").items[0].holders;
    wait_until(count, |&holders| holders == 4).await;
    bob.locate("alice", "a").await.expect("located");
    let asked = |peer: &Peer| peer.behaviour.probes.lock().expect("whole").len();
    assert_eq!(
        peers.iter().map(asked).collect::<Vec<_>>(),
        [1, 1, 2, 1],
        "those that have it are remembered"
    );
    index.pass(5000);
    bob.locate("alice", "a").await.expect("located");
    assert_eq!(peers.iter().map(asked).collect::<Vec<_>>(), [2, 2, 3, 1], "for a while");
}

#[tokio::test]
async fn nobody_who_can_give_it() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    alice.register(&alice.first("a", "one")).await;
    answers(&alice, "one", Err(ErrorCode::Changed));
    let error = bob.locate("alice", "a").await.expect_err("refused");
    assert_eq!(error.code, ErrorCode::NoHolder);
    assert!(error.text.contains("changed"), "{error}");
    holds(&bob, "one").await;
    assert_eq!(refused(bob.locate("alice", "a").await), ErrorCode::NoHolder, "not the asker itself");
    alice.close();
    let ask = async || bob.locate("alice", "a").await.map(|_| ()).expect_err("refused");
    let error = wait_until(ask, |error| error.text.contains("not online")).await;
    assert_eq!(error.code, ErrorCode::NoHolder);
}

#[tokio::test]
async fn the_record_is_told_anyway_where_nobody_can_give_it() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    let record = alice.first("a", "one");
    alice.register(&record).await;
    let anyway = async |text| {
        let query = ResourceQuery { anyway: true, ..ResourceQuery::latest(name("alice"), name(text)) };
        bob.client.locate(query).await
    };
    assert_eq!(anyway("a").await.expect("located").holders.len(), 1, "who can give it is named");
    alice.close();
    let ask = async || bob.locate("alice", "a").await;
    wait_until(ask, |answer| answer.as_ref().is_err_and(|error| error.code == ErrorCode::NoHolder))
        .await
        .expect_err("nobody is online");
    let located = anyway("a").await.expect("located");
    assert_eq!((&**located.bundle.record, located.holders.len()), (record.bytes(), 0));
    assert_eq!(located.next, None);
    assert_eq!(refused(anyway("b").await), ErrorCode::NotFound);
}

#[tokio::test]
async fn another_ones_content_serves_as_well() {
    let index = Index::start();
    let (alice, carol) = (index.member("alice", 10).await, index.member("carol", 12).await);
    alice.register(&alice.first("a", "one")).await;
    assert_eq!(carol.register(&carol.first("copy", "one")).await.outcome, OutcomeKind::Created);
    alice.close();
    let bob = index.member("bob", 11).await;
    let locate = async || bob.locate("alice", "a").await;
    let located = wait_until(locate, |located| {
        located.as_ref().is_ok_and(|located| holders(located) == named(&[("carol", true)]))
    });
    located.await.expect("located");
}

#[tokio::test]
async fn a_silent_holder_is_left_out() {
    let index = Index::start();
    let (alice, carol) = (index.member("alice", 10).await, index.member("carol", 12).await);
    alice.register(&alice.first("a", "one")).await;
    holds(&carol, "one").await;
    carol.behaviour.mute.store(true, std::sync::atomic::Ordering::SeqCst);
    let bob = index.member("bob", 11).await;
    let located = bob.locate("alice", "a").await.expect("located");
    assert_eq!(holders(&located), named(&[("alice", true)]));
}

#[tokio::test]
async fn many_holders_in_pages() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    alice.register(&alice.first("a", "one")).await;
    let mut peers = Vec::new();
    for number in 0..20 {
        let peer = index.member(&format!("peer{number}"), 100 + number).await;
        holds(&peer, "one").await;
        peers.push(peer);
    }
    let asker = &peers[0];
    let mut query = ResourceQuery::latest(name("alice"), name("a"));
    let mut seen = Vec::new();
    let mut pages = 0;
    loop {
        let located = asker.client.locate(query.clone()).await.expect("located");
        seen.extend(located.holders.iter().map(|holder| holder.user.to_string()));
        pages += 1;
        query.cursor = located.next.clone();
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!((pages, seen.len()), (2, 20));
    let distinct: BTreeSet<_> = seen.into_iter().collect();
    assert_eq!(distinct.len(), 20);
    assert!(!distinct.contains("peer0"));
}
