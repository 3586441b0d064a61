//! All local durable state of a node, and every touch of users' files.
//!
//! [`Store`] is a cheap handle; its async methods run queries on one database thread and file work on blocking threads.
//!
//! | concept | file |
//! | --- | --- |
//! | the seam to the operating system, and one that fails for tests | `fs/` |
//! | where a file is cut into chunks; hashing a file for publication | `cut`, `import` |
//! | a download in progress; putting it in place; ending what was interrupted | `partial`, `install`, `recover` |
//! | bringing a folder to its next version, file by file | `update` |
//! | removing what a subscription has installed | `removal` |
//! | what was received of a version that was replaced meanwhile | `remnants` |
//! | names of the files that these make beside users' files | `names` |
//! | reading what is shared where it lies; how all of it stands | `serve`, `survey` |
//! | what is held and may be like something that is downloaded | `alike` |
//! | the database thread, its tables, how values stand in them | `db`, `schema`, `columns` |
//! | all that belongs to the node's account | `account` |
//! | the log of activity | `events` |
//! | copies of old versions | `kept` |
//! | programs that are still to be run after an installation | `hooks_due` |
//! | one file for each family of tables | `settings`, `manifests`, `publications`, `holdings`, `installed`, `jobs`, `intents`, `subscriptions` |
//! | manifests taken apart, kept in memory; those that are not whole yet; those that nothing needs any more | `layouts`, `drafts`, `garbage` |

mod account;
mod alike;
mod chosen;
mod columns;
mod cut;
mod db;
mod drafts;
mod events;
mod folder_files;
pub mod fs;
mod garbage;
mod holdings;
mod hooks_due;
mod import;
mod install;
mod installed;
mod intents;
mod jobs;
mod kept;
mod layouts;
mod manifests;
mod names;
mod partial;
mod publications;
mod recover;
mod remnants;
mod removal;
mod schema;
mod serve;
mod settings;
mod subscriptions;
mod survey;
#[cfg(test)]
mod tests;
mod update;
mod watched;

use std::path::Path;
use std::sync::Arc;

pub use alike::Like;
pub use chosen::{Chosen, PatternError, Patterns};
pub use cut::Cutter;
pub use db::DbError;
pub use drafts::{Draft, Pages};
pub use folder_files::{FolderFile, FolderFiles};
pub use fs::io_hint;
pub use garbage::Collected;
pub use holdings::{Holding, HoldingId, HoldingState, NewHolding, Origin};
pub(crate) use hooks_due::BEGUN as HOOK_BEGUN;
pub use hooks_due::{HookDue, HookDueId};
pub use import::{
    Before, FolderOptions, ImportError, Imported, Links, Note, Notes, import, import_folder, is_unchanged,
    recut,
};
pub use install::{InstallError, InstallFacts, InstalledFile, Kept, KeptFile};
pub use installed::Installed;
pub use jobs::{
    Base, CreatedJob, Job, JobError, JobFailure, JobFilter, JobId, JobOptions, JobSource, JobState, Moved,
    NewJob, Offer,
};
pub use kept::{KeepError, KeptOf, KeptVersion, Swept};
pub use layouts::LayoutError;
pub use partial::{OpenedPartial, Partial, PartialError, PartialFile, PartialFolder};
pub use publications::{Publication, PublicationHead, PublicationState, Walked};
pub use recover::Recovered;
pub use remnants::OpenedRemnant;
pub use removal::{RemovalError, Removed, Stays};
pub use serve::{ServeError, Served, ServedFile, ServedFolder, check, open_served};
pub(crate) use subscriptions::rank_of;
pub use subscriptions::{HeldVersion, NewSubscription, NewestVersion, Subscription, SubscriptionId};
pub use survey::{Survey, Surveyed};
pub use update::Update;
pub use watched::{Look, Watched, WatchedHolding};

/// The most rows that one call returns of a paged listing; a larger limit means this one.
pub const PAGE_ROWS: u32 = 1000;

/// A handle on the node's store. Clones share it.
///
/// Every change is durable when its method returns. A method that is dropped while it waits may still take effect, whole
/// or not at all.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: db::Db,
    fs: Arc<dyn fs::Fs>,
    layouts: layouts::LayoutCache,
    installs: install::Installs,
    /// Held while a version is copied, or copies are removed.
    keeping: std::sync::Mutex<()>,
}

impl Store {
    /// Opens the database file at `path`, or creates it, and starts its thread. Blocks for the time of some reads.
    ///
    /// # Errors
    /// See [`DbError`].
    pub fn open(path: &Path, fs: Arc<dyn fs::Fs>) -> Result<Self, DbError> {
        Ok(Self::new(db::Db::open(path)?, fs))
    }

    fn new(db: db::Db, fs: Arc<dyn fs::Fs>) -> Self {
        let (layouts, installs, keeping) = Default::default();
        let inner = Inner { db, fs, layouts, installs, keeping };
        Self { inner: Arc::new(inner) }
    }

    /// Closes the database after what is queued; every later call on any clone answers [`DbError::Closed`].
    pub async fn close(&self) {
        self.db().close().await;
    }

    /// The file system that users' files are on.
    pub fn fs(&self) -> &Arc<dyn fs::Fs> {
        &self.inner.fs
    }

    fn db(&self) -> &db::Db {
        &self.inner.db
    }
}
