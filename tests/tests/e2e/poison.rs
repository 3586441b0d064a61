//! Members and strangers who tell lies while the index is away: nobody's answers change, what they cost is bounded, and
//! `status` shows what was refused.

mod besieged;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use certs::{Enrolment, NodeId, Signed};
use index::CallError;
use p2p_node_tests::hostile::{
    Gossip, KadPeer, Stranger, ask, frame_of, head_in, head_of, raw, tell_as_stranger, word_of,
};
use p2p_node_tests::{PATIENCE, clock, fixtures, wait_until};
use wire::catalogue::{CatalogueHead, HeadBundle, Tree};
use wire::kad::{KadValue, catalogue_key, members_key, presence_key, provider_key};
use wire::message::{Hello, News, Request, Statements};
use wire::{ContentHash, ErrorCode, MembersBundle, MembersHead, Presence, PresenceBundle, limits};

use self::besieged::{Besieged, count, dht, fallback, wait_for_count};
use super::hostile::{closed_with, refused_with};

fn heads(heads: &[&HeadBundle]) -> News {
    News { heads: heads.iter().map(|head| (*head).clone()).collect(), ..News::default() }
}

fn words(presence: PresenceBundle) -> News {
    News { presence: vec![presence], ..News::default() }
}

/// A list of members by somebody who is not the index.
fn forged_members(by: &Stranger, enrolment: &Enrolment) -> MembersBundle {
    let certificate = &enrolment.certificate;
    let (now, nobody) = (clock::wall_millis(), Tree::default());
    let head = MembersHead::issue(by.key(), certificate, 1 << 52, now, nobody, nobody);
    MembersBundle::new(&head, certificate)
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
    refuse("another's head", heads(&[&HeadBundle::new(&head, mallory.enrolment())]), "forged").await;
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
    let of =
        |seq, root, count| head_of(mallory.stranger(), mallory.enrolment(), (seq, now), Tree { root, count });
    refuse("a page of 900 KiB", heads(&[&of(2, Some(page), 1)]), "bad-tree").await;
    let path = fixtures::file(&besieged.cluster.path("own.txt"), 9, 10);
    let record = mallory.sign(mallory.record("own.txt", &p2p_node_tests::hostile::manifest_of(&path)));
    let root = gossip.records(&[record]);
    refuse("100,000 records of which there is one", heads(&[&of(3, root, 100_000)]), "bad-tree").await;

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
    // What is new is heard from the neighbours, whoever withholds it in Kademlia.
    alice.share(&fixtures::file(&besieged.cluster.path("late.txt"), 4, 10)).await.expect("shared");
    for node in [bob, carol] {
        wait_until(PATIENCE, "it is listed", async || {
            let listed = node.list().await.expect("listed");
            if listed.iter().any(|item| item.name.as_str() == "late.txt") { Ok(()) } else { Err(listed) }
        })
        .await;
    }
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
