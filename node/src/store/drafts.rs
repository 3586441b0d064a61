//! What is made or received of a manifest before all of it is there: its pages, and how the files of a folder are. Some of
//! it stays in memory; more is written as it comes, so that memory does not grow with a folder.
//!
//! What was written hangs from a *draft*: a row of `manifest` under a root that is drawn at random, which nobody can ask
//! for. It is spared by [`garbage`] as long as it is needed. The transaction that stores the manifest itself names all of
//! its pages and removes the draft; so there is all of a manifest or none of it. A draft that is dropped is removed, and
//! what a crash leaves of one is garbage at the next start.

use std::sync::Arc;

use rusqlite::Connection;
use wire::{PageHash, RootHash};

use super::columns::{Column, run};
use super::{Store, folder_files, garbage, manifests};

/// What stays in memory, of pages and of a folder's files each: 4 MiB, which is some 25,000 small files. So what is
/// smaller is still stored in one transaction.
const KEPT_BYTES: usize = if cfg!(test) { 64 << 10 } else { 4 << 20 };

/// Some pages, and some rows of files: each with the entry of the first file in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch {
    pub(super) pages: Vec<Vec<u8>>,
    pub(super) rows: Vec<(u32, Vec<u8>)>,
    bytes: usize,
}

impl Batch {
    pub(super) fn push_page(&mut self, page: Vec<u8>) {
        self.bytes += page.len();
        self.pages.push(page);
    }

    pub(super) fn push_row(&mut self, first: u32, row: Vec<u8>) {
        self.bytes += row.len();
        self.rows.push((first, row));
    }
}

/// A draft in the database, if something was written.
#[derive(Debug)]
pub struct Draft {
    store: Store,
    root: RootHash,
    /// Pages that were written.
    pages: usize,
    /// Whether something may be in the database.
    begun: bool,
    /// Whether the database did not take something. The rest stays in memory then, and who stores all of it learns why.
    failed: bool,
}

impl Draft {
    /// With nothing in it; `None` where the system has no randomness to give.
    pub(super) fn new(store: Store) -> Option<Self> {
        let mut root = [0; 32];
        getrandom::fill(&mut root).ok()?;
        Some(Self { store, root: RootHash::from_bytes(root), pages: 0, begun: false, failed: false })
    }

    /// Whether nothing of it was ever written.
    pub(super) const fn is_empty(&self) -> bool {
        !self.begun
    }

    /// The root that stands for it.
    pub(super) const fn root(&self) -> RootHash {
        self.root
    }

    /// Writes what is more than may stay in memory. For threads that may block.
    pub(super) fn spill_blocking(&mut self, batch: &mut Batch) {
        if let Some((some, change)) = self.begin_spill(batch) {
            let written = self.store.db().write_blocking("write a part of a manifest", change);
            self.end_spill(some, written.err(), batch);
        }
    }

    /// The same for others.
    pub(super) async fn spill(&mut self, batch: &mut Batch) {
        if let Some((some, change)) = self.begin_spill(batch) {
            let written = self.store.db().write("write a part of a manifest", change).await;
            self.end_spill(some, written.err(), batch);
        }
    }

    fn begin_spill(
        &mut self,
        batch: &mut Batch,
    ) -> Option<(Arc<Batch>, impl FnOnce(&rusqlite::Transaction) -> rusqlite::Result<()> + Send + 'static)>
    {
        if batch.bytes < KEPT_BYTES || self.failed {
            return None;
        }
        let some = Arc::new(std::mem::take(batch));
        let hashes: Vec<_> = some.pages.iter().map(|page| PageHash::of(page)).collect();
        let (root, first, written) = (self.root, self.pages, some.clone());
        self.begun = true;
        Some((some, move |transaction: &rusqlite::Transaction| {
            manifests::put_draft(transaction, root, first, &hashes, &written.pages)?;
            folder_files::put_draft(transaction, root, &written.rows)
        }))
    }

    fn end_spill(&mut self, some: Arc<Batch>, error: Option<super::DbError>, batch: &mut Batch) {
        let Some(error) = error else {
            self.pages += some.pages.len();
            return;
        };
        tracing::warn!(%error, "a part of a manifest stays in memory");
        self.failed = true;
        *batch = Arc::unwrap_or_clone(some);
    }

    /// Forgets it, once all that hangs from it is named by something else; or if nothing is to be.
    pub(super) fn remove(connection: &Connection, root: RootHash) -> rusqlite::Result<()> {
        run(connection, "DELETE FROM temp.spared WHERE root = ?1", [root.sql()])?;
        garbage::collect(connection, root)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.begun {
            let root = self.root;
            let change = move |transaction: &rusqlite::Transaction| Self::remove(transaction, root);
            self.store.db().write_some_time("remove a part of a manifest", change);
        }
    }
}

/// The pages of a manifest, as they come in order.
#[derive(Debug, Default)]
pub struct Pages {
    batch: Batch,
    draft: Option<Draft>,
}

impl Pages {
    /// None yet. Without a `store` all of them stay in memory.
    pub fn new(store: Option<&Store>) -> Self {
        Self { batch: Batch::default(), draft: store.and_then(|store| Draft::new(store.clone())) }
    }

    /// Takes the next one.
    ///
    /// # Cancel safety
    /// Dropped while it waits, nothing that was taken is of any use.
    pub async fn push(&mut self, page: Vec<u8>) {
        self.batch.push_page(page);
        if let Some(draft) = &mut self.draft {
            draft.spill(&mut self.batch).await;
        }
    }

    /// Takes the next ones, on a thread that may block.
    pub(super) fn extend_blocking(&mut self, pages: Vec<Vec<u8>>) {
        for page in pages {
            self.batch.push_page(page);
            if let Some(draft) = &mut self.draft {
                draft.spill_blocking(&mut self.batch);
            }
        }
    }

    /// Those that are in memory, which are the last ones, and where the others are.
    pub fn finish(self) -> (Vec<Vec<u8>>, Option<Draft>) {
        (self.batch.pages, self.draft.filter(|draft| !draft.is_empty()))
    }
}

#[cfg(test)]
mod tests;
