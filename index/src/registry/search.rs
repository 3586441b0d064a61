//! S: exact names first, then the newest accepted first. No score: it would have to look at every match.
//!
//! Of the lists of entries that have all matches in them (one for each trigram of the query, the owner's, and that of all
//! entries) one is walked by row id downwards, which is the order of the answer, and each of its rows is compared with
//! the whole query. So a page costs no more than its bound of rows, whatever is asked: FTS5's own AND, and a phrase of its
//! trigrams, go on until they have found a match. What most queries ask for fills a page from the first rows of any of
//! the lists; only when it does not are all of them looked into, and the shortest is walked on, from the same row.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use serde::{Deserialize, Serialize};
use wire::message::Entry;

use super::entries::{self, CANDIDATE, JOINED, LISTED};
use super::query::{Candidate, Query};
use super::terms;
use super::view::View;
use super::{AccountRow, Items, Result, SCANNED_ROWS, Seq, accounts};

/// Rows of the table itself that a page looks at, at most: neighbours on disk, each at a tenth to a third of the price of
/// one that is looked up by its number.
const SCANNED_NEIGHBOURS: usize = 4 * SCANNED_ROWS;

/// Rows of the first list that are walked before the shortest is looked for: they cost no more than looking for it.
const TRIED_ROWS: usize = 96;

/// Lists that are looked into, at most.
const PROBES: usize = 12;

/// Rows that are taken off each list, to see how far they go down.
const PROBED_ROWS: i64 = 64;

/// A list of so few rows is walked without looking into the others, which costs more than some pages less bring.
const FEW_ROWS: i64 = 4096;

/// What is asked for.
#[derive(Debug)]
pub(crate) struct SearchRequest {
    pub(crate) query: Query,
    pub(crate) limit: usize,
    pub(crate) online: bool,
    pub(crate) after: Option<SearchKey>,
}

/// Where a page begins: below this sequence of this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SearchKey {
    list: List,
    below: i64,
}

impl SearchKey {
    /// The begin of a list.
    pub(super) fn first(list: List) -> Self {
        Self { list, below: i64::MAX }
    }
}

/// A list of entries in the order of their acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum List {
    /// Those whose whole name the query is: the first phase. The others are the second one.
    Exact,
    /// All.
    All,
    /// The owner's.
    Owner,
    /// Those that have a trigram, by its place in [`terms::trigrams`].
    Trigram(usize),
}

/// A query, and what of it does not change from row to row.
pub(super) struct Asked<'a> {
    query: &'a Query,
    owner: Option<AccountRow>,
    trigrams: Vec<String>,
}

/// One page.
pub(super) fn page(database: &Connection, request: &SearchRequest, view: &View) -> Result<Items<SearchKey>> {
    let Some(asked) = Asked::new(database, &request.query)? else {
        return Ok(Items { items: Vec::new(), next: None });
    };
    let mut page = Page { database, request, view, items: Vec::new(), looked_at: 0, fetched: 0 };
    let next = match request.after {
        Some(key) if key.list != List::Exact => page.walk(&asked, key, usize::MAX)?,
        key => page.begin(&asked, key.unwrap_or(SearchKey::first(List::Exact)))?,
    };
    let next = match next {
        Walked::Full(key) | Walked::Spent(key) => Some(key),
        Walked::Ended => None,
    };
    Ok(Items { items: page.items, next })
}

/// How a walk ended: with the list, with the page, or after as many rows as it was to look at. The next would begin there.
enum Walked {
    Ended,
    Full(SearchKey),
    Spent(SearchKey),
}

/// A page while it is filled.
struct Page<'a> {
    database: &'a Connection,
    request: &'a SearchRequest,
    view: &'a View,
    items: Vec<Entry>,
    looked_at: usize,
    fetched: usize,
}

impl Page<'_> {
    /// The exact names, then the others, by the list that has the fewest of what does not match.
    fn begin(&mut self, asked: &Asked<'_>, exact: SearchKey) -> Result<Walked> {
        if let walked @ (Walked::Full(_) | Walked::Spent(_)) = self.walk(asked, exact, usize::MAX)? {
            return Ok(walked);
        }
        let lists = asked.lists();
        let first = SearchKey::first(lists.first().copied().unwrap_or(List::All));
        let rows = if lists.len() > 1 { TRIED_ROWS } else { usize::MAX };
        match self.walk(asked, first, rows)? {
            Walked::Spent(SearchKey { below, .. }) => {
                let list = asked.shortest(self.database, &lists)?;
                self.walk(asked, SearchKey { list, below }, usize::MAX)
            }
            walked => Ok(walked),
        }
    }

    /// Takes what matches from so many rows of a list, until it ends or the page does.
    fn walk(&mut self, asked: &Asked<'_>, mut key: SearchKey, mut rows_left: usize) -> Result<Walked> {
        let Some((source, values)) = asked.source(key) else { return Ok(Walked::Ended) };
        let mut statement = self.database.prepare_cached(&source.walk())?;
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            if self.is_full(key.list) {
                return Ok(Walked::Full(key));
            }
            if rows_left == 0 {
                return Ok(Walked::Spent(key));
            }
            rows_left -= 1;
            self.looked_at += 1;
            key.below = row.get(0)?;
            if asked.matches(row, key.list)? {
                self.fetched += 1;
                let entry = entry(self.database, Seq(key.below), self.view)?;
                self.items.extend(entry.filter(|entry| !self.request.online || entry.online > 0));
            }
        }
        Ok(Walked::Ended)
    }

    fn is_full(&self, list: List) -> bool {
        let rows = if list == List::All { SCANNED_NEIGHBOURS } else { SCANNED_ROWS };
        self.items.len() == self.request.limit || self.looked_at >= rows || self.fetched >= SCANNED_ROWS
    }
}

impl<'a> Asked<'a> {
    /// `None` where there is no such owner.
    pub(super) fn new(database: &Connection, query: &'a Query) -> Result<Option<Self>> {
        let owner = match query.owner() {
            None => None,
            Some(owner) => match accounts::by_user(database, owner)? {
                Some(account) => Some(account.row),
                None => return Ok(None),
            },
        };
        Ok(Some(Self { query, owner, trigrams: terms::trigrams(query) }))
    }

    /// The lists that have all matches in them, but that of all entries; of very many some.
    pub(super) fn lists(&self) -> Vec<List> {
        let step = self.trigrams.len().div_ceil(PROBES).max(1);
        let trigrams = (0..self.trigrams.len()).step_by(step).map(List::Trigram);
        self.owner.map(|_| List::Owner).into_iter().chain(trigrams).collect()
    }

    /// About the shortest of these lists.
    pub(super) fn shortest(&self, database: &Connection, lists: &[List]) -> Result<List> {
        let end = |which: &str| -> Result<i64> {
            let sql = format!("SELECT {which}(seq) FROM entries INDEXED BY entries_newest WHERE kind <> 2");
            let found: Option<i64> = database.prepare_cached(&sql)?.query_row([], |row| row.get(0))?;
            Ok(found.unwrap_or(0))
        };
        let ends = (end("min")?, end("max")?);
        let mut best = (i64::MAX, List::All);
        for &list in lists {
            let rows = self.estimate(database, list, ends)?;
            if rows < best.0 {
                best = (rows, list);
            }
            if rows <= FEW_ROWS {
                break;
            }
        }
        Ok(best.1)
    }

    /// About how many rows a list has, if all of it, between the oldest and the newest entry, is as dense as its newest rows.
    fn estimate(&self, database: &Connection, list: List, (oldest, newest): (i64, i64)) -> Result<i64> {
        let Some((source, values)) = self.source(SearchKey::first(list)) else { return Ok(0) };
        let mut statement = database.prepare_cached(&source.probe())?;
        let (rows, last): (i64, Option<i64>) =
            statement.query_row(params_from_iter(values), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(match last {
            Some(last) if rows == PROBED_ROWS => {
                let all = i128::from(rows) * i128::from(newest - oldest) / i128::from((newest - last).max(1));
                i64::try_from(all).unwrap_or(i64::MAX)
            }
            _ => rows,
        })
    }

    /// The rows of a list below a key, and the parameters; none where the query has no such list.
    pub(super) fn source(&self, key: SearchKey) -> Option<(&'static Source, Vec<Value>)> {
        let (source, value) = match key.list {
            List::Exact => (&EXACT, Some(self.query.exact()?.to_owned().into())),
            List::All => (&ALL, None),
            List::Owner => (&OWNER, Some(self.owner?.0.into())),
            List::Trigram(place) => (&TRIGRAM, Some(terms::expression(self.trigrams.get(place)?).into())),
        };
        Some((source, std::iter::once(key.below.into()).chain(value).collect()))
    }

    fn matches(&self, row: &Row<'_>, list: List) -> Result<bool> {
        let candidate: Candidate<'_> = entries::candidate(row)?;
        let shown_before = list != List::Exact && self.query.exact() == Some(candidate.name);
        Ok(!shown_before && self.query.matches(&candidate))
    }
}

/// Where the rows of a list are. `?1` is the bound from above, `?2` what they have in common.
pub(super) struct Source {
    rows: &'static str,
    /// Brings the entry to a row, where it is none.
    join: &'static str,
    /// The sequence.
    seq: &'static str,
    condition: &'static str,
}

const EXACT: Source = Source {
    rows: "entries AS e INDEXED BY entries_folded",
    join: "",
    seq: "e.seq",
    condition: "e.kind <> 2 AND e.folded = ?2",
};
const ALL: Source = Source {
    rows: "entries AS e INDEXED BY entries_newest",
    join: "",
    seq: "e.seq",
    condition: "e.kind <> 2",
};
const OWNER: Source = Source {
    rows: "entries AS e INDEXED BY entries_owner",
    join: "",
    seq: "e.seq",
    condition: "e.kind <> 2 AND e.account = ?2",
};
const TRIGRAM: Source = Source {
    rows: "search AS s",
    join: "CROSS JOIN entries AS e ON e.seq = s.rowid",
    seq: "s.rowid",
    condition: "s.search MATCH ?2",
};

impl Source {
    /// The rows with what a query looks at.
    pub(super) fn walk(&self) -> String {
        let Self { rows, join, seq, condition } = self;
        format!("SELECT {CANDIDATE} FROM {rows} {join} WHERE {condition} AND {seq} < ?1 ORDER BY {seq} DESC")
    }

    /// How many rows there are up to a bound, and the sequence of the last one.
    pub(super) fn probe(&self) -> String {
        let Self { rows, seq, condition, .. } = self;
        format!(
            "SELECT count(*), min(seq) FROM (SELECT {seq} AS seq FROM {rows} WHERE {condition} AND {seq} < ?1
             ORDER BY {seq} DESC LIMIT {PROBED_ROWS})"
        )
    }
}

fn entry(database: &Connection, seq: Seq, view: &View) -> Result<Option<Entry>> {
    let mut statement = database.prepare_cached(&format!("SELECT {LISTED} {JOINED} WHERE e.seq = ?1"))?;
    let mut rows = statement.query([seq.0])?;
    rows.next()?.map(|row| entries::listed(database, row, view)).transpose()
}
