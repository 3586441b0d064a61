//! Who has a say in a lookup: at most five nodes of one account, as in a bucket of the table.
//!
//! Without it, whoever has 20 nodes nearer to a key than everybody else has the key: each of them names the others, so that
//! a put goes to them alone and a lookup ends among them. Ids are cheap to try until they are near; accounts are not.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use certs::{AccountId, NodeId};
use libp2p_identity::PeerId;

use super::nodes::Nodes;
use super::validate::{Accounts, Clock};

/// Nodes of one account that are asked in one lookup, of the 20 whose answers it takes.
const OF_ACCOUNT: usize = 5;

/// Nodes that nobody is known to own, at once: each may be one that does not exist, and then costs a dial that nobody
/// answers. One that was reached has shown its membership.
const UNKNOWN: usize = 10;

/// What belongs together: as long as a query takes, twice.
const ONE_LOOKUP: Duration = Duration::from_secs(60);

/// Keys that are remembered; beyond it the oldest lookup begins anew.
const KEYS: usize = 1_024;

/// Who has a say in which lookup of this node.
pub(super) struct Say {
    accounts: Arc<dyn Accounts>,
    clock: Arc<dyn Clock>,
    nodes: Arc<Nodes>,
    lookups: Mutex<HashMap<Vec<u8>, Lookup>>,
    refused: AtomicU64,
}

struct Lookup {
    since: Instant,
    by_account: HashMap<Option<AccountId>, HashSet<NodeId>>,
}

impl Say {
    pub(super) fn new(accounts: Arc<dyn Accounts>, clock: Arc<dyn Clock>, nodes: Arc<Nodes>) -> Arc<Self> {
        let (lookups, refused) = (Mutex::default(), AtomicU64::new(0));
        Arc::new(Self { accounts, clock, nodes, lookups, refused })
    }

    /// Whether a node may be asked in the lookup of a key. Who was let in once, is as long as the lookup lasts.
    pub(super) fn has(&self, key: &[u8], node: NodeId) -> bool {
        let (now, account) = (self.clock.monotonic(), self.accounts.account_of(node));
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        let let_in = lookup(&mut lookups, key, now).let_in(node, account, self.accounts.as_ref());
        if !let_in {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        let_in
    }

    /// The same of a peer, who must be a node.
    pub(super) fn has_peer(&self, key: &[u8], peer: &PeerId) -> bool {
        self.nodes.node_of(peer).is_some_and(|node| self.has(key, node))
    }

    /// How often a node was left out.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// The lookup of a key that runs now.
fn lookup<'a>(lookups: &'a mut HashMap<Vec<u8>, Lookup>, key: &[u8], now: Instant) -> &'a mut Lookup {
    let is_over = |one: &Lookup| now.saturating_duration_since(one.since) >= ONE_LOOKUP;
    if lookups.len() >= KEYS && !lookups.contains_key(key) {
        lookups.retain(|_, one| !is_over(one));
        let oldest = lookups.iter().min_by_key(|(_, one)| one.since).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest.filter(|_| lookups.len() >= KEYS) {
            lookups.remove(&oldest);
        }
    }
    let anew = || Lookup { since: now, by_account: HashMap::new() };
    let one = lookups.entry(key.to_vec()).or_insert_with(anew);
    if is_over(one) {
        *one = anew();
    }
    one
}

impl Lookup {
    fn let_in(&mut self, node: NodeId, account: Option<AccountId>, accounts: &dyn Accounts) -> bool {
        let of_account = self.by_account.entry(account).or_default();
        if of_account.contains(&node) {
            return true;
        }
        let most = if account.is_some() { OF_ACCOUNT } else { UNKNOWN };
        if account.is_none() && of_account.len() >= most {
            of_account.retain(|one| accounts.account_of(*one).is_none());
        }
        of_account.len() < most && of_account.insert(node)
    }
}

#[cfg(test)]
mod tests {
    use certs::SecretKey;

    use super::super::clocks::Clocks;
    use super::*;

    /// Nodes of the numbers below 100 have an account each, those below 200 one together, and others none until they show it.
    #[derive(Default)]
    struct Owners {
        shown: Mutex<HashSet<NodeId>>,
    }

    fn node(number: u64) -> NodeId {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        SecretKey::from_seed(seed).public()
    }

    impl Accounts for Owners {
        fn account_of(&self, one: NodeId) -> Option<AccountId> {
            let number = (0..1_000).find(|number| node(*number) == one).expect("one of them");
            let shown = self.shown.lock().unwrap().contains(&one);
            match number {
                0..100 => Some(AccountId::from_bytes([u8::try_from(number).unwrap(); 16])),
                100..200 => Some(AccountId::from_bytes([200; 16])),
                _ => shown.then(|| AccountId::from_bytes([201; 16])),
            }
        }
    }

    fn say() -> (Arc<Say>, Arc<Owners>, Arc<Clocks>) {
        let owners = Arc::new(Owners::default());
        let clocks = Clocks::start();
        (Say::new(owners.clone(), clocks.clone(), Arc::default()), owners, clocks)
    }

    #[test]
    fn five_nodes_of_one_account_have_a_say_and_any_number_of_accounts() {
        let (say, _, clocks) = say();
        assert!((0..50).all(|number| say.has(b"key", node(number))));
        let let_in: Vec<_> = (100..140).filter(|number| say.has(b"key", node(*number))).collect();
        assert_eq!(let_in, [100, 101, 102, 103, 104]);
        assert_eq!(say.refused(), 35);
        assert!(say.has(b"key", node(102)), "again in the same lookup");
        assert!(say.has(b"another", node(139)));
        clocks.set(60);
        assert!(say.has(b"key", node(139)), "another lookup");
    }

    #[test]
    fn who_is_not_known_is_let_in_a_few_at_a_time() {
        let (say, owners, _) = say();
        assert_eq!((200..230).filter(|number| say.has(b"key", node(*number))).count(), UNKNOWN);
        owners.shown.lock().unwrap().extend((200..204).map(node));
        assert_eq!((230..260).filter(|number| say.has(b"key", node(*number))).count(), 4);
    }

    #[test]
    fn no_more_keys_are_remembered_than_that() {
        let (say, _, _) = say();
        for number in 0..KEYS as u64 + 10 {
            assert!(say.has(&number.to_be_bytes(), node(1)));
        }
        assert_eq!(say.lookups.lock().unwrap().len(), KEYS);
    }
}
