//! L: what is shared now, or which versions there are of one resource.

use certs::cbor;
use serde::{Deserialize, Serialize};
use wire::message::{ENTRY_SOURCE_INDEX, List, Page};
use wire::{ErrorBody, ErrorCode};

use super::{IndexService, online, page_limit};
use crate::cursor::{self, Cursor};
use crate::registry::{Items, ListFilter, ListKey, VersionsFilter};
use crate::session::Member;

/// Where a listing goes on, and the fingerprint of its conditions.
#[derive(Serialize, Deserialize)]
struct Bound(ListKey, u64);

impl Cursor for Bound {
    const LETTER: char = 'L';
}

/// The version after which a list of versions goes on, and the same fingerprint.
#[derive(Serialize, Deserialize)]
struct Below(u64, u64);

impl Cursor for Below {
    const LETTER: char = 'V';
}

impl IndexService {
    pub(super) async fn list(&self, member: &Member, list: List) -> Result<Page, ErrorBody> {
        if list.versions {
            return self.versions(member, list).await;
        }
        if list.name.is_some() && list.owner.is_none() {
            return Err(ErrorBody::new(ErrorCode::BadMessage, "name goes with owner"));
        }
        let fingerprint = fingerprint(&list);
        let after = match cursor::decode(list.cursor.as_ref())? {
            None => None,
            Some(Bound(key, of)) if of == fingerprint => Some(key),
            Some(_) => return Err(cursor::bad()),
        };
        let filter = ListFilter {
            limit: page_limit(list.limit),
            owner: list.owner,
            name: list.name,
            node: list.node,
            kind: list.kind,
            online: list.online,
            gone_of: list.gone.then(|| member.user.clone()),
            after,
        };
        let Items { items, next } = self.inner.registry.list(filter, online(&self.inner.presence)).await?;
        Ok(page(Items { items, next: next.map(|key| Bound(key, fingerprint)) }))
    }

    async fn versions(&self, member: &Member, list: List) -> Result<Page, ErrorBody> {
        let fingerprint = fingerprint(&list);
        let before = match cursor::decode(list.cursor.as_ref())? {
            None => None,
            Some(Below(version, of)) if of == fingerprint => Some(version),
            Some(_) => return Err(cursor::bad()),
        };
        let (Some(owner), Some(name)) = (list.owner, list.name) else {
            return Err(ErrorBody::new(ErrorCode::BadMessage, "versions goes with owner and name"));
        };
        let filter = VersionsFilter {
            own: owner == member.user,
            owner,
            name,
            before,
            gone: list.gone,
            node: list.node,
            kind: list.kind,
            online: list.online,
            limit: page_limit(list.limit),
        };
        let Items { items, next } =
            self.inner.registry.versions(filter, online(&self.inner.presence)).await?;
        Ok(page(Items { items, next: next.map(|version| Below(version, fingerprint)) }))
    }
}

/// Of all but the limit and the cursor.
fn fingerprint(list: &List) -> u64 {
    let conditions = List { limit: None, cursor: None, ..list.clone() };
    let hash = blake3::hash(&cbor::encode(&conditions));
    u64::from_be_bytes(*hash.as_bytes().first_chunk().expect("32 bytes"))
}

/// The A of L and S.
pub(super) fn page<K: Cursor>(items: Items<K>) -> Page {
    let next = items.next.as_ref().map(cursor::encode);
    Page { items: items.items, next, source: ENTRY_SOURCE_INDEX.to_owned(), age_ms: 0 }
}
