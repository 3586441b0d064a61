//! Neighbours: members that are connected, hear at once what is new, and are asked in turn what else they know.
//!
//! A node looks for [`WANTED`] by itself; whoever looked for it counts as well, up to [`MOST`]. What is new thus goes both
//! ways over each such connection, and a network of random connections of this number does not fall apart.
//!
//! Beyond these one that looked for it makes room for the next: else the nodes that start last, whom all others have no room for, would
//! tell everybody and be told by nobody. Those it chose itself stay, so that nobody takes all places by looking for it again and again.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use certs::NodeId;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tracing::debug;
use wire::message::Address;

use crate::clock;
use crate::net::{Role, Session};
use crate::peer::{ConnectError, Shared};
use crate::rng::mix;

/// So many a node looks for.
const WANTED: usize = 8;
/// With those who looked for it.
const MOST: usize = 16;
/// How often it is looked whether all are there still.
const LOOK: Duration = Duration::from_secs(5);
/// Who could not be connected is not tried again for so long, unless there is nobody at all.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// Who looked for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// This node for the other one.
    Us,
    /// The other way round.
    Them,
}

/// The neighbours, and who was tried in vain.
#[derive(Debug)]
pub(super) struct Neighbours<S = Arc<Session>> {
    sessions: HashMap<NodeId, (S, By)>,
    tried: HashMap<NodeId, Instant>,
    random: u64,
    /// Whose turn it is to be asked.
    turn: Option<NodeId>,
}

impl<S> Neighbours<S> {
    /// With none yet. Another `seed` chooses others.
    pub(super) fn new(seed: u64) -> Self {
        Self { sessions: HashMap::new(), tried: HashMap::new(), random: seed, turn: None }
    }

    /// Gives one a place, where there is none that of another who looked for this node. Whether it is new.
    fn seat(&mut self, node: NodeId, session: S, by: By) -> bool {
        if let Some((_, known)) = self.sessions.get_mut(&node) {
            if by == By::Us {
                *known = By::Us;
            }
            return false;
        }
        if self.sessions.len() >= MOST {
            let came = self.sessions.iter().filter(|(_, (_, by))| *by == By::Them).map(|(node, _)| *node);
            let mut came: Vec<_> = came.collect();
            came.sort_unstable();
            let Some(leaves) = draw(came, 1, &mut self.random).pop() else { return false };
            self.sessions.remove(&leaves);
        }
        self.sessions.insert(node, (session, by));
        true
    }
}

impl Neighbours {
    /// Those that are connected.
    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        self.sessions
            .values()
            .map(|(session, _)| session)
            .filter(|session| session.is_open())
            .cloned()
            .collect()
    }

    /// Those that are connected, in a random order.
    pub(super) fn shuffled(&mut self) -> Vec<NodeId> {
        let all: Vec<_> = self.all().into_iter().map(|session| session.node()).collect();
        draw(all, MOST, &mut self.random)
    }

    /// Whether this node is one of so many, drawn of all at random.
    pub(super) fn is_one_of(&mut self, count: usize, all: usize) -> bool {
        self.random = self.random.wrapping_add(1);
        mix(self.random) % (all.max(1) as u64) < count as u64
    }

    /// Enters one. Whether it is new.
    pub(super) fn enter(&mut self, session: &Arc<Session>, by: By) -> bool {
        self.sweep();
        self.tried.remove(&session.node());
        self.seat(session.node(), session.clone(), by)
    }

    fn sweep(&mut self) {
        self.sessions.retain(|_, (session, _)| session.is_open());
    }

    /// Who is to be asked next: each in turn.
    pub(super) fn next(&mut self, others: impl IntoIterator<Item = Arc<Session>>) -> Option<Arc<Session>> {
        let mut all: Vec<_> = self.all().into_iter().chain(others).collect();
        all.sort_by_key(|session| session.node());
        let after = |session: &&Arc<Session>| self.turn.is_none_or(|turn| session.node() > turn);
        let next = all.iter().find(after).or_else(|| all.first()).cloned();
        self.turn = next.as_ref().map(|session| session.node());
        next
    }

    /// How many are missing.
    fn missing(&mut self) -> usize {
        self.sweep();
        WANTED.saturating_sub(self.sessions.len())
    }

    fn has(&self, node: &NodeId) -> bool {
        self.sessions.contains_key(node)
    }

    /// Of these so many, drawn at random, those left out that were tried lately.
    fn choose<T>(&mut self, from: Vec<(NodeId, T)>, count: usize, now: Instant) -> Vec<(NodeId, T)> {
        self.tried.retain(|_, at| now.saturating_duration_since(*at) < TRY_AGAIN);
        let tried: HashSet<_> = self.tried.keys().copied().collect();
        let from = from.into_iter().filter(|(node, _)| !self.has(node) && !tried.contains(node)).collect();
        let chosen = draw(from, count, &mut self.random);
        self.tried.extend(chosen.iter().map(|(node, _)| (*node, now)));
        chosen
    }
}

/// So many of these, at random.
fn draw<T>(mut from: Vec<T>, count: usize, random: &mut u64) -> Vec<T> {
    let count = count.min(from.len());
    for place in 0..count {
        *random = random.wrapping_add(1);
        let left = (from.len() - place) as u64;
        let chosen = place + (mix(*random) % left) as usize;
        from.swap(place, chosen);
    }
    from.truncate(count);
    from
}

/// Keeps neighbours until the node stops.
pub(crate) async fn keep_neighbours(shared: Arc<Shared>) {
    loop {
        if shared.replica().is_some() && shared.membership().is_some() {
            take_connected(&shared);
            // The index is connected by all that are there.
            if shared.service.is_none() {
                dial_known(&shared).await;
            }
        }
        let _ = tokio::time::timeout(LOOK, shared.fallback.look_for_neighbours.notified()).await;
    }
}

/// Takes members that are connected anyway.
fn take_connected(shared: &Arc<Shared>) {
    let missing = shared.fallback.neighbours().missing();
    let index = shared.me().index_node();
    let nodes: HashSet<_> = shared.pool.all().iter().map(|session| session.node()).collect();
    let found = nodes.into_iter().filter(|node| *node != shared.node() && Some(*node) != index);
    let sessions = found.filter_map(|node| shared.pool.find(&node)).filter(|session| is_member(session));
    let mut all: Vec<_> = sessions.map(|session| (session.node(), session)).collect();
    all.retain(|(node, _)| !shared.fallback.neighbours().has(node));
    let chosen = {
        let mut neighbours = shared.fallback.neighbours();
        draw(all, missing, &mut neighbours.random)
    };
    chosen.iter().for_each(|(_, session)| shared.meet(session));
}

fn is_member(session: &Session) -> bool {
    match session.role() {
        Role::Peer => true,
        Role::Client(client) => client.member().is_some(),
        Role::Index => false,
    }
}

/// Dials members until there are enough, or nobody is left who may answer: those that are there by the copy, those that were, and
/// where there is nobody at all those that the user has named and those that were reached before.
async fn dial_known(shared: &Arc<Shared>) {
    let Some(replica) = shared.replica() else { return };
    let (own, index) = (shared.node(), shared.me().index_node());
    let mut known = replica.known_nodes();
    known.retain(|one| one.node != own && Some(one.node) != index && !one.addresses.is_empty());
    let (online, offline): (Vec<_>, Vec<_>) = known.into_iter().partition(|one| one.online);
    for some in [online, offline] {
        let chosen = {
            let mut neighbours = shared.fallback.neighbours();
            let missing = neighbours.missing();
            let some = some.into_iter().map(|one| (one.node, one.addresses)).collect();
            neighbours.choose(some, missing, clock::monotonic())
        };
        let dial = |(node, addresses): (NodeId, Vec<Address>)| async move {
            let nothing = |_| std::future::ready(());
            let connected = shared.connect_asking(node, &addresses, nothing).await;
            connected.map(|(session, ())| session)
        };
        dial_all(shared, chosen.into_iter().map(dial)).await;
    }
    if shared.fallback.neighbours().all().is_empty() {
        let remembered = shared.remembered_peers().await.into_iter();
        let mut named = shared.configured_peers().await;
        named.extend(remembered.map(|(node, address)| (Some(node), address)));
        named.retain(|(node, _)| *node != Some(own) && (node.is_none() || *node != index));
        let dial = |(node, address)| async move { shared.connect_at(address, node).await };
        dial_all(shared, named.into_iter().map(dial)).await;
    }
}

/// Dials all of these at once, and takes who answers.
async fn dial_all<F: Future<Output = Result<Arc<Session>, ConnectError>>>(
    shared: &Arc<Shared>,
    dialling: impl Iterator<Item = F>,
) {
    let mut dialling: FuturesUnordered<_> = dialling.collect();
    while let Some(dialled) = dialling.next().await {
        match dialled {
            Ok(session) => shared.meet(&session),
            Err(error) => debug!(%error, "a member cannot be connected"),
        }
    }
}

/// An IPv4 address that the socket shows as IPv6, as it is.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(seed: u8) -> NodeId {
        certs::SecretKey::from_seed([seed; 32]).public()
    }

    #[test]
    fn the_last_ones_that_come_have_a_place_and_those_that_were_chosen_keep_theirs() {
        let mut neighbours = Neighbours::new(7);
        let wanted = WANTED as u8;
        assert!((1..=wanted).all(|seed| neighbours.seat(node(seed), (), By::Us)));
        for seed in wanted + 1..=200 {
            assert!(neighbours.seat(node(seed), (), By::Them));
            assert!(!neighbours.seat(node(seed), (), By::Them), "it has one");
            let places = &neighbours.sessions;
            assert!(places.contains_key(&node(seed)) && places.len() <= MOST, "{seed}: {}", places.len());
        }
        assert!((1..=wanted).all(|seed| neighbours.sessions.contains_key(&node(seed))));
        let came: Vec<_> =
            (wanted + 1..200).filter(|seed| neighbours.sessions.contains_key(&node(*seed))).collect();
        assert!(came.iter().any(|seed| *seed < 192), "who leaves is drawn, not the first: {came:?}");
        for (_, by) in neighbours.sessions.values_mut() {
            *by = By::Us;
        }
        assert!(!neighbours.seat(node(201), (), By::Them));
    }

    #[test]
    fn one_is_drawn_as_often_as_its_chance_says() {
        let mut neighbours = Neighbours::<Arc<Session>>::new(7);
        let times = (0..10_000).filter(|_| neighbours.is_one_of(8, 80)).count();
        assert!((900..1_100).contains(&times), "{times} of 10,000 times");
        assert!(neighbours.is_one_of(8, 8) && neighbours.is_one_of(8, 0));
    }

    #[test]
    fn who_was_tried_is_left_alone_for_a_while() {
        let mut neighbours = Neighbours::<Arc<Session>>::new(7);
        let now = clock::monotonic();
        let all = || (1..=20).map(|seed| (node(seed), ())).collect::<Vec<_>>();
        let first = neighbours.choose(all(), WANTED, now);
        assert_eq!(first.len(), WANTED);
        let second = neighbours.choose(all(), WANTED, now);
        assert!(second.iter().all(|one| !first.contains(one)), "{second:?}");
        assert_eq!(neighbours.choose(all(), WANTED, now).len(), 4, "20 in all");
        assert_eq!(neighbours.choose(all(), WANTED, now + TRY_AGAIN).len(), WANTED);
    }

    #[test]
    fn each_is_drawn_as_often() {
        let mut counts = [0_u32; 10];
        let mut random = 3;
        for _ in 0..10_000 {
            let drawn = draw((0..10).collect(), 3, &mut random);
            assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), 3);
            drawn.iter().for_each(|one: &usize| counts[*one] += 1);
        }
        assert!(counts.iter().all(|count| (2_700..3_300).contains(count)), "{counts:?}");
    }
}
