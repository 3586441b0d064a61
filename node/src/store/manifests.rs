//! Manifests: roots and pages, each page stored once however many manifests name it.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use wire::manifest::{Manifest, Root};
use wire::{ContentHash, PageHash, RootHash, limits};

use super::columns::{Column, all, first, get, run};
use super::drafts::Draft;
use super::{DbError, Store, garbage};

impl Store {
    /// Stores a whole manifest. One that is there already stays as it is, but gets the blocks that it lacks.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn put_manifest(&self, manifest: Arc<Manifest>) -> Result<(), DbError> {
        self.put_received(manifest, None).await
    }

    /// The same with the pages that were written before.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn put_received(&self, manifest: Arc<Manifest>, draft: Option<Draft>) -> Result<(), DbError> {
        let drafted = draft.as_ref().map(Draft::root);
        let put = move |transaction: &rusqlite::Transaction| put(transaction, &manifest, drafted);
        let written = self.db().write("write a manifest", put).await;
        drop(draft);
        written
    }

    /// The bytes of a manifest's root, whether or not all its pages are here.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn manifest_root(&self, root_hash: RootHash) -> Result<Option<Bytes>, DbError> {
        self.db().read("read a manifest", move |connection| root(connection, root_hash)).await
    }

    /// The blocks of a file beside this manifest of it, as they were stored, where they are known.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn blocks(&self, root_hash: RootHash) -> Result<Option<Bytes>, DbError> {
        let sql = "SELECT blocks FROM manifest WHERE root = ?1 AND blocks IS NOT NULL";
        let query = move |connection: &Connection| {
            first(connection, sql, [root_hash.sql()], |row| get(row, "blocks"))
        };
        self.db().read("read a manifest", query).await
    }

    /// The bytes of a page.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn manifest_page(&self, hash: PageHash) -> Result<Option<Bytes>, DbError> {
        self.db().read("read a manifest", move |connection| page(connection, hash)).await
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
}

/// Stores all of a manifest: its pages, and those that the draft with this root has, if there is one, which is removed.
pub(super) fn put(
    connection: &Connection,
    manifest: &Manifest,
    draft: Option<RootHash>,
) -> rusqlite::Result<()> {
    insert_root(connection, manifest.root_hash, &manifest.root, &manifest.root_bytes)?;
    if let Some(blocks) = &manifest.blocks {
        let sql = "UPDATE manifest SET blocks = ?2 WHERE root = ?1 AND blocks IS NULL";
        run(connection, sql, (manifest.root_hash.sql(), blocks.as_bytes()))?;
    }
    // The draft has the first ones.
    let refs = manifest.root.pages.iter().rev().zip(manifest.pages.iter().rev());
    refs.rev().try_for_each(|(page, bytes)| insert_page(connection, page.hash, bytes))?;
    draft.map_or(Ok(()), |draft| Draft::remove(connection, draft))
}

/// Stores pages of a draft, the first of them with this number. The draft is begun if need be, and spared from then on.
pub(super) fn put_draft(
    connection: &Connection,
    draft: RootHash,
    first: usize,
    hashes: &[PageHash],
    pages: &[Vec<u8>],
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO manifest (root, content, bytes) VALUES (?1, ?1, x'') ON CONFLICT DO NOTHING";
    if run(connection, sql, [draft.sql()])? > 0 {
        garbage::spare_draft(connection, draft)?;
    }
    let sql = "INSERT INTO manifest_page (manifest, ordinal, hash)
        SELECT id, ?2, ?3 FROM manifest WHERE root = ?1";
    for (ordinal, (hash, page)) in (first as u64..).zip(hashes.iter().zip(pages)) {
        run(connection, sql, (draft.sql(), ordinal.sql(), hash.sql()))?;
        insert_page(connection, *hash, page)?;
    }
    Ok(())
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
    use wire::manifest::{BLOCK_BYTES, BlockTree, Blocks, subtree};

    use super::super::tests::{Fixture, manifest_of};
    use super::*;

    #[tokio::test]
    async fn blocks_stay_beside_their_manifest_and_are_added_to_one_without() {
        let fixture = Fixture::new();
        let bytes = vec![7; 600_000];
        let mut tree = BlockTree::new(bytes.len() as u64);
        for (block, offset) in bytes.chunks(BLOCK_BYTES as usize).zip((0..).step_by(BLOCK_BYTES as usize)) {
            tree.push(subtree(block, offset));
        }
        let blocks = tree.finish().expect("two or more").1;
        let [with, without] = [b"with", b"none"].map(|seed| manifest_of(seed, 3));
        let with = Manifest { blocks: blocks.clone(), ..with };
        for manifest in [&with, &without] {
            fixture.store.put_manifest(Arc::new(manifest.clone())).await.expect("put");
        }
        let stored = blocks.as_ref().map(Blocks::as_bytes);
        assert_eq!(fixture.store.blocks(with.root_hash).await.expect("read").as_deref(), stored);
        assert_eq!(fixture.store.blocks(without.root_hash).await.expect("read"), None);
        let later = Manifest { blocks: blocks.clone(), ..without.clone() };
        fixture.store.put_manifest(Arc::new(later)).await.expect("put");
        fixture.store.put_manifest(Arc::new(without.clone())).await.expect("put");
        assert_eq!(fixture.store.blocks(without.root_hash).await.expect("read").as_deref(), stored);
    }

    #[tokio::test]
    async fn a_manifest_without_all_its_pages_is_none() {
        let mut fixture = Fixture::new();
        let manifest = Arc::new(manifest_of(b"pages", 20_000));
        let (root, content) = (manifest.root_hash, manifest.root.content);
        assert!(fixture.store.roots_of(content).await.expect("read").is_empty());
        fixture.store.put_manifest(manifest.clone()).await.expect("put");
        fixture.reopen().await;
        let store = &fixture.store;
        assert_eq!(store.roots_of(content).await.expect("read"), [root]);
        let bytes = store.manifest_root(root).await.expect("read").expect("there");
        assert_eq!(bytes, manifest.root_bytes);
        let page = manifest.root.pages[0].hash;
        let bytes = store.manifest_page(page).await.expect("read").expect("there");
        assert_eq!(bytes, manifest.pages[0]);
        store
            .db()
            .write("damage", |t| t.execute("DELETE FROM page WHERE id = 2", []))
            .await
            .expect("damaged");
        assert!(store.roots_of(content).await.expect("read").is_empty());
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
}
