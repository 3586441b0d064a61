//! L: what is shared now, or which versions there are of one resource.

use certs::{UserName, cbor};
use serde::{Deserialize, Serialize};
use wire::message::{List, Page};
use wire::{ErrorBody, ErrorCode};

use super::{Origin, page, page_limit};
use crate::cursor::{self, Cursor};
use crate::registry::{Items, ListFilter, ListKey, Online, Registry, VersionsFilter};

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

/// Answers an L of this user.
pub(crate) async fn list(
    registry: &Registry,
    online: Online,
    user: &UserName,
    origin: Origin,
    list: List,
) -> Result<Page, ErrorBody> {
    if list.versions {
        return versions(registry, online, user, origin, list).await;
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
        gone_of: list.gone.then(|| user.clone()),
        after,
    };
    let Items { items, next } = registry.list(filter, online).await?;
    Ok(page(Items { items, next: next.map(|key| Bound(key, fingerprint)) }, origin))
}

async fn versions(
    registry: &Registry,
    online: Online,
    user: &UserName,
    origin: Origin,
    list: List,
) -> Result<Page, ErrorBody> {
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
        own: owner == *user,
        owner,
        name,
        before,
        gone: list.gone,
        node: list.node,
        kind: list.kind,
        online: list.online,
        limit: page_limit(list.limit),
    };
    let Items { items, next } = registry.versions(filter, online).await?;
    Ok(page(Items { items, next: next.map(|version| Below(version, fingerprint)) }, origin))
}

/// Of all but the limit and the cursor.
fn fingerprint(list: &List) -> u64 {
    let conditions = List { limit: None, cursor: None, ..list.clone() };
    let hash = blake3::hash(&cbor::encode(&conditions));
    u64::from_be_bytes(*hash.as_bytes().first_chunk().expect("32 bytes"))
}
