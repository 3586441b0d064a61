//! S: the entries that match a query.

use serde::{Deserialize, Serialize};
use wire::ErrorBody;
use wire::message::{Page, Search};

use super::{Origin, page, page_limit};
use crate::cursor::{self, Cursor};
use crate::registry::{Items, Online, Query, Registry, SearchKey, SearchRequest};

/// Where a search goes on, the fingerprint of its query, and whether it asked for what is online.
#[derive(Serialize, Deserialize)]
struct Bound(SearchKey, u64, bool);

impl Cursor for Bound {
    const LETTER: char = 'S';
}

/// Answers an S.
pub(crate) async fn search(
    registry: &Registry,
    online: Online,
    origin: Origin,
    search: Search,
) -> Result<Page, ErrorBody> {
    let query = Query::parse(&search.query)?;
    let fingerprint = u64::from_be_bytes(query.fingerprint());
    let after = match cursor::decode(search.cursor.as_ref())? {
        None => None,
        Some(Bound(key, of, online)) if (of, online) == (fingerprint, search.online) => Some(key),
        Some(_) => return Err(cursor::bad()),
    };
    let wanted = search.online;
    let request = SearchRequest { query, limit: page_limit(search.limit), online: wanted, after };
    let Items { items, next } = registry.search(request, online).await?;
    Ok(page(Items { items, next: next.map(|key| Bound(key, fingerprint, wanted)) }, origin))
}
