//! What lies on this machine already and need not be fetched.
//!
//! | concept | file |
//! | --- | --- |
//! | where it may lie | `sources` |
//! | which chunks are copied from where (pure) | `plan` |
//! | copying them | `copying` |

mod copying;
mod plan;
mod sources;

pub(super) use copying::{Copied, Copying};
pub(crate) use sources::held_root;
pub(super) use sources::{Reuse, is_likely};
