//! Sharing, listing, searching, taking back.

use p2p_node::control::Backend;
use p2p_node::control::LocalCode;
use p2p_node::control::api::{ListRequest, PageRequest, ShareRequest};
use p2p_node::control::api::{Outcome, ShareState, Source};
use p2p_node_tests::cluster::{refused, refused_with_hint, user};
use p2p_node_tests::node::share_request;
use p2p_node_tests::{Cluster, PATIENCE, fixtures, wait_until};
use wire::ErrorCode;

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_what_is_shared() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("Summer Holiday.mkv"), 1, 70_000);
    let shared = alice.share(&path).await.expect("shared");
    assert_eq!((shared.outcome, shared.version, shared.size), (Outcome::Created, 1, 70_000));
    assert_eq!(shared.content, fixtures::hash_of(&path));
    let page = bob.node().list(ListRequest::default()).await.expect("listed");
    assert_eq!((page.source, page.age_seconds, page.next, page.items.len()), (Source::Index, 0, None, 1));
    let item = &page.items[0];
    assert_eq!((item.owner.as_str(), item.name.as_str()), ("alice", "Summer Holiday.mkv"));
    assert_eq!((item.version, item.size, item.content), (1, 70_000, shared.content));
    assert_eq!((item.holders, item.online), (1, 1));
    assert_eq!(cluster_shares(&alice).await, [("Summer Holiday.mkv".to_owned(), ShareState::Shared)]);
}

async fn cluster_shares(node: &p2p_node_tests::TestNode) -> Vec<(String, ShareState)> {
    let shares = node.shares().await.expect("local");
    shares.into_iter().map(|share| (share.name.to_string(), share.state)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn search_finds_words_middles_beginnings_and_owners() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    for (node, name) in
        [(&alice, "summer holiday.mkv"), (&alice, "tax report 2026.pdf"), (&bob, "winter-report.pdf")]
    {
        let path = fixtures::file(&cluster.path(name), 2, 100);
        node.share(&path).await.expect("shared");
    }
    let found = async |query: &str| {
        let mut found = bob.search(query).await.expect(query);
        found.sort();
        found
    };
    assert_eq!(found("holiday").await, ["alice/summer holiday.mkv"]);
    assert_eq!(found("olida").await, ["alice/summer holiday.mkv"], "letters in the middle");
    assert_eq!(found("oli").await, ["alice/summer holiday.mkv"], "three of them");
    assert_eq!(found("HOLIDAY").await, ["alice/summer holiday.mkv"], "large letters");
    assert_eq!(found("su").await, ["alice/summer holiday.mkv"], "two letters begin a word");
    assert_eq!(found("report").await, ["alice/tax report 2026.pdf", "bob/winter-report.pdf"]);
    assert_eq!(found("report tax").await, ["alice/tax report 2026.pdf"], "all words match");
    assert_eq!(found("report owner:bob").await, ["bob/winter-report.pdf"]);
    assert_eq!(found("owner:alice").await, ["alice/summer holiday.mkv", "alice/tax report 2026.pdf"]);
    assert_eq!(found("nothing-like-this").await, [""; 0], "an empty page, no error");
    refused(bob.search("").await, ErrorCode::BadQuery);
    refused(bob.search(&"x".repeat(2000)).await, ErrorCode::BadQuery);
    refused(bob.search("colour:red").await, ErrorCode::BadQuery);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_each_resource_once() {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    for number in 0..7 {
        let path = fixtures::file(&cluster.path(&format!("{number}.txt")), number, 10);
        alice.share(&path).await.expect("shared");
    }
    let (mut names, mut cursor) = (Vec::new(), None);
    loop {
        let page = PageRequest { limit: Some(3), cursor };
        let page = alice.node().list(ListRequest { page, ..Default::default() }).await.expect("a page");
        assert!(page.items.len() <= 3);
        names.extend(page.items.iter().map(|item| item.name.to_string()));
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(names, (0..7).map(|number| format!("{number}.txt")).collect::<Vec<_>>());
    let page = PageRequest { limit: None, cursor: Some("nonsense!".to_owned()) };
    let list = alice.node().list(ListRequest { page, ..Default::default() }).await;
    refused(list, ErrorCode::BadCursor);
    let bob = ListRequest { owner: Some(user("bob")), ..Default::default() };
    assert!(alice.node().list(bob).await.expect("a page").items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn sharing_again_is_unchanged_or_a_new_version() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let path = fixtures::file(&cluster.path("report.pdf"), 5, 50_000);
    alice.share(&path).await.expect("shared");
    let again = alice.share(&path).await.expect("shared again");
    assert_eq!((again.outcome, again.version), (Outcome::Unchanged, 1));
    fixtures::file(&path, 6, 60_000);
    let changed = alice.shares().await.expect("local");
    assert_eq!(changed[0].state, ShareState::Changed);
    let updated = alice.share(&path).await.expect("shared anew");
    assert_eq!((updated.outcome, updated.version, updated.size), (Outcome::Updated, 2, 60_000));
    let listed = bob.list().await.expect("listed");
    assert_eq!((listed.len(), listed[0].version, listed[0].content), (1, 2, updated.content));
    assert_eq!(bob.get("alice", "report.pdf").await.expect("got").version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_bound_to_its_path() {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    let first = fixtures::file(&cluster.path("a/report.pdf"), 7, 1000);
    let second = fixtures::file(&cluster.path("b/report.pdf"), 8, 2000);
    alice.share(&first).await.expect("shared");
    refused_with_hint(alice.share(&second).await, LocalCode::NameBound);
    let other_name = ShareRequest { name: "report 2.pdf".parse().expect("a name"), ..share_request(&second) };
    alice.start_share(other_name).await.expect("begun").end().await.expect("shared");
    let update = ShareRequest { update: true, ..share_request(&second) };
    let done = alice.start_share(update).await.expect("begun").end().await.expect("shared");
    assert_eq!((done.outcome, done.version, done.size), (Outcome::Updated, 2, 2000));
}

#[tokio::test(flavor = "multi_thread")]
async fn unshared_is_gone_for_all_and_may_return() {
    let cluster = Cluster::start().await;
    let (alice, bob, carol) =
        (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let path = fixtures::file(&cluster.path("film.mkv"), 9, 100_000);
    alice.share(&path).await.expect("shared");
    bob.get("alice", "film.mkv").await.expect("got");

    refused_with_hint(bob.unshare_of("alice", "film.mkv").await, ErrorCode::NotOwner);
    refused_with_hint(bob.unshare("film.mkv").await, ErrorCode::NotFound);
    refused_with_hint(bob.unshare_of("alice", "nothing").await, ErrorCode::NotFound);
    assert_eq!(carol.list().await.expect("listed").len(), 1);

    assert_eq!(alice.unshare("film.mkv").await.expect("taken back").version, 2);
    assert!(path.exists());
    assert!(carol.list().await.expect("listed").is_empty());
    assert!(carol.search("film").await.expect("searched").is_empty());
    refused_with_hint(carol.get("alice", "film.mkv").await, ErrorCode::NotFound);
    assert!(alice.shares().await.expect("local").is_empty());
    refused_with_hint(alice.unshare("film.mkv").await, ErrorCode::NotFound);

    let again = alice.share(&path).await.expect("shared again");
    assert_eq!((again.outcome, again.version), (Outcome::Created, 3), "the numbering goes on");
    carol.get("alice", "film.mkv").await.expect("there again");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_machines_of_one_user_and_one_name() {
    let cluster = Cluster::start().await;
    let first = cluster.user("alice").await;
    let second = cluster.machine_of("alice", "alice-2").await;
    let one = fixtures::file(&cluster.path("1/report.pdf"), 10, 1000);
    let other = fixtures::file(&cluster.path("2/report.pdf"), 11, 2000);
    fixtures::set_mtime(&one, 1_000_000_001);
    fixtures::set_mtime(&other, 1_000_000_000);
    first.share(&one).await.expect("shared");
    refused_with_hint(second.share(&other).await, ErrorCode::Superseded);
    refused_with_hint(second.share(&other).await, ErrorCode::Superseded);
    let onto = ShareRequest { onto: Some(1), ..share_request(&other) };
    let done = second.start_share(onto).await.expect("begun").end().await.expect("shared");
    assert_eq!((done.version, done.outcome), (2, Outcome::Updated));
    let got = first.get("alice", "report.pdf").await.expect("the newer one, from the other machine");
    assert_eq!(got.content, fixtures::hash_of(&other));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_do_not_know_of_one_another_the_later_file_stands() {
    let cluster = Cluster::start().await;
    let mut first = cluster.user("alice").await;
    let second = cluster.machine_of("alice", "alice-2").await;
    let one = fixtures::file(&cluster.path("1/report.pdf"), 13, 1000);
    let other = fixtures::file(&cluster.path("2/report.pdf"), 14, 2000);
    fixtures::set_mtime(&one, 1_000_000_000);
    fixtures::set_mtime(&other, 1_000_000_001);
    first.share(&one).await.expect("shared");
    let done = second.share(&other).await.expect("shared");
    assert_eq!((done.version, done.outcome), (1, Outcome::Updated));
    first.restart().await;
    wait_until(PATIENCE, "the first machine knows that it lost", async || {
        let shares = first.shares().await.map_err(|error| error.to_string())?;
        let state = shares[0].state;
        if state == ShareState::Superseded { Ok(()) } else { Err(format!("{state:?}")) }
    })
    .await;
    assert!(one.exists());
    assert_eq!(second.list().await.expect("listed")[0].content, fixtures::hash_of(&other));
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_content_of_two_owners_is_two_entries_with_common_holders() {
    let cluster = Cluster::start().await;
    let (alice, bob, carol) =
        (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let one = fixtures::file(&cluster.path("a/film.mkv"), 12, 500_000);
    let other = fixtures::file(&cluster.path("b/movie.mkv"), 12, 500_000);
    alice.share(&one).await.expect("shared");
    bob.share(&other).await.expect("shared");
    let listed = carol.list().await.expect("listed");
    assert_eq!(listed.iter().map(|item| item.online).collect::<Vec<_>>(), [2, 2]);
    let mut alice = alice;
    alice.stop().await;
    carol.wait_for_holders("alice", "film.mkv", 1).await;
    let got = carol.get("alice", "film.mkv").await.expect("from bob, whose name for it is another");
    assert_eq!(got.sources.iter().map(|source| source.node).collect::<Vec<_>>(), [bob.id()]);
}
