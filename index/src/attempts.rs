//! How often somebody may try: token buckets by key, pure, with bounded memory.
//!
//! Only what is charged and not refunded counts: a password that was right costs nothing, so that a room of people behind
//! one address can log in at once. A bucket is one number, the time at which it is full again (the generic cell rate algorithm).

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

use certs::UnixMillis;

/// How many attempts at once, and how soon each comes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// Attempts from a full bucket, at least 1.
    pub(crate) burst: u64,
    /// Milliseconds until one comes back.
    pub(crate) refill_ms: u64,
}

/// Buckets, one for each key that was charged lately.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    rate: Rate,
    capacity: usize,
    full_at: HashMap<K, UnixMillis>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// With room for so many keys that are not full; beyond that the fullest is forgotten.
    pub(crate) fn new(rate: Rate, capacity: usize) -> Self {
        Self { rate, capacity, full_at: HashMap::new() }
    }

    /// Whether one more attempt is allowed.
    ///
    /// # Errors
    /// After how many milliseconds one is.
    pub(crate) fn check(&self, key: &K, now: UnixMillis) -> Result<(), u64> {
        let full_at = self.full_at.get(key).copied().unwrap_or(now);
        let tolerated = self.rate.refill_ms.saturating_mul(self.rate.burst.saturating_sub(1));
        match full_at.minus(tolerated).0.saturating_sub(now.0) {
            0 => Ok(()),
            wait => Err(wait),
        }
    }

    /// Takes one attempt.
    pub(crate) fn charge(&mut self, key: K, now: UnixMillis) {
        if !self.full_at.contains_key(&key) {
            self.make_room(now);
        }
        let longest = now.plus(self.rate.refill_ms.saturating_mul(self.rate.burst));
        let full_at = self.full_at.entry(key).or_insert(now);
        *full_at = (*full_at).max(now).plus(self.rate.refill_ms).min(longest);
    }

    /// Gives one attempt back.
    pub(crate) fn refund(&mut self, key: &K) {
        if let Some(full_at) = self.full_at.get_mut(key) {
            *full_at = full_at.minus(self.rate.refill_ms);
        }
    }

    fn make_room(&mut self, now: UnixMillis) {
        if self.full_at.len() < self.capacity {
            return;
        }
        self.full_at.retain(|_, full_at| *full_at > now);
        while self.full_at.len() >= self.capacity {
            let fullest =
                self.full_at.iter().min_by_key(|(_, full_at)| **full_at).map(|(key, _)| key.clone());
            match fullest {
                Some(key) => self.full_at.remove(&key),
                None => return,
            };
        }
    }
}

/// By what the attempts from an address are counted: of IPv6 its network of 64 bits, all of which one machine has; of
/// loopback nothing, as that is the operator's own.
pub(crate) fn counted_by(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        ip if ip.is_loopback() => None,
        IpAddr::V4(_) => Some(ip),
        IpAddr::V6(ip) => Some(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3, refill_ms: 1000 };

    fn at(ms: u64) -> UnixMillis {
        UnixMillis(1_000_000 + ms)
    }

    #[test]
    fn a_burst_then_one_by_one() {
        let mut buckets = Buckets::new(RATE, 10);
        for _ in 0..3 {
            assert_eq!(buckets.check(&1, at(0)), Ok(()));
            buckets.charge(1, at(0));
        }
        assert_eq!(buckets.check(&1, at(0)), Err(1000));
        assert_eq!(buckets.check(&1, at(400)), Err(600));
        assert_eq!(buckets.check(&2, at(0)), Ok(()), "another key");
        assert_eq!(buckets.check(&1, at(1000)), Ok(()));
        buckets.charge(1, at(1000));
        assert_eq!(buckets.check(&1, at(1000)), Err(1000));
        assert_eq!(buckets.check(&1, at(9000)), Ok(()));
    }

    #[test]
    fn more_charges_than_allowed_do_not_add_up() {
        let mut buckets = Buckets::new(RATE, 10);
        (0..100).for_each(|_| buckets.charge(1, at(0)));
        assert_eq!(buckets.check(&1, at(0)), Err(1000));
    }

    #[test]
    fn what_is_refunded_does_not_count() {
        let mut buckets = Buckets::new(RATE, 10);
        buckets.refund(&1);
        (0..3).for_each(|_| buckets.charge(1, at(0)));
        buckets.refund(&1);
        assert_eq!(buckets.check(&1, at(0)), Ok(()));
        buckets.charge(1, at(0));
        assert_eq!(buckets.check(&1, at(0)), Err(1000));
    }

    #[test]
    fn addresses() {
        let counted = |text: &str| counted_by(text.parse().expect("an address")).map(|ip| ip.to_string());
        assert_eq!(counted("192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(counted("2001:db8:1:2:3:4:5:6").as_deref(), Some("2001:db8:1:2::"));
        assert_eq!((counted("127.0.0.1"), counted("::1")), (None, None));
    }

    #[test]
    fn memory_is_bounded_and_the_emptiest_stay() {
        let mut buckets = Buckets::new(RATE, 4);
        (0..3).for_each(|_| buckets.charge(0, at(0)));
        (1..100).for_each(|key| buckets.charge(key, at(0)));
        assert_eq!(buckets.full_at.len(), 4);
        assert!(buckets.check(&0, at(0)).is_err());
    }
}
