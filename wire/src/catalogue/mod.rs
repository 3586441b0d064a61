//! Catalogues: everything that one node publishes and holds, as a tree of small pages under a signed head, so that others
//! can keep it, hand it on, and fetch of a newer one only the pages that they lack. PROTOCOL.md, "Catalogues".
//!
//! | concept | file |
//! | --- | --- |
//! | the signed head | `head` |
//! | what stands in a page | `page` |
//! | where pages end, how the tree grows | `build` |
//! | which pages of a tree are still to be had | `walk` |

mod build;
mod head;
mod page;
#[cfg(test)]
mod tests;
mod walk;

pub use self::build::{RecordLeaves, TreeBuilder, build_held, build_members, build_records, build_revoked};
pub(crate) use self::head::CLOCK_TOLERANCE_MS;
pub use self::head::{CatalogueHead, HEAD_VALIDITY_MS, HeadBundle, Tree, VerifiedHead};
pub use self::page::{CataloguePage, CatalogueRecord, MemberEntry, RecordsLeaf, Revoked, TreeKind};
pub use self::walk::{TreeError, Walk};
