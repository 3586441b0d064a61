//! A member that tells others what it likes about itself and others: heads, pages, presence.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certs::{Enrolment, NodeId, Signed, UnixMillis};
use index::CallError;
use quinn::Connection;
use serde_bytes::ByteBuf;
use tokio::task::JoinSet;
use wire::catalogue::{CatalogueHead, CatalogueRecord, HeadBundle, Tree, TreeBuilder, build_records};
use wire::message::{
    Address, Answer, Empty, Have, News, Request, Stated, StatedPage, Statements, StatementsDigest,
};
use wire::{Digest, ErrorBody, ErrorCode, Presence, PresenceBundle, SignedRecord, TreeHash, frame, limits};

use super::member::Member;
use super::stranger::{Stranger, ask};
use crate::clock;

/// How long a far end may take for an answer.
const ANSWER: Duration = Duration::from_secs(15);

/// What such a member says, and the pages that it gives when it is asked for them.
#[derive(Debug, Clone, Default)]
pub struct Gossip {
    pages: Arc<Mutex<HashMap<TreeHash, Vec<u8>>>>,
    asked: Arc<AtomicU64>,
}

/// A connection on which the far end may ask for pages; it is attended until this is dropped.
#[derive(Debug)]
pub struct Telling {
    connection: Connection,
    _attending: JoinSet<()>,
}

impl Gossip {
    /// How many pages it was asked for.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Has a page; its hash.
    pub fn page(&self, bytes: Vec<u8>) -> TreeHash {
        let hash = TreeHash::of(&bytes);
        self.lock().insert(hash, bytes);
        hash
    }

    /// Has a tree of these records, in this order; its root.
    pub fn records(&self, records: &[SignedRecord]) -> Option<TreeHash> {
        let mut builder = TreeBuilder::new();
        let items = records.iter().map(|signed| {
            let record = CatalogueRecord { record: ByteBuf::from(signed.bytes()), receipt: None };
            (signed.name.as_str(), record, None)
        });
        build_records(&mut builder, items);
        let (root, pages) = builder.finish();
        self.lock().extend(pages);
        root
    }

    /// Connects to a node as a member, and answers whatever it asks for.
    ///
    /// # Errors
    /// What the far end says.
    pub async fn connect(&self, member: &Member, address: SocketAddr) -> Result<Telling, CallError> {
        Ok(self.attend(member.try_connect(address).await?))
    }

    /// On a connection whose hello, if there was one, is over.
    pub fn attend(&self, connection: Connection) -> Telling {
        let mut attending = JoinSet::new();
        attending.spawn(self.clone().answer_all(connection.clone()));
        Telling { connection, _attending: attending }
    }

    async fn answer_all(self, connection: Connection) {
        while let Ok((mut send, mut receive)) = connection.accept_bi().await {
            let limit = limits::MEMBER_FRAME_BYTES;
            let Ok(bytes) = frame::read_bytes(&mut receive, limit).await else { continue };
            let Ok(request) = Request::decode(&bytes, limit) else { continue };
            let written = match request {
                Request::Ping(_) => frame::write(&mut send, &Answer::A(Empty {}), limit).await,
                Request::Statements(asked) => {
                    frame::write(&mut send, &Answer::A(self.answer(&asked)), limit).await
                }
                _ => {
                    let no = ErrorBody::new(ErrorCode::Unsupported, "not here");
                    frame::write(&mut send, &Answer::<Empty>::E(no), limit).await
                }
            };
            if written.is_ok() {
                let _ = send.finish();
            }
        }
    }

    fn answer(&self, asked: &Statements) -> Stated {
        let Some(hashes) = &asked.pages else {
            let nothing = StatementsDigest { known: Digest::from_bytes([7; 32]), members: None, index: None };
            return Stated { digest: asked.digest.map(|_| nothing), ..Stated::default() };
        };
        self.asked.fetch_add(hashes.len() as u64, Ordering::Relaxed);
        let pages = self.lock();
        let page = |hash| StatedPage(pages.get(hash).cloned().map(ByteBuf::from));
        Stated { pages: hashes.iter().map(page).collect(), ..Stated::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TreeHash, Vec<u8>>> {
        self.pages.lock().expect("no panic while it is held")
    }
}

impl Telling {
    /// The connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Tells news.
    ///
    /// # Errors
    /// What the far end says.
    pub async fn tell(&self, news: News) -> Result<Stated, CallError> {
        self.state(Statements { news: Some(news), ..Statements::default() }).await
    }

    /// Asks for all heads and words that the far end has, as somebody who has none.
    ///
    /// # Errors
    /// What the far end says.
    pub async fn all_news(&self) -> Result<News, CallError> {
        let have = Some(Have { after: None, up_to: None, known: Vec::new() });
        let stated = self.state(Statements { have, ..Statements::default() }).await?;
        Ok(stated.news.unwrap_or_default())
    }

    async fn state(&self, statements: Statements) -> Result<Stated, CallError> {
        index::call(&self.connection, &Request::Statements(statements), ANSWER).await
    }
}

/// Tells news without having been let in.
///
/// # Errors
/// What the far end says.
pub async fn tell_as_stranger(connection: &Connection, news: News) -> Result<Stated, CallError> {
    ask(connection, &Request::Statements(Statements { news: Some(news), ..Statements::default() })).await
}

/// A head by this key, of a catalogue with these records, or of nothing.
pub fn head_of(
    by: &Stranger,
    enrolment: &Enrolment,
    (seq, time): (u64, UnixMillis),
    records: Tree,
) -> HeadBundle {
    let network = enrolment.membership.network;
    let head = CatalogueHead::issue(by.key(), network, seq, time, records, Tree::default());
    HeadBundle::new(&head, enrolment)
}

/// A node's word that it is at these addresses.
pub fn word_of(by: &Stranger, enrolment: &Enrolment, addresses: &[SocketAddr]) -> PresenceBundle {
    let now = clock::wall_millis();
    let addresses = addresses.iter().filter_map(|address| Address::new(*address)).collect();
    let word = Presence::issue(by.key(), enrolment.membership.network, now, now, addresses);
    let presence = ByteBuf::from(word.bytes());
    PresenceBundle { presence, enrolment: Some(ByteBuf::from(enrolment.to_bytes())) }
}

/// Of these, the head of a node.
pub fn head_in(news: &News, node: NodeId) -> Option<HeadBundle> {
    let is_of =
        |one: &&HeadBundle| Signed::<CatalogueHead>::parse(&one.head).is_ok_and(|head| head.node == node);
    news.heads.iter().find(is_of).cloned()
}
