//! Errors as the control API carries them and `--json` prints them.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};
use wire::{ErrorBody, ErrorCode};

use super::code::{Code, LocalCode};

/// The result of an operation.
pub type ApiResult<T> = Result<T, ApiError>;

/// What went wrong, for programs and for people: `{"code","message","hint"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// For programs.
    pub code: Code,
    /// What was being done, to what, and why it failed. May hold text of a peer: to be escaped before a terminal.
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

impl ApiError {
    /// With the usual hint of that code, if there is one.
    pub fn new(code: impl Into<Code>, message: impl Into<String>) -> Self {
        let code = code.into();
        Self { code, message: message.into(), hint: usual_hint(code).map(str::to_owned) }
    }

    /// With another hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Bad usage: an argument or a request that makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(LocalCode::Usage, message)
    }

    /// What the system said to something done with a file, for example `ApiError::io("read /x", &error)`.
    pub fn io(doing: impl fmt::Display, error: &io::Error) -> Self {
        use io::ErrorKind::{NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let code = match error.kind() {
            NotFound => LocalCode::NoSuchPath,
            PermissionDenied => LocalCode::PermissionDenied,
            StorageFull | QuotaExceeded => LocalCode::DiskFull,
            ReadOnlyFilesystem => LocalCode::ReadOnly,
            _ => LocalCode::Io,
        };
        Self::new(code, format!("cannot {doing}: {error}"))
    }

    /// With another hint, where it says that there is no such thing.
    #[must_use]
    pub(crate) fn not_found_hint(self, hint: &str) -> Self {
        if self.code == ErrorCode::NotFound.into() { self.with_hint(hint) } else { self }
    }

    /// This error while doing something: `doing: message`.
    #[must_use]
    pub fn while_doing(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }
}

impl From<ErrorBody> for ApiError {
    fn from(body: ErrorBody) -> Self {
        let error = Self::new(body.code, body.text);
        match body.retry_after_ms {
            Some(milliseconds) => error.with_hint(format!("try again in {} s", milliseconds.div_ceil(1000))),
            None => error,
        }
    }
}

/// What helps most users who see that code.
fn usual_hint(code: Code) -> Option<&'static str> {
    use ErrorCode as E;
    use LocalCode as L;
    Some(match code {
        Code::Local(L::NoDaemon) => "start it with `p2p-node run`",
        Code::Local(L::NotLoggedIn) | Code::Protocol(E::NotMember) => {
            "`p2p-node login USER`, or `p2p-node signup USER` for a new account"
        }
        Code::Local(L::NotTheIndex) => {
            "run it on the machine of the index, as its user; where its home is not the default one, with --home DIR"
        }
        Code::Local(L::Exists) => {
            "--force replaces it and keeps the old file beside; -o names another target"
        }
        Code::Local(L::NameBound) => {
            "--update publishes this path under the name instead; --name chooses another name"
        }
        Code::Local(L::AlreadyRunning) => "`p2p-node stop` ends it; --home names another folder",
        Code::Local(L::DiskFull) => "free some space, then repeat the command",
        Code::Local(L::Paused) => "`p2p-node resume OWNER/NAME` goes on with it, and so does the same `get`",
        Code::Protocol(E::NameTaken) => {
            "choose another name, or `p2p-node login USER` if the account is yours"
        }
        Code::Protocol(E::BadCredentials) => {
            "check the name and the password; `p2p-node signup USER` makes a new account"
        }
        Code::Protocol(E::NotOwner) => "only its owner can do that: `p2p-node shares` shows what is yours",
        Code::Protocol(E::OtherAccount) => {
            "`p2p-node logout` if somebody is logged in; then `p2p-node login USER --forget` gives up the shares and \
             downloads of the account of before"
        }
        Code::Protocol(E::BadQuery) => "a query is words that must all match, and owner:USER",
        Code::Protocol(E::BadCursor) => {
            "a cursor is the `next` of the page before, in the same list; without --cursor it begins at the start"
        }
        Code::Protocol(E::NotFound) => {
            "`p2p-node list` shows everything, `p2p-node search QUERY` finds by name"
        }
        Code::Protocol(E::NoHolder) => {
            "`p2p-node get --wait` waits for somebody who has it (`p2p-node who`: who is online)"
        }
        Code::Protocol(E::SelfOwned) => {
            "it is shared from this node already: `p2p-node shares` says where it lies"
        }
        Code::Protocol(E::Changed) => "its owner must share it again",
        Code::Protocol(E::Unavailable) => "`p2p-node status` says how it stands with the index",
        Code::Protocol(E::IdentityInUse) => {
            "another machine runs with a copy of this home: each needs a home of its own"
        }
        Code::Protocol(E::OtherNetwork) => "compare the network id of --index with what that index printed",
        Code::Protocol(E::Superseded) => {
            "get the newer version, or put yours on top of it with `p2p-node share --onto VERSION`"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_wait_becomes_the_hint() {
        let body = ErrorBody::new(ErrorCode::RateLimited, "too many attempts").retry_after(2500);
        assert_eq!(ApiError::from(body).hint.as_deref(), Some("try again in 3 s"));
    }

    #[test]
    fn what_the_system_says_gets_a_code() {
        let code = |kind: io::ErrorKind| ApiError::io("read /x", &kind.into()).code;
        assert_eq!(code(io::ErrorKind::StorageFull), LocalCode::DiskFull.into());
        assert_eq!(code(io::ErrorKind::NotFound), LocalCode::NoSuchPath.into());
        assert_eq!(code(io::ErrorKind::UnexpectedEof), LocalCode::Io.into());
    }
}
