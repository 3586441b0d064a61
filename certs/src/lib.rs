//! Who a node is: ids, keys, self-signed certificates, and the signed statements that a network's root and
//! its index make about nodes.
//!
//! This crate is the ground layer: it knows no message and no connection. The formats are those of
//! PROTOCOL.md, sections "Identity" and "Signed objects".
//!
//! | concept | file |
//! | --- | --- |
//! | ids and names of nodes, networks, accounts, users | `id`, `user_name` |
//! | a node's secret key, and where it is kept | `key`, `keystore` |
//! | deterministic CBOR, checked before it is decoded | `cbor`, `bytes` |
//! | COSE_Sign1 envelopes with a context string | `cose` |
//! | index certificate, membership, and how a chain is checked | `index_cert`, `membership` |
//! | TLS: certificate, verifiers, rustls configurations | `tls` |

pub mod bytes;
pub mod cbor;
mod cose;
mod id;
mod index_cert;
mod key;
pub mod keystore;
mod membership;
mod time;
pub mod tls;
mod user_name;

pub use cose::{Signed, SignedError, Statement, hash_of, unknown_format};
pub use id::{AccountId, IdError, NetworkId, NodeId, PublicKey};
pub use index_cert::{INDEX_CERTIFICATE_VALIDITY_MS, IndexCertificate, IndexCertificateError};
pub use key::SecretKey;
pub use membership::{
    CLOCK_TOLERANCE_MS, Enrolment, IssuerHash, MEMBERSHIP_GRACE_MS, MEMBERSHIP_VALIDITY_MS, Membership,
    MembershipError,
};
pub use time::{UnixMillis, UnixNanos};
pub use user_name::{UserName, UserNameError};
