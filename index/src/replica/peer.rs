//! Whom a replica asks.

use wire::message::{Stated, Statements};

use crate::client::CallError;

/// The other end of an exchange: a connection to a member, or in tests another replica.
pub trait StatementsPeer: Send + Sync {
    /// Asks for statements, and waits for the answer.
    ///
    /// # Errors
    /// See [`CallError`].
    ///
    /// # Cancel safety
    /// Cancelling gives the answer up; the far end may have taken what was sent.
    fn ask(&self, request: Statements) -> impl Future<Output = Result<Stated, CallError>> + Send;
}
