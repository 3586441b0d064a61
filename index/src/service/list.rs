//! L: what is shared now.

use wire::message::{ENTRY_SOURCE_INDEX, List, Page};
use wire::{ErrorBody, ErrorCode};

use super::{IndexService, online, page_limit};
use crate::cursor::{self, Cursor};
use crate::registry::{Items, ListFilter, ListKey};
use crate::session::Member;

impl Cursor for ListKey {
    const LETTER: char = 'L';
}

impl IndexService {
    pub(super) async fn list(&self, member: &Member, list: List) -> Result<Page, ErrorBody> {
        if list.name.is_some() && list.owner.is_none() {
            return Err(ErrorBody::new(ErrorCode::BadMessage, "name goes with owner"));
        }
        let filter = ListFilter {
            limit: page_limit(list.limit),
            owner: list.owner,
            name: list.name,
            node: list.node,
            kind: list.kind,
            online: list.online,
            gone_of: list.gone.then(|| member.user.clone()),
            after: cursor::decode(list.cursor.as_ref())?,
        };
        let items = self.inner.registry.list(filter, online(&self.inner.presence)).await?;
        Ok(page(items))
    }
}

/// The A of L and S.
pub(super) fn page<K: Cursor>(items: Items<K>) -> Page {
    let next = items.next.as_ref().map(cursor::encode);
    Page { items: items.items, next, source: ENTRY_SOURCE_INDEX.to_owned(), age_ms: 0 }
}
