//! The codes of errors: those of the protocol, and those that only this machine knows.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wire::ErrorCode;

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
        L::PermissionDenied | L::NotTheIndex => 403,
        L::NoSuchPath => 404,
        L::Exists | L::NameBound | L::AlreadyRunning | L::Paused | L::HeldBack => 409,
        L::NoDaemon => 503,
        L::DiskFull | L::ReadOnly => 507,
        L::BadHome | L::BadAnswer | L::Io => 500,
    }
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
    /// Only the index of a network does that, and this is a peer.
    NotTheIndex = "not-the-index";
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
    /// The owner changed so much that the user is asked first.
    HeldBack = "held-back";
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
}
