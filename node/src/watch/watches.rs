//! The system's watches, brought in line with what is to be watched. All of it may block: to watch a folder with all that
//! is in it is to walk through it.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};
use tracing::{debug, warn};

use super::notices::Notices;

/// Attempts at a folder in which folders come and go while it is walked.
const ATTEMPTS: usize = 3;

/// What the system watches for us. At most one of them is at work.
#[derive(Debug)]
pub(super) struct Watches {
    notices: Arc<Notices>,
    watcher: Option<RecommendedWatcher>,
    watched: HashMap<Arc<Path>, Watched>,
    unwatched: HashMap<Arc<Path>, Unwatched>,
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    recursive: bool,
    /// Device and inode: another folder at its path is another one.
    identity: Option<(u64, u64)>,
}

/// Why a folder is not watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unwatched {
    /// The system watches as many as it may.
    Limit,
    /// It is not there, or the system refuses.
    Failed(String),
}

impl Watches {
    /// None yet.
    pub(super) fn new(notices: Arc<Notices>) -> Self {
        Self { notices, watcher: None, watched: HashMap::new(), unwatched: HashMap::new() }
    }

    /// The folders that are not watched as they should be, and why.
    pub(super) const fn unwatched(&self) -> &HashMap<Arc<Path>, Unwatched> {
        &self.unwatched
    }

    /// Watches a folder from now on as is wanted: with all that is in it, or not, or not at all. One that is watched
    /// already is watched anew only where `again` says so.
    pub(super) fn settle(&mut self, root: &Arc<Path>, wanted: Option<bool>, again: bool) {
        let is = self.watched.get(root).map(|watched| watched.recursive);
        if is == wanted && !again {
            if wanted.is_none() {
                self.unwatched.remove(root);
            }
            return;
        }
        if is.is_some() {
            self.end(root);
        }
        self.unwatched.remove(root);
        if let Some(recursive) = wanted {
            self.begin(root, recursive);
        }
    }

    /// The folders at whose path there is another one, or none, since they were watched.
    pub(super) fn replaced(&self) -> Vec<Arc<Path>> {
        let replaced = |(root, watched): &(&Arc<Path>, &Watched)| identity(root) != watched.identity;
        self.watched.iter().filter(replaced).map(|(root, _)| root.clone()).collect()
    }

    /// The system does not watch a new folder, as it watches as many as it may.
    pub(super) fn limit_reached(&mut self, path: &Path) {
        let above = path.ancestors().find_map(|above| self.watched.get_key_value(above));
        if let Some((root, _)) = above {
            let root = root.clone();
            self.fail(&root, Unwatched::Limit);
        }
    }

    fn begin(&mut self, root: &Arc<Path>, recursive: bool) {
        // Looked at first: where it is replaced between the two, that shows.
        let identity = identity(root);
        for attempt in 1.. {
            match self.watch(root, recursive) {
                Ok(()) => {
                    self.watched.insert(root.clone(), Watched { recursive, identity });
                    return;
                }
                Err(error) => {
                    let came_and_went = matches!(error.kind, ErrorKind::PathNotFound) && root.exists();
                    if attempt < ATTEMPTS && came_and_went {
                        continue;
                    }
                    // Gives back what it got.
                    self.end(root);
                    let why = why(error);
                    return self.fail(root, why);
                }
            }
        }
    }

    /// Those above and below lose watches with it, and are watched again.
    fn end(&mut self, root: &Arc<Path>) {
        self.watched.remove(root);
        let Some(watcher) = &mut self.watcher else { return };
        if let Err(error) = watcher.unwatch(root) {
            debug!(root = %root.display(), %error, "it was not watched");
            return;
        }
        let touches = |(other, watched): (&Arc<Path>, &Watched)| {
            let touches = other.starts_with(root) || (watched.recursive && root.starts_with(other));
            touches.then(|| (other.clone(), watched.recursive))
        };
        let touched: Vec<_> = self.watched.iter().filter_map(touches).collect();
        for (other, recursive) in touched {
            if let Err(error) = self.watch(&other, recursive) {
                self.watched.remove(&other);
                let why = why(error);
                self.fail(&other, why);
            }
        }
    }

    fn watch(&mut self, root: &Path, recursive: bool) -> notify::Result<()> {
        let watcher = match &mut self.watcher {
            Some(watcher) => watcher,
            none => {
                let notices = self.notices.clone();
                none.insert(notify::recommended_watcher(move |result| notices.take_in(result))?)
            }
        };
        let mode = if recursive { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        watcher.watch(root, mode)
    }

    fn fail(&mut self, root: &Arc<Path>, why: Unwatched) {
        if self.unwatched.get(root) != Some(&why) {
            warn!(root = %root.display(), why = %why, "cannot be watched; it is looked at again and again");
        }
        self.unwatched.insert(root.clone(), why);
    }
}

impl std::fmt::Display for Unwatched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Limit => f.write_str("the system watches as many folders as it may"),
            Self::Failed(text) => f.write_str(text),
        }
    }
}

fn why(error: notify::Error) -> Unwatched {
    let path = error.paths.first().map_or_else(String::new, |path| format!("{}: ", path.display()));
    match error.kind {
        ErrorKind::MaxFilesWatch => Unwatched::Limit,
        // No more instances, or handles.
        ErrorKind::Io(error) if matches!(error.raw_os_error(), Some(23 | 24)) => Unwatched::Limit,
        ErrorKind::PathNotFound => Unwatched::Failed(format!("{path}it is not there")),
        ErrorKind::Io(error) => Unwatched::Failed(format!("{path}{error}")),
        other => Unwatched::Failed(format!("{path}{other:?}")),
    }
}

fn identity(folder: &Path) -> Option<(u64, u64)> {
    folder.metadata().ok().map(|found| (found.dev(), found.ino()))
}

/// The path of a folder without links in it.
///
/// # Errors
/// The system's, as where it is not there.
pub(super) fn resolved(folder: &Path) -> io::Result<PathBuf> {
    std::fs::canonicalize(folder)
}

#[cfg(test)]
mod tests;
