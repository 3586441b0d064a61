//! Presence: who is online, and at which addresses.

use std::net::SocketAddr;

use wire::ErrorCode;
use wire::message::{Address, List, Who, WhoPage};

use super::support::{Dialler, Index, MAX_GUESTS, PASSWORD, Peer, credentials, refused, wait_until};

fn users(page: &WhoPage) -> Vec<(String, usize)> {
    page.users.iter().map(|user| (user.user.to_string(), user.nodes.len())).collect()
}

async fn who(peer: &Peer) -> Vec<(String, usize)> {
    users(&peer.client.who(Who::default()).await.expect("answered"))
}

fn one(user: &str) -> (String, usize) {
    (user.to_owned(), 1)
}

#[tokio::test]
async fn a_closed_connection_is_off_the_list() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    alice.register(&alice.first("a", "one")).await;
    let _stranger = Dialler::new(12).dial(&index).await.expect("welcome");
    assert_eq!(who(&bob).await, [one("alice"), one("bob")]);
    let page = bob.client.who(Who::default()).await.expect("answered");
    assert_eq!(page.users[0].nodes[0].address, Some(alice.address()));
    assert_eq!(page.users[0].nodes[0].node, alice.node());
    alice.close();
    wait_until(async || who(&bob).await, |users| *users == [one("bob")]).await;
    let page = bob.client.list(List::default()).await.expect("answered");
    assert_eq!((page.items[0].holders, page.items[0].online), (1, 0));
    let page = bob.client.list(List { online: true, ..List::default() }).await.expect("answered");
    assert_eq!(page.items, []);
    let alice = alice.dialler.dial(&index).await.expect("welcome");
    assert_eq!(who(&bob).await, [one("alice"), one("bob")]);
    alice.client.logout().await.expect("logged out");
    assert_eq!(who(&bob).await, [one("bob")]);
}

#[tokio::test]
async fn pages_by_user() {
    let index = Index::start();
    let mut peers = Vec::new();
    for (number, user) in ["dora", "alice", "carol", "bob"].into_iter().enumerate() {
        peers.push(index.member(user, 10 + u8::try_from(number).expect("few")).await);
    }
    let second = Dialler::new(30).dial(&index).await.expect("welcome");
    second.client.login(credentials("carol", PASSWORD)).await.expect("logged in");
    let mut seen = Vec::new();
    let mut ask = Who { limit: Some(3), ..Who::default() };
    loop {
        let page = second.client.who(ask.clone()).await.expect("answered");
        seen.extend(users(&page));
        ask.cursor = page.next;
        if ask.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, [one("alice"), one("bob"), ("carol".to_owned(), 2), one("dora")]);
}

#[tokio::test]
async fn claimed_addresses_are_tried_before_they_are_handed_on() {
    let index = Index::start();
    let address = |text: &str| Address::new(text.parse::<SocketAddr>().expect("an address")).expect("usable");
    let (good, bad) = (address("192.0.2.1:4820"), address("192.0.2.2:4820"));
    index.dial_back.reachable.lock().expect("whole").insert(good);
    let loopback = address("127.0.0.1:9");
    let dialler = Dialler { addresses: vec![bad, good, loopback], ..Dialler::new(10) };
    let mut alice = dialler.dial(&index).await.expect("welcome");
    assert_eq!(*index.dial_back.tried.lock().expect("whole"), [], "a stranger is not dialled back");
    let enrolled = alice.client.signup(credentials("alice", PASSWORD)).await.expect("signed up");
    alice.enrol(&enrolled);
    alice.register(&alice.first("a", "one")).await;
    let bob = index.member("bob", 11).await;
    let locate = async || bob.locate("alice", "a").await.expect("located").holders[0].addresses.clone();
    let expected = [alice.address(), loopback, good];
    wait_until(locate, |addresses| *addresses == expected).await;
    let tried = index.dial_back.tried.lock().expect("whole").clone();
    assert_eq!(tried, [(alice.node(), good), (alice.node(), bad)]);
}

#[tokio::test]
async fn guests_are_let_in_up_to_a_number_and_members_always() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    let mut guests = Vec::new();
    for seed in (100..).take(MAX_GUESTS) {
        guests.push(Dialler::new(seed).dial(&index).await.expect("welcome"));
    }
    let late = Dialler::new(99);
    assert_eq!(refused(late.dial(&index).await.map(drop)), ErrorCode::Busy);
    // The new connection of one that is there takes no place, nor does a member's.
    let again = guests[0].dialler.dial(&index).await.expect("in its own place");
    alice.close();
    let alice = alice.dialler.dial(&index).await.expect("welcome");
    assert_eq!(refused(late.dial(&index).await.map(drop)), ErrorCode::Busy);
    // Who signs up is a guest no more.
    again.client.signup(credentials("bob", PASSWORD)).await.expect("signed up");
    let late = late.dial(&index).await.expect("there is room");
    assert_eq!(who(&alice).await, [one("alice"), one("bob")]);
    late.client.login(credentials("bob", PASSWORD)).await.expect("logged in");
}
