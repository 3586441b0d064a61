//! What is read of a registry, from a request to its answer: the same at the index and at a replica.
//!
//! | concept | file |
//! | --- | --- |
//! | L; the versions of one resource | `list` |
//! | S | `search` |
//! | P of a resource: its record, who holds it, in which order | `locate` |
//! | `who`: its pages | `who` |

mod list;
mod locate;
mod search;
mod who;

use wire::message::{ENTRY_SOURCE_INDEX, Page};

pub(crate) use self::list::list;
pub(crate) use self::locate::{find, no_holder, place};
pub(crate) use self::search::search;
pub(crate) use self::who::{after, who_page};
use crate::cursor::{self, Cursor};
use crate::registry::Items;

/// Where an answer comes from, and how old what is known is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// [`ENTRY_SOURCE_INDEX`], [`wire::message::ENTRY_SOURCE_DHT`] or [`wire::message::ENTRY_SOURCE_CACHE`].
    pub source: &'static str,
    /// Milliseconds since it was last compared with others; 0 from the index.
    pub age_ms: u64,
}

impl Origin {
    /// What the index answers.
    pub(crate) const INDEX: Self = Self { source: ENTRY_SOURCE_INDEX, age_ms: 0 };
}

/// A page's limit, as the asker named it.
pub(crate) fn page_limit(limit: Option<u32>) -> usize {
    let limit = limit.map_or(wire::limits::DEFAULT_PAGE_ITEMS, |limit| limit as usize);
    limit.clamp(1, wire::limits::PAGE_ITEMS)
}

/// The A of L and S.
fn page<K: Cursor>(items: Items<K>, origin: Origin) -> Page {
    let next = items.next.as_ref().map(cursor::encode);
    Page { items: items.items, next, source: origin.source.to_owned(), age_ms: origin.age_ms }
}
