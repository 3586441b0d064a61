//! What this node keeps for the DHT: records and provider entries of others, and its own.
//!
//! kad's own `MemoryStore` counts all peers' entries together, so that one peer can fill it, and forgets nothing that
//! nobody asks for. This one has a bound for each author and each source, for all records and all bytes, ends what has
//! ended by the wall clock, and hands changes to a [`Keep`].
//!
//! **What goes when it is full.** The record whose key is farthest from this node, if the new one is nearer: others are
//! nearer to it and keep it. An author's or source's own quota is never made room for at the cost of others. What this
//! node put itself stays until it ends.
//!
//! | concept | file |
//! | --- | --- |
//! | records: checks, order, quotas, eviction | `records` |
//! | provider entries | `providers` |
//! | how much each has, and how fast it sends | `quota` |
//! | what outlives the process; in a file | `keep`; `file` |

mod file;
mod keep;
mod providers;
mod quota;
mod records;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use certs::{NodeId, UnixMillis};
use libp2p_identity::PeerId;
use libp2p_kad::store::{Error, RecordStore, Result as StoreResult};
use libp2p_kad::{ProviderRecord, Record, RecordKey};

pub use self::file::KeepFile;
use self::keep::OnlyForgets;
pub use self::keep::{Forgetful, Keep, Kept};
pub(super) use self::providers::Provided;
use self::providers::Providers;
use self::quota::Pace;
use self::records::Offer;
use self::records::Records;
pub(super) use self::records::{Outcome, check_sizes, stands_before};
use super::address::{node_of, peer_of};
use super::validate::{Accounts, Clock, Reject, Validator};

/// How much the store holds.
#[derive(Debug, Clone)]
pub struct StoreLimits {
    /// Records of others in all. 20,000 by default.
    pub records: usize,
    /// Bytes of others' records in all, each with its key and 256 for the tables. 64 MiB by default; it bounds the memory.
    pub bytes: usize,
    /// Records of one author. 2,048 by default.
    pub records_of_author: usize,
    /// Records that one node sent. Replicas hand on what others wrote, so it is more than an author's: 8,192 by default.
    pub records_of_source: usize,
    /// Bytes of the records of one author, and that one node sent: 16 MiB by default.
    pub bytes_of_one: usize,
    /// Records that this node put itself; its caller decides about them. 16,384 by default.
    pub own_records: usize,
    /// Provider entries in all. 50,000 by default, of some 600 bytes with the most addresses: 30 MiB.
    pub providers: usize,
    /// Provider entries of one node. 1,000 by default.
    pub providers_of_node: usize,
    /// The time to live of a record that says none or a longer one. 48 hours by default.
    pub record_ttl: Duration,
    /// The time to live of a provider entry. 24 hours by default.
    pub provider_ttl: Duration,
    /// Writes (records, provider entries) of one node in a minute, in a long run. 600 by default.
    pub writes_per_minute: u32,
    /// Writes of one node at once. 2,000 by default: a replica hands on a large catalogue.
    pub writes_at_once: u32,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            records: 20_000,
            bytes: 64 << 20,
            records_of_author: 2_048,
            records_of_source: 8_192,
            bytes_of_one: 16 << 20,
            own_records: 16_384,
            providers: 50_000,
            providers_of_node: 1_000,
            record_ttl: Duration::from_hours(48),
            provider_ttl: Duration::from_hours(24),
            writes_per_minute: 600,
            writes_at_once: 2_000,
        }
    }
}

/// What the store has, and what it did not take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// Records of others and own ones.
    pub records: usize,
    /// Their bytes, as the limit counts them.
    pub bytes: usize,
    /// How many of the records are this node's own.
    pub own_records: usize,
    /// Provider entries of others.
    pub providers: usize,
    /// Keys that this node provides.
    pub provided: usize,
    /// Records that went because nearer ones came.
    pub evicted: u64,
    /// What was not taken or believed, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
}

/// What is asked and told while a record is judged.
pub(super) struct Judges {
    pub(super) validator: Arc<dyn Validator>,
    pub(super) accounts: Arc<dyn Accounts>,
    pub(super) clock: Arc<dyn Clock>,
}

/// The store.
pub(super) struct Store {
    limits: StoreLimits,
    judges: Judges,
    records: Records,
    providers: Providers,
    pace: Pace,
    rejected: BTreeMap<&'static str, u64>,
    keep: Box<dyn Keep>,
}

impl Store {
    /// A store with what was kept; of that, what does not verify any more is dropped.
    pub(super) fn new(
        node: NodeId,
        limits: StoreLimits,
        judges: Judges,
        mut keep: Box<dyn Keep>,
        kept: Vec<Kept>,
    ) -> Self {
        let mut store = Self {
            records: Records::new(node),
            providers: Providers::new(node),
            pace: Pace::default(),
            rejected: BTreeMap::new(),
            judges,
            limits,
            keep: Box::new(Forgetful),
        };
        store.restore(kept, keep.as_mut());
        store.keep = keep;
        store
    }

    /// Takes what was kept; what is kept already is not written again.
    fn restore(&mut self, kept: Vec<Kept>, keep: &mut dyn Keep) {
        let now = self.judges.clock.wall();
        for one in kept {
            let key = one.key.clone();
            let offer =
                Offer { key: one.key, value: one.value, source: one.source, expires: Some(one.expires) };
            let mut forgets = OnlyForgets(keep);
            let taken =
                self.records.offer(offer, &self.limits, self.judges.validator.as_ref(), now, &mut forgets);
            if let Err(reject) = taken {
                keep.forget(&key);
                self.count(reject);
            }
        }
    }

    /// Takes a record that another node sent, or does not.
    ///
    /// # Errors
    /// Why not; it has been counted.
    pub(super) fn offer(&mut self, record: Record, source: NodeId) -> Result<Outcome, Reject> {
        let now = self.judges.clock.wall();
        self.paced(source, now)?;
        let expires = record.expires.map(|at| self.wall_of(at));
        let key = record.key.as_ref().to_vec();
        self.take(Offer { key, value: record.value, source: Some(source), expires })
    }

    /// Takes what this node puts itself, for as long as is said or as records live.
    ///
    /// # Errors
    /// Why not; it has been counted.
    pub(super) fn put_own(
        &mut self,
        key: Vec<u8>,
        value: Vec<u8>,
        expires: UnixMillis,
    ) -> Result<Outcome, Reject> {
        self.take(Offer { key, value, source: None, expires: Some(expires) })
    }

    /// Takes a provider entry that its provider sent, or does not.
    ///
    /// # Errors
    /// Why not; it has been counted.
    pub(super) fn offer_provider(&mut self, record: &ProviderRecord) -> Result<(), Reject> {
        let now = self.judges.clock.wall();
        let Some(node) = node_of(&record.provider) else { return Err(self.count(Reject::UnknownNode)) };
        self.paced(node, now)?;
        let offered = Provided::of(record, node, now, &self.limits);
        let taken = self.providers.offer(offered, &self.limits, &self.judges, now);
        taken.map_err(|reject| self.count(reject))
    }

    /// This node provides something.
    ///
    /// # Errors
    /// [`Reject::Key`], [`Reject::SourceQuota`].
    pub(super) fn provide(&mut self, key: &[u8]) -> Result<(), Reject> {
        self.providers.provide(key, &self.limits)
    }

    /// Counts something that was not taken or believed.
    pub(super) fn count(&mut self, reject: Reject) -> Reject {
        *self.rejected.entry(reject.reason()).or_default() += 1;
        reject
    }

    /// Forgets what has ended.
    pub(super) fn sweep(&mut self) {
        let now = self.judges.clock.wall();
        self.records.sweep(now, self.keep.as_mut());
        self.providers.sweep(now);
        self.pace.sweep(now, &self.limits);
    }

    pub(super) fn judges(&self) -> &Judges {
        &self.judges
    }

    pub(super) fn status(&self) -> StoreStatus {
        StoreStatus {
            records: self.records.len(),
            bytes: self.records.bytes(),
            own_records: self.records.own(),
            providers: self.providers.len(),
            provided: self.providers.provided().len(),
            evicted: self.records.evicted(),
            rejected: self.rejected.clone(),
        }
    }

    /// When this moment of the monotonic clock is.
    fn wall_of(&self, at: Instant) -> UnixMillis {
        let left = at.saturating_duration_since(self.judges.clock.monotonic());
        self.judges.clock.wall().plus(millis(left))
    }

    fn paced(&mut self, source: NodeId, now: UnixMillis) -> Result<(), Reject> {
        let paced = self.pace.write(source, now, &self.limits);
        paced.map_err(|reject| self.count(reject))
    }

    fn take(&mut self, offer: Offer) -> Result<Outcome, Reject> {
        let now = self.judges.clock.wall();
        let taken =
            self.records.offer(offer, &self.limits, self.judges.validator.as_ref(), now, self.keep.as_mut());
        taken.map_err(|reject| self.count(reject))
    }
}

/// What kad asks of its store. What comes from others does not come this way: kad is told to let it be filtered
/// (`StoreInserts::FilterBoth`).
impl RecordStore for Store {
    type RecordsIter<'a> = std::iter::Empty<Cow<'a, Record>>;
    type ProvidedIter<'a> = std::vec::IntoIter<Cow<'a, ProviderRecord>>;

    fn get(&self, key: &RecordKey) -> Option<Cow<'_, Record>> {
        let now = self.judges.clock.wall();
        let (value, expires) = self.records.get(key.as_ref(), now)?;
        let left = Duration::from_millis(expires.0.saturating_sub(now.0));
        let expires = self.judges.clock.monotonic().checked_add(left);
        Some(Cow::Owned(Record { key: key.clone(), value: value.to_vec(), publisher: None, expires }))
    }

    /// What this node puts. It has been taken by [`Store::put_own`], so there is nothing to do.
    fn put(&mut self, record: Record) -> StoreResult<()> {
        let now = self.judges.clock.wall();
        let known =
            self.records.get(record.key.as_ref(), now).is_some_and(|(value, _)| *value == *record.value);
        if known { Ok(()) } else { Err(Error::MaxRecords) }
    }

    /// kad removes what has ended, and this node's own on demand.
    fn remove(&mut self, key: &RecordKey) {
        self.records.remove(key.as_ref(), self.keep.as_mut());
    }

    /// Only kad's job of replication asks, which does not run: whoever put a record puts it again.
    fn records(&self) -> Self::RecordsIter<'_> {
        std::iter::empty()
    }

    fn add_provider(&mut self, record: ProviderRecord) -> StoreResult<()> {
        self.provide(record.key.as_ref()).map_err(|_| Error::MaxProvidedKeys)
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        self.providers.of_key(key, self.judges.clock.wall())
    }

    /// Only kad's job of publication asks, which does not run.
    fn provided(&self) -> Self::ProvidedIter<'_> {
        Vec::new().into_iter()
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        self.providers.remove(key.as_ref(), provider);
    }
}

/// A time in milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A key as kad takes it.
pub(super) fn record_key(key: &[u8]) -> RecordKey {
    RecordKey::new(&key)
}

/// The peer of the store's node; in one place because it costs a decompression of the key.
fn own_peer(node: NodeId) -> PeerId {
    peer_of(&node)
}
