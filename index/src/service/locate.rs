//! P at the index: the record of a resource, and who has its content right now.

use std::pin::pin;
use std::sync::Arc;

use tokio::task::JoinSet;
use wire::message::{HolderInfo, Located, Probe, ResourceQuery};
use wire::{ContentHash, ErrorBody};

use super::IndexService;
use crate::presence::addresses_for;
use crate::probe::{self, Answered};
use crate::reading::{self, place};
use crate::registry::{Holder, NodeRow};
use crate::session::{IndexSession, Member};

/// Holders that are probed at once, and so at most in one answer.
const PROBED: usize = 16;
/// How many times as many are probed before an answer may be empty though more holders follow: 4 s at most.
const ROUNDS: usize = 2;

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
        let located =
            reading::find(&self.inner.registry, &member.user, Some(member.node_row), &query).await?;
        let (holders, from) = (&located.holders, located.from);
        let others = holders.iter().filter(|holder| holder.node != member.node_row).count();
        let candidates = self.candidates(session, holders, from);
        let online = candidates.len();
        let (found, last) = self.probe_all(session, member, located.content, candidates).await;
        if found.holders.is_empty() && last.is_none() && from == 0 && !query.anyway {
            return Err(no_holder(&query, &found, others - online.min(others)));
        }
        let next = last.map(|place| located.next(place));
        Ok(Located { bundle: located.stored.into_bundle(), holders: found.holders, next })
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

fn no_holder(query: &ResourceQuery, found: &Found, offline: usize) -> ErrorBody {
    let Found { changed, silent, gone, .. } = found;
    let why = [
        (offline, "not online"),
        (*changed, "online, but the file there has changed since"),
        (*gone, "online, but without the file"),
        (*silent, "online, but without an answer"),
    ];
    reading::no_holder(query, &why)
}
