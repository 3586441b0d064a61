//! Members and strangers who tell lies while the index is away: nobody's answers change, what they cost is bounded, and
//! `status` shows what was refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use certs::keystore::load_key;
use certs::{Enrolment, MEMBERSHIP_VALIDITY_MS, Membership, NodeId, Signed, UnixMillis};
use index::CallError;
use p2p_node::control::api::{DhtMode, DhtStatus, FallbackStatus, GetRequest, Resource, Source};
use p2p_node_tests::hostile::{
    Gossip, KadPeer, Member, Stranger, ask, bundle, frame_of, head_in, head_of, raw, tell_as_stranger,
    word_of,
};
use p2p_node_tests::node::get_request;
use p2p_node_tests::{Cluster, PATIENCE, TestNode, clock, fixtures, wait_until};
use wire::catalogue::{CatalogueHead, HeadBundle};
use wire::kad::{KadValue, catalogue_key, members_key, presence_key, provider_key};
use wire::message::{Empty, Hello, News, Request, Statements};
use wire::{ContentHash, ErrorCode, MembersBundle, MembersHead, Presence, PresenceBundle, limits};

use super::hostile::{closed_with, refused_with};

/// What a node answers.
#[derive(Debug, PartialEq)]
struct Answers {
    list: Vec<Resource>,
    search: Vec<String>,
}

/// Three honest nodes without their index, and those who are not.
struct Besieged {
    cluster: Cluster,
    /// Alice shares a film, which Bob has too, and Carol a text.
    honest: Vec<TestNode>,
    before: Vec<Answers>,
    /// A member.
    mallory: Member,
    /// One whose membership has ended by time.
    expired: (Stranger, Enrolment),
    /// One who has logged out.
    revoked: Member,
    /// Alice's catalogue as it was, and as it is.
    old: HeadBundle,
    head: HeadBundle,
}

impl Besieged {
    async fn start() -> Self {
        let mut cluster = Cluster::start_with_fallback().await;
        let [alice, bob, carol] =
            [cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await];
        let sign_up = async |user: &str| {
            let stranger = Stranger::new(cluster.ip());
            Member::sign_up_at(stranger, cluster.index.address(), cluster.index.network(), user).await
        };
        let (mallory, revoked) = (sign_up("mallory").await, sign_up("gone").await);
        ask::<Empty>(revoked.index(), &Request::Logout(Empty {})).await.expect("over");
        let expired = expired_member(&cluster);
        carol.share(&fixtures::file(&cluster.path("text.txt"), 2, 1000)).await.expect("shared");
        let first = fixtures::file(&cluster.path("first.txt"), 3, 1000);
        alice.share(&first).await.expect("shared");
        let honest = vec![alice, bob, carol];
        wait_for_copies(&honest, 2).await;
        let old = alices_head(&mallory, &honest).await;
        honest[0].share(&fixtures::file(&cluster.path("film.mkv"), 1, 300_000)).await.expect("shared");
        honest[1].get("alice", "film.mkv").await.expect("got");
        wait_for_copies(&honest, 3).await;
        let head = wait_until(PATIENCE, "Alice's new head is known", async || {
            let head = alices_head(&mallory, &honest).await;
            if head == old { Err("the old one") } else { Ok(head) }
        })
        .await;
        honest[0].wait_for_holders("alice", "film.mkv", 2).await;
        wait_for_servers(&honest).await;
        wait_until(PATIENCE, "all know whose membership was ended", async || {
            for node in &honest {
                if let Ok(connection) = revoked.try_connect(node.address()).await {
                    return Err(connection.remote_address());
                }
            }
            Ok(())
        })
        .await;
        cluster.stop_index().await;
        wait_until(PATIENCE, "all go on without the index", async || {
            for node in &honest {
                let _ = node.list().await;
                let status = node.status().await;
                if status.source == Source::Index {
                    return Err(status);
                }
            }
            Ok(())
        })
        .await;
        honest[2].wait_for_holders("alice", "film.mkv", 2).await;
        let mut besieged = Self { cluster, honest, before: Vec::new(), mallory, expired, revoked, old, head };
        besieged.before = besieged.answers().await;
        assert_eq!(besieged.before[1].list.len(), 3, "{:?}", besieged.before);
        besieged
    }

    async fn answers(&self) -> Vec<Answers> {
        let mut answers = Vec::new();
        for node in &self.honest {
            let (list, search) =
                (node.list().await.expect("listed"), node.search("film").await.expect("found"));
            answers.push(Answers { list, search });
        }
        answers
    }

    /// Everybody answers what they did, and the film can be had.
    async fn is_as_before(&self, what: &str) {
        assert_eq!(self.answers().await, self.before, "{what}");
        let target = self.cluster.path(&format!("got after {what}"));
        let request = GetRequest {
            path: Some(target.clone().into()),
            once: true,
            share: false,
            parents: true,
            ..get_request("alice", "film.mkv")
        };
        let got = self.honest[2].get_with(request).await.expect("got");
        assert!(got.sources.iter().all(|one| one.node != self.mallory.id()), "{what}: {got:?}");
        assert_eq!(fixtures::read(&target), fixtures::bytes(1, 300_000), "{what}");
    }

    fn mallorys_head(&self, seq: u64, time: UnixMillis) -> HeadBundle {
        head_of(self.mallory.stranger(), self.mallory.enrolment(), (seq, time), (None, 0))
    }

    fn expired_head(&self) -> HeadBundle {
        head_of(&self.expired.0, &self.expired.1, (1, clock::wall_millis()), (None, 0))
    }

    fn revoked_head(&self) -> HeadBundle {
        head_of(self.revoked.stranger(), self.revoked.enrolment(), (1, clock::wall_millis()), (None, 0))
    }

    /// Alice's head, which she did not sign like this.
    fn forged_head(&self) -> HeadBundle {
        let mut forged = self.head.clone();
        *forged.head.last_mut().expect("bytes") ^= 1;
        forged
    }

    /// Alice's head, made of Mallory's.
    fn posing_head(&self) -> HeadBundle {
        let own = self.mallorys_head(1 << 52, clock::wall_millis());
        HeadBundle { enrolment: self.head.enrolment.clone(), ..own }
    }

    /// Tells every honest node; each refuses it, and counts that under a kind.
    async fn all_refuse(&self, what: &str, gossip: &Gossip, news: &News, kind: &str) {
        for node in &self.honest {
            let before = count(&fallback(node).await.refused, kind);
            let telling = gossip.connect(&self.mallory, node.address()).await.expect("let in");
            telling.tell(news.clone()).await.expect("it is looked at behind the answer");
            wait_for_count(node, &format!("{what}: {kind}"), before, async || {
                count(&fallback(node).await.refused, kind)
            })
            .await;
        }
        self.is_as_before(what).await;
    }
}

/// A membership that ended a month ago, as the index would have given it.
fn expired_member(cluster: &Cluster) -> (Stranger, Enrolment) {
    let key = load_key(&cluster.index.home().join("identity.key")).expect("the index's key");
    let certificate = std::fs::read(cluster.index.home().join("index.cert")).expect("its certificate");
    let certificate = Signed::parse(&certificate).expect("its certificate");
    let stranger = Stranger::new(cluster.ip());
    let long_ago = clock::wall_millis().minus(2 * MEMBERSHIP_VALIDITY_MS);
    let (account, user) = (certs::AccountId::from_bytes([7; 16]), "expired".parse().expect("a name"));
    let membership = Membership::issue(&key, &certificate, account, user, stranger.id(), 1, long_ago);
    (stranger, Enrolment { certificate, membership })
}

async fn fallback(node: &TestNode) -> FallbackStatus {
    node.status().await.fallback.expect("it has a copy")
}

async fn dht(node: &TestNode) -> DhtStatus {
    fallback(node).await.dht.expect("it takes part")
}

fn count(refused: &BTreeMap<String, u64>, kind: &str) -> u64 {
    refused.get(kind).copied().unwrap_or(0)
}

async fn wait_for_count(node: &TestNode, what: &str, before: u64, mut counted: impl AsyncFnMut() -> u64) {
    let what = format!("{} counts {what}", node.home().display());
    let grown = async || match counted().await {
        count if count > before => Ok(()),
        count => Err(count),
    };
    wait_until(PATIENCE, &what, grown).await;
}

async fn wait_for_copies(honest: &[TestNode], entries: u64) {
    wait_until(PATIENCE, "the copies are full", async || {
        for node in honest {
            let status = fallback(node).await;
            if (status.catalogues, status.entries) != (3, entries) {
                return Err(status);
            }
        }
        Ok(())
    })
    .await;
}

async fn wait_for_servers(honest: &[TestNode]) {
    wait_until(PATIENCE, "all take part in Kademlia", async || {
        for node in honest {
            let status = fallback(node).await;
            if status.dht.as_ref().is_none_or(|dht| dht.mode == DhtMode::Client || dht.peers < 2) {
                return Err(status);
            }
        }
        Ok(())
    })
    .await;
}

/// What Bob knows of Alice, as any member may ask.
async fn alices_head(mallory: &Member, honest: &[TestNode]) -> HeadBundle {
    let telling = Gossip::default().connect(mallory, honest[1].address()).await.expect("let in");
    let news = telling.all_news().await.expect("told");
    head_in(&news, honest[0].id()).expect("Alice's head")
}

fn heads(heads: &[&HeadBundle]) -> News {
    News { heads: heads.iter().map(|head| (*head).clone()).collect(), ..News::default() }
}

fn words(presence: PresenceBundle) -> News {
    News { presence: vec![presence], ..News::default() }
}

/// A list of members by somebody who is not the index.
fn forged_members(by: &Stranger, enrolment: &Enrolment) -> MembersBundle {
    let certificate = &enrolment.certificate;
    let head = MembersHead {
        format: 0,
        network: certificate.network,
        issuer: certs::IssuerHash::from_bytes(*certificate.hash()),
        seq: 1 << 52,
        time: clock::wall_millis(),
        members: None,
        member_count: 0,
        revoked: None,
        revoked_count: 0,
    };
    let head = Signed::sign(by.key(), head).bytes().to_vec().into();
    MembersBundle { head, certificate: certificate.bytes().to_vec().into() }
}

/// The bytes of all databases in a home.
fn database_bytes(home: &Path) -> u64 {
    let files = std::fs::read_dir(home).expect("a home").map(|entry| entry.expect("an entry"));
    let databases = files.filter(|entry| entry.file_name().to_string_lossy().contains(".db"));
    databases.map(|entry| entry.metadata().expect("a file").len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_member_tells_changes_nobodys_answers() {
    let besieged = Besieged::start().await;
    let (mallory, gossip, now) = (&besieged.mallory, Gossip::default(), clock::wall_millis());
    let sizes: Vec<_> = besieged.honest.iter().map(|node| database_bytes(node.home())).collect();
    let refuse = async |what: &str, news: News, kind: &str| {
        besieged.all_refuse(what, &gossip, &news, kind).await;
    };
    refuse("a forged head", heads(&[&besieged.forged_head()]), "forged").await;
    refuse("a wrong key", heads(&[&besieged.posing_head()]), "forged").await;
    let head = Signed::<CatalogueHead>::parse(&besieged.head.head).expect("a head");
    refuse("another's head", heads(&[&bundle(&head, mallory.enrolment())]), "forged").await;
    refuse("an old sequence", heads(&[&besieged.old]), "old-sequence").await;
    refuse("an ended membership", heads(&[&besieged.expired_head()]), "membership").await;
    refuse("a revoked membership", heads(&[&besieged.revoked_head()]), "revoked").await;
    let members = Some(forged_members(mallory.stranger(), mallory.enrolment()));
    refuse("a list of members", News { members, ..News::default() }, "forged").await;
    let later = besieged.mallorys_head(1, now.plus(86_400_000));
    refuse("a head from the future", heads(&[&later]), "untimely").await;

    let large = HeadBundle { head: vec![0; 900 << 10].into(), ..besieged.head.clone() };
    refuse("a head of 900 KiB", heads(&[&large]), "forged").await;
    let page = gossip.page(vec![0; 900 << 10]);
    let of = |seq, records| head_of(mallory.stranger(), mallory.enrolment(), (seq, now), records);
    refuse("a page of 900 KiB", heads(&[&of(2, (Some(page), 1))]), "bad-tree").await;
    let path = fixtures::file(&besieged.cluster.path("own.txt"), 9, 10);
    let record = mallory.sign(mallory.record("own.txt", &p2p_node_tests::hostile::manifest_of(&path)));
    let root = gossip.records(&[record]);
    refuse("100,000 records of which there is one", heads(&[&of(3, (root, 100_000))]), "bad-tree").await;

    // Two heads of one sequence are Mallory's own doing: both hold, and all keep the same one.
    let two = [besieged.mallorys_head(9, now), besieged.mallorys_head(9, now.plus(1))];
    refuse("two heads of one sequence", heads(&[&two[0], &two[1], &two[0]]), "equivocation").await;
    let lower = two.iter().min_by_key(|head| certs::hash_of(&head.head)).expect("two");
    for node in &besieged.honest {
        let telling = gossip.connect(mallory, node.address()).await.expect("let in");
        wait_until(PATIENCE, "the one with the lower hash is kept", async || {
            let kept = head_in(&telling.all_news().await.expect("told"), mallory.id());
            if kept.as_ref() == Some(lower) { Ok(()) } else { Err(kept) }
        })
        .await;
    }
    for (node, before) in besieged.honest.iter().zip(sizes) {
        let grown = database_bytes(node.home()).saturating_sub(before);
        assert!(grown < 8 << 20, "{grown} bytes more at {}", node.home().display());
        assert_eq!(fallback(node).await.entries, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lying_addresses_lead_nobody_astray() {
    let besieged = Besieged::start().await;
    let (mallory, gossip) = (&besieged.mallory, Gossip::default());
    let [alice, bob, carol] = &besieged.honest[..] else { unreachable!("three") };
    // Mallory is where Bob is, and where nobody is; and has the film.
    let nowhere: SocketAddr = ([192, 0, 2, 1], 9).into();
    let word = word_of(mallory.stranger(), mallory.enrolment(), &[bob.address(), nowhere]);
    for node in [alice, carol] {
        let telling = gossip.connect(mallory, node.address()).await.expect("let in");
        telling.tell(words(word.clone())).await.expect("taken");
    }
    let key = provider_key(&carol.network(), &ContentHash::of(&fixtures::bytes(1, 300_000)));
    for node in [alice, bob, carol] {
        let before = dht(node).await.providers;
        let kad = KadPeer::connect(mallory, node.address()).await.expect("let in");
        kad.provide(key.as_bytes(), mallory.id(), &[bob.address(), nowhere]).await;
        // In another's name it is nobody's.
        kad.provide(key.as_bytes(), alice.id(), &[nowhere]).await;
        wait_until(PATIENCE, "Mallory provides the film", async || match dht(node).await {
            status if status.providers > before => Ok(()),
            status => Err(status),
        })
        .await;
    }
    besieged.is_as_before("lying addresses").await;
    // Nobody else says for Alice where she is.
    let news = gossip.connect(mallory, bob.address()).await.expect("let in").all_news().await.expect("told");
    let is_alices = |word: &PresenceBundle| {
        Signed::<Presence>::parse(&word.presence).is_ok_and(|word| word.node == alice.id())
    };
    let mut posing = news.presence.into_iter().find(is_alices).expect("Alice's word");
    *posing.presence.last_mut().expect("bytes") ^= 1;
    besieged.all_refuse("Alice's place", &gossip, &words(posing), "forged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_member_tells_nothing() {
    let besieged = Besieged::start().await;
    let stranger = Stranger::new(besieged.cluster.ip());
    let (expired, membership) = &besieged.expired;
    let network = besieged.honest[0].network();
    let hello = |enrolment: &Enrolment, by: &Stranger| Hello {
        enrolment: Some(enrolment.to_bytes().into()),
        ..by.hello(network)
    };
    let mut values = Vec::new();
    for node in &besieged.honest {
        let address = node.address();
        let silent = stranger.dial(address).await;
        let told = tell_as_stranger(&silent, heads(&[&besieged.forged_head()])).await;
        assert_eq!(refused_with(told), ErrorCode::BadMessage, "no hello");
        assert_eq!(closed_with(&silent).await, ErrorCode::BadMessage);
        let stolen = besieged.mallory.enrolment();
        for (by, hello) in [
            (&stranger, stranger.hello(network)),
            (&stranger, hello(stolen, &stranger)),
            (expired, hello(membership, expired)),
            (besieged.revoked.stranger(), besieged.revoked.hello()),
        ] {
            let connection = by.dial(address).await;
            let said = ask::<Hello>(&connection, &Request::Hello(hello.clone())).await;
            assert_eq!(refused_with(said), ErrorCode::NotMember);
            let kad = KadPeer::greet(by, address, hello).await;
            let Err(CallError::Refused(body)) = kad else { panic!("let in: {kad:?}") };
            assert_eq!(body.code, ErrorCode::NotMember);
        }
        let kad = KadPeer::unannounced(&stranger, address).await.expect("a handshake");
        let key = catalogue_key(&network, &besieged.honest[0].id());
        let value = KadValue::Catalogue(besieged.head.clone()).encode();
        kad.put(key.as_bytes(), &value).await;
        assert_eq!(closed_with(kad.connection()).await, ErrorCode::TooLarge);
        values.push(dht(node).await.refused);
    }
    let met = |refused: &BTreeMap<_, _>| {
        ["not valid", "not a member", "unknown node"].iter().any(|kind| refused.contains_key(*kind))
    };
    assert!(!values.iter().any(met), "Kademlia has met nobody: {values:?}");
    besieged.is_as_before("strangers").await;
}

/// What is put under whose key, and why it is refused.
fn values(besieged: &Besieged) -> Vec<(&'static str, wire::Digest, Vec<u8>, &'static str)> {
    let network = besieged.honest[0].network();
    let (alice, mallory, now) = (besieged.honest[0].id(), besieged.mallory.id(), clock::wall_millis());
    let at = |node: &NodeId| catalogue_key(&network, node);
    let value = |head: HeadBundle| KadValue::Catalogue(head).encode();
    let head = |seq, time| value(besieged.mallorys_head(seq, time));
    let members = forged_members(besieged.mallory.stranger(), besieged.mallory.enrolment());
    let word = word_of(besieged.mallory.stranger(), besieged.mallory.enrolment(), &[]);
    vec![
        ("a forged head", at(&alice), value(besieged.forged_head()), "not valid"),
        ("a wrong key", at(&alice), value(besieged.posing_head()), "not a member"),
        ("one's own under another's key", at(&alice), head(9, now), "under another key"),
        ("an old sequence", at(&alice), value(besieged.old.clone()), "lower than known"),
        ("an ended membership", at(&besieged.expired.0.id()), value(besieged.expired_head()), "not a member"),
        ("a revoked one", at(&besieged.revoked.id()), value(besieged.revoked_head()), "membership revoked"),
        ("a list of members", members_key(&network), KadValue::Members(members).encode(), "not valid"),
        (
            "another's presence",
            presence_key(&network, &alice),
            KadValue::Presence(word).encode(),
            "under another key",
        ),
        ("no value", at(&mallory), vec![0; limits::DHT_VALUE_BYTES], "no value of this network"),
        ("a value of 13 KiB", at(&mallory), vec![0; 13 << 10], "value too large"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_member_puts_into_kademlia_changes_nobodys_answers() {
    let besieged = Besieged::start().await;
    let (mallory, now) = (&besieged.mallory, clock::wall_millis());
    let own = catalogue_key(&besieged.honest[0].network(), &mallory.id());
    let alices = catalogue_key(&besieged.honest[0].network(), &besieged.honest[0].id());
    for node in &besieged.honest {
        let kad = KadPeer::connect(mallory, node.address()).await.expect("let in");
        let refuses = async |what: &str, key: &[u8], value: &[u8], reason: &str| {
            let before = count(&dht(node).await.refused, reason);
            kad.put(key, value).await;
            let counted = async || count(&dht(node).await.refused, reason);
            wait_for_count(node, &format!("{what}: {reason}"), before, counted).await;
        };
        // So that it has a later one, whoever is nearest to it.
        kad.put(alices.as_bytes(), &KadValue::Catalogue(besieged.head.clone()).encode()).await;
        for (what, key, value, reason) in values(&besieged) {
            refuses(what, key.as_bytes(), &value, reason).await;
        }
        let head = |seq, time| KadValue::Catalogue(besieged.mallorys_head(seq, time)).encode();
        let mut two = [head(9, now), head(9, now.plus(1))];
        two.sort_by_key(|value| *blake3::hash(value).as_bytes());
        kad.put(own.as_bytes(), &two[0]).await;
        refuses("two heads of one sequence", own.as_bytes(), &two[1], "conflict").await;
        refuses("an own old one", own.as_bytes(), &head(8, now), "lower than known").await;
        // One of 1 MiB is more than a message: its stream ends, and the connection goes on.
        kad.put(own.as_bytes(), &vec![0; 1 << 20]).await;
        assert!(!kad.find_node(own.as_bytes()).await.is_empty(), "it answers on");
    }
    besieged.is_as_before("values").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_records_takes_its_part_and_no_more() {
    let besieged = Besieged::start().await;
    let (bob, mallory) = (&besieged.honest[1], &besieged.mallory);
    let kad = KadPeer::connect(mallory, bob.address()).await.expect("let in");
    let own = KadValue::Catalogue(besieged.mallorys_head(9, clock::wall_millis())).encode();
    let before = dht(bob).await;
    let rate_of = async || count(&dht(bob).await.refused, "source sends too fast");
    for round in 0_u32.. {
        let keys: Vec<_> = (0..200).map(|n| wire::Digest::of(&(round * 200 + n).to_be_bytes())).collect();
        for key in &keys {
            kad.provide(key.as_bytes(), mallory.id(), &[]).await;
            kad.put(key.as_bytes(), &own).await;
        }
        if rate_of().await > 0 {
            break;
        }
        assert!(round < 50, "10,000 of each, and it is not too fast: {:?}", dht(bob).await);
    }
    let status = dht(bob).await;
    assert!(status.providers <= 1000, "{status:?}");
    assert!(status.values <= before.values + 1, "{status:?}");
    assert!(status.bytes <= before.bytes + (12 << 10), "{status:?}");
    assert!(count(&status.refused, "under another key") > 0, "{status:?}");
    // Large frames, and more news at once than are taken in, are refused as well.
    let telling = Gossip::default().connect(mallory, bob.address()).await.expect("let in");
    let news = Statements { news: Some(heads(&[&besieged.head])), ..Statements::default() };
    assert!(news.check().is_ok());
    let large = raw(telling.connection(), &frame_of(&vec![0; limits::MEMBER_FRAME_BYTES + 1])).await;
    assert!(large.is_ok_and(|answer| answer.len() < 200), "an E");
    let many = News { heads: vec![besieged.head.clone(); limits::STATEMENTS + 1], ..News::default() };
    assert!(telling.tell(many).await.is_err(), "more heads than a message has");
    besieged.is_as_before("a flood").await;
}
