//! signup, login, logout, renew, and what `hello` makes of a membership.

use certs::{MEMBERSHIP_GRACE_MS, MEMBERSHIP_VALIDITY_MS, UnixMillis};
use wire::ErrorCode;
use wire::message::Who;

use super::support::{DAY, Dialler, Index, NOW, PASSWORD, credentials, name, refused};

#[tokio::test]
async fn signing_up_enrols_this_node_on_this_connection() {
    let index = Index::start();
    let mut peer = Dialler::new(10).dial(&index).await.expect("welcome");
    assert_eq!(peer.hello.seen, Some(peer.address()));
    assert!(peer.hello.certificate.is_some());
    peer.client.ping().await.expect("anybody may ping");
    assert_eq!(refused(peer.client.who(Who::default()).await), ErrorCode::NotMember);
    let enrolled = peer.client.signup(credentials("alice", PASSWORD)).await.expect("signed up");
    let enrolment = peer.enrol(&enrolled);
    assert_eq!(enrolment.membership.user, name("alice"));
    assert_eq!((enrolment.membership.serial, enrolment.membership.node), (1, peer.node()));
    assert_eq!(enrolment.membership.not_after, UnixMillis(NOW + MEMBERSHIP_VALIDITY_MS));
    peer.client.who(Who::default()).await.expect("a member now");
}

#[tokio::test]
async fn names_and_passwords() {
    let index = Index::start();
    let _alice = index.member("alice", 10).await;
    let peer = Dialler::new(11).dial(&index).await.expect("welcome");
    assert_eq!(refused(peer.client.signup(credentials("alice", PASSWORD)).await), ErrorCode::NameTaken);
    for password in ["short", &"x".repeat(1025)] {
        assert_eq!(refused(peer.client.signup(credentials("bob", password)).await), ErrorCode::BadPassword);
    }
    let unknown = peer.client.login(credentials("nobody", PASSWORD)).await;
    assert_eq!(refused(unknown), ErrorCode::BadCredentials);
    for password in ["wrong horse battery", "", &"x".repeat(2000)] {
        let wrong = peer.client.login(credentials("alice", password)).await;
        assert_eq!(refused(wrong), ErrorCode::BadCredentials);
    }
    peer.client.login(credentials("alice", PASSWORD)).await.expect("logged in");
}

#[tokio::test]
async fn wrong_passwords_are_limited_and_right_ones_are_not() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    let peer = Dialler::new(11).dial(&index).await.expect("welcome");
    for _ in 0..5 {
        let wrong = peer.client.login(credentials("alice", "wrong horse battery")).await;
        assert_eq!(refused(wrong), ErrorCode::BadCredentials);
    }
    let limited = peer.client.login(credentials("alice", PASSWORD)).await.expect_err("limited").to_body();
    assert_eq!((limited.code, limited.retry_after_ms), (ErrorCode::RateLimited, Some(5000)));
    assert_eq!(refused(peer.client.login(credentials("bob", PASSWORD)).await), ErrorCode::BadCredentials);
    index.pass(5000);
    for _ in 0..10 {
        peer.client.login(credentials("alice", PASSWORD)).await.expect("logged in");
    }
    alice.client.renew().await.expect("those who are in are not touched");
}

#[tokio::test]
async fn a_closed_index_takes_logins_only() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    alice.close();
    index.service.clone().shutdown().await;
    let index = Index::open(index.folder, false);
    let peer = Dialler::new(11).dial(&index).await.expect("welcome");
    assert_eq!(refused(peer.client.signup(credentials("bob", PASSWORD)).await), ErrorCode::SignupClosed);
    peer.client.login(credentials("alice", PASSWORD)).await.expect("logged in");
}

#[tokio::test]
async fn one_node_one_account() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    let _bob = index.member("bob", 11).await;
    for attempt in [
        alice.client.signup(credentials("carol", PASSWORD)).await,
        alice.client.signup(credentials("alice", PASSWORD)).await,
        alice.client.login(credentials("bob", PASSWORD)).await,
    ] {
        assert_eq!(refused(attempt), ErrorCode::OtherAccount);
    }
    let nameless = Dialler { enrolment: None, ..alice.dialler.clone() }.dial(&index).await.expect("welcome");
    let other = nameless.client.login(credentials("bob", PASSWORD)).await;
    assert_eq!(refused(other), ErrorCode::OtherAccount, "without showing it, too");
    nameless.client.login(credentials("alice", PASSWORD)).await.expect("its own");
}

#[tokio::test]
async fn logging_out_ends_the_membership() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    alice.client.logout().await.expect("logged out");
    assert_eq!(refused(alice.client.who(Who::default()).await), ErrorCode::NotMember);
    alice.close();
    let refused_hello = alice.dialler.dial(&index).await.map(|_| ());
    assert_eq!(refused(refused_hello), ErrorCode::NotMember);
    let nameless = Dialler { enrolment: None, ..alice.dialler.clone() };
    let mut again = nameless.dial(&index).await.expect("without the old enrolment");
    let enrolled = again.client.login(credentials("alice", PASSWORD)).await.expect("logged in");
    assert_eq!(again.enrol(&enrolled).membership.serial, 2);
    again.close();
    again.dialler.dial(&index).await.expect("the new one holds");
}

#[tokio::test]
async fn no_renewal_on_its_way_undoes_a_log_out() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    for _ in 0..20 {
        let asked = (alice.client.renew(), alice.client.logout(), alice.client.renew());
        let (before, out, after) = tokio::join!(asked.0, asked.1, asked.2);
        out.expect("logged out");
        for renewed in [before, after].into_iter().filter(Result::is_err) {
            assert_eq!(refused(renewed), ErrorCode::NotMember);
        }
        assert_eq!(refused(alice.client.who(Who::default()).await), ErrorCode::NotMember);
        assert_eq!(refused(alice.client.renew().await), ErrorCode::NotMember);
        alice.client.login(credentials("alice", PASSWORD)).await.expect("logged in");
    }
}

#[tokio::test]
async fn memberships_are_renewed_in_time() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    let fresh = alice.dialler.dial(&index).await.expect("welcome");
    assert_eq!(fresh.hello.renewed, None);
    index.pass(21 * DAY);
    let mut late = alice.dialler.dial(&index).await.expect("welcome");
    assert!(late.hello.renewed.is_some(), "less than a third is left");
    late.dialler.enrolment = late.hello.renewed.clone();
    index.pass(20 * DAY);
    late.client.who(Who::default()).await.expect("the renewed one holds");
    let late = late.dialler.dial(&index).await.expect("welcome");
    index.pass(31 * DAY);
    assert_eq!(refused(late.client.who(Who::default()).await), ErrorCode::NotMember, "it ended meanwhile");
    let over = late.dialler.dial(&index).await.map(|_| ());
    assert_eq!(refused(over), ErrorCode::NotMember);
}

#[tokio::test]
async fn accounts_and_memberships_outlive_a_restart_and_even_the_database() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    let index = index.restart().await;
    let again = alice.dialler.dial(&index).await.expect("welcome");
    again.client.who(Who::default()).await.expect("a member");
    let new = Index::start();
    let rebuilt = alice.dialler.dial(&new).await.expect("welcome");
    rebuilt.client.who(Who::default()).await.expect("a member");
    let peer = Dialler::new(11).dial(&new).await.expect("welcome");
    assert_eq!(refused(peer.client.signup(credentials("alice", PASSWORD)).await), ErrorCode::NameTaken);
    let login = peer.client.login(credentials("alice", PASSWORD)).await;
    assert_eq!(refused(login), ErrorCode::BadCredentials, "the password is lost");
}

#[tokio::test]
async fn after_a_lost_database_no_name_goes_to_who_comes_first() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    let new = Index::open_after(true, tempfile::tempdir().expect("a folder"), true);
    let thief = Dialler::new(11).dial(&new).await.expect("welcome");
    let attempt = thief.client.signup(credentials("alice", PASSWORD)).await.expect_err("refused").to_body();
    assert_eq!(attempt.code, ErrorCode::SignupClosed);
    assert!(attempt.text.contains("lost its database"), "{attempt}");
    let back = alice.dialler.dial(&new).await.expect("welcome");
    back.client.who(Who::default()).await.expect("a member");
    new.service.clone().shutdown().await;
    let again = Index::open_after(true, new.folder, true);
    let thief = Dialler::new(11).dial(&again).await.expect("welcome");
    let early = thief.client.signup(credentials("bob", PASSWORD)).await;
    assert_eq!(refused(early), ErrorCode::SignupClosed, "a restart alone changes nothing");
    again.service.clone().shutdown().await;
    std::fs::remove_file(again.folder.path().join("recovering")).expect("removed");
    let open = Index::open_after(true, again.folder, true);
    let peer = Dialler::new(11).dial(&open).await.expect("welcome");
    assert_eq!(refused(peer.client.signup(credentials("alice", PASSWORD)).await), ErrorCode::NameTaken);
    peer.client.signup(credentials("bob", PASSWORD)).await.expect("signed up");
}

#[tokio::test]
async fn a_membership_that_ended_while_the_index_was_away_is_renewed() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    // The time of its last list is when it was there last.
    let mut lists = index.service.members();
    lists
        .wait_for(|list| list.as_ref().is_some_and(|list| list.head.member_count == 1))
        .await
        .expect("signed");
    let index = index.restart_after(31 * DAY).await;
    let again = alice.dialler.dial(&index).await.expect("welcome");
    assert!(again.hello.renewed.is_some());
    again.client.who(Who::default()).await.expect("a member");
    let index = index.restart_after(1000).await;
    assert!(alice.dialler.dial(&index).await.is_ok(), "it has not forgotten that it was away");
    index.pass(MEMBERSHIP_GRACE_MS);
    let over = alice.dialler.dial(&index).await.map(|_| ());
    assert_eq!(refused(over), ErrorCode::NotMember, "not for ever");
}
