//! P at the index: the record of a resource, and who has its content right now.

use std::pin::pin;
use std::sync::Arc;

use certs::NodeId;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tokio::task::JoinSet;
use wire::message::{HolderInfo, Located, Probe, RecordBundle, ResourceQuery};
use wire::{ContentHash, ErrorBody, ErrorCode, RecordHash};

use super::IndexService;
use crate::cursor::{self, Cursor};
use crate::presence::addresses_for;
use crate::probe::{self, Answered};
use crate::registry::{Holder, NodeRow, Stored};
use crate::session::{IndexSession, Member};

/// Holders that are probed at once, and so at most in one answer.
const PROBED: usize = 16;
/// How many times as many are probed before an answer may be empty though more holders follow: 4 s at most.
const ROUNDS: usize = 2;

/// The record of the page before, and its last holder's place in the asker's order.
#[derive(Serialize, Deserialize)]
struct After(RecordHash, u64);

impl Cursor for After {
    const LETTER: char = 'P';
}

/// A holder that is online, at its place in the asker's order.
struct Candidate {
    place: u64,
    session: Arc<IndexSession>,
    row: NodeRow,
}

/// What the probes found so far.
#[derive(Default)]
struct Found {
    holders: Vec<HolderInfo>,
    changed: usize,
    silent: usize,
    gone: usize,
}

impl IndexService {
    pub(super) async fn locate(
        &self,
        session: &IndexSession,
        member: &Member,
        query: ResourceQuery,
    ) -> Result<Located, ErrorBody> {
        let after: Option<After> = cursor::decode(query.cursor.as_ref())?;
        let own = query.owner == member.user;
        let found = self.inner.registry.locate(query.owner.clone(), query.name.clone(), query.version, own);
        let (stored, holders) = found.await?.ok_or_else(|| not_found(&query))?;
        let content = stored.current.content.ok_or_else(|| not_found(&query))?;
        // A node that changed its account has left what it published under the other one to whoever holds it, and one that
        // publishes a later version what it had before.
        if own && stored.latest && stored.node == member.node_row {
            let text = format!("this node itself publishes {}/{}", query.owner, query.name);
            return Err(ErrorBody::new(ErrorCode::SelfOwned, text));
        }
        let from = match after {
            None => 0,
            Some(After(record, place)) if record == stored.current.hash => place.saturating_add(1),
            Some(_) => return Err(cursor::bad()),
        };
        let others = holders.iter().filter(|holder| holder.node != member.node_row).count();
        let candidates = self.candidates(session, &holders, from);
        let online = candidates.len();
        let (found, last) = self.probe_all(session, member, content, candidates).await;
        if found.holders.is_empty() && last.is_none() && from == 0 && !query.anyway {
            return Err(no_holder(&query, &found, others - online.min(others)));
        }
        let next = last.map(|place| cursor::encode(&After(stored.current.hash, place)));
        Ok(Located { bundle: bundle(stored), holders: found.holders, next })
    }

    /// The holders that are online, but for the asker, in an order of the asker's own, so that all of them get their
    /// share of the askers: those that have all first.
    fn candidates(&self, asker: &IndexSession, holders: &[Holder], from: u64) -> Vec<Candidate> {
        let online = |holder: &Holder| Some((*holder, self.inner.presence.member_session(holder.node)?));
        let mut candidates: Vec<_> = holders
            .iter()
            .filter_map(online)
            .filter(|(_, session)| session.node != asker.node)
            .map(|(holder, session)| Candidate {
                place: place(&asker.node, &session.node, holder.whole),
                session,
                row: holder.node,
            })
            .filter(|candidate| candidate.place >= from)
            .collect();
        candidates.sort_by_key(|candidate| candidate.place);
        candidates
    }

    /// Probes round by round until some have it. With the last place probed, if more follow.
    async fn probe_all(
        &self,
        asker: &IndexSession,
        member: &Member,
        content: ContentHash,
        mut candidates: Vec<Candidate>,
    ) -> (Found, Option<u64>) {
        let (mut found, mut after) = (Found::default(), None);
        for _ in 0..ROUNDS {
            let rest = candidates.split_off(candidates.len().min(PROBED));
            let last = candidates.last().map(|candidate| candidate.place);
            self.probe_round(asker, member, content, candidates, &mut found).await;
            if rest.is_empty() {
                return (found, None);
            }
            (candidates, after) = (rest, last);
            if !found.holders.is_empty() {
                break;
            }
        }
        (found, after)
    }

    async fn probe_round(
        &self,
        asker: &IndexSession,
        member: &Member,
        content: ContentHash,
        candidates: Vec<Candidate>,
        found: &mut Found,
    ) {
        let now = self.now();
        let mut probes = JoinSet::new();
        for candidate in candidates {
            let probe = Probe { content, asker: asker.node, user: member.user.clone() };
            let service = self.clone();
            probes.spawn(async move {
                let answered = service.inner.probes.probe(&candidate.session, probe, now).await;
                (candidate, answered)
            });
        }
        let mut patience = pin!(tokio::time::sleep(probe::PATIENCE));
        loop {
            let probed = tokio::select! {
                probed = probes.join_next() => probed,
                () = &mut patience, if !found.holders.is_empty() => break,
            };
            let Some(probed) = probed else { break };
            let Ok((candidate, answered)) = probed else { continue };
            match answered {
                Answered::Whole => found.holders.extend(holder(&candidate, asker, true)),
                Answered::Partial => found.holders.extend(holder(&candidate, asker, false)),
                Answered::Changed => found.changed += 1,
                Answered::Silent => found.silent += 1,
                Answered::NotFound => {
                    found.gone += 1;
                    self.forget(candidate.row, content);
                }
            }
        }
        found.silent += probes.len();
    }

    /// In the background: the asker need not wait for the disk.
    fn forget(&self, row: NodeRow, content: ContentHash) {
        let service = self.clone();
        self.inner.background.spawn(async move {
            if let Err(error) = service.inner.registry.unhold(row, vec![content]).await {
                tracing::warn!(%error, "a holder that has nothing could not be forgotten");
            }
        });
    }
}

fn holder(candidate: &Candidate, asker: &IndexSession, whole: bool) -> Option<HolderInfo> {
    let session = &candidate.session;
    let user = session.member()?.user;
    Some(HolderInfo { node: session.node, user, addresses: addresses_for(session, asker), whole })
}

/// Those that have a part in the upper half. One that comes to have all between two pages may be named twice or not at all.
fn place(asker: &NodeId, holder: &NodeId, whole: bool) -> u64 {
    let mut place = [0; 8];
    let mut hasher = blake3::Hasher::new();
    hasher.update(asker.as_bytes()).update(holder.as_bytes()).finalize_xof().fill(&mut place);
    (u64::from_be_bytes(place) >> 1) | (u64::from(!whole) << 63)
}

fn bundle(stored: Stored) -> RecordBundle {
    RecordBundle {
        record: ByteBuf::from(stored.record),
        receipt: Some(ByteBuf::from(stored.receipt)),
        certificate: Some(ByteBuf::from(stored.certificate)),
        enrolment: None,
    }
}

fn not_found(query: &ResourceQuery) -> ErrorBody {
    let of_version = query.version.map(|version| format!(", version {version}")).unwrap_or_default();
    ErrorBody::new(ErrorCode::NotFound, format!("there is no {}/{}{of_version}", query.owner, query.name))
}

fn no_holder(query: &ResourceQuery, found: &Found, offline: usize) -> ErrorBody {
    let Found { changed, silent, gone, .. } = found;
    let why = [
        (offline, "not online"),
        (*changed, "online, but the file there has changed since"),
        (*gone, "online, but without the file"),
        (*silent, "online, but without an answer"),
    ];
    let why: Vec<_> =
        why.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let why = if why.is_empty() { "nobody holds it".to_owned() } else { why.join("; ") };
    let text = format!("no holder of {}/{} can give it: {why}", query.owner, query.name);
    ErrorBody::new(ErrorCode::NoHolder, text)
}
