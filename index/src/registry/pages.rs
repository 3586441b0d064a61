//! Pages of catalogues' trees, by their hashes: what trees have in common is here once.
//!
//! A page is *complete* once all pages under it are here and what is in them is in order; then it says how many items, levels
//! and bytes that is, and the first and the last key. It is *done* once what is under it was applied, and then each of its
//! children counts it among what refers to it; so does a root for the head of its catalogue. A page that nothing refers to
//! goes, unless it is kept for a catalogue that is being fetched.

use certs::UnixMillis;
use rusqlite::{Connection, OptionalExtension, Row};
use wire::TreeHash;
use wire::catalogue::CataloguePage;

use super::catalogues::{self, NewHead, Roots, tree_hash};
use super::error::RegistryError;
use super::replicate::{self, Publisher, Replicated};
use super::writer::Batch;
use super::{AccountRow, NodeRow, Registry, Result, from_sql, to_sql};

/// Pages that one transaction changes, at most.
pub(crate) const PAGES: usize = 256;

/// Whose records a page has; `None` for one of contents.
pub(crate) type PageOwner = Option<(NodeRow, AccountRow)>;

/// What is known of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KnownPage {
    /// Nothing.
    Missing,
    /// It is here, not all that is under it.
    Here(Vec<u8>),
    /// All of it is here.
    Complete(Complete),
}

/// What a complete page says of all that is under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complete {
    pub(crate) owner: PageOwner,
    pub(crate) items: u64,
    pub(crate) levels: u64,
    /// Bytes of all pages.
    pub(crate) size: u64,
    pub(crate) first: Vec<u8>,
    pub(crate) last: Vec<u8>,
}

/// Why a branch cannot be made complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A page under it went meanwhile.
    Gone,
    /// What is under it is not in order.
    Bad(&'static str),
}

/// A page that was checked as far as it can be by itself.
#[derive(Debug, Clone)]
pub(crate) struct NewPage {
    pub(crate) hash: TreeHash,
    pub(crate) bytes: Vec<u8>,
    /// Of a leaf.
    pub(crate) complete: Option<Complete>,
}

/// A step of the walk over what is not done yet, children before the pages above them.
#[derive(Debug)]
pub(crate) enum Step {
    /// A leaf, with its records where they are to be applied.
    Leaf(TreeHash, Vec<Replicated>),
    /// A branch, whose children are done.
    Branch(TreeHash),
}

/// A page that is to be done.
#[derive(Debug)]
pub(crate) struct StoredPage {
    pub(crate) bytes: Vec<u8>,
    pub(crate) done: bool,
}

impl Registry {
    /// What is known of pages, in their order.
    pub(crate) async fn known_pages(&self, hashes: Vec<TreeHash>) -> Result<Vec<KnownPage>> {
        self.read(move |database| hashes.iter().map(|hash| known(database, hash)).collect()).await
    }

    /// Pages as others ask for them.
    pub(crate) async fn pages(&self, hashes: Vec<TreeHash>) -> Result<Vec<Option<Vec<u8>>>> {
        self.read(move |database| hashes.iter().map(|hash| bytes(database, hash)).collect()).await
    }

    /// A page that is to be done.
    pub(crate) async fn stored_page(&self, hash: TreeHash) -> Result<Option<StoredPage>> {
        self.read(move |database| {
            let found = database
                .prepare_cached("SELECT bytes, done FROM pages WHERE hash = ?1")?
                .query_row([hash.as_bytes()], |row| Ok(StoredPage { bytes: row.get(0)?, done: row.get(1)? }))
                .optional()?;
            Ok(found)
        })
        .await
    }

    /// Keeps pages for the catalogue of a node that is being fetched or built.
    pub(crate) async fn keep_pages(&self, fetching: NodeRow, pages: Vec<NewPage>) -> Result<()> {
        self.write(pages.len() * 4, move |batch| {
            pages.iter().try_for_each(|page| keep(batch, fetching, page))
        })
        .await
    }

    /// Bytes of the pages that are kept for the catalogue of a node, but not in it yet.
    pub(crate) async fn staged_bytes(&self, fetching: NodeRow) -> Result<u64> {
        self.read(move |database| {
            let bytes: i64 = database
                .prepare_cached(
                    "SELECT coalesce(sum(length(bytes)), 0) FROM pages INDEXED BY pages_fetching WHERE fetching = ?1",
                )?
                .query_row([fetching.0], |row| row.get(0))?;
            Ok(from_sql(bytes))
        })
        .await
    }

    /// Makes branches complete, those below before those above. The reason, where what is under one is not in order.
    pub(crate) async fn complete(&self, branches: &[TreeHash]) -> Result<std::result::Result<(), Fault>> {
        for part in branches.chunks(PAGES) {
            let part = part.to_vec();
            let done = self.write(part.len(), move |batch| {
                for hash in &part {
                    if let Err(fault) = complete(batch, hash)? {
                        return Ok(Err(fault));
                    }
                }
                Ok(Ok(()))
            });
            if let Err(fault) = done.await? {
                return Ok(Err(fault));
            }
        }
        Ok(Ok(()))
    }

    /// Does some steps in one transaction. How many records were too many for their account; `None`: a page is gone
    /// meanwhile, and nothing was done.
    pub(crate) async fn do_steps(
        &self,
        publisher: Publisher,
        steps: Vec<Step>,
        now: UnixMillis,
    ) -> Result<Option<usize>> {
        let fallback = self.certificate.row;
        let changes = steps.iter().map(Step::changes).sum();
        self.write(changes, move |batch| {
            if !all_here(batch, &steps)? {
                return Ok(None);
            }
            let mut left_out = 0;
            for step in &steps {
                let hash = match step {
                    Step::Leaf(hash, records) => {
                        left_out += replicate::apply_all(batch, publisher, records, fallback, now)?;
                        hash
                    }
                    Step::Branch(hash) => {
                        refer(batch, hash, 1)?;
                        hash
                    }
                };
                batch
                    .prepare_cached("UPDATE pages SET done = 1 WHERE hash = ?1")?
                    .execute([hash.as_bytes()])?;
            }
            Ok(Some(left_out))
        })
        .await
    }

    /// Puts a head, all of whose pages are done, in the place of the one before. `false`: a root is gone meanwhile.
    pub(crate) async fn put_head(&self, node: NodeRow, new: NewHead) -> Result<bool> {
        self.write(1, move |batch| {
            let old = catalogues::roots(batch, node)?;
            let roots = Roots { records: new.records, held: new.held };
            for root in [roots.records, roots.held].into_iter().flatten() {
                let sql = "UPDATE pages SET refs = refs + 1 WHERE hash = ?1 AND done = 1";
                if batch.prepare_cached(sql)?.execute([root.as_bytes()])? == 0 {
                    return Ok(false);
                }
            }
            for root in [old.records, old.held].into_iter().flatten() {
                let sql = "UPDATE pages SET refs = refs - 1 WHERE hash = ?1";
                batch.prepare_cached(sql)?.execute([root.as_bytes()])?;
            }
            catalogues::put_head(batch, node, &new)?;
            Ok(true)
        })
        .await
    }

    /// Forgets the head of a node's catalogue; its pages become garbage.
    pub(crate) async fn remove_head(&self, node: NodeRow) -> Result<()> {
        self.write(1, move |batch| {
            let old = catalogues::roots(batch, node)?;
            for root in [old.records, old.held].into_iter().flatten() {
                let sql = "UPDATE pages SET refs = refs - 1 WHERE hash = ?1";
                batch.prepare_cached(sql)?.execute([root.as_bytes()])?;
            }
            batch.prepare_cached("DELETE FROM catalogues WHERE node = ?1")?.execute([node.0])?;
            Ok(())
        })
        .await
    }

    /// Keeps no more pages for the catalogue of a node than are in it.
    pub(crate) async fn release(&self, fetching: NodeRow) -> Result<()> {
        loop {
            let released = self.write(PAGES, move |batch| {
                let sql = "UPDATE pages SET fetching = NULL WHERE id IN
                           (SELECT id FROM pages INDEXED BY pages_fetching WHERE fetching = ?1 LIMIT ?2)";
                Ok(batch.prepare_cached(sql)?.execute((fetching.0, to_sql(PAGES as u64)))?)
            });
            if released.await? < PAGES {
                return Ok(());
            }
        }
    }

    /// Makes an end of pages that nobody needs, all of them, step by step.
    pub(crate) async fn collect_garbage(&self) -> Result<()> {
        // A branch that goes leaves its children to the next step.
        while self.write(PAGES, collect).await? > 0 {}
        Ok(())
    }

    /// About how large the database is, in bytes.
    pub(crate) async fn size(&self) -> Result<u64> {
        self.read(|database| {
            let number =
                |sql: &str| -> rusqlite::Result<i64> { database.query_row(sql, [], |row| row.get(0)) };
            let used = number("PRAGMA page_count")? - number("PRAGMA freelist_count")?;
            Ok(from_sql(used.saturating_mul(number("PRAGMA page_size")?)))
        })
        .await
    }
}

impl Step {
    fn changes(&self) -> usize {
        match self {
            Self::Leaf(_, records) => records.len().max(1),
            Self::Branch(_) => PAGES / 4,
        }
    }
}

fn known(database: &Connection, hash: &TreeHash) -> Result<KnownPage> {
    let mut statement = database.prepare_cached(
        "SELECT items, node, owner, levels, size, first, last, CASE WHEN items IS NULL THEN bytes END
         FROM pages WHERE hash = ?1",
    )?;
    let mut rows = statement.query([hash.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(KnownPage::Missing) };
    Ok(match complete_of(row)? {
        Some(complete) => KnownPage::Complete(complete),
        None => KnownPage::Here(row.get(7)?),
    })
}

fn complete_of(row: &Row<'_>) -> Result<Option<Complete>> {
    let Some(items) = row.get::<_, Option<i64>>(0)? else { return Ok(None) };
    let node: Option<i64> = row.get(1)?;
    let owner: Option<i64> = row.get(2)?;
    Ok(Some(Complete {
        owner: node.map(NodeRow).zip(owner.map(AccountRow)),
        items: from_sql(items),
        levels: from_sql(row.get(3)?),
        size: from_sql(row.get(4)?),
        first: row.get(5)?,
        last: row.get(6)?,
    }))
}

fn bytes(database: &Connection, hash: &TreeHash) -> Result<Option<Vec<u8>>> {
    let found = database
        .prepare_cached(
            "SELECT bytes FROM pages WHERE hash = ?1
             UNION ALL SELECT bytes FROM members_list_pages WHERE hash = ?1",
        )?
        .query_row([hash.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(found)
}

fn keep(batch: &Batch<'_>, fetching: NodeRow, page: &NewPage) -> Result<()> {
    batch
        .prepare_cached(
            "INSERT INTO pages(hash, bytes, fetching) VALUES (?1, ?2, ?3)
             ON CONFLICT(hash) DO UPDATE SET fetching = coalesce(fetching, excluded.fetching)",
        )?
        .execute((page.hash.as_bytes(), &page.bytes, fetching.0))?;
    page.complete.as_ref().map_or(Ok(()), |complete| set_complete(batch, &page.hash, complete))
}

fn set_complete(batch: &Batch<'_>, hash: &TreeHash, complete: &Complete) -> Result<()> {
    batch
        .prepare_cached(
            "UPDATE pages SET items = ?2, node = ?3, owner = ?4, levels = ?5, size = ?6, first = ?7, last = ?8
             WHERE hash = ?1 AND items IS NULL",
        )?
        .execute((
            hash.as_bytes(),
            to_sql(complete.items),
            complete.owner.map(|(node, _)| node.0),
            complete.owner.map(|(_, account)| account.0),
            to_sql(complete.levels),
            to_sql(complete.size),
            &complete.first,
            &complete.last,
        ))?;
    Ok(())
}

/// Makes a branch complete out of its children.
fn complete(batch: &Batch<'_>, hash: &TreeHash) -> Result<std::result::Result<(), Fault>> {
    let bytes = match known(batch, hash)? {
        KnownPage::Complete(_) => return Ok(Ok(())),
        KnownPage::Missing => return Ok(Err(Fault::Gone)),
        KnownPage::Here(bytes) => bytes,
    };
    let mut whole: Option<Complete> = None;
    for child in children(&bytes)? {
        let KnownPage::Complete(child) = known(batch, &child)? else { return Ok(Err(Fault::Gone)) };
        whole = Some(match whole {
            None => child,
            Some(before) if before.owner != child.owner => {
                return Ok(Err(Fault::Bad("its pages are of several kinds")));
            }
            Some(before) if before.last >= child.first => {
                return Ok(Err(Fault::Bad("its pages are not in order")));
            }
            Some(before) => Complete {
                items: before.items + child.items,
                levels: before.levels.max(child.levels),
                size: before.size + child.size,
                last: child.last,
                ..before
            },
        });
    }
    let Some(mut whole) = whole else { return Ok(Err(Fault::Bad("a branch of nothing"))) };
    whole.levels += 1;
    whole.size += bytes.len() as u64;
    set_complete(batch, hash, &whole)?;
    Ok(Ok(()))
}

fn all_here(batch: &Batch<'_>, steps: &[Step]) -> Result<bool> {
    for step in steps {
        let (Step::Leaf(hash, _) | Step::Branch(hash)) = step;
        let KnownPage::Complete(_) = known(batch, hash)? else { return Ok(false) };
        if let Step::Branch(_) = step {
            for child in children(&bytes(batch, hash)?.unwrap_or_default())? {
                if known(batch, &child)? == KnownPage::Missing {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// Counts a page among what refers to its children, or no longer. A leaf has none.
fn refer(batch: &Batch<'_>, hash: &TreeHash, more: i64) -> Result<()> {
    let done: Option<(bool, Vec<u8>)> = batch
        .prepare_cached("SELECT done, bytes FROM pages WHERE hash = ?1")?
        .query_row([hash.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((done, bytes)) = done else { return Ok(()) };
    if done == (more > 0) {
        return Ok(());
    }
    for child in children(&bytes)? {
        batch
            .prepare_cached("UPDATE pages SET refs = refs + ?2 WHERE hash = ?1")?
            .execute((child.as_bytes(), more))?;
    }
    Ok(())
}

/// What a branch names; nothing for a leaf.
fn children(bytes: &[u8]) -> Result<Vec<TreeHash>> {
    match CataloguePage::decode(bytes) {
        Ok(CataloguePage::Pages(pages)) => Ok(pages.0),
        Ok(_) => Ok(Vec::new()),
        Err(_) => Err(RegistryError::Corrupt("a page of a tree")),
    }
}

fn collect(batch: &mut Batch<'_>) -> Result<usize> {
    let garbage: Vec<Option<TreeHash>> = batch
        .prepare_cached(
            "SELECT hash FROM pages INDEXED BY pages_garbage WHERE refs = 0 AND fetching IS NULL ORDER BY id LIMIT ?1",
        )?
        .query_map([to_sql(PAGES as u64)], |row| tree_hash(row, 0))?
        .collect::<rusqlite::Result<_>>()?;
    for hash in garbage.iter().flatten() {
        refer(batch, hash, -1)?;
        batch.prepare_cached("DELETE FROM pages WHERE hash = ?1")?.execute([hash.as_bytes()])?;
    }
    Ok(garbage.len())
}
