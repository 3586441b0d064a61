//! Manifests: roots and pages, each page stored once however many manifests name it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use wire::manifest::{Manifest, ManifestError, Root};
use wire::{ContentHash, PageHash, RootHash, limits};

use super::columns::{Column, all, first, get, run};
use super::{DbError, Store};

/// Why a part of a manifest was not stored.
#[derive(Debug, thiserror::Error)]
pub enum ManifestStoreError {
    /// The database did not answer.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The bytes are not what the hash names.
    #[error("not stored: {0}")]
    Invalid(#[from] ManifestError),
}

/// What [`Store::collect_garbage`] removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Roots.
    pub manifests: usize,
    /// Pages.
    pub pages: usize,
}

impl Store {
    /// Stores a whole manifest. One that is there already stays as it is.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn put_manifest(&self, manifest: Arc<Manifest>) -> Result<(), DbError> {
        self.db().write("write a manifest", move |transaction| put(transaction, &manifest)).await
    }

    /// Stores the root of a manifest whose pages are to come.
    ///
    /// A job should name it first ([`Store::set_job_root`]), or [`Store::collect_garbage`] may take it away again.
    ///
    /// # Errors
    /// [`ManifestStoreError::Invalid`] where the bytes are no root with this hash.
    pub async fn put_root(
        &self,
        root_hash: RootHash,
        bytes: impl Into<Bytes>,
    ) -> Result<(), ManifestStoreError> {
        let bytes = bytes.into();
        let root = Root::decode(&bytes, &root_hash)?;
        let change = move |transaction: &rusqlite::Transaction| {
            insert_root(transaction, root_hash, &root, &bytes).map(drop)
        };
        Ok(self.db().write("write a manifest", change).await?)
    }

    /// Stores pages of a manifest whose root is stored, in one transaction; a page that is there already stays.
    ///
    /// # Errors
    /// [`ManifestStoreError::Invalid`], with nothing stored, where one does not have its hash or is over 256 KiB.
    pub async fn put_pages(&self, pages: Vec<(PageHash, Bytes)>) -> Result<(), ManifestStoreError> {
        let valid = |(hash, bytes): &(PageHash, Bytes)| {
            bytes.len() <= limits::PAGE_BYTES && PageHash::of(bytes) == *hash
        };
        if !pages.iter().all(valid) {
            return Err(ManifestError::Hash.into());
        }
        let change = move |transaction: &rusqlite::Transaction| {
            pages.iter().try_for_each(|(hash, bytes)| insert_page(transaction, *hash, bytes))
        };
        Ok(self.db().write("write a manifest", change).await?)
    }

    /// Stores one page. See [`Store::put_pages`], which costs less for several.
    ///
    /// # Errors
    /// As [`Store::put_pages`].
    pub async fn put_page(&self, hash: PageHash, bytes: impl Into<Bytes>) -> Result<(), ManifestStoreError> {
        self.put_pages(vec![(hash, bytes.into())]).await
    }

    /// The bytes of a manifest's root, whether or not all its pages are here.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn manifest_root(&self, root_hash: RootHash) -> Result<Option<Bytes>, DbError> {
        self.db().read("read a manifest", move |connection| root(connection, root_hash)).await
    }

    /// The bytes of a page.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn manifest_page(&self, hash: PageHash) -> Result<Option<Bytes>, DbError> {
        self.db().read("read a manifest", move |connection| page(connection, hash)).await
    }

    /// Which pages of a stored root are not here, in the order of the manifest, each once.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn missing_pages(&self, root_hash: RootHash) -> Result<Vec<PageHash>, DbError> {
        let sql = "SELECT named.hash FROM manifest JOIN manifest_page named ON named.manifest = manifest.id
            WHERE manifest.root = ?1 AND NOT EXISTS (SELECT 1 FROM page WHERE page.hash = named.hash)
            ORDER BY named.ordinal";
        let query = move |connection: &Connection| {
            let missing: Vec<PageHash> = all(connection, sql, [root_hash.sql()], |row| get(row, "hash"))?;
            let mut seen = BTreeSet::new();
            Ok(missing.into_iter().filter(|hash| seen.insert(*hash)).collect())
        };
        self.db().read("read a manifest", query).await
    }

    /// The roots of all complete manifests of a content: at most [`limits::ROOTS`], the oldest first.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn roots_of(&self, content: ContentHash) -> Result<Vec<RootHash>, DbError> {
        let sql = "SELECT root FROM manifest WHERE content = ?1 AND NOT EXISTS (
                SELECT 1 FROM manifest_page named WHERE named.manifest = manifest.id
                AND NOT EXISTS (SELECT 1 FROM page WHERE page.hash = named.hash)
            ) ORDER BY id LIMIT ?2";
        let query = move |connection: &Connection| {
            all(connection, sql, (content.sql(), limits::ROOTS as i64), |row| get(row, "root"))
        };
        self.db().read("read a manifest", query).await
    }

    /// Removes manifests that no holding and no job names (of jobs, those that are not installed), and pages that no
    /// manifest names. In one transaction; others wait for it.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn collect_garbage(&self) -> Result<Collected, DbError> {
        let manifests = "DELETE FROM manifest
            WHERE NOT EXISTS (SELECT 1 FROM holding WHERE holding.root = manifest.root)
            AND root NOT IN (SELECT root FROM job WHERE root IS NOT NULL AND state <> 'installed')";
        let pages = "DELETE FROM page
            WHERE NOT EXISTS (SELECT 1 FROM manifest_page WHERE manifest_page.hash = page.hash)";
        self.db()
            .write("remove old manifests", move |transaction| {
                let manifests = run(transaction, manifests, [])?;
                Ok(Collected { manifests, pages: run(transaction, pages, [])? })
            })
            .await
    }
}

/// Stores all of a manifest.
pub(super) fn put(connection: &Connection, manifest: &Manifest) -> rusqlite::Result<()> {
    insert_root(connection, manifest.root_hash, &manifest.root, &manifest.root_bytes)?;
    manifest
        .root
        .pages
        .iter()
        .zip(&manifest.pages)
        .try_for_each(|(page, bytes)| insert_page(connection, page.hash, bytes))
}

fn insert_root(
    connection: &Connection,
    root_hash: RootHash,
    root: &Root,
    bytes: &[u8],
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO manifest (root, content, bytes) VALUES (?1, ?2, ?3)
        ON CONFLICT DO NOTHING RETURNING id";
    let id: Option<i64> = connection
        .prepare_cached(sql)?
        .query_row((root_hash.sql(), root.content.sql(), bytes), |row| row.get(0))
        .optional()?;
    let Some(id) = id else { return Ok(()) };
    let sql = "INSERT INTO manifest_page (manifest, ordinal, hash) VALUES (?1, ?2, ?3)";
    let mut insert = connection.prepare_cached(sql)?;
    (0_i64..)
        .zip(&root.pages)
        .try_for_each(|(ordinal, page)| insert.execute((id, ordinal, page.hash.sql())).map(drop))
}

fn insert_page(connection: &Connection, hash: PageHash, bytes: &[u8]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO page (hash, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    run(connection, sql, (hash.sql(), bytes)).map(drop)
}

/// The bytes of a root.
pub(super) fn root(connection: &Connection, root: RootHash) -> rusqlite::Result<Option<Bytes>> {
    let sql = "SELECT bytes FROM manifest WHERE root = ?1";
    first(connection, sql, [root.sql()], |row| get(row, "bytes"))
}

/// The bytes of a page.
pub(super) fn page(connection: &Connection, hash: PageHash) -> rusqlite::Result<Option<Bytes>> {
    let sql = "SELECT bytes FROM page WHERE hash = ?1";
    first(connection, sql, [hash.sql()], |row| get(row, "bytes"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Fixture, manifest_of};
    use super::*;

    #[tokio::test]
    async fn a_manifest_is_complete_with_its_last_page() {
        let mut fixture = Fixture::new();
        let manifest = manifest_of(b"pages", 20_000);
        let (root, content) = (manifest.root_hash, manifest.root.content);
        let store = &fixture.store;
        store.put_root(root, manifest.root_bytes.clone()).await.expect("put");
        let pages: Vec<_> = manifest.root.pages.iter().map(|page| page.hash).collect();
        assert_eq!(store.missing_pages(root).await.expect("read"), pages);
        for (hash, bytes) in pages.iter().zip(&manifest.pages).rev() {
            assert!(store.roots_of(content).await.expect("read").is_empty());
            store.put_page(*hash, bytes.clone()).await.expect("put");
        }
        fixture.reopen().await;
        let store = &fixture.store;
        assert!(store.missing_pages(root).await.expect("read").is_empty());
        assert_eq!(store.roots_of(content).await.expect("read"), [root]);
        let bytes = store.manifest_root(root).await.expect("read").expect("there");
        assert_eq!(bytes, manifest.root_bytes);
        let bytes = store.manifest_page(pages[0]).await.expect("read").expect("there");
        assert_eq!(bytes, manifest.pages[0]);
    }

    #[tokio::test]
    async fn what_the_hash_does_not_name_is_refused() {
        let fixture = Fixture::new();
        let store = &fixture.store;
        let manifest = manifest_of(b"refused", 3);
        let other = manifest_of(b"other", 3);
        let wrong_root = store.put_root(manifest.root_hash, other.root_bytes.clone()).await;
        assert!(matches!(wrong_root, Err(ManifestStoreError::Invalid(ManifestError::Hash))));
        let good = (manifest.root.pages[0].hash, Bytes::from(manifest.pages[0].clone()));
        let bad = (PageHash::of(b"x"), Bytes::from_static(b"y"));
        let result = store.put_pages(vec![good.clone(), bad]).await;
        assert!(matches!(result, Err(ManifestStoreError::Invalid(ManifestError::Hash))));
        assert_eq!(store.manifest_page(good.0).await.expect("read"), None, "all or nothing");
    }

    #[tokio::test]
    async fn putting_twice_changes_nothing_and_pages_are_shared() {
        let fixture = Fixture::new();
        let store = &fixture.store;
        let manifest = Arc::new(manifest_of(b"twice", 20_000));
        let extended = Arc::new(manifest_of(b"twice", 20_100));
        for manifest in [&manifest, &manifest, &extended] {
            store.put_manifest(manifest.clone()).await.expect("put");
        }
        let count = store
            .db()
            .read("count", |c| c.query_row("SELECT count(*) FROM page", [], |row| row.get::<_, i64>(0)))
            .await
            .expect("counted");
        assert!(count < (manifest.pages.len() + extended.pages.len()) as i64, "{count}");
    }

    #[tokio::test]
    async fn garbage_is_what_nothing_names() {
        let fixture = Fixture::new();
        let store = &fixture.store;
        let kept = fixture.share("kept", b"kept").await;
        let garbage = Arc::new(manifest_of(b"garbage", 20_000));
        store.put_manifest(garbage.clone()).await.expect("put");
        let collected = store.collect_garbage().await.expect("collected");
        assert_eq!(collected, Collected { manifests: 1, pages: garbage.pages.len() });
        assert_eq!(store.manifest_root(garbage.root_hash).await.expect("read"), None);
        assert_eq!(store.manifest_page(garbage.root.pages[0].hash).await.expect("read"), None);
        let root = kept.record.root.expect("of a file");
        assert!(store.layout(root).await.expect("read").is_some());
        assert_eq!(store.collect_garbage().await.expect("collected"), Collected::default());
    }
}
