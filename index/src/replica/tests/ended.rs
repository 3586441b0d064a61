//! What a node published after its membership had ended stands nowhere, unless the index accepted it.

use wire::catalogue::Revoked;
use wire::message::Address;

use super::super::Synced;
use super::catalogues::count;
use super::members::{Keeper, List};
use super::*;

fn ended(node: &Identity, serial: u64, since: UnixMillis) -> List {
    List { members: Vec::new(), revoked: vec![Revoked { node: node.key.public(), serial, since }] }
}

/// Alice publishes a, b, c and d, the last alone, of which bob hears, and is logged out; then she publishes anew without the
/// index: c's tombstone, two versions of b, and e.
struct Outage {
    net: Net,
    alice: Node,
    bob: Node,
    since: UnixMillis,
}

impl Outage {
    async fn new() -> Self {
        let net = Net::new();
        let (alice, bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
        let (b, c) = (alice.first("b"), alice.first("c"));
        alice.share(&[alice.first("a"), b.clone(), c.clone()]).await;
        net.pass(1000);
        alice.share_alone(&[alice.first("d")]).await;
        alice.sync(&bob).await;
        net.pass(1000);
        let since = net.now();
        net.pass(1000);
        let (next, gone) = (alice.next(&b, "new"), alice.tombstone(&c));
        alice.share_alone(&[next.clone(), alice.next(&next, "newer"), gone, alice.first("e")]).await;
        alice.replica.hold(vec![content("x")]).await.expect("held");
        let address = Address::new("192.0.2.1:1".parse().expect("an address")).expect("usable");
        let said = alice.replica.say_presence(&alice.key, &alice.enrolment, vec![address], net.now()).await;
        said.expect("said");
        net.pass(1000);
        Self { net, alice, bob, since }
    }

    fn list(&self) -> List {
        ended(&self.alice, 1, self.since)
    }
}

const BEFORE: [&str; 4] = ["alice/a 1", "alice/b 1", "alice/c 1", "alice/d 1"];
const ALL: [&str; 4] = ["alice/a 1", "alice/b 3", "alice/d 1", "alice/e 1"];

async fn holdings(node: &Node) -> i64 {
    count(node, "SELECT count(*) FROM holders").await
}

#[tokio::test]
async fn what_came_before_the_revocation_is_withdrawn_and_what_stood_before_stands_again() {
    let mut outage = Outage::new().await;
    let carol = outage.net.node("carol", 12).await;
    outage.alice.sync(&outage.bob).await;
    let (mut list, bob) = (outage.list(), &mut outage.bob);
    assert_eq!(bob.names().await, ALL);
    assert!(bob.replica.known_nodes().iter().any(|one| one.online));
    assert_eq!(holdings(bob).await, 1);
    list.give(&outage.net, bob).await;
    assert_eq!(bob.names().await, BEFORE);
    bob.reopen().await;
    assert_eq!(bob.names().await, BEFORE);
    assert!(!bob.replica.known_nodes().iter().any(|one| one.online));
    assert_eq!(holdings(bob).await, 0);
    // The other way round: who hears of the end first takes nothing of it.
    bob.sync(&carol).await;
    outage.alice.head().await;
    carol.replica.sync(&super::Link::new(&carol.replica, &outage.alice.replica)).await.expect("synced");
    assert_eq!(carol.names().await, [""; 0]);
    assert_eq!(count(bob, "SELECT count(*) FROM ended_nodes").await, 0);
    let resources = "SELECT resources FROM accounts WHERE user = 'alice'";
    assert_eq!(count(bob, resources).await, 4);
    let replaced = "SELECT (SELECT count(*) FROM history) - (SELECT sum(records) FROM history_size)";
    assert_eq!(count(bob, replaced).await, 0);
    let versions =
        wire::message::List { owner: Some(name("alice")), name: Some(name("b")), ..Default::default() };
    let versions =
        bob.replica.list(wire::message::List { versions: true, ..versions }).await.expect("listed");
    assert_eq!(versions.items.iter().map(|entry| entry.version).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn an_index_that_accepted_it_makes_it_stand() {
    let outage = Outage::new().await;
    let bob = &outage.bob;
    let late = outage.alice.first("f");
    outage.alice.share(&[late]).await;
    outage.alice.sync(bob).await;
    outage.list().give(&outage.net, bob).await;
    let mut wanted = BEFORE.to_vec();
    wanted.push("alice/f 1");
    assert_eq!(bob.names().await, wanted);
}

#[tokio::test]
async fn who_has_logged_in_again_is_believed() {
    let outage = Outage::new().await;
    let net = &outage.net;
    let (bob, carol) = (&outage.bob, &net.node("carol", 12).await);
    outage.alice.sync(bob).await;
    outage.list().give(net, bob).await;
    let again = net.identity_of("alice", b'a', 10, 2);
    for node in [bob, carol] {
        let head = outage.alice.replica.own_head(&again.key, &again.enrolment).await.expect("made");
        let head = match head {
            Some(head) => head,
            None => outage.alice.replica.news_of(&again.key.public()).await.expect("read").heads.remove(0),
        };
        let link = super::Link::new(&node.replica, &outage.alice.replica);
        node.replica.take_news(&link, heads(vec![head])).await.expect("taken");
        assert_eq!(node.names().await, ALL);
    }
    outage.list().give(net, carol).await;
    assert_eq!(carol.names().await, ALL, "the new membership was known before the end of the old one");
    assert_eq!(holdings(carol).await, 1);
}

#[tokio::test]
async fn what_gave_way_of_another_node_of_the_account_comes_again() {
    let net = Net::new();
    let phone = net.node("alice", 10).await;
    let laptop = Node::new(net.identity_of("alice", b'a', 20, 1)).await;
    let bob = net.node("bob", 11).await;
    laptop.share(&[laptop.first("a")]).await;
    let since = net.now();
    net.pass(1000);
    // Of the same version, and higher: what it replaces is forgotten.
    let rival = phone.record("a", 1, None, "rival");
    let rival = Signed::sign(&phone.key, Record { mtime: UnixNanos(1000), ..rival.body().clone() });
    phone.share_alone(&[rival]).await;
    laptop.sync(&bob).await;
    phone.sync(&bob).await;
    assert_eq!(bob.entries().await[0].node, phone.key.public());
    net.pass(1000);
    ended(&phone, 1, since).give(&net, &bob).await;
    assert_eq!(bob.names().await, [""; 0]);
    laptop.sync(&bob).await;
    assert_eq!(bob.entries().await[0].node, laptop.key.public());
}

/// One who has a list to give in the middle of an exchange.
struct Meanwhile {
    link: super::Link,
    list: std::sync::Mutex<Option<Keeper>>,
}

impl StatementsPeer for Meanwhile {
    async fn ask(&self, request: Statements) -> Result<Stated, CallError> {
        let answer = self.link.ask(request).await;
        let list = self.list.lock().expect("no panic").take();
        if let Some(list) = list {
            let news = News { members: Some(list.bundle.clone()), ..News::default() };
            self.link.from.take_news(&list, news).await.expect("taken");
        }
        answer
    }
}

#[tokio::test]
async fn a_revocation_that_comes_while_the_catalogue_is_fetched_counts() {
    let outage = Outage::new().await;
    let bob = &outage.bob;
    let head = outage.alice.head().await.expect("made");
    let list = std::sync::Mutex::new(Some(outage.list().sign(&outage.net)));
    let peer = Meanwhile { link: super::Link::new(&bob.replica, &outage.alice.replica), list };
    let news = bob.replica.take_news(&peer, heads(vec![head])).await.expect("goes on");
    assert!(news.is_empty(), "{news:?}");
    assert_eq!(bob.refused(Refusal::Revoked), 1);
    assert_eq!(bob.names().await, BEFORE, "the receipts, and what was published before");
    assert_eq!(super::catalogues::pages(bob).await, 0);
    let again = bob.replica.sync(&super::Link::new(&bob.replica, &outage.alice.replica)).await;
    assert_eq!(again.expect("synced"), Synced::default());
}

#[tokio::test]
async fn a_crash_in_between_is_made_up_for() {
    let mut outage = Outage::new().await;
    outage.alice.sync(&outage.bob).await;
    let (revoked, bob) = (outage.list().revoked, &mut outage.bob);
    bob.replica.inner.registry.keep_revoked(revoked).await.expect("kept");
    bob.reopen().await;
    assert_eq!(bob.names().await, ALL);
    outage.net.pass(3_600_000);
    bob.head().await;
    assert_eq!(bob.names().await, BEFORE);
}
