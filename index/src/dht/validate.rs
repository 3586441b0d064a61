//! What may be stored and believed: decided by whoever uses the DHT, which knows nothing of what it stores.

use std::time::Instant;

use certs::{AccountId, NodeId, UnixMillis};

/// Decides about values and providers. It is asked about everything that comes from outside, for the store and on every
/// read, and about what this node puts itself.
///
/// It is called in the DHT's task: it should take under a millisecond, and never blocks.
pub trait Validator: Send + Sync + 'static {
    /// Whether this value may stand under this key. `source` is the node that sent it, as its connection proved; it need
    /// not be the author. `None` for what this node puts itself or has kept.
    ///
    /// # Errors
    /// [`Reject`], which is counted by its reason.
    fn check(&self, key: &[u8], value: &[u8], source: Option<NodeId>) -> Result<Verdict, Reject>;

    /// Whether this node may be a provider for this key; that it is the node which said so is certain when it is stored,
    /// not when it is read.
    ///
    /// # Errors
    /// [`Reject`], which is counted by its reason.
    fn check_provider(&self, key: &[u8], provider: NodeId) -> Result<(), Reject>;

    /// Told when two different values of one rank were seen: their author made both. `kept` is the one with the lower
    /// hash, which every node keeps.
    fn conflict(&self, key: &[u8], kept: &[u8], other: &[u8]) {
        let _ = (key, kept, other);
    }
}

/// What a valid value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Where it stands among the values of its key.
    pub rank: Rank,
    /// Who made it, for the quota; the same for all values that one node or user signed. `None` counts by the source
    /// alone.
    pub author: Option<NodeId>,
    /// When it ends at the latest. The store forgets it earlier if its time to live is shorter.
    pub until: UnixMillis,
}

/// The order of two values of one key: a lower one never replaces a higher one. Of two different values of one rank the
/// one with the lower hash (BLAKE3) is kept. It has room for two numbers of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(pub u128);

/// Why a value or a provider was not taken. Its text is the name of its counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.reason())]
pub enum Reject {
    /// A value over [`DHT_VALUE_BYTES`](wire::limits::DHT_VALUE_BYTES).
    ValueTooLarge,
    /// A key that is empty or over [`DHT_KEY_BYTES`](wire::limits::DHT_KEY_BYTES).
    Key,
    /// The validator does not take it; in a word, why.
    Invalid(&'static str),
    /// Its time has passed.
    Expired,
    /// A higher one is known.
    Lower,
    /// As high as the known one and different, with the higher hash.
    Conflict,
    /// The node that sent it sends too much in too short a time.
    TooFast,
    /// The author has as much here as one may have.
    AuthorQuota,
    /// The node that sent it has as much here as one may have.
    SourceQuota,
    /// The store is full of what is nearer to this node.
    Full,
    /// A sender or provider whose key is no node's, or which is not known as a member.
    UnknownNode,
    /// The account of the provider has as many providers of this key as one may have.
    ProvidersOfAccount,
    /// The key has as many providers as one may have.
    ProvidersOfKey,
    /// An answer with a record of another key than was asked for.
    OtherKey,
}

impl Reject {
    /// The name of its counter, in words.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ValueTooLarge => "value too large",
            Self::Key => "bad key",
            Self::Invalid(reason) => reason,
            Self::Expired => "expired",
            Self::Lower => "lower than known",
            Self::Conflict => "conflict",
            Self::TooFast => "source sends too fast",
            Self::AuthorQuota => "quota of the author",
            Self::SourceQuota => "quota of the source",
            Self::Full => "store full",
            Self::UnknownNode => "unknown node",
            Self::ProvidersOfAccount => "providers of one account",
            Self::ProvidersOfKey => "providers of one key",
            Self::OtherKey => "answer for another key",
        }
    }
}

/// Whose a node is.
pub trait Accounts: Send + Sync + 'static {
    /// The account of a node, `None` if it is not known as a member. Called in the DHT's task: it never blocks.
    fn account_of(&self, node: NodeId) -> Option<AccountId>;
}

/// The clocks that the DHT goes by.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, for what ends at a date.
    fn wall(&self) -> UnixMillis;
    /// The monotonic clock, which libp2p measures times to live by.
    fn monotonic(&self) -> Instant;
}
