//! S: the entries that match a query.

use certs::bytes::optional_byte_buf;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::check_cursor;
use super::list::check_limit;
use crate::error::{ErrorBody, ErrorCode};
use crate::limits;

/// S: exact names first, then the newest accepted first. Answered by a [`super::Page`]; an empty one without `next` says
/// that nothing matches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Search {
    /// The query: PROTOCOL.md, "Queries". 1 to 1,024 bytes.
    pub query: String,
    /// Items on this page: 1 to 1,000; `None` means 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only those with a holder online.
    #[serde(default)]
    pub online: bool,
    /// From an earlier page of the same query.
    #[serde(default, deserialize_with = "optional_byte_buf", skip_serializing_if = "Option::is_none")]
    pub cursor: Option<ByteBuf>,
}

impl Search {
    /// Checks its bounds.
    ///
    /// # Errors
    /// The E to answer.
    pub fn check(&self) -> Result<(), ErrorBody> {
        if self.query.len() > limits::QUERY_BYTES {
            let text = format!("a query has at most {} bytes", limits::QUERY_BYTES);
            return Err(ErrorBody::new(ErrorCode::BadQuery, text));
        }
        check_limit(self.limit)?;
        check_cursor(self.cursor.as_ref())
    }
}
