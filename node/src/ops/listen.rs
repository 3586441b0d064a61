//! Who tells this node what is new: the index, or while that is away the node's own copy of what all share.

use std::sync::Arc;
use std::time::Duration;

use index::{IndexClient, Replica, jitter};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tracing::{debug, warn};
use wire::ErrorBody;
use wire::message::{FollowOutcome, Followed, RecordBundle, ResourceKey};

use crate::fallback::discovery::Using;
use crate::net::Session;
use crate::peer::{LinkState, Shared};
use crate::store::{PublicationHead, PublicationState};
use crate::subscription::engine::Event;
use crate::transfer::verify_off_thread;

/// How long after the index ended the stream of its events another is opened, on a connection that stands.
const OPEN_AGAIN: Duration = Duration::from_secs(2);

/// Who is asked what stands, and tells what comes.
#[derive(Clone)]
pub(super) enum Teller {
    /// The index, on this connection.
    Index(Arc<Session>),
    /// The copy.
    Copy(Replica),
}

impl Teller {
    /// What stands for each of these, and from now on it is told what comes.
    ///
    /// # Errors
    /// The index's, or the copy's.
    pub(super) async fn follow(&self, followed: Vec<Followed>) -> Result<Vec<FollowOutcome>, ErrorBody> {
        match self {
            Self::Index(session) => Ok(client(session).follow(followed).await?),
            // It tells of everything.
            Self::Copy(replica) => replica.standing(followed).await,
        }
    }

    /// Nobody wants to hear of this any more. What is followed in vain costs a message, no more.
    pub(super) async fn unfollow(&self, resource: ResourceKey) {
        if let Self::Index(session) = self {
            let _ = client(session).unfollow(vec![resource]).await;
        }
    }
}

fn client(session: &Session) -> IndexClient {
    IndexClient::new(session.connection().clone())
}

/// Listens to the index on each connection with it, and to the copy while the index is away.
pub(super) async fn listen(shared: Arc<Shared>, tellers: watch::Sender<Option<Teller>>) {
    let (mut links, mut using) = (shared.link.subscribe(), shared.fallback.subscribe());
    loop {
        let replica = shared.replica();
        let copies = replica.is_some();
        let copy = replica.filter(|_| !shared.fallback.uses_index());
        let index = match &*links.borrow_and_update() {
            LinkState::Online { session } if session.is_open() => Some(session.clone()),
            _ => None,
        };
        let member = shared.membership().is_some();
        match (copy.filter(|_| member), index) {
            (Some(replica), _) => {
                let listening = listen_to_copy(&shared, &replica, &tellers);
                tokio::select! {
                    () = listening => {}
                    _ = using.wait_for(|using| *using == Using::Index) => {}
                }
                ended(&shared, &tellers);
            }
            (None, Some(session)) => {
                if member {
                    let listening = listen_to_index(&shared, &session, &tellers);
                    tokio::select! {
                        ended = listening => debug!(?ended, "the index tells of nothing more on this stream"),
                        _ = using.wait_for(|using| *using == Using::Copy), if copies => {}
                    }
                    ended(&shared, &tellers);
                }
                tokio::select! {
                    _ = session.connection().closed() => {}
                    _ = using.wait_for(|using| *using == Using::Copy), if copies => {}
                    () = shared.subscriptions.enrolled.notified() => {}
                    () = tokio::time::sleep(OPEN_AGAIN / 2 + jitter(OPEN_AGAIN / 2)) => {}
                }
            }
            (None, None) => tokio::select! {
                changed = links.changed() => if changed.is_err() { return },
                changed = using.changed() => if changed.is_err() { return },
                () = shared.subscriptions.enrolled.notified() => {}
            },
        }
    }
}

fn ended(shared: &Shared, tellers: &watch::Sender<Option<Teller>>) {
    tellers.send_replace(None);
    shared.subscriptions.tell(Event::Disconnected);
}

/// Takes what the index tells on one stream, until that ends; why it did.
async fn listen_to_index(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    tellers: &watch::Sender<Option<Teller>>,
) -> Result<(), ErrorBody> {
    let mut events = client(session).events().await?;
    begin(shared, tellers, Teller::Index(session.clone())).await;
    while let Some(event) = events.next().await? {
        let wire::message::Event::Record(bundle) = event;
        hear(shared, bundle).await;
    }
    Ok(())
}

/// Takes what comes to stand in the copy, for as long as nothing is missed.
async fn listen_to_copy(shared: &Arc<Shared>, replica: &Replica, tellers: &watch::Sender<Option<Teller>>) {
    let mut changes = replica.changes();
    begin(shared, tellers, Teller::Copy(replica.clone())).await;
    loop {
        match changes.recv().await {
            Ok(wire::message::Event::Record(bundle)) => hear(shared, bundle).await,
            // Everything is asked for anew.
            Err(RecvError::Lagged(missed)) => return debug!(missed, "more changed than was listened to"),
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}

/// From now on this one is asked.
async fn begin(shared: &Arc<Shared>, tellers: &watch::Sender<Option<Teller>>, teller: Teller) {
    if let Err(error) = take_up_own(shared).await {
        warn!(%error, "what this node shares cannot be read: it does not hear of what beats that");
    }
    tellers.send_replace(Some(teller));
    shared.subscriptions.tell(Event::Connected);
}

async fn hear(shared: &Arc<Shared>, bundle: RecordBundle) {
    match verify_off_thread(shared, bundle).await {
        Ok(record) => shared.heard_of(&record).await,
        Err(body) => debug!(%body, "what is told is a record that does not hold"),
    }
}

/// Takes up what this node publishes.
async fn take_up_own(shared: &Arc<Shared>) -> Result<(), crate::store::DbError> {
    let mut after = None;
    loop {
        let page = shared.store.publication_heads(after.take(), u32::MAX).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.name.clone());
        let own =
            |head: &&PublicationHead| head.node == shared.node() && head.state == PublicationState::Published;
        page.iter().filter(own).for_each(|head| shared.hear_of_own(&head.name, head.record));
    }
}
