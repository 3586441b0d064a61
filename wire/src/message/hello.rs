//! `hello`: the first message on each connection, and its answer.

use certs::bytes::optional_byte_buf;
use certs::{NetworkId, UnixMillis};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{Address, at_most, bounded};
use crate::error::ErrorBody;
use crate::hash::{Digest, InstanceId};
use crate::limits;

/// The minor version of this text: it grows when optional things are added.
pub const MINOR_VERSION: u32 = 0;

/// Who speaks, and what it knows. The same body is the request and its A.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The sender's [`MINOR_VERSION`].
    pub minor: u32,
    /// Names of optional features that the sender has. None in this version.
    #[serde(deserialize_with = "bounded::request::<{ limits::FEATURES }, _, _>")]
    pub features: Vec<String>,
    /// The network that the sender is of.
    pub network: NetworkId,
    /// The sender's enrolment (index certificate and membership), if it has one.
    #[serde(default, deserialize_with = "optional_byte_buf", skip_serializing_if = "Option::is_none")]
    pub enrolment: Option<ByteBuf>,
    /// The index certificate with the highest epoch that the sender knows. The index shows its own: the proof that it
    /// is the index.
    #[serde(default, deserialize_with = "optional_byte_buf", skip_serializing_if = "Option::is_none")]
    pub certificate: Option<ByteBuf>,
    /// The revocation list that the sender has. Reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocations: Option<Revocations>,
    /// The sender's clock.
    pub clock: UnixMillis,
    /// Drawn at the sender's start.
    pub instance: InstanceId,
    /// Where the sender says that it can be reached, at most 8.
    #[serde(deserialize_with = "bounded::request::<{ limits::ADDRESSES }, _, _>")]
    pub addresses: Vec<Address>,
    /// In an answer: the address that the request came from, as the answerer saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Address>,
    /// In the index's answer: a new enrolment, where the one shown has less than a third of its time left.
    #[serde(default, deserialize_with = "optional_byte_buf", skip_serializing_if = "Option::is_none")]
    pub renewed: Option<ByteBuf>,
}

/// Which revocation list a node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocations {
    /// Its epoch.
    pub epoch: u64,
    /// BLAKE3 of it.
    pub hash: Digest,
}

impl Hello {
    /// Checks the bounds of its lists.
    ///
    /// # Errors
    /// The E to answer.
    pub fn check(&self) -> Result<(), ErrorBody> {
        at_most("addresses", self.addresses.len(), limits::ADDRESSES)?;
        at_most("features", self.features.len(), limits::FEATURES)?;
        let longest = self.features.iter().map(String::len).max().unwrap_or(0);
        at_most("bytes of a feature's name", longest, limits::FEATURE_BYTES)
    }
}
