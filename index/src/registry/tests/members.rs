//! The list of members, ended memberships, and what comes back of both after a loss.

use std::collections::HashMap;

use certs::{AccountId, NodeId, SecretKey, UnixMillis};
use serde_bytes::ByteBuf;
use wire::catalogue::{CataloguePage, MemberEntry, Revoked, Tree, TreeKind, Walk};
use wire::{ErrorBody, ErrorCode, MembersBundle, MembersNumber, TreeHash};

use super::super::members::{MembersTrees, REVOCATION_RETENTION_MS, StoredHead};
use super::super::{Admitted, NewAccount, Purpose, Shown, prepare_recovery};
use super::{Fixture, NOW, Publisher, name};

fn node(seed: u8) -> NodeId {
    SecretKey::from_seed([seed; 32]).public()
}

/// Reads a tree as whoever fetches it does.
fn read(kind: TreeKind, tree: &Tree, pages: &[(TreeHash, Vec<u8>)]) -> Vec<CataloguePage> {
    let pages: HashMap<_, _> = pages.iter().map(|(hash, bytes)| (*hash, bytes)).collect();
    let mut walk = Walk::new(kind, tree.root, tree.count);
    let mut leaves = Vec::new();
    while !walk.is_done() {
        for hash in walk.next(1) {
            let bytes = pages[&hash];
            assert_eq!(TreeHash::of(bytes), hash);
            let page = walk.came(hash, bytes).expect("a good page");
            leaves.extend(page.leaf().is_some().then_some(page));
        }
    }
    walk.finish().expect("whole");
    leaves
}

fn members(trees: &MembersTrees) -> Vec<MemberEntry> {
    let leaves = read(TreeKind::Members, &trees.members, &trees.pages);
    let of = |leaf| if let CataloguePage::Members(members) = leaf { members } else { Vec::new() };
    leaves.into_iter().flat_map(of).collect()
}

fn revoked(trees: &MembersTrees) -> Vec<Revoked> {
    let leaves = read(TreeKind::Revoked, &trees.revoked, &trees.pages);
    let of = |leaf| if let CataloguePage::Revoked(revoked) = leaf { revoked } else { Vec::new() };
    leaves.into_iter().flat_map(of).collect()
}

async fn build(fixture: &Fixture, now: UnixMillis) -> MembersTrees {
    fixture.registry.build_members(now).await.expect("built")
}

async fn enrol(fixture: &Fixture, user: &str, node: NodeId) -> Admitted {
    let account = fixture.registry.account(name(user)).await.expect("read").expect("there");
    fixture.registry.enrol(account, node).await.expect("written").expect("enrolled")
}

async fn admit(fixture: &Fixture, by: &Publisher, serial: u64) -> Result<Admitted, ErrorBody> {
    let shown =
        Shown { account: by.admitted.id, user: by.user.clone(), node: by.key.public(), serial, now: NOW };
    fixture.registry.admit(shown).await.expect("written")
}

async fn restore(fixture: &Fixture, from: &MembersTrees) -> usize {
    let (members, revoked) = (members(from), revoked(from));
    fixture.registry.restore_members(node(9), members, revoked, NOW).await.expect("written")
}

#[tokio::test]
async fn whoever_is_enrolled_is_in_it_in_the_order_of_nodes() {
    let fixture = Fixture::new();
    let none = build(&fixture, NOW).await;
    assert_eq!((none.members, none.revoked, none.pages.len()), (Tree::default(), Tree::default(), 0));
    let changed = fixture.registry.members_change();
    let alice = fixture.publisher("alice", 2).await;
    changed.notified().await;
    let accounts: Vec<_> = (10..130).map(|seed| format!("user-{seed}")).collect();
    for (user, seed) in accounts.iter().zip(10..) {
        fixture.publisher(user, seed).await;
    }
    enrol(&fixture, "alice", node(3)).await;
    let trees = build(&fixture, NOW).await;
    let listed = members(&trees);
    assert_eq!(listed.len(), 122);
    assert!(listed.is_sorted_by_key(|member| *member.node.as_bytes()));
    let second = listed.iter().find(|member| member.node == node(3)).expect("listed");
    assert_eq!((second.account, second.user.as_str(), second.serial), (alice.admitted.id, "alice", 1));
    fixture.registry.renew(alice.admitted.node, 1).await.expect("renewed");
    let listed = members(&build(&fixture, NOW).await);
    let first = listed.iter().find(|member| member.node == node(2)).expect("listed");
    assert_eq!(first.serial, 2);
}

#[tokio::test]
async fn who_logs_out_is_revoked_until_nobody_asks_any_more() {
    let fixture = Fixture::new();
    let (alice, bob) = (fixture.publisher("alice", 2).await, fixture.publisher("bob", 3).await);
    fixture.registry.renew(alice.admitted.node, 1).await.expect("renewed");
    let changed = fixture.registry.members_change();
    changed.notified().await;
    fixture.registry.end(alice.admitted.node, NOW).await.expect("ended");
    changed.notified().await;
    let trees = build(&fixture, NOW).await;
    assert_eq!(members(&trees).iter().map(|one| one.node).collect::<Vec<_>>(), [node(3)]);
    assert_eq!(revoked(&trees), [Revoked { node: node(2), serial: 2, since: NOW }]);
    let again = enrol(&fixture, "alice", node(2)).await;
    assert_eq!(again.serial, 3, "above what has ended");
    let trees = build(&fixture, NOW).await;
    assert_eq!((members(&trees).len(), revoked(&trees).len()), (2, 1), "the one before is still over");
    let later = NOW.plus(1000);
    fixture.registry.end(bob.admitted.node, later).await.expect("ended");
    fixture.registry.end(again.node, later).await.expect("ended");
    let serials = |revoked: &[Revoked]| {
        let mut all: Vec<_> = revoked.iter().map(|one| (one.serial, one.since)).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(serials(&revoked(&build(&fixture, later).await)), [(1, later), (3, later)]);
    let last = later.plus(REVOCATION_RETENTION_MS);
    assert_eq!(revoked(&build(&fixture, last).await).len(), 2);
    assert_eq!(revoked(&build(&fixture, last.plus(1)).await), []);
}

#[tokio::test]
async fn a_log_out_that_fails_to_be_stored_revokes_nothing() {
    let fixture = Fixture::new();
    let alice = fixture.publisher("alice", 2).await;
    let path = fixture.path();
    let broken = rusqlite::Connection::open(&path).expect("opened");
    broken
        .execute_batch(
            "CREATE TRIGGER no BEFORE UPDATE OF ended ON nodes BEGIN SELECT RAISE(ABORT, 'no'); END;",
        )
        .expect("made");
    fixture.registry.end(alice.admitted.node, NOW).await.expect_err("not stored");
    broken.execute_batch("DROP TRIGGER no").expect("removed");
    broken
        .execute_batch("CREATE TRIGGER no BEFORE INSERT ON revocations BEGIN SELECT RAISE(ABORT, 'no'); END;")
        .expect("made");
    fixture.registry.end(alice.admitted.node, NOW).await.expect_err("not stored");
    broken.execute_batch("DROP TRIGGER no").expect("removed");
    let trees = build(&fixture, NOW).await;
    assert_eq!((members(&trees).len(), revoked(&trees).len()), (1, 0), "both or neither");
    assert!(admit(&fixture, &alice, 1).await.is_ok());
}

#[tokio::test]
async fn a_head_is_kept_with_its_pages_and_those_of_the_one_before() {
    let fixture = Fixture::new();
    let bundle = |text: &str| MembersBundle { head: ByteBuf::from(text), certificate: ByteBuf::from("c") };
    let mut roots = Vec::new();
    assert_eq!(fixture.registry.members_head().await.expect("read"), None);
    // The last one is of an index that moved without its database: it counts anew.
    for (seed, epoch, seq) in [(2, 1, 10), (3, 1, 11), (4, 2, 5)] {
        fixture.publisher(&format!("user-{seed}"), seed).await;
        let trees = build(&fixture, NOW).await;
        roots.extend(trees.members.root);
        let new = StoredHead { number: MembersNumber { epoch, seq }, bundle: bundle(&seq.to_string()) };
        fixture.registry.keep_members_head(new.clone(), trees.pages).await.expect("kept");
        assert_eq!(fixture.registry.members_head().await.expect("read"), Some(new));
    }
    let fixture = fixture.reopen().await;
    let head = fixture.registry.members_head().await.expect("read").expect("there");
    assert_eq!(head.number, MembersNumber { epoch: 2, seq: 5 });
    assert_eq!(&head.bundle.head[..], b"5");
    let pages = fixture.registry.pages(roots.clone()).await.expect("read");
    let there: Vec<_> = pages.iter().map(Option::is_some).collect();
    assert_eq!(there, [false, true, true]);
    for (page, root) in pages.iter().zip(&roots).skip(1) {
        assert_eq!(TreeHash::of(page.as_ref().expect("there")), *root);
    }
}

#[tokio::test]
async fn a_list_restores_accounts_and_ends_what_had_ended() {
    let lost = Fixture::new();
    let alice = lost.publisher("alice", 2).await;
    let bob = lost.publisher("bob", 3).await;
    let laptop = enrol(&lost, "bob", node(4)).await;
    lost.registry.end(laptop.node, NOW).await.expect("ended");
    lost.registry.renew(bob.admitted.node, 1).await.expect("renewed");
    let list = build(&lost, NOW).await;

    let fixture = Fixture::new();
    assert_eq!(restore(&fixture, &list).await, 0);
    assert_eq!(restore(&fixture, &list).await, 0, "twice is as once");
    let again = build(&fixture, NOW).await;
    assert_eq!((again.members, again.revoked), (list.members, list.revoked));
    let new = NewAccount {
        id: AccountId::from_bytes([7; 16]),
        user: name("alice"),
        password: String::new(),
        node: node(7),
        now: NOW,
    };
    let taken = fixture.registry.sign_up(new).await.expect("written").expect_err("somebody's");
    assert_eq!(taken.code, ErrorCode::NameTaken);
    let stolen = Publisher { key: SecretKey::from_seed([4; 32]), ..bob.clone() };
    assert_eq!(admit(&fixture, &stolen, 1).await.expect_err("ended").code, ErrorCode::NotMember);
    assert!(admit(&fixture, &bob, 2).await.is_ok() && admit(&fixture, &alice, 1).await.is_ok());
    assert_eq!(enrol(&fixture, "bob", node(4)).await.serial, 2, "above what had ended");
}

#[tokio::test]
async fn what_is_known_here_stays_whatever_a_list_says() {
    let lost = Fixture::new();
    lost.publisher("alice", 2).await;
    lost.publisher("bob", 3).await;
    let list = build(&lost, NOW).await;
    let fixture = Fixture::new();
    // Somebody else's name by now; and a node that has logged out since.
    fixture.publisher("alice", 5).await;
    let bob = fixture.publisher("bob", 3).await;
    fixture.registry.end(bob.admitted.node, NOW).await.expect("ended");
    assert_eq!(restore(&fixture, &list).await, 2);
    let listed = members(&build(&fixture, NOW).await);
    assert_eq!(listed.iter().map(|one| one.node).collect::<Vec<_>>(), [node(5)]);
}

#[tokio::test]
async fn a_recovery_is_counted_and_serials_begin_above_all_that_were_issued() {
    let lost = Fixture::new();
    let alice = lost.publisher("alice", 2).await;
    let fixture = Fixture::new();
    let fresh = fixture.registry.recovery(false).await.expect("read");
    assert_eq!((fresh.began, fresh.ended, fresh.accounts, fresh.last), (None, None, 0, None));
    fixture.registry.close().await;
    prepare_recovery(&fixture.path(), true, NOW).expect("noted");
    prepare_recovery(&fixture.path(), true, NOW.plus(5)).expect("a restart");
    let fixture = fixture.reopen().await;
    let restored = admit(&fixture, &alice, 7).await.expect("believed");
    let publisher = Publisher { admitted: restored, ..alice.clone() };
    let waiting = fixture.registry.recovery(true).await.expect("read");
    assert_eq!((waiting.began, waiting.last), (Some(NOW), Some((node(2), NOW))));
    assert_eq!((waiting.accounts, waiting.without_password, waiting.nodes, waiting.records), (1, 1, 1, 0));
    fixture.send(Purpose::Register, &publisher, &[publisher.first("film")]).await;
    assert!(fixture.registry.set_password(name("alice"), "$argon2id$".to_owned()).await.expect("written"));
    assert!(!fixture.registry.set_password(name("nobody"), String::new()).await.expect("written"));
    let serial = enrol(&fixture, "alice", node(8)).await.serial;
    assert_eq!(serial, NOW.0 + 1, "above any that the lost database may have given");
    fixture.registry.end_recovery(NOW.plus(9)).await.expect("ended");
    let over = fixture.registry.recovery(false).await.expect("read");
    assert_eq!((over.active, over.began, over.ended), (false, Some(NOW), Some(NOW.plus(9))));
    assert_eq!((over.accounts, over.without_password, over.nodes, over.records), (1, 0, 2, 1));
    fixture.registry.close().await;
    prepare_recovery(&fixture.path(), false, NOW.plus(20)).expect("noted");
    let fixture = fixture.reopen().await;
    assert_eq!(fixture.registry.recovery(false).await.expect("read"), over);
    assert_eq!(enrol(&fixture, "alice", node(8)).await.serial, NOW.0 + 2);
}
