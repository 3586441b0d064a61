//! Who is asked for which chunks: the download scheduler, with its chunk tracker.
//!
//! Pure: it takes the time and what happened, and says what to do. One task owns a [`Scheduler`]; after each event it
//! does what [`Scheduler::tick`] says, then opens a stream for each [`Request`] that [`Scheduler::next_request`] gives,
//! until that gives none; then it waits for the next event, at most until [`Scheduler::next_deadline`].
//!
//! One queue holds what is missing. A holder is given about a second of its own rate at a time, towards the end no more
//! than half its share of what is left, so that all finish together; two to four requests are open with each, so that
//! its pipe never idles. The rarest chunks go first, among the equally rare the lowest, so that what is done grows from
//! the front. While others download the same (partial holders are there), requests are short, begin in random places and
//! are of one rarity each, so that no two receivers ask a source for the same, and all feed one another. When nothing is left to ask a holder for, it takes over the tail of the request that would take longest;
//! when that is not worth it either, a few chunks are asked of a second holder.
//!
//! # Where to look
//! | concept | file |
//! | --- | --- |
//! | events: what happened | `scheduler` |
//! | how requests end, what failures do to holders | `requests` |
//! | what to ask whom for, how much, how many requests at once | `choose` |
//! | taking over from slow holders, asking twice | `steal` |
//! | silence, pauses, deadlines | `watch` |
//! | what is known of one holder, its rate | `holder`, `meter` |
//! | the state of every chunk | `tracker`, `tail`, `missing` |

#![expect(clippy::single_range_in_vec_init, reason = "a list of one run of chunks is meant")]

mod choose;
mod cut;
mod holder;
mod meter;
mod missing;
mod ranges;
mod requests;
mod scheduler;
mod steal;
mod tail;
mod tracker;
mod watch;

#[cfg(test)]
mod sim;

use std::ops::Range;
use std::time::Duration;

pub(crate) use meter::Meter;
pub use scheduler::Scheduler;

/// A holder in one transfer. The caller gives these numbers, one for each node, and keeps them for the whole transfer,
/// so that an excluded holder is known again when it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HolderId(pub u32);

/// A request in one transfer; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    serial: u64,
    holder: HolderId,
}

impl RequestId {
    /// Whom it asks.
    pub fn holder(self) -> HolderId {
        self.holder
    }
}

/// One G, to be sent now on a stream of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its name in all that is said of it later.
    pub id: RequestId,
    /// Which chunks: ascending, not touching, at least one run, at most [`Config::max_runs`].
    pub runs: Vec<Range<u32>>,
}

/// Which chunks a holder has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// All.
    All,
    /// These, in any order; what lies beyond the last chunk is ignored.
    Ranges(Vec<Range<u32>>),
}

/// What to do with a verified chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// It is the first of its index: write it.
    Install,
    /// It is there already, or no chunk has this index: forget it.
    Duplicate,
}

/// Why a request ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// A chunk did not have its hash. The holder is not asked again in this transfer.
    WrongChunk,
    /// The stream was reset, or the answer was no answer.
    Reset,
    /// The holder has no place now.
    Busy {
        /// When it may be asked again; kept within 100 ms and 60 s.
        retry_after: Duration,
    },
    /// The holder's file changed: without blame, but it is not asked again in this transfer.
    Changed,
    /// The holder does not have these chunks (`not-found`, `out-of-range`). One that said it has all of them is out, since
    /// what it says is worth nothing; another one is not asked for them again until an update says that it has them, and
    /// has failed once.
    NotFound,
    /// No answer in time.
    Timeout,
}

/// Why a holder is no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// The connection ended. It may join again.
    Closed,
    /// It must not be asked again in this transfer.
    Excluded,
}

/// What the owner of the streams is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Stop this request: reset its stream. Nothing more need be said of it, and whatever is said does no harm.
    Cancel(RequestId),
    /// This holder is out; its requests are cancelled by actions before this one.
    DropHolder(HolderId, DropReason),
}

/// Why a holder is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// No bytes for [`Config::drop_after`]. It may join again.
    Silent,
    /// Too many failed requests in a row. It may join again.
    Failing,
    /// It does not have what it said it has: all. It may join again.
    Lacking,
    /// A wrong chunk.
    Lied,
    /// Its file changed.
    Changed,
}

/// How far a download is, in bytes: done, in flight and missing make up the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Verified.
    pub done_bytes: u64,
    /// Asked for, each byte counted once.
    pub in_flight_bytes: u64,
    /// Still to be asked for.
    pub missing_bytes: u64,
    /// The part of what is missing that no holder has. Where this is not 0, the download needs more holders; where
    /// nothing is in flight either, it waits for them.
    pub unavailable_bytes: u64,
}

/// What is known of a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HolderStats {
    /// Bytes that came from it, wrong and duplicate ones too.
    pub bytes: u64,
    /// Bytes per second, averaged over about the last second in which something was asked of it; `None` before it is
    /// known.
    pub rate: Option<u64>,
    /// How many of its requests are open.
    pub open: usize,
    /// Whether it has been silent for [`Config::demote_after`].
    pub demoted: bool,
    /// Until when it is not asked, as time since the start of the transfer.
    pub paused_until: Option<Duration>,
}

/// The scheduler's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The first request to a holder of unknown rate: 4 MiB, some tenths of a second on a good line. What follows
    /// before the rate is known is the minimum, since a slow holder keeps the front of the content waiting for it.
    pub first_bytes: u64,
    /// What is asked for at once, at least, while much is missing: 1 MiB. Below, requests cost more than they carry.
    pub min_bytes: u64,
    /// What is asked for at once, at most: 32 MiB, since that much is asked anew when a holder dies.
    pub max_bytes: u64,
    /// What is asked for at once, at least, at the end: 256 KiB (or one chunk, or what a round trip carries).
    pub floor_bytes: u64,
    /// How long a request should take at the holder's rate: 1 s.
    pub target: Duration,
    /// Open requests for each holder, at most: 4. Two always keep one waiting; four do where requests are short at the
    /// end and the way is long.
    pub max_depth: usize,
    /// Runs in one request: [`wire::limits::RUNS`].
    pub max_runs: usize,
    /// A holder silent for so long keeps one request, if there are others to take the rest: 2 s.
    pub demote_after: Duration,
    /// A holder silent for so long is out: 20 s.
    pub drop_after: Duration,
    /// Where to begin while others download the same: random, another for each download.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            first_bytes: 4 << 20,
            min_bytes: 1 << 20,
            max_bytes: 32 << 20,
            floor_bytes: 256 << 10,
            target: Duration::from_secs(1),
            max_depth: 4,
            max_runs: wire::limits::RUNS,
            demote_after: Duration::from_secs(2),
            drop_after: Duration::from_secs(20),
            seed: 0,
        }
    }
}
