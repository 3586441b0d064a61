//! The list of members.

use wire::catalogue::{MemberEntry, Revoked, Tree, TreeBuilder, build_members, build_revoked};
use wire::{MembersBundle, MembersHead, TreeHash};

use super::*;

/// A list that the index signs.
#[derive(Default)]
pub(super) struct List {
    pub(super) members: Vec<MemberEntry>,
    pub(super) revoked: Vec<Revoked>,
}

/// One who has it.
pub(super) struct Keeper {
    pub(super) bundle: MembersBundle,
    pages: std::collections::HashMap<TreeHash, Vec<u8>>,
}

impl StatementsPeer for Keeper {
    async fn ask(&self, request: Statements) -> Result<Stated, CallError> {
        let page =
            |hash: &TreeHash| wire::message::StatedPage(self.pages.get(hash).cloned().map(ByteBuf::from));
        let pages = request.pages.unwrap_or_default().iter().map(page).collect();
        Ok(Stated { pages, ..Stated::default() })
    }
}

impl List {
    pub(super) fn sign(&mut self, net: &Net) -> Keeper {
        self.members.sort_by_key(|member| member.node);
        self.revoked.sort_by_key(|revoked| revoked.node);
        let (mut members, mut revoked) = (TreeBuilder::new(), TreeBuilder::new());
        build_members(&mut members, self.members.clone());
        build_revoked(&mut revoked, self.revoked.clone());
        let ((members, mut pages), (revoked, more)) = (members.finish(), revoked.finish());
        pages.extend(more);
        let members = Tree { root: members, count: self.members.len() as u64 };
        let revoked = Tree { root: revoked, count: self.revoked.len() as u64 };
        let now = net.now();
        let head = MembersHead::issue(&net.index, &net.certificate, now.0, now, members, revoked);
        let bundle = MembersBundle::new(&head, &net.certificate);
        Keeper { bundle, pages: pages.into_iter().collect() }
    }

    /// Signs it now, and gives it to a node.
    pub(super) async fn give(&mut self, net: &Net, node: &Node) {
        let keeper = self.sign(net);
        let news = News { members: Some(keeper.bundle.clone()), ..News::default() };
        let new = node.replica.take_news(&keeper, news).await.expect("taken");
        assert!(new.members.is_some());
    }
}

fn large(net: &Net, ended: usize) -> List {
    let node = |at: usize| {
        let mut seed = [3; 32];
        seed[..8].copy_from_slice(&at.to_be_bytes());
        SecretKey::from_seed(seed).public()
    };
    let member = |at| MemberEntry {
        node: node(at),
        account: AccountId::from_bytes([9; 16]),
        user: name("someone"),
        serial: 1,
    };
    let revoked = |at| Revoked { node: node(at), serial: 4, since: net.now() };
    List { members: (0..300).map(member).collect(), revoked: (300..300 + ended).map(revoked).collect() }
}

#[tokio::test]
async fn it_is_taken_with_its_trees_kept_and_handed_on() {
    let net = Net::new();
    let (mut alice, bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
    let mut list = large(&net, 400);
    net.pass(1000);
    list.give(&net, &alice).await;
    let ended = &list.revoked[17];
    alice.reopen().await;
    assert_eq!(alice.replica.index_seen(), net.now());
    bob.replica.sync(&Link::new(&bob.replica, &alice.replica)).await.expect("synced");
    for node in [&alice, &bob] {
        assert_eq!(node.replica.index_seen(), net.now());
        assert_eq!(node.replica.revoked(&ended.node, 4), Some(ended.since));
        assert_eq!(node.replica.revoked(&ended.node, 5), None);
        assert_eq!(node.replica.revoked(&list.members[0].node, 1), None);
    }
}

#[tokio::test]
async fn the_newest_counts_and_nobody_elses() {
    let net = Net::new();
    let bob = net.node("bob", 11).await;
    let old = large(&net, 1).sign(&net);
    net.pass(1000);
    let mut list = large(&net, 2);
    list.give(&net, &bob).await;
    let take = |keeper: &Keeper| {
        let news = News { members: Some(keeper.bundle.clone()), ..News::default() };
        let replica = bob.replica.clone();
        let keeper = Keeper { bundle: keeper.bundle.clone(), pages: keeper.pages.clone() };
        async move { replica.take_news(&keeper, news).await }
    };
    assert_eq!(take(&old).await.expect("goes on"), News::default());
    let mallory = Net { index: SecretKey::from_seed([66; 32]), ..net.clone() };
    net.pass(1000);
    assert!(take(&large(&mallory, 0).sign(&mallory)).await.is_err());
    assert_eq!(bob.refused(Refusal::Forged), 1);
    net.pass(86_400_000);
    let early = large(&net, 0).sign(&net);
    net.time.fetch_sub(86_400_000, Ordering::Relaxed);
    assert_eq!(take(&early).await.expect("goes on"), News::default());
    assert_eq!(bob.refused(Refusal::Untimely), 1);
    assert_eq!(bob.replica.index_seen(), net.now().minus(1000));
}

#[tokio::test]
async fn what_a_node_published_stays_where_it_is_when_it_logs_out_and_its_catalogue_counts_nowhere() {
    let net = Net::new();
    let (alice, mut bob, carol) =
        (net.node("alice", 10).await, net.node("bob", 11).await, net.node("carol", 12).await);
    alice.share(&[alice.first("a")]).await;
    alice.sync(&bob).await;
    net.pass(1000);
    let ended = Revoked { node: alice.key.public(), serial: 1, since: net.now() };
    let mut list = List { members: Vec::new(), revoked: vec![ended] };
    list.give(&net, &bob).await;
    assert_eq!(bob.names().await, ["alice/a 1"]);
    assert_eq!(super::catalogues::pages(&bob).await, 0, "its pages went");
    bob.reopen().await;
    net.pass(1000);
    alice.share_alone(&[alice.first("b")]).await;
    let head = alice.head().await.expect("it goes on all the same");
    bob.sync(&carol).await;
    for (node, names) in [(&bob, vec!["alice/a 1"]), (&carol, vec![])] {
        let link = Link::new(&node.replica, &alice.replica);
        let taken = node.replica.take_news(&link, heads(vec![head.clone()])).await.expect("goes on");
        assert!(taken.is_empty());
        assert_eq!(node.names().await, names);
        assert_eq!(node.refused(Refusal::Revoked), 1);
    }
    let again = Node::new(net.identity_of("alice", b'a', 10, 2)).await;
    again.share_alone(&[again.first("c")]).await;
    again.sync(&carol).await;
    assert_eq!(carol.names().await, ["alice/c 1"], "it has logged in again");
}

#[tokio::test]
async fn each_member_without_a_catalogue_is_found_though_none_of_the_first_ever_has_one() {
    const AT_ONCE: usize = 16;
    let net = Net::new();
    let (alice, bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
    alice.share(&[alice.first("a")]).await;
    alice.sync(&bob).await;
    let mut list = large(&net, 0);
    let absent: Vec<_> = list.members.iter().map(|member| member.node).collect();
    list.members.extend([&alice, &bob].map(|one| MemberEntry {
        node: one.key.public(),
        account: one.account,
        user: one.user.clone(),
        serial: 1,
    }));
    list.give(&net, &bob).await;
    // Each is looked for once, as if its time came again only after all others'.
    let mut sought = std::collections::HashSet::new();
    loop {
        let asked = sought.len();
        let is_wanted = |node: &certs::NodeId| sought.insert(*node);
        let found = bob.replica.members_without_catalogue(AT_ONCE, is_wanted).await.expect("read");
        assert_eq!(found.len(), AT_ONCE.min(absent.len() - asked));
        assert_eq!(sought.len(), asked + found.len(), "who had no room is not asked about");
        if found.is_empty() {
            break;
        }
    }
    assert_eq!(sought, absent.into_iter().collect(), "neither bob himself nor whose catalogue he has");
}

#[tokio::test]
async fn a_list_of_a_later_index_counts_though_its_sequence_begins_anew() {
    let net = Net::new();
    let (alice, bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
    net.pass(60_000);
    large(&net, 400).give(&net, &alice).await;
    net.time.fetch_sub(30_000, Ordering::Relaxed);
    let index = SecretKey::from_seed([3; 32]);
    let certificate = IndexCertificate::issue(&net.root, index.public(), 2, NOW);
    let moved = Net { index, certificate, ..net.clone() };
    let mut list = large(&moved, 300);
    list.give(&moved, &alice).await;
    assert_eq!(alice.replica.index_seen(), net.now());
    let link = Link::new(&bob.replica, &alice.replica);
    bob.replica.sync(&link).await.expect("synced");
    assert_eq!(bob.replica.index_seen(), net.now(), "with all of its pages");
    assert_eq!(bob.replica.revoked(&list.revoked[17].node, 4), Some(net.now()));
    net.pass(1000);
    large(&moved, 100).give(&moved, &alice).await;
    bob.replica.sync(&link).await.expect("synced");
    assert_eq!(bob.replica.index_seen(), net.now());
}
