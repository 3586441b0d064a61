//! Manifests that nothing refers to any more. They go with what referred to them last, one by one; whatever is left, since
//! a crash came between or it could not be known, goes after the next start.
//!
//! *Invariant: a manifest that a holding, a job that is not installed (also as the version that it replaces), the remnant of
//! one, what was downloaded or is subscribed to, or a publication refers to is never removed.* Who stores one stores the
//! reference before it, or in the same transaction. What is not whole yet is a
//! [draft](super::drafts), which is spared as long as this program needs it.

use rusqlite::{Connection, OptionalExtension};
use wire::{PageHash, ResourceName, RootHash};

use super::columns::{Column, all, get, run};
use super::{DbError, Store};

/// Manifests that are looked at in one read.
const LOOKED_AT: u32 = 1000;
/// Manifests that are removed in one transaction: others wait for it.
const AT_ONCE: usize = 16;
/// Replaced manifests that are spared at once.
const SPARED_ROWS: u32 = 10_000;

/// Nothing refers to a row of `manifest`.
const UNNAMED: &str = "NOT EXISTS (SELECT 1 FROM holding WHERE holding.root = manifest.root)
    AND NOT EXISTS (SELECT 1 FROM job WHERE job.root = manifest.root AND job.state <> 'installed')
    AND NOT EXISTS (SELECT 1 FROM job WHERE job.base_root = manifest.root AND job.state <> 'installed')
    AND NOT EXISTS (SELECT 1 FROM installed WHERE installed.root = manifest.root AND installed.folder)
    AND NOT EXISTS (SELECT 1 FROM remnant WHERE remnant.root = manifest.root)
    AND NOT EXISTS (SELECT 1 FROM publication WHERE publication.root = manifest.root)
    AND NOT EXISTS (SELECT 1 FROM subscription WHERE subscription.held_root = manifest.root)
    AND NOT EXISTS (SELECT 1 FROM temp.spared WHERE spared.root = manifest.root)";

/// What [`Store::collect_garbage`] removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Roots.
    pub manifests: usize,
    /// Pages.
    pub pages: usize,
}

impl Store {
    /// Removes all manifests that nothing refers to, with the pages that no other manifest names; those of versions that
    /// may yet stand again stay. In small transactions, so that others need not wait long; dropped in between, what is
    /// left goes with the next call.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn collect_garbage(&self) -> Result<Collected, DbError> {
        let mut collected = Collected::default();
        let mut after = 0;
        loop {
            let look = move |connection: &Connection| look(connection, after);
            let Some((last, garbage)) = self.db().read("look for old manifests", look).await? else {
                return Ok(collected);
            };
            for some in garbage.chunks(AT_ONCE).map(<[i64]>::to_vec) {
                let change = move |transaction: &rusqlite::Transaction| {
                    some.into_iter().map(|id| remove(transaction, id)).collect::<Result<Vec<_>, _>>()
                };
                for removed in self.db().write("remove old manifests", change).await? {
                    collected.manifests += removed.manifests;
                    collected.pages += removed.pages;
                }
            }
            after = last;
        }
    }
}

impl Store {
    /// How many manifests [`Store::collect_garbage`] would remove; pages are not counted.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn count_garbage(&self) -> Result<Collected, DbError> {
        let mut counted = Collected::default();
        let mut after = 0;
        loop {
            let look = move |connection: &Connection| look(connection, after);
            let Some((last, garbage)) = self.db().read("look for old manifests", look).await? else {
                return Ok(counted);
            };
            counted.manifests += garbage.len();
            after = last;
        }
    }
}

/// The manifests after a number that nothing refers to, of the next few, and the number of the last of these.
fn look(connection: &Connection, after: i64) -> rusqlite::Result<Option<(i64, Vec<i64>)>> {
    let sql = "SELECT max(id) FROM (SELECT id FROM manifest WHERE id > ?1 ORDER BY id LIMIT ?2)";
    let last = connection.prepare_cached(sql)?.query_row((after, LOOKED_AT), |row| row.get(0))?;
    let Some(last) = last else { return Ok(None) };
    let sql = format!("SELECT id FROM manifest WHERE id > ?1 AND id <= ?2 AND {UNNAMED}");
    Ok(Some((last, all(connection, &sql, (after, last), |row| row.get(0))?)))
}

/// Removes a manifest if nothing refers to it.
pub(super) fn collect(connection: &Connection, root: RootHash) -> rusqlite::Result<()> {
    let sql = "SELECT id FROM manifest WHERE root = ?1";
    let id = connection.prepare_cached(sql)?.query_row([root.sql()], |row| row.get(0)).optional()?;
    id.map_or(Ok(()), |id| remove(connection, id).map(drop))
}

fn remove(connection: &Connection, id: i64) -> rusqlite::Result<Collected> {
    let sql = "SELECT DISTINCT hash FROM manifest_page WHERE manifest = ?1";
    let pages: Vec<PageHash> = all(connection, sql, [id], |row| get(row, "hash"))?;
    let manifests = run(connection, &format!("DELETE FROM manifest WHERE id = ?1 AND {UNNAMED}"), [id])?;
    let mut collected = Collected { manifests, pages: 0 };
    if manifests > 0 {
        let sql = "DELETE FROM page WHERE hash = ?1
            AND NOT EXISTS (SELECT 1 FROM manifest_page WHERE manifest_page.hash = page.hash)";
        for hash in pages {
            collected.pages += run(connection, sql, [hash.sql()])?;
        }
    }
    Ok(collected)
}

/// The manifests of versions that were replaced by ones that the index has not acknowledged yet: if it refuses, the old
/// version stands again. Also [drafts](super::drafts) of what is not whole yet. Gone with the connection; what was spared then is garbage.
pub(super) const SPARED: &str = "CREATE TEMP TABLE spared (name TEXT NOT NULL, root BLOB NOT NULL)";

/// Spares these until the index has acknowledged what is published under the name. What is beyond the bound is not
/// spared.
pub(super) fn spare(
    connection: &Connection,
    name: &ResourceName,
    roots: &[RootHash],
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO temp.spared (name, root) SELECT ?1, ?2
        WHERE (SELECT count(*) FROM temp.spared) < ?3";
    roots.iter().try_for_each(|root| run(connection, sql, (name.sql(), root.sql(), SPARED_ROWS)).map(drop))
}

/// Spares a draft until it is removed. It has the name that no resource has: none.
pub(super) fn spare_draft(connection: &Connection, root: RootHash) -> rusqlite::Result<()> {
    run(connection, "INSERT INTO temp.spared (name, root) VALUES ('', ?1)", [root.sql()]).map(drop)
}

/// What was spared for a name, and is no longer.
pub(super) fn spared(connection: &Connection, name: &ResourceName) -> rusqlite::Result<Vec<RootHash>> {
    all(connection, "DELETE FROM temp.spared WHERE name = ?1 RETURNING root", [name.sql()], |row| {
        get(row, "root")
    })
}

#[cfg(test)]
mod tests;
