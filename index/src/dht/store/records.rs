//! Records. Invariant: `by_end` and `by_distance` name exactly the records in `entries`, the latter only those of others;
//! the usages are the sums over them.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use certs::{NodeId, UnixMillis};
use libp2p_identity::PeerId;
use libp2p_kad::{KBucketDistance, KBucketKey};
use wire::limits::{DHT_KEY_BYTES, DHT_VALUE_BYTES};

use super::quota::Usage;
use super::{Keep, Kept, StoreLimits, millis, own_peer, record_key};
use crate::dht::validate::{Rank, Reject, Validator, Verdict};

/// What a record costs in memory beside its key and value: its places in four tables.
pub(super) const OVERHEAD: usize = 256;

/// A record that is offered.
pub(in crate::dht) struct Offer {
    pub(in crate::dht) key: Vec<u8>,
    pub(in crate::dht) value: Vec<u8>,
    /// Who sent it; `None` for this node itself.
    pub(in crate::dht) source: Option<NodeId>,
    /// When it ends; as records live where it says nothing.
    pub(in crate::dht) expires: Option<UnixMillis>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dht) enum Outcome {
    /// There was none of this key.
    Stored,
    /// It took the place of a lower one.
    Replaced,
    /// It was there already; it now ends later, if this one does.
    Known,
}

struct Entry {
    value: Vec<u8>,
    rank: Rank,
    author: Option<NodeId>,
    source: Option<NodeId>,
    expires: UnixMillis,
    distance: KBucketDistance,
}

impl Entry {
    fn bytes(&self, key: &[u8]) -> usize {
        key.len() + self.value.len() + OVERHEAD
    }

    fn is_own(&self) -> bool {
        self.source.is_none()
    }
}

/// The records.
pub(super) struct Records {
    here: KBucketKey<PeerId>,
    entries: HashMap<Bytes, Entry>,
    by_end: BTreeSet<(UnixMillis, Bytes)>,
    by_distance: BTreeSet<(KBucketDistance, Bytes)>,
    authors: Usage,
    sources: Usage,
    bytes: usize,
    bytes_of_others: usize,
    evicted: u64,
}

impl Records {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            here: KBucketKey::from(own_peer(node)),
            entries: HashMap::new(),
            by_end: BTreeSet::new(),
            by_distance: BTreeSet::new(),
            authors: Usage::default(),
            sources: Usage::default(),
            bytes: 0,
            bytes_of_others: 0,
            evicted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn own(&self) -> usize {
        self.entries.len() - self.by_distance.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// A value and when it ends, if it has not.
    pub(super) fn get(&self, key: &[u8], now: UnixMillis) -> Option<(&[u8], UnixMillis)> {
        let entry = self.entries.get(key).filter(|entry| entry.expires > now)?;
        Some((&entry.value, entry.expires))
    }

    /// Takes a record or does not. What is cheap to check comes first.
    pub(super) fn offer(
        &mut self,
        offer: Offer,
        limits: &StoreLimits,
        validator: &dyn Validator,
        now: UnixMillis,
        keep: &mut dyn Keep,
    ) -> Result<Outcome, Reject> {
        check_sizes(&offer.key, &offer.value)?;
        let verdict = validator.check(&offer.key, &offer.value, offer.source)?;
        let longest = now.plus(millis(limits.record_ttl));
        let expires = offer.expires.unwrap_or(longest).min(longest).min(verdict.until);
        if expires <= now {
            return Err(Reject::Expired);
        }
        // One that has ended has no say any more.
        if self.entries.get(offer.key.as_slice()).is_some_and(|known| known.expires <= now) {
            self.remove(&offer.key, keep);
        }
        let outcome = match self.entries.get(offer.key.as_slice()) {
            None => Outcome::Stored,
            Some(known) if known.value == offer.value => {
                self.prolong(offer, expires, limits, keep);
                return Ok(Outcome::Known);
            }
            Some(known) => {
                compare(&offer, verdict.rank, known, validator)?;
                Outcome::Replaced
            }
        };
        self.put(offer, verdict, expires, limits, keep)?;
        Ok(outcome)
    }

    /// The same value again: it ends when the later one does, and is this node's own if it ever was.
    fn prolong(&mut self, offer: Offer, expires: UnixMillis, limits: &StoreLimits, keep: &mut dyn Keep) {
        let own = self.own();
        let Some((key, entry)) = self.entries.get_key_value(offer.key.as_slice()) else { return };
        let key = key.clone();
        let becomes_own = offer.source.is_none() && !entry.is_own() && own < limits.own_records;
        if entry.expires >= expires && !becomes_own {
            return;
        }
        let Some(mut entry) = self.take_out(&key) else { return };
        entry.expires = entry.expires.max(expires);
        if becomes_own {
            entry.source = None;
        }
        self.put_in(key, entry, keep);
    }

    /// Puts it, if its quotas have room and it is near enough.
    fn put(
        &mut self,
        offer: Offer,
        verdict: Verdict,
        expires: UnixMillis,
        limits: &StoreLimits,
        keep: &mut dyn Keep,
    ) -> Result<(), Reject> {
        let key = Bytes::from(offer.key);
        let distance = self.here.distance(&KBucketKey::new(record_key(&key)));
        let entry = Entry {
            value: offer.value,
            rank: verdict.rank,
            author: verdict.author,
            source: offer.source,
            expires,
            distance,
        };
        // The room of the one that it replaces is its own, whatever becomes of it.
        let replaced = self.take_out(&key);
        if let Err(reject) = self.make_room(&key, &entry, limits, keep) {
            if let Some(replaced) = replaced {
                self.put_in(key, replaced, &mut super::Forgetful);
            }
            return Err(reject);
        }
        self.put_in(key, entry, keep);
        Ok(())
    }

    fn make_room(
        &mut self,
        key: &[u8],
        entry: &Entry,
        limits: &StoreLimits,
        keep: &mut dyn Keep,
    ) -> Result<(), Reject> {
        if entry.is_own() {
            return if self.own() < limits.own_records { Ok(()) } else { Err(Reject::Full) };
        }
        let bytes = entry.bytes(key);
        let author = self.authors.of(entry.author);
        if author.records >= limits.records_of_author || author.bytes + bytes > limits.bytes_of_one {
            return Err(Reject::AuthorQuota);
        }
        let source = self.sources.of(entry.source);
        if source.records >= limits.records_of_source || source.bytes + bytes > limits.bytes_of_one {
            return Err(Reject::SourceQuota);
        }
        while self.by_distance.len() >= limits.records || self.bytes_of_others + bytes > limits.bytes {
            let farthest = self.by_distance.last().filter(|(distance, _)| *distance > entry.distance);
            let Some((_, farthest)) = farthest.cloned() else { return Err(Reject::Full) };
            self.remove(&farthest, keep);
            self.evicted += 1;
        }
        Ok(())
    }

    /// Forgets one.
    pub(super) fn remove(&mut self, key: &[u8], keep: &mut dyn Keep) {
        if self.take_out(key).is_some() {
            keep.forget(key);
        }
    }

    /// Forgets what has ended.
    pub(super) fn sweep(&mut self, now: UnixMillis, keep: &mut dyn Keep) {
        while let Some((_, key)) = self.by_end.first().filter(|(end, _)| *end <= now).cloned() {
            self.remove(&key, keep);
        }
    }

    fn put_in(&mut self, key: Bytes, entry: Entry, keep: &mut dyn Keep) {
        let bytes = entry.bytes(&key);
        self.bytes += bytes;
        self.by_end.insert((entry.expires, key.clone()));
        if !entry.is_own() {
            self.bytes_of_others += bytes;
            self.by_distance.insert((entry.distance, key.clone()));
            self.authors.add(entry.author, bytes);
            self.sources.add(entry.source, bytes);
        }
        keep.save(&Kept {
            key: key.to_vec(),
            value: entry.value.clone(),
            source: entry.source,
            expires: entry.expires,
        });
        self.entries.insert(key, entry);
    }

    fn take_out(&mut self, key: &[u8]) -> Option<Entry> {
        let (key, entry) = self.entries.remove_entry(key)?;
        let bytes = entry.bytes(&key);
        self.bytes -= bytes;
        if !entry.is_own() {
            self.bytes_of_others -= bytes;
            self.authors.subtract(entry.author, bytes);
            self.sources.subtract(entry.source, bytes);
            self.by_distance.remove(&(entry.distance, key.clone()));
        }
        self.by_end.remove(&(entry.expires, key));
        Some(entry)
    }
}

/// Sizes, before anything is looked into.
///
/// # Errors
/// [`Reject::Key`], [`Reject::ValueTooLarge`].
pub(in crate::dht) fn check_sizes(key: &[u8], value: &[u8]) -> Result<(), Reject> {
    if key.is_empty() || key.len() > DHT_KEY_BYTES {
        return Err(Reject::Key);
    }
    if value.len() > DHT_VALUE_BYTES {
        return Err(Reject::ValueTooLarge);
    }
    Ok(())
}

/// Whether one may take the place of the known one.
fn compare(offer: &Offer, rank: Rank, known: &Entry, validator: &dyn Validator) -> Result<(), Reject> {
    match rank.cmp(&known.rank) {
        Ordering::Less => Err(Reject::Lower),
        Ordering::Greater => Ok(()),
        Ordering::Equal if stands_before(&offer.value, &known.value) => {
            validator.conflict(&offer.key, &offer.value, &known.value);
            Ok(())
        }
        Ordering::Equal => {
            validator.conflict(&offer.key, &known.value, &offer.value);
            Err(Reject::Conflict)
        }
    }
}

/// Of two different values of one rank, whether the first is the one that all keep: that of the lower hash.
pub(in crate::dht) fn stands_before(one: &[u8], other: &[u8]) -> bool {
    blake3::hash(one).as_bytes() < blake3::hash(other).as_bytes()
}

#[cfg(test)]
impl Records {
    /// Panics if the tables do not agree.
    pub(super) fn check_invariant(&self) {
        let others: Vec<_> = self.entries.iter().filter(|(_, entry)| !entry.is_own()).collect();
        let sum =
            |entries: &[(&Bytes, &Entry)]| entries.iter().map(|(key, entry)| entry.bytes(key)).sum::<usize>();
        assert_eq!(self.bytes, sum(&self.entries.iter().collect::<Vec<_>>()));
        assert_eq!(self.bytes_of_others, sum(&others));
        assert_eq!(self.by_end.len(), self.entries.len());
        assert_eq!(self.by_distance.len(), others.len());
        let sources: std::collections::HashSet<_> = others.iter().map(|(_, entry)| entry.source).collect();
        assert_eq!(self.sources.nodes(), sources.len());
    }
}
