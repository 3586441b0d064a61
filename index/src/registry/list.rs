//! L: entries in the order of (owner, name), by keyset: what does not change while the pages are taken appears once.

use std::fmt::Write as _;

use certs::{NodeId, UserName};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde::{Deserialize, Serialize};
use wire::message::Entry;
use wire::{Kind, ResourceName};

use super::entries::{self, JOINED, LISTED, kind_number};
use super::{Items, NodeRow, Online, Result, SCANNED_ROWS, accounts};

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct ListFilter {
    pub(crate) limit: usize,
    pub(crate) owner: Option<UserName>,
    pub(crate) name: Option<ResourceName>,
    pub(crate) node: Option<NodeId>,
    pub(crate) kind: Option<Kind>,
    pub(crate) online: bool,
    /// Tombstones of this user too.
    pub(crate) gone_of: Option<UserName>,
    pub(crate) after: Option<ListKey>,
}

/// The entry after which a page begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ListKey(pub(crate) UserName, pub(crate) ResourceName);

/// One page.
pub(super) fn page(database: &Connection, filter: &ListFilter, online: &Online) -> Result<Items<ListKey>> {
    let node = match &filter.node {
        None => None,
        Some(node) => match accounts::node(database, node)? {
            Some(node) => Some(node.row),
            None => return Ok(Items { items: Vec::new(), next: None }),
        },
    };
    let (sql, values) = statement(filter, node);
    let mut statement = database.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let (mut items, mut last) = (Vec::new(), None);
    let mut scanned = 0;
    while let Some(row) = rows.next()? {
        if items.len() == filter.limit || scanned == SCANNED_ROWS {
            return Ok(Items { items, next: last });
        }
        scanned += 1;
        let entry = entries::listed(database, row, online)?.entry;
        last = Some(ListKey(entry.owner.clone(), entry.name.clone()));
        if passes(filter, &entry) {
            items.push(entry);
        }
    }
    Ok(Items { items, next: None })
}

fn passes(filter: &ListFilter, entry: &Entry) -> bool {
    let kind = filter.kind.is_none_or(|kind| kind == entry.kind);
    let live = entry.kind != Kind::Gone || filter.gone_of.as_ref() == Some(&entry.owner);
    kind && live && (!filter.online || entry.online > 0)
}

/// The index is named, so that no query can become a scan: preparing it fails instead.
pub(super) fn statement(filter: &ListFilter, node: Option<NodeRow>) -> (String, Vec<Value>) {
    let index = match (node, &filter.gone_of) {
        (Some(_), _) => "entries_node",
        (None, Some(_)) => "entries_resource",
        (None, None) => "entries_live",
    };
    let mut sql = format!("SELECT {LISTED} INDEXED BY {index} {JOINED} WHERE true");
    let mut values = Vec::new();
    let mut add = |condition: &str, value: Value| {
        values.push(value);
        // Writing to a string does not fail.
        let _ = write!(sql, " AND {condition} ?{}", values.len());
    };
    if let Some(node) = node {
        add("e.node =", node.0.into());
    }
    if let Some(owner) = &filter.owner {
        add("e.user =", owner.as_str().to_owned().into());
    }
    if let Some(name) = &filter.name {
        add("e.name =", name.as_str().to_owned().into());
    }
    if let Some(kind) = filter.kind {
        add("+e.kind =", kind_number(kind).into());
    }
    match &filter.after {
        // With the owner given, a comparison of pairs would begin at the owner's first name.
        Some(ListKey(user, name)) if filter.owner.as_ref() == Some(user) => {
            add("e.name >", name.as_str().to_owned().into());
        }
        Some(ListKey(user, name)) => {
            values.extend([user.as_str().to_owned().into(), name.as_str().to_owned().into()]);
            let _ = write!(sql, " AND (e.user, e.name) > (?{}, ?{})", values.len() - 1, values.len());
        }
        None => {}
    }
    if filter.gone_of.is_none() {
        sql.push_str(" AND e.kind <> 2");
    }
    sql.push_str(" ORDER BY e.user, e.name");
    (sql, values)
}
