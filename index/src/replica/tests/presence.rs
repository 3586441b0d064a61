//! Words of presence.

use wire::PRESENCE_VALIDITY_MS;
use wire::message::{Address, ResourceQuery, Who};

use super::*;

fn address(text: &str) -> Address {
    Address::new(text.parse().expect("an address")).expect("usable")
}

impl Node {
    async fn say(&self, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| address(text)).collect();
        let said = self.replica.say_presence(&self.key, &self.enrolment, addresses, NOW).await;
        said.expect("said");
    }

    fn there(&self) -> Vec<String> {
        let page = self.replica.who(&Who::default()).expect("answered");
        let nodes = |user: wire::message::OnlineUser| {
            let addresses = user.nodes.iter().map(|node| node.address.map(|address| address.to_string()));
            format!("{} {:?}", user.user, addresses.flatten().collect::<Vec<_>>())
        };
        page.users.into_iter().map(nodes).collect()
    }
}

#[tokio::test]
async fn who_is_there_is_known_everywhere_until_it_stops_or_is_silent() {
    let net = Net::new();
    let (alice, bob, mut carol) =
        (net.node("alice", 10).await, net.node("bob", 11).await, net.node("carol", 12).await);
    alice.say(&["192.0.2.1:1", "192.0.2.2:1"]).await;
    bob.say(&["192.0.2.3:1"]).await;
    alice.sync(&bob).await;
    bob.sync(&carol).await;
    let both = ["alice [\"192.0.2.1:1\"]", "bob [\"192.0.2.3:1\"]"];
    assert_eq!(carol.there(), both);
    assert_eq!(carol.replica.online_count(), 2);
    carol.reopen().await;
    assert_eq!(carol.there(), both);
    alice.say(&[]).await;
    alice.sync(&carol).await;
    assert_eq!(carol.there(), both[1..]);
    bob.sync(&carol).await;
    assert_eq!(bob.there(), both[1..]);
    net.pass(PRESENCE_VALIDITY_MS + 1);
    assert_eq!(carol.there(), [""; 0]);
    assert_eq!((carol.replica.online_count(), carol.replica.known_count()), (0, 3));
    let known = carol.replica.known_nodes();
    let bobs = known.iter().find(|known| known.node == bob.key.public()).expect("known");
    assert_eq!((bobs.addresses.clone(), bobs.online), (vec![address("192.0.2.3:1")], false));
    // What is over is no difference.
    assert_eq!(bob.sync(&carol).await.news, News::default());
}

#[tokio::test]
async fn a_word_is_its_nodes_and_the_later_counts() {
    let net = Net::new();
    let (alice, bob) = (net.node("alice", 10).await, net.node("bob", 11).await);
    let say = |text: &'static str| {
        let said = alice.replica.say_presence(&alice.key, &alice.enrolment, vec![address(text)], NOW);
        async move { said.await.expect("said") }
    };
    let (first, second) = (say("192.0.2.1:1").await, say("192.0.2.2:1").await);
    let link = Link::new(&bob.replica, &alice.replica);
    let news = |presence| News { presence, ..News::default() };
    let bare = wire::PresenceBundle { enrolment: None, ..second.clone() };
    let nothing = bob.replica.take_news(&link, news(vec![bare.clone()])).await.expect("goes on");
    assert!(nothing.is_empty(), "nobody knows that alice is a member");
    let new = bob.replica.take_news(&link, news(vec![first.clone()])).await.expect("taken");
    assert_eq!(new.presence, std::slice::from_ref(&first));
    let new = bob.replica.take_news(&link, news(vec![bare.clone()])).await.expect("taken");
    assert_eq!(new.presence, [bare]);
    assert!(bob.replica.take_news(&link, news(vec![first])).await.expect("taken").is_empty());
    assert_eq!(bob.there(), ["alice [\"192.0.2.2:1\"]"]);
    let mut forged = second.clone();
    let last = forged.presence.len() - 1;
    forged.presence[last] ^= 1;
    assert!(bob.replica.take_news(&link, news(vec![forged])).await.is_err());
    assert_eq!(bob.refused(Refusal::Forged), 1);
    net.pass(PRESENCE_VALIDITY_MS + 2);
    assert!(bob.replica.take_news(&link, news(vec![second])).await.expect("taken").is_empty());
    assert_eq!(bob.refused(Refusal::Untimely), 1);
}

#[tokio::test]
async fn holders_with_their_addresses_and_the_publisher_in_any_case() {
    let net = Net::new();
    let (alice, bob, carol) =
        (net.node("alice", 10).await, net.node("bob", 11).await, net.node("carol", 12).await);
    let record = alice.first("a");
    alice.share(&[record]).await;
    bob.replica.hold(vec![content("a")]).await.expect("held");
    bob.say(&["192.0.2.3:1"]).await;
    alice.sync(&bob).await;
    bob.sync(&carol).await;
    let located = carol.replica.locate(ResourceQuery::latest(name("alice"), name("a"))).await.expect("found");
    let holders: Vec<_> =
        located.holders.iter().map(|holder| (holder.user.as_str(), holder.addresses.clone())).collect();
    assert_eq!(holders, [("alice", vec![]), ("bob", vec![address("192.0.2.3:1")])]);
    assert!(located.next.is_none());
    let own = alice.replica.locate(ResourceQuery::latest(name("alice"), name("a"))).await;
    assert_eq!(own.expect_err("its own").code, wire::ErrorCode::SelfOwned);
}
