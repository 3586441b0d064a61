//! S: exact names first, then the newest accepted first. No score: it would have to look at every match.
//!
//! Terms of three and more characters are phrases of the trigram table, shorter ones are prefixes in the table of words,
//! and the owner is a word of either; FTS5 walks the matches by row id downwards, which is the order of the answer.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde::{Deserialize, Serialize};

use super::entries::{self, JOINED, LISTED, Listed};
use super::query::Query;
use super::schema::owner_token;
use super::{AccountRow, Items, Online, Result, SCANNED_ROWS, Seq, accounts};

/// Candidates that are taken at once.
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
pub(super) fn page(
    database: &Connection,
    request: &SearchRequest,
    online: &Online,
) -> Result<Items<SearchKey>> {
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
        let candidates = candidates(database, &request.query, owner, key)?;
        for seq in &candidates {
            if page.len() == request.limit || scanned >= SCANNED_ROWS {
                return Ok(Items { items: page, next: Some(key) });
            }
            scanned += 1;
            key.below = seq.0;
            let listed = listed(database, *seq, online)?;
            page.extend(listed.filter(|listed| passes(request, key, listed)).map(|listed| listed.entry));
        }
        if candidates.len() < CHUNK {
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

fn listed(database: &Connection, seq: Seq, online: &Online) -> Result<Option<Listed>> {
    let mut statement = database.prepare_cached(&format!("SELECT {LISTED} {JOINED} WHERE e.seq = ?1"))?;
    let mut rows = statement.query([seq.0])?;
    match rows.next()? {
        Some(row) => entries::listed(database, row, online).map(Some),
        None => Ok(None),
    }
}

/// The next sequences downwards, at most [`CHUNK`]; fewer only at the end of the phase.
fn candidates(
    database: &Connection,
    query: &Query,
    owner: Option<AccountRow>,
    key: SearchKey,
) -> Result<Vec<Seq>> {
    let Some((sql, values)) = statement(query, owner, key) else { return Ok(Vec::new()) };
    let mut statement = database.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| row.get(0).map(Seq))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn statement(
    query: &Query,
    owner: Option<AccountRow>,
    key: SearchKey,
) -> Option<(String, Vec<Value>)> {
    let below = Value::from(key.below);
    if key.phase == Phase::Exact {
        let exact = query.exact.clone()?;
        let from = "seq FROM entries INDEXED BY entries_folded WHERE kind <> 2 AND folded = ?2 AND seq < ?1";
        return Some((descending(from, "seq"), vec![below, exact.into()]));
    }
    let trigrams = expression(query.substrings.iter().map(|term| quoted(term)), owner);
    let words = expression(query.prefixes.iter().map(|term| quoted(term) + "*"), owner);
    let (from, matched) = match (query.substrings.is_empty(), query.prefixes.is_empty()) {
        (false, true) => {
            ("t.rowid FROM trigrams AS t WHERE t.trigrams MATCH ?2 AND t.rowid < ?1", vec![trigrams])
        }
        (true, false) => ("t.rowid FROM words AS t WHERE t.words MATCH ?2 AND t.rowid < ?1", vec![words]),
        (false, false) => (
            "t.rowid FROM trigrams AS t CROSS JOIN words AS w ON w.rowid = t.rowid
             WHERE t.trigrams MATCH ?2 AND w.words MATCH ?3 AND t.rowid < ?1",
            vec![trigrams, words],
        ),
        (true, true) => {
            let from = "t.seq FROM entries AS t INDEXED BY entries_owner
                        WHERE t.kind <> 2 AND t.account = ?2 AND t.seq < ?1";
            return Some((descending(from, "t.seq"), vec![below, owner?.0.into()]));
        }
    };
    let values = std::iter::once(below).chain(matched.into_iter().map(Value::from)).collect();
    Some((descending(from, "t.rowid"), values))
}

fn descending(from: &str, key: &str) -> String {
    format!("SELECT {from} ORDER BY {key} DESC LIMIT {CHUNK}")
}

/// All terms, and the owner's word.
fn expression(terms: impl Iterator<Item = String>, owner: Option<AccountRow>) -> String {
    let owner = owner.map(|owner| quoted(&owner_token(owner)));
    terms.chain(owner).collect::<Vec<_>>().join(" AND ")
}

/// A string of FTS5's query language that means exactly this text.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
