//! How the program ends: the one table of exit codes.

use std::process::ExitCode;

use wire::ErrorCode;

use crate::control::{Code, LocalCode};

/// An exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// It is not, for a reason that has no code of its own.
    Failed = 1,
    /// The arguments, or the configuration, make no sense.
    Usage = 2,
    /// There is no such thing, or none that the asker may see.
    NotFound = 3,
    /// The asker may not do that, to something that it may see.
    NotAllowed = 4,
    /// The index, or whoever has the resource, cannot be reached now.
    Unreachable = 5,
    /// No daemon runs on this home.
    NoDaemon = 6,
    /// The download was paused, here or by another command; it can go on.
    Paused = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<Code> for Exit {
    fn from(code: Code) -> Self {
        match code {
            Code::Protocol(code) => of_protocol(code),
            Code::Local(code) => of_local(code),
        }
    }
}

fn of_protocol(code: ErrorCode) -> Exit {
    use ErrorCode as E;
    match code {
        E::BadCursor | E::BadQuery | E::BadName | E::BadPassword => Exit::Usage,
        E::NotFound => Exit::NotFound,
        E::NotMember
        | E::BadCredentials
        | E::NotOwner
        | E::NotAllowed
        | E::SignupClosed
        | E::OtherAccount
        | E::SelfOwned
        | E::Quota => Exit::NotAllowed,
        E::NoHolder | E::Busy | E::Unavailable | E::Timeout | E::ShuttingDown => Exit::Unreachable,
        // An error that calls itself done is one all the same.
        E::Done
        | E::BadMessage
        | E::BadRecord
        | E::TooLarge
        | E::Unsupported
        | E::NameTaken
        | E::IdentityInUse
        | E::OtherNetwork
        | E::Changed
        | E::OutOfRange
        | E::StaleVersion
        | E::Superseded
        | E::RateLimited
        | E::Internal
        | E::Cancelled
        | E::Replaced
        | E::Unknown(_) => Exit::Failed,
    }
}

fn of_local(code: LocalCode) -> Exit {
    use LocalCode as L;
    match code {
        L::Usage | L::BadConfig => Exit::Usage,
        L::NoSuchPath => Exit::NotFound,
        L::NotLoggedIn | L::NotTheIndex => Exit::NotAllowed,
        L::NoDaemon => Exit::NoDaemon,
        L::Paused => Exit::Paused,
        L::AlreadyRunning
        | L::BadHome
        | L::Exists
        | L::NameBound
        | L::HeldBack
        | L::PermissionDenied
        | L::DiskFull
        | L::ReadOnly
        | L::Io
        | L::BadAnswer => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_a_contract() {
        let all = [
            (Exit::Done, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::NotFound, 3),
            (Exit::NotAllowed, 4),
            (Exit::Unreachable, 5),
            (Exit::NoDaemon, 6),
            (Exit::Paused, 7),
        ];
        for (exit, number) in all {
            assert_eq!(exit as u8, number);
        }
    }

    #[test]
    fn codes_end_as_the_contract_says() {
        let of = |name: &str| Exit::from(Code::from_name(name));
        for (name, exit) in [
            ("usage", Exit::Usage),
            ("bad-config", Exit::Usage),
            ("bad-name", Exit::Usage),
            ("bad-query", Exit::Usage),
            ("bad-cursor", Exit::Usage),
            ("not-found", Exit::NotFound),
            ("no-such-path", Exit::NotFound),
            ("not-owner", Exit::NotAllowed),
            ("not-allowed", Exit::NotAllowed),
            ("self-owned", Exit::NotAllowed),
            ("bad-credentials", Exit::NotAllowed),
            ("not-logged-in", Exit::NotAllowed),
            ("not-the-index", Exit::NotAllowed),
            ("no-holder", Exit::Unreachable),
            ("unavailable", Exit::Unreachable),
            ("timeout", Exit::Unreachable),
            ("no-daemon", Exit::NoDaemon),
            ("name-taken", Exit::Failed),
            ("changed", Exit::Failed),
            ("exists", Exit::Failed),
            ("disk-full", Exit::Failed),
            ("paused", Exit::Paused),
            ("of tomorrow", Exit::Failed),
        ] {
            assert_eq!(of(name), exit, "{name}");
        }
    }

    #[test]
    fn no_error_ends_as_done() {
        let protocol = ErrorCode::ALL.iter().map(|&code| code.into());
        let local = LocalCode::ALL.iter().map(|&code| code.into());
        for code in protocol.chain(local) {
            let code: Code = code;
            assert_ne!(Exit::from(code), Exit::Done, "{code}");
        }
    }
}
