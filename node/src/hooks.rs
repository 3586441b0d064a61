//! Hooks: programs that the user wants to be run when something happened, an update say.
//!
//! A hook is a program and its arguments, never a line for a shell: what is in a resource's name or path is an environment
//! variable's value and nothing else. It has a time limit, after which it is killed with all that it started. Two run at once,
//! one for each resource; of what waits for one resource only the newest version is kept, since a hook that runs later sees
//! that anyway. Nothing waits for a hook: how it ended is told by the log of activity. The hook of a subscription is noted with the
//! installation that it follows, and runs at least once, whatever stops the node in between.
//!
//! | concept | file |
//! | --- | --- |
//! | which runs next | `queue` |
//! | one process: started, read, limited, killed | `process` |

mod process;
mod queue;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use wire::ContentHash;

use crate::activity::{Activity, HookEnd, Version, bounded};
use crate::clock;
use crate::store::{HookDueId, Store};
use crate::tasks::Tasks;
use process::Ran;
pub(crate) use queue::WAITING;
use queue::{Queue, Queued};

/// Words of a hook, the program's name among them.
pub const WORDS: usize = 64;
/// The longest word, in bytes.
pub const WORD_BYTES: usize = 4096;

/// A program to run, and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Hook(Vec<String>);

/// Why some words are no hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// Nothing to run.
    #[error(
        "a hook is a program and its arguments, as in [\"notify-send\", \"updated\"]; there is no program"
    )]
    Empty,
    /// A path that depends on where the daemon was started.
    #[error(
        "the program of a hook is an absolute path, or a name that is found in PATH; this is a relative path"
    )]
    Relative,
    /// What no system can be given.
    #[error("a hook may not contain NUL characters")]
    Nul,
    /// Too much.
    #[error("a hook has at most {WORDS} words of {WORD_BYTES} bytes")]
    TooLong,
}

impl Hook {
    /// Of a program, an absolute path or a name that is found in `PATH`, and its arguments.
    ///
    /// # Errors
    /// See [`HookError`]. Whether there is such a program is seen when it is run.
    pub fn new(words: Vec<String>) -> Result<Self, HookError> {
        let program = words.first().filter(|program| !program.is_empty()).ok_or(HookError::Empty)?;
        if program.contains('/') && !program.starts_with('/') {
            return Err(HookError::Relative);
        }
        if words.len() > WORDS || words.iter().any(|word| word.len() > WORD_BYTES) {
            return Err(HookError::TooLong);
        }
        if words.iter().any(|word| word.contains('\0')) {
            return Err(HookError::Nul);
        }
        Ok(Self(words))
    }

    /// The program.
    pub fn program(&self) -> &str {
        &self.0[0]
    }

    /// Its arguments.
    pub fn arguments(&self) -> &[String] {
        &self.0[1..]
    }
}

impl TryFrom<Vec<String>> for Hook {
    type Error = HookError;

    fn try_from(words: Vec<String>) -> Result<Self, HookError> {
        Self::new(words)
    }
}

impl From<Hook> for Vec<String> {
    fn from(hook: Hook) -> Self {
        hook.0
    }
}

/// How long a hook may run: 1 to 3,600 s, by default 60 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct TimeLimit(u16);

/// Why a number of seconds is no time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a number of seconds from 1 to {longest}", longest = TimeLimit::LONGEST)]
pub struct TimeLimitError(i64);

impl TimeLimit {
    /// The longest, in seconds.
    pub const LONGEST: u16 = 3600;

    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl Default for TimeLimit {
    fn default() -> Self {
        Self(60)
    }
}

impl TryFrom<i64> for TimeLimit {
    type Error = TimeLimitError;

    fn try_from(seconds: i64) -> Result<Self, TimeLimitError> {
        let whole = u16::try_from(seconds).ok().filter(|seconds| (1..=Self::LONGEST).contains(seconds));
        whole.map(Self).ok_or(TimeLimitError(seconds))
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a hook is told, in its environment: `P2P_NODE_EVENT` (`updated`), `P2P_NODE_OWNER`, `P2P_NODE_NAME`,
/// `P2P_NODE_VERSION`, `P2P_NODE_PATH`, `P2P_NODE_CONTENT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookFacts {
    /// The version that is there now.
    pub what: Version,
    /// Where it lies.
    pub path: PathBuf,
    /// The hash of its content.
    pub content: ContentHash,
}

/// Runs the hooks of a node. Clones share it.
#[derive(Debug, Clone)]
pub struct Hooks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tasks: Tasks,
    store: Store,
    limit: TimeLimit,
    queue: Mutex<Queue>,
}

impl Hooks {
    pub(crate) fn new(tasks: Tasks, store: Store, limit: TimeLimit) -> Self {
        Self(Arc::new(Inner { tasks, store, limit, queue: Mutex::default() }))
    }

    /// Has a hook run soon, and returns at once. The log of activity tells how it ended. One that still waits for an older
    /// version of the same resource is replaced by this one and never run.
    pub fn run(&self, hook: Hook, facts: HookFacts) {
        self.add(Queued { hook, facts, due: None });
    }

    /// The same for one of which the store has a note: the note goes once it has ended, unless the node stops before that. It is
    /// not begun where the note is gone by then.
    pub(crate) fn run_due(&self, hook: Hook, facts: HookFacts, due: HookDueId) {
        self.add(Queued { hook, facts, due: Some(due) });
    }

    /// One that was begun too often, and never ended, is given up.
    pub(crate) async fn give_up(&self, hook: Hook, facts: HookFacts, due: HookDueId) {
        let error = "the machine stopped each time while it ran, and it is not run again".to_owned();
        let queued = Queued { hook, facts, due: Some(due) };
        self.told(&queued, Ran::not_started(error), Duration::ZERO).await;
    }

    fn add(&self, queued: Queued) {
        if let Some(refused) = self.queue().add(queued) {
            let this = self.clone();
            self.0.tasks.spawn(async move {
                let error = "too many hooks wait already".to_owned();
                // Its note stays, for the next start.
                let refused = Queued { due: None, ..refused };
                this.told(&refused, Ran::not_started(error), Duration::ZERO).await;
            });
        }
        self.start_next();
    }

    /// Starts what may run now.
    fn start_next(&self) {
        while !self.0.tasks.is_stopping()
            && let Some(queued) = self.queue().next()
        {
            let running = Running { hooks: self.clone(), queued };
            self.0.tasks.spawn(running.run());
        }
    }

    /// Tells people and the log how one ended.
    async fn told(&self, queued: &Queued, ran: Ran, took: Duration) {
        let Queued { hook, facts, due } = queued;
        let (program, what) = (bounded(hook.program()), facts.what.clone());
        let Ran { end, out, err } = ran;
        let resource = what.resource.to_string();
        // Formatted for debugging, texts show no control characters.
        match &end {
            HookEnd::Exited { code: 0 } => info!(program, resource, ?out, ?err, "a hook ran"),
            other => warn!(program, resource, end = ?other, ?out, ?err, "a hook failed"),
        }
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let due = due.filter(|_| end != HookEnd::Stopped);
        let told = Activity::HookRan { what, program, end, ms };
        let logged = match due {
            Some(due) => self.0.store.end_hook(due, told).await,
            None => self.0.store.log(told).await,
        };
        if let Err(error) = logged {
            warn!(%error, "an event is missing in the log of activity");
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hook that runs. Its place is free again when this is dropped.
struct Running {
    hooks: Hooks,
    queued: Queued,
}

impl Running {
    async fn run(self) {
        let Inner { tasks, store, limit, .. } = &*self.hooks.0;
        if let Some(due) = self.queued.due {
            match store.begin_hook(due).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => warn!(%error, "that a hook begins is not kept"),
            }
        }
        let began = clock::monotonic();
        let ran = process::run(&self.queued, limit.duration(), tasks.stopping()).await;
        self.hooks.told(&self.queued, ran, began.elapsed()).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.hooks.queue().ended(&self.queued.facts.what.resource);
        self.hooks.start_next();
    }
}

#[cfg(test)]
mod tests;
