//! What a node does: its connections, its account, what it shares and asks.
//!
//! | concept | file |
//! | --- | --- |
//! | what all tasks of a node share | `shared` |
//! | identity, membership and index certificate on disk | `credentials` |
//! | what `membership.cbor` says | `membership_file` |
//! | the index certificate made anew by the root key | `certify` |
//! | connections that come in | `accept` |
//! | the connection to the index, kept up | `link` |
//! | connections to other peers | `connect` |
//! | connections of Kademlia | `kad` |
//! | which request is answered by what | `dispatch` |
//! | sign up, log in, log out, renewal | `enrol` |

mod accept;
mod certify;
mod connect;
mod credentials;
mod dispatch;
mod enrol;
mod kad;
mod link;
mod membership_file;
mod shared;

pub(crate) use accept::accept_all;
pub(crate) use certify::{Certify, CertifyError};
pub(crate) use connect::ConnectError;
pub(crate) use credentials::Credentials;
pub use credentials::CredentialsError;
pub(crate) use enrol::{EnrolKind, keep_renewed};
pub(crate) use kad::{KadConnector, kad_queue};
pub(crate) use link::{IndexAddressSource, LinkState, keep_link};
pub(crate) use shared::{Parts, Shared};
