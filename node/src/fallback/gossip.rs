//! Gossip: what is new is told to the neighbours, once; and everybody is compared with in turn, so that what was lost on the way
//! comes all the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use certs::NodeId;
use index::{IndexClient, StatementsPeer, Synced, jitter};
use tokio::sync::mpsc;
use tracing::debug;
use wire::message::{News, Stated, Statements};
use wire::{ErrorBody, ErrorCode};

use super::neighbours::{By, canonical};
use super::told::{self, TOLD_ON, There};
use crate::clock::monotonic;
use crate::net::{Role, Session};
use crate::peer::{LinkState, Shared};

/// Between two comparisons: from half of it to half as much again.
const COMPARE: Duration = Duration::from_secs(30);
/// The same while the index is away: what was lost on the way comes by these alone.
const COMPARE_ALONE: Duration = Duration::from_secs(10);
/// What comes within this time is told on together.
const TOGETHER: Duration = Duration::from_millis(50);
/// What came from others waits up to so much longer, at random: who waits hears from whom else it comes, and whom it need not tell.
const LISTENS: Duration = Duration::from_millis(200);
/// Between two times at which what came from others is told on: where many start at once a message carries much.
const REST: Duration = Duration::from_secs(1);
/// What may wait to be told on. More is lost, and comes with the next comparison.
pub(super) const QUEUE: usize = 256;
/// News of one node that are taken in at once; each may have to fetch pages.
const TAKEN_OF_ONE: usize = 4;
/// The same of all nodes.
const TAKEN_OF_ALL: usize = 64;

/// What is to be told on, and who told it.
#[derive(Debug)]
pub(crate) struct Spread {
    pub(super) from: Option<NodeId>,
    pub(super) news: News,
}

/// What goes on with another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Work {
    /// Its news are being taken in.
    News,
    /// This node compares with it.
    Compare,
}

/// What goes on, and how often, with which nodes.
#[derive(Debug, Default)]
pub(super) struct Busy(HashMap<(NodeId, Work), usize>);

impl Busy {
    fn count(&self, node: NodeId, work: Work) -> usize {
        self.0.get(&(node, work)).copied().unwrap_or(0)
    }

    fn news(&self) -> usize {
        self.0.iter().filter(|((_, work), _)| *work == Work::News).map(|(_, count)| count).sum()
    }
}

/// A place among those.
struct Place {
    shared: Arc<Shared>,
    of: (NodeId, Work),
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut busy = self.shared.fallback.busy();
        if let Some(count) = busy.0.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                busy.0.remove(&self.of);
            }
        }
    }
}

impl Shared {
    /// Answers what another member asks about what is known here. News are taken in behind the answer.
    ///
    /// # Errors
    /// The E to answer.
    pub(crate) async fn answer_statements(
        self: &Arc<Self>,
        session: &Arc<Session>,
        request: Statements,
    ) -> Result<Stated, ErrorBody> {
        let off = || ErrorBody::new(ErrorCode::Unsupported, "this node keeps no copy of what others share");
        let replica = self.replica().ok_or_else(off)?;
        let Some(news) = request.news else {
            // Who compares with this node has chosen it.
            if request.digest.is_some() && !matches!(session.role(), Role::Index) {
                self.take_neighbour(session, By::Them);
            }
            return replica.answer(request).await;
        };
        let place = self.place(session.node(), Work::News, TAKEN_OF_ONE);
        let place = place.filter(|_| self.fallback.busy().news() <= TAKEN_OF_ALL);
        let busy = || ErrorBody::new(ErrorCode::Busy, "earlier news are still being taken in");
        let place = place.ok_or_else(busy)?;
        self.fallback.heard().note(&news, session.node());
        let (shared, session) = (self.clone(), session.clone());
        self.tasks.spawn_droppable(async move {
            let _place = place;
            match replica.take_news(session.connection(), news).await {
                Ok(fresh) => shared.spread(Some(session.node()), fresh),
                Err(error) => debug!(peer = %session.node().short(), %error, "news are not taken in"),
            }
        });
        Ok(Stated::default())
    }

    /// Tells the neighbours and the index what is new here.
    pub(crate) fn spread(&self, from: Option<NodeId>, news: News) {
        if news.is_empty() {
            return;
        }
        if from.is_none() {
            self.fallback.told_own.notify_one();
        }
        self.learn_certificate();
        if news.members.is_some() {
            self.part_from_ended();
        }
        if self.fallback.spread.try_send(Spread { from, news }).is_err() {
            debug!("more news than can be told on; they come with the next comparison");
        }
    }

    /// Goes by the certificate of an index that has moved, as others know.
    fn learn_certificate(&self) {
        let Some(newest) = self.replica().map(|replica| replica.certificate()) else { return };
        if self.me().certificate.is_none_or(|known| known.epoch < newest.epoch) {
            self.take_certificate(&newest);
        }
    }

    /// Closes the connections of members whose memberships have ended, as the list of members has it now.
    fn part_from_ended(&self) {
        for session in self.pool.all() {
            if session.serial().is_some_and(|serial| self.is_revoked(&session.node(), serial)) {
                session.close(ErrorCode::NotMember, "its membership was ended");
            }
        }
    }

    /// Takes a member as a neighbour, and compares with it at once.
    pub(super) fn meet(self: &Arc<Self>, session: &Arc<Session>) {
        if self.take_neighbour(session, By::Us) {
            let (shared, session) = (self.clone(), session.clone());
            self.tasks.spawn_droppable(async move { drop(shared.compare(&session).await) });
        }
    }

    /// Takes a member as a neighbour, and remembers where it is, whoever dialled: nodes listen where they dial from. Whether it
    /// is new.
    fn take_neighbour(self: &Arc<Self>, session: &Arc<Session>, by: By) -> bool {
        let new = self.fallback.neighbours().enter(session, by);
        if new {
            let (shared, node) = (self.clone(), session.node());
            let address = canonical(session.connection().remote_address());
            self.tasks.spawn_droppable(async move { shared.remember_peer(node, address).await });
        }
        new
    }

    /// Brings this node and another up to date, both ways. Not with one with which that goes on.
    async fn compare(self: &Arc<Self>, session: &Arc<Session>) -> Option<Synced> {
        let replica = self.replica()?;
        let node = session.node();
        let _place = self.place(node, Work::Compare, 1)?;
        match replica.sync(session.connection()).await {
            Ok(synced) => {
                debug!(peer = %node.short(), catalogues = synced.catalogues, bytes = synced.bytes, "compared");
                if synced.catalogues > 0 {
                    self.fallback.look_for_neighbours.notify_one();
                }
                self.spread(Some(node), synced.news.clone());
                Some(synced)
            }
            Err(error) => {
                debug!(peer = %node.short(), %error, "comparing failed");
                None
            }
        }
    }

    /// A place where with this node less than `most` of this goes on.
    fn place(self: &Arc<Self>, node: NodeId, work: Work, most: usize) -> Option<Place> {
        let mut busy = self.fallback.busy();
        if busy.count(node, work) >= most {
            return None;
        }
        *busy.0.entry((node, work)).or_default() += 1;
        Some(Place { shared: self.clone(), of: (node, work) })
    }

    /// The session with the index, where it is another node and there.
    pub(super) fn linked_index(&self) -> Option<Arc<Session>> {
        match &*self.link.borrow() {
            LinkState::Online { session } if self.service.is_none() && session.is_open() => {
                Some(session.clone())
            }
            _ => None,
        }
    }
}

/// Compares with each neighbour and the index in turn, until the node stops.
pub(crate) async fn keep_compared(shared: Arc<Shared>) {
    let mut pinged = monotonic();
    loop {
        let pause = if shared.fallback.uses_index() { COMPARE } else { COMPARE_ALONE };
        tokio::time::sleep(pause / 2 + jitter(pause)).await;
        if shared.membership().is_none() {
            continue;
        }
        let index = shared.linked_index();
        let next = shared.fallback.neighbours().next(index);
        let Some(next) = next else { continue };
        shared.compare(&next).await;
        // Without a stream now and then the far ends would take the others for unused.
        if monotonic() - pinged < COMPARE {
            continue;
        }
        pinged = monotonic();
        for other in shared.fallback.neighbours().all() {
            if other.node() != next.node() {
                let ping = async move { drop(IndexClient::new(other.connection().clone()).ping().await) };
                shared.tasks.spawn_droppable(ping);
            }
        }
    }
}

/// Compares with the index whenever it is connected.
pub(crate) async fn keep_compared_with_index(shared: Arc<Shared>) {
    let mut links = shared.link.subscribe();
    loop {
        if let Some(session) = shared.linked_index()
            && shared.membership().is_some()
            && shared.compare(&session).await.is_some()
        {
            // What it did not take on its own, as the tombstone of what it had not heard of, it has by now with all before it.
            shared.announce.notify_one();
        }
        tokio::select! {
            changed = links.changed() => if changed.is_err() { return },
            () = shared.fallback.enrolled.notified() => {}
        }
    }
}

/// Tells each new list of members, at the index, as soon as it is signed.
pub(crate) async fn keep_members_told(shared: Arc<Shared>) {
    let Some(mut lists) = shared.service.as_ref().map(index::IndexService::members) else { return };
    loop {
        let list = lists.borrow_and_update().as_ref().map(|list| list.bundle());
        if let Some(members) = list {
            shared.spread(None, News { members: Some(members), ..News::default() });
        }
        if lists.changed().await.is_err() {
            return;
        }
    }
}

/// Tells on what is new, until the node stops.
pub(crate) async fn keep_spread(shared: Arc<Shared>, mut queue: mpsc::Receiver<Spread>) {
    let mut rested = monotonic();
    while let Some(first) = queue.recv().await {
        let told = gather(first, &mut queue, rested).await;
        rested = monotonic() + REST;
        let mut dealt = told::deal(&told, &shared.there(), &shared.fallback.heard());
        for session in shared.told() {
            for news in dealt.remove(&session.node()).unwrap_or_default() {
                let session = session.clone();
                shared.tasks.spawn_droppable(async move { tell(&session, news).await });
            }
        }
    }
}

/// What is told together: what comes until that is due. This node's own is soon; what came from others has time until `rested`.
async fn gather(first: Spread, queue: &mut mpsc::Receiver<Spread>, rested: Instant) -> Vec<Spread> {
    let due = |spread: &Spread| match spread.from {
        None => monotonic() + TOGETHER,
        Some(_) => rested.max(monotonic() + TOGETHER + jitter(LISTENS)),
    };
    let mut at = due(&first);
    let mut waiting = vec![first];
    while waiting.len() < QUEUE
        && let Ok(Some(next)) = tokio::time::timeout_at(at.into(), queue.recv()).await
    {
        at = at.min(due(&next));
        waiting.push(next);
    }
    waiting
}

/// Tells one node, whether that hears it or not.
async fn tell(session: &Session, news: News) {
    let request = Statements { news: Some(news), ..Statements::default() };
    if let Err(error) = session.connection().ask(request).await {
        debug!(peer = %session.node().short(), %error, "news are not heard");
    }
}

impl Shared {
    /// Who is told what is new.
    pub(crate) fn told(&self) -> Vec<Arc<Session>> {
        let mut all = self.fallback.neighbours().all();
        all.extend(self.linked_index());
        all
    }

    /// Who is there, the neighbours in an order that is drawn, as is whether the index is told on what came from others.
    fn there(&self) -> There {
        let known = self.replica().map_or(0, |replica| replica.known_count());
        let mut neighbours = self.fallback.neighbours();
        let is_chosen = neighbours.is_one_of(TOLD_ON, known);
        let index = self.linked_index().map(|session| (session.node(), is_chosen));
        There { neighbours: neighbours.shuffled(), index }
    }

    /// Tells everybody at once, and waits for that a moment: for a node that stops.
    pub(super) async fn tell_now(&self, news: News, patience: Duration) {
        let told = self.told();
        let telling = told.iter().map(|session| tell(session, news.clone()));
        let _ = tokio::time::timeout(patience, futures_util::future::join_all(telling)).await;
    }
}
