//! `statements` over a connection.

use std::time::Duration;

use wire::message::{Request, Stated, Statements};

use super::{CallError, call};
use crate::replica::StatementsPeer;

/// How long one may take: 64 pages, 768 KiB, at 512 kbit/s.
const TIMEOUT: Duration = Duration::from_secs(15);

impl StatementsPeer for quinn::Connection {
    async fn ask(&self, request: Statements) -> Result<Stated, CallError> {
        call(self, &Request::Statements(request), TIMEOUT).await
    }
}
