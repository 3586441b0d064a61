//! L: entries in the order of (owner, name), by keyset: what does not change while the pages are taken appears once.

use certs::{NodeId, UserName};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde::{Deserialize, Serialize};
use wire::{Kind, ResourceName};

use super::entries::{self, JOINED, LISTED};
use super::view::View;
use super::{Items, NodeRow, Result, SCANNED_ROWS, accounts};

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
pub(super) fn page(database: &Connection, filter: &ListFilter, view: &View) -> Result<Items<ListKey>> {
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
        let (owner, name, kind) = entries::key(row)?;
        if shown(filter, &owner, kind) {
            let entry = entries::listed(database, row, view)?;
            items.extend(Some(entry).filter(|entry| !filter.online || entry.online > 0));
        }
        last = Some(ListKey(owner, name));
    }
    Ok(Items { items, next: None })
}

/// What the database is not asked for, so that it looks at no more rows than are counted here.
fn shown(filter: &ListFilter, owner: &UserName, kind: Kind) -> bool {
    let live = kind != Kind::Gone || filter.gone_of.as_ref() == Some(owner);
    live && filter.kind.is_none_or(|wanted| wanted == kind)
}

/// The index is named, so that no query can become a scan: preparing it fails instead.
pub(super) fn statement(filter: &ListFilter, node: Option<NodeRow>) -> (String, Vec<Value>) {
    let index = match (node, &filter.gone_of) {
        (Some(_), _) => "entries_node",
        (None, Some(_)) => "entries_resource",
        (None, None) => "entries_live",
    };
    let mut query = Conditions::default();
    query.and("e.node = ?", node.map(|node| node.0.into()));
    query.and("e.user = ?", filter.owner.as_ref().map(|owner| owner.as_str().to_owned().into()));
    query.and("e.name = ?", filter.name.as_ref().map(|name| name.as_str().to_owned().into()));
    if let Some(ListKey(user, name)) = &filter.after {
        let name = name.as_str().to_owned().into();
        match &filter.owner {
            // With the owner given, a comparison of pairs would begin at the owner's first name.
            Some(owner) if owner == user => query.and("e.name > ?", [name]),
            _ => query.and("(e.user, e.name) > (?, ?)", [user.as_str().to_owned().into(), name]),
        }
    }
    // What makes that index usable; the others have tombstones too.
    let live = if index == "entries_live" { " AND e.kind <> 2" } else { "" };
    let Conditions { sql, values } = query;
    let sql =
        format!("SELECT {LISTED} INDEXED BY {index} {JOINED} WHERE true{sql}{live} ORDER BY e.user, e.name");
    (sql, values)
}

/// Conditions that all must hold, and their parameters in turn.
#[derive(Default)]
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    /// Adds a condition, unless there are no values for it.
    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        let before = self.values.len();
        self.values.extend(values);
        if self.values.len() > before {
            self.sql.push_str(" AND ");
            self.sql.push_str(condition);
        }
    }
}
