//! The versions of one resource, the newest first, by keyset.

use certs::{NodeId, UnixNanos, UserName};
use rusqlite::Connection;
use wire::message::Entry;
use wire::{Kind, ResourceName};

use super::view::View;
use super::{Items, Result, accounts, entries, history, to_sql};

/// The columns of a listing as [`entries::listed`] reads them, and when it was published. A resource has few versions.
const VERSIONS: &str = "
    SELECT e.seq, e.user, a.account, e.name, e.kind, e.version, e.revision, e.size, e.mtime, e.accepted, e.content,
           e.record, e.node, e.published
    FROM entries AS e INDEXED BY entries_resource CROSS JOIN accounts AS a ON a.id = e.account
    WHERE e.user = ?1 AND e.name = ?2 AND e.version < ?3
    UNION ALL
    SELECT h.id, a.user, a.account, h.name, h.kind, h.version, h.revision, h.size, h.mtime, h.accepted, h.content,
           h.hash, h.node, h.published
    FROM accounts AS a CROSS JOIN history AS h INDEXED BY history_resource ON h.account = a.id
    WHERE a.user = ?1 AND h.name = ?2 AND h.version < ?3
    ORDER BY 6 DESC";

/// What of a resource is listed.
#[derive(Debug, Clone)]
pub(crate) struct VersionsFilter {
    pub(crate) owner: UserName,
    pub(crate) name: ResourceName,
    /// Only versions below this one.
    pub(crate) before: Option<u64>,
    /// For a node of the owner: what was taken back, too.
    pub(crate) own: bool,
    /// With `own`: tombstones too.
    pub(crate) gone: bool,
    pub(crate) node: Option<NodeId>,
    pub(crate) kind: Option<Kind>,
    pub(crate) online: bool,
    pub(crate) limit: usize,
}

/// One page, and the last version on it where there are more.
pub(super) fn page(database: &Connection, filter: &VersionsFilter, view: &View) -> Result<Items<u64>> {
    let mut found = Items { items: Vec::new(), next: None };
    let node = match &filter.node {
        None => None,
        Some(node) => match accounts::node(database, node)? {
            Some(node) => Some(node.row),
            None => return Ok(found),
        },
    };
    let taken_back = match filter.own {
        true => 0,
        false => history::taken_back(database, &filter.owner, &filter.name)?,
    };
    let before = filter.before.map_or(i64::MAX, to_sql);
    let mut statement = database.prepare_cached(VERSIONS)?;
    let mut rows = statement.query((filter.owner.as_str(), filter.name.as_str(), before))?;
    while let Some(row) = rows.next()? {
        if node.is_some_and(|node| row.get(12) != Ok(node.0)) {
            continue;
        }
        let published = Some(UnixNanos(row.get(13)?));
        let entry = Entry { published, ..entries::listed(database, row, view)? };
        if entry.version <= taken_back || !shown(filter, &entry) {
            continue;
        }
        if found.items.len() == filter.limit {
            found.next = found.items.last().map(|entry| entry.version);
            return Ok(found);
        }
        found.items.push(entry);
    }
    Ok(found)
}

fn shown(filter: &VersionsFilter, entry: &Entry) -> bool {
    let live = entry.kind != Kind::Gone || (filter.own && filter.gone);
    let of_kind = filter.kind.is_none_or(|wanted| wanted == entry.kind);
    live && of_kind && (!filter.online || entry.online > 0)
}
