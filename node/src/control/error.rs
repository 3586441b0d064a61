//! Errors as the control API carries them and `--json` prints them, and their codes.

use std::fmt;
use std::io;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wire::{ErrorBody, ErrorCode};

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

/// What a program goes by: a code of the protocol, or one that only this machine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// One of PROTOCOL.md, "Errors".
    Protocol(ErrorCode),
    /// One between the command line and the daemon.
    Local(LocalCode),
}

impl Code {
    /// Its name, as the JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Protocol(code) => code.name(),
            Self::Local(code) => code.name(),
        }
    }

    /// The code of a name; a name that this version does not know is the protocol's `unknown`.
    pub fn from_name(name: &str) -> Self {
        let local = LocalCode::ALL.iter().copied().find(|code| code.name() == name).map(Self::Local);
        let protocol = || ErrorCode::ALL.iter().copied().find(|code| code.name() == name);
        local.unwrap_or_else(|| Self::Protocol(protocol().unwrap_or(ErrorCode::Unknown(u32::MAX))))
    }

    /// The HTTP status that goes with it.
    pub fn http_status(self) -> u16 {
        match self {
            Self::Protocol(code) => protocol_status(code),
            Self::Local(code) => local_status(code),
        }
    }
}

fn protocol_status(code: ErrorCode) -> u16 {
    use ErrorCode as E;
    match code {
        E::BadMessage | E::BadRecord | E::BadCursor | E::BadQuery | E::BadName | E::BadPassword => 400,
        E::OutOfRange => 416,
        E::TooLarge => 413,
        E::NotMember | E::BadCredentials => 401,
        E::NotOwner | E::NotAllowed | E::SignupClosed | E::SelfOwned | E::Quota => 403,
        E::NotFound => 404,
        E::NameTaken
        | E::OtherAccount
        | E::IdentityInUse
        | E::Changed
        | E::StaleVersion
        | E::Superseded
        | E::Cancelled
        | E::Replaced => 409,
        E::RateLimited => 429,
        E::Unsupported => 501,
        E::OtherNetwork => 502,
        E::NoHolder | E::Busy | E::Unavailable | E::ShuttingDown => 503,
        E::Timeout => 504,
        E::Done | E::Internal | E::Unknown(_) => 500,
    }
}

fn local_status(code: LocalCode) -> u16 {
    use LocalCode as L;
    match code {
        L::Usage | L::BadConfig => 400,
        L::NotLoggedIn => 401,
        L::PermissionDenied => 403,
        L::NoSuchPath => 404,
        L::Exists | L::NameBound | L::AlreadyRunning | L::Paused => 409,
        L::NoDaemon => 503,
        L::DiskFull | L::ReadOnly => 507,
        L::BadHome | L::BadAnswer | L::Io => 500,
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
        Code::Local(L::Exists) => {
            "--force replaces it and keeps the old file beside; -o names another target"
        }
        Code::Local(L::NameBound) => {
            "--update publishes this path under the name instead; --name chooses another name"
        }
        Code::Local(L::AlreadyRunning) => "`p2p-node stop` ends it; --home names another folder",
        Code::Local(L::DiskFull) => "free some space, then repeat the command",
        Code::Protocol(E::NameTaken) => {
            "choose another name, or `p2p-node login USER` if the account is yours"
        }
        Code::Protocol(E::OtherAccount) => "`p2p-node login USER --forget` gives up the account of before",
        Code::Protocol(E::NotFound) => {
            "`p2p-node list` shows everything, `p2p-node search QUERY` finds by name"
        }
        Code::Protocol(E::NoHolder) => "try again when somebody who has it is online (`p2p-node who`)",
        Code::Protocol(E::SelfOwned) => {
            "it is shared from this node already: `p2p-node shares` says where it lies"
        }
        Code::Protocol(E::Changed) => "its owner must share it again",
        Code::Protocol(E::Unavailable) => "`p2p-node status` says how it stands with the index",
        Code::Protocol(E::IdentityInUse) => {
            "another machine runs with a copy of this home: each needs a home of its own"
        }
        Code::Protocol(E::OtherNetwork) => "compare the network id of --index with what that index printed",
        Code::Protocol(E::Superseded) => "get the newer version, or share again to put yours on top of it",
        _ => return None,
    })
}

macro_rules! local_codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// What can go wrong between the command line, the daemon and this machine.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum LocalCode {
            $($(#[$doc])* $variant,)*
        }

        impl LocalCode {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name, as the JSON has it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

local_codes! {
    /// Arguments that make no sense.
    Usage = "usage";
    /// A configuration file that cannot be used.
    BadConfig = "bad-config";
    /// No daemon answers on this home's socket.
    NoDaemon = "no-daemon";
    /// Another daemon runs on this home.
    AlreadyRunning = "already-running";
    /// A file of the home is damaged, or open to other users.
    BadHome = "bad-home";
    /// This node has no account.
    NotLoggedIn = "not-logged-in";
    /// Something else lies where a download should go.
    Exists = "exists";
    /// The name is bound to another path on this node.
    NameBound = "name-bound";
    /// There is nothing at that path.
    NoSuchPath = "no-such-path";
    /// The system does not let this user do that.
    PermissionDenied = "permission-denied";
    /// No space, or no quota, left.
    DiskFull = "disk-full";
    /// The file system is read-only.
    ReadOnly = "read-only";
    /// Reading or writing failed otherwise.
    Io = "io";
    /// A download was paused by the user.
    Paused = "paused";
    /// The daemon said something that this version of the command line cannot read.
    BadAnswer = "bad-answer";
}

impl From<ErrorCode> for Code {
    fn from(code: ErrorCode) -> Self {
        Self::Protocol(code)
    }
}

impl From<LocalCode> for Code {
    fn from(code: LocalCode) -> Self {
        Self::Local(code)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|name| Self::from_name(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_come_back() {
        let protocol = ErrorCode::ALL.iter().copied().map(Code::Protocol);
        let local = LocalCode::ALL.iter().copied().map(Code::Local);
        let mut seen = std::collections::HashSet::new();
        for code in protocol.chain(local) {
            assert_eq!(Code::from_name(code.name()), code);
            assert!(seen.insert(code.name()), "{code} twice");
            assert!((400..600).contains(&code.http_status()));
        }
        assert_eq!(Code::from_name("of tomorrow").name(), "unknown");
    }

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
