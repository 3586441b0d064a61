//! S: exact names first, then the newest accepted first. No score: it would have to look at every match.
//!
//! FTS5 walks the matches by row id downwards, which is the order of the answer; a query of an owner alone walks the
//! owner's entries.

use rusqlite::Connection;
use rusqlite::types::Value;
use serde::{Deserialize, Serialize};

use super::entries::{self, JOINED, LISTED, Listed};
use super::query::Query;
use super::terms::expression;
use super::view::View;
use super::{AccountRow, Items, Result, SCANNED_ROWS, Seq, accounts};

/// Candidates that are taken at once, at most.
const CHUNK: usize = 256;

/// What is asked for.
#[derive(Debug)]
pub(crate) struct SearchRequest {
    pub(crate) query: Query,
    pub(crate) limit: usize,
    pub(crate) online: bool,
    pub(crate) after: Option<SearchKey>,
}

/// Where a page begins: below this sequence of this phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SearchKey {
    phase: Phase,
    below: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    Exact,
    Matching,
}

impl SearchKey {
    /// The begin of the first phase, exact names.
    pub(super) const FIRST: Self = Self { phase: Phase::Exact, below: i64::MAX };
    /// The begin of the second phase, all that matches.
    pub(super) const MATCHING: Self = Self { phase: Phase::Matching, below: i64::MAX };
}

/// One page.
pub(super) fn page(database: &Connection, request: &SearchRequest, view: &View) -> Result<Items<SearchKey>> {
    let owner = match &request.query.owner {
        None => None,
        Some(owner) => match accounts::by_user(database, owner)? {
            Some(account) => Some(account.row),
            None => return Ok(Items { items: Vec::new(), next: None }),
        },
    };
    let mut key = request.after.unwrap_or(SearchKey::FIRST);
    let mut page = Vec::new();
    let mut scanned = 0;
    loop {
        // One more than is wanted, to see whether there is one; more at once where many do not pass.
        let wanted = if scanned > request.limit { CHUNK } else { (request.limit + 1).min(CHUNK) };
        let candidates = candidates(database, &request.query, owner, key, wanted)?;
        for seq in &candidates {
            if page.len() == request.limit || scanned >= SCANNED_ROWS {
                return Ok(Items { items: page, next: Some(key) });
            }
            scanned += 1;
            key.below = seq.0;
            let listed = listed(database, *seq, view)?;
            page.extend(listed.filter(|listed| passes(request, key, listed)).map(|listed| listed.entry));
        }
        if candidates.len() < wanted {
            match key.phase {
                Phase::Exact => key = SearchKey::MATCHING,
                Phase::Matching => return Ok(Items { items: page, next: None }),
            }
        }
    }
}

fn passes(request: &SearchRequest, key: SearchKey, listed: &Listed) -> bool {
    let Query { owner, exact, .. } = &request.query;
    let owned = owner.as_ref().is_none_or(|owner| *owner == listed.entry.owner);
    let shown_before = key.phase == Phase::Matching && exact.as_ref() == Some(&listed.folded);
    owned && !shown_before && (!request.online || listed.entry.online > 0)
}

fn listed(database: &Connection, seq: Seq, view: &View) -> Result<Option<Listed>> {
    let mut statement = database.prepare_cached(&format!("SELECT {LISTED} {JOINED} WHERE e.seq = ?1"))?;
    let mut rows = statement.query([seq.0])?;
    match rows.next()? {
        Some(row) => entries::listed(database, row, view).map(Some),
        None => Ok(None),
    }
}

/// The next sequences downwards, at most `limit`; fewer only at the end of the phase.
fn candidates(
    database: &Connection,
    query: &Query,
    owner: Option<AccountRow>,
    key: SearchKey,
    limit: usize,
) -> Result<Vec<Seq>> {
    let Some((sql, matched)) = statement(query, owner, key) else { return Ok(Vec::new()) };
    let mut statement = database.prepare_cached(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map((key.below, limit, matched), |row| row.get(0).map(Seq))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The statement for a phase, with `?1` as the bound from above and `?2` as the limit, and its `?3`.
pub(super) fn statement(
    query: &Query,
    owner: Option<AccountRow>,
    key: SearchKey,
) -> Option<(&'static str, Value)> {
    let no_terms = query.substrings.is_empty() && query.prefixes.is_empty();
    match key.phase {
        Phase::Exact => Some((
            "SELECT seq FROM entries INDEXED BY entries_folded
             WHERE kind <> 2 AND folded = ?3 AND seq < ?1 ORDER BY seq DESC LIMIT ?2",
            query.exact.clone()?.into(),
        )),
        Phase::Matching if no_terms => Some((
            "SELECT seq FROM entries INDEXED BY entries_owner
             WHERE kind <> 2 AND account = ?3 AND seq < ?1 ORDER BY seq DESC LIMIT ?2",
            owner?.0.into(),
        )),
        Phase::Matching => Some((
            "SELECT rowid FROM search WHERE search MATCH ?3 AND rowid < ?1 ORDER BY rowid DESC LIMIT ?2",
            expression(query, owner).into(),
        )),
    }
}
