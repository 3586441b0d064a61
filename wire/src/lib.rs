#![doc = include_str!("../PROTOCOL.md")]
//!
//! # Where to look in this crate
//! | concept | file |
//! | --- | --- |
//! | frames on a stream | `frame` |
//! | the messages, one file for each or for each family | `message/` |
//! | error codes | `error` |
//! | names of resources | `name` |
//! | records, tombstones, receipts, their total order | `record`, `receipt` |
//! | catalogues: heads, trees of pages | `catalogue/` |
//! | the list of members; where a node is; what lies in the DHT | `members`, `presence`, `kad` |
//! | manifests: roots, pages, chunks, how a file is cut | `manifest/` |
//! | every bound, with its derivation | `limits` |

pub mod catalogue;
pub mod error;
pub mod frame;
mod hash;
pub mod kad;
pub mod limits;
pub mod manifest;
mod members;
pub mod message;
mod name;
mod numbers;
mod presence;
mod receipt;
mod record;

pub use certs::{byte_string, cbor};
pub use error::{ErrorBody, ErrorCode};
pub use hash::{ChunkHash, ContentHash, Digest, InstanceId, PageHash, RecordHash, RootHash, TreeHash};
pub use members::{MembersBundle, MembersHead, MembersNumber, MembersRank, VerifiedMembers};
pub use name::{NameError, ResourceName, fold};
pub use presence::{IndexPlace, PRESENCE_VALIDITY_MS, PlaceRank, Presence, PresenceBundle, VerifiedPlace};
pub use receipt::{Receipt, ReceiptError};
pub use record::{
    Extension, Kind, Record, RecordRank, SignedRecord, TOMBSTONE_RETENTION_MS, Visibility, record_hash,
    record_refusal,
};
