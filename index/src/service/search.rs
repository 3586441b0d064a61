//! S: the entries that match a query.

use serde::{Deserialize, Serialize};
use wire::ErrorBody;
use wire::message::{Page, Search};

use super::list::page;
use super::{IndexService, online, page_limit};
use crate::cursor::{self, Cursor};
use crate::registry::{Items, Query, SearchKey, SearchRequest};
use crate::session::Member;

/// Where a search goes on, the fingerprint of its query, and whether it asked for what is online.
#[derive(Serialize, Deserialize)]
struct Bound(SearchKey, u64, bool);

impl Cursor for Bound {
    const LETTER: char = 'S';
}

impl IndexService {
    pub(super) async fn search(&self, _: &Member, search: Search) -> Result<Page, ErrorBody> {
        let query = Query::parse(&search.query)?;
        let fingerprint = u64::from_be_bytes(query.fingerprint());
        let after = match cursor::decode(search.cursor.as_ref())? {
            None => None,
            Some(Bound(key, of, online)) if (of, online) == (fingerprint, search.online) => Some(key),
            Some(_) => return Err(cursor::bad()),
        };
        let wanted = search.online;
        let request = SearchRequest { query, limit: page_limit(search.limit), online: wanted, after };
        let Items { items, next } = self.inner.registry.search(request, online(&self.inner.presence)).await?;
        Ok(page(Items { items, next: next.map(|key| Bound(key, fingerprint, wanted)) }))
    }
}
