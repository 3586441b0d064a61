//! Shares that publish their next version by themselves when their file or folder changes.
//!
//! | concept | file |
//! | --- | --- |
//! | when something that changed is published; pure | `debounce` |
//! | which folders are to be watched, and whose changes those in them are; pure | `routes` |
//! | what the system notices | `notices` |
//! | the system's watches, brought in line with what is to be watched | `watches` |
//! | looking whether something is as it was published | `look` |
//! | publishing one of them | `publish` |
//! | the task that has all of it | `task` |

mod debounce;
mod look;
mod notices;
mod publish;
mod routes;
mod task;
mod watches;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use wire::ResourceName;

pub(crate) use self::task::keep_watched;
use crate::control::api::WatchStatus;
use crate::options::WatchTiming;

/// Names that wait until the watch looks at them; where there are more, it looks at everything.
const TOUCHED: usize = 1024;

/// What other tasks tell the watch, and what it says of itself.
#[derive(Debug)]
pub(crate) struct Watching {
    by_default: bool,
    timing: WatchTiming,
    touched: Mutex<Touched>,
    /// Woken when something was told.
    told: Notify,
    status: Mutex<Option<WatchStatus>>,
}

/// Publications of which something may be otherwise than the watch knows.
#[derive(Debug, Default)]
struct Touched {
    names: BTreeSet<ResourceName>,
    all: bool,
}

impl Watching {
    /// `by_default`: what is shared for the first time is watched unless its user says otherwise.
    pub(crate) fn new(by_default: bool, timing: WatchTiming) -> Self {
        let (touched, told, status) = (Mutex::default(), Notify::new(), Mutex::default());
        Self { by_default, timing, touched, told, status }
    }

    /// Whether something that is shared for the first time is watched.
    pub(crate) const fn by_default(&self) -> bool {
        self.by_default
    }

    /// Tells the watch that a publication was made, or taken back, or may be watched or not from now on.
    pub(crate) fn touch(&self, name: ResourceName) {
        let mut touched = self.touched();
        if touched.names.len() < TOUCHED {
            touched.names.insert(name);
        } else {
            touched.all = true;
        }
        drop(touched);
        self.told.notify_one();
    }

    /// The same of all publications.
    pub(crate) fn touch_all(&self) {
        self.touched().all = true;
        self.told.notify_one();
    }

    /// Has the watch look again whether it may publish.
    pub(crate) fn wake(&self) {
        self.told.notify_one();
    }

    /// How it stands; `None` where nothing is watched.
    pub(crate) fn status(&self) -> Option<WatchStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_status(&self, status: Option<WatchStatus>) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    fn take_touched(&self) -> Touched {
        std::mem::take(&mut *self.touched())
    }

    fn touched(&self) -> MutexGuard<'_, Touched> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
