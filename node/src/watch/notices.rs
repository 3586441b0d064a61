//! What the system notices in watched folders, until the watch takes it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode};
use notify::{ErrorKind, Event, EventKind};
use tokio::sync::Notify;

/// Paths that wait; where more change, everything is looked at.
const PATHS: usize = 8192;

/// Changed paths, each once however often it changed.
#[derive(Debug, Default)]
pub(super) struct Notices {
    waiting: Mutex<Waiting>,
    /// Woken when there is something.
    news: Notify,
}

/// What was noticed since the last time.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Where something changed.
    pub(super) paths: HashSet<PathBuf>,
    /// Whether something else may have changed, too.
    pub(super) missed: bool,
    /// New folders that the system does not watch, as it watches too many.
    pub(super) unwatchable: HashSet<PathBuf>,
}

impl Notices {
    /// Takes what a watcher reports. Never blocks for long.
    pub(super) fn take_in(&self, result: notify::Result<Event>) {
        let mut waiting = self.waiting();
        match result {
            // The paths say nothing then.
            Ok(event) if event.need_rescan() => waiting.missed = true,
            Ok(event) if !is_change(&event.kind) => return,
            Ok(event) if waiting.paths.len() < PATHS => waiting.paths.extend(event.paths),
            Ok(_) => waiting.missed = true,
            Err(error)
                if matches!(error.kind, ErrorKind::MaxFilesWatch) && waiting.unwatchable.len() < PATHS =>
            {
                waiting.unwatchable.extend(error.paths);
            }
            Err(_) => waiting.missed = true,
        }
        drop(waiting);
        self.news.notify_one();
    }

    /// Waits for something new.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// All that was noticed since the last call.
    pub(super) fn take(&self) -> Waiting {
        std::mem::take(&mut *self.waiting())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether something is otherwise after it. To open a file and to read it, as is done to serve it, changes nothing.
const fn is_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{DataChange, Flag, ModifyKind};

    use super::*;

    fn modified(path: String) -> notify::Result<Event> {
        Ok(Event::new(EventKind::Modify(ModifyKind::Data(DataChange::Any))).add_path(path.into()))
    }

    #[test]
    fn each_path_once_and_what_is_only_read_not_at_all() {
        let notices = Notices::default();
        for _ in 0..3 {
            notices.take_in(modified("/a".to_owned()));
        }
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        notices.take_in(Ok(Event::new(opened).add_path("/b".into())));
        let taken = notices.take();
        assert_eq!((taken.paths.len(), taken.missed), (1, false));
        assert!(notices.take().paths.is_empty());
    }

    #[test]
    fn what_is_too_much_and_what_went_wrong_is_missed() {
        let notices = Notices::default();
        for number in 0..=PATHS {
            notices.take_in(modified(format!("/{number}")));
        }
        let taken = notices.take();
        assert_eq!((taken.paths.len(), taken.missed), (PATHS, true));
        notices.take_in(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan).add_path("/a".into())));
        let taken = notices.take();
        assert_eq!((taken.paths.len(), taken.missed), (0, true), "an overflow");
        notices.take_in(Err(notify::Error::new(ErrorKind::MaxFilesWatch).add_path("/a".into())));
        let taken = notices.take();
        assert_eq!((taken.unwatchable.len(), taken.missed), (1, false));
    }
}
