//! Accounts and nodes: names, serials, and a database that knows less than it should.

use certs::{AccountId, NodeId, SecretKey};
use wire::{ErrorBody, ErrorCode, limits};

use super::super::{Admitted, NewAccount, Shown};
use super::{Fixture, NOW, Publisher, name};

fn node(seed: u8) -> NodeId {
    SecretKey::from_seed([seed; 32]).public()
}

fn code<T: std::fmt::Debug>(result: Result<T, ErrorBody>) -> ErrorCode {
    result.expect_err("refused").code
}

async fn enrol(fixture: &Fixture, user: &str, node: NodeId) -> Result<Admitted, ErrorBody> {
    let account = fixture.registry.account(name(user)).await.expect("read").expect("there");
    fixture.registry.enrol(account, node).await.expect("written")
}

async fn admit(fixture: &Fixture, by: &Publisher, serial: u64) -> Result<Admitted, ErrorBody> {
    let shown =
        Shown { account: by.admitted.id, user: by.user.clone(), node: by.key.public(), serial, now: NOW };
    fixture.registry.admit(shown).await.expect("written")
}

#[tokio::test]
async fn names_and_nodes_are_taken_once() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let new = |user: &str, seed: u8, node| NewAccount {
        id: AccountId::from_bytes([seed; 16]),
        user: name(user),
        password: String::new(),
        node,
        now: NOW,
    };
    let taken = fixture.registry.sign_up(new("alice", 9, node(9))).await.expect("written");
    assert_eq!(code(taken), ErrorCode::NameTaken);
    let other = fixture.registry.sign_up(new("bob", 9, node(2))).await.expect("written");
    assert_eq!(code(other), ErrorCode::OtherAccount);
    assert!(fixture.registry.account(name("bob")).await.expect("read").is_none(), "nothing is left of it");
    fixture.publisher("carol", 3).await;
    assert_eq!(code(enrol(&fixture, "carol", node(2)).await), ErrorCode::OtherAccount);
    fixture.registry.end(alice.admitted.node, NOW).await.expect("written");
    let moved = enrol(&fixture, "carol", node(2)).await.expect("free after the log-out");
    assert_eq!((moved.serial, moved.node), (2, alice.admitted.node), "serials go on");
}

#[tokio::test]
async fn at_most_so_many_nodes() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 1).await;
    for seed in 2..=u8::try_from(limits::NODES_PER_ACCOUNT).expect("few") {
        enrol(&fixture, "alice", node(seed)).await.expect("room");
    }
    assert_eq!(code(enrol(&fixture, "alice", node(200)).await), ErrorCode::Quota);
    let again = enrol(&fixture, "alice", node(1)).await.expect("is one of them");
    assert_eq!(again.serial, 2);
    fixture.registry.end(alice.admitted.node, NOW).await.expect("written");
    enrol(&fixture, "alice", node(200)).await.expect("room again");
}

#[tokio::test]
async fn memberships_that_are_shown() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    assert_eq!(admit(&fixture, &alice, 1).await, Ok(alice.admitted));
    let next = fixture.registry.renew(alice.admitted.node, 1).await.expect("written");
    assert_eq!(next, 2);
    assert!(admit(&fixture, &alice, 1).await.is_ok(), "the one before holds until it ends");
    fixture.registry.end(alice.admitted.node, NOW).await.expect("written");
    assert_eq!(code(admit(&fixture, &alice, 2).await), ErrorCode::NotMember);
    let again = enrol(&fixture, "alice", node(2)).await.expect("enrolled");
    assert_eq!(again.serial, 3);
    assert_eq!(code(admit(&fixture, &alice, 2).await), ErrorCode::NotMember);
    assert!(admit(&fixture, &alice, 3).await.is_ok());
}

#[tokio::test]
async fn what_was_ended_is_not_renewed() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let (registry, row) = (&fixture.registry, alice.admitted.node);
    assert_eq!(registry.renew(row, 1).await.expect("written"), 2);
    assert_eq!(registry.renew(row, 1).await.expect("the one before holds, too"), 3);
    assert_eq!(registry.end(row, NOW).await.expect("written"), 3);
    let late = registry.renew(row, 3).await.map_err(ErrorBody::from);
    assert_eq!(code(late), ErrorCode::NotMember);
    assert_eq!(enrol(&fixture, "alice", node(2)).await.map(|admitted| admitted.serial), Ok(4));
    let before = registry.renew(row, 3).await.map_err(ErrorBody::from);
    assert_eq!(code(before), ErrorCode::NotMember, "the new enrolment revives none before it");
    assert_eq!(registry.renew(row, 4).await.expect("written"), 5);
}

#[tokio::test]
async fn a_lost_database_is_rebuilt_from_what_members_show() {
    let lost = Fixture::new();
    let alice = lost.publisher("alice", 2).await;
    let fixture = Fixture::new();
    assert_eq!(admit(&fixture, &alice, 7).await.map(|admitted| admitted.serial), Ok(7));
    let account = fixture.registry.account(name("alice")).await.expect("read").expect("there");
    assert_eq!((account.id, account.password), (alice.admitted.id, None));
    assert_eq!(enrol(&fixture, "alice", node(2)).await.map(|admitted| admitted.serial), Ok(8));
    let other_id = Publisher {
        admitted: Admitted { id: AccountId::from_bytes([99; 16]), ..alice.admitted },
        key: SecretKey::from_seed([4; 32]),
        ..alice.clone()
    };
    assert_eq!(code(admit(&fixture, &other_id, 1).await), ErrorCode::NotMember, "the name is another's");
    let other_name = Publisher { user: name("eve"), key: SecretKey::from_seed([5; 32]), ..alice };
    assert_eq!(code(admit(&fixture, &other_name, 1).await), ErrorCode::NotMember, "the account has a name");
}

#[tokio::test]
async fn an_older_copy_of_the_database_catches_up() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    assert_eq!(admit(&fixture, &alice, 5).await.map(|admitted| admitted.serial), Ok(5));
    assert_eq!(fixture.registry.renew(alice.admitted.node, 5).await.expect("written"), 6);
}
