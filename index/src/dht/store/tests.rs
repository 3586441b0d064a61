//! The store by itself: order, quotas, eviction, expiry, against a clock that the test moves.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use certs::{AccountId, NodeId, SecretKey, UnixMillis};
use libp2p_kad::store::RecordStore;
use libp2p_kad::{ProviderRecord, Record};
use proptest::prelude::*;
use wire::limits::{ADDRESSES, DHT_VALUE_BYTES};

use super::records::OVERHEAD;
use super::{Judges, Keep, Kept, Outcome, Store, StoreLimits, record_key};
use crate::dht::address::{peer_of, to_multiaddr};
use crate::dht::validate::{Accounts, Clock, Rank, Reject, Validator, Verdict};

const START: u64 = 1_800_000_000_000;

fn node(number: u8) -> NodeId {
    SecretKey::from_seed([number; 32]).public()
}

/// A value: its rank, its author, when it ends, and what it is.
fn value(rank: u8, author: u8, text: &[u8]) -> Vec<u8> {
    [&[rank, author], text].concat()
}

/// Says what [`value`] says. Author 0 is nobody, rank 255 is no valid value.
#[derive(Default)]
struct World {
    ahead_ms: AtomicU64,
    conflicts: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
    until: AtomicU64,
}

impl Validator for World {
    fn check(&self, _: &[u8], value: &[u8], _: Option<NodeId>) -> Result<Verdict, Reject> {
        let [rank, author, ..] = *value else { return Err(Reject::Invalid("short")) };
        if rank == 255 {
            return Err(Reject::Invalid("forged"));
        }
        let until = match self.until.load(Ordering::Relaxed) {
            0 => u64::MAX,
            until => until,
        };
        let author = (author != 0).then(|| node(author));
        Ok(Verdict { rank: Rank(rank.into()), author, until: UnixMillis(until) })
    }

    fn check_provider(&self, key: &[u8], _: NodeId) -> Result<(), Reject> {
        if key.starts_with(b"no") { Err(Reject::Invalid("not a content")) } else { Ok(()) }
    }

    fn conflict(&self, _: &[u8], kept: &[u8], other: &[u8]) {
        self.conflicts.lock().unwrap().push((kept.to_vec(), other.to_vec()));
    }
}

/// Nodes up to 100 are accounts of their own, those from there on are one, 200 is nobody's.
impl Accounts for World {
    fn account_of(&self, one: NodeId) -> Option<AccountId> {
        let number = (0..=250).find(|number| node(*number) == one)?;
        (number != 200).then(|| AccountId::from_bytes([number.min(100); 16]))
    }
}

impl Clock for World {
    fn wall(&self) -> UnixMillis {
        UnixMillis(START + self.ahead_ms.load(Ordering::Relaxed))
    }

    #[expect(clippy::disallowed_methods, reason = "a test's clock")]
    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<HashMap<Vec<u8>, Kept>>>);

impl Keep for Shelf {
    fn save(&mut self, record: &Kept) {
        self.0.lock().unwrap().insert(record.key.clone(), record.clone());
    }

    fn forget(&mut self, key: &[u8]) {
        self.0.lock().unwrap().remove(key);
    }
}

struct Bench {
    world: Arc<World>,
    shelf: Shelf,
    store: Store,
}

fn bench(limits: StoreLimits) -> Bench {
    let (world, shelf) = (Arc::new(World::default()), Shelf::default());
    let store = open(&world, limits, &shelf);
    Bench { world, shelf, store }
}

/// A store with what the shelf has.
fn open(world: &Arc<World>, limits: StoreLimits, shelf: &Shelf) -> Store {
    let judges = Judges { validator: world.clone(), accounts: world.clone(), clock: world.clone() };
    let kept = shelf.0.lock().unwrap().values().cloned().collect();
    Store::new(node(0), limits, judges, Box::new(shelf.clone()), kept)
}

impl Bench {
    fn offer(&mut self, key: &[u8], value: Vec<u8>, source: u8) -> Result<Outcome, Reject> {
        let outcome = self.store.offer(Record::new(record_key(key), value), node(source));
        self.store.records.check_invariant();
        outcome
    }

    fn provide(&mut self, key: &[u8], provider: u8, addresses: usize) -> Result<(), Reject> {
        let at =
            |port: usize| to_multiaddr(([10, 0, 0, 1], u16::try_from(port).unwrap()).into(), &node(provider));
        let addresses = (1..=addresses).map(at).collect();
        self.store.offer_provider(&ProviderRecord::new(record_key(key), peer_of(&node(provider)), addresses))
    }

    fn value(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.store.get(&record_key(key)).map(|record| record.value.clone())
    }

    fn pass(&self, time: Duration) {
        self.world.ahead_ms.fetch_add(super::millis(time), Ordering::Relaxed);
    }

    fn rejected(&self, reject: Reject) -> u64 {
        self.store.status().rejected.get(reject.reason()).copied().unwrap_or(0)
    }
}

#[test]
fn a_lower_value_never_replaces_a_higher_one() {
    let mut bench = bench(StoreLimits::default());
    assert_eq!(bench.offer(b"k", value(2, 1, b""), 1), Ok(Outcome::Stored));
    assert_eq!(bench.offer(b"k", value(1, 1, b""), 1), Err(Reject::Lower));
    assert_eq!(bench.offer(b"k", value(2, 1, b""), 2), Ok(Outcome::Known));
    assert_eq!(bench.offer(b"k", value(255, 1, b""), 1), Err(Reject::Invalid("forged")));
    assert_eq!(bench.value(b"k"), Some(value(2, 1, b"")));
    assert_eq!(bench.offer(b"k", value(3, 1, b""), 1), Ok(Outcome::Replaced));
    assert_eq!(bench.value(b"k"), Some(value(3, 1, b"")));
    let status = bench.store.status();
    assert_eq!((status.records, status.bytes), (1, 1 + 2 + OVERHEAD));
    assert_eq!((bench.rejected(Reject::Lower), bench.rejected(Reject::Invalid("forged"))), (1, 1));
}

#[test]
fn of_one_rank_the_lower_hash_is_kept_in_whatever_order_and_told() {
    let (one, other) = (value(1, 1, b"one"), value(1, 1, b"other"));
    let (low, high) = if super::stands_before(&one, &other) { (one, other) } else { (other, one) };
    for (first, second) in [(&low, &high), (&high, &low)] {
        let mut bench = bench(StoreLimits::default());
        bench.offer(b"k", first.clone(), 1).unwrap();
        let outcome = bench.offer(b"k", second.clone(), 2);
        assert_eq!(outcome, if *second == low { Ok(Outcome::Replaced) } else { Err(Reject::Conflict) });
        assert_eq!(bench.value(b"k"), Some(low.clone()));
        assert_eq!(*bench.world.conflicts.lock().unwrap(), [(low.clone(), high.clone())]);
    }
}

#[test]
fn sizes_are_checked_first() {
    let mut bench = bench(StoreLimits::default());
    let largest = value(1, 1, &[0; DHT_VALUE_BYTES - 2]);
    assert_eq!(bench.offer(b"k", largest.clone(), 1), Ok(Outcome::Stored));
    assert_eq!(bench.offer(b"k", [largest, vec![0]].concat(), 1), Err(Reject::ValueTooLarge));
    assert_eq!(bench.offer(b"", value(1, 1, b""), 1), Err(Reject::Key));
    assert_eq!(bench.offer(&[0; 64], value(1, 1, b""), 1), Ok(Outcome::Stored));
    assert_eq!(bench.offer(&[0; 65], value(1, 1, b""), 1), Err(Reject::Key));
}

#[test]
fn an_author_and_a_source_have_their_quotas() {
    let limits = StoreLimits { records_of_author: 3, records_of_source: 5, ..StoreLimits::default() };
    let mut bench = bench(limits);
    for key in 0..3 {
        bench.offer(&[key], value(1, 1, b""), 10).unwrap();
    }
    assert_eq!(bench.offer(&[3], value(1, 1, b""), 11), Err(Reject::AuthorQuota), "whoever sends it");
    bench.offer(&[4], value(1, 2, b""), 10).unwrap();
    bench.offer(&[5], value(1, 3, b""), 10).unwrap();
    assert_eq!(bench.offer(&[6], value(1, 4, b""), 10), Err(Reject::SourceQuota), "whoever wrote it");
    // What is there may still be replaced, and what goes makes room.
    assert_eq!(bench.offer(&[0], value(2, 1, b"longer"), 10), Ok(Outcome::Replaced));
    bench.store.remove(&record_key(&[0]));
    assert_eq!(bench.offer(&[3], value(1, 1, b""), 11), Ok(Outcome::Stored));
}

#[test]
fn the_bytes_of_one_are_bounded_and_a_larger_version_that_does_not_fit_leaves_the_old_one() {
    let room = 2 * (1 + 100 + OVERHEAD);
    let mut bench = bench(StoreLimits { bytes_of_one: room, ..StoreLimits::default() });
    bench.offer(&[0], value(1, 1, &[0; 98]), 1).unwrap();
    bench.offer(&[1], value(1, 1, &[0; 98]), 1).unwrap();
    assert_eq!(bench.offer(&[0], value(2, 1, &[0; 99]), 1), Err(Reject::AuthorQuota));
    assert_eq!(bench.value(&[0]), Some(value(1, 1, &[0; 98])));
    assert_eq!(bench.shelf.0.lock().unwrap().len(), 2);
}

#[test]
fn a_full_store_gives_up_what_is_farthest() {
    let mut bench = bench(StoreLimits { records: 10, ..StoreLimits::default() });
    bench.store.put_own(b"own".to_vec(), value(1, 0, b""), UnixMillis(START + 1000)).unwrap();
    for key in 0..100 {
        let _ = bench.offer(&[key], value(1, key % 50 + 1, b""), key % 20 + 1);
    }
    let status = bench.store.status();
    assert_eq!((status.records, status.own_records), (11, 1), "its own does not count and stays");
    assert!(status.evicted > 0 && bench.rejected(Reject::Full) > 0, "{status:?}");
    assert_eq!(status.evicted + bench.rejected(Reject::Full), 90);
    // What is left is the ten nearest.
    let here = libp2p_kad::KBucketKey::from(peer_of(&node(0)));
    let distance = |key: u8| here.distance(&libp2p_kad::KBucketKey::new(record_key(&[key])));
    let mut keys: Vec<_> = (0..100).collect();
    keys.sort_by_key(|key| distance(*key));
    assert!(keys[..10].iter().all(|key| bench.value(&[*key]).is_some()));
    assert_eq!(bench.shelf.0.lock().unwrap().len(), 11);
}

#[test]
fn what_has_ended_is_not_answered_and_goes() {
    let mut bench = bench(StoreLimits { record_ttl: Duration::from_secs(100), ..StoreLimits::default() });
    bench.offer(b"k", value(9, 1, b""), 1).unwrap();
    bench.pass(Duration::from_secs(50));
    assert_eq!(bench.offer(b"k", value(9, 1, b""), 1), Ok(Outcome::Known), "it lives longer");
    bench.pass(Duration::from_secs(99));
    let left = bench.store.get(&record_key(b"k")).unwrap().expires.unwrap();
    assert!(left.saturating_duration_since(bench.world.monotonic()) <= Duration::from_secs(1));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.value(b"k"), None);
    // What has ended is in nobody's way.
    assert_eq!(bench.offer(b"k", value(1, 1, b""), 1), Ok(Outcome::Stored));
    bench.pass(Duration::from_secs(100));
    bench.store.sweep();
    assert_eq!(bench.store.status().records, 0);
    assert!(bench.shelf.0.lock().unwrap().is_empty());
    assert_eq!(bench.store.pace.nodes(), 0);
    bench.world.until.store(START + 200_000, Ordering::Relaxed);
    assert_eq!(bench.offer(b"k", value(1, 1, b""), 1), Err(Reject::Expired), "by what it says itself");
}

#[test]
fn a_source_that_writes_too_fast_has_to_wait() {
    let limits = StoreLimits { writes_at_once: 5, writes_per_minute: 60, ..StoreLimits::default() };
    let mut bench = bench(limits);
    for key in 0..5 {
        bench.offer(&[key], value(1, 1, b""), 1).unwrap();
    }
    assert_eq!(bench.offer(&[5], value(1, 1, b""), 1), Err(Reject::TooFast));
    assert_eq!(bench.provide(b"p", 1, 1), Err(Reject::TooFast));
    assert_eq!(bench.offer(&[5], value(1, 1, b""), 2), Ok(Outcome::Stored), "another one need not");
    bench.pass(Duration::from_millis(1_500));
    assert_eq!(bench.offer(&[6], value(1, 1, b""), 1), Ok(Outcome::Stored));
    assert_eq!(bench.offer(&[7], value(1, 1, b""), 1), Err(Reject::TooFast));
}

#[test]
fn what_was_kept_comes_back_and_what_no_longer_verifies_goes() {
    let mut bench = bench(StoreLimits::default());
    bench.offer(b"theirs", value(1, 1, b""), 1).unwrap();
    bench.offer(b"ends", value(1, 1, b""), 1).unwrap();
    bench.store.put_own(b"own".to_vec(), value(1, 0, b""), UnixMillis(START + 5_000)).unwrap();
    let forged = Kept {
        key: b"forged".to_vec(),
        value: value(255, 1, b""),
        source: None,
        expires: UnixMillis(u64::MAX),
    };
    bench.shelf.clone().save(&forged);
    bench.shelf.0.lock().unwrap().get_mut(b"ends".as_slice()).unwrap().expires = UnixMillis(START);
    let store = open(&bench.world, StoreLimits::default(), &bench.shelf);
    let status = store.status();
    assert_eq!((status.records, status.own_records), (2, 1));
    assert_eq!(status.rejected, [("expired", 1), ("forged", 1)].into());
    assert_eq!(bench.shelf.0.lock().unwrap().len(), 2);
    assert_eq!(
        store.records.get(b"own", UnixMillis(START)).map(|(_, end)| end),
        Some(UnixMillis(START + 5_000))
    );
}

#[test]
fn what_this_node_puts_is_its_own_from_then_on() {
    let mut bench = bench(StoreLimits { own_records: 1, ..StoreLimits::default() });
    bench.offer(b"k", value(1, 1, b""), 1).unwrap();
    let end = UnixMillis(START + 1_000);
    assert_eq!(bench.store.put_own(b"k".to_vec(), value(1, 1, b""), end), Ok(Outcome::Known));
    assert_eq!(bench.store.status().own_records, 1);
    bench.store.records.check_invariant();
    assert_eq!(bench.store.put_own(b"l".to_vec(), value(1, 1, b""), end), Err(Reject::Full));
    assert!(bench.store.put(Record::new(record_key(b"k"), value(1, 1, b""))).is_ok());
    assert!(bench.store.put(Record::new(record_key(b"x"), value(1, 1, b""))).is_err(), "not by this way");
}

#[test]
fn providers_have_places_by_key_account_and_node() {
    let limits = StoreLimits { providers_of_node: 3, ..StoreLimits::default() };
    let mut bench = bench(limits);
    for provider in 101..=105 {
        bench.provide(b"k", provider, 2).unwrap();
    }
    assert_eq!(bench.provide(b"k", 106, 2), Err(Reject::ProvidersOfAccount));
    assert_eq!(bench.provide(b"k", 101, 2), Ok(()), "a renewal");
    for provider in 1..=15 {
        bench.provide(b"k", provider, 2).unwrap();
    }
    assert_eq!(bench.provide(b"k", 16, 2), Err(Reject::ProvidersOfKey));
    assert_eq!(bench.provide(b"k", 200, 2), Err(Reject::UnknownNode));
    assert_eq!(bench.provide(b"no", 1, 2), Err(Reject::Invalid("not a content")));
    bench.provide(b"l", 1, 2).unwrap();
    bench.provide(b"m", 1, 2).unwrap();
    assert_eq!(bench.provide(b"n", 1, 2), Err(Reject::SourceQuota));
    assert_eq!(bench.store.providers(&record_key(b"k")).len(), 20);
    assert_eq!(bench.store.status().providers, 22);
}

#[test]
fn provider_entries_end_and_carry_eight_addresses_at_most() {
    let mut bench = bench(StoreLimits { provider_ttl: Duration::from_secs(10), ..StoreLimits::default() });
    bench.provide(b"k", 1, 50).unwrap();
    bench.store.add_provider(ProviderRecord::new(record_key(b"k"), peer_of(&node(0)), Vec::new())).unwrap();
    let found = bench.store.providers(&record_key(b"k"));
    assert_eq!(found.iter().map(|one| one.addresses.len()).collect::<Vec<_>>(), [0, ADDRESSES]);
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.store.providers(&record_key(b"k")).len(), 1, "its own stays until it stops");
    bench.store.sweep();
    assert_eq!((bench.store.status().providers, bench.store.status().provided), (0, 1));
    bench.store.remove_provider(&record_key(b"k"), &peer_of(&node(0)));
    assert!(bench.store.providers(&record_key(b"k")).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is offered and whenever, no bound is exceeded, no value goes down, and what is kept is what is stored.
    #[test]
    fn no_sequence_exceeds_a_bound(
        steps in proptest::collection::vec((0_u8..12, 0_u8..4, 0_u8..4, 0_u8..5, 0_usize..300, 0_u64..2_000), 1..80),
    ) {
        let limits = StoreLimits {
            records: 6,
            bytes: 2_500,
            records_of_author: 3,
            records_of_source: 4,
            bytes_of_one: 1_500,
            own_records: 3,
            record_ttl: Duration::from_secs(10),
            ..StoreLimits::default()
        };
        let mut bench = bench(limits);
        for (key, rank, author, source, length, passes) in steps {
            let before = bench.value(&[key]);
            let offered = value(rank, author, &vec![0; length]);
            let now = bench.world.wall();
            let taken = if source == 0 {
                bench.store.put_own(vec![key], offered, now.plus(5_000))
            } else {
                bench.offer(&[key], offered, source)
            };
            bench.store.records.check_invariant();
            let after = bench.value(&[key]);
            prop_assert!(taken.is_ok() || before == after);
            prop_assert!(after.map(|value| value[0]) >= before.map(|value| value[0]));
            let status = bench.store.status();
            prop_assert!(status.own_records <= 3 && status.records - status.own_records <= 6);
            prop_assert_eq!(bench.shelf.0.lock().unwrap().len(), status.records);
            bench.pass(Duration::from_millis(passes));
            if passes % 3 == 0 {
                bench.store.sweep();
            }
        }
        bench.pass(Duration::from_secs(10));
        bench.store.sweep();
        prop_assert_eq!(bench.store.status().bytes, 0);
    }
}

#[test]
fn of_a_hundred_thousand_writes_a_member_has_what_its_pace_and_quotas_give() {
    let limits = StoreLimits::default();
    let (paced, quota) = (limits.writes_at_once as usize, limits.records_of_author);
    let mut bench = bench(limits);
    let (source, mut offered) = (node(1), 0_u32);
    let mut flood = |bench: &mut Bench, count: u32| {
        for _ in 0..count {
            let record = Record::new(record_key(&offered.to_be_bytes()), value(1, 1, &[7; 300]));
            let _ = bench.store.offer(record, source);
            offered += 1;
        }
    };
    flood(&mut bench, 100_000);
    assert_eq!(bench.store.status().records, paced);
    assert_eq!(bench.rejected(Reject::TooFast), 100_000 - paced as u64);
    // However long it goes on, its records are so many, and those of others have their place.
    for _ in 0..10 {
        bench.pass(Duration::from_mins(4));
        flood(&mut bench, 10_000);
    }
    let status = bench.store.status();
    assert_eq!(status.records, quota);
    assert!(status.bytes < quota * (300 + 4 + OVERHEAD + 16), "{status:?}");
    assert!(bench.rejected(Reject::AuthorQuota) > 0);
    assert_eq!(bench.offer(b"honest", value(1, 2, b"x"), 2), Ok(Outcome::Stored));
}
