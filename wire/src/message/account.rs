//! `signup`, `login`, `logout`, `renew`, `ping`.

use std::fmt;

use certs::UserName;
use certs::bytes::byte_buf;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// A body without fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Empty {}

/// `signup` and `login`. The debug text does not show the password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The account's user name.
    pub user: UserName,
    /// The password: 8 to 1,024 bytes at `signup`.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The A of `signup`, `login` and `renew`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The new membership with the index certificate: an enrolment.
    #[serde(deserialize_with = "byte_buf")]
    pub enrolment: ByteBuf,
}
