//! Where the index is.

use wire::message::Address;
use wire::{IndexPlace, Presence, VerifiedPlace};

use super::super::SyncError;
use super::*;

fn addresses(text: &str) -> Vec<Address> {
    vec![Address::new(text.parse().expect("an address")).expect("usable")]
}

/// What the index of a network says at a time.
fn said(net: &Net, time: UnixMillis, at: &str) -> IndexPlace {
    place(net, Presence::issue(&net.index, net.root.public(), time, NOW, addresses(at)))
}

fn place(net: &Net, presence: Signed<Presence>) -> IndexPlace {
    VerifiedPlace { presence, certificate: net.certificate.clone() }.bundle()
}

/// The same network, once its index has moved to another key.
fn moved(net: &Net) -> Net {
    let index = SecretKey::from_seed([3; 32]);
    let certificate = IndexCertificate::issue(&net.root, index.public(), 2, NOW);
    Net { index, certificate, ..net.clone() }
}

impl Node {
    /// Is told a place; what was new of it.
    async fn hears(&self, place: &IndexPlace) -> Result<Option<IndexPlace>, SyncError> {
        let from = Link::new(&self.replica, &self.replica);
        let news = News { index: Some(place.clone()), ..News::default() };
        self.replica.take_news(&from, news).await.map(|new| new.index)
    }

    fn knows(&self) -> Option<String> {
        self.replica.index_place().map(|place| place.presence.addresses[0].to_string())
    }
}

#[tokio::test]
async fn it_is_handed_on_and_the_latest_of_the_highest_epoch_counts() {
    let net = Net::new();
    let (alice, bob, carol) =
        (net.node("alice", 10).await, net.node("bob", 11).await, net.node("carol", 12).await);
    let first = said(&net, NOW, "192.0.2.1:1");
    assert_eq!(alice.hears(&first).await.expect("taken"), Some(first.clone()));
    assert_eq!(alice.hears(&first).await.expect("known"), None);
    assert_eq!(bob.sync(&alice).await.news.index, Some(first.clone()), "asked for");
    assert_eq!(bob.sync(&carol).await.news.index, None);
    assert_eq!(carol.knows().as_deref(), Some("192.0.2.1:1"), "told");
    assert_eq!(carol.hears(&said(&net, NOW.minus(1), "192.0.2.9:1")).await.expect("older"), None);

    let new = moved(&net);
    let elsewhere = said(&new, NOW.minus(9), "192.0.2.2:1");
    assert_eq!(carol.hears(&elsewhere).await.expect("taken"), Some(elsewhere));
    alice.sync(&carol).await;
    assert_eq!((alice.knows().as_deref(), alice.replica.certificate().epoch), (Some("192.0.2.2:1"), 2));
    assert_eq!(alice.hears(&said(&net, NOW.plus(1), "192.0.2.1:1")).await.expect("ignored"), None);
    assert_eq!((alice.knows().as_deref(), alice.refused(Refusal::OldSequence)), (Some("192.0.2.2:1"), 1));
    // Of an index that is none any more no place is known.
    bob.replica.set_certificate(new.certificate.clone());
    assert_eq!(bob.knows(), None);
    bob.sync(&alice).await;
    assert_eq!(bob.knows().as_deref(), Some("192.0.2.2:1"));
}

#[tokio::test]
async fn nobody_but_the_index_says_it() {
    let net = Net::new();
    let alice = net.node("alice", 10).await;
    let network = net.root.public();
    let foreign = Net { root: SecretKey::from_seed([7; 32]), ..net.clone() };
    for (what, lie) in [
        ("a member", place(&net, Presence::issue(&alice.key, network, NOW, NOW, addresses("192.0.2.1:1")))),
        ("nowhere", place(&net, Presence::issue(&net.index, network, NOW, NOW, Vec::new()))),
        ("another network", said(&foreign, NOW, "192.0.2.1:1")),
        ("no certificate", IndexPlace { certificate: ByteBuf::new(), ..said(&net, NOW, "192.0.2.1:1") }),
    ] {
        let heard = alice.hears(&lie).await;
        assert!(matches!(&heard, Err(SyncError::Lied(_))), "{what}: {heard:?}");
    }
    assert_eq!(alice.refused(Refusal::Forged), 4);
    let early = said(&net, NOW.plus(600_001), "192.0.2.1:1");
    assert_eq!(alice.hears(&early).await.expect("perhaps a clock"), None);
    assert_eq!((alice.knows(), alice.refused(Refusal::Untimely)), (None, 1));
}
