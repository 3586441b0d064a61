//! What is not believed, and how often; and why an exchange ended.

use std::collections::BTreeMap;
use std::sync::Mutex;

use wire::{ErrorBody, ErrorCode};

use crate::client::CallError;
use crate::registry::lock;

/// Why a statement that somebody handed on was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// A head, a word of presence or a list of members that is not what it must be, or that another key signed.
    Forged,
    /// A head with a lower sequence than the one that is known.
    OldSequence,
    /// A second head of the same sequence: the node contradicts itself.
    Equivocation,
    /// A head or a word of presence that is over, or from the future.
    Untimely,
    /// Its node's membership does not hold.
    Membership,
    /// Its node's membership was ended before.
    Revoked,
    /// A page that is not the one that was asked for.
    WrongPage,
    /// A tree that is out of order, of another kind, or not of the size that its head says.
    BadTree,
    /// A record of another node, account, user or network than the head's.
    ForeignRecord,
    /// A record that does not hold by itself.
    BadRecord,
    /// A record that only a later version knows.
    Unsupported,
    /// A receipt that does not hold.
    BadReceipt,
    /// More than one node, or all of them, may take here.
    TooMuch,
    /// A user name or an account that is another's.
    NameTaken,
    /// An answer that is none to what was asked.
    BadAnswer,
}

impl Refusal {
    /// Its word, for `status` and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::OldSequence => "old-sequence",
            Self::Equivocation => "equivocation",
            Self::Untimely => "untimely",
            Self::Membership => "membership",
            Self::Revoked => "revoked",
            Self::WrongPage => "wrong-page",
            Self::BadTree => "bad-tree",
            Self::ForeignRecord => "foreign-record",
            Self::BadRecord => "bad-record",
            Self::Unsupported => "unsupported",
            Self::BadReceipt => "bad-receipt",
            Self::TooMuch => "too-much",
            Self::NameTaken => "name-taken",
            Self::BadAnswer => "bad-answer",
        }
    }

    /// Whether who hands this on, and checks what it has itself, must know that it is wrong: its exchange then ends. What
    /// depends on clocks, on what else one knows, or on how much room one has, is nobody's fault.
    pub const fn is_a_lie(self) -> bool {
        match self {
            Self::Forged
            | Self::WrongPage
            | Self::BadTree
            | Self::ForeignRecord
            | Self::BadRecord
            | Self::BadReceipt
            | Self::BadAnswer => true,
            Self::OldSequence
            | Self::Equivocation
            | Self::Untimely
            | Self::Membership
            | Self::Revoked
            | Self::Unsupported
            | Self::TooMuch
            | Self::NameTaken => false,
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that was not taken, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{refusal}: {text}")]
pub struct Refused {
    /// Which kind.
    pub refusal: Refusal,
    /// For people.
    pub text: String,
}

impl Refused {
    pub(crate) fn new(refusal: Refusal, text: impl Into<String>) -> Self {
        Self { refusal, text: text.into() }
    }
}

/// Why two nodes were not brought up to date. What was taken before stays.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The other end gave no answer, or an E.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The other end handed on what it must know to be wrong.
    #[error("the other end is not to be believed: {0}")]
    Lied(#[source] Refused),
    /// The database of this node failed, or is closed.
    #[error(transparent)]
    Local(#[from] ErrorBody),
}

impl SyncError {
    /// As the E that says the same to whoever sent the news.
    pub fn to_body(&self) -> ErrorBody {
        match self {
            Self::Call(error) => error.to_body(),
            Self::Lied(refused) => ErrorBody::new(ErrorCode::BadRecord, refused.to_string()),
            Self::Local(body) => body.clone(),
        }
    }
}

impl From<crate::registry::RegistryError> for SyncError {
    fn from(error: crate::registry::RegistryError) -> Self {
        Self::Local(error.into())
    }
}

/// How often what was refused since the replica was opened.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<BTreeMap<Refusal, u64>>);

impl Counts {
    pub(crate) fn add(&self, refusal: Refusal) {
        *lock(&self.0).entry(refusal).or_default() += 1;
    }

    pub(crate) fn all(&self) -> BTreeMap<Refusal, u64> {
        lock(&self.0).clone()
    }
}
