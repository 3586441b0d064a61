//! Members and strangers who lie: what they send changes nothing, is counted, and ends the exchange where it is a lie.

use std::collections::HashMap;

use wire::catalogue::{
    CatalogueHead, CataloguePage, CatalogueRecord, RecordsLeaf, Tree, TreeBuilder, build_held, build_records,
};
use wire::message::{Have, Known, StatedPage, StatementsDigest};
use wire::{Digest, TreeHash};

use super::super::SyncError;
use super::*;

/// One who answers what it likes.
#[derive(Clone, Default)]
struct Liar {
    pages: HashMap<TreeHash, Vec<u8>>,
    heads: Vec<HeadBundle>,
    /// More is always to come.
    endless: bool,
    asked: Arc<AtomicU64>,
}

impl StatementsPeer for Liar {
    async fn ask(&self, request: Statements) -> Result<Stated, CallError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let page = |hash: &TreeHash| StatedPage(self.pages.get(hash).cloned().map(ByteBuf::from));
        let digest = StatementsDigest { known: Digest::from_bytes([7; 32]), members: None, index: None };
        Ok(match request {
            Statements { pages: Some(hashes), .. } => {
                Stated { pages: hashes.iter().map(page).collect(), ..Stated::default() }
            }
            Statements { have: Some(_), .. } => {
                Stated { news: Some(heads(self.heads.clone())), more: self.endless, ..Stated::default() }
            }
            _ => Stated { digest: Some(digest), ..Stated::default() },
        })
    }
}

impl Liar {
    fn page(&mut self, page: &CataloguePage) -> TreeHash {
        let bytes = page.encode();
        let hash = TreeHash::of(&bytes);
        self.pages.insert(hash, bytes);
        hash
    }

    /// Has a catalogue of these records, in this order, under a head of this node.
    fn catalogue(&mut self, by: &Identity, seq: u64, records: &[RecordBundle]) -> HeadBundle {
        let named = records.iter().map(|bundle| {
            let name = Signed::<Record>::parse(&bundle.record).expect("a record").name.as_str().to_owned();
            (name, bundle)
        });
        let named: Vec<_> = named.collect();
        let mut builder = TreeBuilder::new();
        let items = named.iter().map(|(name, bundle)| {
            let record = CatalogueRecord { record: bundle.record.clone(), receipt: bundle.receipt.clone() };
            (name.as_str(), record, bundle.certificate.as_ref().map(|bytes| &bytes[..]))
        });
        build_records(&mut builder, items);
        let (root, pages) = builder.finish();
        self.pages.extend(pages);
        let head = head_of(by, seq, root, records.len() as u64);
        self.offer(by, &head)
    }

    fn offer(&mut self, by: &Identity, head: &Signed<CatalogueHead>) -> HeadBundle {
        let bundle = HeadBundle::new(head, &by.enrolment);
        self.heads = vec![bundle.clone()];
        bundle
    }
}

fn head_of(by: &Identity, seq: u64, root: Option<TreeHash>, count: u64) -> Signed<CatalogueHead> {
    let (network, now) = (by.net.root.public(), by.net.now());
    CatalogueHead::issue(&by.key, network, seq, now, Tree { root, count }, Tree::default())
}

/// A node that has something of alice's, and is lied to.
struct Victim {
    net: Net,
    bob: Node,
    before: Vec<Entry>,
    pages: i64,
}

impl Victim {
    async fn new() -> Self {
        let net = Net::new();
        let (alice, bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
        alice.share(&[alice.first("a"), alice.first("b")]).await;
        alice.sync(&bob).await;
        let (before, pages) = (bob.entries().await, super::catalogues::pages(&bob).await);
        Self { net, bob, before, pages }
    }

    /// Exchanges with a liar: the exchange ends for this reason, and nothing has changed.
    async fn meets(&self, liar: &Liar, refusal: Refusal) {
        let counted = self.bob.refused(refusal);
        let ended = self.bob.replica.sync(liar).await;
        match ended {
            Err(SyncError::Lied(refused)) => assert_eq!(refused.refusal, refusal, "{refused}"),
            other => panic!("{refusal}: {other:?}"),
        }
        assert_eq!(self.bob.refused(refusal), counted + 1, "{refusal}");
        self.is_as_before(&refusal.to_string()).await;
    }

    /// The same, of what need be nobody's fault: the exchange goes on.
    async fn ignores(&self, liar: &Liar, refusal: Refusal) {
        let counted = self.bob.refused(refusal);
        let synced = self.bob.replica.sync(liar).await.expect("goes on");
        assert_eq!((synced.catalogues, synced.news), (0, News::default()));
        assert_eq!(self.bob.refused(refusal), counted + 1, "{refusal}: {:?}", self.bob.replica.counters());
        self.is_as_before(&refusal.to_string()).await;
    }

    async fn is_as_before(&self, what: &str) {
        assert_eq!(self.bob.entries().await, self.before, "{what}");
        assert_eq!(super::catalogues::pages(&self.bob).await, self.pages, "{what}");
    }
}

#[tokio::test]
async fn heads_that_are_not_their_nodes() {
    let victim = Victim::new().await;
    let mallory = victim.net.identity("mallory", 20);
    let mut liar = Liar::default();
    let bundle = liar.catalogue(&mallory, 1, &[accepted(&victim.net, &mallory.first("m"))]);
    let mut forged = bundle.clone();
    let last = forged.head.len() - 1;
    forged.head[last] ^= 1;
    liar.heads = vec![forged];
    victim.meets(&liar, Refusal::Forged).await;
    let other = victim.net.identity("other", 21);
    liar.heads = vec![HeadBundle { enrolment: other.enrolment.to_bytes().into(), ..bundle }];
    victim.meets(&liar, Refusal::Forged).await;
    let stranger = Net { root: SecretKey::from_seed([77; 32]), ..victim.net.clone() };
    let certificate = IndexCertificate::issue(&stranger.root, stranger.index.public(), 1, NOW);
    let stranger = Net { certificate, ..stranger }.identity("stranger", 22);
    liar.catalogue(&stranger, 1, &[]);
    victim.meets(&liar, Refusal::Forged).await;
    let self_made = Net { index: stranger.key.clone(), ..victim.net.clone() }.identity("self", 22);
    liar.catalogue(&self_made, 1, &[]);
    victim.meets(&liar, Refusal::Forged).await;
}

#[tokio::test]
async fn pages_that_are_not_those_asked_for() {
    let victim = Victim::new().await;
    let mallory = victim.net.identity("mallory", 20);
    let mut liar = Liar::default();
    liar.catalogue(&mallory, 1, &[accepted(&victim.net, &mallory.first("m"))]);
    let good = liar.clone();
    for page in liar.pages.values_mut() {
        page.push(0);
    }
    victim.meets(&liar, Refusal::WrongPage).await;
    let synced = victim.bob.replica.sync(&good).await.expect("another who has them");
    assert_eq!(synced.catalogues, 1);
}

#[tokio::test]
async fn trees_that_are_not_what_their_head_says() {
    let victim = Victim::new().await;
    let mallory = victim.net.identity("mallory", 20);
    let record = |text: &str| accepted(&victim.net, &mallory.first(text));
    let mut liar = Liar::default();
    let all = [record("a"), record("b"), record("c")];
    liar.catalogue(&mallory, 1, &all);
    let root = Signed::<CatalogueHead>::parse(&liar.heads[0].head).expect("a head").records;
    for (seq, count) in [(2, 2), (3, 4), (4, 200_000)] {
        liar.offer(&mallory, &head_of(&mallory, seq, root, count));
        victim.meets(&liar, Refusal::BadTree).await;
    }
    liar.catalogue(&mallory, 5, &[record("b"), record("a")]);
    victim.meets(&liar, Refusal::BadTree).await;
    // In order each, and not together.
    let mut leaf = |texts: &[&str]| {
        let records = texts.iter().map(|text| {
            let bundle = record(text);
            CatalogueRecord { record: bundle.record, receipt: bundle.receipt }
        });
        let certificates = vec![ByteBuf::from(victim.net.certificate.bytes())];
        let leaf = RecordsLeaf { certificates, records: records.collect() };
        liar.page(&CataloguePage::Records(leaf))
    };
    let (low, high, overlap) = (leaf(&["a", "b"]), leaf(&["c", "d"]), leaf(&["b", "e"]));
    let pages = |hashes: Vec<TreeHash>| {
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
        let page = wire::cbor::encode(&HashMap::from([("pages", ByteBuf::from(bytes))]));
        CataloguePage::decode(&page).expect("a page")
    };
    for (seq, children, count) in
        [(6, vec![high, low], 4), (7, vec![low, overlap], 4), (8, vec![low, low], 4)]
    {
        let root = liar.page(&pages(children));
        liar.offer(&mallory, &head_of(&mallory, seq, Some(root), count));
        victim.meets(&liar, Refusal::BadTree).await;
    }
    // Contents in the place of records, and a page that is none.
    let mut builder = TreeBuilder::new();
    build_held(&mut builder, [content("x")]);
    let (root, held) = builder.finish();
    liar.pages.extend(held);
    liar.offer(&mallory, &head_of(&mallory, 9, root, 1));
    victim.meets(&liar, Refusal::BadTree).await;
    let nonsense = TreeHash::of(b"nonsense");
    liar.pages.insert(nonsense, b"nonsense".to_vec());
    liar.offer(&mallory, &head_of(&mallory, 10, Some(nonsense), 1));
    victim.meets(&liar, Refusal::BadTree).await;
}

#[tokio::test]
async fn records_of_others_and_records_that_do_not_hold() {
    let victim = Victim::new().await;
    let net = &victim.net;
    let (mallory, carol) = (net.identity("mallory", 20), net.identity("carol", 21));
    let mut liar = Liar::default();
    let good = accepted(net, &mallory.first("a"));
    liar.catalogue(&mallory, 1, &[good.clone(), accepted(net, &carol.first("b"))]);
    victim.meets(&liar, Refusal::ForeignRecord).await;
    // Under its own key, in another's name.
    let posing = Identity { user: carol.user.clone(), account: carol.account, ..mallory.clone() };
    liar.catalogue(&mallory, 2, &[good.clone(), accepted(net, &posing.first("b"))]);
    victim.meets(&liar, Refusal::ForeignRecord).await;
    let mut broken = accepted(net, &mallory.first("b"));
    let last = broken.record.len() - 1;
    let spoilt = |bundle: &RecordBundle| {
        let mut record = bundle.record.clone();
        record[last] ^= 1;
        CatalogueRecord { record, receipt: bundle.receipt.clone() }
    };
    let certificates = vec![ByteBuf::from(net.certificate.bytes())];
    let leaf = RecordsLeaf { certificates, records: vec![spoilt(&broken)] };
    let root = liar.page(&CataloguePage::Records(leaf));
    liar.offer(&mallory, &head_of(&mallory, 3, Some(root), 1));
    victim.meets(&liar, Refusal::BadRecord).await;
    let another = mallory.first("c");
    broken.receipt = Some(net.receipt(&another).into());
    liar.catalogue(&mallory, 4, &[good.clone(), broken.clone()]);
    victim.meets(&liar, Refusal::BadReceipt).await;
    let own_index = Net { index: mallory.key.clone(), ..net.clone() };
    broken.receipt = Some(own_index.receipt(&mallory.first("b")).into());
    liar.catalogue(&mallory, 5, &[good, broken]);
    victim.meets(&liar, Refusal::BadReceipt).await;
}

#[tokio::test]
async fn a_leaf_of_another_node_is_no_part_of_ones_own_catalogue() {
    let victim = Victim::new().await;
    let mallory = victim.net.identity("mallory", 20);
    let mut liar = Liar::default();
    let alice = victim.net.identity("alice", 10).key.public();
    let registry = &victim.bob.replica.inner.registry;
    let row = crate::registry::lock(&victim.bob.replica.inner.known).node(&alice).expect("known").row;
    let root = registry.roots(row).await.expect("read").records;
    liar.offer(&mallory, &head_of(&mallory, 1, root, 2));
    victim.meets(&liar, Refusal::ForeignRecord).await;
}

#[tokio::test]
async fn of_two_heads_of_one_sequence_the_lower_hash_counts_whoever_comes_first() {
    let net = Net::new();
    let mallory = net.identity("mallory", 20);
    let mut heads: Vec<(Digest, Liar, &str)> = ["one", "two"]
        .map(|text| {
            let mut liar = Liar::default();
            let bundle = liar.catalogue(&mallory, 7, &[accepted(&net, &mallory.first(text))]);
            let hash = Digest::from_bytes(certs::hash_of(&bundle.head));
            (hash, liar, text)
        })
        .into();
    heads.sort_by_key(|(hash, ..)| *hash);
    let [low, high] = [&heads[0], &heads[1]];
    for order in [[low, high], [high, low]] {
        let bob = net.node("bob", 11).await;
        for (_, liar, _) in order {
            bob.replica.sync(liar).await.expect("goes on");
        }
        let known = bob.replica.inner.known.lock().expect("whole").node(&mallory.key.public()).cloned();
        assert_eq!(known.expect("known").head.expect("a head").hash, low.0);
        assert_eq!(bob.refused(Refusal::Equivocation), 1);
        assert!(bob.names().await.contains(&format!("mallory/{} 1", low.2)));
    }
}

#[tokio::test]
async fn memberships_that_are_over_or_ended() {
    let victim = Victim::new().await;
    let net = &victim.net;
    let (expired, revoked) = (net.identity("expired", 20), net.identity("revoked", 21));
    let mut list = super::members::List::default();
    net.pass(1000);
    list.revoked.push(wire::catalogue::Revoked { node: revoked.key.public(), serial: 1, since: net.now() });
    let mut liar = Liar::default();
    net.pass(1000);
    liar.catalogue(&revoked, 1, &[accepted(net, &revoked.first("r"))]);
    list.give(net, &victim.bob).await;
    victim.ignores(&liar, Refusal::Revoked).await;
    net.pass(certs::MEMBERSHIP_VALIDITY_MS);
    liar.catalogue(&expired, 1, &[bare(&expired.first("e"))]);
    // The index has spoken since.
    list.give(net, &victim.bob).await;
    victim.ignores(&liar, Refusal::Membership).await;
}

#[tokio::test]
async fn heads_that_are_over_or_from_the_future() {
    let victim = Victim::new().await;
    let net = &victim.net;
    let mallory = net.identity("mallory", 20);
    let mut liar = Liar::default();
    net.pass(86_400_000);
    liar.catalogue(&mallory, 1, &[bare(&mallory.first("m"))]);
    net.time.fetch_sub(86_400_000, Ordering::Relaxed);
    victim.ignores(&liar, Refusal::Untimely).await;
}

#[tokio::test]
async fn a_user_name_that_is_anothers() {
    let victim = Victim::new().await;
    let thief = victim.net.identity_of("alice", 99, 20, 1);
    let mut liar = Liar::default();
    liar.catalogue(&thief, 1, &[accepted(&victim.net, &thief.first("a"))]);
    victim.ignores(&liar, Refusal::NameTaken).await;
}

#[tokio::test]
async fn more_than_a_replica_takes_of_one_node() {
    let net = Net::new();
    let limits = ReplicaLimits { node_bytes: 300_000, nodes: 3, ..ReplicaLimits::default() };
    let bob = Node::with_limits(net.identity("bob", 11), limits).await;
    let mallory = net.identity("mallory", 20);
    let records: Vec<_> = (0..1000).map(|at| accepted(&net, &mallory.first(&format!("{at:06}")))).collect();
    let mut liar = Liar::default();
    for seq in 1..4 {
        liar.catalogue(&mallory, seq, &records);
        let asked = liar.asked.load(Ordering::Relaxed);
        bob.replica.sync(&liar).await.expect("goes on");
        let asked = liar.asked.load(Ordering::Relaxed) - asked;
        // The digest, what is known, and pages until it is too much; later heads of the same node are not looked into.
        assert!(asked <= if seq == 1 { 5 } else { 2 }, "{asked} questions");
        assert_eq!(bob.refused(Refusal::TooMuch), seq);
        assert_eq!(super::catalogues::pages(&bob).await, 0, "nothing of it stays");
    }
    assert_eq!(bob.names().await, [""; 0]);
    let others: Vec<_> = (30..35).map(|seed| net.identity(&format!("user{seed}"), seed)).collect();
    for other in &others {
        liar.catalogue(other, 1, &[bare(&other.first("x"))]);
        bob.replica.sync(&liar).await.expect("goes on");
    }
    assert_eq!(bob.replica.known_nodes().len(), 3, "bob, mallory and one more");
    assert_eq!(bob.refused(Refusal::TooMuch), 3 + 4);
}

#[tokio::test]
async fn answers_that_are_none_or_have_no_end() {
    let victim = Victim::new().await;
    let mallory = victim.net.identity("mallory", 20);
    let mut liar = Liar { endless: true, ..Liar::default() };
    victim.meets(&liar, Refusal::BadAnswer).await;
    liar.catalogue(&mallory, 1, &[]);
    let ended = victim.bob.replica.sync(&liar).await;
    assert!(matches!(ended, Err(SyncError::Lied(_))), "the same again and again: {ended:?}");
    assert!(liar.asked.load(Ordering::Relaxed) < 10);
    let link = Link::new(&victim.bob.replica, &victim.bob.replica)
        .tampering(|stated| Stated { digest: None, ..stated });
    assert!(matches!(victim.bob.replica.sync(&link).await, Err(SyncError::Lied(_))));
    let have = |nodes: [u8; 2]| {
        let known = nodes.map(|seed| Known {
            node: SecretKey::from_seed([seed; 32]).public(),
            seq: 1,
            head: Some(Digest::from_bytes([1; 32])),
            presence: UnixMillis(0),
        });
        let mut known = Vec::from(known);
        known.sort_by_key(|known| std::cmp::Reverse(known.node));
        Statements { have: Some(Have { after: None, up_to: None, known }), ..Statements::default() }
    };
    assert!(victim.bob.replica.answer(have([50, 51])).await.is_err(), "not in order");
    assert!(victim.bob.replica.answer(have([50, 50])).await.is_err(), "twice");
}
