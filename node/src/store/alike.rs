//! Held files and folders in which chunks of another content may be found.

use std::collections::HashSet;
use std::path::PathBuf;

use certs::AccountId;
use rusqlite::Connection;
use wire::{ContentHash, ResourceName, RootHash};

use super::columns::{Column, all, path_sql};
use super::holdings::{self, Holding};
use super::{DbError, Store};

/// Holdings that [`Store::holdings_like`] returns at most.
const ALIKE: usize = 16;
/// Of each kind. Of the same resource there are as many as it was downloaded to places.
const OF_EACH: i64 = 4;

/// What a content is, for whoever looks for something like it.
#[derive(Debug, Clone)]
pub struct Like {
    /// Its hash.
    pub content: ContentHash,
    /// Its manifest, if that is stored by now.
    pub root: Option<RootHash>,
    /// The account that owns it.
    pub account: AccountId,
    /// Its name.
    pub name: ResourceName,
    /// Where it is to be.
    pub target: PathBuf,
    /// Whether other resources of the account count, too: those whose names come directly before and after this one.
    pub neighbours: bool,
}

impl Store {
    /// Holdings in which chunks of a content may be, the likeliest first, whatever their state: of the same content; of the
    /// same resource; of what lies at the target; those with pages of the same manifest; neighbours. At most 16.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn holdings_like(&self, like: Like) -> Result<Vec<Holding>, DbError> {
        self.db().read("read holdings", move |connection| find(connection, &like)).await
    }
}

fn find(connection: &Connection, like: &Like) -> rusqlite::Result<Vec<Holding>> {
    let Like { content, root, account, name, target, neighbours } = like;
    let sql = "SELECT * FROM holding WHERE content = ?1 ORDER BY state = 'ok' DESC, id DESC LIMIT ?2";
    let mut found = all(connection, sql, (content.sql(), OF_EACH), holdings::read)?;
    let sql = "SELECT * FROM holding WHERE account = ?1 AND name = ?2
        ORDER BY path = ?3 DESC, state = 'ok' DESC, id DESC LIMIT ?4";
    let same = (account.sql(), name.sql(), path_sql(target), OF_EACH);
    found.extend(all(connection, sql, same, holdings::read)?);
    let sql = "SELECT * FROM holding WHERE path = ?1 ORDER BY id DESC LIMIT ?2";
    found.extend(all(connection, sql, (path_sql(target), OF_EACH), holdings::read)?);
    if let Some(root) = root {
        found.extend(all(connection, WITH_PAGES, (root.sql(), OF_EACH), holdings::read)?);
    }
    if *neighbours {
        let before = "SELECT * FROM holding WHERE account = ?1 AND name < ?2 ORDER BY name DESC LIMIT ?3";
        let after = "SELECT * FROM holding WHERE account = ?1 AND name > ?2 ORDER BY name LIMIT ?3";
        for sql in [before, after] {
            found.extend(all(connection, sql, (account.sql(), name.sql(), OF_EACH), holdings::read)?);
        }
    }
    let mut seen = HashSet::new();
    found.retain(|holding| seen.insert(holding.id));
    found.truncate(ALIKE);
    Ok(found)
}

/// Holdings whose manifests have pages of this one, those with most of them first.
const WITH_PAGES: &str = "SELECT holding.* FROM (
        SELECT other.manifest AS manifest, count(*) AS pages
        FROM manifest_page mine JOIN manifest_page other ON other.hash = mine.hash
        WHERE mine.manifest = (SELECT id FROM manifest WHERE root = ?1) AND other.manifest <> mine.manifest
        GROUP BY other.manifest ORDER BY pages DESC LIMIT ?2
    ) alike
    JOIN manifest ON manifest.id = alike.manifest JOIN holding ON holding.root = manifest.root
    ORDER BY alike.pages DESC, holding.id DESC LIMIT ?2";

#[cfg(test)]
mod tests;
