//! The list of members as a replica keeps it: the index's head, its pages, and the memberships that ended.

use certs::{NodeId, UnixMillis};
use wire::catalogue::Revoked;
use wire::{MembersBundle, TreeHash};

use super::{Registry, Result, catalogues, to_sql};

impl Registry {
    /// Keeps pages of a list with this sequence.
    pub(crate) async fn keep_list_pages(&self, seq: u64, pages: Vec<(TreeHash, Vec<u8>)>) -> Result<()> {
        self.write(pages.len() * 4, move |batch| {
            let mut statement = batch.prepare_cached(
                "INSERT INTO members_pages(hash, used, bytes) VALUES (?1, ?2, ?3)
                 ON CONFLICT(hash) DO UPDATE SET used = max(used, excluded.used)",
            )?;
            for (hash, bytes) in &pages {
                statement.execute((hash.as_bytes(), to_sql(seq), bytes))?;
            }
            Ok(())
        })
        .await
    }

    /// Notes memberships that ended before their time.
    pub(crate) async fn keep_revoked(&self, revoked: Vec<Revoked>) -> Result<()> {
        self.write(revoked.len(), move |batch| {
            let mut statement = batch.prepare_cached(
                "INSERT INTO revocations(node, serial, since) VALUES (?1, ?2, ?3)
                 ON CONFLICT(node) DO UPDATE SET serial = excluded.serial, since = excluded.since
                 WHERE excluded.serial > serial",
            )?;
            for Revoked { node, serial, since } in &revoked {
                statement.execute((node.as_bytes(), to_sql(*serial), to_sql(since.0)))?;
            }
            Ok(())
        })
        .await
    }

    /// Puts a list in the place of the one before, whose pages stay for whoever is fetching them; older ones go.
    pub(crate) async fn keep_members(&self, seq: u64, bundle: MembersBundle) -> Result<()> {
        self.write(1, move |batch| {
            let before: i64 = batch
                .prepare_cached("SELECT coalesce(max(seq), 0) FROM members_head")?
                .query_row([], |row| row.get(0))?;
            batch
                .prepare_cached(
                    "INSERT OR REPLACE INTO members_head(id, seq, head, certificate) VALUES (0, ?1, ?2, ?3)",
                )?
                .execute((to_sql(seq), &bundle.head[..], &bundle.certificate[..]))?;
            batch.prepare_cached("DELETE FROM members_pages WHERE used < ?1")?.execute([before])?;
            Ok(())
        })
        .await
    }

    /// By node: the highest serial that is ended, and since when.
    pub(crate) async fn revoked(&self) -> Result<Vec<(NodeId, (u64, UnixMillis))>> {
        let pairs = |(node, serial, since)| (node, (serial, since));
        self.read(move |database| Ok(catalogues::revoked(database)?.into_iter().map(pairs).collect())).await
    }
}
