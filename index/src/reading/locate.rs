//! P of a resource: its record, who holds its content, and in which order an asker sees them.

use certs::{NodeId, UserName};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use wire::message::ResourceQuery;
use wire::{ContentHash, ErrorBody, ErrorCode, RecordHash};

use crate::cursor::{self, Cursor};
use crate::registry::{Holder, NodeRow, Registry, Stored};

/// The record of the page before, and its last holder's place in the asker's order.
#[derive(Serialize, Deserialize)]
struct After(RecordHash, u64);

impl Cursor for After {
    const LETTER: char = 'P';
}

/// A resource's record, and where its holders are looked for.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) stored: Stored,
    pub(crate) content: ContentHash,
    pub(crate) holders: Vec<Holder>,
    /// The first place in the asker's order.
    pub(crate) from: u64,
}

/// Looks a resource up for a node of this user; `own` is that node's row.
///
/// # Errors
/// `not-found`, `self-owned`, `bad-cursor`.
pub(crate) async fn find(
    registry: &Registry,
    user: &UserName,
    own: Option<NodeRow>,
    query: &ResourceQuery,
) -> Result<Located, ErrorBody> {
    let after: Option<After> = cursor::decode(query.cursor.as_ref())?;
    let of_own_user = query.owner == *user;
    let found = registry.locate(query.owner.clone(), query.name.clone(), query.version, of_own_user);
    let (stored, holders) = found.await?.ok_or_else(|| not_found(query))?;
    let content = stored.current.content.ok_or_else(|| not_found(query))?;
    // A node that changed its account has left what it published under the other one to whoever holds it, and one that
    // publishes a later version what it had before.
    if of_own_user && stored.latest && Some(stored.node) == own {
        let text = format!("this node itself publishes {}/{}", query.owner, query.name);
        return Err(ErrorBody::new(ErrorCode::SelfOwned, text));
    }
    let from = match after {
        None => 0,
        Some(After(record, place)) if record == stored.current.hash => place.saturating_add(1),
        Some(_) => return Err(cursor::bad()),
    };
    Ok(Located { stored, content, holders, from })
}

impl Located {
    /// The cursor of the holders after this place.
    pub(crate) fn next(&self, place: u64) -> ByteBuf {
        cursor::encode(&After(self.stored.current.hash, place))
    }
}

/// The place of a holder in an asker's own order, so that all of them get their share of the askers. Those that have a part
/// are in the upper half. One that comes to have all between two pages may be named twice or not at all.
pub(crate) fn place(asker: &NodeId, holder: &NodeId, whole: bool) -> u64 {
    let mut place = [0; 8];
    let mut hasher = blake3::Hasher::new();
    hasher.update(asker.as_bytes()).update(holder.as_bytes()).finalize_xof().fill(&mut place);
    (u64::from_be_bytes(place) >> 1) | (u64::from(!whole) << 63)
}

fn not_found(query: &ResourceQuery) -> ErrorBody {
    let of_version = query.version.map(|version| format!(", version {version}")).unwrap_or_default();
    ErrorBody::new(ErrorCode::NotFound, format!("there is no {}/{}{of_version}", query.owner, query.name))
}

/// The refusal where nobody can give it: how many holders there are, and what is with them.
pub(crate) fn no_holder(query: &ResourceQuery, why: &[(usize, &str)]) -> ErrorBody {
    let why: Vec<_> =
        why.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let why = if why.is_empty() { "nobody holds it".to_owned() } else { why.join("; ") };
    let text = format!("no holder of {}/{} can give it: {why}", query.owner, query.name);
    ErrorBody::new(ErrorCode::NoHolder, text)
}
