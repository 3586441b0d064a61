//! What this node puts into Kademlia, what it looks for there, and whom it gives it to know.

use std::collections::{HashMap, HashSet};
use std::future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use certs::{AccountId, IndexCertificate, Membership, NodeId, Signed, UnixMillis};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use index::dht::{
    self, Accounts, Dht, DhtConfig, DhtParts, Forgetful, Keep, KeepFile, Kept, QuicMuxer, Until,
};
use index::jitter;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};
use wire::kad::{KadValue, catalogue_key, members_key, presence_key, provider_key};
use wire::message::{HolderInfo, Located, News};
use wire::{ContentHash, Digest, PRESENCE_VALIDITY_MS, limits};

use super::changes::{Put, wait_for_changes};
use super::sought::{self, Sought, chance_of_one, is_drawn};
use super::{KadValidator, Roster, Trust};
use crate::clock::monotonic;
use crate::net::UNUSED_OF_KAD;
use crate::peer::{KadConnector, Shared};

/// What the store is written down in, in the home.
const FILE: &str = "dht.db";
/// How often it is looked whether there is something to be provided.
const PROVIDE: Duration = Duration::from_secs(2);
/// How often what has not changed is put again; a part more is drawn.
const AGAIN: Duration = Duration::from_secs(3600);
/// The same of where this node is, while it stays there: half of it more, and five minutes that the word may be old already, are
/// less than a word is good for.
const PRESENCE_AGAIN: Duration = Duration::from_secs(360);
/// How long a head is kept by others without being put again.
const HEAD_TTL: Duration = Duration::from_secs(48 * 3600);
/// How often who is known is given to the table of nodes; at once after the start.
const PEERS: Duration = Duration::from_secs(60);
/// The same while the table is empty.
const PEERS_SOON: Duration = Duration::from_secs(2);
/// How often members are looked for of whom nothing is known.
const FIND: Duration = Duration::from_secs(30);
/// Members that are looked for at once.
const FOUND_AT_ONCE: usize = 16;
/// Heads of others that are put again in an hour by all nodes together, for each node that is away.
const COPIES: usize = 8;
/// Contents that this node provides: of downloads that run.
const PROVIDED: usize = 1000;
/// How long a download waits for the providers that Kademlia knows.
const PROVIDERS_PATIENCE: Duration = Duration::from_secs(2);
/// The same where a holder that is known otherwise is connected, or can be: a download looks for more every 15 s, and a lookup
/// past nodes that were just killed takes seconds.
const MORE_PROVIDERS_PATIENCE: Duration = Duration::from_millis(200);

/// A node's part in Kademlia.
#[derive(Debug, Clone)]
pub(crate) struct Kad {
    dht: Dht,
    roster: Arc<Roster>,
}

impl Trust for Arc<Shared> {
    fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    fn index_seen(&self) -> UnixMillis {
        Shared::index_seen(self)
    }

    fn is_revoked(&self, node: &NodeId, serial: u64) -> bool {
        Shared::is_revoked(self, node, serial)
    }

    fn certificate(&self) -> Option<Signed<IndexCertificate>> {
        self.me().certificate
    }

    fn account_of(&self, node: &NodeId) -> Option<AccountId> {
        self.replica().and_then(|replica| replica.account_of(node))
    }
}

/// Whose a node is: by the copy, else by a membership that was seen, unless that was ended.
struct Members {
    shared: Arc<Shared>,
    roster: Arc<Roster>,
}

impl Accounts for Members {
    fn account_of(&self, node: NodeId) -> Option<AccountId> {
        // The index need not be anybody's: it stands for itself.
        let index = || (self.shared.me().index_node() == Some(node)).then(|| AccountId::from_bytes([0; 16]));
        let is_over = |serial| Trust::is_revoked(&self.shared, &node, serial);
        let shown = || self.roster.account_of(&node, is_over);
        Trust::account_of(&self.shared, &node).or_else(shown).or_else(index)
    }
}

struct Clocks(Arc<Shared>);

impl dht::Clock for Clocks {
    fn wall(&self) -> UnixMillis {
        self.0.clock.now()
    }

    fn monotonic(&self) -> Instant {
        monotonic()
    }
}

/// Takes part in Kademlia until the node stops.
pub(crate) fn begin(shared: &Arc<Shared>, accepted: mpsc::Receiver<dht::Accepted<QuicMuxer>>) {
    let this = shared.clone();
    shared.tasks.spawn_droppable(async move {
        let members = Arc::new(Members { shared: this.clone(), roster: Arc::default() });
        let start = {
            let (this, members) = (this.clone(), members.clone());
            move || start(&this, &members, accepted)
        };
        // What was kept is read and judged anew.
        let Ok((kad, driver)) = tokio::task::spawn_blocking(start).await else { return };
        if this.kad.set(kad.clone()).is_err() {
            return;
        }
        this.tasks.spawn_droppable(driver);
        this.tasks.spawn_droppable(keep_peers(this.clone(), kad.clone(), members));
        this.tasks.spawn_droppable(keep_put(this.clone(), kad.clone()));
        this.tasks.spawn_droppable(keep_provided(this.clone(), kad.clone()));
        this.tasks.spawn_droppable(keep_found(this.clone(), kad));
    });
}

fn start(
    shared: &Arc<Shared>,
    members: &Arc<Members>,
    accepted: mpsc::Receiver<dht::Accepted<QuicMuxer>>,
) -> (Kad, impl Future<Output = ()> + Send + use<>) {
    let (keep, kept) = open_kept(shared);
    let parts = DhtParts {
        node: shared.node(),
        connector: KadConnector(shared.clone()),
        accepted,
        validator: Arc::new(KadValidator::new(shared.network(), shared.clone(), members.roster.clone())),
        accounts: members.clone(),
        clock: Arc::new(Clocks(shared.clone())),
        keep,
        kept,
    };
    // Whoever is there is in the copy, and given to the table by `keep_peers`.
    let config = DhtConfig { idle_timeout: UNUSED_OF_KAD, refresh: None, ..DhtConfig::default() };
    let (dht, driver) = Dht::start(config, parts);
    (Kad { dht, roster: members.roster.clone() }, driver)
}

/// Where the store is written down, and what was. Without it the node goes on.
fn open_kept(shared: &Shared) -> (Box<dyn Keep>, Vec<Kept>) {
    let path = shared.home.join(FILE);
    match KeepFile::open(&path, shared.clock.now()) {
        Ok((file, kept)) => (Box::new(file), kept),
        Err(error) => {
            warn!(%error, file = %path.display(), "what the DHT has is not kept: after a restart it comes from others");
            (Box::new(Forgetful), Vec::new())
        }
    }
}

/// Gives the members that are there to the table of nodes.
async fn keep_peers(shared: Arc<Shared>, kad: Kad, members: Arc<Members>) {
    let mut known = false;
    loop {
        let addresses = shared.net.addresses().iter().map(|address| address.socket()).collect();
        let _ = kad.dht.set_addresses(addresses).await;
        // Who was never reached by anybody would only cost others their time.
        let _ = kad.dht.set_server(shared.was_reached()).await;
        let others = shared.replica().map(|replica| replica.known_nodes()).unwrap_or_default();
        for one in others.into_iter().filter(|one| one.online && one.node != shared.node()) {
            let addresses = one.addresses.iter().map(|address| address.socket()).collect();
            let _ = kad.dht.add_peer(one.node, addresses).await;
        }
        kad.drop_ended(&members).await;
        let peers = kad.dht.status().await.map_or(0, |status| status.peers);
        if !std::mem::replace(&mut known, peers > 0) && peers > 0 {
            info!(peers, "takes part in the DHT");
            let _ = kad.dht.bootstrap().await;
        }
        let pause = if known { PEERS + jitter(PEERS) } else { PEERS_SOON };
        let _ = tokio::time::timeout(pause, shared.reached_first.notified()).await;
    }
}

/// Puts this node's head and presence and the list of members when they change, and again every hour; heads of others,
/// who are away, now and then, so that they stay.
async fn keep_put(shared: Arc<Shared>, kad: Kad) {
    let (mut put, mut others) = (Put::default(), monotonic() + AGAIN);
    let mut all_put = false;
    loop {
        wait_for_changes(all_put, shared.fallback.own_told()).await;
        all_put = true;
        for Own { key, value, says, ttl, again } in own_values(&shared).await {
            let now = monotonic();
            if put.is_due(&key, &says, again, now) {
                match kad.put(&key, value, ttl).await {
                    true => put.enter(key, says, now),
                    false => put.failed(key, monotonic()),
                }
            }
            all_put &= put.has(&key, &says);
        }
        if monotonic() >= others {
            others = monotonic() + AGAIN + jitter(AGAIN / 4);
            put_others(&shared, &kad).await;
        }
    }
}

/// What this node is to put of its own, or the list of members.
struct Own {
    key: Digest,
    value: Vec<u8>,
    /// What others must hear of at once if it changes.
    says: Digest,
    /// How long it is good for.
    ttl: Duration,
    /// When it is put again if it does not change.
    again: Duration,
}

impl Own {
    fn head(key: Digest, value: &KadValue) -> Self {
        let value = value.encode();
        Self { key, says: Digest::of(&value), value, ttl: HEAD_TTL, again: AGAIN }
    }
}

/// All of it.
async fn own_values(shared: &Shared) -> Vec<Own> {
    let Some(replica) = shared.replica() else { return Vec::new() };
    let (network, node) = (shared.network(), shared.node());
    let mut values = Vec::new();
    if shared.service.is_some()
        && let Ok(Some(members)) = replica.members_bundle().await
    {
        values.push(Own::head(members_key(&network), &KadValue::Members(members)));
    }
    let News { heads, presence, .. } = replica.news_of(&node).await.unwrap_or_default();
    for head in heads {
        values.push(Own::head(catalogue_key(&network, &node), &KadValue::Catalogue(head)));
    }
    for word in presence {
        // A new word of the same place is no news for who looks for it here.
        let place: Vec<_> =
            shared.net.addresses().iter().map(|address| address.socket().to_string()).collect();
        values.push(Own {
            key: presence_key(&network, &node),
            value: KadValue::Presence(word).encode(),
            says: Digest::of(place.join(" ").as_bytes()),
            ttl: Duration::from_millis(PRESENCE_VALIDITY_MS),
            again: PRESENCE_AGAIN,
        });
    }
    values
}

/// Heads of nodes that are away, each by so many of all nodes as keep it.
async fn put_others(shared: &Shared, kad: &Kad) {
    let Some(replica) = shared.replica() else { return };
    let (away, there): (Vec<_>, Vec<_>) = replica.known_nodes().into_iter().partition(|one| !one.online);
    let chance = chance_of_one(COPIES, there.len());
    for one in away.into_iter().filter(|one| one.node != shared.node() && is_drawn(chance)) {
        for head in replica.news_of(&one.node).await.unwrap_or_default().heads {
            let key = catalogue_key(&shared.network(), &one.node);
            kad.put(&key, KadValue::Catalogue(head).encode(), HEAD_TTL).await;
        }
    }
}

/// Says which contents this node has parts of.
async fn keep_provided(shared: Arc<Shared>, kad: Kad) {
    let mut provided: HashMap<ContentHash, Instant> = HashMap::new();
    loop {
        let network = shared.network();
        let contents: HashSet<_> = shared.partial.contents().into_iter().take(PROVIDED).collect();
        for content in provided.keys().filter(|content| !contents.contains(content)) {
            let _ = kad.dht.stop_providing(provider_key(&network, content).as_bytes().to_vec()).await;
        }
        provided.retain(|content, _| contents.contains(content));
        for content in contents {
            let now = monotonic();
            if provided.get(&content).is_none_or(|when| now >= *when + AGAIN) {
                let key = provider_key(&network, &content).as_bytes().to_vec();
                if kad.dht.provide(key).await.is_ok() {
                    provided.insert(content, now);
                }
            }
        }
        tokio::time::sleep(PROVIDE).await;
    }
}

/// Looks for what nobody who is connected has told: the list of members, and members without a catalogue.
async fn keep_found(shared: Arc<Shared>, kad: Kad) {
    let mut sought = Sought::default();
    loop {
        if shared.membership().is_some() && kad.dht.status().await.is_ok_and(|status| status.peers > 0) {
            sought.sweep(monotonic());
            kad.find_missing(&shared, &mut sought).await;
        }
        tokio::time::sleep(FIND + jitter(FIND)).await;
    }
}

impl Kad {
    /// A node has shown its membership, and it holds.
    pub(crate) fn meet(&self, membership: &Membership) {
        self.roster.learn(membership);
    }

    /// Takes those out of the table whose membership has ended.
    async fn drop_ended(&self, members: &Members) {
        for (node, _) in self.dht.peers().await.unwrap_or_default() {
            if members.account_of(node).is_none() {
                let _ = self.dht.remove_peer(node).await;
            }
        }
    }

    /// How it stands; `None` once it has ended.
    pub(crate) async fn status(&self) -> Option<dht::DhtStatus> {
        self.dht.status().await.ok()
    }

    /// Whether it was put, here at least.
    async fn put(&self, key: &Digest, value: Vec<u8>, ttl: Duration) -> bool {
        match self.dht.put(key.as_bytes().to_vec(), value, ttl).await {
            Ok(took) => took > 0,
            Err(error) => {
                debug!(%error, "a value is not put into the DHT");
                false
            }
        }
    }

    async fn get(&self, key: Digest) -> Option<KadValue> {
        let found = self.dht.get(key.as_bytes().to_vec(), Until::Agreed).await.ok()??;
        KadValue::decode(&found.value).ok()
    }

    async fn find_missing(&self, shared: &Arc<Shared>, sought: &mut Sought) {
        let Some(replica) = shared.replica() else { return };
        let network = shared.network();
        // Neighbours tell of a new list at once; a part of the network that fell apart has it from here in the end. Of a node that
        // is new they tell as well: of many that start at once each would otherwise be looked for by all.
        let alone = shared.fallback.neighbours_count() == 0;
        let first = if alone { Duration::ZERO } else { FIND };
        let due = sought.is_due(members_key(&network), first, monotonic());
        let chance = if alone { 1.0 } else { sought::chance(replica.online_count()) };
        if (alone || due)
            && let Some(KadValue::Members(members)) = self.get(members_key(&network)).await
        {
            shared.take_found(News { members: Some(members), ..News::default() }).await;
        }
        let is_wanted = |node: &NodeId| {
            sought.is_due(presence_key(&network, node), first, monotonic()) && is_drawn(chance)
        };
        let missing = replica.members_without_catalogue(FOUND_AT_ONCE, is_wanted).await;
        for node in missing.unwrap_or_default() {
            // Where there is no head, nobody has put where the node is either.
            let Some(KadValue::Catalogue(head)) = self.get(catalogue_key(&network, &node)).await else {
                continue;
            };
            let mut news = News { heads: vec![head], ..News::default() };
            if let Some(KadValue::Presence(word)) = self.get(presence_key(&network, &node)).await {
                news.presence.push(word);
            }
            shared.take_found(news).await;
        }
    }

    /// Adds those to the holders of a content that say so in the DHT.
    pub(crate) async fn add_providers(
        &self,
        shared: &Arc<Shared>,
        content: ContentHash,
        located: &mut Located,
    ) {
        let key = provider_key(&shared.network(), &content).as_bytes().to_vec();
        let enough = async {
            tokio::time::sleep(MORE_PROVIDERS_PATIENCE).await;
            if !can_reach_one(shared, &located.holders).await {
                future::pending().await
            }
        };
        let found = tokio::select! {
            found = self.dht.providers(key) => found,
            _ = tokio::time::timeout(PROVIDERS_PATIENCE, enough) => return,
        };
        let (Ok(found), Some(replica)) = (found, shared.replica()) else { return };
        let nodes: HashSet<_> = found.into_iter().collect();
        for one in replica.known_nodes().into_iter().filter(|one| nodes.contains(&one.node)) {
            let known = located.holders.iter().any(|holder| holder.node == one.node);
            let fits = located.holders.len() < limits::HOLDERS && !one.addresses.is_empty();
            if !known && fits && one.node != shared.node() {
                let (node, user, addresses) = (one.node, one.user, one.addresses);
                located.holders.push(HolderInfo { node, user, addresses, whole: false });
            }
        }
    }
}

/// Connects all of them, until one answers; `false` where none does. Who is connected already answers at once.
async fn can_reach_one(shared: &Arc<Shared>, holders: &[HolderInfo]) -> bool {
    let connecting =
        holders.iter().map(|holder| shared.connect_asking(holder.node, &holder.addresses, future::ready));
    let mut attempts: FuturesUnordered<_> = connecting.collect();
    while let Some(attempt) = attempts.next().await {
        if attempt.is_ok() {
            return true;
        }
    }
    false
}

impl Shared {
    /// Takes in what was found; the pages of catalogues are asked of those that are connected.
    async fn take_found(self: &Arc<Self>, news: News) {
        let Some(replica) = self.replica().filter(|_| !news.is_empty()) else { return };
        for session in self.told() {
            match replica.take_news(session.connection(), news.clone()).await {
                Ok(fresh) if fresh.is_empty() => {}
                Ok(fresh) => self.spread(None, fresh),
                Err(error) => debug!(%error, "what was found in the DHT is not taken in"),
            }
            if news.heads.iter().all(|head| replica.has(head)) {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::changes::{LOOK, LOOK_SELDOM};
    use super::*;

    #[test]
    fn a_place_is_put_again_before_the_word_is_over() {
        let said_before = Duration::from_secs(300);
        let latest = said_before + PRESENCE_AGAIN + PRESENCE_AGAIN / 2 + LOOK + LOOK_SELDOM;
        assert!(latest < Duration::from_millis(PRESENCE_VALIDITY_MS));
        assert!(PRESENCE_AGAIN + PRESENCE_AGAIN / 2 + LOOK < UNUSED_OF_KAD, "on the same connections");
    }
}
