//! One key, one program: cloned homes, restarts, reconnections.

use std::sync::atomic::Ordering;

use wire::ErrorCode;
use wire::message::Who;

use super::support::{Index, refused};

fn close_code(peer: &super::support::Peer) -> Option<u64> {
    match peer.client.connection().close_reason() {
        Some(quinn::ConnectionError::ApplicationClosed(close)) => Some(close.error_code.into_inner()),
        _ => None,
    }
}

const REPLACED: u64 = ErrorCode::Replaced.number() as u64;

#[tokio::test]
async fn a_copied_home_is_kept_out_while_the_first_lives() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    let copy = alice.dialler.another_instance();
    assert_eq!(refused(copy.dial(&index).await.map(|_| ())), ErrorCode::IdentityInUse);
    alice.client.who(Who::default()).await.expect("undisturbed");
}

#[tokio::test]
async fn a_dead_connection_makes_room() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    alice.behaviour.mute.store(true, Ordering::SeqCst);
    let restarted = alice.dialler.another_instance().dial(&index).await.expect("let in");
    restarted.client.who(Who::default()).await.expect("a member");
    alice.client.connection().closed().await;
    assert_eq!(close_code(&alice), Some(REPLACED));
    let online = restarted.client.who(Who::default()).await.expect("answered");
    assert_eq!(online.users.len(), 1);
    assert_eq!(online.users[0].nodes.len(), 1);
    assert_eq!(
        online.users[0].nodes[0].address,
        Some(restarted.address()),
        "the end of the old one is not its own"
    );
}

#[tokio::test]
async fn the_same_program_takes_its_own_place_at_once() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    let again = alice.dialler.dial(&index).await.expect("let in");
    alice.client.connection().closed().await;
    assert_eq!(close_code(&alice), Some(REPLACED));
    again.client.who(Who::default()).await.expect("a member");
}

#[tokio::test]
async fn a_closed_connection_makes_room_without_a_ping() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    alice.close();
    alice.dialler.another_instance().dial(&index).await.expect("let in");
}

#[tokio::test]
async fn one_of_many_copies_stays() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    alice.behaviour.mute.store(true, Ordering::SeqCst);
    let (one, two) = (alice.dialler.another_instance(), alice.dialler.clone());
    let mut two = two;
    two.instance = wire::InstanceId::from_bytes([0x77; 16]);
    let (one, two) = tokio::join!(one.dial(&index), two.dial(&index));
    let let_in = [&one, &two].into_iter().filter(|result| result.is_ok()).count();
    assert_eq!(let_in, 1, "{:?} {:?}", one.as_ref().err(), two.as_ref().err());
    let refused = one.err().or(two.err()).map(|error| error.code);
    assert_eq!(refused, Some(ErrorCode::IdentityInUse));
}
