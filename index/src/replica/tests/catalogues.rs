//! What comes by catalogues.

use super::*;

#[tokio::test]
async fn both_ends_have_all_afterwards_and_then_nothing_moves() {
    let net = Net::new();
    let (alice, bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
    alice.share(&[alice.first("a"), alice.first("b")]).await;
    bob.share_alone(&[bob.first("c")]).await;
    let synced = alice.sync(&bob).await;
    assert_eq!(synced.catalogues, 1, "bob's");
    assert_eq!(synced.news.heads.len(), 1);
    let all = ["alice/a 1", "alice/b 1", "bob/c 1"];
    assert_eq!(alice.names().await, all);
    assert_eq!(bob.names().await, all);
    let again = alice.sync(&bob).await;
    assert_eq!(again, super::super::Synced::default());
    assert!(alice.replica.counters().is_empty() && bob.replica.counters().is_empty());
}

#[tokio::test]
async fn of_a_newer_head_only_what_changed_is_fetched() {
    let net = Net::new();
    let (alice, bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
    let records: Vec<_> = (0..600).map(|at| alice.first(&format!("file {at:04}"))).collect();
    alice.share(&records).await;
    let all = alice.sync(&bob).await;
    assert_eq!(all.bytes, 0, "bob took it");
    assert_eq!(bob.entries().await.len(), 600);
    alice.share(&[alice.next(&records[300], "new")]).await;
    alice.head().await.expect("changed");
    let link = Link::new(&bob.replica, &alice.replica);
    let synced = bob.replica.sync(&link).await.expect("synced");
    let pages = link.pages.load(Ordering::Relaxed);
    assert!((2..=5).contains(&pages), "{pages} pages, {} bytes", synced.bytes);
    assert_eq!(bob.entries().await, alice.entries().await);
    let versions = List { owner: Some(name("alice")), name: Some(name("file 0300")), ..List::default() };
    let versions = bob.replica.list(List { versions: true, ..versions }).await.expect("listed");
    assert_eq!(versions.items.iter().map(|entry| entry.version).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test]
async fn a_third_gets_it_from_who_has_it_and_what_was_taken_back_stays_so() {
    let net = Net::new();
    let (alice, bob, carol) =
        (net.node("alice", 10).await, net.node("bob", 11).await, net.node("carol", 12).await);
    let record = alice.first("a");
    alice.share(std::slice::from_ref(&record)).await;
    alice.sync(&bob).await;
    let old = alice.replica.inner.registry.heads(vec![alice.replica.own().expect("enrolled").row]).await;
    alice.share(&[alice.tombstone(&record)]).await;
    alice.sync(&carol).await;
    assert_eq!(carol.names().await, [""; 0]);
    bob.sync(&carol).await;
    assert_eq!(bob.names().await, [""; 0], "the tombstone came by carol");
    // The head of before comes once more.
    let link = Link::new(&carol.replica, &bob.replica);
    let news = carol.replica.take_news(&link, heads(old.expect("read"))).await.expect("taken");
    assert!(news.is_empty());
    assert_eq!(carol.names().await, [""; 0]);
    assert_eq!(carol.refused(Refusal::OldSequence), 1);
}

#[tokio::test]
async fn the_higher_record_of_two_nodes_of_one_account_stands_everywhere() {
    let net = Net::new();
    let (one, two) = (net.node("alice", 10).await, net.node("alice", 11).await);
    let first = one.first("a");
    one.share(std::slice::from_ref(&first)).await;
    one.sync(&two).await;
    two.share_alone(&[two.next(&first, "two")]).await;
    one.share_alone(&[one.next(&one.next(&first, "one"), "one again")]).await;
    one.sync(&two).await;
    assert_eq!(two.names().await, ["alice/a 3"]);
    assert_eq!(one.entries().await, two.entries().await);
    two.head().await.expect("what it published was replaced");
    one.sync(&two).await;
    assert_eq!(one.entries().await, two.entries().await);
}

#[tokio::test]
async fn a_receipt_is_added_where_there_was_none() {
    let net = Net::new();
    let (alice, bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
    let record = alice.first("a");
    alice.share_alone(std::slice::from_ref(&record)).await;
    alice.sync(&bob).await;
    let standing = |node: &Node| {
        let (replica, account) = (node.replica.clone(), alice.account);
        async move {
            let followed = wire::message::Followed { account, name: name("a"), have: None };
            replica.standing(vec![followed]).await.expect("read").remove(0).bundle.expect("another")
        }
    };
    let bundle = standing(&bob).await;
    assert!(bundle.receipt.is_none());
    assert!(bob.replica.with_trust(|trust| trust.verify_bundle(&bundle)).is_ok(), "by the enrolment");
    alice.share(&[record]).await;
    alice.sync(&bob).await;
    for node in [&alice, &bob] {
        let bundle = standing(node).await;
        assert!(bundle.receipt.is_some() && bundle.enrolment.is_none());
        assert!(bob.replica.with_trust(|trust| trust.verify_bundle(&bundle)).is_ok());
    }
}

#[tokio::test]
async fn after_a_break_it_goes_on_from_the_pages_that_are_there() {
    let net = Net::new();
    let (alice, mut bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
    let records: Vec<_> = (0..1500).map(|at| alice.first(&format!("file {at:04}"))).collect();
    alice.share(&records).await;
    alice.replica.set_held((0..5000).map(|at| content(&at.to_string())).collect()).await.expect("held");
    alice.head().await.expect("made");
    let (mut came, mut breaks) = (0, 0);
    loop {
        // Digest, what is known, and two times pages.
        let link = Link::new(&bob.replica, &alice.replica).breaking_after(4);
        let synced = bob.replica.sync(&link).await;
        came += link.pages.load(Ordering::Relaxed);
        bob.reopen().await;
        if synced.is_ok() {
            break;
        }
        assert_eq!(bob.names().await, [""; 0], "nothing before all of it is there");
        breaks += 1;
        assert!(breaks < 50, "it ends");
    }
    assert!(breaks >= 2, "it broke {breaks} times");
    let all: i64 = count(&bob, "SELECT count(*) FROM pages").await;
    assert_eq!(came, all as u64, "each page came once");
    assert_eq!(bob.entries().await.len(), 1500);
    assert_eq!(count(&bob, "SELECT count(*) FROM holders").await, 5000);
}

#[tokio::test]
async fn who_gives_few_pages_at_once_is_asked_again() {
    let net = Net::new();
    let (alice, bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
    let records: Vec<_> = (0..600).map(|at| alice.first(&format!("file {at:04}"))).collect();
    alice.share(&records).await;
    alice.head().await.expect("made");
    let link = Link::new(&bob.replica, &alice.replica).tampering(|mut stated| {
        stated.pages.truncate(3);
        stated
    });
    assert_eq!(bob.replica.sync(&link).await.expect("synced").catalogues, 1);
    assert_eq!(bob.entries().await, alice.entries().await);
}

#[tokio::test]
async fn a_catalogue_that_is_over_goes_and_what_was_in_it_stays() {
    let net = Net::new();
    let (alice, mut bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
    alice.share(&[alice.first("a")]).await;
    bob.share(&[bob.first("b")]).await;
    alice.sync(&bob).await;
    let before = bob.replica.digest();
    net.pass(wire::catalogue::HEAD_VALIDITY_MS + 1);
    assert_ne!(bob.replica.digest(), before, "what is over is not known any more");
    bob.head().await.expect("a new one");
    assert_eq!(pages(&bob).await, 1, "its own");
    bob.reopen().await;
    assert_eq!(bob.names().await, ["alice/a 1", "bob/b 1"]);
}

#[tokio::test]
async fn pages_that_nobody_needs_go() {
    let net = Net::new();
    let (alice, bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
    let mut records: Vec<_> = (0..300).map(|at| alice.first(&format!("file {at:04}"))).collect();
    alice.share(&records).await;
    alice.replica.set_held((0..1000).map(|at| content(&at.to_string())).collect()).await.expect("held");
    alice.sync(&bob).await;
    let pages = count(&bob, "SELECT count(*) FROM pages").await;
    for round in 0..5 {
        net.pass(1000);
        for record in records.iter_mut().step_by(7) {
            *record = alice.next(record, &format!("round {round}"));
        }
        alice.share(&records).await;
        alice.replica.unhold(vec![content(&round.to_string())]).await.expect("unheld");
        alice.sync(&bob).await;
    }
    for node in [&alice, &bob] {
        let after = count(node, "SELECT count(*) FROM pages").await;
        assert!(after < pages + pages / 4, "{pages} pages before, {after} after");
        assert_eq!(count(node, "SELECT count(*) FROM pages WHERE fetching IS NOT NULL").await, 0);
        assert_eq!(count(node, "SELECT count(*) FROM pages WHERE refs < 1").await, 0);
    }
    assert_eq!(count(&bob, "SELECT count(*) FROM holders").await, 995);
    let (alices, bobs) = (refs(&alice).await, refs(&bob).await);
    assert_eq!(alices, bobs, "built and fetched alike");
}

#[tokio::test]
async fn what_a_node_lost_comes_back_to_it_and_it_goes_on() {
    let net = Net::new();
    let (alice, bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
    alice.share(&[alice.first("a"), alice.first("b")]).await;
    alice.sync(&bob).await;
    let seq = |bundle: &HeadBundle| {
        Signed::<wire::catalogue::CatalogueHead>::parse(&bundle.head).expect("a head").seq
    };
    net.pass(5);
    alice.share(&[alice.first("c")]).await;
    alice.sync(&bob).await;
    let last = bob.replica.inner.registry.heads(vec![bob.row_of(&alice)]).await.expect("read").remove(0);
    // The clock was set back, and the database is gone.
    net.time.fetch_sub(100_000, Ordering::Relaxed);
    let reborn = Node::new(alice.identity.clone()).await;
    reborn.share_alone(&[reborn.first("d")]).await;
    let link = Link::new(&reborn.replica, &bob.replica);
    reborn.replica.sync(&link).await.expect("synced");
    let head = reborn.head().await.expect("it has more than the one that was found");
    assert!(seq(&head) > seq(&last));
    reborn.sync(&bob).await;
    let all = ["alice/a 1", "alice/b 1", "alice/c 1", "alice/d 1"];
    assert_eq!(
        (reborn.names().await, bob.names().await),
        (all.map(String::from).into(), all.map(String::from).into())
    );
    assert_eq!(reborn.replica.own_records(None).await.expect("read").len(), 4);
}

#[tokio::test]
async fn a_head_is_made_where_something_changed_and_every_hour() {
    let net = Net::new();
    let alice = net.node("alice", 10).await;
    let first = alice.head().await.expect("the first");
    assert_eq!(alice.head().await, None);
    alice.share(&[alice.first("a")]).await;
    let second = alice.head().await.expect("a record more");
    assert_ne!(first, second);
    alice.share(&[alice.first("a")]).await;
    assert_eq!(alice.head().await, None, "nothing new");
    alice.replica.hold(vec![content("x")]).await.expect("held");
    alice.head().await.expect("it holds something");
    net.pass(3_599_999);
    assert_eq!(alice.head().await, None);
    net.pass(1);
    alice.head().await.expect("an hour later");
}

#[tokio::test]
async fn at_the_index_what_comes_without_a_receipt_gets_one() {
    let net = Net::new();
    let alice = net.node("alice", 10).await;
    alice.share_alone(&[alice.first("a")]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let index = open_index(&net, folder.path());
    alice.head().await.expect("made");
    index.replica().sync(&Link::new(&index.replica(), &alice.replica)).await.expect("synced");
    let followed = wire::message::Followed { account: alice.account, name: name("a"), have: None };
    let bundle = index.replica().standing(vec![followed]).await.expect("read").remove(0).bundle;
    let bundle = bundle.expect("it stands");
    assert!(bundle.receipt.is_some());
    let trust = |bundle| alice.replica.with_trust(|trust| trust.verify_bundle(bundle));
    assert!(trust(&bundle).is_ok());
    index.shutdown().await;
}

#[tokio::test]
async fn an_empty_index_gets_everything_from_any_member() {
    let net = Net::new();
    let (alice, bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
    let taken_back = alice.first("gone");
    alice.share(&[alice.first("a"), taken_back.clone()]).await;
    alice.share_alone(&[alice.tombstone(&taken_back)]).await;
    alice.sync(&bob).await;
    let folder = tempfile::tempdir().expect("a folder");
    let index = open_index(&net, folder.path());
    let replica = index.replica();
    replica.sync(&Link::new(&replica, &bob.replica)).await.expect("synced");
    assert_eq!(entries_of_index(&index).await, ["alice/a 1"], "bob handed on what alice signed");
    index.shutdown().await;
}

fn open_index(net: &Net, folder: &std::path::Path) -> crate::IndexService {
    struct Nowhere;
    impl crate::DialBack for Nowhere {
        fn reaches(&self, _: certs::NodeId, _: wire::message::Address) -> crate::BoxFuture<bool> {
            Box::pin(std::future::ready(false))
        }
    }
    let clock = net.clone();
    crate::IndexService::open(crate::IndexOptions {
        database: folder.join("index.db"),
        key: net.index.clone(),
        certificate: net.certificate.clone(),
        signup_open: true,
        max_guests: 8,
        has_run: false,
        clock: Arc::new(move || clock.now()),
        dial_back: Arc::new(Nowhere),
    })
    .expect("opened")
}

async fn entries_of_index(index: &crate::IndexService) -> Vec<String> {
    let registry = index.replica().inner.registry.clone();
    let filter = crate::registry::ListFilter {
        limit: 100,
        owner: None,
        name: None,
        node: None,
        kind: None,
        online: false,
        gone_of: None,
        after: None,
    };
    let items = registry.list(filter, Arc::new(|_| false)).await.expect("listed").items;
    items.iter().map(|entry| format!("{}/{} {}", entry.owner, entry.name, entry.version)).collect()
}

impl Node {
    fn row_of(&self, other: &Node) -> crate::registry::NodeRow {
        crate::registry::lock(&self.replica.inner.known).node(&other.key.public()).expect("known").row
    }
}

/// A number out of the database.
pub(super) async fn count(node: &Node, sql: &'static str) -> i64 {
    let registry = &node.replica.inner.registry;
    registry.read(move |database| Ok(database.query_row(sql, [], |row| row.get(0))?)).await.expect("read")
}

/// Every page, and how many refer to it.
async fn refs(node: &Node) -> Vec<(Vec<u8>, i64)> {
    let registry = &node.replica.inner.registry;
    let read = registry.read(|database| {
        let mut statement = database.prepare("SELECT hash, refs FROM pages ORDER BY hash")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    });
    read.await.expect("read")
}

/// Pages that are here.
pub(super) async fn pages(node: &Node) -> i64 {
    count(node, "SELECT count(*) FROM pages").await
}
