//! The index of a network: accounts, presence, the registry of what is shared, and search.
//!
//! The crate answers on connections that it is handed ([`IndexService`]); it neither binds nor accepts. With it comes the
//! other side, [`client`].
//!
//! | concept | file |
//! | --- | --- |
//! | what the index is opened with, how a request finds its answer | `service/mod` |
//! | one message each: `hello`, `signup`, `login`, `logout`, `renew`, `who`, R, D, P, L, S | `service/` |
//! | a connection whose `hello` was answered | `session` |
//! | who is online, and where | `presence/` |
//! | does a holder still have it? | `probe` |
//! | what becomes of a record: the rules, pure | `registry/rules` |
//! | the query language, pure | `registry/query` |
//! | tables, group commit, accounts, entries, holders, L and S in SQL | `registry/` |
//! | password hashes; how often one may try | `passwords`, `argon`, `attempts` |
//! | cursors | `cursor` |
//! | asking an index, or any other node | `client` |

mod argon;
mod attempts;
mod background;
pub mod client;
mod cursor;
mod jitter;
mod passwords;
mod presence;
mod probe;
mod recovery;
mod registry;
mod service;
mod session;

pub use client::{CallError, IndexClient, call};
pub use jitter::jitter;
pub use presence::{BoxFuture, DialBack};
pub use registry::OpenError;
pub use service::{Greeting, IndexAnswer, IndexOptions, IndexService};
pub use session::{IndexSession, Member};
