//! The list of members that the index signs, and its recovery.

use certs::{Enrolment, IndexCertificate, UnixMillis};
use p2p_node_index::{CallError, IndexService, StatementsPeer, SyncError};
use wire::catalogue::{CataloguePage, MemberEntry, Revoked};
use wire::message::{Enrolled, News, Stated, Statements, StatementsDigest, Who, known_digest};
use wire::{ErrorCode, VerifiedMembers};

use super::support::{
    DAY, Dialler, Index, NOW, PASSWORD, credentials, key, name, network, refused, wait_until,
};

/// The first list, as of now or later, that is as wanted.
async fn list(service: &IndexService, wanted: impl Fn(&VerifiedMembers) -> bool) -> VerifiedMembers {
    let mut lists = service.members();
    let found = lists.wait_for(|list| list.as_ref().is_some_and(|list| wanted(list)));
    let found = tokio::time::timeout(std::time::Duration::from_secs(20), found).await;
    let found = found.expect("in time").expect("not stopped").clone().expect("just seen");
    found.bundle().verify(&network(), UnixMillis(NOW)).expect("it holds")
}

/// What a small list says: its trees have a page each.
async fn contents(service: &IndexService, list: &VerifiedMembers) -> (Vec<MemberEntry>, Vec<Revoked>) {
    let roots: Vec<_> = [list.head.members, list.head.revoked].into_iter().flatten().collect();
    let (mut members, mut revoked) = (Vec::new(), Vec::new());
    let asked = Statements { pages: Some(roots), ..Statements::default() };
    for page in service.replica().answer(asked).await.expect("read").pages {
        match CataloguePage::decode(&page.0.expect("there")).expect("a page") {
            CataloguePage::Members(some) => members.extend(some),
            CataloguePage::Revoked(some) => revoked.extend(some),
            other => panic!("{other:?}"),
        }
    }
    (members, revoked)
}

#[tokio::test]
async fn it_follows_who_comes_and_goes() {
    let index = Index::start();
    let empty = list(&index.service, |_| true).await;
    assert_eq!((empty.head.member_count, empty.head.seq), (0, NOW));
    let alice = index.member("alice", 10).await;
    let _bob = index.member("bob", 11).await;
    let two = list(&index.service, |list| list.head.member_count == 2).await;
    assert!(two.rank() > empty.rank());
    alice.client.logout().await.expect("logged out");
    let one = list(&index.service, |list| list.head.revoked_count == 1).await;
    let (members, revoked) = contents(&index.service, &one).await;
    assert_eq!(members.iter().map(|one| (one.node, one.serial)).collect::<Vec<_>>(), [(key(11).public(), 1)]);
    assert_eq!(members[0].user, name("bob"));
    assert_eq!(revoked, [Revoked { node: key(10).public(), serial: 1, since: UnixMillis(NOW) }]);
}

#[tokio::test]
async fn a_restart_goes_on_with_it_and_a_loss_with_what_others_have_seen() {
    let index = Index::start();
    let _alice = index.member("alice", 10).await;
    let before = list(&index.service, |list| list.head.member_count == 1).await;
    let index = index.restart().await;
    assert_eq!(list(&index.service, |_| true).await, before, "nothing has changed");

    let new = Index::open_after(true, tempfile::tempdir().expect("a folder"), true);
    let news = News { members: Some(before.bundle()), ..News::default() };
    let taken = new.service.replica().take_news(&Of(&index.service), news.clone()).await.expect("taken");
    assert_eq!(taken.members, news.members, "it was new");
    let state = new.service.recovery().await.expect("read");
    assert_eq!((state.accounts, state.without_password, state.nodes), (1, 1, 1));
    assert!(new.service.members().borrow().is_none(), "a list of its own would hide what has not come back");
    new.service.finish_recovery().await.expect("ended");
    let whole = list(&new.service, |_| true).await;
    assert_eq!(whole.head.members, before.head.members);
    assert!(whole.head.seq > before.head.seq || whole == before);
    let asked = Statements { digest: Some(nothing()), ..Statements::default() };
    let handed =
        new.service.replica().answer(asked).await.expect("answered").news.and_then(|news| news.members);
    assert_eq!(handed, Some(whole.bundle()));
}

#[tokio::test]
async fn lists_of_others_change_nothing() {
    let index = Index::start();
    let _alice = index.member("alice", 10).await;
    let own = list(&index.service, |list| list.head.member_count == 1).await;
    let elsewhere = IndexCertificate::issue(&key(7), key(2).public(), 1, UnixMillis(NOW));
    let mut head = own.head.body().clone();
    head.network = key(7).public();
    let foreign = VerifiedMembers { head: certs::Signed::sign(&key(2), head), certificate: elsewhere };
    let mut head = own.head.body().clone();
    head.seq += 1;
    let forged =
        VerifiedMembers { head: certs::Signed::sign(&key(9), head), certificate: own.certificate.clone() };
    for list in [foreign, forged] {
        let news = News { members: Some(list.bundle()), ..News::default() };
        let taken = index.service.replica().take_news(&Of(&index.service), news).await;
        assert!(matches!(taken, Err(SyncError::Lied(_))), "{taken:?}");
    }
}

/// The replica of an index, asked without a connection.
struct Of<'a>(&'a IndexService);

impl StatementsPeer for Of<'_> {
    async fn ask(&self, request: Statements) -> Result<Stated, CallError> {
        self.0.replica().answer(request).await.map_err(CallError::Refused)
    }
}

/// The digest of one that knows nothing.
fn nothing() -> StatementsDigest {
    StatementsDigest { known: known_digest([]), members: None, index: None }
}

#[tokio::test]
async fn while_it_recovers_nobody_signs_up_or_logs_in_until_the_operator_says_so() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    let new = Index::open_after(true, tempfile::tempdir().expect("a folder"), true);
    alice.dialler.dial(&new).await.expect("welcome");
    let state = new.service.recovery().await.expect("read");
    assert!(state.active);
    assert_eq!((state.began, state.ended), (Some(UnixMillis(NOW)), None));
    assert_eq!((state.accounts, state.without_password, state.nodes, state.records), (1, 1, 1, 0));
    assert_eq!(state.last, Some((key(10).public(), UnixMillis(NOW))));

    let other = Dialler::new(11).dial(&new).await.expect("welcome");
    let login = async |user: &str, password| {
        other.client.login(credentials(user, password)).await.map(drop).map_err(|error| error.to_body())
    };
    for user in ["alice", "nobody"] {
        let refusal = login(user, PASSWORD).await.expect_err("refused");
        assert_eq!(refusal.code, ErrorCode::NotAllowed);
        assert!(refusal.text.contains("operator"), "{refusal}");
    }
    let missing = new.service.set_password(name("nobody"), PASSWORD.to_owned()).await;
    assert_eq!(refused(missing), ErrorCode::NotFound);
    let short = new.service.set_password(name("alice"), "short".to_owned()).await;
    assert_eq!(refused(short), ErrorCode::BadPassword);
    new.service.set_password(name("alice"), PASSWORD.to_owned()).await.expect("set");
    login("alice", PASSWORD).await.expect("it has a password again");

    let over = new.service.finish_recovery().await.expect("ended");
    assert!(!over.active);
    assert_eq!((over.ended, over.without_password, over.nodes), (Some(UnixMillis(NOW)), 0, 2));
    assert!(!new.folder.path().join("recovering").exists());
    assert_eq!(new.service.finish_recovery().await, Ok(over.clone()), "once is enough");
    let stranger = Dialler::new(12).dial(&new).await.expect("welcome");
    let attempt = stranger.client.signup(credentials("alice", PASSWORD)).await;
    assert_eq!(refused(attempt), ErrorCode::NameTaken);
    stranger.client.signup(credentials("carol", PASSWORD)).await.expect("open again");
    let late = login("alice", "another password").await.expect_err("refused");
    assert_eq!(late.code, ErrorCode::BadCredentials);
    new.service.clone().shutdown().await;
    let again = Index::open_after(true, new.folder, true);
    assert!(!again.service.recovery().await.expect("read").active, "for good");
    again.pass(DAY);
}

#[tokio::test]
async fn who_had_logged_out_before_a_loss_is_none_as_soon_as_a_list_says_so() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    let _bob = index.member("bob", 11).await;
    alice.client.logout().await.expect("logged out");
    let before = list(&index.service, |list| list.head.revoked_count == 1).await;

    let new = Index::open_after(true, tempfile::tempdir().expect("a folder"), true);
    // Nobody has said so yet, and it has 9 days left: it is renewed, but ends with the one that it is in place of.
    new.pass(21 * DAY);
    let mut again = alice.dialler.dial(&new).await.expect("by its date it is a member");
    assert!(again.hello.renewed.is_some());
    again.dialler.enrolment = Some(again.client.renew().await.expect("renewed").enrolment);
    again.client.who(Who::default()).await.expect("a member");

    let news = News { members: Some(before.bundle()), ..News::default() };
    new.service.replica().take_news(&Of(&index.service), news).await.expect("taken");
    let who = async || again.client.who(Who::default()).await.map(drop).map_err(|error| error.to_body());
    let refusal = wait_until(who, Result::is_err).await.expect_err("refused");
    assert_eq!(refusal.code, ErrorCode::NotMember);
    let dialled = again.dialler.dial(&new).await.map(drop);
    assert_eq!(refused(dialled), ErrorCode::NotMember, "the one in its place ended with it");
    new.service.finish_recovery().await.expect("ended");
    let mut lists = new.service.members();
    let whole = lists.wait_for(Option::is_some).await.expect("not stopped").clone().expect("just seen");
    assert_eq!((whole.head.member_count, whole.head.revoked_count), (1, 1), "bob, by the list");
}

#[tokio::test]
async fn renewals_count_up_again_once_the_recovery_is_over() {
    let index = Index::start();
    let alice = index.member("alice", 10).await;
    let new = Index::open_after(true, tempfile::tempdir().expect("a folder"), true);
    let mut again = alice.dialler.dial(&new).await.expect("welcome");
    let serial = |enrolled: &Enrolled| {
        let enrolment = Enrolment::verify_timeless(&enrolled.enrolment, &network(), &key(10).public());
        enrolment.expect("it holds").membership.serial
    };
    let meanwhile = again.client.renew().await.expect("renewed");
    again.enrol(&meanwhile);
    new.service.finish_recovery().await.expect("ended");
    let after = again.client.renew().await.expect("renewed");
    assert_eq!((serial(&meanwhile), serial(&after)), (1, 2));
}
