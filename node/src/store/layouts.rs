//! Manifests taken apart, the last few of them kept in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use wire::RootHash;
use wire::manifest::{Layout, LayoutAssembler, ManifestError, PageRef, Root};

use super::{DbError, Store, manifests};
use crate::off_thread::off_thread;

/// Layouts that are kept.
const LAYOUTS: usize = 8;
/// Layouts are kept only while all together weigh at most this much: 192 MiB.
const WEIGHT: u64 = 192 << 20;
/// Pages that are read from the database at once: at most 8 MiB.
const PAGES_AT_ONCE: usize = 32;

/// Why a layout could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The database did not answer.
    #[error(transparent)]
    Db(#[from] DbError),
    /// What is stored is not the manifest that it should be.
    #[error("the stored manifest {root} cannot be used: {source}")]
    Manifest {
        /// Its root.
        root: RootHash,
        /// What is wrong with it.
        source: ManifestError,
    },
}

impl Store {
    /// The layout of the content that has this manifest, or `None` where not all of the manifest is here. Every page is
    /// checked against its hash when it is read; the last few layouts are kept.
    ///
    /// # Errors
    /// See [`LayoutError`].
    pub async fn layout(&self, root: RootHash) -> Result<Option<Arc<Layout>>, LayoutError> {
        let layouts = &self.inner.layouts;
        if let Some(found) = layouts.find(root) {
            return Ok(Some(found));
        }
        // Several at once would take its memory several times.
        let turn = layouts.turn(root);
        let _turn = turn.lock().await;
        if let Some(found) = layouts.find(root) {
            return Ok(Some(found));
        }
        let store = self.clone();
        off_thread(move || store.load_layout(root)).await
    }

    /// [`Store::layout`] for threads that may block.
    pub(super) fn layout_blocking(&self, root: RootHash) -> Result<Option<Arc<Layout>>, LayoutError> {
        match self.inner.layouts.find(root) {
            Some(found) => Ok(Some(found)),
            None => self.load_layout(root),
        }
    }

    /// Keeps a layout that was had otherwise, as if it had been read here.
    pub fn keep_layout(&self, root: RootHash, layout: &Arc<Layout>) {
        self.inner.layouts.keep(root, layout.clone());
    }

    /// Forgets the layouts that nobody has asked for since the last call, and that nobody has.
    pub fn forget_unused_layouts(&self) {
        self.inner.layouts.forget_unused();
    }

    fn load_layout(&self, root_hash: RootHash) -> Result<Option<Arc<Layout>>, LayoutError> {
        let unusable = |source| LayoutError::Manifest { root: root_hash, source };
        let query = move |connection: &rusqlite::Connection| manifests::root(connection, root_hash);
        let Some(bytes) = self.db().read_blocking("read a manifest", query)? else {
            return Ok(None);
        };
        let root = Root::decode(&bytes, &root_hash).map_err(unusable)?;
        let refs = root.pages.clone();
        let mut assembler = LayoutAssembler::new(root);
        for refs in refs.chunks(PAGES_AT_ONCE) {
            let Some(pages) = self.load_pages(refs)? else {
                return Ok(None);
            };
            pages.iter().try_for_each(|page| assembler.push(page)).map_err(unusable)?;
        }
        let layout = Arc::new(assembler.finish().map_err(unusable)?);
        self.inner.layouts.keep(root_hash, layout.clone());
        Ok(Some(layout))
    }

    fn load_pages(&self, refs: &[PageRef]) -> Result<Option<Vec<bytes::Bytes>>, DbError> {
        let hashes: Vec<_> = refs.iter().map(|page| page.hash).collect();
        self.db().read_blocking("read a manifest", move |connection| {
            hashes.into_iter().map(|hash| manifests::page(connection, hash)).collect()
        })
    }
}

/// The layouts used last.
#[derive(Debug, Default)]
pub(super) struct LayoutCache {
    /// The latest in front.
    cached: Mutex<VecDeque<Cached>>,
    /// Whose turn it is to read one.
    turns: Mutex<HashMap<RootHash, Weak<Turn>>>,
}

type Turn = tokio::sync::Mutex<()>;

#[derive(Debug)]
struct Cached {
    root: RootHash,
    layout: Arc<Layout>,
    /// Since it was last looked at.
    used: bool,
}

impl LayoutCache {
    fn find(&self, root: RootHash) -> Option<Arc<Layout>> {
        let mut all = self.cached();
        let at = all.iter().position(|cached| cached.root == root)?;
        let found = all.remove(at)?;
        let layout = found.layout.clone();
        all.push_front(Cached { used: true, ..found });
        Some(layout)
    }

    fn keep(&self, root: RootHash, layout: Arc<Layout>) {
        let mut all = self.cached();
        all.retain(|other| other.root != root);
        all.push_front(Cached { root, layout, used: true });
        let mut weight = 0;
        let fits = |cached: &&Cached| {
            weight += cached.layout.memory_bytes() as u64;
            weight <= WEIGHT
        };
        let kept = all.iter().take(LAYOUTS).take_while(fits).count();
        all.truncate(kept);
    }

    fn forget_unused(&self) {
        let mut all = self.cached();
        all.retain(|cached| cached.used || Arc::strong_count(&cached.layout) > 1);
        all.iter_mut().for_each(|cached| cached.used = false);
    }

    /// Held while this one is read.
    fn turn(&self, root: RootHash) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&root).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(root, Arc::downgrade(&turn));
        turn
    }

    fn cached(&self) -> MutexGuard<'_, VecDeque<Cached>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Fixture, manifest_of};
    use super::*;

    #[tokio::test]
    async fn a_layout_is_what_was_put() {
        let fixture = Fixture::new();
        let manifest = Arc::new(manifest_of(b"layout", 20_000));
        let root = manifest.root_hash;
        assert!(fixture.store.layout(root).await.expect("asked").is_none());
        fixture.store.put_manifest(manifest.clone()).await.expect("put");
        let layout = fixture.store.layout(root).await.expect("loads").expect("complete");
        assert_eq!(layout.chunks.len(), 20_000);
        assert_eq!(layout.content, manifest.root.content);
        let again = fixture.store.layout(root).await.expect("kept").expect("complete");
        assert!(Arc::ptr_eq(&layout, &again));
    }

    #[tokio::test]
    async fn an_incomplete_manifest_has_none_and_a_damaged_one_says_so() {
        let fixture = Fixture::new();
        let store = &fixture.store;
        let manifest = manifest_of(b"incomplete", 20_000);
        assert!(manifest.pages.len() > 2);
        store.put_manifest(Arc::new(manifest.clone())).await.expect("put");
        let removed = |t: &rusqlite::Transaction| t.execute("DELETE FROM page WHERE id = 2", []);
        store.db().write("damage", removed).await.expect("damaged");
        assert!(store.layout(manifest.root_hash).await.expect("asked").is_none());
        store.put_manifest(Arc::new(manifest.clone())).await.expect("put");
        store
            .db()
            .write("damage", |t| t.execute("UPDATE page SET bytes = x'80'", []))
            .await
            .expect("damaged");
        let error = store.layout(manifest.root_hash).await.expect_err("damaged");
        assert!(matches!(error, LayoutError::Manifest { source: ManifestError::Hash, .. }), "{error:?}");
    }

    #[test]
    fn the_cache_is_bounded() {
        let cache = LayoutCache::default();
        let layout = |chunks: u32| {
            let manifest = manifest_of(&chunks.to_be_bytes(), chunks);
            let root = Root::decode(&manifest.root_bytes, &manifest.root_hash).expect("a root");
            let pages = manifest.pages.iter().map(Vec::as_slice);
            (manifest.root_hash, Arc::new(Layout::assemble(root, pages).expect("assembles")))
        };
        let all: Vec<_> = (0..10).map(layout).collect();
        for (root, layout) in &all[..8] {
            cache.keep(*root, layout.clone());
        }
        assert!(cache.find(all[0].0).is_some(), "now the latest");
        cache.keep(all[8].0, all[8].1.clone());
        assert!(cache.find(all[0].0).is_some());
        assert!(cache.find(all[1].0).is_none(), "used longest ago");
        assert_eq!(cache.cached().len(), LAYOUTS);
    }

    #[tokio::test]
    async fn what_nobody_uses_is_forgotten_at_the_second_look() {
        let fixture = Fixture::new();
        let store = &fixture.store;
        let manifest = Arc::new(manifest_of(b"unused", 10));
        store.put_manifest(manifest.clone()).await.expect("put");
        let count = || store.inner.layouts.cached().len();
        let load = async || store.layout(manifest.root_hash).await.expect("loads").expect("complete");
        let layout = load().await;
        for _ in 0..3 {
            store.forget_unused_layouts();
            assert_eq!(count(), 1, "somebody has it");
        }
        drop((layout, load().await));
        store.forget_unused_layouts();
        assert_eq!(count(), 1, "it was asked for");
        store.forget_unused_layouts();
        assert_eq!(count(), 0);
    }

    #[tokio::test]
    async fn who_asks_while_it_is_read_gets_the_same() {
        let fixture = Fixture::new();
        let store = &fixture.store;
        let manifest = Arc::new(manifest_of(b"at once", 20_000));
        store.put_manifest(manifest.clone()).await.expect("put");
        let load = || async { store.layout(manifest.root_hash).await.expect("loads").expect("complete") };
        let (one, other) = tokio::join!(load(), load());
        assert!(Arc::ptr_eq(&one, &other));
        assert!(store.inner.layouts.turn(manifest.root_hash).try_lock().is_ok());
    }
}
