//! The index of a network: accounts, presence, the registry of what is shared, and search.
//!
//! The crate answers on connections that it is handed ([`IndexService`]); it neither binds nor accepts. With it comes the
//! other side, [`client`].
//!
//! | concept | file |
//! | --- | --- |
//! | what the index is opened with, how a request finds its answer | `service/mod` |
//! | one message each: `hello`, `signup`, `login`, `logout`, `renew`, `who`, `events`, `follow`, R, D, P, L, S | `service/` |
//! | the list of members that the index signs; what its operator asks for | `service/members`, `service/admin` |
//! | when the index was away, and what ended then | `away` |
//! | a database that was lost | `recovery`, `registry/recovery` |
//! | a connection whose `hello` was answered | `session` |
//! | who is online, and where | `presence/` |
//! | who follows what, and what waits for whom | `followers/` |
//! | does a holder still have it? | `probe` |
//! | what becomes of a record: the rules, pure | `registry/rules` |
//! | the query language, pure | `registry/query` |
//! | tables, group commit, accounts, entries, holders, L and S in SQL | `registry/` |
//! | what a node knows of its network without the index | `replica/` |
//! | from a request to an answer out of a registry, here and at a replica | `reading/` |
//! | which record is believed | `verify` |
//! | password hashes; how often one may try | `passwords`, `argon`, `attempts` |
//! | cursors | `cursor` |
//! | the network without its index: Kademlia | `dht/` |
//! | asking an index, or any other node; the events of an index | `client/` |

mod argon;
mod attempts;
mod away;
mod background;
pub mod client;
mod cursor;
pub mod dht;
mod followers;
mod jitter;
mod passwords;
mod presence;
mod probe;
mod reading;
mod recovery;
mod registry;
mod replica;
mod service;
mod session;
mod verify;

pub use client::{CallError, Events, IndexClient, call};
pub use jitter::jitter;
pub use presence::{BoxFuture, DialBack};
pub use reading::Origin;
pub use registry::{OpenError, Recovery};
pub use replica::{
    KnownNode, OwnDigests, Refusal, Refused, Replica, ReplicaLimits, ReplicaOptions, Sizes, StatementsPeer,
    SyncError, Synced,
};
pub use service::{EventsEnd, Greeting, IndexAnswer, IndexOptions, IndexService};
pub use session::{IndexSession, Member};
pub use verify::{Trust, VerifiedRecord};
