//! S: the entries that match a query.

use serde::{Deserialize, Serialize};
use wire::ErrorBody;
use wire::message::{Page, Search};

use super::list::page;
use super::{IndexService, online, page_limit};
use crate::cursor::{self, Cursor};
use crate::registry::{Items, Query, SearchKey, SearchRequest};
use crate::session::Member;

/// Where a search goes on, and the fingerprint of its query.
#[derive(Serialize, Deserialize)]
struct Bound(SearchKey, u64);

impl Cursor for Bound {
    const LETTER: char = 'S';
}

impl IndexService {
    pub(super) async fn search(&self, _: &Member, search: Search) -> Result<Page, ErrorBody> {
        let query = Query::parse(&search.query)?;
        let fingerprint = u64::from_be_bytes(query.fingerprint());
        let after = match cursor::decode(search.cursor.as_ref())? {
            None => None,
            Some(Bound(key, of)) if of == fingerprint => Some(key),
            Some(_) => return Err(cursor::bad()),
        };
        let request = SearchRequest { query, limit: page_limit(search.limit), online: search.online, after };
        let Items { items, next } = self.inner.registry.search(request, online(&self.inner.presence)).await?;
        Ok(page(Items { items, next: next.map(|key| Bound(key, fingerprint)) }))
    }
}
