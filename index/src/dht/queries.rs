//! The handle's queries: what was found so far, and who waits for it.

use std::collections::{HashMap, HashSet};

use certs::{AccountId, NodeId};
use libp2p_identity::PeerId;
use libp2p_kad::{
    Behaviour, GetProvidersOk, GetRecordOk, K_VALUE, PeerRecord, PutRecordError, PutRecordResult, QueryId,
    QueryResult, Record,
};

use super::address::node_of;
use super::handle::{DhtError, Reply, Until};
use super::lookup::{Best, Found, Judged};
use super::store::{Store, check_sizes};
use super::validate::{Reject, Verdict};

type Kad = Behaviour<Store>;

/// A query that runs.
pub(super) enum Pending {
    Put(Reply<Result<usize, DhtError>>),
    Get(Get),
    Provide(Reply<Result<(), DhtError>>),
    Providers(Providers),
    Bootstrap(Reply<Result<(), DhtError>>),
}

pub(super) struct Get {
    key: Vec<u8>,
    until: Until,
    best: Best,
    /// The accounts whose nodes gave the best value.
    voices: HashSet<AccountId>,
    reply: Reply<Option<Found>>,
}

pub(super) struct Providers {
    key: Vec<u8>,
    found: Vec<NodeId>,
    reply: Reply<Vec<NodeId>>,
}

impl Pending {
    pub(super) fn get(key: Vec<u8>, until: Until, reply: Reply<Option<Found>>) -> Self {
        Self::Get(Get { key, until, best: Best::default(), voices: HashSet::new(), reply })
    }

    pub(super) fn providers(key: Vec<u8>, reply: Reply<Vec<NodeId>>) -> Self {
        Self::Providers(Providers { key, found: Vec::new(), reply })
    }

    /// Whether it may end because nobody waits for it. What tells others something goes on.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Get(get) => get.reply.is_closed(),
            Self::Providers(providers) => providers.reply.is_closed(),
            Self::Put(_) | Self::Provide(_) | Self::Bootstrap(_) => false,
        }
    }
}

/// The queries that run.
pub(super) struct Queries {
    node: NodeId,
    agreeing: usize,
    pending: HashMap<QueryId, Pending>,
    conflicts: u64,
}

impl Queries {
    /// None yet. `agreeing` is how many nodes must give the same value for a lookup to end.
    pub(super) fn new(node: NodeId, agreeing: usize) -> Self {
        Self { node, agreeing, pending: HashMap::new(), conflicts: 0 }
    }

    pub(super) fn insert(&mut self, id: QueryId, pending: Pending) {
        self.pending.insert(id, pending);
    }

    pub(super) fn running(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// Ends the lookups of callers that have gone.
    pub(super) fn end_abandoned(&self, kad: &mut Kad) {
        for (id, _) in self.pending.iter().filter(|(_, pending)| pending.is_abandoned()) {
            finish(kad, id);
        }
    }

    /// Takes a result of a query; the last one answers whoever waits. Queries that are kad's own are nobody's.
    pub(super) fn progress(&mut self, kad: &mut Kad, id: QueryId, result: QueryResult, last: bool) {
        match (result, self.pending.get_mut(&id)) {
            (QueryResult::GetRecord(Ok(GetRecordOk::FoundRecord(found))), Some(Pending::Get(get))) => {
                self.conflicts += u64::from(get.take(kad, found));
                if get.until == Until::Agreed && get.voices.len() >= self.agreeing {
                    finish(kad, &id);
                }
            }
            (
                QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders { providers, .. })),
                Some(Pending::Providers(wanted)),
            ) => {
                providers.iter().for_each(|peer| wanted.take(kad, peer, &self.node));
                if wanted.found.len() >= K_VALUE.get() {
                    finish(kad, &id);
                }
            }
            (QueryResult::PutRecord(result), Some(_)) => {
                if let Some(Pending::Put(reply)) = self.pending.remove(&id) {
                    let _ = reply.send(Ok(answered(&result)));
                }
                return;
            }
            _ => {}
        }
        if last {
            self.end(&id);
        }
    }

    fn end(&mut self, id: &QueryId) {
        match self.pending.remove(id) {
            Some(Pending::Get(get)) => drop(get.reply.send(get.best.into_found())),
            Some(Pending::Providers(providers)) => drop(providers.reply.send(providers.found)),
            Some(Pending::Put(reply)) => drop(reply.send(Ok(0))),
            Some(Pending::Provide(reply) | Pending::Bootstrap(reply)) => drop(reply.send(Ok(()))),
            None => {}
        }
    }
}

impl Get {
    /// Takes an answer, if it is valid; whether it was a conflict.
    fn take(&mut self, kad: &mut Kad, PeerRecord { peer, record }: PeerRecord) -> bool {
        let store = kad.store_mut();
        let verdict = match self.check(store, peer, &record) {
            Ok(verdict) => verdict,
            Err(reject) => {
                store.count(reject);
                return false;
            }
        };
        let account = peer.and_then(|peer| store.judges().accounts.account_of(node_of(&peer)?));
        let judged = self.best.take(record.value.clone(), verdict.rank, peer.is_some());
        let is_best = match &judged {
            Judged::Better => true,
            Judged::Conflict { kept, .. } => *kept == record.value,
            Judged::Same | Judged::Lower => false,
        };
        if is_best {
            self.voices.clear();
        }
        if is_best || judged == Judged::Same {
            self.voices.extend(account);
        }
        let Judged::Conflict { kept, other } = judged else { return false };
        store.judges().validator.conflict(&self.key, &kept, &other);
        true
    }

    /// kad believes whatever an answer says, its key too.
    fn check(&self, store: &Store, peer: Option<PeerId>, record: &Record) -> Result<Verdict, Reject> {
        if record.key.as_ref() != self.key.as_slice() {
            return Err(Reject::OtherKey);
        }
        check_sizes(&self.key, &record.value)?;
        let source = peer.map(|peer| node_of(&peer).ok_or(Reject::UnknownNode)).transpose()?;
        let verdict = store.judges().validator.check(&self.key, &record.value, source)?;
        if verdict.until <= store.judges().clock.wall() { Err(Reject::Expired) } else { Ok(verdict) }
    }
}

impl Providers {
    fn take(&mut self, kad: &mut Kad, peer: &PeerId, this: &NodeId) {
        let store = kad.store_mut();
        let Some(node) = node_of(peer) else {
            store.count(Reject::UnknownNode);
            return;
        };
        // One answer may name as many as fit a message.
        let enough = self.found.len() >= 2 * K_VALUE.get();
        if enough || node == *this || self.found.contains(&node) {
            return;
        }
        match store.judges().validator.check_provider(&self.key, node) {
            Ok(()) => self.found.push(node),
            Err(reject) => drop(store.count(reject)),
        }
    }
}

/// How many nodes answered a put. It is asked of all nearest ones, so that fewer is what kad calls a failure.
fn answered(result: &PutRecordResult) -> usize {
    match result {
        Ok(_) => K_VALUE.get(),
        Err(PutRecordError::QuorumFailed { success, .. } | PutRecordError::Timeout { success, .. }) => {
            success.len()
        }
    }
}

/// Ends a lookup with what it has.
pub(super) fn finish(kad: &mut Kad, id: &QueryId) {
    if let Some(mut query) = kad.query_mut(id) {
        query.finish();
    }
}
