//! An honest network without its index, and those who are not honest.

use std::collections::BTreeMap;

use certs::keystore::load_key;
use certs::{Enrolment, MEMBERSHIP_VALIDITY_MS, Membership, Signed, UnixMillis};
use p2p_node::control::api::{DhtMode, DhtStatus, FallbackStatus, GetRequest, Resource, Source};
use p2p_node_tests::hostile::{Gossip, Member, Stranger, ask, head_in, head_of};
use p2p_node_tests::node::get_request;
use p2p_node_tests::{Cluster, PATIENCE, TestNode, clock, fixtures, wait_until};
use wire::catalogue::{HeadBundle, Tree};
use wire::message::{Empty, News, Request};

/// What a node answers.
#[derive(Debug, PartialEq)]
struct Answers {
    list: Vec<Resource>,
    search: Vec<String>,
}

/// Three honest nodes without their index, and those who are not.
pub(super) struct Besieged {
    pub(super) cluster: Cluster,
    /// Alice shares a film, which Bob has too, and Carol a text.
    pub(super) honest: Vec<TestNode>,
    before: Vec<Answers>,
    /// A member.
    pub(super) mallory: Member,
    /// One whose membership has ended by time.
    pub(super) expired: (Stranger, Enrolment),
    /// One who has logged out.
    pub(super) revoked: Member,
    /// Alice's catalogue as it was, and as it is.
    pub(super) old: HeadBundle,
    pub(super) head: HeadBundle,
}

impl Besieged {
    pub(super) async fn start() -> Self {
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
    pub(super) async fn is_as_before(&self, what: &str) {
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

    pub(super) fn mallorys_head(&self, seq: u64, time: UnixMillis) -> HeadBundle {
        head_of(self.mallory.stranger(), self.mallory.enrolment(), (seq, time), Tree::default())
    }

    pub(super) fn expired_head(&self) -> HeadBundle {
        head_of(&self.expired.0, &self.expired.1, (1, clock::wall_millis()), Tree::default())
    }

    pub(super) fn revoked_head(&self) -> HeadBundle {
        head_of(self.revoked.stranger(), self.revoked.enrolment(), (1, clock::wall_millis()), Tree::default())
    }

    /// Alice's head, which she did not sign like this.
    pub(super) fn forged_head(&self) -> HeadBundle {
        let mut forged = self.head.clone();
        *forged.head.last_mut().expect("bytes") ^= 1;
        forged
    }

    /// Alice's head, made of Mallory's.
    pub(super) fn posing_head(&self) -> HeadBundle {
        let own = self.mallorys_head(1 << 52, clock::wall_millis());
        HeadBundle { enrolment: self.head.enrolment.clone(), ..own }
    }

    /// Tells every honest node; each refuses it, and counts that under a kind.
    pub(super) async fn all_refuse(&self, what: &str, gossip: &Gossip, news: &News, kind: &str) {
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

pub(super) async fn fallback(node: &TestNode) -> FallbackStatus {
    node.status().await.fallback.expect("it has a copy")
}

pub(super) async fn dht(node: &TestNode) -> DhtStatus {
    fallback(node).await.dht.expect("it takes part")
}

pub(super) fn count(refused: &BTreeMap<String, u64>, kind: &str) -> u64 {
    refused.get(kind).copied().unwrap_or(0)
}

pub(super) async fn wait_for_count(
    node: &TestNode,
    what: &str,
    before: u64,
    mut counted: impl AsyncFnMut() -> u64,
) {
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
